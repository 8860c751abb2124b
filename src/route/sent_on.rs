//! The mark of a request that one region has sent on to another: `CDN-Loop` (RFC 8586).
//!
//! Anybody may have written it. That does no harm: whoever bears the mark is only not sent on again. So it need not be believed,
//! and no region has to know the addresses of the others for two of them never to send a client to and fro.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;

/// The header; each in its list is a `cdn-id` with parameters.
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
/// Our `cdn-id`, a pseudonym.
const NAME: &str = "rhumb";

/// Marks a request that leaves that region.
pub fn mark(headers: &mut HeaderMap, region: &str) {
    // Names of regions are of letters, digits, `-`, `_` and `.` where they are tokens; others are not needed to end a loop.
    let named = HeaderValue::from_str(&format!("{NAME}; region=\"{region}\"")).ok();
    headers.append(CDN_LOOP, named.unwrap_or(HeaderValue::from_static(NAME)));
}

/// Whether a region has sent it on.
pub fn is_marked(headers: &HeaderMap) -> bool {
    headers.get_all(CDN_LOOP).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).any(is_ours)
}

fn is_ours(info: &[u8]) -> bool {
    let id = info.split(|byte| *byte == b';').next().unwrap_or_default();
    id.trim_ascii().eq_ignore_ascii_case(NAME.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (CDN_LOOP, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn the_mark_is_found_wherever_it_stands() {
        for values in [&["rhumb"][..], &["foo; x=1 , Rhumb;region=\"a\""], &["foo", "bar", " rhumb ; region=b"]] {
            assert!(is_marked(&with(values)), "{values:?}");
        }
        for values in [&[][..], &["foo"], &["rhumbx"], &["foo; rhumb"], &["x-rhumb, foo; by=rhumb"]] {
            assert!(!is_marked(&with(values)), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_marked_is_marked_whatever_stood_there(other in "[ -~]{0,24}", region in "\\PC{0,12}") {
            let mut headers = with(&[&other]);
            mark(&mut headers, &region);
            prop_assert!(is_marked(&headers));
            prop_assert_eq!(headers.get_all(CDN_LOOP).iter().count(), 2);
        }
    }
}
