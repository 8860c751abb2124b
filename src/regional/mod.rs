//! The regional tier compiled: what listeners do with requests, and among whom each pool chooses.
//!
//! Made once for each snapshot from the model; a worker reads tables. Health is not here: [`members`] puts it beside a pool's
//! plan, and so says who may be chosen at this moment. Nothing here knows a socket.

pub mod choice;
pub mod flow;
pub mod front;
pub mod members;
pub mod pool;
pub mod which;

use std::sync::Arc;

use crate::model::Model;
use crate::model::PoolId;
use crate::regional::flow::FlowPlan;
use crate::regional::front::Front;
use crate::regional::pool::PoolPlan;

/// All listeners and the pools they reach.
#[derive(Debug, Default)]
pub struct Regional {
    /// By the listener's place in the model; none for those that are not HTTP.
    pub fronts: Vec<Option<Arc<Front>>>,
    /// The same of those at L4.
    pub flows: Vec<Option<Arc<FlowPlan>>>,
    /// By [`PoolId`]; none for pools that no listener reaches.
    pools: Vec<Option<Arc<PoolPlan>>>,
}

impl Regional {
    /// Of a checked model.
    pub fn compile(model: &Model) -> Self {
        let fronts: Vec<_> = model.listeners.iter().map(|listener| Front::of(model, listener).map(Arc::new)).collect();
        let flows: Vec<_> =
            model.listeners.iter().map(|listener| FlowPlan::of(model, listener).map(Arc::new)).collect();
        let mut pools = Vec::new();
        if !fronts.is_empty() {
            pools.resize(model.pools.len(), None);
        }
        let of_requests = fronts.iter().flatten().flat_map(|front| front.pools());
        let of_flows = flows.iter().flatten().flat_map(|flow| flow.pools());
        of_requests.chain(of_flows).for_each(|pool| add(model, pool, &mut pools));
        Regional { fronts, flows, pools }
    }

    /// A pool that a listener reaches.
    #[inline]
    pub fn pool(&self, id: PoolId) -> Option<&Arc<PoolPlan>> {
        self.pools.get(id.index())?.as_ref()
    }

    /// All of them.
    pub fn pools(&self) -> impl Iterator<Item = (PoolId, &Arc<PoolPlan>)> {
        self.pools.iter().enumerate().filter_map(|(at, pool)| Some((PoolId::from(at), pool.as_ref()?)))
    }
}

/// A pool and those it falls back to; chains have no loops.
fn add(model: &Model, first: PoolId, pools: &mut [Option<Arc<PoolPlan>>]) {
    let mut next = Some(first);
    while let Some(id) = next.filter(|id| pools[id.index()].is_none()) {
        pools[id.index()] = Some(Arc::new(PoolPlan::of(model, id)));
        next = model.pool(id).fallback;
    }
}
