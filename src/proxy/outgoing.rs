//! A request as the backend is to see it: made once, sent as often as it takes.

use std::time::Duration;

use http::HeaderMap;
use http::HeaderValue;
use http::Method;

use crate::model::Http;
use crate::proxy::asked::grpc_timeout;
use crate::proxy::back::Extent;
use crate::proxy::decide::Known;
use crate::proxy::h1::body::Framing;
use crate::proxy::h1::spare;
use crate::route::sent_on;

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
    /// A call of gRPC.
    pub is_grpc: bool,
    /// Its method usually has a body, so that the absence of one is told (RFC 9110 section 8.6).
    pub says_empty: bool,
}

impl Outgoing {
    /// It goes on to another region, as the client sent it: what that one's routes make of it is their matter.
    pub fn is_sent_on_from(&mut self, known: &Known, region: &str) {
        self.path.clone_from(&known.path);
        sent_on::mark(&mut self.headers, region);
    }

    /// How long the body is that is sent: what wants to go on as something else has none.
    pub fn sent_extent(&self) -> Extent {
        if self.upgrade.is_some() { Extent::None } else { self.extent }
    }

    /// The framing of its body in HTTP/1.1.
    pub fn framing(&self) -> Framing {
        match self.sent_extent() {
            Extent::None => Framing::Length(0),
            Extent::Length(length) => Framing::Length(length),
            Extent::Open => Framing::Chunked,
        }
    }

    /// How long until the response's head, on a route that gives it so long: a call of gRPC may ask for more.
    pub fn head_timeout(&self, route: Duration) -> Duration {
        let asked = if self.is_grpc { grpc_timeout(&self.headers) } else { None };
        route.max(asked.unwrap_or_default())
    }

    /// Whether its body is known to be longer than a listener takes.
    pub fn is_too_long(&self, http: &Http) -> bool {
        matches!(self.extent, Extent::Length(length) if http.body_bytes_max.is_some_and(|most| length > most))
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
