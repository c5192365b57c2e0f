// SPDX-License-Identifier: GPL-2.0

//! Ranges (RFC 9110, section 14).

use super::field::members;
use core::ops::Range;

/// What of a content is to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// None of the wanted bytes is there.
    Unsatisfiable,
}

/// What the field `Range` wants of `size` bytes.
///
/// One that cannot be understood is ignored, as is one with several parts that are there: a server may
/// answer any range with the whole. None is ever more than the whole, however many parts it names.
pub fn select(value: &[u8], size: u64) -> Selection {
    parse(value, size).unwrap_or(Selection::Whole)
}

fn parse(value: &[u8], size: u64) -> Option<Selection> {
    let (unit, set) = value.split_at_checked(b"bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut selection = None;
    for spec in members(set) {
        selection = match (selection, part(spec, size)?) {
            (None | Some(Selection::Unsatisfiable), one) => Some(one),
            (Some(one), Selection::Unsatisfiable) => Some(one),
            // Two would take a content with boundaries.
            (Some(_), _) => Some(Selection::Whole),
        };
    }
    selection
}

/// One part; nothing if that is no range.
fn part(spec: &[u8], size: u64) -> Option<Selection> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    let range = match (first, last) {
        (b"", suffix) => {
            let suffix = number(suffix)?;
            // It is satisfiable whatever the size, and a 206 cannot tell of no bytes.
            if size == 0 && suffix > 0 {
                return Some(Selection::Whole);
            }
            size.saturating_sub(suffix)..size
        }
        (first, b"") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(if range.is_empty() {
        Selection::Unsatisfiable
    } else {
        Selection::Part(range)
    })
}

/// A decimal number; one that is too large is larger than every file.
fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        text.iter().fold(0_u64, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{
        Selection::{Part, Unsatisfiable, Whole},
        *,
    };

    #[test]
    fn selections() {
        for (value, selection) in [
            (&b"bytes=0-0"[..], Part(0..1)),
            (b"bytes=2-", Part(2..10)),
            (b"Bytes=2-5", Part(2..6)),
            (b"bytes=9-99999999999999999999999", Part(9..10)),
            (b"bytes=-3", Part(7..10)),
            (b"bytes=-11", Part(0..10)),
            (b"bytes=10-", Unsatisfiable),
            (b"bytes=10-11", Unsatisfiable),
            (b"bytes=99999999999999999999999-", Unsatisfiable),
            (b"bytes=-0", Unsatisfiable),
            (b"bytes=5-4", Whole),
            (b"bytes=0-1,3-4", Whole),
            // Of several, those that are there count
            (b"bytes=0-1,10-", Part(0..2)),
            (b"bytes=20-30 , -0,2-3", Part(2..4)),
            (b"bytes=10-,20-30", Unsatisfiable),
            (b"bytes=10-, 0-1,20-,3-4", Whole),
            // and one that is no range spoils them all.
            (b"bytes=0-1,5-4", Whole),
            (b"bytes=20-30,x", Whole),
            (b"bytes=10-,1--2", Whole),
            // Empty members are nothing.
            (b"bytes=0-4,", Part(0..5)),
            (b"bytes=,,0-4", Part(0..5)),
            (b"bytes=,", Whole),
            (b"bytes=0 - 4", Whole),
            (b"bytes =0-4", Whole),
            (b"bytes", Whole),
            (b"0-4", Whole),
            (b"bytes=0-4-5", Whole),
            (b"bytes=", Whole),
            (b"bytes=-", Whole),
            (b"bytes=a-b", Whole),
            (b"bytes=+1-2", Whole),
            (b"lines=0-1", Whole),
            (b"", Whole),
        ] {
            assert_eq!(
                select(value, 10),
                selection,
                "{:?}",
                String::from_utf8_lossy(value)
            );
        }
    }

    #[test]
    fn selections_of_nothing() {
        for (value, selection) in [
            (&b"bytes=0-"[..], Unsatisfiable),
            (b"bytes=0-0", Unsatisfiable),
            (b"bytes=-0", Unsatisfiable),
            (b"bytes=1-,2-", Unsatisfiable),
            // The last byte, and more than there are: all that is there
            (b"bytes=-1", Whole),
            (b"bytes=-99999999999999999999999", Whole),
            (b"bytes=0-,-1", Whole),
            (b"bytes=5-4", Whole),
        ] {
            assert_eq!(
                select(value, 0),
                selection,
                "{:?}",
                String::from_utf8_lossy(value)
            );
        }
    }
}
