// SPDX-License-Identifier: GPL-2.0

//! Conditional requests (RFC 9110, section 13).

use super::{
    date,
    field::Lines,
    request::Method,
    status::Status, //
};

/// An entity tag: a strong one, its quotes included.
///
/// Made of the time of the last change, to the nanosecond, of the size, and of a number of other
/// ones that tell one state from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    bytes: [u8; Self::MAX],
    length: u8,
}

impl Tag {
    const MAX: usize = 2 + 16 + 1 + 8 + 1 + 16 + 1 + 16;

    /// The tag of a file of `size` bytes that was last changed at that time.
    pub fn new(seconds: i64, nanos: u32, size: u64) -> Self {
        let mut tag = Self {
            bytes: [0; Self::MAX],
            length: 0,
        };
        tag.push(b'"');
        tag.push_hex(seconds as u64);
        tag.push(b'.');
        tag.push_hex(nanos.into());
        tag.push(b'-');
        tag.push_hex(size);
        tag.push(b'"');
        tag
    }

    /// The same, of a state with these numbers, too.
    ///
    /// They do not stand in it: that of a file is nothing that a client should know. Two states of
    /// which one of these numbers differs have different tags.
    pub fn with(mut self, numbers: &[u64]) -> Self {
        self.length -= 1;
        self.push(b'-');
        self.push_hex(numbers.iter().fold(0, |all, number| mix(all ^ number)));
        self.push(b'"');
        self
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.length)) {
            *place = byte;
            self.length += 1;
        }
    }

    fn push_hex(&mut self, number: u64) {
        let digits = (16 - number.leading_zeros() / 4).max(1);
        for place in (0..digits).rev() {
            let digit = (number >> (4 * place) & 15) as u8;
            self.push(if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            });
        }
    }

    /// As it stands in a field.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Whether it is in a list of tags. `weak` also takes those that only mean the same content.
    fn is_in(&self, list: Lines<'_>, weak: bool) -> bool {
        // No tag of ours has a comma in it.
        list.members().any(|tag| match tag.strip_prefix(b"W/") {
            Some(tag) => weak && tag == self.as_bytes(),
            None => tag == self.as_bytes(),
        })
    }
}

/// Maps numbers one to one, so that each bit depends on all (the end of SplitMix64).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// Returns true for the list `*`, which stands for every content.
fn is_anything(list: Lines<'_>) -> bool {
    let mut members = list.members();
    members.next() == Some(b"*") && members.next().is_none()
}

/// What tells one state of a content from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validators {
    /// The entity tag.
    pub tag: Tag,
    /// When it was last changed, in seconds since 1970.
    pub modified: i64,
}

impl Validators {
    /// Returns the date that a client is told at `now`, the time before the state was looked at:
    /// while the second of the change lasts, and another one could have the same date, it is the
    /// second before.
    pub fn last_modified(&self, now: i64) -> i64 {
        if self.modified == now {
            now - 1
        } else {
            self.modified
        }
    }
}

/// The conditions of a request, as they stand in its fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// Do it only for one of these.
    pub if_match: Option<Lines<'a>>,
    /// Do it only for others than these.
    pub if_none_match: Option<Lines<'a>>,
    /// Do it only if it was changed after that.
    pub if_modified_since: Option<Lines<'a>>,
    /// Do it only if it was not changed after that.
    pub if_unmodified_since: Option<Lines<'a>>,
    /// Give a part of it only if it is still this one, or all of it.
    pub if_range: Option<Lines<'a>>,
}

impl Conditions<'_> {
    /// Whether there are none.
    pub fn are_none(&self) -> bool {
        self.if_match.is_none()
            && self.if_none_match.is_none()
            && self.if_modified_since.is_none()
            && self.if_unmodified_since.is_none()
            && self.if_range.is_none()
    }

    /// The status that the conditions demand, in the order of section 13.2.2, of a content with these
    /// validators, or with none.
    pub fn evaluate(
        &self,
        state: Option<&Validators>,
        method: Method,
        now: i64,
    ) -> Result<(), Status> {
        // They are not for others, section 13.2.1.
        if !matches!(method, Method::Get | Method::Head) {
            return Ok(());
        }
        let date = |field: Option<Lines<'_>>| date::parse(field?.single()?, now);
        let has = |tags, weak| {
            is_anything(tags) || state.is_some_and(|state| state.tag.is_in(tags, weak))
        };
        let modified = state.map(|state| state.modified);
        match (self.if_match, date(self.if_unmodified_since)) {
            (Some(tags), _) if !has(tags, false) => {
                return Err(Status::PRECONDITION_FAILED);
            }
            (None, Some(date)) if modified.is_some_and(|modified| modified > date) => {
                return Err(Status::PRECONDITION_FAILED);
            }
            _ => {}
        }
        match (self.if_none_match, date(self.if_modified_since)) {
            (Some(tags), _) if has(tags, true) => Err(Status::NOT_MODIFIED),
            (None, Some(date)) if modified.is_some_and(|modified| modified <= date) => {
                Err(Status::NOT_MODIFIED)
            }
            _ => Ok(()),
        }
    }

    /// Whether the part that is wanted is one of this content.
    ///
    /// A date is good enough for that only if the content did not change twice in that second (section
    /// 8.8.2.2). It did not after a client was told the date, for none is while the second lasts: see
    /// [`Validators::last_modified`].
    pub fn range_is_of(&self, state: &Validators, now: i64) -> bool {
        let Some(lines) = self.if_range else {
            return true;
        };
        match lines.single() {
            None => false,
            Some(tag @ [b'"' | b'W', ..]) if tag.ends_with(b"\"") => state.tag.as_bytes() == tag,
            Some(text) => date::parse(text, now) == Some(state.modified) && state.modified < now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGED: i64 = 1_000_000_000;
    const NOW: i64 = CHANGED + 1;
    // As lines of a field called so, whichever it is.
    const BEFORE: &[u8] = b"Date: Sun, 09 Sep 2001 01:46:39 GMT";
    const AT: &[u8] = b"Date: Sun, 09 Sep 2001 01:46:40 GMT";
    const TWICE: &[u8] = b"Date: Sun, 09 Sep 2001 01:46:39 GMT\r\n\
        Date: Sun, 09 Sep 2001 01:46:40 GMT";

    fn state() -> Validators {
        Validators {
            tag: Tag::new(CHANGED, 0xabc, 0x10),
            modified: CHANGED,
        }
    }

    #[test]
    fn tags() {
        assert_eq!(state().tag.as_bytes(), b"\"3b9aca00.abc-10\"");
        assert_eq!(Tag::new(0, 0, 0).as_bytes(), b"\"0.0-0\"");
        // Each number counts, in its place, and none stands in it.
        let with = |numbers: &[u64]| state().tag.with(numbers);
        let states = [
            with(&[1, 2, 3]),
            with(&[2, 2, 3]),
            with(&[1, 3, 3]),
            with(&[1, 2, 4]),
            with(&[2, 1, 3]),
            with(&[1, 3, 2]),
            with(&[]),
        ];
        for (number, state) in states.iter().enumerate() {
            assert!(state.as_bytes().starts_with(b"\"3b9aca00.abc-10-"));
            assert!(state.as_bytes().ends_with(b"\""));
            assert!(!states[number + 1..].contains(state));
        }
        // The number that SplitMix64 begins with, from a seed of 0
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        let longest = Tag::new(-1, u32::MAX, u64::MAX).with(&[0]);
        assert_eq!(longest.as_bytes().len(), Tag::MAX);
    }

    #[test]
    fn none_match() {
        for (tags, matches) in [
            ("*", true),
            ("\"3b9aca00.abc-10\"", true),
            ("W/\"3b9aca00.abc-10\"", true),
            ("\"x\" , \"3b9aca00.abc-10\"", true),
            ("\"3b9aca00.abc-10\"\r\nIf-None-Match: \"x\"", true),
            ("\"x\"\r\nif-none-match: W/\"3b9aca00.abc-10\"", true),
            ("\r\nIf-None-Match: *,", true),
            ("*\r\nIf-None-Match: \"x\"", false),
            ("\"x\"\r\nIf-None-Match: \"y\"", false),
            ("\"3b9aca00.abc-1\"", false),
            ("3b9aca00.abc-10", false),
            ("", false),
        ] {
            let text = format!("If-None-Match: {tags}\r\n");
            let conditions = Conditions {
                if_none_match: Some(Lines::new("If-None-Match", text.as_bytes())),
                // Not looked at beside the other.
                if_modified_since: Some(Lines::new("Date", AT)),
                ..Default::default()
            };
            let wanted = |status| if matches { Err(status) } else { Ok(()) };
            let get = conditions.evaluate(Some(&state()), Method::Get, NOW);
            assert_eq!(get, wanted(Status::NOT_MODIFIED));
            let options = conditions.evaluate(Some(&state()), Method::Options, NOW);
            assert_eq!(options, Ok(()));
        }
    }

    #[test]
    fn modified_since() {
        for (date, result) in [
            (BEFORE, Ok(())),
            (AT, Err(Status::NOT_MODIFIED)),
            (b"Date: yesterday", Ok(())),
            (TWICE, Ok(())),
        ] {
            let conditions = Conditions {
                if_modified_since: Some(Lines::new("Date", date)),
                ..Default::default()
            };
            assert_eq!(
                conditions.evaluate(Some(&state()), Method::Head, NOW),
                result
            );
        }
    }

    #[test]
    fn preconditions() {
        let failed = Err(Status::PRECONDITION_FAILED);
        for (tags, date, result) in [
            (Some("*"), None, Ok(())),
            (Some("\"3b9aca00.abc-10\""), Some(BEFORE), Ok(())),
            (Some("\"x\"\r\nIf-Match: \"3b9aca00.abc-10\""), None, Ok(())),
            (Some("\"3b9aca00.abc-10\"\r\nIf-Match: \"x\""), None, Ok(())),
            (Some("\"x\"\r\nIf-Match: \"y\""), None, failed),
            (Some("W/\"3b9aca00.abc-10\""), None, failed),
            (Some(""), None, failed),
            (None, Some(TWICE), Ok(())),
            (None, Some(BEFORE), failed),
            (None, Some(AT), Ok(())),
        ] {
            let text = format!("If-Match: {}\r\n", tags.unwrap_or_default());
            let conditions = Conditions {
                if_match: tags.map(|_| Lines::new("If-Match", text.as_bytes())),
                if_unmodified_since: date.map(|date| Lines::new("Date", date)),
                ..Default::default()
            };
            assert_eq!(
                conditions.evaluate(Some(&state()), Method::Get, NOW),
                result
            );
        }
    }

    #[test]
    fn ranges_of() {
        for (value, is_of) in [
            (&b"Date: \"3b9aca00.abc-10\""[..], true),
            (b"Date: W/\"3b9aca00.abc-10\"", false),
            (b"Date: \"other\"", false),
            (
                b"Date: \"3b9aca00.abc-10\"\r\nDate: \"3b9aca00.abc-10\"",
                false,
            ),
            (AT, true),
            (BEFORE, false),
            (TWICE, false),
        ] {
            let conditions = Conditions {
                if_range: Some(Lines::new("Date", value)),
                ..Default::default()
            };
            assert_eq!(conditions.range_is_of(&state(), NOW), is_of);
        }
    }

    #[test]
    fn a_date_of_this_second_is_no_strong_validator() {
        let conditions = Conditions {
            if_range: Some(Lines::new("Date", AT)),
            ..Default::default()
        };
        for (now, is_of) in [(CHANGED - 1, false), (CHANGED, false), (CHANGED + 1, true)] {
            assert_eq!(conditions.range_is_of(&state(), now), is_of, "{now}");
        }
        // Nor is it told.
        for (now, told) in [
            (CHANGED - 1, CHANGED),
            (CHANGED, CHANGED - 1),
            (CHANGED + 1, CHANGED),
        ] {
            assert_eq!(state().last_modified(now), told, "{now}");
        }
    }

    #[test]
    fn without_validators() {
        let failed = Err(Status::PRECONDITION_FAILED);
        let lines = |text| Lines::new("Date", text);
        for (if_match, if_none_match, date, result) in [
            (Some(&b"Date: *"[..]), None, None, Ok(())),
            (Some(b"Date: \"x\""), None, None, failed),
            (Some(b"Date: "), None, None, failed),
            (None, Some(&b"Date: *"[..]), None, Err(Status::NOT_MODIFIED)),
            (None, Some(b"Date: \"x\""), None, Ok(())),
            (None, None, Some(BEFORE), Ok(())),
        ] {
            let conditions = Conditions {
                if_match: if_match.map(lines),
                if_none_match: if_none_match.map(lines),
                if_modified_since: date.map(lines),
                if_unmodified_since: date.map(lines),
                ..Default::default()
            };
            assert_eq!(conditions.evaluate(None, Method::Get, NOW), result);
            assert_eq!(conditions.evaluate(None, Method::Options, NOW), Ok(()));
        }
    }
}
