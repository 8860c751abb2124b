//! How many queries came, what was answered, and what was lost on the way.
//!
//! A UDP worker counts a batch in a [`Tally`] on its stack and adds that once; nobody else writes its [`Counters`], so
//! the cache line stays its own. Readers add up all of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::dns::code::rcode;
use crate::responder::Outcome;

/// Response codes counted apart; 0 to 22 are assigned, and 23 (BADCOOKIE) and all above share the last place.
pub const RCODES: usize = 24;

/// The names of the codes above the header's four bits that are counted apart (IANA "DNS RCODEs").
const EXTENDED: [&str; RCODES - 16] =
    ["BADVERS", "BADKEY", "BADTIME", "BADMODE", "BADNAME", "BADALG", "BADTRUNC", "other"];
/// Those of four bits that mean nothing.
const UNASSIGNED: [&str; 4] = ["RCODE12", "RCODE13", "RCODE14", "RCODE15"];

/// An extended response code's name; `other` for those that are not counted apart.
pub fn code_name(code: u16) -> &'static str {
    let code = usize::from(code).min(RCODES - 1);
    let named = rcode::NAMES.iter().chain(&UNASSIGNED).chain(&EXTENDED).nth(code);
    named.expect("there are as many names as codes are counted apart")
}

/// Plain numbers: of one batch, or the sum over all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Messages that came.
    pub queries: u64,
    /// Responses sent, by extended response code.
    pub responses: [u64; RCODES],
    /// Messages that deserve no response: responses themselves, and what is too short to be a query.
    pub ignored: u64,
    /// Datagrams that were not looked into: too long to be a query, or from port 0, where nobody can be answered.
    pub unreadable: u64,
    /// Responses the kernel did not take: no route, a firewall, a full queue, or a client that went away.
    pub unsent: u64,
    /// Queries whose answering failed by a defect of ours; SERVFAIL was sent.
    pub panics: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused because too many were open, over all or from one address.
    pub refused_connections: u64,
    /// Connections closed because the client was too slow: to ask, to finish asking, or to read.
    pub timed_out_connections: u64,
}

impl Tally {
    /// Counts what became of a query.
    #[inline]
    pub fn count(&mut self, outcome: &Outcome) {
        if outcome.bytes == 0 && outcome.transfer.is_none() {
            self.ignored += 1;
        } else {
            self.responses[usize::from(outcome.rcode).min(RCODES - 1)] += 1;
        }
    }
}

/// Numbers that others may read while they grow. Aligned so that two workers' never share a cache line (pairs of lines
/// are fetched together on x86, hence 128).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    queries: AtomicU64,
    responses: [AtomicU64; RCODES],
    ignored: AtomicU64,
    unreadable: AtomicU64,
    unsent: AtomicU64,
    panics: AtomicU64,
    connections: AtomicU64,
    refused_connections: AtomicU64,
    timed_out_connections: AtomicU64,
}

impl Counters {
    /// Adds the numbers of a batch.
    pub fn add(&self, tally: &Tally) {
        let add = |counter: &AtomicU64, by: u64| {
            if by > 0 {
                counter.fetch_add(by, Relaxed);
            }
        };
        add(&self.queries, tally.queries);
        for (counter, by) in self.responses.iter().zip(tally.responses) {
            add(counter, by);
        }
        add(&self.ignored, tally.ignored);
        add(&self.unreadable, tally.unreadable);
        add(&self.unsent, tally.unsent);
        add(&self.panics, tally.panics);
        add(&self.connections, tally.connections);
        add(&self.refused_connections, tally.refused_connections);
        add(&self.timed_out_connections, tally.timed_out_connections);
    }

    /// Adds these counters to `sum`.
    pub fn add_to(&self, sum: &mut Tally) {
        sum.queries += self.queries.load(Relaxed);
        for (sum, counter) in sum.responses.iter_mut().zip(&self.responses) {
            *sum += counter.load(Relaxed);
        }
        sum.ignored += self.ignored.load(Relaxed);
        sum.unreadable += self.unreadable.load(Relaxed);
        sum.unsent += self.unsent.load(Relaxed);
        sum.panics += self.panics.load(Relaxed);
        sum.connections += self.connections.load(Relaxed);
        sum.refused_connections += self.refused_connections.load(Relaxed);
        sum.timed_out_connections += self.timed_out_connections.load(Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(bytes: usize, rcode: u16) -> Outcome {
        Outcome { bytes, rcode, ..Outcome::default() }
    }

    #[test]
    fn what_was_counted_is_read_back() {
        let mut tally = Tally { queries: 4, unsent: 1, ..Tally::default() };
        for outcome in [outcome(20, 0), outcome(12, 3), outcome(12, 4095), outcome(0, 0)] {
            tally.count(&outcome);
        }
        let counters = Counters::default();
        counters.add(&tally);
        counters.add(&tally);
        let mut sum = Tally::default();
        counters.add_to(&mut sum);
        assert_eq!((sum.queries, sum.unsent, sum.ignored), (8, 2, 2));
        assert_eq!((sum.responses[0], sum.responses[3], sum.responses[RCODES - 1]), (2, 2, 2));
    }
}
