//! Times as the admin API writes and reads them: RFC 3339 (the profile of ISO 8601 that APIs use).
//!
//! Written in UTC with milliseconds, so that texts of equal length sort as the times do; read with any offset.

use time::Date;
use time::Month;
use time::OffsetDateTime;
use time::Time;
use time::UtcOffset;

use crate::model::Moment;

/// `2026-11-18T09:30:00.250Z`.
pub fn said(moment: Moment) -> String {
    let seconds = i64::try_from(moment.secs()).unwrap_or(i64::MAX);
    // The year 9999 is where RFC 3339 ends; a moment beyond it is never meant.
    let t = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(LAST);
    let milliseconds = moment.0 % 1_000_000 / 1000;
    let (date, hour, minute, second) = (t.date(), t.hour(), t.minute(), t.second());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

const LAST: OffsetDateTime = OffsetDateTime::new_utc(Date::MAX, Time::MIDNIGHT);

/// Reads `2026-11-18T09:30:00Z`, `2026-11-18T10:30:00.25+01:00`; a space for the T, and small letters, as RFC 3339
/// section 5.6 allows.
///
/// # Errors
/// A sentence about what is wrong.
pub fn read(text: &str) -> Result<Moment, String> {
    let wrong = || format!("`{}` is no time; write it as 2026-11-18T09:30:00Z", text.escape_debug());
    let bytes = text.as_bytes();
    if bytes.len() > 40 || !text.is_ascii() {
        return Err(wrong());
    }
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = bytes.get(from..to)?;
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + u32::from(d - b'0')))
    };
    let parts = || -> Option<OffsetDateTime> {
        let separators = [(4, b"-".as_slice()), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
        if !separators.iter().all(|(at, any)| bytes.get(*at).is_some_and(|b| any.contains(b))) {
            return None;
        }
        let month = Month::try_from(number(5, 7)? as u8).ok()?;
        let date = Date::from_calendar_date(number(0, 4)? as i32, month, number(8, 10)? as u8).ok()?;
        // A leap second is the last of its minute.
        let second = (number(17, 19)? as u8).min(if number(17, 19)? == 60 { 59 } else { 60 });
        let (fraction_end, micros) = fraction(bytes, 19)?;
        let time = Time::from_hms_micro(number(11, 13)? as u8, number(14, 16)? as u8, second, micros).ok()?;
        let offset = match bytes.get(fraction_end..)? {
            b"Z" | b"z" => UtcOffset::UTC,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hours, minutes) =
                    (number(fraction_end + 1, fraction_end + 3)?, number(fraction_end + 4, fraction_end + 6)?);
                let sign = if *sign == b'-' { -1 } else { 1 };
                UtcOffset::from_hms(sign * hours as i8, sign * minutes as i8, 0).ok()?
            }
            _ => return None,
        };
        Some(OffsetDateTime::new_in_offset(date, time, offset))
    };
    let at = parts().ok_or_else(wrong)?;
    let micros = at.unix_timestamp_nanos() / 1000;
    u64::try_from(micros).map(Moment).map_err(|_| wrong())
}

/// The end of `.250` and its microseconds; what is finer is dropped.
fn fraction(bytes: &[u8], from: usize) -> Option<(usize, u32)> {
    if bytes.get(from) != Some(&b'.') {
        return Some((from, 0));
    }
    let digits = bytes[from + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
    let micros = (0..6).fold(0, |n, at| {
        let digit = if at < digits { bytes[from + 1 + at] - b'0' } else { 0 };
        n * 10 + u32::from(digit)
    });
    (digits > 0).then_some((from + 1 + digits, micros))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_with_any_offset() {
        let at = |text| read(text).map(said);
        assert_eq!(at("2026-11-18T09:30:00Z").unwrap(), "2026-11-18T09:30:00.000Z");
        assert_eq!(at("2026-11-18T10:30:00.25+01:00").unwrap(), "2026-11-18T09:30:00.250Z");
        assert_eq!(at("2026-11-18 02:00:00-07:30").unwrap(), "2026-11-18T09:30:00.000Z");
        assert_eq!(at("2016-12-31T23:59:60Z").unwrap(), "2016-12-31T23:59:59.000Z");
        for wrong in [
            "",
            "now",
            "2026-11-18",
            "2026-13-18T09:30:00Z",
            "2026-11-18T09:30:00",
            "1969-01-01T00:00:00Z",
            "2026-11-18T09:30:00.Z",
            "2026-11-18T09:30:61Z",
            "2026-11-18T09:30:00+99:99",
            "2026-11-18T09:30:00ZZ",
        ] {
            assert!(read(wrong).unwrap_err().contains("2026-11-18T09:30:00Z"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(milliseconds in 0u64..253_402_300_800_000) {
            let moment = Moment(milliseconds * 1000);
            prop_assert_eq!(read(&said(moment)).unwrap(), moment);
        }

        #[test]
        fn no_moment_and_no_text_panics(moment: u64, text in "\\PC*", like in "[0-9TZtz:. +-]{0,30}") {
            said(Moment(moment));
            let _ = (read(&text), read(&like));
        }
    }
}
