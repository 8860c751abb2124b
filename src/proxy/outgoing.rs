//! A request as the backend is to see it: made once, sent as often as it takes.

use http::HeaderMap;
use http::HeaderValue;
use http::Method;

use crate::proxy::back::Extent;
use crate::proxy::h1::body::Framing;
use crate::proxy::h1::spare;

impl Drop for Outgoing {
    fn drop(&mut self) {
        spare::give(std::mem::take(&mut self.headers));
    }
}

/// What is sent to an endpoint.
#[derive(Debug)]
pub struct Outgoing {
    /// GET and the like.
    pub method: Method,
    /// In its one form, perhaps rewritten.
    pub path: String,
    /// As the client wrote it, without the `?`.
    pub query: Option<String>,
    /// Whom the client asked for.
    pub authority: HeaderValue,
    /// Without those of one hop and those that frame a body; perhaps with a `host`, which nobody writes.
    pub headers: HeaderMap,
    /// How long its body is.
    pub extent: Extent,
    /// What it wants to go on with.
    pub upgrade: Option<String>,
    /// The client asked for that by an extended CONNECT of HTTP/2.
    pub is_extended_connect: bool,
    /// Its method usually has a body, so that the absence of one is told (RFC 9110 section 8.6).
    pub says_empty: bool,
}

impl Outgoing {
    /// The framing of its body in HTTP/1.1.
    pub fn framing(&self) -> Framing {
        match self.extent {
            Extent::None => Framing::Length(0),
            Extent::Length(length) => Framing::Length(length),
            Extent::Open => Framing::Chunked,
        }
    }

    /// Whether it may be sent twice although the first may have been acted on (RFC 9110 section 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        self.method.is_idempotent() && self.upgrade.is_none()
    }

    /// Path and query as a target.
    pub fn target(&self) -> String {
        match &self.query {
            None => self.path.clone(),
            Some(query) => format!("{}?{query}", self.path),
        }
    }
}
