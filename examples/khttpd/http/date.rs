// SPDX-License-Identifier: GPL-2.0

//! Dates (RFC 9110, section 5.6.7): seconds since 1970, and how HTTP writes them.

const DAY: i64 = 24 * 60 * 60;
const WEEKDAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The years that four digits can write.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

/// A date of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year, such as 1994.
    pub year: i64,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The minute, 0 to 59.
    pub minute: u8,
    /// The second, 0 to 59.
    pub second: u8,
    /// The day of the week, 0 (Sunday) to 6.
    pub weekday: u8,
}

impl Civil {
    /// The date and time in UTC, the nearest that four digits of a year can write.
    pub fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(FIRST, LAST);
        let (days, time) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // Years that begin in March have their leap day at the end, and eras of 400 years are all
        // of one length.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month: month as u8,
            day: day as u8,
            hour: (time / 3600) as u8,
            minute: (time / 60 % 60) as u8,
            second: (time % 60) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
        }
    }

    /// Seconds since 1970, unless there is no such date. A leap second is the one before.
    fn to_unix(self) -> Option<i64> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days_in_month = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=days_in_month).contains(&self.day)
            || self.hour > 23
            || self.minute > 59
            || self.second > 60
        {
            return None;
        }
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = self.year - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let second = i64::from(self.second.min(59));
        Some(days * DAY + i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + second)
    }
}

/// How long a formatted date is.
pub const LENGTH: usize = 29;

/// As `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn format(seconds: i64) -> [u8; LENGTH] {
    let date = Civil::from_unix(seconds);
    let mut text = *b"Sun, 06 Nov 1994 08:49:37 GMT";
    text[..3].copy_from_slice(WEEKDAYS[usize::from(date.weekday % 7)]);
    digits(&mut text[5..7], date.day.into());
    text[8..11].copy_from_slice(MONTHS[usize::from((date.month + 11) % 12)]);
    digits(&mut text[12..16], date.year);
    digits(&mut text[17..19], date.hour.into());
    digits(&mut text[20..22], date.minute.into());
    digits(&mut text[23..25], date.second.into());
    text
}

/// Writes a number with leading zeros over all of `text`.
pub fn digits(text: &mut [u8], mut number: i64) {
    for place in text.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Reads one of the three forms that HTTP knows; `now` tells the century of the one with two digits
/// for the year.
pub fn parse(text: &[u8], now: i64) -> Option<i64> {
    let text = text.trim_ascii();
    let comma = text.iter().position(|&byte| byte == b',');
    let date = match comma {
        Some(3) => fixed(&text[4..])?,
        Some(comma) => rfc850(text.get(comma + 1..)?, Civil::from_unix(now).year)?,
        None => asctime(text)?,
    };
    date.to_unix()
}

/// ` 06 Nov 1994 08:49:37 GMT`
fn fixed(text: &[u8]) -> Option<Civil> {
    let text: &[u8; 25] = text.try_into().ok()?;
    let separators = [text[0], text[3], text[7], text[12]];
    if separators != *b"    " || !text.ends_with(b" GMT") {
        return None;
    }
    civil(
        number(&text[8..12])?,
        &text[4..7],
        &text[1..3],
        &text[13..21],
    )
}

/// ` 06-Nov-94 08:49:37 GMT`
fn rfc850(text: &[u8], this_year: i64) -> Option<Civil> {
    let text: &[u8; 23] = text.try_into().ok()?;
    let separators = [text[0], text[3], text[7], text[10]];
    if separators != *b" -- " || !text.ends_with(b" GMT") {
        return None;
    }
    // More than fifty years ahead is the past.
    let mut year = this_year - this_year % 100 + number(&text[8..10])?;
    if year > this_year + 50 {
        year -= 100;
    }
    civil(year, &text[4..7], &text[1..3], &text[11..19])
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &[u8]) -> Option<Civil> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let separators = [text[3], text[7], text[10], text[19]];
    if separators != *b"    " {
        return None;
    }
    let day = if text[8] == b' ' {
        &text[9..10]
    } else {
        &text[8..10]
    };
    civil(number(&text[20..])?, &text[4..7], day, &text[11..19])
}

fn civil(year: i64, month: &[u8], day: &[u8], time: &[u8]) -> Option<Civil> {
    if (time.get(2), time.get(5)) != (Some(&b':'), Some(&b':')) {
        return None;
    }
    let month = MONTHS.iter().position(|name| name[..] == *month)?;
    Some(Civil {
        year,
        month: month as u8 + 1,
        day: number(day)? as u8,
        hour: number(time.get(..2)?)? as u8,
        minute: number(time.get(3..5)?)? as u8,
        second: number(time.get(6..8)?)? as u8,
        weekday: 0,
    })
}

/// At most four digits.
fn number(text: &[u8]) -> Option<i64> {
    let digits = text.iter().all(u8::is_ascii_digit) && (1..=4).contains(&text.len());
    digits.then(|| {
        text.iter()
            .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9110.
    const EXAMPLE: i64 = 784_111_777;

    #[test]
    fn writes() {
        assert_eq!(&format(EXAMPLE), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&format(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&format(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(&format(-1), b"Wed, 31 Dec 1969 23:59:59 GMT");
        assert_eq!(&format(i64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(&format(i64::MIN), b"Sat, 01 Jan 0000 00:00:00 GMT");
    }

    #[test]
    fn reads_all_three_forms() {
        for text in [
            &b"Sun, 06 Nov 1994 08:49:37 GMT"[..],
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text, EXAMPLE), Some(EXAMPLE));
        }
        // Two digits, up to fifty years ahead.
        let year = |text: &[u8]| Civil::from_unix(parse(text, 1_767_225_600).unwrap()).year;
        assert_eq!(year(b"Sunday, 06-Nov-76 08:49:37 GMT"), 2076);
        assert_eq!(year(b"Sunday, 06-Nov-77 08:49:37 GMT"), 1977);
    }

    #[test]
    fn reads_what_it_writes() {
        let mut seconds = FIRST;
        while seconds <= LAST {
            assert_eq!(parse(&format(seconds), 0), Some(seconds));
            seconds += 86_400 * 29 + 12_345;
        }
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            &b""[..],
            b",",
            b"Sun,",
            b"Sun, 06 Nov 1994 08:49:37 CET",
            b"Sun, 06 Nov 1994 08:49:37 GMT+1",
            b"Sun, 31 Nov 1994 08:49:37 GMT",
            b"Sun, 29 Feb 1900 08:49:37 GMT",
            b"Sun, 06 Nov 1994 24:49:37 GMT",
            b"Sun, 06 Nov 1994 08-49-37 GMT",
            b"Sun, 00 Nov 1994 08:49:37 GMT",
            b"Sun, -6 Nov 1994 08:49:37 GMT",
            b"Sun, 06 nov 1994 08:49:37 GMT",
            b"Sunday, 06-Nov-1994 08:49:37 GMT",
            b"Sun Nov 06 1994",
        ] {
            assert_eq!(
                parse(text, EXAMPLE),
                None,
                "{:?}",
                String::from_utf8_lossy(text)
            );
        }
    }
}
