// SPDX-License-Identifier: GPL-2.0

//! The value of a field, in as many lines as it comes (RFC 9110, sections 5.3 and 5.6.1).

/// The lines of one field.
///
/// If the field is a list, the lines count together. One that is not a list and comes in several lines
/// has no valid value: that of the lines together has a comma in it, which none of ours has.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    name: &'static str,
    /// From the first line on: others may stand between.
    text: &'a [u8],
}

impl<'a> Lines<'a> {
    /// Those in `text`, lines that each end with a carriage return and a line feed, of which the
    /// first is one with that name.
    pub fn new(name: &'static str, text: &'a [u8]) -> Self {
        Self { name, text }
    }

    /// The value of each line, without the white space around it.
    fn values(self) -> impl Iterator<Item = &'a [u8]> {
        // No line has a line feed in it, nor a name a colon.
        let lines = self.text.split(|&byte| byte == b'\n');
        lines.filter_map(move |line| {
            let (name, rest) = line.split_at_checked(self.name.len())?;
            let value = rest.strip_prefix(b":")?;
            name.eq_ignore_ascii_case(self.name.as_bytes())
                .then(|| value.trim_ascii())
        })
    }

    /// The value of a field that is no list; nothing if it comes more than once.
    pub fn single(self) -> Option<&'a [u8]> {
        let mut values = self.values();
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// The members of a list, those that are empty left out.
    ///
    /// A comma in quotes ends a member, too: none of those that mean something here has one.
    pub fn members(self) -> impl Iterator<Item = &'a [u8]> {
        self.values().flat_map(members)
    }
}

/// The members of a list in one line, those that are empty left out.
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let members = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    members.filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let shown = |member: &[u8]| String::from_utf8(member.to_vec()).unwrap();
        Lines::new("If-Match", text.as_bytes())
            .members()
            .map(shown)
            .collect()
    }

    #[test]
    fn lines_count_together() {
        assert_eq!(
            all("If-Match: a\r\nif-match:b , c\r\n\r\n"),
            ["a", "b", "c"]
        );
        assert_eq!(
            all("If-Match: a\r\nHost: h\r\nIf-Match2: x\r\nA: If-Match: y\r\nIF-MATCH:\td\r\n\r\n"),
            ["a", "d"]
        );
        assert_eq!(all("If-Match: ,a,, ,\t,b,\r\nIf-Match:\r\n"), ["a", "b"]);
        assert_eq!(all("If-Match:\r\n"), [""; 0]);
    }

    #[test]
    fn a_single_value_stands_in_one_line() {
        let single = |text| Lines::new("Range", text).single();
        assert_eq!(
            single(b"Range: bytes=0-1 \r\nA: b\r\n"),
            Some(&b"bytes=0-1"[..])
        );
        assert_eq!(single(b"Range:\r\n"), Some(&b""[..]));
        assert_eq!(single(b"Range: bytes=0-1\r\nrange: bytes=0-1\r\n"), None);
    }
}
