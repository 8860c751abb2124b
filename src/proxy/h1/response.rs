//! A backend's response head: bytes to meaning.
//!
//! As strict as for requests: a response that two programs could read in two ways poisons caches and splits responses as a request
//! smuggles. What is malformed is a 502 and the end of that connection.

use std::mem::MaybeUninit;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::Method;
use http::StatusCode;
use http::Version;
use http::header;

use crate::proxy::h1::FIELDS_MAX;
use crate::proxy::h1::HEAD_BYTES_MAX;
use crate::proxy::h1::body::Framing;
use crate::proxy::h1::has_bare_line_feed;
use crate::proxy::h1::head_ends;
use crate::proxy::h1::request::keeps_alive;
use crate::proxy::h1::request::pair;
use crate::proxy::h1::spare;

/// A response's head.
#[derive(Debug)]
pub struct ResponseHead {
    /// 200 and the like.
    pub status: StatusCode,
    /// In order, names in lower case.
    pub headers: HeaderMap,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection serves another request after the body.
    pub keeps_alive: bool,
    /// The length of a body that a HEAD or a 304 speaks of and does not carry stays in the headers.
    pub bytes: usize,
}

/// Fields that are set on the way: one size of map serves both directions.
const ADDED: usize = 8;

/// Why bytes are no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadResponse {
    /// They are no HTTP, or could be read in two ways.
    Malformed,
    /// Longer than [`HEAD_BYTES_MAX`], or more than [`FIELDS_MAX`] fields.
    TooLarge,
}

/// Reads the head at the start of `inbox`, the answer to a request of that method, and takes it out; nothing when it is not all
/// there. `seen` is how much of it was looked at before.
///
/// # Errors
/// As soon as no further bytes could make it a head.
pub fn take(inbox: &mut BytesMut, seen: &mut usize, method: &Method) -> Result<Option<ResponseHead>, BadResponse> {
    let Some(end) = head_ends(inbox, *seen) else {
        *seen = inbox.len();
        let is_http = inbox.iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
        return match inbox.len() {
            _ if !is_http => Err(BadResponse::Malformed),
            length if length > HEAD_BYTES_MAX => Err(BadResponse::TooLarge),
            _ => Ok(None),
        };
    };
    *seen = 0;
    if end > HEAD_BYTES_MAX {
        return Err(BadResponse::TooLarge);
    }
    if has_bare_line_feed(&inbox[..end]) {
        return Err(BadResponse::Malformed);
    }
    read(inbox.split_to(end).freeze(), method).map(Some)
}

fn read(bytes: Bytes, method: &Method) -> Result<ResponseHead, BadResponse> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, &bytes, &mut fields) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(BadResponse::TooLarge),
        _ => return Err(BadResponse::Malformed),
    }
    let (Some(code), Some(minor)) = (response.code, response.version) else { return Err(BadResponse::Malformed) };
    let status =
        StatusCode::from_u16(code).ok().filter(|status| status.as_u16() < 600).ok_or(BadResponse::Malformed)?;
    let mut headers = spare::take(response.headers.len() + ADDED);
    for field in response.headers.iter() {
        if field.value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return Err(BadResponse::Malformed);
        }
        let (name, value) = pair(&bytes, field).map_err(|_| BadResponse::Malformed)?;
        headers.append(name, value);
    }
    let version = if minor == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    let framing = framing(status, version, &headers, method)?;
    let keeps_alive = framing != Framing::UntilClose && keeps_alive(version, &headers);
    Ok(ResponseHead { status, headers, framing, keeps_alive, bytes: bytes.len() })
}

/// RFC 9112 section 6.3, and nothing that leaves a doubt.
fn framing(status: StatusCode, version: Version, headers: &HeaderMap, method: &Method) -> Result<Framing, BadResponse> {
    let lengths = headers.get_all(header::CONTENT_LENGTH);
    let mut lengths = lengths
        .iter()
        .map(|value| value.to_str().ok().filter(|text| is_number(text)).and_then(|text| text.parse::<u64>().ok()));
    let (length, second) = (lengths.next(), lengths.next());
    let has_encoding = headers.contains_key(header::TRANSFER_ENCODING);
    if length == Some(None) || second.is_some() || (length.is_some() && has_encoding) {
        return Err(BadResponse::Malformed);
    }
    let length = length.flatten();
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6 and 9112 section 6.1: neither may be there; a length of 0 is what some send.
        let is_sound = !has_encoding && length.unwrap_or(0) == 0;
        return if is_sound { Ok(Framing::Length(0)) } else { Err(BadResponse::Malformed) };
    }
    if has_encoding {
        let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let is_chunked = encodings.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"))
            && encodings.next().is_none();
        if !is_chunked || version != Version::HTTP_11 {
            return Err(BadResponse::Malformed);
        }
    }
    if *method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        return Ok(Framing::Length(0));
    }
    Ok(match (has_encoding, length) {
        (true, _) => Framing::Chunked,
        (_, Some(length)) => Framing::Length(length),
        _ => Framing::UntilClose,
    })
}

fn is_number(text: &str) -> bool {
    (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(text: &str, method: Method) -> Result<ResponseHead, BadResponse> {
        take(&mut BytesMut::from(text), &mut 0, &method).map(|head| head.expect("whole"))
    }

    #[test]
    fn bodies_end_where_the_standard_says() {
        let framing = |text: &str, method| read_all(text, method).map(|head| (head.framing, head.keeps_alive));
        assert_eq!(
            framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::GET),
            Ok((Framing::Length(5), true))
        );
        assert_eq!(
            framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::HEAD),
            Ok((Framing::Length(0), true))
        );
        assert_eq!(framing("HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", Method::GET), Ok((Framing::Length(0), true)));
        assert_eq!(framing("HTTP/1.1 204 No Content\r\n\r\n", Method::GET), Ok((Framing::Length(0), true)));
        assert_eq!(
            framing("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", Method::GET),
            Ok((Framing::Chunked, true))
        );
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n", Method::GET), Ok((Framing::UntilClose, false)));
        assert_eq!(
            framing("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", Method::GET),
            Ok((Framing::Length(1), false))
        );
        let closing = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n";
        assert_eq!(framing(closing, Method::GET), Ok((Framing::Length(1), false)));
        assert_eq!(
            framing("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", Method::GET),
            Ok((Framing::Length(0), true))
        );
    }

    #[test]
    fn what_splits_responses_is_no_response() {
        for text in [
            "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
            "HTTP/1.1 999 What\r\n\r\n",
            "HTTP/3.0 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
        ] {
            assert!(read_all(text, Method::GET).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            _ = take(&mut BytesMut::from(&bytes[..]), &mut 0, &Method::GET);
        }
    }
}
