//! What do the transports ask for an answer?
//!
//! An [`Answer`]: the responder over the published world in the server, an echo in the tests of the transports. It is a
//! type parameter, so a UDP worker's loop has the responder compiled into it.

use std::net::IpAddr;

use crate::responder::{Outcome, Transport};

/// Answers queries for every transport.
pub trait Answer: Send + Sync + 'static {
    /// What a batch of queries is answered from: the world, loaded once.
    type Pinned;

    /// Loads what the next batch is answered from. Held for one batch, never over a wait.
    fn pin(&self) -> Self::Pinned;

    /// Answers one query into `out`; `random` are uniform bits, new for each query.
    fn answer(
        &self,
        pinned: &Self::Pinned,
        query: &[u8],
        source: IpAddr,
        transport: Transport,
        random: u64,
        out: &mut [u8],
    ) -> Outcome;

    /// The messages of the zone transfer that `query` asked for, after an [`Outcome`] with `transfer: Some(zone)`.
    ///
    /// `None` when it may no longer be had; the connection is closed then.
    fn transfer(&self, pinned: &Self::Pinned, query: &[u8], zone: usize) -> Option<Box<dyn Messages>> {
        let _ = (pinned, query, zone);
        None
    }
}

/// The messages of a zone transfer (RFC 5936 section 2.2), made one at a time as the client takes them.
pub trait Messages: Send {
    /// Writes the next message into `out` and says how long it is; 0 after the last.
    fn next_message(&mut self, out: &mut [u8]) -> usize;
}
