//! What we answer ourselves: a refusal, a redirect, a failure.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use crate::model::Moment;
use crate::proxy::asked::grpc_status;
use crate::proxy::back::Extent;
use crate::proxy::deadline::Deadline;
use crate::proxy::front::Front;
use crate::proxy::front::FrontFault;
use crate::route::expires::date;

/// So much of a body that is there already is read over, to keep a connection. A form's.
const READ_OVER_MAX: usize = 64 * 1024;

/// A response of our own.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    /// A status, said in words: `404 Not Found`. What was wrong stays in the log.
    pub fn of(status: StatusCode) -> Self {
        let body = match status.as_u16() {
            300..400 => String::new(),
            code => format!("{code} {}\n", status.canonical_reason().unwrap_or("Unknown")),
        };
        Reply::text(status, body)
    }

    /// A text of the operator's.
    pub fn text(status: StatusCode, body: String) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        Reply { status, headers, body }
    }

    /// 503; the client may come again after so many seconds.
    pub fn unavailable(seconds: Option<u64>) -> Self {
        let reply = Reply::of(StatusCode::SERVICE_UNAVAILABLE);
        match seconds {
            None => reply,
            Some(seconds) => reply.with(header::RETRY_AFTER, seconds.into()),
        }
    }

    /// 429; the client may come again after that.
    pub fn too_often(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Reply::of(StatusCode::TOO_MANY_REQUESTS).with(header::RETRY_AFTER, seconds.into())
    }

    /// With another field.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With the date, which a server that has a clock tells (RFC 9110 section 6.6.1).
    pub fn dated(self, now: Moment) -> Self {
        let date = HeaderValue::from_bytes(&date(now)).expect("a date is letters, digits and spaces");
        self.with(header::DATE, date)
    }

    /// In the form a client of gRPC understands: a call that has failed, told in fields of a 200 (gRPC over HTTP/2,
    /// "Trailers-Only").
    pub fn as_grpc(self) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", u16::from(grpc_status(self.status)).into());
        let words = self.status.canonical_reason().unwrap_or("Unknown");
        headers.insert("grpc-message", HeaderValue::from_static(words));
        Reply { status: StatusCode::OK, headers, body: String::new() }
    }

    /// Sends it.
    ///
    /// # Errors
    /// When the client has gone, or takes too long.
    pub async fn send<F: Front>(self, front: &mut F, deadline: &Deadline) -> Result<(), FrontFault> {
        let extent = match self.body.len() {
            0 => Extent::None,
            length => Extent::Length(length as u64),
        };
        // Nobody reads the rest of the request: what follows on the connection would be lost with it.
        if !std::future::poll_fn(|cx| Poll::Ready(has_come(front, cx))).await {
            front.distrust();
        }
        front.begin(self.status, self.headers, extent, false)?;
        if !self.body.is_empty() && front.takes_body() {
            front.push(self.body.into());
        }
        front.finish(None);
        std::future::poll_fn(|cx| match front.poll_flush(cx) {
            Poll::Pending => deadline.poll_due(cx).map(|()| Err(FrontFault::gone())),
            done => done,
        })
        .await
    }
}

/// Whether all of a request's body is there, or was not too much to be read over.
fn has_come<F: Front>(front: &mut F, cx: &mut Context<'_>) -> bool {
    let mut left = READ_OVER_MAX;
    while !front.is_body_over() && left > 0 {
        match front.poll_body(cx) {
            Poll::Ready(Ok(Some(data))) => left = left.saturating_sub(data.len()),
            Poll::Ready(Ok(None)) => {}
            Poll::Ready(Err(_)) | Poll::Pending => return false,
        }
    }
    front.is_body_over()
}
