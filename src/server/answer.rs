//! What do the transports ask for an answer?
//!
//! An [`Answer`]: the responder over the published world in the server, an echo in the tests of the transports. It is a
//! type parameter, so a UDP worker's loop has the responder compiled into it.

use std::net::IpAddr;

use crate::responder::{Outcome, Transport};

/// Answers queries for every transport.
pub trait Answer: Send + Sync + 'static {
    /// What one thread or one request sees of the world.
    type View: Send;

    /// A view that is up to date.
    fn view(&self) -> Self::View;

    /// A view for a thread that keeps it and is the only one to answer with it: a UDP worker's.
    fn worker_view(&self) -> Self::View {
        self.view()
    }

    /// Brings a view up to date; what is answered until the next call comes from one world. A UDP worker calls it once
    /// for each batch, and now and then while it is idle, so that no former world is kept alive for long.
    fn refresh(&self, view: &mut Self::View);

    /// Told of the queries of a batch before they are answered one by one, so that what they need of memory can be on its
    /// way together. Changes no answer.
    fn read_ahead<'q>(&self, view: &Self::View, queries: impl Iterator<Item = &'q [u8]>) {
        let _ = (view, queries);
    }

    /// Answers one query into `out`; `random` are uniform bits, new for each query.
    fn answer(
        &self,
        view: &Self::View,
        query: &[u8],
        source: IpAddr,
        transport: Transport,
        random: u64,
        out: &mut [u8],
    ) -> Outcome;

    /// The messages of the zone transfer that `query` asked for, after an [`Outcome`] with `transfer: Some(zone)`.
    ///
    /// `None` when it may no longer be had; the connection is closed then.
    fn transfer(&self, view: &Self::View, query: &[u8], zone: usize) -> Option<Box<dyn Messages>> {
        let _ = (view, query, zone);
        None
    }
}

/// The messages of a zone transfer (RFC 5936 section 2.2), made one at a time as the client takes them.
pub trait Messages: Send {
    /// Writes the next message into `out` and says how long it is; 0 after the last.
    fn next_message(&mut self, out: &mut [u8]) -> usize;
}
