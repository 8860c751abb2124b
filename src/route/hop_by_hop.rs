//! Headers that are for the next hop only, and end with us.
//!
//! RFC 9110 section 7.6.1: `Connection`, whatever it names, and those that older software does not name. Both directions. `TE:
//! trailers` is the one that is passed on, because gRPC servers ask for it and it says of the client what is true of us.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header;

/// What is never passed on. `Proxy-Connection` was never a standard and is sent all the same.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Whether a header is for one hop, by its name alone. Asked of every header of every message: lengths tell most apart.
#[inline]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(name.as_str().len(), 2 | 7 | 10 | 14 | 16 | 17) && HOP_BY_HOP.contains(name)
}

/// The tokens of all `Connection` lines.
pub fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    tokens(headers, &header::CONNECTION)
}

/// The elements of a header that is a list, without what is empty.
pub fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// Takes them out of a head that goes to the next hop. Allocates only when `Connection` names something.
/// Whether there were any.
pub fn strip(headers: &mut HeaderMap) -> bool {
    // To look at the names once is cheaper than to look for eight that are hardly ever there. Every call of gRPC has the one that
    // stays as it is.
    let (mut has_any, mut has_others) = (false, false);
    for (name, value) in headers.iter().filter(|(name, _)| is_hop_by_hop(name)) {
        has_others |= has_any || *name != header::TE || value.as_bytes() != b"trailers";
        has_any = true;
    }
    if !has_others {
        return has_any;
    }
    let named: Vec<HeaderName> = connection_tokens(headers)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !is_hop_by_hop(name))
        .collect();
    named.iter().for_each(|name| _ = headers.remove(name));
    let wants_trailers = wants_trailers(headers);
    HOP_BY_HOP.iter().for_each(|name| _ = headers.remove(name));
    if wants_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    true
}

/// Takes out headers with `_` in their names, where the listener drops them.
pub fn drop_underscores(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    named.iter().for_each(|name| _ = headers.remove(name));
}

/// Whether a client understands trailers: to one of HTTP/1.1 they may be sent only then (RFC 9110 section 6.5.1).
pub fn wants_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &header::TE).any(|token| token.eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(lines: &[(&str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        strip(&mut headers);
        let mut left: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        left
    }

    #[test]
    fn what_is_for_one_hop_ends_here() {
        let lines = [
            ("connection", "keep-alive, X-Secret"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("X-Other", "2"),
            ("keep-alive", "5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("accept", "*/*"),
        ];
        assert_eq!(stripped(&lines), ["accept: */*"]);
    }

    #[test]
    fn trailers_are_the_exception() {
        assert_eq!(stripped(&[("te", "gzip;q=0.5, Trailers"), ("connection", "TE")]), ["te: trailers"]);
        assert_eq!(stripped(&[("te", "gzip")]), [""; 0]);
        assert_eq!(stripped(&[("te", "trailers"), ("accept", "*/*")]), ["accept: */*", "te: trailers"]);
        assert_eq!(stripped(&[("te", "trailers"), ("te", "trailers")]), ["te: trailers"]);
    }

    #[test]
    fn odd_lists_do_no_harm() {
        assert_eq!(stripped(&[("connection", ", ,, close,a b,é"), ("a", "1")]), ["a: 1"]);
    }
}
