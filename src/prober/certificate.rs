//! When does this certificate expire?
//!
//! rustls checks that one has not expired and tells no more. The date is the second of the two in `validity` (RFC 5280
//! section 4.1), eight steps into the DER; a whole X.509 reader would be a large dependency for those fifteen bytes.
//! Nothing here trusts: a certificate that is not as it should be has no date.

use time::{Date, Month, PrimitiveDateTime, Time};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, `[0]` and explicit; absent from certificates of the first version.
const VERSION: u8 = 0xa0;

/// The last second that a certificate in DER is valid, in seconds since 1970.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = value(certificate, SEQUENCE)?;
    let (signed, _) = value(certificate, SEQUENCE)?;
    let rest = value(signed, VERSION).map_or(signed, |(_, rest)| rest);
    let (_serial, rest) = value(rest, INTEGER)?;
    let (_algorithm, rest) = value(rest, SEQUENCE)?;
    let (_issuer, rest) = value(rest, SEQUENCE)?;
    let (validity, _) = value(rest, SEQUENCE)?;
    let (_, _not_before, rest) = element(validity)?;
    let (tag, date, _) = element(rest)?;
    seconds(tag, date)
}

/// The value of the first element and what follows it, if it has this tag.
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(found, _, _)| *found == tag).map(|(_, value, rest)| (value, rest))
}

/// The first element: its tag, its value and what follows (X.690 section 8.1; one byte of tag, at most four of length).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 section 4.1.2.5).
fn seconds(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |part: &[u8]| part.iter().fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let two = |at: usize| u8::try_from(number(&rest[at..at + 2])).ok();
    let date = Date::from_calendar_date(i32::from(year), Month::try_from(two(0)?).ok()?, two(2)?).ok()?;
    let time = Time::from_hms(two(4)?, two(6)?, two(8)?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["www.example.com".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, month, day);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn dates_of_both_kinds_are_read() {
        for (year, month, day) in [(2026, 11, 22), (2049, 12, 31), (2050, 1, 1), (4096, 2, 29)] {
            let expected = rcgen::date_time_ymd(year, month, day).unix_timestamp();
            assert_eq!(not_after(&certificate(year, month, day)), Some(expected), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        assert_eq!(seconds(UTC_TIME, b"261122000000Z"), Some(1_795_305_600));
        for bad in [&b"261122000000"[..], b"2611220000Z", b"261322000000Z", b"261122250000Z", b"26112200000xZ", b"Z"] {
            assert_eq!(seconds(UTC_TIME, bad), None);
        }
        assert_eq!(seconds(0x04, b"261122000000Z"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = not_after(&bytes);
        }

        #[test]
        fn no_broken_certificate_panics(at: prop::sample::Index, with: u8, cut: prop::sample::Index) {
            let mut bytes = WHOLE.with(Clone::clone);
            let at = at.index(bytes.len());
            bytes[at] = with;
            let _ = not_after(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = not_after(&bytes);
        }
    }

    thread_local! {
        static WHOLE: Vec<u8> = certificate(2026, 11, 22);
    }
}
