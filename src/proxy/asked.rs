//! What a client asks for, whichever version it speaks.

use std::time::Duration;

use http::HeaderMap;
use http::HeaderName;
use http::Method;
use http::StatusCode;
use http::Uri;
use http::Version;
use http::header;

use crate::model::Moment;
use crate::proxy::back::Extent;
use crate::proxy::h1::request::RequestHead;

/// A request's head, as it came.
#[derive(Debug)]
pub struct Asked {
    /// GET and the like.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// What the client speaks.
    pub version: Version,
    /// In order.
    pub headers: HeaderMap,
    /// How long its body is.
    pub extent: Extent,
    /// HTTP/2: the `:protocol` of an extended CONNECT.
    pub protocol: Option<String>,
    /// When its first byte came.
    pub began: Moment,
    /// How long its head took.
    pub head_took: Duration,
    /// Its head's length.
    pub head_bytes: u64,
}

impl Asked {
    /// Of a head of HTTP/1.1 whose first byte came then.
    pub fn of(head: RequestHead, began: Moment, arrived: Moment) -> Self {
        Asked {
            extent: Extent::of(head.framing),
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers: head.headers,
            protocol: None,
            began,
            head_took: arrived.since(began),
            head_bytes: head.bytes as u64,
        }
    }

    /// When its head was there.
    pub fn arrived(&self) -> Moment {
        self.began + self.head_took
    }

    /// Whether it is a call of gRPC, whose failures are told in fields of their own.
    pub fn is_grpc(&self) -> bool {
        is_grpc(&self.headers)
    }
}

/// `application/grpc`, with or without what follows.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    kind.is_some_and(|kind| {
        kind.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// The status of gRPC for one of HTTP (grpc/grpc, `doc/http-grpc-status-mapping.md`).
pub fn grpc_status(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 | 431 | 413 | 414 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// `grpc-timeout`: up to eight digits and a unit (gRPC over HTTP/2, "Requests").
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = is_number.then(|| digits.parse().ok()).flatten()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn calls_of_grpc_are_known_by_their_type() {
        let kinds =
            ["application/grpc", "application/grpc+proto", "application/grpc;x", "application/grpc-web", "text/plain"];
        let known = kinds.map(|kind| is_grpc(&with("content-type", kind)));
        assert_eq!(known, [true, true, true, false, false]);
    }

    #[test]
    fn their_deadlines_are_read() {
        let read = |text| grpc_timeout(&with("grpc-timeout", text));
        assert_eq!(read("20S"), Some(Duration::from_secs(20)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for text in ["", "S", "20", "20s", "-1S", "123456789S", "2 S"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~]{0,12}") {
            _ = grpc_timeout(&with("grpc-timeout", &text));
        }
    }
}
