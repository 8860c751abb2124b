//! Regions, pools and their endpoints.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::{CheckId, LoadFeedback, Location, PoolId, RegionId, Upstream};

/// The largest weight: shares are proportions, and nobody needs finer ones.
pub const WEIGHT_MAX: u32 = 65_535;

/// A place where we run.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Its key in the configuration, `eu-west`.
    pub name: String,
    /// What people call it, `Frankfurt`; the name where none was given.
    pub label: String,
    /// Where it is; geoproximity and "nearest" need it.
    pub location: Option<Location>,
    /// How much it bears, in the unit in which demand is told (queries a second, users); `simulate` alone reads it. Nothing
    /// is shed by it.
    pub capacity: Option<u64>,
    /// How many requests in hand it bears, whatever its pools and listeners bear; what it publishes as headroom goes by it.
    pub requests_max: Option<u64>,
}

/// Endpoints of one region that serve the same thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its key in the configuration.
    pub name: String,
    /// Where its endpoints are.
    pub region: RegionId,
    /// How its endpoints are probed; without one they count as up.
    pub check: Option<CheckId>,
    /// How endpoints of the pool are chosen.
    pub balance: Balance,
    /// Fewer endpoints up than this: the pool is down. At least 1.
    pub min_healthy: u32,
    /// Where its clients go when it is down; chains have no loops.
    pub fallback: Option<PoolId>,
    /// Indexes into `Model::endpoints`.
    pub endpoints: Range<u32>,
    /// How a proxy treats it; shared, since most pools leave all of it at the defaults.
    pub upstream: Arc<Upstream>,
    /// From which load on its clients are sent elsewhere; none are when absent.
    pub load: Option<Arc<LoadFeedback>>,
}

/// How the endpoints of a pool are chosen. DNS sees no connections, so `least_conn` and `p2c` never reach a VIP's pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// At random, in proportion to the weights.
    #[default]
    Weighted,
    /// Each in turn.
    RoundRobin,
    /// Fewest requests in flight.
    LeastConn,
    /// The better of two drawn at random.
    P2c,
    /// At random, weights ignored.
    Random,
    /// Weighted rendezvous hashing on the client's prefix.
    Hash,
    /// A ring of virtual nodes.
    RingHash,
    /// Maglev's permutation table.
    Maglev,
    /// The first that is up, in the order written.
    Failover,
}

impl Balance {
    /// The configuration's word.
    pub const fn words(self) -> &'static str {
        match self {
            Balance::Weighted => "weighted",
            Balance::RoundRobin => "round_robin",
            Balance::LeastConn => "least_conn",
            Balance::P2c => "p2c",
            Balance::Random => "random",
            Balance::Hash => "hash",
            Balance::RingHash => "ring_hash",
            Balance::Maglev => "maglev",
            Balance::Failover => "failover",
        }
    }
}

/// One address with a weight, member of one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The pool it belongs to.
    pub pool: PoolId,
    /// The address that answers carry and probes go to.
    pub address: IpAddr,
    /// The port that a proxy connects to, [`super::usual_port`] when absent, and that probes use when the check names none.
    pub port: Option<u16>,
    /// Its share in the pool; 0: only when every other is gone.
    pub weight: u32,
    /// A backup: a proxy sends it requests only as far as the others cannot carry them. DNS treats it as any other.
    pub backup: bool,
}
