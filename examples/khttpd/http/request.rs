// SPDX-License-Identifier: GPL-2.0

//! The head of a request: what stands in it, and what is refused.
//!
//! `httparse` takes the bytes apart. It is lenient where a server behind a proxy must not be (a bare
//! line feed ends a line, and fields may contradict each other), so the rest is checked here.

use super::{
    authority::is_authority,
    body::Framing,
    conditions::Conditions,
    field::{
        members,
        Lines, //
    },
    status::Status, //
};
use core::mem::MaybeUninit;
use httparse::Status::{
    Complete,
    Partial, //
};

/// How long a head may be: 431 beyond.
pub const MAX_HEAD: usize = 16 << 10;
/// The length that the first line of it may have: 414 beyond. RFC 9112, section 3 wants at least 8000.
pub const MAX_LINE: usize = 8 << 10;
/// How many fields it may have: 431 beyond.
pub const MAX_FIELDS: usize = 64;

/// What the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The content.
    Get,
    /// All but the content.
    Head,
    /// What can be asked for.
    Options,
    /// One that RFC 9110 or 5789 defines, and that nothing here allows.
    NotAllowed,
    /// One that we do not know.
    Unknown,
}

impl Method {
    fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"OPTIONS" => Self::Options,
            b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"TRACE" | b"PATCH" => Self::NotAllowed,
            _ => Self::Unknown,
        }
    }
}

/// What the request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The server as a whole: `*`.
    Server,
    /// The path, percent-encoded and beginning with a slash; without the query.
    Path(&'a [u8]),
}

/// The head of a request.
#[derive(Debug)]
pub struct Request<'a> {
    /// What the client wants.
    pub method: Method,
    /// Of what.
    pub target: Target<'a>,
    /// The query of the target, with its question mark, or nothing.
    pub query: &'a [u8],
    /// Whether it is of HTTP/1.0, which has no persistent connections unless one asks for them.
    pub is_http10: bool,
    /// Whether the connection is to stay open after the response.
    pub keep_alive: bool,
    /// How long the content is that follows.
    pub framing: Framing,
    /// Whether the client waits to hear that it is wanted.
    pub expects_continue: bool,
    /// What must be so for the request to be done.
    pub conditions: Conditions<'a>,
    /// The part of the content that is wanted.
    pub range: Option<&'a [u8]>,
}

impl Request<'_> {
    /// Whether the content is wanted, all of it and whatever it is, and there is nothing else to it.
    pub fn is_plain(&self) -> bool {
        self.method == Method::Get
            && self.keep_alive
            && !self.is_http10
            && self.framing == Framing::None
            && !self.expects_continue
            && self.range.is_none()
            && self.conditions.are_none()
    }
}

/// Parses the head at the start of `input`, before which there are no empty lines any more.
///
/// Returns it and its length, or `None` if the end of it is still to come. An error cannot be
/// recovered from: where the next request begins is not known.
pub fn parse(input: &[u8]) -> Result<Option<(Request<'_>, usize)>, Status> {
    let head = &input[..input.len().min(MAX_HEAD)];
    // Of a line that is too long as much is looked at as is when it comes in pieces.
    let start = &head[..head.len().min(MAX_LINE)];
    let line_is_too_long = start.len() == MAX_LINE && !start.contains(&b'\n');
    let head = if line_is_too_long { start } else { head };

    let parsed = match parse_known_version(head) {
        Err(httparse::Error::Version) => parse_later_version(head)?,
        parsed => parsed.map_err(status_of)?,
    };
    match parsed {
        Complete((request, length)) => Ok(Some((request?, length))),
        Partial if line_is_too_long => Err(Status::URI_TOO_LONG),
        Partial if head.len() == MAX_HEAD => Err(Status::FIELDS_TOO_LARGE),
        Partial => Ok(None),
    }
}

/// A request, or why it is refused, and the length of its head; or too little of it.
type Parsed<'a> = httparse::Status<(Result<Request<'a>, Status>, usize)>;

fn status_of(error: httparse::Error) -> Status {
    match error {
        httparse::Error::TooManyHeaders => Status::FIELDS_TOO_LARGE,
        _ => Status::BAD_REQUEST,
    }
}

/// Parses a head of HTTP/1.0 or 1.1.
// Its fields take 2 KiB of a stack that, in a kernel, has no more than 16: not to be there any more
// when a file is read.
#[inline(never)]
fn parse_known_version(head: &[u8]) -> Result<Parsed<'_>, httparse::Error> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut raw = httparse::Request::new(&mut []);
    let Complete(length) = raw.parse_with_uninit_headers(head, &mut fields)? else {
        return Ok(Partial);
    };
    let (Some(method), Some(target), Some(version)) = (raw.method, raw.path, raw.version) else {
        return Ok(Complete((Err(Status::BAD_REQUEST), length)));
    };
    let line = Line {
        method: Method::of(method.as_bytes()),
        target: target.as_bytes(),
        is_http10: version == 0,
    };
    let request = understand(line, raw.headers, &head[..length]);
    Ok(Complete((request, length)))
}

/// Parses a head of HTTP/1.2 to 1.9, which is read as one of 1.1 (RFC 9110, section 2.5); 505 for
/// others.
///
/// `head` begins with what `httparse` takes for a request but for its version.
// As above.
#[inline(never)]
fn parse_later_version(head: &[u8]) -> Result<Parsed<'_>, Status> {
    let end = head.iter().position(|&byte| byte == b'\n');
    let line = &head[..end.unwrap_or(head.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(Status::BAD_REQUEST);
    };
    match version.strip_prefix(b"HTTP/").unwrap_or_default() {
        [b'1', b'.', b'2'..=b'9'] => {}
        [b'0' | b'2'..=b'9', ..] => return Err(Status::VERSION_NOT_SUPPORTED),
        _ => return Err(Status::BAD_REQUEST),
    }
    // Only now, for what comes in pieces is refused before the rest of the line is there.
    if parts.next().is_some() {
        return Err(Status::BAD_REQUEST);
    }
    let Some(end) = end else {
        return Ok(Partial);
    };
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let line = Line {
        method: Method::of(method),
        target,
        is_http10: false,
    };
    Ok(
        match httparse::parse_headers(&head[end + 1..], &mut fields).map_err(status_of)? {
            Complete((length, fields)) => {
                let length = end + 1 + length;
                let request = understand(line, fields, &head[..length]);
                Complete((request, length))
            }
            Partial => Partial,
        },
    )
}

/// Returns true if the request at the start of `input` is one for the head only, as far as can be told
/// of one that is not complete, or not valid: its response must not have a content either.
pub fn is_head(input: &[u8]) -> bool {
    match input.strip_prefix(b"HEAD") {
        // A longer method begins with it.
        Some([next, ..]) => !is_token(*next),
        Some([]) => true,
        None => false,
    }
}

/// Returns true for the bytes of methods and of the names of fields (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns the number of bytes of empty lines at the start of `input`: some clients send them
/// behind the content of a request (RFC 9112, section 2.2).
pub fn leading_empty_lines(input: &[u8]) -> usize {
    2 * input
        .chunks_exact(2)
        .take_while(|&line| line == b"\r\n")
        .count()
}

/// A recipient may take a line feed alone for the end of a line. Two that do not agree on it see
/// different requests in the same bytes.
fn has_bare_line_feed(head: &[u8]) -> bool {
    let mut lines = head.split(|&byte| byte == b'\n');
    // What stands behind the last line feed: nothing.
    lines.next_back();
    lines.any(|line| line.last() != Some(&b'\r'))
}

/// The first line of a head.
struct Line<'a> {
    method: Method,
    target: &'a [u8],
    is_http10: bool,
}

/// The request that `head` is, of which `line` and `fields` are the parts.
fn understand<'a>(
    line: Line<'a>,
    fields: &[httparse::Header<'a>],
    head: &'a [u8],
) -> Result<Request<'a>, Status> {
    let Line {
        method,
        target,
        is_http10,
    } = line;
    if has_bare_line_feed(head) {
        return Err(Status::BAD_REQUEST);
    }
    let fields = Fields::gather(fields, head)?;
    if fields.host.is_none() && !is_http10 {
        return Err(Status::BAD_REQUEST);
    }
    let query = target.iter().position(|&byte| byte == b'?');
    Ok(Request {
        method,
        target: target_of(target, method)?,
        query: query.map_or(b"", |start| &target[start..]),
        is_http10,
        keep_alive: !fields.close && (!is_http10 || fields.keep_alive),
        framing: fields.framing(is_http10)?,
        expects_continue: fields.expects_continue && !is_http10,
        conditions: fields.conditions,
        range: fields.range.and_then(Lines::single),
    })
}

/// The forms of RFC 9112, section 3.2.
fn target_of(target: &[u8], method: Method) -> Result<Target<'_>, Status> {
    if target.contains(&b'#') {
        return Err(Status::BAD_REQUEST);
    }
    let without_query = target.split(|&byte| byte == b'?').next().unwrap_or(target);
    match without_query {
        [b'/', ..] => Ok(Target::Path(without_query)),
        b"*" if method == Method::Options && target == b"*" => Ok(Target::Server),
        // Its status stands in for whatever it names.
        _ if method == Method::NotAllowed => Ok(Target::Server),
        _ => absolute_path(without_query).map(Target::Path),
    }
}

/// The path of a target that names a server, too, as those for a proxy do.
fn absolute_path(target: &[u8]) -> Result<&[u8], Status> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| {
            let (start, rest) = target.split_at_checked(scheme.len())?;
            start
                .eq_ignore_ascii_case(scheme.as_bytes())
                .then_some(rest)
        })
        .ok_or(Status::BAD_REQUEST)?;
    let end = rest.iter().position(|&byte| byte == b'/');
    let authority = &rest[..end.unwrap_or(rest.len())];
    if !is_authority(authority) {
        return Err(Status::BAD_REQUEST);
    }
    Ok(end.map_or(b"/", |end| &rest[end..]))
}

/// The fields that mean something to us.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    content_length: Option<u64>,
    codings: Option<Codings>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    conditions: Conditions<'a>,
    range: Option<Lines<'a>>,
}

impl<'a> Fields<'a> {
    /// Of `raw`, which was parsed from `head`.
    fn gather(raw: &[httparse::Header<'a>], head: &'a [u8]) -> Result<Self, Status> {
        let mut fields = Self::default();
        for field in raw {
            let start = field.name.as_ptr() as usize - head.as_ptr() as usize;
            let from_here = head.get(start..).ok_or(Status::BAD_REQUEST)?;
            fields.take(field.name.as_bytes(), field.value.trim_ascii(), from_here)?;
        }
        Ok(fields)
    }

    /// Takes a field; `from_here` is its line and those behind.
    fn take(&mut self, name: &[u8], value: &'a [u8], from_here: &'a [u8]) -> Result<(), Status> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let conditions = &mut self.conditions;
        let lines = match name.len() {
            // By length, so that most fields are compared with one name at most.
            4 if is("host") => {
                // Empty where the target has no authority.
                if !value.is_empty() && !is_authority(value) {
                    return Err(Status::BAD_REQUEST);
                }
                return once(&mut self.host, value);
            }
            6 if is("expect") => return self.expect(value),
            10 if is("connection") => {
                self.connection(value);
                return Ok(());
            }
            14 if is("content-length") => return once(&mut self.content_length, decimal(value)?),
            17 if is("transfer-encoding") => {
                self.codings.get_or_insert_default().take(value);
                return Ok(());
            }
            // These are looked at when it is known what the request is about.
            5 if is("range") => ("range", &mut self.range),
            8 if is("if-match") => ("if-match", &mut conditions.if_match),
            8 if is("if-range") => ("if-range", &mut conditions.if_range),
            13 if is("if-none-match") => ("if-none-match", &mut conditions.if_none_match),
            17 if is("if-modified-since") => {
                ("if-modified-since", &mut conditions.if_modified_since)
            }
            19 if is("if-unmodified-since") => {
                ("if-unmodified-since", &mut conditions.if_unmodified_since)
            }
            _ => return Ok(()),
        };
        let (name, lines) = lines;
        lines.get_or_insert(Lines::new(name, from_here));
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Status> {
        for member in members(value) {
            if !member.eq_ignore_ascii_case(b"100-continue") {
                return Err(Status::EXPECTATION_FAILED);
            }
            self.expects_continue = true;
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9112, section 6.3, and of its choices those that leave nothing to guess.
    fn framing(&self, is_http10: bool) -> Result<Framing, Status> {
        match (&self.codings, self.content_length) {
            (None, None | Some(0)) => Ok(Framing::None),
            (None, Some(length)) => Ok(Framing::Fixed(length)),
            // Each is a way to have two recipients see different requests.
            (Some(_), Some(_)) => Err(Status::BAD_REQUEST),
            (Some(_), None) if is_http10 => Err(Status::BAD_REQUEST),
            (Some(codings), None) => codings.framing(),
        }
    }
}

/// The transfer codings of a content, from all lines that name some.
#[derive(Default)]
struct Codings {
    /// The number of times that `chunked` is named.
    chunked: u8,
    /// There is another.
    unknown: bool,
}

impl Codings {
    fn take(&mut self, value: &[u8]) {
        for coding in members(value) {
            if coding.eq_ignore_ascii_case(b"chunked") {
                self.chunked = self.chunked.saturating_add(1);
            } else {
                self.unknown = true;
            }
        }
    }

    /// 501 for codings that we do not know, 400 for `chunked` twice or not at all.
    fn framing(&self) -> Result<Framing, Status> {
        match (self.unknown, self.chunked) {
            (true, _) => Err(Status::NOT_IMPLEMENTED),
            (false, 1) => Ok(Framing::Chunked),
            (false, _) => Err(Status::BAD_REQUEST),
        }
    }
}

/// Sets what may be there only once.
fn once<T>(field: &mut Option<T>, value: T) -> Result<(), Status> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Status::BAD_REQUEST),
    }
}

/// Digits and nothing else: no sign, no list.
fn decimal(value: &[u8]) -> Result<u64, Status> {
    if value.is_empty() {
        return Err(Status::BAD_REQUEST);
    }
    let mut number = 0_u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return Err(Status::BAD_REQUEST);
        }
        number = number
            .checked_mul(10)
            .and_then(|number| number.checked_add(u64::from(byte - b'0')))
            .ok_or(Status::CONTENT_TOO_LARGE)?;
    }
    Ok(number)
}
