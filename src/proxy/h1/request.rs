//! A request's head: bytes to meaning, or the reason why they are refused.
//!
//! The values of the map share the bytes they were read from; nothing is copied but the names that nobody has heard of. What only
//! bytes show is refused here ([`crate::route::raw`], bare line feeds), what the map shows by [`crate::route::strict`] after.

use std::mem::MaybeUninit;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::Uri;
use http::Version;
use http::header;

use crate::proxy::h1::FIELDS_MAX;
use crate::proxy::h1::HEAD_BYTES_MAX;
use crate::proxy::h1::body::Framing;
use crate::proxy::h1::has_bare_line_feed;
use crate::proxy::h1::head_ends;
use crate::proxy::h1::spare;
use crate::route::hop_by_hop::connection_tokens;
use crate::route::raw;
use crate::route::refusal::Refusal;

/// A target's bytes; nginx's and HAProxy's figures are near.
pub const TARGET_BYTES_MAX: usize = 16 * 1024;

/// A request's head.
#[derive(Debug)]
pub struct RequestHead {
    /// GET and the like.
    pub method: Method,
    /// The target, in whichever form.
    pub uri: Uri,
    /// 1.0 or 1.1.
    pub version: Version,
    /// In order, names in lower case.
    pub headers: HeaderMap,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the client goes on with the connection after the response.
    pub keeps_alive: bool,
    /// The head's length.
    pub bytes: usize,
}

/// Why bytes are no head that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHead {
    /// They could be read in two ways.
    Refused(Refusal),
    /// They are no HTTP.
    Malformed,
    /// Longer than [`HEAD_BYTES_MAX`], or more than [`FIELDS_MAX`] fields.
    TooLarge,
    /// A target longer than [`TARGET_BYTES_MAX`].
    TargetTooLong,
}

impl BadHead {
    /// What the client is told.
    pub fn status(self) -> StatusCode {
        match self {
            BadHead::Refused(refusal) => refusal.status(),
            BadHead::Malformed => StatusCode::BAD_REQUEST,
            BadHead::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            BadHead::TargetTooLong => StatusCode::URI_TOO_LONG,
        }
    }

    /// The stable code of logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            BadHead::Refused(refusal) => refusal.code(),
            BadHead::Malformed => "malformed",
            BadHead::TooLarge => "head_too_large",
            BadHead::TargetTooLong => "target_too_long",
        }
    }

    /// In words, for `explain`.
    pub fn words(self) -> &'static str {
        match self {
            BadHead::Refused(refusal) => refusal.words(),
            BadHead::Malformed => "what is no head of HTTP",
            BadHead::TooLarge => "a head that is too long, or has too many fields",
            BadHead::TargetTooLong => "a target that is too long",
        }
    }
}

/// Reads the head at the start of `inbox` and takes it out; nothing when it is not all there. `seen` is how much of it was looked
/// at before, and is kept up to date.
///
/// # Errors
/// As soon as no further bytes could make it a head that may pass.
pub fn take(inbox: &mut BytesMut, seen: &mut usize) -> Result<Option<RequestHead>, BadHead> {
    skip_empty_lines(inbox, seen);
    let Some(end) = head_ends(inbox, *seen) else {
        *seen = inbox.len();
        return incomplete(inbox).map_or(Ok(None), Err);
    };
    *seen = 0;
    if end > HEAD_BYTES_MAX {
        return Err(too_large(inbox));
    }
    if has_bare_line_feed(&inbox[..end]) {
        return Err(BadHead::Malformed);
    }
    read(inbox.split_to(end).freeze()).map(Some)
}

/// RFC 9112 section 2.2: an empty line before a request is passed over; some clients end a body with one.
fn skip_empty_lines(inbox: &mut BytesMut, seen: &mut usize) {
    while inbox.starts_with(b"\r\n") {
        let _ = inbox.split_to(2);
        *seen = seen.saturating_sub(2);
    }
}

/// Whether what is there can no longer become a head.
fn incomplete(inbox: &[u8]) -> Option<BadHead> {
    if inbox.len() > HEAD_BYTES_MAX {
        return Some(too_large(inbox));
    }
    // A TLS handshake, a scanner's bytes: told at once, not after the deadline.
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let method = inbox.iter().position(|byte| *byte == b' ').unwrap_or(inbox.len());
    (!inbox[..method].iter().all(is_token) && inbox[0] != b'\r').then_some(BadHead::Malformed)
}

fn too_large(inbox: &[u8]) -> BadHead {
    match memchr::memchr(b'\n', inbox) {
        Some(line) if line <= TARGET_BYTES_MAX => BadHead::TooLarge,
        _ => BadHead::TargetTooLong,
    }
}

fn read(bytes: Bytes) -> Result<RequestHead, BadHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(&bytes, &mut fields) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(BadHead::Malformed),
        Err(httparse::Error::TooManyHeaders) => return Err(BadHead::TooLarge),
        Err(httparse::Error::Version) => return Err(BadHead::Refused(Refusal::VersionUnknown)),
        Err(_) => return Err(refused_or_malformed(&bytes)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(BadHead::Malformed);
    };
    if target.len() > TARGET_BYTES_MAX {
        return Err(BadHead::TargetTooLong);
    }
    let lines = request.headers.iter().map(|field| (field.name.as_bytes(), field.value));
    raw::check(target.as_bytes(), lines).map_err(BadHead::Refused)?;
    let mut headers = spare::take(request.headers.len() + ADDED);
    for field in request.headers.iter() {
        let (name, value) = pair(&bytes, field)?;
        headers.append(name, value);
    }
    let uri = Uri::from_maybe_shared(bytes.slice_ref(target.as_bytes())).map_err(|_| BadHead::Malformed)?;
    let version = if minor == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    Ok(RequestHead {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| BadHead::Malformed)?,
        uri,
        version,
        framing: framing(&headers)?,
        keeps_alive: keeps_alive(version, &headers),
        headers,
        bytes: bytes.len(),
    })
}

/// Fields that are set on the way, so that the map need not grow: those of `route::forwarded`, the request's identifier.
const ADDED: usize = 8;

/// A field, sharing the head's bytes.
pub(super) fn pair(head: &Bytes, field: &httparse::Header<'_>) -> Result<(HeaderName, HeaderValue), BadHead> {
    let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadHead::Malformed)?;
    let value = if field.value.is_empty() {
        HeaderValue::from_static("")
    } else {
        HeaderValue::from_maybe_shared(head.slice_ref(field.value)).map_err(|_| BadHead::Malformed)?
    };
    Ok((name, value))
}

/// Names and values that httparse refuses have codes of their own where we know them.
fn refused_or_malformed(head: &[u8]) -> BadHead {
    let mut lines = head.split(|byte| *byte == b'\n').skip(1);
    let folded = lines.clone().any(|line| line.starts_with(b" ") || line.starts_with(b"\t"));
    let is_spaced =
        |line: &[u8]| line.iter().position(|byte| *byte == b':').is_some_and(|at| at == 0 || line[at - 1] <= b' ');
    if folded {
        BadHead::Refused(Refusal::ValueControl)
    } else if lines.any(is_spaced) {
        BadHead::Refused(Refusal::NameMalformed)
    } else {
        BadHead::Malformed
    }
}

/// Where the body ends. `strict` refuses everything that could be read in two ways; this is for what it lets pass.
fn framing(headers: &HeaderMap) -> Result<Framing, BadHead> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(Framing::Chunked);
    }
    match headers.get(header::CONTENT_LENGTH) {
        None => Ok(Framing::Length(0)),
        Some(length) => length
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .map(Framing::Length)
            .ok_or(BadHead::Refused(Refusal::LengthMalformed)),
    }
}

/// RFC 9112 section 9.3.
pub(super) fn keeps_alive(version: Version, headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::CONNECTION) {
        return version == Version::HTTP_11;
    }
    let has = |word: &[u8]| connection_tokens(headers).any(|token| token.eq_ignore_ascii_case(word));
    !has(b"close") && (version == Version::HTTP_11 || has(b"keep-alive"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::path::PathFault;

    fn read_all(text: &str) -> Result<Option<RequestHead>, BadHead> {
        take(&mut BytesMut::from(text), &mut 0)
    }

    #[test]
    fn a_head_is_read_and_the_body_left() {
        let mut inbox =
            BytesMut::from("\r\nPOST /a?b HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nX-Odd:\r\n\r\nabcGET");
        let head = take(&mut inbox, &mut 0).unwrap().unwrap();
        assert_eq!(
            (head.method, head.uri.to_string().as_str(), head.version),
            (Method::POST, "/a?b", Version::HTTP_11)
        );
        assert_eq!((head.framing, head.keeps_alive, head.headers["x-odd"].len()), (Framing::Length(3), true, 0));
        assert_eq!(&inbox[..], b"abcGET");
    }

    #[test]
    fn it_waits_for_the_rest_wherever_the_cut_is() {
        let whole = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
        for cut in 0..whole.len() {
            let (mut inbox, mut seen) = (BytesMut::from(&whole[..cut]), 0);
            assert!(take(&mut inbox, &mut seen).unwrap().is_none(), "{cut}");
            inbox.extend_from_slice(&whole.as_bytes()[cut..]);
            let head = take(&mut inbox, &mut seen).unwrap().unwrap();
            assert!(head.keeps_alive && head.version == Version::HTTP_10 && inbox.is_empty());
        }
    }

    #[test]
    fn what_only_bytes_show_is_refused() {
        let refused = |text: &str| read_all(text).map(|_| ()).unwrap_err();
        assert_eq!(refused("GET / HTTP/1.1\nHost: a\n\n"), BadHead::Malformed);
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n"), BadHead::Malformed);
        assert_eq!(
            refused("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"),
            BadHead::Refused(Refusal::Path(PathFault::Fragment))
        );
        assert_eq!(refused("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), BadHead::Refused(Refusal::NameMalformed));
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"), BadHead::Refused(Refusal::ValueControl));
        assert_eq!(refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), BadHead::Refused(Refusal::VersionUnknown));
        assert_eq!(refused("\u{16}\u{3}\u{1}"), BadHead::Malformed, "a TLS handshake, at its first bytes");
        let lengths = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(refused(lengths), BadHead::Refused(Refusal::LengthRepeated));
    }

    #[test]
    fn too_much_is_told_by_what_is_too_much() {
        let long = "a".repeat(HEAD_BYTES_MAX + 1);
        assert_eq!(read_all(&format!("GET /{long}")).unwrap_err(), BadHead::TargetTooLong);
        assert_eq!(read_all(&format!("GET / HTTP/1.1\r\nx: {long}")).unwrap_err(), BadHead::TooLarge);
        let many: String = (0..=FIELDS_MAX).map(|n| format!("x{n}: y\r\n")).collect();
        assert_eq!(read_all(&format!("GET / HTTP/1.1\r\n{many}\r\n")).unwrap_err(), BadHead::TooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, cut in 0usize..64) {
            let cut = cut.min(bytes.len());
            let (mut inbox, mut seen) = (BytesMut::from(&bytes[..cut]), 0);
            if let Ok(None) = take(&mut inbox, &mut seen) {
                inbox.extend_from_slice(&bytes[cut..]);
                _ = take(&mut inbox, &mut seen);
            }
        }

        /// However a head arrives, it is read as if it had come at once.
        #[test]
        fn pieces_change_nothing(bytes in "[A-Z]{1,5} /[a-z]{0,9} HTTP/1.[01]\r\n([A-Za-z_ -]{1,9}:[ a-z\r\n]{0,9}\r\n){0,5}\r\n", cut in 0usize..200) {
            let whole = take(&mut BytesMut::from(bytes.as_bytes()), &mut 0).map(|head| head.map(|head| head.headers));
            let cut = cut.min(bytes.len());
            let (mut inbox, mut seen) = (BytesMut::from(&bytes.as_bytes()[..cut]), 0);
            let pieces = match take(&mut inbox, &mut seen) {
                Ok(None) => {
                    inbox.extend_from_slice(&bytes.as_bytes()[cut..]);
                    take(&mut inbox, &mut seen).map(|head| head.map(|head| head.headers))
                }
                other => other.map(|head| head.map(|head| head.headers)),
            };
            prop_assert_eq!(whole, pieces);
        }
    }
}
