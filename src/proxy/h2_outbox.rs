//! Bytes on their way out of one stream of HTTP/2.
//!
//! One piece waits here for the peer's window; the end leaves with the last of it, in one frame where no trailers follow.

use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;

/// What is to be sent on a stream.
#[derive(Debug)]
pub struct H2Outbox {
    sender: SendStream<Bytes>,
    waiting: Bytes,
    end: End,
    sent: u64,
}

#[derive(Debug)]
enum End {
    /// More may be pushed.
    Open,
    /// With the last piece, or after it these.
    Due(Option<HeaderMap>),
    Sent,
}

impl H2Outbox {
    /// Of a stream; `has_ended` when its head was its end.
    pub fn new(sender: SendStream<Bytes>, has_ended: bool) -> Self {
        let end = if has_ended { End::Sent } else { End::Open };
        H2Outbox { sender, waiting: Bytes::new(), end, sent: 0 }
    }

    /// A piece. Only when there is room.
    pub fn push(&mut self, data: Bytes) {
        debug_assert!(self.waiting.is_empty());
        self.sender.reserve_capacity(data.len());
        self.sent += data.len() as u64;
        self.waiting = data;
    }

    /// Nothing more comes, but these.
    pub fn finish(&mut self, trailers: Option<HeaderMap>) {
        if matches!(self.end, End::Open) {
            self.end = End::Due(trailers);
        }
    }

    /// Whether nothing more comes.
    pub fn is_finished(&self) -> bool {
        !matches!(self.end, End::Open)
    }

    /// Bytes that were pushed.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Ready when all of it is in the connection's hands; nothing when the stream is gone.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), h2::Error>>> {
        while !self.waiting.is_empty() {
            match ready!(self.sender.poll_capacity(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(capacity)) => {
                    let piece = self.waiting.split_to(capacity.min(self.waiting.len()));
                    let is_last = self.waiting.is_empty() && matches!(self.end, End::Due(None));
                    if let Err(error) = self.sender.send_data(piece, is_last) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    if is_last {
                        self.end = End::Sent;
                    }
                }
            }
        }
        let sent = match &mut self.end {
            End::Open | End::Sent => return Poll::Ready(Some(Ok(()))),
            End::Due(None) => self.sender.send_data(Bytes::new(), true),
            End::Due(Some(trailers)) => self.sender.send_trailers(std::mem::take(trailers)),
        };
        self.end = End::Sent;
        Poll::Ready(Some(sent))
    }

    /// Ready when the peer has reset the stream.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sender.poll_reset(cx).map(|_| ())
    }
}
