//! The parameters of a query string, as forms write them.
//!
//! `+` is a space and `%xx` a byte (WHATWG URL, application/x-www-form-urlencoded). Routing compares and hashes them; the
//! query itself is forwarded as it came.

use std::borrow::Cow;

/// Every parameter in order, names and values still escaped.
pub fn all(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The value of the first parameter of that name. Allocates only when it is escaped.
pub fn value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, [u8]>> {
    all(query).find(|(found, _)| *unescaped(found) == *name.as_bytes()).map(|(_, value)| unescaped(value))
}

/// With escapes undone; what is no escape stays.
fn unescaped(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, escape(after)) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                rest = &after[2..];
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

fn escape(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| digits.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    Some((digit(0)? << 4 | digit(1)?) as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_found_as_forms_write_them() {
        let query = "a=1&b=two+words&c%20d=%41%2b&e&a=9&=x&f=%zz%";
        let text = |name| value(query, name).map(|value| String::from_utf8(value.into_owned()).unwrap());
        assert_eq!([text("a"), text("b"), text("c d")], ["1", "two words", "A+"].map(|s| Some(s.to_owned())));
        assert_eq!([text("e"), text("f"), text("g")], [Some(String::new()), Some("%zz%".to_owned()), None]);
        assert!(matches!(value(query, "a"), Some(Cow::Borrowed(_))));
    }

    proptest! {
        #[test]
        fn no_text_panics(query in ".{0,60}", name in ".{0,4}") {
            _ = value(&query, &name);
        }
    }
}
