//! Room for reading and writing, handed from connection to connection.
//!
//! A connection that waits for its next request holds none: ten thousand idle ones must cost little. What is handed back is
//! kept up to a bound, and taken again by whoever is next to read.

use std::cell::RefCell;
use std::cell::RefMut;

use bytes::BytesMut;

/// Heads and small bodies.
pub const ROOM: usize = 8 * 1024;
/// A response of 16 KiB, the commonest size of pieces, with its head: one call instead of three.
pub const WIDE_ROOM: usize = 20 * 1024;
/// Of a large body.
pub const LARGE_ROOM: usize = 64 * 1024;
/// Kept for the next: 4 MiB, 10 MiB and 4 MiB.
const KEPT_MAX: usize = 512;

/// The spare room of one core.
#[derive(Debug, Default)]
pub struct Buffers {
    inboxes: RefCell<Vec<BytesMut>>,
    wide: RefCell<Vec<BytesMut>>,
    outboxes: RefCell<Vec<Vec<u8>>>,
    scratch: RefCell<Vec<u8>>,
}

impl Buffers {
    /// Room to read into.
    pub fn inbox(&self) -> BytesMut {
        let spare = self.inboxes.borrow_mut().pop();
        let mut inbox = spare.unwrap_or_default();
        inbox.reserve(ROOM);
        inbox
    }

    /// Room to read a response into.
    pub fn wide_inbox(&self) -> BytesMut {
        let spare = self.wide.borrow_mut().pop();
        let mut inbox = spare.unwrap_or_default();
        inbox.reserve(WIDE_ROOM);
        inbox
    }

    /// Back from a connection that has read everything.
    pub fn return_inbox(&self, mut inbox: BytesMut) {
        // Still shared: whoever has the rest of it frees it.
        if inbox.is_empty() && inbox.try_reclaim(ROOM) {
            match inbox.capacity() {
                capacity if capacity <= 2 * ROOM => keep(&self.inboxes, inbox),
                capacity if capacity <= 2 * WIDE_ROOM => keep(&self.wide, inbox),
                _ => {}
            }
        }
    }

    /// Room to read into what is written at once, without waiting: there is one for all.
    pub fn scratch(&self) -> RefMut<'_, [u8]> {
        let mut scratch = self.scratch.borrow_mut();
        // Made when the first flow has bytes.
        scratch.resize(LARGE_ROOM, 0);
        RefMut::map(scratch, Vec::as_mut_slice)
    }

    /// Room to lay bytes together in.
    pub fn outbox(&self) -> Vec<u8> {
        self.outboxes.borrow_mut().pop().unwrap_or_default()
    }

    /// Back from a connection that has written everything.
    pub fn return_outbox(&self, outbox: Vec<u8>) {
        if (1..=4 * ROOM).contains(&outbox.capacity()) {
            keep(&self.outboxes, outbox);
        }
    }
}

fn keep<T>(kept: &RefCell<Vec<T>>, one: T) {
    let mut kept = kept.borrow_mut();
    if kept.len() < KEPT_MAX {
        kept.push(one);
    }
}
