//! A request on its way over HTTP/2 to an endpoint, and its response: one stream of a shared connection.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use h2::RecvStream;
use h2::SendStream;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::StatusCode;
use http::header;

use crate::proxy::back::Answer;
use crate::proxy::back::BackFault;
use crate::proxy::back::Extent;
use crate::proxy::h2_outbox::H2Outbox;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::upstream::h2_connections::Streams;

/// One stream.
#[derive(Debug)]
pub struct H2Back {
    outbox: H2Outbox,
    response: ResponseFuture,
    is_head: bool,
    /// Of a response with a body.
    receiver: Option<RecvStream>,
    trailers: Option<HeaderMap>,
    /// What an extended CONNECT asked for: a 200 to it is what 101 is in HTTP/1.1.
    upgrade: Option<String>,
    /// Of its connection, while this one is open.
    open: Rc<Streams>,
}

impl H2Back {
    /// Of a stream that was opened.
    pub fn new(
        response: ResponseFuture,
        sender: SendStream<Bytes>,
        has_ended: bool,
        request: &Outgoing,
        open: Rc<Streams>,
    ) -> Self {
        H2Back {
            outbox: H2Outbox::new(sender, has_ended),
            response,
            is_head: request.method == Method::HEAD,
            receiver: None,
            trailers: None,
            upgrade: request.upgrade.clone(),
            open,
        }
    }

    /// Nothing came back in time.
    pub fn doubt(&self) {
        self.open.doubt();
    }

    /// Ready when a piece of the request's body may be pushed.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackFault>> {
        self.poll_flush(cx)
    }

    /// A piece of the request's body. It waits here for the peer's window.
    pub fn push(&mut self, data: Bytes) {
        self.outbox.push(data);
    }

    /// The request's body is over.
    pub fn finish(&mut self, trailers: Option<&HeaderMap>) {
        self.outbox.finish(trailers.cloned());
    }

    /// Ready when all that was pushed is in the connection's hands.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackFault>> {
        match ready!(self.outbox.poll_flush(cx)) {
            None => Poll::Ready(Err(BackFault::Closed)),
            Some(flushed) => Poll::Ready(flushed.map_err(BackFault::of_h2)),
        }
    }

    /// Whether the endpoint may have begun: a stream that was opened has left.
    pub fn has_written(&self) -> bool {
        true
    }

    /// The next head: those of 1xx, then the response's.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, BackFault>> {
        match self.response.poll_informational(cx) {
            Poll::Ready(Some(Ok(head))) => {
                let (parts, ()) = head.into_parts();
                return Poll::Ready(Ok(Answer { status: parts.status, headers: parts.headers, extent: Extent::None }));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(BackFault::of_h2(error))),
            Poll::Ready(None) | Poll::Pending => {}
        }
        let response = ready!(Pin::new(&mut self.response).poll(cx)).map_err(BackFault::of_h2)?;
        let (mut parts, receiver) = response.into_parts();
        if let Some(protocol) = self.upgrade.take_if(|_| parts.status == StatusCode::OK) {
            parts.status = StatusCode::SWITCHING_PROTOCOLS;
            parts.headers.extend(HeaderValue::try_from(protocol).ok().map(|protocol| (header::UPGRADE, protocol)));
        }
        let extent =
            match parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()) {
                _ if receiver.is_end_stream() || self.has_no_body(parts.status) => Extent::None,
                Some(length) => Extent::Length(length),
                None => Extent::Open,
            };
        // What came where nothing may come would be the next response to a client of HTTP/1.1.
        self.receiver = (!self.has_no_body(parts.status)).then_some(receiver);
        Poll::Ready(Ok(Answer { status: parts.status, headers: parts.headers, extent }))
    }

    /// RFC 9110 section 6.4.1.
    fn has_no_body(&self, status: StatusCode) -> bool {
        self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// A piece of the response's body; nothing at its end.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BackFault>> {
        let Some(receiver) = &mut self.receiver else { return Poll::Ready(Ok(None)) };
        loop {
            match ready!(receiver.poll_data(cx)) {
                Some(Ok(data)) => {
                    // What was taken may be sent again by the peer: the client's speed is the bound, not a window of ours.
                    _ = receiver.flow_control().release_capacity(data.len());
                    if !data.is_empty() {
                        return Poll::Ready(Ok(Some(data)));
                    }
                }
                // Whatever the reason: of a stream that ended before it was reset there is no error (RFC 9113 section 8.1).
                Some(Err(error)) => return Poll::Ready(Err(BackFault::of_h2(error))),
                None => break,
            }
        }
        self.trailers = ready!(receiver.poll_trailers(cx)).map_err(BackFault::of_h2)?;
        Poll::Ready(Ok(None))
    }

    /// Whether the last piece of the response's body was taken, and no trailers follow.
    pub fn is_body_over(&self) -> bool {
        self.receiver.as_ref().is_some_and(RecvStream::is_end_stream)
    }

    /// The response's trailers, once its body is over.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }
}

/// A request in the form that h2 sends.
pub fn request(outgoing: &Outgoing, scheme: &str) -> Option<Request<()>> {
    let authority = outgoing.authority.to_str().ok()?;
    let uri = http::Uri::builder().scheme(scheme).authority(authority).path_and_query(outgoing.target());
    let mut request = Request::new(());
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = uri.build().ok()?;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = outgoing.headers.clone();
    request.headers_mut().remove(header::HOST);
    if let Some(protocol) = &outgoing.upgrade {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from(protocol.as_str()));
        request.headers_mut().remove(header::SEC_WEBSOCKET_KEY);
    }
    if let Extent::Length(length) = outgoing.sent_extent() {
        request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    } else {
        request.headers_mut().remove(header::CONTENT_LENGTH);
    }
    Some(request)
}
