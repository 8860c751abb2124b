//! A request on its way over HTTP/1.1 to an endpoint, and its response.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::Method;
use http::header;
use tokio::io::AsyncWrite;

use crate::proxy::back::Answer;
use crate::proxy::back::BackFault;
use crate::proxy::back::Extent;
use crate::proxy::buffers::Buffers;
use crate::proxy::buffers::LARGE_ROOM;
use crate::proxy::buffers::ROOM;
use crate::proxy::h1::body::Body;
use crate::proxy::h1::body::Framing;
use crate::proxy::h1::body::Piece;
use crate::proxy::h1::response;
use crate::proxy::h1::write;
use crate::proxy::outbox::Outbox;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::stream::Stream;

/// One request at a time over one connection.
#[derive(Debug)]
pub struct H1Back {
    stream: Stream,
    inbox: BytesMut,
    outbox: Outbox,
    /// How much of a head was looked at.
    seen: usize,
    method: Method,
    /// How the request's body is framed.
    sends: Framing,
    /// Bytes of a request body of a known length that are still due.
    owed: u64,
    body: Option<Body>,
    keeps_alive: bool,
    has_sent_all: bool,
    is_tunnel: bool,
    /// In a tunnel: nothing more comes from the client.
    shuts_down: bool,
    /// The connection served requests before: it may have been closed while idle.
    pub is_reused: bool,
    /// Something of the response was read.
    has_heard: bool,
}

impl H1Back {
    /// Lays the head of a request; nothing is written yet.
    pub fn begin(stream: Stream, is_reused: bool, request: &Outgoing, buffers: &Buffers) -> Self {
        let mut outbox = Outbox::with_room(buffers.outbox());
        let sends = request.framing();
        lay_head(outbox.laid(), request, sends);
        H1Back {
            stream,
            inbox: buffers.wide_inbox(),
            outbox,
            seen: 0,
            method: request.method.clone(),
            sends,
            owed: if let Framing::Length(length) = sends { length } else { 0 },
            body: None,
            keeps_alive: false,
            has_sent_all: sends.is_empty(),
            is_tunnel: false,
            shuts_down: false,
            is_reused,
            has_heard: false,
        }
    }

    /// Ready when a piece of the request's body may be pushed.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackFault>> {
        self.outbox.poll_room(&mut self.stream, cx).map_err(BackFault::of)
    }

    /// A piece of the request's body.
    pub fn push(&mut self, data: Bytes) {
        match self.sends {
            _ if self.is_tunnel => self.outbox.push(data),
            Framing::Chunked => self.outbox.push_chunk(data),
            _ => {
                self.owed = self.owed.saturating_sub(data.len() as u64);
                self.outbox.push(data);
            }
        }
    }

    /// The request's body is over.
    pub fn finish(&mut self, trailers: Option<&HeaderMap>) {
        self.shuts_down = self.is_tunnel;
        if self.sends == Framing::Chunked && !self.is_tunnel {
            write::last_chunk(self.outbox.laid(), trailers);
        }
        self.has_sent_all = self.owed == 0;
    }

    /// Ready when all that was pushed is written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackFault>> {
        ready!(self.outbox.poll_flush(&mut self.stream, cx)).map_err(BackFault::of)?;
        if self.shuts_down {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).map_err(BackFault::of)?;
            self.shuts_down = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether a byte of the request has left.
    pub fn has_written(&self) -> bool {
        self.outbox.total() > 0
    }

    /// Whether anything of a response came.
    pub fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// The response's head; also those that come before it (1xx).
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, BackFault>> {
        loop {
            let found = response::take(&mut self.inbox, &mut self.seen, &self.method);
            if let Some(head) = found.map_err(|_| BackFault::Malformed)? {
                self.has_heard = true;
                if !head.status.is_informational() {
                    self.body = Some(Body::new(head.framing));
                    self.keeps_alive = head.keeps_alive;
                }
                let extent = Extent::of(head.framing);
                return Poll::Ready(Ok(Answer { status: head.status, headers: head.headers, extent }));
            }
            self.inbox.reserve(ROOM / 2);
            match ready!(self.stream.poll_fill(&mut self.inbox, cx)) {
                Ok(0) => return Poll::Ready(Err(BackFault::Closed)),
                Ok(_) => self.has_heard = true,
                Err(error) => return Poll::Ready(Err(BackFault::of(error))),
            }
        }
    }

    /// The connection's bytes belong to the two ends from here on.
    pub fn become_tunnel(&mut self) {
        self.is_tunnel = true;
        self.has_sent_all = false;
        self.keeps_alive = false;
        self.body = Some(Body::new(Framing::UntilClose));
    }

    /// A piece of the response's body; nothing at its end.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BackFault>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(None)) };
        loop {
            match body.take(&mut self.inbox).map_err(|_| BackFault::Malformed)? {
                Piece::Data(data) => return Poll::Ready(Ok(Some(data))),
                Piece::End => return Poll::Ready(Ok(None)),
                Piece::Missing => {}
            }
            make_room(&mut self.inbox, body);
            match ready!(self.stream.poll_fill(&mut self.inbox, cx)) {
                Ok(0) => {
                    self.keeps_alive = false;
                    body.ended().map_err(|_| BackFault::Closed)?;
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(BackFault::of(error))),
            }
        }
    }

    /// Whether the last piece of the response's body was taken.
    pub fn is_body_over(&self) -> bool {
        self.body.as_ref().is_some_and(Body::is_over)
    }

    /// The response's trailers, once its body is over.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        self.body.as_mut()?.trailers()
    }

    /// The connection, when it can serve another request.
    pub fn into_idle(self, buffers: &Buffers) -> Option<Stream> {
        let is_over = self.body.as_ref().is_some_and(Body::is_over);
        let is_clean =
            is_over && self.keeps_alive && self.has_sent_all && self.inbox.is_empty() && self.outbox.is_empty();
        buffers.return_inbox(self.inbox);
        buffers.return_outbox(self.outbox.into_room());
        is_clean.then_some(self.stream)
    }
}

/// As much room as is sure to be used, and more when a body is large.
pub(in crate::proxy) fn make_room(inbox: &mut BytesMut, body: &Body) {
    let wanted = usize::try_from(body.is_to_come()).unwrap_or(usize::MAX).clamp(ROOM, LARGE_ROOM);
    if inbox.capacity() - inbox.len() < ROOM {
        inbox.reserve(wanted);
    }
}

fn lay_head(out: &mut Vec<u8>, request: &Outgoing, sends: Framing) {
    write::request_line(out, &request.method, &request.path, request.query.as_deref());
    write::field(out, &header::HOST, request.authority.as_bytes());
    for (name, value) in &request.headers {
        if *name != header::HOST && *name != header::CONTENT_LENGTH {
            write::field(out, name, value.as_bytes());
        }
    }
    if let Some(protocol) = &request.upgrade {
        out.extend_from_slice(b"connection: upgrade\r\n");
        write::field(out, &header::UPGRADE, protocol.as_bytes());
    } else if !sends.is_empty() || request.says_empty {
        write::framing(out, sends);
    }
    out.extend_from_slice(b"\r\n");
}
