//! A call of `grpc.health.v1.Health/Check`, and whether the answer is SERVING.
//!
//! The protocol that Kubernetes, Envoy and gRPC's own clients ask with. It runs over HTTP/2 on a connection of its own,
//! and the verdict on the call stands in the trailers, or in the headers when there is nothing else; `h2` shows both.
//! A server without the service (UNIMPLEMENTED), or without this service's health (NOT_FOUND), does not pass: whoever
//! asks for a health check wants to hear SERVING.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::{Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::health::probe::ReasonCode;
use crate::model::TlsTrust;
use crate::prober::clients::{AGENT, Clients};
use crate::prober::deadline::{Deadline, drive};
use crate::prober::health_message as message;
use crate::prober::{Found, tcp, tls};

/// The most bytes of a response's headers and of its trailers, each.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// The most bytes of a response's body; a HealthCheckResponse has seven.
const BODY_BYTES_MAX: usize = 1024;

/// The check's parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// None: cleartext HTTP/2, without asking (RFC 9113 section 3.3).
    pub(super) tls: Option<&'a TlsTrust>,
    /// Empty: the server as a whole.
    pub(super) service: &'a str,
    /// For `:authority` and SNI.
    pub(super) host: Option<&'a str>,
}

impl Call<'_> {
    /// Connects, calls and judges the answer.
    pub(super) async fn check(self, address: SocketAddr, clients: &Clients, mut deadline: Deadline) -> Found {
        match self.tls {
            None => match tcp::connect(address, &mut deadline).await {
                Ok(stream) => self.over(stream, address, deadline).await,
                Err(found) => found,
            },
            Some(trust) => match tls::handshake(address, self.host, trust, &[b"h2"], clients, &mut deadline).await {
                Ok(stream) => self.over(stream, address, deadline).await,
                Err(found) => found,
            },
        }
    }

    async fn over(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        address: SocketAddr,
        mut deadline: Deadline,
    ) -> Found {
        let request = match self.request(address, &deadline) {
            Ok(request) => request,
            Err(fact) => return (ReasonCode::L7Rsp, fact),
        };
        let asking = async {
            let mut builder = h2::client::Builder::new();
            builder.enable_push(false).max_header_list_size(HEADERS_BYTES_MAX);
            match builder.handshake::<_, Bytes>(stream).await {
                Ok((sender, connection)) => drive(self.exchange(sender, request), connection).await,
                Err(error) => Err(error),
            }
        };
        match deadline.within(asking).await {
            Some(Ok(found)) => found,
            Some(Err(error)) => (ReasonCode::L7Rsp, words(&error)),
            None => deadline.no_response(),
        }
    }

    fn request(self, address: SocketAddr, deadline: &Deadline) -> Result<Request<()>, String> {
        let authority = self.host.map_or_else(|| address.to_string(), str::to_owned);
        let uri = Uri::builder()
            .scheme(if self.tls.is_some() { "https" } else { "http" })
            .authority(authority.as_str())
            .path_and_query("/grpc.health.v1.Health/Check")
            .build();
        let uri = uri.map_err(|error| format!("can not ask {authority}: {error}"))?;
        Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, AGENT)
            // So that a server in trouble need not work for somebody who has gone; at most eight digits.
            .header("grpc-timeout", format!("{}m", deadline.allowed().as_millis().clamp(1, 99_999_999)))
            .body(())
            .map_err(|error| format!("can not ask {authority}: {error}"))
    }

    async fn exchange(self, sender: SendRequest<Bytes>, request: Request<()>) -> Result<Found, h2::Error> {
        let mut sender = sender.ready().await?;
        let (response, mut out) = sender.send_request(request, false)?;
        // A server may answer before it has read this, and does not need it then: the response tells.
        let _ = out.send_data(message::request(self.service).into(), true);
        let (head, mut body) = response.await?.into_parts();
        if head.status.as_u16() != 200 {
            return Ok((ReasonCode::L7Sts, format!("HTTP status {}", head.status.as_u16())));
        }
        let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        if !kind.starts_with(b"application/grpc") {
            return Ok((ReasonCode::L7Rsp, "an HTTP response that is not gRPC's".to_owned()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            if bytes.len() + chunk.len() > BODY_BYTES_MAX {
                return Ok((ReasonCode::L7Rsp, format!("a message of more than {BODY_BYTES_MAX} bytes")));
            }
            body.flow_control().release_capacity(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await?;
        // Headers alone when there is nothing but a status to send ("Trailers-Only").
        Ok(judge(trailers.as_ref().unwrap_or(&head.headers), &bytes))
    }
}

/// What headers or trailers and a body come to.
fn judge(trailers: &HeaderMap, body: &[u8]) -> Found {
    let text = |name| trailers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let Some(status) = text("grpc-status") else {
        return (ReasonCode::L7Rsp, "a response without grpc-status".to_owned());
    };
    match status.parse::<usize>() {
        Ok(0) => serving(body),
        Ok(code) => {
            let name = GRPC_STATUSES.get(code).map(|name| format!(" {name}")).unwrap_or_default();
            let why = text("grpc-message").filter(|why| !why.is_empty());
            let why = why.map(|why| format!(": {}", percent_decoded(&why))).unwrap_or_default();
            (ReasonCode::L7Sts, format!("grpc-status {code}{name}{why}"))
        }
        Err(_) => (ReasonCode::L7Rsp, format!("grpc-status is no number: {status}")),
    }
}

fn serving(body: &[u8]) -> Found {
    match message::response(body) {
        Ok(message::SERVING) => (ReasonCode::L7Ok, "SERVING".to_owned()),
        Ok(other) => match message::status_name(other) {
            Some(name) => (ReasonCode::L7Sts, name.to_owned()),
            None => (ReasonCode::L7Sts, format!("serving status {other}")),
        },
        Err(fact) => (ReasonCode::L7Rsp, fact.to_owned()),
    }
}

/// By number, as gRPC's "Status codes" has them.
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// `grpc-message` is percent-encoded; what is not so encoded stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, more)) = rest.split_first() {
        let digits = more.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn words(error: &h2::Error) -> String {
    match (error.get_io(), error.reason()) {
        (Some(io), _) => tcp::words(io),
        (None, Some(reason)) if error.is_remote() => format!("the server ended the stream: {}", reason.description()),
        (None, Some(reason)) => format!("not HTTP/2: {}", reason.description()),
        (None, None) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trailers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (hyper::header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn statuses_are_told_in_words() {
        let ok = trailers(&[("grpc-status", "0")]);
        let body = |status| [0, 0, 0, 0, 2, 8, status];
        assert_eq!(judge(&ok, &body(1)), (ReasonCode::L7Ok, "SERVING".into()));
        assert_eq!(judge(&ok, &body(2)), (ReasonCode::L7Sts, "NOT_SERVING".into()));
        assert_eq!(judge(&ok, &[0; 5]), (ReasonCode::L7Sts, "UNKNOWN".into()));
        assert_eq!(judge(&ok, &body(9)), (ReasonCode::L7Sts, "serving status 9".into()));
        assert_eq!(judge(&ok, b""), (ReasonCode::L7Rsp, "no message in the response".into()));
        let unknown = trailers(&[("grpc-status", "5"), ("grpc-message", "no%20such service")]);
        assert_eq!(judge(&unknown, b""), (ReasonCode::L7Sts, "grpc-status 5 NOT_FOUND: no such service".into()));
        assert_eq!(judge(&trailers(&[("grpc-status", "12")]), b"").1, "grpc-status 12 UNIMPLEMENTED");
        assert_eq!(judge(&trailers(&[("grpc-status", "99")]), b"").1, "grpc-status 99");
        assert_eq!(judge(&trailers(&[("grpc-status", "x")]), b"").0, ReasonCode::L7Rsp);
        assert_eq!(judge(&trailers(&[]), b"").0, ReasonCode::L7Rsp);
    }

    proptest! {
        #[test]
        fn no_message_panics(text in "\\PC*") {
            let _ = percent_decoded(&text);
        }
    }
}
