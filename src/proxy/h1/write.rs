//! Heads and chunks as bytes. Whatever is written was understood before; framing is always our own.

use http::HeaderMap;
use http::HeaderName;
use http::Method;
use http::StatusCode;
use http::header;

use crate::proxy::h1::body::Framing;

/// The line of a request: `GET /a?b HTTP/1.1`.
pub fn request_line(out: &mut Vec<u8>, method: &Method, path: &str, query: Option<&str>) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(path.as_bytes());
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// The line of a response, always of HTTP/1.1 (RFC 9112 section 2.3: our version, not the backend's).
pub fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// One field.
pub fn field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// All fields but those that frame a body, which [`framing`] writes.
pub fn fields(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        if *name != header::CONTENT_LENGTH && *name != header::TRANSFER_ENCODING {
            field(out, name, value.as_bytes());
        }
    }
}

/// Where the body ends.
pub fn framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::UntilClose => {}
    }
}

/// The line before a chunk.
pub fn chunk_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let places = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..places).rev() {
        out.push(DIGITS[size >> (4 * place) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// The end of a chunked body.
pub fn last_chunk(out: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        field(out, name, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// A number's digits.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let (mut at, mut left) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::h1::body::Body;
    use crate::proxy::h1::body::Piece;
    use crate::proxy::h1::request;
    use crate::proxy::h1::response;

    proptest! {
        #[test]
        fn numbers_are_written_as_they_are_read(number: u64, size: usize) {
            let (mut out, mut chunk) = (Vec::new(), Vec::new());
            decimal(&mut out, number);
            chunk_size(&mut chunk, size);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
            prop_assert_eq!(String::from_utf8(chunk).unwrap(), format!("{size:x}\r\n"));
        }

        /// Reading what we wrote gives it back.
        #[test]
        fn heads_come_back(path in "/[a-z/]{0,20}", query in proptest::option::of("[a-z=&]{0,9}"), values in proptest::collection::vec("[!-~]([ -~]{0,20}[!-~])?", 0..9), length in 0u64..999, status in 200u16..599) {
            let headers: HeaderMap = values.iter().enumerate().map(|(at, value)| (HeaderName::try_from(format!("x-{at}")).unwrap(), value.parse().unwrap())).collect();
            let mut out = Vec::new();
            request_line(&mut out, &Method::PUT, &path, query.as_deref());
            fields(&mut out, &headers);
            framing(&mut out, Framing::Length(length));
            out.extend_from_slice(b"\r\n");
            let mut read = request::take(&mut BytesMut::from(&out[..]), &mut 0).unwrap().unwrap();
            prop_assert_eq!(read.uri.path(), path);
            prop_assert_eq!(read.uri.query(), query.as_deref());
            prop_assert_eq!(read.framing, Framing::Length(length));
            read.headers.remove(header::CONTENT_LENGTH);
            prop_assert_eq!(&read.headers, &headers);

            out.clear();
            let status = StatusCode::from_u16(status).unwrap();
            status_line(&mut out, status);
            fields(&mut out, &headers);
            framing(&mut out, Framing::Chunked);
            out.extend_from_slice(b"\r\n");
            if status != StatusCode::NO_CONTENT {
                let read = response::take(&mut BytesMut::from(&out[..]), &mut 0, &Method::HEAD).unwrap().unwrap();
                prop_assert_eq!(read.status, status);
            }
        }

        #[test]
        fn bodies_come_back(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..99), 0..9)) {
            let mut out = Vec::new();
            for piece in &pieces {
                chunk_size(&mut out, piece.len());
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            last_chunk(&mut out, None);
            let (mut body, mut inbox, mut read) = (Body::new(Framing::Chunked), BytesMut::from(&out[..]), Vec::new());
            while let Piece::Data(data) = body.take(&mut inbox).unwrap() {
                read.extend_from_slice(&data);
            }
            prop_assert_eq!(read, pieces.concat());
            prop_assert!(body.is_over());
        }
    }
}
