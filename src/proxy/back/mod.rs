//! The side of an endpoint: a request under way to it, whichever version is spoken.

pub mod h1;
pub mod h2;

use std::io;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;
use http::StatusCode;

use crate::proxy::back::h1::H1Back;
use crate::proxy::back::h2::H2Back;
use crate::proxy::h1::body::Framing;

/// A response's head.
#[derive(Debug)]
pub struct Answer {
    /// 200 and the like.
    pub status: StatusCode,
    /// In order.
    pub headers: HeaderMap,
    /// How long its body is.
    pub extent: Extent,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// It tells by ending.
    Open,
}

impl Extent {
    /// As HTTP/1.1 frames it.
    pub fn of(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Extent::None,
            Framing::Length(length) => Extent::Length(length),
            Framing::Chunked | Framing::UntilClose => Extent::Open,
        }
    }
}

/// Why an endpoint did not serve a request.
#[derive(Debug)]
pub enum BackFault {
    /// The connection could not be made.
    Connect(io::Error),
    /// Nor in time.
    ConnectTimeout,
    /// TLS did not come about.
    Tls(io::Error),
    /// The connection broke.
    Reset(io::Error),
    /// It was closed before the response was whole.
    Closed,
    /// What it sent is no response.
    Malformed,
    /// HTTP/2: it did not begin on this stream; anybody may have it instead (RFC 9113 section 8.7).
    RefusedStream,
    /// HTTP/2: it ended the stream.
    Stream(::h2::Error),
}

impl BackFault {
    /// Of a connection that was made.
    pub fn of(error: io::Error) -> Self {
        BackFault::Reset(error)
    }

    /// Of HTTP/2.
    pub fn of_h2(error: ::h2::Error) -> Self {
        match error.reason() {
            Some(::h2::Reason::REFUSED_STREAM) => BackFault::RefusedStream,
            // A connection that was shut down before our stream began there.
            _ if error.is_go_away() && error.is_remote() && error.reason() == Some(::h2::Reason::NO_ERROR) => {
                BackFault::RefusedStream
            }
            _ => BackFault::Stream(error),
        }
    }

    /// Whether the endpoint has certainly not begun with the request.
    pub fn is_before_any_work(&self) -> bool {
        matches!(self, BackFault::Connect(_) | BackFault::ConnectTimeout | BackFault::Tls(_) | BackFault::RefusedStream)
    }

    /// The word of metrics and logs.
    pub fn words(&self) -> &'static str {
        match self {
            BackFault::Connect(_) => "connect",
            BackFault::ConnectTimeout => "connect_timeout",
            BackFault::Tls(_) => "tls",
            BackFault::Reset(_) | BackFault::Closed | BackFault::Stream(_) => "reset",
            BackFault::Malformed => "malformed",
            BackFault::RefusedStream => "refused_stream",
        }
    }
}

impl std::fmt::Display for BackFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BackFault::Connect(error) => write!(f, "connect: {error}"),
            BackFault::ConnectTimeout => f.write_str("connect: no answer in time"),
            BackFault::Tls(error) => write!(f, "TLS: {error}"),
            BackFault::Reset(error) => write!(f, "connection broke: {error}"),
            BackFault::Closed => f.write_str("connection closed before the response was whole"),
            BackFault::Malformed => f.write_str("malformed response"),
            BackFault::RefusedStream => f.write_str("stream refused"),
            BackFault::Stream(error) => write!(f, "stream ended: {error}"),
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub enum Back {
    /// Over HTTP/1.1.
    H1(Box<H1Back>),
    /// Over HTTP/2.
    H2(Box<H2Back>),
}

macro_rules! each {
    ($self:ident, $back:ident => $what:expr) => {
        match $self {
            Back::H1($back) => $what,
            Back::H2($back) => $what,
        }
    };
}

impl Back {
    /// Ready when a piece of the request's body may be pushed.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackFault>> {
        each!(self, back => back.poll_room(cx))
    }

    /// A piece of the request's body. Only when there is room.
    pub fn push(&mut self, data: Bytes) {
        each!(self, back => back.push(data));
    }

    /// The request's body is over.
    pub fn finish(&mut self, trailers: Option<&HeaderMap>) {
        each!(self, back => back.finish(trailers));
    }

    /// Ready when all that was pushed is written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackFault>> {
        each!(self, back => back.poll_flush(cx))
    }

    /// The next head: those of 1xx, then the response's.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, BackFault>> {
        each!(self, back => back.poll_head(cx))
    }

    /// A piece of the response's body; nothing at its end.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BackFault>> {
        each!(self, back => back.poll_body(cx))
    }

    /// Whether the last piece of the response's body was taken, and nothing follows it.
    pub fn is_body_over(&self) -> bool {
        each!(self, back => back.is_body_over())
    }

    /// The response's trailers, once its body is over.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        each!(self, back => back.trailers())
    }

    /// Whether the endpoint may have begun with the request.
    pub fn may_have_begun(&self) -> bool {
        each!(self, back => back.has_written())
    }

    /// Whether the connection had served others before, and nothing came back for this one: it was closed while it was idle, as
    /// far as anybody can tell.
    pub fn was_stale(&self) -> bool {
        matches!(self, Back::H1(back) if back.is_reused && !back.has_heard())
    }
}
