// SPDX-License-Identifier: GPL-2.0

//! What there is to be had: files, listings, and the status page.

use crate::{
    cache::{
        self,
        Cache,
        Entry, //
    },
    content::Body,
    http::{
        conditions::{
            Tag,
            Validators, //
        },
        media,
        path::{
            self,
            Path, //
        },
        range::{
            self,
            Selection, //
        },
        request::{
            Method,
            Request,
            Target,
            MAX_LINE, //
        },
        response::{
            write_location,
            Head,
            Reply, //
        },
        site::Site,
        status::Status, //
    },
    listing,
    page::Page,
    stats::{
        Counters,
        Form, //
    }, //
};
use core::{
    ops::Range,
    time::Duration, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use ktcp_server::{
    error::{
        ELOOP,
        ENAMETOOLONG, //
    },
    fs::{
        Directory,
        Found,
        Kind,
        Metadata,
        Timestamp,
        Wait, //
    }, //
};

/// The file that stands for a directory.
const INDEX: &[u8] = b"index.html";

/// The length of the longest place of a directory, every byte of it and of the query encoded.
const LONGEST_LOCATION: usize = 3 * (MAX_LINE + path::MAX) + 32;

/// A file that was changed longer ago than this changes its time with its content.
const SETTLED_SECONDS: i64 = 2;

/// The state of a file, and the date before it was looked at.
struct Seen {
    state: Metadata,
    now: i64,
}

/// A directory tree.
pub(crate) struct Tree {
    pub(crate) root: Directory,
    pub(crate) cache: Cache,
    pub(crate) counters: Counters,
    /// Whether directories are listed that have no page of their own.
    pub(crate) listings: bool,
    /// Whether there is a status page.
    pub(crate) stats: bool,
}

impl Site for Tree {
    type Content = Body;

    fn now(&self) -> i64 {
        Timestamp::now().seconds
    }

    fn uptime(&self) -> Duration {
        // CAST: Not negative, for that clock does not go back.
        Duration::from_nanos(self.counters.uptime().as_nanos() as u64)
    }

    fn ready(&self, request: &Request<'_>, now: i64) -> Option<Body> {
        let Target::Path(target) = request.target else {
            return None;
        };
        let entry = self.cache.get(target)?;
        // What is kept with it says when it was changed; the clock can be set back.
        if entry.modified() > now {
            return None;
        }
        let length = entry.bytes().len();
        self.counters.note_content(length - entry.content_start());
        Some(Body::Kept {
            entry,
            range: 0..length,
        })
    }

    fn reply(&self, request: &Request<'_>) -> Option<Reply<Body>> {
        Some(match request.target {
            Target::Path(target) => self
                .at(target, request)
                .unwrap_or_else(|error| Reply::of(status_of(error))),
            Target::Server => Reply::of(Status::NO_CONTENT),
        })
    }

    fn note(&self, status: Status) {
        self.counters.note(status);
    }
}

/// What of a tree is to be had without sleeping.
pub(crate) struct AtHand<'a>(pub(crate) &'a Tree);

impl Site for AtHand<'_> {
    type Content = Body;

    fn now(&self) -> i64 {
        self.0.now()
    }

    fn uptime(&self) -> Duration {
        self.0.uptime()
    }

    fn ready(&self, request: &Request<'_>, now: i64) -> Option<Body> {
        self.0.ready(request, now)
    }

    fn reply(&self, _request: &Request<'_>) -> Option<Reply<Body>> {
        None
    }

    fn can_send(&self, content: &Body) -> bool {
        !matches!(content, Body::File { .. })
    }

    fn note(&self, status: Status) {
        self.0.note(status);
    }
}

impl Tree {
    /// The reply to a request for `target`. May sleep.
    fn at(&self, target: &[u8], request: &Request<'_>) -> Result<Reply<Body>> {
        let mut path = Path::root();
        if let Err(status) = path.decode(target) {
            return Ok(Reply::of(status));
        }
        if request.method == Method::Options {
            return Ok(Reply::of(Status::NO_CONTENT));
        }
        match path.as_bytes() {
            b"_ktcp/stats" if self.stats => self.stats(Form::Page, request),
            b"_ktcp/stats.json" if self.stats => self.stats(Form::Json, request),
            _ => self.find(target, &mut path, request),
        }
    }

    #[inline(never)]
    fn stats(&self, form: Form, request: &Request<'_>) -> Result<Reply<Body>> {
        if let Some(refused) = self.refused(request) {
            return Ok(refused);
        }
        let page = self.counters.page(form)?;
        let media = match form {
            Form::Page => "text/html; charset=utf-8",
            Form::Json => "application/json",
        };
        Ok(Reply {
            media,
            ..made(page)
        })
    }

    /// The reply to a request whose conditions do not hold for a page that is made for it.
    fn refused(&self, request: &Request<'_>) -> Option<Reply<Body>> {
        let conditions = &request.conditions;
        let result = conditions.evaluate(None, request.method, self.now());
        result.err().map(Reply::of)
    }

    /// What is at `path`. May sleep.
    fn find(&self, target: &[u8], path: &mut Path, request: &Request<'_>) -> Result<Reply<Body>> {
        let found = self.root.find(name_of(path)?, Wait::Yes)?;
        let seen = self.look_at(&found)?;
        match seen.state.kind {
            Kind::File if path.is_directory() => Err(ENOTDIR),
            Kind::File => self.file(&found, seen, target, path, request),
            Kind::Directory if !path.is_directory() || !path.is_base() => {
                moved(path, request.query)
            }
            Kind::Directory => self.directory(&found, target, path, request),
            Kind::Other => Err(EACCES),
        }
    }

    fn directory(
        &self,
        found: &Found<'_>,
        target: &[u8],
        path: &mut Path,
        request: &Request<'_>,
    ) -> Result<Reply<Body>> {
        let back = path.enter(INDEX).map_err(|_| ENAMETOOLONG)?;
        match self.root.find(name_of(path)?, Wait::Yes) {
            Ok(page) => {
                let seen = self.look_at(&page)?;
                if seen.state.kind == Kind::File {
                    return self.file(&page, seen, target, path, request);
                }
            }
            // None, or a link that leads nowhere, outside, or to itself
            Err(ENOENT | ENOTDIR | EXDEV | ELOOP) => {}
            Err(error) => return Err(error),
        }
        path.leave(back);
        if !self.listings {
            return Err(EACCES);
        }
        let page = listing::page(&self.root, found, path)?;
        if let Some(refused) = self.refused(request) {
            return Ok(refused);
        }
        Ok(Reply {
            media: "text/html; charset=utf-8",
            ..made(page)
        })
    }

    fn look_at(&self, found: &Found<'_>) -> Result<Seen> {
        let now = self.now();
        let state = found.metadata(Wait::Yes)?;
        Ok(Seen { state, now })
    }

    /// A file, as far as the conditions of the request allow.
    fn file(
        &self,
        found: &Found<'_>,
        Seen { state, now }: Seen,
        target: &[u8],
        path: &Path,
        request: &Request<'_>,
    ) -> Result<Reply<Body>> {
        let validators = validators(&state);
        let reply = |status| Reply {
            tag: Some(validators.tag),
            modified: Some(validators.last_modified(now)),
            accepts_ranges: true,
            ..Reply::of(status)
        };
        let conditions = &request.conditions;
        if let Err(status) = conditions.evaluate(Some(&validators), request.method, now) {
            self.check_access(found, &state, target)?;
            return Ok(reply(status));
        }
        let wanted = request.range.filter(|_| {
            request.method == Method::Get && request.conditions.range_is_of(&validators, now)
        });
        let selection = wanted.map_or(Selection::Whole, |text| range::select(text, state.size));
        let (status, range, part) = match selection {
            Selection::Whole => (Status::OK, 0..state.size, None),
            Selection::Part(range) => {
                let part = Some((range.clone(), state.size));
                (Status::PARTIAL_CONTENT, range, part)
            }
            Selection::Unsatisfiable => {
                self.check_access(found, &state, target)?;
                return Ok(Reply {
                    part: Some((0..0, state.size)),
                    ..reply(Status::RANGE_NOT_SATISFIABLE)
                });
            }
        };
        let mut reply = Reply {
            length: range.end - range.start,
            media: media::of(path.as_bytes()),
            part,
            ..reply(status)
        };
        reply.content = Some(self.content(found, state, target, &reply, range)?);
        Ok(reply)
    }

    /// Fails for a file that is not given out: nothing is said of its state, then. May sleep.
    fn check_access(&self, found: &Found<'_>, state: &Metadata, target: &[u8]) -> Result {
        if self.cache.get_unchanged(target, state).is_none() {
            found.open()?;
        }
        Ok(())
    }

    /// The part `range` of a file, about which `reply` tells the client. May sleep.
    fn content(
        &self,
        found: &Found<'_>,
        state: Metadata,
        target: &[u8],
        reply: &Reply<Body>,
        range: Range<u64>,
    ) -> Result<Body> {
        if state.size > cache::LARGEST as u64 {
            let file = found.open()?;
            return Ok(Body::File { file, range });
        }
        let entry = match self.cache.get_unchanged(target, &state) {
            Some(entry) => entry,
            None => self.keep(found, state, target, reply)?,
        };
        let range = range.start as usize..range.end as usize;
        self.counters.note_content(range.len());
        let start = entry.content_start();
        Ok(Body::Kept {
            entry,
            range: start + range.start..start + range.end,
        })
    }

    /// Reads a small file, and keeps it with what `reply` tells about it. May sleep.
    fn keep(
        &self,
        found: &Found<'_>,
        state: Metadata,
        target: &[u8],
        reply: &Reply<Body>,
    ) -> Result<Arc<Entry>> {
        let file = found.open()?;
        let whole: Reply<Body> = Reply {
            length: state.size,
            media: reply.media,
            tag: reply.tag,
            modified: reply.modified,
            accepts_ranges: true,
            ..Reply::of(Status::OK)
        };
        let head = Head::behind_start(&whole);
        let entry = Entry::new(target, state, head.as_bytes(), |content| {
            let mut filled = 0;
            while filled < content.len() {
                match file.read_at(&mut content[filled..], filled as u64, Wait::Yes)? {
                    // It has changed since we looked.
                    0 => return Err(EAGAIN),
                    count => filled += count,
                }
            }
            Ok(())
        })?;
        // What was changed just now could change again, and have the same time.
        if self.now() - state.changed.seconds >= SETTLED_SECONDS {
            self.cache.put(entry.clone());
        }
        Ok(entry)
    }
}

/// Makes validators that differ between states of a file, and between files that take its place.
fn validators(state: &Metadata) -> Validators {
    let tag = Tag::new(state.changed.seconds, state.changed.nanos, state.size);
    Validators {
        tag: tag.with(&[
            state.inode,
            state.device.into(),
            state.generation.into(),
            state.change_cookie,
        ]),
        modified: state.modified.seconds,
    }
}

/// The reply that a directory is meant. May sleep.
fn moved(path: &Path, query: &[u8]) -> Result<Reply<Body>> {
    let mut page = Page::new(LONGEST_LOCATION);
    write_location(path.as_bytes(), query, |piece| page.push(piece)).map_err(|_| ENOMEM)?;
    let page = page.into_bytes();
    Ok(Reply {
        content: Some(Body::Made { page, sent: 0 }),
        ..Reply::of(Status::MOVED_PERMANENTLY)
    })
}

/// The reply with a page that was made for it.
fn made(page: KVVec<u8>) -> Reply<Body> {
    Reply {
        length: page.len() as u64,
        content: Some(Body::Made { page, sent: 0 }),
        is_fleeting: true,
        ..Reply::of(Status::OK)
    }
}

/// The path as the kernel takes it.
pub(crate) fn name_of(path: &Path) -> Result<&CStr> {
    if path.as_bytes().is_empty() {
        return Ok(c".");
    }
    // What was decoded has no NUL in it.
    CStr::from_bytes_with_nul(path.as_bytes_with_nul()).map_err(|_| EINVAL)
}

fn status_of(error: Error) -> Status {
    match error {
        // What lies outside is as if it were not there.
        ENOENT | ENOTDIR | EXDEV | ELOOP | ENAMETOOLONG => Status::NOT_FOUND,
        EACCES | EPERM => Status::FORBIDDEN,
        ENOMEM | ENFILE | EMFILE | EAGAIN => Status::SERVICE_UNAVAILABLE,
        _ => Status::INTERNAL_SERVER_ERROR,
    }
}
