//! Numbers that one worker counts and everybody reads.
//!
//! A cell has one writer, so counting is a load, an addition and a store: no locked instruction, and no line of memory
//! that another core writes. Readers may read at any time; all they can miss is the last few. What may have any of many
//! labels (status codes, reasons) takes a place among a few when it first happens, and shares the last one after that.
//!
//! The worker that a cell was handed to, and nobody else, may call what counts. Two writers would lose counts, no more.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    #[inline]
    fn add(&self, by: u64) {
        self.set(self.get().wrapping_add(by));
    }

    #[inline]
    fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    #[inline]
    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What begins and ends: how much there is of it, and how much there was.
#[derive(Debug, Default)]
struct Stay {
    begun: Count,
    ended: Count,
}

impl Stay {
    fn add_to(&self, sum: &mut Stays) {
        // In this order: a reader must not see more ends than begins.
        let ended = self.ended.get();
        let begun = self.begun.get();
        sum.begun += begun;
        sum.now += begun.saturating_sub(ended);
    }
}

/// The sum of what began, and of what has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stays {
    /// Since the start.
    pub begun: u64,
    /// Now.
    pub now: u64,
}

/// Places for what is labelled as it comes.
#[derive(Debug)]
struct Labelled<K, const PLACES: usize> {
    labels: [OnceLock<K>; PLACES],
    counts: [Count; PLACES],
    /// Of those that found no place.
    others: Count,
}

impl<K, const PLACES: usize> Default for Labelled<K, PLACES> {
    fn default() -> Self {
        let (labels, counts) = (std::array::from_fn(|_| OnceLock::new()), std::array::from_fn(|_| Count::default()));
        Labelled { labels, counts, others: Count::default() }
    }
}

impl<K: Copy + Ord, const PLACES: usize> Labelled<K, PLACES> {
    #[inline]
    fn add(&self, label: K) {
        for (known, count) in self.labels.iter().zip(&self.counts) {
            if *known.get_or_init(|| label) == label {
                return count.add(1);
            }
        }
        self.others.add(1);
    }

    /// `None` stands for those that found no place.
    fn add_to(&self, sums: &mut BTreeMap<Option<K>, u64>) {
        for (label, count) in self.labels.iter().map_while(OnceLock::get).zip(&self.counts) {
            *sums.entry(Some(*label)).or_default() += count.get();
        }
        if self.others.get() > 0 {
            *sums.entry(None).or_default() += self.others.get();
        }
    }
}

/// A cell that can be added to those of other workers.
pub trait Summed: Default {
    /// Plain numbers, of all workers.
    type Sums: Default;
    /// Adds these.
    fn add_to(&self, sums: &mut Self::Sums);
}

/// Ends of the buckets of requests' durations, in microseconds: from what a cache answers to what nobody waits for.
pub const DURATION_BUCKETS: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];

/// One more than [`DURATION_BUCKETS`]: the last has no end.
pub type Durations = [u64; DURATION_BUCKETS.len() + 1];

/// Codes of refusals that are counted apart; there are some forty.
const REASONS: usize = 56;

/// What a worker counts of a listener. Cells are so aligned that those of two workers share no line of memory (pairs of
/// lines are fetched together on x86, hence 128).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ListenerCell {
    connections: Stay,
    requests: Stay,
    bytes_in: Count,
    bytes_out: Count,
    durations: [Count; DURATION_BUCKETS.len() + 1],
    micros: Count,
    refused: Labelled<&'static str, REASONS>,
    late: Count,
}

impl ListenerCell {
    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.connections.begun.add(1);
    }

    /// It is closed.
    pub fn connection_closed(&self) {
        self.connections.ended.add(1);
    }

    /// A request has begun.
    #[inline]
    pub fn request_begun(&self) {
        self.requests.begun.add(1);
    }

    /// It is over, after so long.
    #[inline]
    pub fn request_ended(&self, took: Duration) {
        self.requests.ended.add(1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = DURATION_BUCKETS.partition_point(|end| *end < micros);
        self.durations[bucket].add(1);
        self.micros.add(micros);
    }

    /// Bytes came from clients, and went to them.
    #[inline]
    pub fn bytes(&self, came: u64, went: u64) {
        self.bytes_in.add(came);
        self.bytes_out.add(went);
    }

    /// A client came by an old answer: none leads here any more.
    pub fn came_late(&self) {
        self.late.add(1);
    }

    /// Something was not served, for a reason with this stable code: a request, or a connection.
    pub fn refused(&self, code: &'static str) {
        self.refused.add(code);
    }
}

/// The sums of [`ListenerCell`]s.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListenerSums {
    /// Connections of clients.
    pub connections: Stays,
    /// Requests.
    pub requests: Stays,
    /// From clients.
    pub bytes_in: u64,
    /// To clients.
    pub bytes_out: u64,
    /// How many requests took up to each of [`DURATION_BUCKETS`], and not up to the one before.
    pub durations: Durations,
    /// How long all of them took.
    pub micros: u64,
    /// What was not served, by reason.
    pub refused: BTreeMap<Option<&'static str>, u64>,
    /// Requests of clients that came by an old answer.
    pub late: u64,
}

impl Summed for ListenerCell {
    type Sums = ListenerSums;

    fn add_to(&self, sums: &mut ListenerSums) {
        self.connections.add_to(&mut sums.connections);
        self.requests.add_to(&mut sums.requests);
        sums.bytes_in += self.bytes_in.get();
        sums.bytes_out += self.bytes_out.get();
        sums.durations.iter_mut().zip(&self.durations).for_each(|(sum, count)| *sum += count.get());
        sums.micros = sums.micros.wrapping_add(self.micros.get());
        self.refused.add_to(&mut sums.refused);
        sums.late += self.late.get();
    }
}

/// Status codes of a route and pool that are counted apart; a backend that gives more than these has found a use for
/// them that we do not know.
const CODES: usize = 24;

/// What a worker counts of a route and one of its pools.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct RouteCell {
    codes: Labelled<u16, CODES>,
    sent_on: Count,
}

impl RouteCell {
    /// A request was answered so; 0: not at all.
    #[inline]
    pub fn add(&self, status: u16) {
        self.codes.add(status);
    }

    /// It was sent on to another region.
    pub fn sent_on(&self) {
        self.sent_on.add(1);
    }
}

/// The sums of [`RouteCell`]s.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteSums {
    /// Requests by status.
    pub codes: BTreeMap<Option<u16>, u64>,
    /// Requests that another region was asked to serve.
    pub sent_on: u64,
}

impl Summed for RouteCell {
    type Sums = RouteSums;

    fn add_to(&self, sums: &mut RouteSums) {
        self.codes.add_to(&mut sums.codes);
        sums.sent_on += self.sent_on.get();
    }
}

/// Ways for flows to end that are counted apart.
const FLOW_ENDS: usize = 24;

/// What a worker counts of an L4 listener's flows to one pool.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct FlowCell {
    ends: Labelled<&'static str, FLOW_ENDS>,
}

impl FlowCell {
    /// A flow has ended so: a stable code.
    #[inline]
    pub fn ended(&self, how: &'static str) {
        self.ends.add(how);
    }
}

impl Summed for FlowCell {
    type Sums = BTreeMap<Option<&'static str>, u64>;

    fn add_to(&self, sums: &mut Self::Sums) {
        self.ends.add_to(sums);
    }
}

/// How an endpoint failed a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It refused the connection, or there was no way to it.
    Connect,
    /// It did not take the connection in time.
    ConnectTimeout,
    /// TLS was not agreed on.
    Tls,
    /// It broke the connection off.
    Reset,
    /// It did not answer in time.
    ResponseTimeout,
    /// What it said is no HTTP.
    Malformed,
    /// It refused the HTTP/2 stream.
    RefusedStream,
    /// It answered, with 500 or above.
    Status,
}

impl Failure {
    /// All of them, in the order of their numbers.
    pub const ALL: [Failure; 8] = [
        Failure::Connect,
        Failure::ConnectTimeout,
        Failure::Tls,
        Failure::Reset,
        Failure::ResponseTimeout,
        Failure::Malformed,
        Failure::RefusedStream,
        Failure::Status,
    ];

    /// The stable code of logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::ConnectTimeout => "connect_timeout",
            Failure::Tls => "tls",
            Failure::Reset => "reset",
            Failure::ResponseTimeout => "response_timeout",
            Failure::Malformed => "malformed",
            Failure::RefusedStream => "refused_stream",
            Failure::Status => "5xx",
        }
    }
}

/// What a worker counts of a pool.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct PoolCell {
    failures: [Count; Failure::ALL.len()],
    retries: Count,
    retries_refused: Count,
    panic: Count,
    queue: Stay,
    queue_timeouts: Count,
    sticky_hits: Count,
    sticky_misses: Count,
}

impl PoolCell {
    /// One of its endpoints failed a request.
    pub fn failed(&self, how: Failure) {
        self.failures[how as usize].add(1);
    }

    /// A request is tried again.
    pub fn retried(&self) {
        self.retries.add(1);
    }

    /// It would be, had there not been too many of those.
    pub fn retry_refused(&self) {
        self.retries_refused.add(1);
    }

    /// Whether it is so short of endpoints that all of them are used.
    pub fn panics(&self, panics: bool) {
        self.panic.set(panics.into());
    }

    /// A request waits for an endpoint.
    pub fn queued(&self) {
        self.queue.begun.add(1);
    }

    /// It waits no more: there is one, or nobody waits for the response any more.
    pub fn left_queue(&self) {
        self.queue.ended.add(1);
    }

    /// It waits no more, since it has waited for too long.
    pub fn queue_timed_out(&self) {
        self.queue.ended.add(1);
        self.queue_timeouts.add(1);
    }

    /// A cookie was to bring a request to its endpoint; whether it did.
    pub fn stuck(&self, found: bool) {
        if found { &self.sticky_hits } else { &self.sticky_misses }.add(1);
    }
}

/// The sums of [`PoolCell`]s.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolSums {
    /// By [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// Requests that were tried again.
    pub retries: u64,
    /// Requests that were not, for the budget.
    pub retries_refused: u64,
    /// Workers that use all endpoints, the down ones too.
    pub panicking: u64,
    /// Requests that wait for an endpoint.
    pub queue: Stays,
    /// Requests that waited for too long.
    pub queue_timeouts: u64,
    /// Requests that a cookie brought to their endpoint.
    pub sticky_hits: u64,
    /// Requests whose cookie named none that may be used.
    pub sticky_misses: u64,
}

impl Summed for PoolCell {
    type Sums = PoolSums;

    fn add_to(&self, sums: &mut PoolSums) {
        sums.failures.iter_mut().zip(&self.failures).for_each(|(sum, count)| *sum += count.get());
        sums.retries += self.retries.get();
        sums.retries_refused += self.retries_refused.get();
        sums.panicking += self.panic.get();
        self.queue.add_to(&mut sums.queue);
        sums.queue_timeouts += self.queue_timeouts.get();
        sums.sticky_hits += self.sticky_hits.get();
        sums.sticky_misses += self.sticky_misses.get();
    }
}

/// What a worker counts of an endpoint.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct EndpointCell {
    requests: Stay,
    ejections: Count,
}

impl EndpointCell {
    /// A request was sent to it.
    #[inline]
    pub fn request_begun(&self) {
        self.requests.begun.add(1);
    }

    /// That is over.
    #[inline]
    pub fn request_ended(&self) {
        self.requests.ended.add(1);
    }

    /// It was left out for its failures.
    pub fn ejected(&self) {
        self.ejections.add(1);
    }
}

/// The sums of [`EndpointCell`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointSums {
    /// Requests, attempts counted one by one.
    pub requests: Stays,
    /// How often it was left out for its failures.
    pub ejections: u64,
}

impl Summed for EndpointCell {
    type Sums = EndpointSums;

    fn add_to(&self, sums: &mut EndpointSums) {
        self.requests.add_to(&mut sums.requests);
        sums.ejections += self.ejections.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_take_places_as_they_come_and_the_rest_share_one() {
        let cell = RouteCell::default();
        (200..250).for_each(|status| cell.add(status));
        (0..3).for_each(|_| cell.add(200));
        let mut sums = RouteSums::default();
        cell.add_to(&mut sums);
        cell.add_to(&mut sums);
        let sums = sums.codes;
        assert_eq!((sums[&Some(200)], sums[&Some(223)], sums.get(&Some(224))), (8, 2, None));
        assert_eq!(sums[&None], 2 * (50 - CODES as u64));
    }

    #[test]
    fn durations_fall_into_the_bucket_whose_end_they_do_not_pass() {
        let cell = ListenerCell::default();
        for micros in [0, 500, 501, 30_000_000, 30_000_001] {
            cell.request_begun();
            cell.request_ended(Duration::from_micros(micros));
        }
        let mut sums = ListenerSums::default();
        cell.add_to(&mut sums);
        assert_eq!((sums.durations[0], sums.durations[1], sums.durations[14], sums.durations[15]), (2, 1, 1, 1));
        assert_eq!((sums.micros, sums.requests), (60_001_002, Stays { begun: 5, now: 0 }));
    }

    #[test]
    fn failures_are_counted_under_their_own_number() {
        let cell = PoolCell::default();
        for (times, how) in Failure::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| cell.failed(how));
        }
        let mut sums = PoolSums::default();
        cell.add_to(&mut sums);
        assert_eq!(sums.failures, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_reader_never_sees_more_ends_than_begins() {
        let cell = std::sync::Arc::new(EndpointCell::default());
        let counting = std::thread::spawn({
            let cell = cell.clone();
            move || {
                (0..200_000).for_each(|_| {
                    cell.request_begun();
                    cell.request_ended();
                })
            }
        });
        while !counting.is_finished() {
            let mut sums = EndpointSums::default();
            cell.add_to(&mut sums);
            assert!(sums.requests.now <= sums.requests.begun);
        }
    }
}
