//! Bytes on their way out of one connection.
//!
//! Heads, lines and small pieces are laid together and leave in one call; a large piece is not copied, and leaves in the same call
//! as what stands before it. No more than one large piece is held: whoever has another waits until there is room, which is how
//! a slow reader slows its sender.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Buf;
use bytes::Bytes;
use tokio::io::AsyncWrite;

use crate::proxy::h1::write;
use crate::proxy::stream::Stream;

/// Pieces up to this are copied: a copy of it costs less than another element of a call.
const COPIED_MAX: usize = 4 * 1024;
/// With so much laid together there is no room for more.
const LAID_MAX: usize = 16 * 1024;

/// What is to be written.
#[derive(Debug, Default)]
pub struct Outbox {
    laid: Vec<u8>,
    /// How much of it is written.
    written: usize,
    large: Bytes,
    /// What follows the large piece.
    after: Vec<u8>,
    /// What is written so far, for the log.
    total: u64,
}

impl Outbox {
    /// One that begins with room that somebody else had.
    pub fn with_room(mut room: Vec<u8>) -> Self {
        room.clear();
        Outbox { laid: room, ..Outbox::default() }
    }

    /// Room that somebody else had, when it has none.
    pub fn take_room(&mut self, room: Vec<u8>) {
        if self.laid.capacity() == 0 {
            self.laid = room;
            self.laid.clear();
        }
    }

    /// Its room, for somebody else, when all is written.
    pub fn give_room(&mut self) -> Vec<u8> {
        if self.is_empty() { std::mem::take(&mut self.laid) } else { Vec::new() }
    }

    /// Its room, for somebody else.
    pub fn into_room(self) -> Vec<u8> {
        self.laid
    }

    /// Where heads and lines are laid: behind all that was pushed.
    pub fn laid(&mut self) -> &mut Vec<u8> {
        if self.large.is_empty() { &mut self.laid } else { &mut self.after }
    }

    /// The large piece is written: what follows it takes its turn.
    fn settle(&mut self) {
        if self.large.is_empty() && !self.after.is_empty() {
            self.laid.append(&mut self.after);
        }
    }

    /// A piece as it is. Only when there is room.
    pub fn push(&mut self, data: Bytes) {
        debug_assert!(self.large.is_empty());
        if data.len() <= COPIED_MAX {
            self.laid.extend_from_slice(&data);
        } else {
            self.large = data;
        }
    }

    /// A piece as a chunk. Only when there is room.
    pub fn push_chunk(&mut self, data: Bytes) {
        // An empty chunk would end the body.
        if data.is_empty() {
            return;
        }
        write::chunk_size(self.laid(), data.len());
        self.push(data);
        self.laid().extend_from_slice(b"\r\n");
    }

    /// Whether a piece may be pushed.
    pub fn has_room(&self) -> bool {
        self.large.is_empty() && self.laid.len() - self.written < LAID_MAX
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.large.is_empty() && self.laid.len() == self.written && self.after.is_empty()
    }

    /// Bytes written so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Ready when a piece may be pushed.
    pub fn poll_room(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_room() { Poll::Ready(Ok(())) } else { self.poll_flush(stream, cx) }
    }

    /// Ready when all is written.
    pub fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let count = match (&self.laid[self.written..], &self.large[..]) {
                (laid, []) => ready!(Pin::new(&mut *stream).poll_write(cx, laid))?,
                ([], large) => ready!(Pin::new(&mut *stream).poll_write(cx, large))?,
                (laid, large) => {
                    let both = [IoSlice::new(laid), IoSlice::new(large)];
                    ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &both))?
                }
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        if stream.is_tls() { Pin::new(stream).poll_flush(cx) } else { Poll::Ready(Ok(())) }
    }

    fn advance(&mut self, count: usize) {
        self.total += count as u64;
        let of_laid = count.min(self.laid.len() - self.written);
        self.written += of_laid;
        self.large.advance(count - of_laid);
        if self.written == self.laid.len() {
            self.laid.clear();
            self.written = 0;
        }
        if self.large.is_empty() {
            // It may be the last to hold a buffer.
            self.large = Bytes::new();
            self.settle();
        }
    }
}
