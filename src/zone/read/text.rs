//! Words to values: escapes, names, numbers, times (RFC 1035 section 5.1, RFC 4034 section 3.2).
//!
//! Each function takes a token's bytes as they stand in the file. Nothing here knows which field it reads.

use crate::dns::name::{LABEL_BYTES_MAX, NAME_BYTES_MAX, NameError};

/// The largest TTL (RFC 2181 section 8).
pub(super) const TTL_MAX: u32 = i32::MAX as u32;

/// One character, its escape undone, and the bytes it took: `\X` or `\DDD`.
pub(super) fn unescape(raw: &[u8]) -> Option<(u8, usize)> {
    match raw {
        [b'\\', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            let value = u32::from(a - b'0') * 100 + u32::from(b - b'0') * 10 + u32::from(c - b'0');
            u8::try_from(value).ok().map(|byte| (byte, 4))
        }
        [b'\\', b'0'..=b'9', ..] | [b'\\'] | [] => None,
        [b'\\', byte, ..] => Some((*byte, 2)),
        [byte, ..] => Some((*byte, 1)),
    }
}

/// Undoes the escapes of a whole token.
pub(super) fn unescaped(mut raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
    while !raw.is_empty() {
        let (byte, took) = unescape(raw)?;
        out.push(byte);
        raw = &raw[took..];
    }
    Some(())
}

/// Appends a name in wire form, in the case it was written; a relative one ends in `origin`.
///
/// # Errors
/// `Err(None)` when it is relative and there is no origin.
pub(super) fn name(raw: &[u8], origin: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Option<NameError>> {
    let start = out.len();
    match raw {
        b"@" => {
            out.extend_from_slice(origin.ok_or(None)?);
            return Ok(());
        }
        b"." => {
            out.push(0);
            return Ok(());
        }
        b"" => return Err(Some(NameError::Empty)),
        _ => {}
    }
    let mut rest = raw;
    let mut label = out.len();
    out.push(0);
    while let [first, ..] = rest {
        if *first == b'.' {
            close_label(out, label)?;
            label = out.len();
            out.push(0);
            rest = &rest[1..];
            continue;
        }
        let (byte, took) = unescape(rest).ok_or(Some(NameError::Escape))?;
        out.push(byte);
        rest = &rest[took..];
    }
    if out.len() > label + 1 {
        close_label(out, label)?;
        out.extend_from_slice(origin.ok_or(None)?);
    }
    if out.len() - start > NAME_BYTES_MAX { Err(Some(NameError::TooLong)) } else { Ok(()) }
}

fn close_label(out: &mut [u8], label: usize) -> Result<(), Option<NameError>> {
    match out.len() - label - 1 {
        0 => Err(Some(NameError::EmptyLabel)),
        length if length <= LABEL_BYTES_MAX => {
            out[label] = length as u8;
            Ok(())
        }
        _ => Err(Some(NameError::LabelTooLong)),
    }
}

/// A decimal number that fits `T`.
pub(super) fn number<T: TryFrom<u64>>(raw: &[u8]) -> Option<T> {
    if raw.is_empty() || raw.len() > 20 {
        return None;
    }
    let mut value = 0_u64;
    for digit in raw {
        let digit = digit.checked_sub(b'0').filter(|d| *d < 10)?;
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    T::try_from(value).ok()
}

/// Seconds, plain or in units: `3600`, `1h30m`, `2W`. None when it is no time; the value may exceed any field.
pub(super) fn period(raw: &[u8]) -> Option<u64> {
    if !raw.first()?.is_ascii_digit() {
        return None;
    }
    let (mut sum, mut value, mut digits) = (0_u64, 0_u64, false);
    for byte in raw {
        let unit = match byte.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
                digits = true;
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        if !digits {
            return None;
        }
        sum = sum.saturating_add(value.saturating_mul(unit));
        (value, digits) = (0, false);
    }
    Some(sum.saturating_add(value))
}

/// A moment of an RRSIG: `YYYYMMDDHHmmSS` in UTC, or seconds since 1970 (RFC 4034 section 3.2), modulo 2^32.
pub(super) fn moment(raw: &[u8]) -> Option<u32> {
    if raw.len() != 14 {
        return number(raw);
    }
    let part = |range: std::ops::Range<usize>| number::<u32>(&raw[range]);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(8..10)?, part(10..12)?, part(12..14)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days_of_month = *month_days.get(month.checked_sub(1)? as usize)?;
    if year < 1970 || day == 0 || day > days_of_month || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let years = u64::from(year - 1);
    let leaps = years / 4 - years / 100 + years / 400;
    let since_1970 = years * 365 + leaps - (1969 * 365 + 477);
    let day_of_year = month_days[..month as usize - 1].iter().sum::<u32>() + day - 1;
    let seconds = (since_1970 + u64::from(day_of_year)) * 86_400 + u64::from(hour * 3_600 + minute * 60 + second);
    Some(seconds as u32)
}

/// A token for people, at most 40 characters of it.
pub(super) fn shown(raw: &[u8]) -> String {
    const CHARS_MAX: usize = 40;
    let text = String::from_utf8_lossy(raw);
    let clean: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(CHARS_MAX).is_some() { clean + "…" } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_units() {
        assert_eq!(period(b"3600"), Some(3_600));
        assert_eq!(period(b"1h30M"), Some(5_400));
        assert_eq!(period(b"1w2d3h4m5s"), Some(788_645));
        assert_eq!(period(b"1hh"), None);
        assert_eq!(period(b"IN"), None);
        assert_eq!(period(b"10.0.0.1"), None);
        assert!(period(b"99999999999999999999999w").is_some_and(|s| s > u64::from(TTL_MAX)));
    }

    #[test]
    fn moments_are_seconds_since_1970() {
        assert_eq!(moment(b"19700101000000"), Some(0));
        assert_eq!(moment(b"20300101000000"), Some(1_893_456_000));
        assert_eq!(moment(b"20240229235959"), Some(1_709_251_199));
        assert_eq!(moment(b"20230229000000"), None);
        assert_eq!(moment(b"1893456000"), Some(1_893_456_000));
    }

    #[test]
    fn names_take_the_origin() {
        let origin = b"\x07example\x00";
        let wire = |raw: &[u8]| {
            let mut out = Vec::new();
            name(raw, Some(origin), &mut out).map(|()| out)
        };
        assert_eq!(wire(b"www").unwrap(), b"\x03www\x07example\x00");
        assert_eq!(wire(b"WWW.").unwrap(), b"\x03WWW\x00");
        assert_eq!(wire(b"@").unwrap(), origin);
        assert_eq!(wire(b"\\@").unwrap(), b"\x01@\x07example\x00");
        assert_eq!(wire(b"a\\.b\\000").unwrap(), b"\x04a.b\0\x07example\x00");
        assert_eq!(wire(b"a..b"), Err(Some(NameError::EmptyLabel)));
        assert_eq!(wire(b".a"), Err(Some(NameError::EmptyLabel)));
        assert_eq!(wire(b"a\\25"), Err(Some(NameError::Escape)));
        assert_eq!(wire(&[b'a'; 64]), Err(Some(NameError::LabelTooLong)));
        assert_eq!(wire(&b"a.".repeat(123)[..245]).map(|n| n.len()), Ok(255));
        assert_eq!(wire(&b"a.".repeat(124)[..247]), Err(Some(NameError::TooLong)));
    }
}
