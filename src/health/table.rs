//! Every belief of one moment, by dense id: what queries read.

use crate::health::belief::Belief;
use crate::model::{EndpointId, Model, PoolId};

/// A TTL cap that never binds: nothing probes it, or nothing is in doubt.
pub const HOLDS_FOREVER: u32 = u32::MAX;

/// What a query needs to know of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Whether it may be answered: up (or forced up), not drained.
    pub usable: bool,
    /// Whether an operator took it out (drain, maint): never answered, not even when all are down.
    pub withdrawn: bool,
    /// How long what is said here holds at least, in seconds: the probes left until it could turn, times the interval.
    pub holds_for: u32,
}

/// What a query needs to know of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolHealth {
    /// Whether it may be answered: at least `min_healthy` endpoints usable, neither it nor its region withdrawn.
    pub usable: bool,
    /// Whether an operator took it or its region out.
    pub withdrawn: bool,
    /// How many endpoints are usable.
    pub healthy: u32,
    /// How long `usable` holds at least, in seconds.
    pub holds_for: u32,
}

/// Every belief of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthTable {
    endpoints: Vec<EndpointHealth>,
    pools: Vec<PoolHealth>,
}

impl HealthTable {
    /// The table for a model from one belief for each endpoint, by [`EndpointId`].
    pub fn new(model: &Model, beliefs: &[Belief]) -> Self {
        let _ = (model, beliefs);
        todo!()
    }
    /// Everything usable, nothing in doubt: for tools that look at configuration alone.
    pub fn all_up(model: &Model) -> Self {
        let _ = model;
        todo!()
    }
    /// The same table with these endpoints and pools down: what-if.
    pub fn with_down(&self, model: &Model, endpoints: &[EndpointId], pools: &[PoolId]) -> Self {
        let _ = (model, endpoints, pools);
        todo!()
    }
    /// What is known of an endpoint.
    pub fn endpoint(&self, id: EndpointId) -> EndpointHealth {
        self.endpoints[id.index()]
    }
    /// What is known of a pool.
    pub fn pool(&self, id: PoolId) -> PoolHealth {
        self.pools[id.index()]
    }
}
