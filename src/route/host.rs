//! Whom did the client ask for? An authority's host and port, in one form.
//!
//! Names are lower case and without their last dot, addresses as they are written canonically, so that a route is found
//! however a client spells it. Anything that is not plainly a name or an address is refused: a `Host` that we read in one way
//! and a backend in another is half of a cache poisoning.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// RFC 1035 section 2.3.4, less the root's byte and the first label's length.
const NAME_LEN_MAX: usize = 253;

/// An authority, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Lower case, without the last dot; IPv6 addresses in brackets.
    pub host: Cow<'a, str>,
    /// The port, when one is written.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads `example.com`, `example.com:8080`, `192.0.2.1` or `[2001:db8::1]:443`; `None` for anything else: userinfo, an
    /// empty name or label, an escape, a port that is no number.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some(bracketed) = text.strip_prefix('[') {
            let (address, rest) = bracketed.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            return Some(Authority { host: Cow::Owned(format!("[{address}]")), port: port(rest)? });
        }
        let end = text.find(':').unwrap_or(text.len());
        let name = &text[..end];
        let name = name.strip_suffix('.').unwrap_or(name);
        is_name(name).then_some(())?;
        let has_upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
        let host = if has_upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) };
        Some(Authority { host, port: port(&text[end..])? })
    }

    /// Whether both mean the same server, where `default_port` is the scheme's.
    pub fn is_same(&self, other: &Authority<'_>, default_port: u16) -> bool {
        self.host == other.host && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// Nothing, `:` (RFC 3986 section 3.2.3 allows it), or `:` and digits.
fn port(text: &str) -> Option<Option<u16>> {
    match text.strip_prefix(':') {
        None if text.is_empty() => Some(None),
        Some("") => Some(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    }
}

/// Letters, digits, `-` and `_` in labels that are not empty. `_` is no hostname, but names of services have it.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= NAME_LEN_MAX && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<(String, Option<u16>)> {
        Authority::parse(text).map(|authority| (authority.host.into_owned(), authority.port))
    }

    #[test]
    fn one_form() {
        let host = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(parsed("Example.COM"), host("example.com", None));
        assert_eq!(parsed("example.com.:8080"), host("example.com", Some(8080)));
        assert_eq!(parsed("example.com:"), host("example.com", None));
        assert_eq!(parsed("192.0.2.1:80"), host("192.0.2.1", Some(80)));
        assert_eq!(parsed("[2001:DB8:0:0::1]:443"), host("[2001:db8::1]", Some(443)));
        assert_eq!(parsed("_sip.example.com"), host("_sip.example.com", None));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "user@example.com",
            "example.com:80:80",
            "example.com:+80",
            "example.com:65536",
            "example.com:80 ",
            "exam%70le.com",
            "example.com/",
            "[::1",
            "::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "a,b",
            "пример.рф",
            "example.com\t",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
        assert_eq!(parsed(&"a.".repeat(150)), None);
    }

    #[test]
    fn the_default_port_is_the_same_as_none() {
        let (bare, written) = (Authority::parse("a.example").unwrap(), Authority::parse("A.example:443").unwrap());
        assert!(bare.is_same(&written, 443) && !bare.is_same(&written, 80));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_one_form_is_stable(text in "[a-zA-Z0-9.:_\\[\\]@% -]{0,30}") {
            if let Some(authority) = Authority::parse(&text) {
                prop_assert_eq!(Authority::parse(&authority.host).unwrap().host, authority.host.clone());
            }
        }
    }
}
