// SPDX-License-Identifier: GPL-2.0

//! From the target of a request to the name of a file below the root.

use super::status::Status;

/// The length that a decoded path may have, without the slash behind that of a directory.
pub const MAX: usize = 1024;
/// The length of the longest path: one more name in the longest directory.
const ROOM: usize = MAX + 1 + NAME_MAX;
/// The length that a name in a directory can have.
const NAME_MAX: usize = 255;

/// A path below the root: names with one slash between each, none of them `.` or `..`, none
/// empty, and no NUL in any. The root itself is the empty path.
#[derive(Debug)]
pub struct Path {
    /// One more, for a NUL.
    bytes: [u8; ROOM + 1],
    length: usize,
    is_directory: bool,
    is_base: bool,
}

impl Path {
    /// The root.
    pub const fn root() -> Self {
        Self {
            bytes: [0; ROOM + 1],
            length: 0,
            is_directory: true,
            is_base: true,
        }
    }

    /// Goes, from the root, to what a target means that begins with a slash and has no query.
    ///
    /// A path that would lead out of the root is refused, rather than ended at the root: nobody
    /// means well with it.
    pub fn decode(&mut self, target: &[u8]) -> Result<(), Status> {
        self.length = 0;
        self.is_base = target.ends_with(b"/");
        let mut start = 0;
        let mut rest = target.strip_prefix(b"/").ok_or(Status::BAD_REQUEST)?;
        while let Some((&byte, behind)) = rest.split_first() {
            let (byte, behind) = match byte {
                b'%' => percent(behind)?,
                _ => (byte, behind),
            };
            // What was encoded takes three bytes of the target.
            if byte == b'/' && rest.len() - behind.len() > 1 {
                self.is_base = false;
            }
            rest = behind;
            match byte {
                0 => return Err(Status::BAD_REQUEST),
                b'/' => start = self.end_name(start)?,
                _ => self.push(byte)?,
            }
        }
        let last = &self.bytes[start..self.length];
        self.is_directory = matches!(last, b"" | b"." | b"..");
        if self.is_directory {
            self.end_name(start)?;
        }
        self.trim_end();
        // There may be more of what was decoded behind the end.
        self.bytes[self.length] = 0;
        Ok(())
    }

    fn push(&mut self, byte: u8) -> Result<(), Status> {
        let limit = if byte == b'/' { MAX + 1 } else { MAX };
        if self.length >= limit {
            return Err(Status::URI_TOO_LONG);
        }
        self.bytes[self.length] = byte;
        self.length += 1;
        Ok(())
    }

    /// Ends the name that begins at `start`; returns where the next begins.
    fn end_name(&mut self, start: usize) -> Result<usize, Status> {
        match &self.bytes[start..self.length] {
            b"" | b"." => self.length = start,
            b".." => {
                // A client takes away the name before, which may have been empty.
                self.is_base = false;
                // The name before ends ahead of the slash before `start`.
                let parent = start.checked_sub(1).ok_or(Status::BAD_REQUEST)?;
                let slash = self.bytes[..parent].iter().rposition(|&byte| byte == b'/');
                self.length = slash.map_or(0, |slash| slash + 1);
            }
            _ => self.push(b'/')?,
        }
        Ok(self.length)
    }

    fn trim_end(&mut self) {
        if self.length > 0 && self.bytes[self.length - 1] == b'/' {
            self.length -= 1;
        }
    }

    /// The path, relative to the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The same, with a NUL behind it.
    pub fn as_bytes_with_nul(&self) -> &[u8] {
        &self.bytes[..=self.length]
    }

    /// Whether the target ended in a slash, or in what only a directory can be.
    pub fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// Returns true if references that are relative to the target lead into this directory: a client
    /// resolves them without decoding anything.
    pub fn is_base(&self) -> bool {
        self.is_base
    }

    /// Goes to what has that name in this directory; returns where to [go back](Self::leave) to.
    pub fn enter(&mut self, name: &[u8]) -> Result<usize, Status> {
        let back = self.length;
        let slash = usize::from(back > 0);
        if name.len() + slash > ROOM - back {
            return Err(Status::URI_TOO_LONG);
        }
        if slash > 0 {
            self.bytes[back] = b'/';
        }
        self.length = back + slash + name.len();
        self.bytes[back + slash..self.length].copy_from_slice(name);
        self.bytes[self.length] = 0;
        Ok(back)
    }

    /// Returns true if a client can ask for it.
    pub fn can_be_asked_for(&self) -> bool {
        self.length <= MAX
    }

    /// Goes back from where [`enter`](Self::enter) has led.
    pub fn leave(&mut self, back: usize) {
        self.length = back.min(self.length);
        self.bytes[self.length] = 0;
    }
}

/// The byte that two hexadecimal digits stand for, and what is behind them.
fn percent(text: &[u8]) -> Result<(u8, &[u8]), Status> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    match text {
        [high, low, rest @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Ok((high << 4 | low, rest)),
            _ => Err(Status::BAD_REQUEST),
        },
        _ => Err(Status::BAD_REQUEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(target: &[u8]) -> Result<Path, Status> {
        let mut path = Path::root();
        path.decode(target).map(|()| path)
    }

    #[test]
    fn decodes() {
        for (target, path, is_directory) in [
            ("/", "", true),
            ("//", "", true),
            ("/.", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/a/.", "a", true),
            ("/a/b/..", "a", true),
            ("/a/..", "", true),
            ("/a/../b", "b", false),
            ("/a//b", "a/b", false),
            ("/./a/./b", "a/b", false),
            ("/a/b/c/../../d", "a/d", false),
            ("/%61%2Fb", "a/b", false),
            ("/a%20b%25", "a b%", false),
            ("/%2e", "", true),
            ("/a/%2e%2E/b", "b", false),
            ("/...", "...", false),
            ("/..a/.b", "..a/.b", false),
            ("/\\..\\a", "\\..\\a", false),
            ("/%c3%bc", "\u{fc}", false),
        ] {
            let decoded = decode(target.as_bytes()).unwrap();
            assert_eq!(decoded.as_bytes(), path.as_bytes(), "{target}");
            assert_eq!(decoded.is_directory(), is_directory, "{target}");
        }
    }

    #[test]
    fn bases_of_relative_references() {
        for (target, is_base) in [
            ("/", true),
            ("/a/", true),
            ("/a//", true),
            ("/./a/./", true),
            ("/a%20b/%2e/", true),
            ("/a", false),
            ("/a/.", false),
            ("/a%2F", false),
            ("/a%2fb/", false),
            ("/%2F", false),
            ("/a/..", false),
            ("/a/%2e%2e/", false),
            ("/a//../b/", false),
        ] {
            let decoded = decode(target.as_bytes()).unwrap();
            assert_eq!(decoded.is_base(), is_base, "{target}");
        }
    }

    #[test]
    fn refuses() {
        for target in [
            "/..",
            "/../",
            "/../a",
            "/a/../..",
            "/a/../../b",
            "/%2e%2e",
            "/%2e%2e%2fa",
            "/.%2e/a",
            "/a/%2e%2e/%2e%2e/b",
            "/%",
            "/%4",
            "/%4g",
            "/%g4",
            "/%00",
            "/a%00b",
            "a",
            "",
        ] {
            let refused = decode(target.as_bytes()).map(|_| ());
            assert_eq!(refused, Err(Status::BAD_REQUEST), "{target}");
        }
    }

    #[test]
    fn is_bounded() {
        let target = |length: usize| [b"/".to_vec(), vec![b'a'; length]].concat();
        for length in [MAX - 1, MAX] {
            let slash = [target(length), b"/".to_vec()].concat();
            for target in [target(length), slash] {
                let path = decode(&target).unwrap();
                assert_eq!(path.as_bytes().len(), length);
                assert!(path.can_be_asked_for());
            }
        }
        for longer in [target(MAX + 1), [target(MAX), b"/a".to_vec()].concat()] {
            let refused = decode(&longer).map(|_| ());
            assert_eq!(refused, Err(Status::URI_TOO_LONG));
        }
        // What is removed again costs nothing.
        assert!(decode(&b"/a/..".repeat(1000))
            .unwrap()
            .as_bytes()
            .is_empty());
    }

    #[test]
    fn enters_and_leaves() {
        let mut root = decode(b"/").unwrap();
        assert_eq!(root.enter(b"x"), Ok(0));
        assert_eq!(root.as_bytes_with_nul(), b"x\0");
        let mut path = decode(b"/a/b/").unwrap();
        let back = path.enter(b"x").unwrap();
        assert_eq!(path.as_bytes_with_nul(), b"a/b/x\0");
        path.leave(back);
        assert_eq!(path.as_bytes_with_nul(), b"a/b\0");
        assert_eq!(path.enter(&[b'a'; ROOM]), Err(Status::URI_TOO_LONG));
        assert_eq!(path.as_bytes_with_nul(), b"a/b\0");
        assert_eq!(path.enter(&[b'a'; MAX - 4]), Ok(3));
        assert!(path.can_be_asked_for());
        // In the longest directory there is room for every name.
        let mut path = decode(&[b"/".to_vec(), vec![b'a'; MAX]].concat()).unwrap();
        assert_eq!(path.enter(&[b'b'; NAME_MAX]), Ok(MAX));
        assert!(!path.can_be_asked_for());
        path.leave(MAX);
        assert!(path.can_be_asked_for());
        let path = decode(b"/a/bcdef/..").unwrap();
        assert_eq!(path.as_bytes_with_nul(), b"a\0");
    }
}
