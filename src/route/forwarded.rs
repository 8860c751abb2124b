//! What the backend is told of the client.
//!
//! `X-Forwarded-For` is appended to, `X-Real-IP` is the client, `X-Forwarded-Proto` and `-Host` say how it asked, and `Forwarded`
//! (RFC 7239) says it all in one. What a peer sent of these is kept only when the peer is one of `trusted_proxies`: else anyone
//! could tell a backend to be anyone. `X-Request-Id` is likewise kept from the trusted and made for everyone else.
//!
//! What is the same for all requests of a connection is made once ([`Words`]): its values share their bytes.

use std::cell::RefCell;
use std::fmt::Write;
use std::net::IpAddr;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header::FORWARDED;
use http::header::HOST;

use crate::balance::key::next_draw;
use crate::route::client::X_FORWARDED_FOR;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What nobody but us and those we trust may say.
const OURS: [HeaderName; 10] = [
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_REAL_IP,
    FORWARDED,
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-prefix"),
    // Rack and Rails read these two for the scheme.
    HeaderName::from_static("x-forwarded-ssl"),
    HeaderName::from_static("x-forwarded-scheme"),
];

/// An identifier of others is kept up to this length: it goes into every log line.
const REQUEST_ID_LEN_MAX: usize = 128;

/// Fields that are added to a request, with those of its body and its kind.
const ADDED_MAX: usize = 8;

/// The hop a request came over.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Whether it is one of `trusted_proxies`.
    pub is_trusted: bool,
    /// The client: [`super::client::address`].
    pub client: IpAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// What the client asked for, with the port if it wrote one.
    pub authority: &'a str,
}

/// What is said in the same words of all requests of a connection, made once.
#[derive(Debug)]
pub struct Words {
    peer: HeaderValue,
    /// The last authority, and what `Forwarded` says of it.
    forwarded: RefCell<Option<(String, HeaderValue)>>,
}

impl Words {
    /// Of a connection with that peer.
    pub fn of(peer: IpAddr) -> Self {
        Words { peer: address(peer.to_canonical()), forwarded: RefCell::default() }
    }

    /// An element of `Forwarded`. Clients ask one host for many things.
    fn forwarded(&self, hop: &Hop<'_>) -> Option<HeaderValue> {
        let mut known = self.forwarded.borrow_mut();
        if let Some((authority, value)) = &*known
            && authority == hop.authority
        {
            return Some(value.clone());
        }
        let mut text = String::with_capacity(96);
        write_forwarded(&mut text, hop);
        let value = HeaderValue::try_from(text).ok()?;
        *known = Some((hop.authority.to_owned(), value.clone()));
        Some(value)
    }
}

/// Addresses are visible ASCII.
fn address(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address.to_string()).expect("an address may stand in a header")
}

/// Sets what the backend is told; `words` are those of the hop's connection.
pub fn announce(headers: &mut HeaderMap, hop: &Hop<'_>, words: &Words) {
    // Names that begin otherwise are none of these; most requests have none at all.
    let may_be_ours = |name: &HeaderName| name.as_str().starts_with(['x', 'f']) && *name != X_REQUEST_ID;
    if !hop.is_trusted && headers.keys().any(may_be_ours) {
        OURS.iter().for_each(|name| _ = headers.remove(name));
        drop_lookalikes(headers);
    }
    append(headers, &X_FORWARDED_FOR, &words.peer);
    let is_peer = hop.client == hop.peer.to_canonical();
    headers.insert(X_REAL_IP, if is_peer { words.peer.clone() } else { address(hop.client) });
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(hop.scheme));
    }
    if !headers.contains_key(X_FORWARDED_HOST) {
        // A clone of Host's value shares its bytes.
        match headers.get(HOST).filter(|host| *host == hop.authority).cloned() {
            Some(host) => _ = headers.insert(X_FORWARDED_HOST, host),
            None => insert(headers, X_FORWARDED_HOST, hop.authority),
        }
    }
    if let Some(forwarded) = words.forwarded(hop) {
        append(headers, &FORWARDED, &forwarded);
    }
}

/// `x_real_ip`, where a listener keeps names with `_`: a CGI program reads it as ours. Allocates only when there is one.
fn drop_lookalikes(headers: &mut HeaderMap) {
    let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte };
    let is_ours = |name: &str| OURS.iter().any(|ours| ours.as_str().bytes().eq(name.bytes().map(dashed)));
    let alike = headers.keys().filter(|name| name.as_str().contains('_') && is_ours(name.as_str()));
    let alike: Vec<HeaderName> = alike.cloned().collect();
    alike.iter().for_each(|name| _ = headers.remove(name));
}

/// An element of `Forwarded`: `for=192.0.2.1;host="a.example";proto=https`. IPv6 addresses are in brackets and quotes (RFC 7239
/// section 6); a host is quoted, because its colon is no token.
fn write_forwarded(out: &mut String, hop: &Hop<'_>) {
    _ = match hop.peer.to_canonical() {
        IpAddr::V4(address) => write!(out, "for={address}"),
        IpAddr::V6(address) => write!(out, "for=\"[{address}]\""),
    };
    _ = write!(out, ";host=\"{}\";proto={}", hop.authority, hop.scheme);
}

/// Adds to a list: all lines become one with the element at its end.
fn append(headers: &mut HeaderMap, name: &HeaderName, element: &HeaderValue) {
    if !headers.contains_key(name) {
        headers.insert(name, element.clone());
        return;
    }
    let mut list = Vec::with_capacity(96);
    for line in headers.get_all(name) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element.as_bytes());
    if let Ok(value) = HeaderValue::try_from(list) {
        headers.insert(name, value);
    }
}

/// Authorities and addresses are visible ASCII; what is not is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A draw and the next as hexadecimal digits.
fn digits(draw: u64) -> [u8; 32] {
    let bits = u128::from(draw) << 64 | u128::from(next_draw(draw));
    std::array::from_fn(|at| b"0123456789abcdef"[(bits >> (4 * (31 - at)) & 15) as usize])
}

/// The identifier of a request: a trusted peer's, or one made of `draw`, as 32 hexadecimal digits. Set in the headers.
pub fn request_id(headers: &mut HeaderMap, is_trusted: bool, draw: u64) -> HeaderValue {
    let known = headers.get(X_REQUEST_ID).filter(|id| {
        is_trusted && (1..=REQUEST_ID_LEN_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    if let Some(known) = known {
        return known.clone();
    }
    let mut made = HeaderValue::from_bytes(&digits(draw)).expect("digits may stand in a header");
    // Over HTTP/2 it would push what comes again out of the table of headers, and never come again itself.
    made.set_sensitive(true);
    // The first of those that are added: a map that comes from HTTP/2 has no room for them, and would grow twice.
    headers.reserve(ADDED_MAX);
    headers.insert(X_REQUEST_ID, made.clone());
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(peer: &str, is_trusted: bool) -> Hop<'static> {
        Hop {
            peer: peer.parse().unwrap(),
            is_trusted,
            client: "203.0.113.9".parse().unwrap(),
            scheme: "https",
            authority: "a.example:8443",
        }
    }

    fn announced(lines: &[(&'static str, &str)], hop: &Hop<'_>) -> Vec<String> {
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|(name, value)| _ = headers.append(*name, value.parse().unwrap()));
        announce(&mut headers, hop, &Words::of(hop.peer));
        let mut left: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        left
    }

    #[test]
    fn what_an_untrusted_peer_says_is_dropped() {
        let lied = [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "admin.example"),
            ("x-forwarded-prefix", "/x"),
            ("x-forwarded-ssl", "on"),
            ("x-forwarded-scheme", "https"),
            ("x_real_ip", "127.0.0.1"),
            ("x-forwarded_for", "127.0.0.1"),
        ];
        assert_eq!(
            announced(&lied, &hop("192.0.2.1", false)),
            [
                "forwarded: for=192.0.2.1;host=\"a.example:8443\";proto=https",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: a.example:8443",
                "x-forwarded-proto: https",
                "x-real-ip: 203.0.113.9",
            ]
        );
    }

    #[test]
    fn a_trusted_peer_is_believed_and_appended_to() {
        let said = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "10.0.0.7"),
            ("forwarded", "for=203.0.113.9"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "www.example"),
        ];
        assert_eq!(
            announced(&said, &hop("2001:db8::1", true)),
            [
                "forwarded: for=203.0.113.9, for=\"[2001:db8::1]\";host=\"a.example:8443\";proto=https",
                "x-forwarded-for: 203.0.113.9, 10.0.0.7, 2001:db8::1",
                "x-forwarded-host: www.example",
                "x-forwarded-proto: http",
                "x-real-ip: 203.0.113.9",
            ]
        );
    }

    #[test]
    fn a_mapped_address_is_the_address() {
        assert!(announced(&[], &hop("::ffff:192.0.2.1", false)).contains(&"x-forwarded-for: 192.0.2.1".to_owned()));
    }

    #[test]
    fn an_identifier_is_kept_from_the_trusted_and_made_for_others() {
        let id = |given: &str, is_trusted| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, given.parse().unwrap());
            let id = request_id(&mut headers, is_trusted, 7);
            assert_eq!(headers[X_REQUEST_ID], id, "the backend sees the same");
            id.to_str().unwrap().to_owned()
        };
        assert_eq!(id("abc-1", true), "abc-1");
        let made = id("abc-1", false);
        assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!([id("", true), id(&"x".repeat(129), true), id("a b", true)], [made.clone(), made.clone(), made]);
    }
}
