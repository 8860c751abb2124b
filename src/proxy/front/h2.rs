//! A client over HTTP/2: one stream of its connection.

use std::io;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use h2::Reason;
use h2::RecvStream;
use h2::SendStream;
use h2::server::SendResponse;
use http::HeaderMap;
use http::Method;
use http::Response;
use http::StatusCode;
use http::Version;
use http::header;

use crate::proxy::back::Extent;
use crate::proxy::front::Front;
use crate::proxy::front::FrontFault;

/// One request of a client.
#[derive(Debug)]
pub struct H2Front {
    body: RecvStream,
    is_body_over: bool,
    trailers: Option<HeaderMap>,
    response: SendResponse<Bytes>,
    sender: Option<SendStream<Bytes>>,
    /// A piece that waits for the client's window.
    waiting: Bytes,
    has_ended: bool,
    /// The end waits behind the piece that waits, with these after it.
    ends_later: bool,
    last: Option<HeaderMap>,
    is_head: bool,
    bytes_out: u64,
}

impl H2Front {
    /// A request that came.
    pub fn new(body: RecvStream, response: SendResponse<Bytes>, method: &Method) -> Self {
        H2Front {
            is_body_over: body.is_end_stream(),
            body,
            trailers: None,
            response,
            sender: None,
            waiting: Bytes::new(),
            has_ended: false,
            ends_later: false,
            last: None,
            is_head: *method == Method::HEAD,
            bytes_out: 0,
        }
    }

    /// Whether a response's head was sent.
    pub fn has_begun(&self) -> bool {
        self.sender.is_some()
    }

    /// Tells the client that nobody reads the rest of what it sends: the response is whole all the same (RFC 9113 section 8.1).
    pub fn end(mut self) {
        if !self.is_body_over && self.has_ended {
            self.response.send_reset(Reason::NO_ERROR);
        }
    }
}

fn gone(error: h2::Error) -> FrontFault {
    FrontFault::Gone(io::Error::other(error))
}

impl Front for H2Front {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, FrontFault>> {
        while !self.is_body_over {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => {
                    _ = self.body.flow_control().release_capacity(data.len());
                    self.is_body_over = self.body.is_end_stream();
                    if !data.is_empty() {
                        return Poll::Ready(Ok(Some(data)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(gone(error))),
                None => {
                    self.trailers = ready!(self.body.poll_trailers(cx)).map_err(gone)?;
                    self.is_body_over = true;
                }
            }
        }
        Poll::Ready(Ok(None))
    }

    fn body_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    fn is_body_over(&self) -> bool {
        self.is_body_over
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sender {
            Some(sender) if !self.has_ended => sender.poll_reset(cx).map(|_| ()),
            Some(_) => Poll::Pending,
            None => self.response.poll_reset(cx).map(|_| ()),
        }
    }

    fn inform(&mut self, status: StatusCode, headers: HeaderMap) {
        let mut head = Response::new(());
        *head.status_mut() = status;
        *head.headers_mut() = headers;
        // A stream that is gone is found out by the next step.
        _ = self.response.send_informational(head);
    }

    fn distrust(&mut self) {}

    fn begin(
        &mut self,
        status: StatusCode,
        mut headers: HeaderMap,
        extent: Extent,
        goes_raw: bool,
    ) -> Result<(), FrontFault> {
        let has_no_body = self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        headers.remove(header::TRANSFER_ENCODING);
        match extent {
            _ if goes_raw || has_no_body => {}
            Extent::None => _ = headers.insert(header::CONTENT_LENGTH, 0.into()),
            Extent::Length(length) => _ = headers.insert(header::CONTENT_LENGTH, length.into()),
            Extent::Open => _ = headers.remove(header::CONTENT_LENGTH),
        }
        let mut head = Response::new(());
        // An extended CONNECT is agreed to with a 200 (RFC 8441 section 5).
        *head.status_mut() = if goes_raw { StatusCode::OK } else { status };
        *head.version_mut() = Version::HTTP_2;
        if goes_raw {
            for name in [header::UPGRADE, header::CONNECTION, header::CONTENT_LENGTH, header::SEC_WEBSOCKET_ACCEPT] {
                headers.remove(name);
            }
        }
        *head.headers_mut() = headers;
        let is_whole = !goes_raw && (has_no_body || extent == Extent::None);
        self.has_ended = is_whole;
        self.sender = Some(self.response.send_response(head, is_whole).map_err(gone)?);
        Ok(())
    }

    fn takes_body(&self) -> bool {
        !self.is_head
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FrontFault>> {
        self.poll_flush(cx)
    }

    fn push(&mut self, data: Bytes) {
        if let Some(sender) = &mut self.sender {
            sender.reserve_capacity(data.len());
            self.bytes_out += data.len() as u64;
            self.waiting = data;
        }
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) {
        if self.has_ended {
            return;
        }
        // The last piece and the end leave together where they can: a frame less.
        if let (Some(sender), None) = (&mut self.sender, &trailers)
            && sender.capacity() >= self.waiting.len()
        {
            self.has_ended = true;
            _ = sender.send_data(std::mem::take(&mut self.waiting), true);
            return;
        }
        self.last = trailers;
        self.has_ended = true;
        self.ends_later = true;
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FrontFault>> {
        let Some(sender) = &mut self.sender else { return Poll::Ready(Ok(())) };
        while !self.waiting.is_empty() {
            match ready!(sender.poll_capacity(cx)) {
                None => return Poll::Ready(Err(FrontFault::gone())),
                Some(Err(error)) => return Poll::Ready(Err(gone(error))),
                Some(Ok(capacity)) => {
                    let piece = self.waiting.split_to(capacity.min(self.waiting.len()));
                    sender.send_data(piece, false).map_err(gone)?;
                }
            }
        }
        if std::mem::take(&mut self.ends_later) {
            match self.last.take() {
                Some(trailers) => sender.send_trailers(trailers).map_err(gone)?,
                None => sender.send_data(Bytes::new(), true).map_err(gone)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {
        self.response.send_reset(if self.sender.is_some() { Reason::INTERNAL_ERROR } else { Reason::CANCEL });
    }

    fn bytes_out(&self) -> u64 {
        self.bytes_out
    }
}
