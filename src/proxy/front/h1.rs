//! A client over HTTP/1.1: one request after the other.

use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::Method;
use http::StatusCode;
use http::Version;
use http::header;
use tokio::io::AsyncWrite;

use crate::proxy::back::Extent;
use crate::proxy::back::h1::make_room;
use crate::proxy::buffers::ROOM;
use crate::proxy::front::Front;
use crate::proxy::front::FrontFault;
use crate::proxy::h1::body::Body;
use crate::proxy::h1::body::Framing;
use crate::proxy::h1::body::Piece;
use crate::proxy::h1::request::RequestHead;
use crate::proxy::h1::spare;
use crate::proxy::h1::write;
use crate::proxy::listening::Listening;
use crate::proxy::outbox::Outbox;
use crate::proxy::stream::Stream;
use crate::route::hop_by_hop::wants_trailers;

/// What a client may send ahead of the response it waits for.
const AHEAD_MAX: usize = 16 * 1024;

/// A client's connection.
#[derive(Debug)]
pub struct H1Front {
    /// Its bytes.
    pub stream: Stream,
    /// What was read and not understood yet.
    pub inbox: BytesMut,
    /// What is to be written.
    pub outbox: Outbox,
    body: Body,
    /// How the response's body is framed.
    sends: Framing,
    version: Version,
    is_head: bool,
    takes_trailers: bool,
    /// Whether another request may follow on this connection.
    pub keeps_alive: bool,
    /// The client has said that nothing more comes.
    has_ended: bool,
    is_tunnel: bool,
    /// In a tunnel: nothing more comes from the endpoint.
    shuts_down: bool,
    /// What it sent was refused, and more of it may be on its way.
    pub is_distrusted: bool,
    /// The response's head was laid.
    pub has_begun: bool,
    bytes_before: u64,
    /// The connection was reset, so that the client sees that something is missing.
    pub was_aborted: bool,
    /// Where it came in.
    listening: Rc<Listening>,
}

impl H1Front {
    /// One that has asked nothing yet.
    pub fn new(stream: Stream, listening: Rc<Listening>) -> Self {
        H1Front {
            stream,
            inbox: BytesMut::new(),
            outbox: Outbox::default(),
            body: Body::new(Framing::Length(0)),
            sends: Framing::Length(0),
            version: Version::HTTP_11,
            is_head: false,
            takes_trailers: false,
            keeps_alive: true,
            has_ended: false,
            is_tunnel: false,
            shuts_down: false,
            is_distrusted: false,
            has_begun: false,
            bytes_before: 0,
            was_aborted: false,
            listening,
        }
    }

    /// A request begins.
    pub fn asks(&mut self, head: &RequestHead) {
        self.body = Body::new(head.framing);
        self.version = head.version;
        self.is_head = head.method == Method::HEAD;
        self.takes_trailers = head.version == Version::HTTP_11 && wants_trailers(&head.headers);
        self.keeps_alive = head.keeps_alive;
        self.has_begun = false;
        self.bytes_before = self.outbox.total();
    }

    /// The client has said that nothing more comes.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the next request can be read.
    pub fn is_ready_for_next(&self) -> bool {
        self.keeps_alive && self.body.is_over() && !self.is_tunnel && self.outbox.is_empty()
    }

    fn lay_head(&mut self, status: StatusCode, headers: &HeaderMap, extent: Extent) {
        let has_no_body = self.is_head || status == StatusCode::NOT_MODIFIED || status == StatusCode::NO_CONTENT;
        self.sends = match extent {
            _ if has_no_body => Framing::Length(0),
            Extent::None => Framing::Length(0),
            Extent::Length(length) => Framing::Length(length),
            Extent::Open if self.version == Version::HTTP_11 => Framing::Chunked,
            Extent::Open => Framing::UntilClose,
        };
        // Asked as late as can be: a response that was waited for long is not followed by another request.
        if self.sends == Framing::UntilClose || self.listening.leaves() {
            self.keeps_alive = false;
        }
        let out = self.outbox.laid();
        write::status_line(out, status);
        write::fields(out, headers);
        match headers.get(header::CONTENT_LENGTH) {
            // What a body would be long, were there one.
            Some(length) if has_no_body && status != StatusCode::NO_CONTENT => {
                write::field(out, &header::CONTENT_LENGTH, length.as_bytes());
            }
            _ if has_no_body => {}
            _ => write::framing(out, self.sends),
        }
        match (self.keeps_alive, self.version) {
            (false, _) => out.extend_from_slice(b"connection: close\r\n"),
            (true, Version::HTTP_10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (true, _) => {}
        }
        out.extend_from_slice(b"\r\n");
    }

    /// 101: what follows are the bytes of another protocol.
    fn lay_switch(&mut self, headers: &HeaderMap) {
        let out = self.outbox.laid();
        write::status_line(out, StatusCode::SWITCHING_PROTOCOLS);
        write::fields(out, headers);
        out.extend_from_slice(b"connection: upgrade\r\n\r\n");
        self.is_tunnel = true;
        self.keeps_alive = false;
        self.sends = Framing::UntilClose;
        self.body = Body::new(Framing::UntilClose);
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, FrontFault>> {
        if self.has_ended {
            return Poll::Ready(Ok(0));
        }
        let count = ready!(self.stream.poll_fill(&mut self.inbox, cx)).map_err(FrontFault::Gone)?;
        self.has_ended = count == 0;
        Poll::Ready(Ok(count))
    }
}

impl Front for H1Front {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, FrontFault>> {
        loop {
            match self.body.take(&mut self.inbox).map_err(|_| FrontFault::BadBody)? {
                Piece::Data(data) => return Poll::Ready(Ok(Some(data))),
                Piece::End => return Poll::Ready(Ok(None)),
                Piece::Missing => {}
            }
            make_room(&mut self.inbox, &self.body);
            if ready!(self.poll_fill(cx))? == 0 {
                self.body.ended().map_err(|_| FrontFault::gone())?;
            }
        }
    }

    fn body_trailers(&mut self) -> Option<HeaderMap> {
        self.body.trailers()
    }

    fn is_body_over(&self) -> bool {
        self.body.is_over()
    }

    /// A client that has said all it will may still wait for its response (`printf … | nc`): only an error means that it has gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.body.is_over() && !self.has_ended && self.inbox.len() < AHEAD_MAX {
            self.inbox.reserve(ROOM / 4);
            match self.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
            }
        }
        Poll::Pending
    }

    fn inform(&mut self, status: StatusCode, headers: HeaderMap) {
        // A client of 1.0 knows no such heads (RFC 9110 section 15.2).
        if self.version == Version::HTTP_11 {
            let out = self.outbox.laid();
            write::status_line(out, status);
            write::fields(out, &headers);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn distrust(&mut self) {
        self.keeps_alive = false;
        self.is_distrusted = true;
    }

    fn begin(
        &mut self,
        status: StatusCode,
        headers: HeaderMap,
        extent: Extent,
        goes_raw: bool,
    ) -> Result<(), FrontFault> {
        self.has_begun = true;
        if goes_raw {
            self.lay_switch(&headers)
        } else {
            self.lay_head(status, &headers, extent)
        }
        spare::give(headers);
        Ok(())
    }

    fn takes_body(&self) -> bool {
        !self.is_head
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FrontFault>> {
        self.outbox.poll_room(&mut self.stream, cx).map_err(FrontFault::Gone)
    }

    fn push(&mut self, data: Bytes) {
        match self.sends {
            Framing::Chunked => self.outbox.push_chunk(data),
            _ => self.outbox.push(data),
        }
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) {
        self.shuts_down = self.is_tunnel;
        if self.sends == Framing::Chunked {
            let trailers = trailers.filter(|_| self.takes_trailers);
            write::last_chunk(self.outbox.laid(), trailers.as_ref());
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FrontFault>> {
        ready!(self.outbox.poll_flush(&mut self.stream, cx)).map_err(FrontFault::Gone)?;
        if self.shuts_down {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).map_err(FrontFault::Gone)?;
            self.shuts_down = false;
        }
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {
        self.keeps_alive = false;
        self.was_aborted = true;
        if self.has_begun {
            // Without this the end of a body that is delimited by the connection's end would look like its own.
            _ = self.stream.socket().set_zero_linger();
        }
    }

    fn bytes_out(&self) -> u64 {
        self.outbox.total() - self.bytes_before
    }
}
