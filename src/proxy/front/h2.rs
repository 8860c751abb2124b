//! A client over HTTP/2: one stream of its connection.

use std::io;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use h2::Reason;
use h2::RecvStream;
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
use crate::proxy::h2_outbox::H2Outbox;

/// One request of a client.
#[derive(Debug)]
pub struct H2Front {
    body: RecvStream,
    is_body_over: bool,
    trailers: Option<HeaderMap>,
    response: SendResponse<Bytes>,
    outbox: Option<H2Outbox>,
    is_head: bool,
}

impl H2Front {
    /// A request that came.
    pub fn new(body: RecvStream, response: SendResponse<Bytes>, method: &Method) -> Self {
        H2Front {
            is_body_over: body.is_end_stream(),
            body,
            trailers: None,
            response,
            outbox: None,
            is_head: *method == Method::HEAD,
        }
    }

    /// Whether a response's head was sent.
    pub fn has_begun(&self) -> bool {
        self.outbox.is_some()
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
        match &mut self.outbox {
            Some(outbox) if !outbox.is_finished() => outbox.poll_reset(cx),
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
        let sender = self.response.send_response(head, is_whole).map_err(gone)?;
        self.outbox = Some(H2Outbox::new(sender, is_whole));
        Ok(())
    }

    fn takes_body(&self) -> bool {
        !self.is_head
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FrontFault>> {
        self.poll_flush(cx)
    }

    fn push(&mut self, data: Bytes) {
        if let Some(outbox) = &mut self.outbox {
            outbox.push(data);
        }
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) {
        if let Some(outbox) = &mut self.outbox {
            outbox.finish(trailers);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FrontFault>> {
        let Some(outbox) = &mut self.outbox else { return Poll::Ready(Ok(())) };
        match ready!(outbox.poll_flush(cx)) {
            None => Poll::Ready(Err(FrontFault::gone())),
            Some(flushed) => Poll::Ready(flushed.map_err(gone)),
        }
    }

    fn abort(&mut self) {
        self.response.send_reset(if self.outbox.is_some() { Reason::INTERNAL_ERROR } else { Reason::CANCEL });
    }

    fn bytes_out(&self) -> u64 {
        self.outbox.as_ref().map_or(0, H2Outbox::sent)
    }
}
