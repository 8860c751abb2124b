//! Which endpoints may this client be sent to?
//!
//! [`decide`] ranks a VIP's pools for a client by the compiled [`Plan`], drops what health says cannot serve, and picks
//! endpoints. The server and `explain` call the same function; what differs is the [`Tracer`].

use std::net::IpAddr;

use crate::health::table::HealthTable;
use crate::model::{ANSWERS_MAX, EndpointId, Family, Model, PoolId, VipId};

/// Whose place counts: the client's address, cut to what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The address, IPv4 where it was IPv4-mapped, 6to4 or NAT64; bits past `prefix` are zero.
    pub address: IpAddr,
    /// How many bits of it are known: the ECS source prefix length, or all.
    pub prefix: u8,
    /// Whether it came from an EDNS Client Subnet option.
    pub from_subnet: bool,
}

/// What chance and the time of day contribute to a decision; the same draw gives the same decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Draw {
    /// Uniform random bits, new for each query.
    pub random: u64,
    /// Seconds since the epoch: which TTL's time a weighted draw belongs to.
    pub seconds: u64,
}

/// Everything `decide` reads that configuration fixes: VIPs, pools and prefix tables, compiled.
#[derive(Debug)]
pub struct Plan {}

/// What a decision comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer with the endpoints; none of the family asked for: NODATA.
    Answer,
    /// NODATA because no pool is left and the VIP says so.
    NoData,
    /// SERVFAIL because no pool is left and the VIP says so.
    ServFail,
}

/// Why this pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The policy's first choice.
    Preferred,
    /// A later choice of the policy.
    NextRanked,
    /// A fallback of a pool that is down.
    Fallback,
    /// The nearest of the VIP's other pools.
    Nearest,
    /// No pool is left: as `when_all_down` says.
    AllDown,
}

/// The outcome for one client.
#[derive(Debug, Clone, Copy)]
pub struct Decision {
    picks: [EndpointId; ANSWERS_MAX],
    count: u8,
    /// What to answer.
    pub verdict: Verdict,
    /// The pool the endpoints come from.
    pub pool: Option<PoolId>,
    /// Why that pool.
    pub reason: Reason,
    /// Seconds.
    pub ttl: u32,
    /// The prefix length, in the family of the client's address, within which every client gets this decision; 0 when
    /// it does not depend on the client.
    pub scope: u8,
}

impl Decision {
    /// The endpoints to answer, in order; all of the family asked for.
    pub fn endpoints(&self) -> &[EndpointId] {
        &self.picks[..self.count as usize]
    }
}

/// Is told each step of a decision. [`Silent`] is compiled to nothing.
pub trait Tracer {
    // steps are defined in trace.rs
}

/// Hears nothing.
pub struct Silent;
impl Tracer for Silent {}

impl Plan {
    /// The address of an endpoint.
    pub fn address(&self, id: EndpointId) -> IpAddr {
        let _ = id;
        todo!()
    }
    /// The model it was compiled from.
    pub fn model(&self) -> &Model {
        todo!()
    }
}

/// Decides for one client.
pub fn decide<T: Tracer>(
    plan: &Plan,
    health: &HealthTable,
    vip: VipId,
    family: Family,
    client: &Client,
    draw: Draw,
    tracer: &mut T,
) -> Decision {
    let _ = (plan, health, vip, family, client, draw, tracer);
    todo!()
}
