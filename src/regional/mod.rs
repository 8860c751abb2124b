//! The regional tier compiled: what listeners do with requests, and among whom each pool chooses.
//!
//! Made once for each snapshot from the model; a worker reads tables. Health is not here: [`members`] puts it beside a pool's
//! plan, and so says who may be chosen at this moment. Clients who come by an old answer of DNS are sent on by [`elsewhere`] and counted
//! by [`tail`]. Nothing here knows a socket.

pub mod choice;
pub mod elsewhere;
pub mod flow;
pub mod front;
pub mod members;
pub mod pool;
pub mod tail;
pub mod which;

use std::sync::Arc;

use crate::health::table::HealthTable;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::VipId;
use crate::regional::elsewhere::Names;
use crate::regional::elsewhere::Site;
use crate::regional::elsewhere::Stays;
use crate::regional::elsewhere::Visitor;
use crate::regional::elsewhere::reached;
use crate::regional::flow::FlowPlan;
use crate::regional::front::Front;
use crate::regional::pool::PoolPlan;
use crate::regional::which::Serves;
use crate::steering::Plan;
use crate::steering::Uses;

/// All listeners and the pools they reach.
#[derive(Debug, Default)]
pub struct Regional {
    /// By the listener's place in the model; none for those that are not HTTP.
    pub fronts: Vec<Option<Arc<Front>>>,
    /// The same of those at L4.
    pub flows: Vec<Option<Arc<FlowPlan>>>,
    /// By [`PoolId`]; none for pools that no listener reaches.
    pools: Vec<Option<Arc<PoolPlan>>>,
    /// By the listener's place in the model: as DNS sees it.
    pub sites: Vec<Site>,
    names: Names,
}

impl Regional {
    /// Of a checked model.
    pub fn compile(model: &Model) -> Self {
        if model.listeners.is_empty() {
            return Regional::default();
        }
        let uses = Uses::of(model);
        let sites: Vec<Site> = model.listeners.iter().map(|listener| Site::of(model, &uses, listener)).collect();
        let fronts = model.listeners.iter().zip(&sites);
        let fronts: Vec<_> =
            fronts.map(|(listener, site)| Front::of(model, &uses, listener, *site).map(Arc::new)).collect();
        let flows: Vec<_> =
            model.listeners.iter().map(|listener| FlowPlan::of(model, listener).map(Arc::new)).collect();
        let mut pools = vec![None; model.pools.len()];
        let of_requests = fronts.iter().flatten().flat_map(|front| front.pools());
        let of_flows = flows.iter().flatten().flat_map(|flow| flow.pools());
        of_requests.chain(of_flows).for_each(|pool| add(model, pool, &mut pools));
        let others = model.listeners.iter().flat_map(|listener| reached(model, &uses, listener));
        others.for_each(|pool| add_one(model, pool, &mut pools));
        Regional { fronts, flows, pools, sites, names: Names::of(model, &uses) }
    }

    /// The pool for a request that came to `site` and whose route names `own`. `visitor` is asked when that pool is not well.
    #[inline]
    pub fn serves<'a>(
        &self,
        site: &Site,
        (plan, health): (&Plan, &HealthTable),
        own: PoolId,
        visitor: impl FnOnce() -> Visitor<'a>,
    ) -> Serves {
        which::serves(plan.model(), health, own, || site.elsewhere(&self.names, (plan, health), &visitor()))
    }

    /// The pool of another region for a request that this one has failed, whatever is believed of its own pools.
    ///
    /// # Errors
    /// Why there is none.
    pub fn beyond(
        &self,
        site: &Site,
        world: (&Plan, &HealthTable),
        visitor: &Visitor<'_>,
    ) -> Result<(VipId, PoolId), Stays> {
        site.elsewhere(&self.names, world, visitor)
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
        add_one(model, id, pools);
        next = model.pool(id).fallback;
    }
}

fn add_one(model: &Model, id: PoolId, pools: &mut [Option<Arc<PoolPlan>>]) {
    pools[id.index()].get_or_insert_with(|| Arc::new(PoolPlan::of(model, id)));
}
