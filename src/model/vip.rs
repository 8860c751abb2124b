//! VIPs: names whose answer is chosen per client.

use std::time::Duration;

use super::{GeoCode, NetworkId, PoolId};

/// At most this many records in one VIP answer: sixteen AAAA records with a subnet option still fit 1232 bytes.
pub const ANSWERS_MAX: usize = 16;

/// A DNS name whose answer is chosen per client.
#[derive(Debug, Clone, PartialEq)]
pub struct Vip {
    /// The name, absolute, lower case, in presentation form: `www.example.com.`; may begin with `*.`.
    pub name: String,
    /// How the pools are ordered for a client.
    pub policy: Policy,
    /// The longest TTL of an answer.
    pub ttl: Duration,
    /// The shortest TTL of an answer, however soon a belief may turn.
    pub min_ttl: Duration,
    /// At most this many records in an answer, 1 to [`ANSWERS_MAX`].
    pub answers: u8,
    /// Granularity of anything keyed on the client.
    pub hash: HashGranularity,
    /// What to answer when no pool is left.
    pub when_all_down: WhenAllDown,
    /// What to answer when the chosen pool has no address of the family asked for.
    pub family: FamilyRule,
    /// Where it was written, for traces and problems.
    pub place: Option<super::Place>,
}

impl Vip {
    /// Every pool it names, once, in order.
    pub fn pools(&self) -> Vec<PoolId> {
        let mut pools = Vec::new();
        let mut add = |members: &[Member]| {
            for member in members {
                if !pools.contains(&member.pool) {
                    pools.push(member.pool);
                }
            }
        };
        match &self.policy {
            Policy::Geolocation(rules) => rules.iter().for_each(|rule| add(&rule.members)),
            Policy::Geoproximity(members)
            | Policy::Latency(members)
            | Policy::Weighted(members)
            | Policy::Hash(members)
            | Policy::Failover(members) => add(members),
        }
        pools
    }
}

/// How a VIP orders its pools (Route 53's words).
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// The first rule that matches the client's place.
    Geolocation(Vec<Rule>),
    /// Nearest by great circle, each distance scaled by the member's bias.
    Geoproximity(Vec<Member>),
    /// Lowest by the latency table; those it does not know come after, by distance.
    Latency(Vec<Member>),
    /// A weighted draw for each client prefix and TTL's time, so that A and AAAA agree.
    Weighted(Vec<Member>),
    /// Weighted rendezvous hashing on name and client prefix.
    Hash(Vec<Member>),
    /// As declared.
    Failover(Vec<Member>),
}

/// One pool in a policy or rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// The pool.
    pub pool: PoolId,
    /// Its share among the members of the rule or policy; 0: only when every other is gone.
    pub weight: u32,
    /// −99 to 99: shrinks or widens its region (geoproximity).
    pub bias: i8,
}

/// One rule of a geolocation policy; without any condition it is the catch-all.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Custom networks, any of which matches.
    pub networks: Vec<NetworkId>,
    /// Places, any of which matches when it holds the client's.
    pub geos: Vec<GeoCode>,
    /// Autonomous system numbers, any of which matches.
    pub asns: Vec<u32>,
    /// Where the clients go: one weighted group.
    pub members: Vec<Member>,
    /// Never answer from a pool that is not a member of this rule.
    pub geofence: bool,
    /// Where it was written, for traces.
    pub place: Option<super::Place>,
}

impl Rule {
    /// Whether it matches every client.
    pub fn is_catch_all(&self) -> bool {
        self.networks.is_empty() && self.geos.is_empty() && self.asns.is_empty()
    }
}

/// The prefix lengths to which a client's address is cut before it is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashGranularity {
    /// 0 to 32; 24 unless told.
    pub v4: u8,
    /// 0 to 128; 56 unless told.
    pub v6: u8,
}

impl Default for HashGranularity {
    fn default() -> Self {
        HashGranularity { v4: 24, v6: 56 }
    }
}

/// What to answer when no pool of a VIP is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenAllDown {
    /// As if all were up: a guess is better than no address.
    #[default]
    All,
    /// NOERROR without records.
    NoData,
    /// SERVFAIL, so that resolvers try another server.
    ServFail,
    /// From this pool, up or not.
    Pool(PoolId),
}

/// What to answer when the chosen pool has no address of the family asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FamilyRule {
    /// NODATA, so that A and AAAA never name different regions.
    #[default]
    SameRegion,
    /// The next pool in order that has one.
    AnyRegion,
}

/// An address family, as a query type asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}
