//! The cookies of a request (RFC 6265 section 5.4, read as section 4.2.1 has it).
//!
//! Read where they stand: nothing is copied or decoded. HTTP/2 clients send one header for each cookie (RFC 9113 section
//! 8.2.3), so all `Cookie` lines count. Of two with one name the first counts: browsers send the one of the longer path
//! first.

use http::HeaderMap;
use http::HeaderValue;
use http::header::COOKIE;

/// Every `name=value`, in order. What is no such pair is passed over.
pub fn all(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).filter_map(pair)
}

/// The value of a cookie.
pub fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    all(headers).find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
}

fn pair(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (text[..at].trim_ascii(), text[at + 1..].trim_ascii());
    (!name.is_empty()).then_some((name, unquoted(value)))
}

/// Without the quotes a value may stand in.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// All crumbs in one line, as HTTP/1.1 wants it (RFC 9113 section 8.2.3); `None` when they are already, or there are none.
pub fn joined(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines = headers.get_all(COOKIE);
    lines.iter().nth(1)?;
    let mut joined = Vec::with_capacity(lines.iter().map(|line| line.len() + 2).sum());
    for line in lines {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(line.as_bytes());
    }
    HeaderValue::from_bytes(&joined).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|line| _ = headers.append(COOKIE, line.parse().unwrap()));
        headers
    }

    #[test]
    fn pairs_are_found_wherever_they_stand() {
        let headers = headers(&["a=1; b=\"two\";c = 3 ; junk; =x", "d=4=4; a=9; e="]);
        let text = |name| value(&headers, name).map(|value| std::str::from_utf8(value).unwrap());
        assert_eq!([text("a"), text("b"), text("c")], [Some("1"), Some("two"), Some("3")]);
        assert_eq!([text("d"), text("e"), text("junk"), text("A")], [Some("4=4"), Some(""), None, None]);
        assert_eq!(all(&headers).count(), 6);
    }

    #[test]
    fn crumbs_are_joined_once() {
        assert_eq!(joined(&headers(&["a=1", "b=2", "c=3"])).unwrap(), "a=1; b=2; c=3");
        assert_eq!((joined(&headers(&["a=1; b=2"])), joined(&headers(&[]))), (None, None));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_joining_loses_nothing(lines in proptest::collection::vec("[ -~\u{80}-\u{ff}]{0,30}", 0..5)) {
            let mut headers = HeaderMap::new();
            lines.iter().for_each(|line| _ = headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap()));
            if let Some(line) = joined(&headers) {
                let mut one = HeaderMap::new();
                one.insert(COOKIE, line);
                prop_assert!(all(&headers).eq(all(&one)));
            }
        }
    }
}
