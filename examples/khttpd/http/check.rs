// SPDX-License-Identifier: GPL-2.0

//! A client and a site for tests and for fuzzing, and what always has to hold.

use super::{
    conditions::{
        Tag,
        Validators, //
    },
    conversation::{
        Conversation,
        Limits,
        Step,
        MIN_ROOM, //
    },
    path::Path,
    range::{
        self,
        Selection, //
    },
    request::{
        Request,
        Target, //
    },
    response::{
        write_location,
        Reply, //
    },
    site::{
        Broken,
        Content,
        Sink,
        Site, //
    },
    status::Status, //
};
use std::{cell::Cell, convert::Infallible, time::Duration};

/// Bytes of the one file that there is.
pub const FILE: &[u8] = b"0123456789";

/// The listing of the one folder.
const LISTING: &[u8] = b"one\ntwo\n";

/// The end of the response for the file, as it is also put together for each request.
const READY: &[u8] = b"Content-Length: 10\r\n\r\n0123456789";

/// What a client gets.
pub struct Out {
    /// All of it.
    pub bytes: Vec<u8>,
    /// How many more bytes can be sent.
    pub room: usize,
    /// Whether the conversation waits for that to grow.
    pub waits: bool,
}

impl Sink for Out {
    fn room(&self) -> usize {
        self.room
    }
    fn write(&mut self, data: &[u8]) {
        self.room = self.room.checked_sub(data.len()).expect("there is no room");
        self.bytes.extend_from_slice(data);
    }
    fn wait_for_room(&mut self) {
        self.waits = true;
    }
}

/// A content.
pub enum Slice {
    /// These bytes.
    Bytes(&'static [u8]),
    /// These bytes, from here on.
    Made(Vec<u8>, usize),
}

impl Content<Out> for Slice {
    fn send(&mut self, sink: &mut Out) -> Result<bool, Broken> {
        let rest = match self {
            Self::Bytes(bytes) => bytes,
            Self::Made(bytes, sent) => &bytes[*sent..],
        };
        let (now, later) = rest.split_at(rest.len().min(sink.room));
        sink.write(now);
        if !later.is_empty() {
            sink.wait_for_room();
        }
        let is_last = later.is_empty();
        let count = now.len();
        match self {
            Self::Bytes(bytes) => *bytes = &bytes[count..],
            Self::Made(_, sent) => *sent += count,
        }
        Ok(is_last)
    }
}

/// A site with one file and one folder.
pub struct OneFile {
    /// The date.
    pub now: Cell<i64>,
    /// The time that has passed.
    pub uptime: Cell<Duration>,
}

impl Site for OneFile {
    type Content = Slice;

    fn now(&self) -> i64 {
        self.now.get()
    }

    fn uptime(&self) -> Duration {
        self.uptime.get()
    }

    fn reply(&self, request: &Request<'_>) -> Option<Reply<Slice>> {
        Some(self.answer(request))
    }
}

/// The same site where nobody may sleep: what is not ready is to be had elsewhere.
struct AtHand<'a>(&'a OneFile);

impl Site for AtHand<'_> {
    type Content = Slice;

    fn now(&self) -> i64 {
        self.0.now()
    }

    fn uptime(&self) -> Duration {
        self.0.uptime()
    }

    fn ready(&self, request: &Request<'_>, _now: i64) -> Option<Slice> {
        let is_file = request.target == Target::Path(b"/file");
        is_file.then_some(Slice::Bytes(READY))
    }

    fn reply(&self, _request: &Request<'_>) -> Option<Reply<Slice>> {
        None
    }

    fn can_send(&self, content: &Slice) -> bool {
        // So that both ways are gone.
        !matches!(content, Slice::Bytes(bytes) if bytes.len() % 2 == 1)
    }
}

impl OneFile {
    fn answer(&self, request: &Request<'_>) -> Reply<Slice> {
        let Target::Path(target) = request.target else {
            return Reply::of(Status::NO_CONTENT);
        };
        let mut path = Path::root();
        if let Err(status) = path.decode(target) {
            return Reply::of(status);
        }
        check_path(&path);
        match path.as_bytes() {
            b"file" => {}
            b"folder" if path.is_directory() && path.is_base() => {
                let conditions = &request.conditions;
                if let Err(status) = conditions.evaluate(None, request.method, self.now()) {
                    return Reply::of(status);
                }
                return Reply {
                    length: LISTING.len() as u64,
                    content: Some(Slice::Bytes(LISTING)),
                    ..Reply::of(Status::OK)
                };
            }
            b"folder" => {
                let mut location = Vec::new();
                let _: Result<(), Infallible> =
                    write_location(path.as_bytes(), request.query, |piece| {
                        location.extend_from_slice(piece);
                        Ok(())
                    });
                return Reply {
                    content: Some(Slice::Made(location, 0)),
                    ..Reply::of(Status::MOVED_PERMANENTLY)
                };
            }
            _ => return Reply::of(Status::NOT_FOUND),
        }
        let state = Validators {
            tag: Tag::new(1, 2, 10),
            modified: 1,
        };
        if let Err(status) = request
            .conditions
            .evaluate(Some(&state), request.method, self.now())
        {
            return Reply::of(status);
        }
        let wanted = request
            .range
            .filter(|_| request.conditions.range_is_of(&state, self.now()));
        let part = match wanted.map(|value| range::select(value, 10)) {
            Some(Selection::Part(part)) => part,
            Some(Selection::Unsatisfiable) => return Reply::of(Status::RANGE_NOT_SATISFIABLE),
            _ => 0..10,
        };
        Reply {
            length: part.end - part.start,
            content: Some(Slice::Bytes(&FILE[part.start as usize..part.end as usize])),
            ..Reply::of(Status::OK)
        }
    }
}

/// A path has names and nothing else.
fn check_path(path: &Path) {
    let (text, with_nul) = (path.as_bytes(), path.as_bytes_with_nul());
    assert_eq!(with_nul.strip_suffix(b"\0"), Some(text));
    assert!(!text.contains(&0));
    if !text.is_empty() {
        let mut names = text.split(|&byte| byte == b'/');
        assert!(names.all(|name| !matches!(name, b"" | b"." | b"..")));
    }
}

/// The limits of the site.
pub const LIMITS: Limits = Limits {
    content: 100,
    time: Duration::from_secs(10),
};

/// What comes back for `said`, said in pieces of `piece` bytes to a sink that grows by `room`; the
/// site is asked where nobody may sleep before it is asked where one may, or only there.
pub fn talk(said: &[u8], piece: usize, room: usize, tries: bool) -> (Vec<u8>, Step) {
    let site = OneFile {
        now: Cell::new(784_111_777),
        uptime: Cell::default(),
    };
    let mut conversation = Conversation::default();
    let mut out = Out {
        bytes: Vec::new(),
        room,
        waits: false,
    };
    let (mut input, mut said) = (Vec::new(), said.chunks(piece));
    let mut is_half_closed = false;
    loop {
        out.waits = false;
        let mut step = Step::Elsewhere;
        if tries {
            let consumed;
            (consumed, step) = conversation.advance(&AtHand(&site), &LIMITS, &input, &mut out);
            input.drain(..consumed);
        }
        if step == Step::Elsewhere {
            let consumed;
            (consumed, step) = conversation.advance(&site, &LIMITS, &input, &mut out);
            input.drain(..consumed);
        }
        match step {
            Step::Wait => {}
            // What is said after that has no answer.
            Step::HalfClose if !is_half_closed => is_half_closed = true,
            _ => return (out.bytes, step),
        }
        if out.waits {
            out.room += room;
            continue;
        }
        match said.next() {
            Some(piece) => input.extend_from_slice(piece),
            None if is_half_closed => return (out.bytes, Step::Close),
            None => return (out.bytes, step),
        }
    }
}

/// The statuses and contents in what came back: nothing but whole responses.
pub fn responses(mut text: &[u8]) -> Vec<(u16, String)> {
    let mut all = Vec::new();
    while !text.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let length = response.parse(text).unwrap().unwrap();
        let code = response.code.unwrap();
        let content = response
            .headers
            .iter()
            .find(|field| field.name == "Content-Length")
            .map_or(0, |field| {
                std::str::from_utf8(field.value).unwrap().parse().unwrap()
            });
        text = &text[length..];
        // The response to HEAD tells of more than there is.
        let content = if text.starts_with(b"HTTP/1.1 ") || text.len() < content {
            0
        } else {
            content
        };
        all.push((code, String::from_utf8(text[..content].to_vec()).unwrap()));
        text = &text[content..];
    }
    all
}

/// Checks what has to hold for everything that a client can send: the first two bytes of `data` say
/// in what pieces, and how much there is room for.
///
/// - However it is cut, and wherever it is answered, the same comes back.
/// - Nothing but whole responses comes back.
/// - After a request that cannot be understood, nothing more is answered.
/// - No path leads out of the root (see [`OneFile`]).
pub fn check(data: &[u8]) {
    let [piece, room, said @ ..] = data else {
        return;
    };
    let mut said = said.to_vec();
    // Heads are looked at when a line ends, so that they do not have to be for each byte.
    said.push(b'\n');
    let whole = talk(&said, usize::MAX, 1 << 20, false);
    let pieces = talk(
        &said,
        1 + usize::from(*piece),
        MIN_ROOM + usize::from(*room),
        true,
    );
    assert_eq!(whole, pieces);

    let responses = responses(&whole.0);
    let closing = |code| matches!(code, 400 | 408 | 413 | 431 | 505);
    let before_last = responses.len().saturating_sub(1);
    for (code, _) in &responses[..before_last] {
        // 400 is also said of a path, which closes nothing.
        assert!(*code == 400 || !closing(*code));
    }
}

/// An input of the fuzzer, of the line that `tools/ktcp/corpus.py` has made of it.
pub fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = line.bytes();
    let mut input = Vec::new();
    while let Some(byte) = bytes.next() {
        input.push(match byte {
            b'\\' => match bytes.next().unwrap() {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'\\' => b'\\',
                b'x' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => panic!("an escape that is none: {other}"),
            },
            other => other,
        });
    }
    input
}
