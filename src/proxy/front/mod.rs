//! The side of a client: a request under way from it, whichever version it speaks.

pub mod h1;
pub mod h2;

use std::io;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;
use http::StatusCode;

use crate::proxy::back::Extent;

/// Why a client does not get its response.
#[derive(Debug)]
pub enum FrontFault {
    /// It has gone.
    Gone(io::Error),
    /// Its body is none.
    BadBody,
    /// Its body is longer than the listener takes.
    TooLong,
    /// What it asks for cannot be said in HTTP/2.
    Unsendable,
    /// Its trailers may not pass.
    Trailers(crate::route::refusal::Refusal),
}

impl FrontFault {
    /// It has gone, or ended what it had begun.
    pub fn gone() -> Self {
        FrontFault::Gone(io::ErrorKind::UnexpectedEof.into())
    }
}

/// A request of a client, and the way back to it.
pub trait Front {
    /// A piece of the request's body; nothing at its end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, FrontFault>>;

    /// The request's trailers, once its body is over.
    fn body_trailers(&mut self) -> Option<HeaderMap>;

    /// Whether all of the body was taken.
    fn is_body_over(&self) -> bool;

    /// Ready when the client has gone, so that nobody waits for the response.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// A head before the response's (1xx).
    fn inform(&mut self, status: StatusCode, headers: HeaderMap);

    /// Nothing that follows on a connection of HTTP/1.1 is to be believed: it ends with this response.
    fn distrust(&mut self);

    /// The response's head; `goes_raw` when what follows are the bytes of an upgrade.
    fn begin(
        &mut self,
        status: StatusCode,
        headers: HeaderMap,
        extent: Extent,
        goes_raw: bool,
    ) -> Result<(), FrontFault>;

    /// Whether the response to this request may have a body: not to HEAD.
    fn takes_body(&self) -> bool;

    /// Ready when a piece of the response's body may be pushed.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FrontFault>>;

    /// A piece of the response's body. Only when there is room.
    fn push(&mut self, data: Bytes);

    /// The response's body is over.
    fn finish(&mut self, trailers: Option<HeaderMap>);

    /// Ready when all that was pushed is written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FrontFault>>;

    /// What was begun cannot be ended: the client must see that it is not whole.
    fn abort(&mut self);

    /// Bytes that went to the client.
    fn bytes_out(&self) -> u64;
}
