//! What was asked and answered, counted by one thread for one snapshot.
//!
//! A flat array of numbers: questions by transport and type, responses by zone and code, decisions by VIP, pool and
//! reason. A UDP worker has an array of its own and is the only one that writes it, so counting is a load, an addition
//! and a store: no lock, no locked instruction, no line of memory that another core writes. Readers may read at any
//! time; all they can miss is the last few. Streams share an array and add atomically: what they cost besides is more.
//!
//! Memory is asked for zeroed and whole, and pages that nothing was counted in are never made: eight bytes for each of
//! 24 codes, 8 for each zone, and 5 for each pair of a VIP and a pool it may use is what a worker can come to.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bytemuck::allocation::zeroed_slice_box;

use crate::responder::Outcome;
use crate::responder::Transport;
use crate::server::counters::RCODES;
use crate::snapshot::Snapshot;
use crate::steering::Reason;

/// Every transport, in the order of their numbers.
pub const TRANSPORTS: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];

/// Question types that are counted apart. The first stands for what was not understood, the second for all others.
pub const TYPES: [(u16, &str); 25] = [
    (0, "none"),
    (0, "other"),
    (1, "A"),
    (28, "AAAA"),
    (65, "HTTPS"),
    (64, "SVCB"),
    (5, "CNAME"),
    (2, "NS"),
    (6, "SOA"),
    (15, "MX"),
    (16, "TXT"),
    (12, "PTR"),
    (33, "SRV"),
    (35, "NAPTR"),
    (39, "DNAME"),
    (43, "DS"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (52, "TLSA"),
    (99, "SPF"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
    (257, "CAA"),
];

/// Response codes that a zone's answers are counted by; the last stands for all others, which zones do not give.
pub const ZONE_CODES: [&str; 8] =
    ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "other"];

/// Types below this are looked up in a table.
const TYPE_NUMBERS: usize = 258;
const TYPE_PLACES: [u8; TYPE_NUMBERS] = type_places();
/// Keeps the numbers of two threads on different lines of memory; pairs of lines are fetched together on x86.
const GAP: usize = 128 / size_of::<AtomicU64>();

const TYPES_AT: usize = GAP;
const OUTSIDE_AT: usize = TYPES_AT + TRANSPORTS.len() * TYPES.len();
const ZONES_AT: usize = OUTSIDE_AT + RCODES;

const fn type_places() -> [u8; TYPE_NUMBERS] {
    let mut places = [1; TYPE_NUMBERS];
    places[0] = 0;
    let mut place = 2;
    while place < TYPES.len() {
        places[TYPES[place].0 as usize] = place as u8;
        place += 1;
    }
    places
}

/// Where a code is counted among [`ZONE_CODES`].
const fn zone_code(rcode: u16) -> usize {
    match rcode {
        0..=5 => rcode as usize,
        6 => 6,
        _ => 7,
    }
}

/// The numbers of one thread, or of all streams, while one snapshot is served.
#[derive(Debug)]
pub struct Counts {
    snapshot: Arc<Snapshot>,
    cells: Box<[AtomicU64]>,
    /// Where the pairs of VIP and pool begin.
    pairs_at: usize,
    /// Whether one thread alone writes it.
    alone: bool,
}

impl Counts {
    /// Nothing counted yet. `alone`: one thread is the only one that will call [`Counts::count`].
    pub fn new(snapshot: Arc<Snapshot>, alone: bool) -> Self {
        let pairs_at = ZONES_AT + snapshot.zones.iter().len() * ZONE_CODES.len();
        let cells = pairs_at + snapshot.plan.uses().pairs() * Reason::ALL.len() + GAP;
        Counts { snapshot, cells: zeroed_slice_box(cells), pairs_at, alone }
    }

    /// The snapshot whose zones and VIPs are counted here.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Whether one thread alone writes it.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Counts what became of a message; `outcome` comes from this snapshot.
    #[inline]
    pub fn count(&self, transport: Transport, outcome: &Outcome) {
        let place = TYPE_PLACES.get(usize::from(outcome.qtype)).map_or(1, |place| usize::from(*place));
        self.add(TYPES_AT + transport as usize * TYPES.len() + place);
        if outcome.bytes == 0 && outcome.transfer.is_none() {
            return;
        }
        match outcome.zone {
            Some(zone) => self.add(ZONES_AT + zone * ZONE_CODES.len() + zone_code(outcome.rcode)),
            None => self.add(OUTSIDE_AT + usize::from(outcome.rcode).min(RCODES - 1)),
        }
        if let Some(vip) = outcome.vip
            && let Some(pair) = self.snapshot.plan.uses().pair(vip, outcome.pool)
        {
            self.add(self.pairs_at + pair * Reason::ALL.len() + outcome.reason as usize);
        }
    }

    #[inline]
    fn add(&self, at: usize) {
        let Some(cell) = self.cells.get(at) else { return };
        if self.alone {
            cell.store(cell.load(Relaxed) + 1, Relaxed);
        } else {
            cell.fetch_add(1, Relaxed);
        }
    }

    /// Adds the questions by transport and type to `sums`, transport after transport.
    pub fn add_types(&self, sums: &mut [u64]) {
        add_all(sums, &self.cells[TYPES_AT..OUTSIDE_AT]);
    }

    /// Adds the responses to what no zone holds, by code.
    pub fn add_outside(&self, sums: &mut [u64]) {
        add_all(sums, &self.cells[OUTSIDE_AT..ZONES_AT]);
    }

    /// Adds the responses of each zone, by [`ZONE_CODES`], zone after zone.
    pub fn add_zones(&self, sums: &mut [u64]) {
        add_all(sums, &self.cells[ZONES_AT..self.pairs_at]);
    }

    /// Adds the decisions of each pair of VIP and pool, by [`Reason::ALL`], pair after pair.
    pub fn add_pairs(&self, sums: &mut [u64]) {
        add_all(sums, &self.cells[self.pairs_at..self.cells.len() - GAP]);
    }
}

fn add_all(sums: &mut [u64], cells: &[AtomicU64]) {
    for (sum, cell) in sums.iter_mut().zip(cells) {
        *sum += cell.load(Relaxed);
    }
}
