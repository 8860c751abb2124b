//! Numbers that people write in more than one way: shares, per cents, bytes.

use std::ops::RangeInclusive;

use crate::config::codes;
use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::fields::wrong_type;
use crate::config::forms::Form;
use crate::config::forms::Wrong;
use crate::config::forms::wrong;
use crate::config::reports::Reports;
use crate::config::source::Written;

/// `"10MiB"`, `"512KiB"`, `"2GB"`.
pub const BYTES: Form<u64> = Form { what: "a size", code: codes::FORM, example: "\"10MiB\"", read: bytes_of };

/// A share that is above 0 and at most 1: `0.01`, `1`, `"1/100"` or `"1%"`. It is one of `whose`, and `or_none` says how to
/// have none.
pub fn share(
    reports: &mut Reports<'_>,
    fields: &mut Fields,
    key: &'static str,
    whose: &str,
    or_none: &str,
) -> Option<f64> {
    let value = fields.any(key)?;
    let example = format!("write `{key} = 0.01` or `{key} = \"1/100\"`");
    let Some(share) = as_share(&value.value) else {
        let takes = format!("a share of {whose}");
        wrong_type(reports, value.span, &format!("`{key}`"), &takes, &value.value, Some(example));
        return None;
    };
    if share > 0.0 && share <= 1.0 {
        return Some(share);
    }
    let fact = format!("`{key}` is no share of {whose}: it takes what is above 0 and at most 1");
    reports.error(codes::RANGE, value.span, fact).label("out of range").help(format!("{example}; {or_none}"));
    None
}

/// A share in whole per cents: `"50%"`, `0.5`, `"1/2"`.
pub fn percent(
    reports: &mut Reports<'_>,
    fields: &mut Fields,
    key: &'static str,
    range: RangeInclusive<u32>,
) -> Option<Written<u32>> {
    let value = fields.any(key)?;
    let example = format!("write `{key} = \"{}%\"`", 50.clamp(*range.start(), *range.end()));
    let Some(share) = as_share(&value.value) else {
        wrong_type(reports, value.span, &format!("`{key}`"), "a share", &value.value, Some(example));
        return None;
    };
    let hundredths = share * 100.0;
    if !(f64::from(*range.start())..=f64::from(*range.end())).contains(&hundredths) {
        // `panic = 50`.
        let help = match value.value {
            Value::Integer(number) if u32::try_from(number).is_ok_and(|number| range.contains(&number)) => {
                format!("did you mean `{key} = \"{number}%\"`?")
            }
            _ => example,
        };
        let fact = format!("`{key}` takes a share from {}% to {}%", range.start(), range.end());
        reports.error(codes::RANGE, value.span, fact).label("out of range").help(help);
        return None;
    }
    let whole = hundredths.round();
    // What a fraction of two digits lacks in binary is far less.
    if (hundredths - whole).abs() > 1e-9 {
        let fact = format!("`{key}` counts whole per cents");
        reports.error(codes::RANGE, value.span, fact).help(format!("write `{key} = \"{whole}%\"`"));
        return None;
    }
    Some(Written { value: whole as u32, span: value.span })
}

/// So many bytes: a text with a unit, or an integer.
pub fn bytes(reports: &mut Reports<'_>, fields: &mut Fields, key: &'static str) -> Option<Written<u64>> {
    let value = fields.any(key)?;
    match value.value {
        Value::Integer(number) if number > 0 => Some(Written { value: number.unsigned_abs(), span: value.span }),
        Value::Integer(_) => {
            let help = format!("leave `{key}` out for no bound");
            reports.error(codes::RANGE, value.span, format!("`{key}` takes at least 1 byte")).help(help);
            None
        }
        _ => crate::config::fields::read_form(reports, &format!("`{key}`"), &BYTES, value),
    }
}

fn as_share(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        // What cannot be read is in no range.
        Value::Text(text) => Some(read_share(text).unwrap_or(f64::NAN)),
        _ => None,
    }
}

/// `"1/100"`, `"0.5"`, `"5%"`.
pub fn read_share(text: &str) -> Option<f64> {
    if let Some((part, whole)) = text.split_once('/') {
        return Some(part.trim().parse::<f64>().ok()? / whole.trim().parse::<f64>().ok()?);
    }
    match text.trim().strip_suffix('%') {
        Some(percent) => Some(percent.trim_end().parse::<f64>().ok()? / 100.0),
        None => text.trim().parse().ok(),
    }
}

const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

fn bytes_of(text: &str) -> Result<u64, Wrong> {
    const HELP: &str = "sizes look like `512KiB`, `10MiB` or `1GiB`";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let Ok(count) = number.parse::<u64>() else { return wrong("a whole number is expected", HELP) };
    let unit = unit.trim_start();
    let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        // nginx's `10m`, and others that are sure to mean it.
        let meant = match unit.to_ascii_lowercase().as_str() {
            "k" | "kib" => "KiB",
            "m" | "mib" => "MiB",
            "g" | "gib" => "GiB",
            "kb" => "kB",
            "mb" => "MB",
            "gb" => "GB",
            "" => {
                return wrong(
                    "the unit is missing",
                    format!("write `{count}` without quotation marks, or `{count}KiB`"),
                );
            }
            _ => return wrong("the unit is not one of B kB MB GB KiB MiB GiB", HELP),
        };
        return wrong("units are written KiB, MiB, GiB", format!("did you mean `{count}{meant}`?"));
    };
    match count.checked_mul(*unit) {
        Some(0) => wrong("it is nothing", "leave the key out for no bound"),
        Some(bytes) if bytes <= i64::MAX as u64 => Ok(bytes),
        _ => wrong("it is too much", HELP),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::document::Table;
    use crate::config::source::Sources;
    use crate::config::source::Span;

    #[test]
    fn shares_are_written_as_people_write_them() {
        for (text, share) in [("1/100", 0.01), ("0.5", 0.5), ("5%", 0.05), (" 1 / 4 ", 0.25), ("1", 1.0)] {
            assert!((read_share(text).unwrap() - share).abs() < 1e-12, "{text}");
        }
        for text in ["", "x", "1/x", "%", "one in ten"] {
            assert_eq!(read_share(text), None, "{text}");
        }
    }

    /// What `key` is read as, or the way out.
    fn percent_of(value: Value) -> Result<u32, String> {
        let sources = Sources::default();
        let mut reports = Reports::new(&sources);
        let span = Span::default();
        let entries = vec![(Written { value: "panic".to_owned(), span }, Written { value, span })];
        let mut fields = Fields::new("pool", span, Table { entries });
        let read = percent(&mut reports, &mut fields, "panic", 0..=100);
        read.map(|w| w.value).ok_or_else(|| reports.finish()[0].help.clone().unwrap())
    }

    #[test]
    fn per_cents_are_whole() {
        assert_eq!(percent_of(Value::Text("50%".into())), Ok(50));
        assert_eq!(percent_of(Value::Float(0.29)), Ok(29));
        assert_eq!(percent_of(Value::Integer(0)), Ok(0));
        assert_eq!(percent_of(Value::Integer(50)), Err("did you mean `panic = \"50%\"`?".into()));
        assert_eq!(percent_of(Value::Text("1/3".into())), Err("write `panic = \"33%\"`".into()));
        assert_eq!(percent_of(Value::Text("half".into())), Err("write `panic = \"50%\"`".into()));
        assert_eq!(percent_of(Value::Float(f64::NAN)), Err("write `panic = \"50%\"`".into()));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes_of("10MiB"), Ok(10 << 20));
        assert_eq!(bytes_of("2 GB"), Ok(2_000_000_000));
        let help = |text| bytes_of(text).unwrap_err().help.unwrap();
        assert_eq!(help("10m"), "did you mean `10MiB`?");
        assert_eq!(help("10"), "write `10` without quotation marks, or `10KiB`");
        assert_eq!(help("0MiB"), "leave the key out for no bound");
        for bad in ["", "MiB", "-1MiB", "1.5MiB", "99999999999GiB", "10 apples"] {
            assert!(bytes_of(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whole_per_cents_are_read_back(number in 0..=100u32) {
            prop_assert_eq!(percent_of(Value::Text(format!("{number}%"))), Ok(number));
            prop_assert_eq!(percent_of(Value::Text(format!("{number}/100"))), Ok(number));
            prop_assert_eq!(percent_of(Value::Float(f64::from(number) / 100.0)), Ok(number));
        }

        #[test]
        fn sizes_are_read_back(count in 1..=u64::from(u32::MAX), at in 0..UNITS.len()) {
            let (name, unit) = UNITS[at];
            prop_assert_eq!(bytes_of(&format!("{count}{name}")).ok(), count.checked_mul(unit).filter(|b| *b <= i64::MAX as u64));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", like in "[0-9./% ]{0,12}[kKMGBi]{0,3}") {
            for text in [text, like] {
                let _ = (bytes_of(&text), read_share(&text), percent_of(Value::Text(text)));
            }
        }

        #[test]
        fn no_number_panics(float: f64, integer: i64) {
            let _ = (percent_of(Value::Float(float)), percent_of(Value::Integer(integer)));
        }
    }
}
