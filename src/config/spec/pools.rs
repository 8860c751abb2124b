//! `[region.*]` and `[pool.*]` as they were written.

use std::net::IpAddr;

use crate::config::fields::Fields;
use crate::config::fields::List;
use crate::config::fields::Words;
use crate::config::forms;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::loads::Load;
use crate::config::spec::upstream::Upstream;
use crate::model::Balance;
use crate::model::Location;

/// `[region.*]`.
#[derive(Debug)]
pub struct Region {
    /// What people call it.
    pub label: Option<Written<String>>,
    /// Where it is.
    pub location: Option<Written<Location>>,
    /// Whether a location was written, readable or not.
    pub has_location: bool,
    /// How much it bears.
    pub capacity: Option<Written<u64>>,
    /// How many requests in hand it bears.
    pub max_requests: Option<Written<u64>>,
}

/// Ten to the fifteenth: larger figures are typing errors, and sums of smaller ones are exact.
const CAPACITY_MAX: u64 = 1_000_000_000_000_000;

impl Region {
    /// Reads one region.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Region {
        let has_location = fields.has("location");
        let label = fields.form(reports, "label", &forms::TEXT);
        let location = fields.location(reports, "location");
        let capacity = fields.integer(reports, "capacity", 1..=CAPACITY_MAX);
        let max_requests = fields.integer(reports, "max_requests", 1..=CAPACITY_MAX);
        fields.finish(reports);
        Region { label, location, has_location, capacity, max_requests }
    }
}

/// `[pool.*]`.
#[derive(Debug)]
pub struct Pool {
    /// Where it begins.
    pub span: Span,
    /// The name of its region.
    pub region: Option<Written<String>>,
    /// The name of its health check.
    pub health_check: Option<Written<String>>,
    /// How endpoints are chosen.
    pub balance: Option<Written<Balance>>,
    /// Fewer up than this: down.
    pub min_healthy: Option<Written<u64>>,
    /// The name of the pool that takes over.
    pub fallback: Option<Written<String>>,
    /// Its endpoints.
    pub endpoints: Option<List<Endpoint>>,
    /// How proxies treat it.
    pub upstream: Upstream,
    /// From which load on its clients are sent elsewhere.
    pub load: Option<Load>,
}

/// One of `endpoints`.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Its address.
    pub address: Written<IpAddr>,
    /// Its port.
    pub port: Option<Written<u64>>,
    /// Its share.
    pub weight: Option<Written<u64>>,
    /// Whether it is a backup.
    pub backup: Option<Written<bool>>,
}

/// The words of `balance`.
pub const BALANCES: Words<Balance> = Words {
    words: &[
        ("weighted", Balance::Weighted),
        ("round_robin", Balance::RoundRobin),
        ("least_conn", Balance::LeastConn),
        ("p2c", Balance::P2c),
        ("random", Balance::Random),
        ("hash", Balance::Hash),
        ("ring_hash", Balance::RingHash),
        ("maglev", Balance::Maglev),
        ("failover", Balance::Failover),
    ],
};

/// The largest weight, so that the weights of 65,535 endpoints or pools still add up in 32 bits.
pub const WEIGHT_MAX: u64 = crate::model::WEIGHT_MAX as u64;
/// More than one answer could ever need, and the bound that keeps sums of weights in 32 bits.
pub const ENDPOINTS_MAX: usize = 65_535;

impl Pool {
    /// Reads one pool.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Pool {
        fields.require("region", "\"REGION\"");
        fields.require("endpoints", "[{ address = \"192.0.2.10\" }]");
        let span = fields.span;
        let example = "{ address = \"192.0.2.10\" }";
        let pool = Pool {
            span,
            region: fields.name(reports, "region"),
            health_check: fields.name(reports, "health_check"),
            balance: fields.word(reports, "balance", &BALANCES),
            min_healthy: fields.integer(reports, "min_healthy", 1..=ENDPOINTS_MAX as u64),
            fallback: fields.name(reports, "fallback"),
            endpoints: fields.tables(reports, "endpoints", "an endpoint", example).map(|list| endpoints(reports, list)),
            upstream: Upstream::read(reports, &mut fields),
            load: Load::read(reports, &mut fields),
        };
        fields.finish(reports);
        pool
    }
}

fn endpoints(reports: &mut Reports<'_>, list: List<Fields>) -> List<Endpoint> {
    let written = list.items.len();
    let read = |item: Written<Fields>| {
        let span = item.span;
        Endpoint::read(reports, item.value).map(|value| Written { value, span })
    };
    let items: Vec<_> = list.items.into_iter().filter_map(read).collect();
    let complete = list.complete && items.len() == written;
    List { items, span: list.span, complete }
}

impl Endpoint {
    fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Option<Endpoint> {
        fields.require("address", "\"192.0.2.10\"");
        let address = fields.form(reports, "address", &forms::HOST_ADDRESS);
        let port = fields.integer(reports, "port", 1..=65535);
        let weight = fields.integer(reports, "weight", 0..=WEIGHT_MAX);
        let backup = fields.flag(reports, "backup");
        fields.finish(reports);
        Some(Endpoint { address: address?, port, weight, backup })
    }
}
