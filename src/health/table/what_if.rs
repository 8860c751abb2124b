//! Tables of what is not: another configuration served now, pools drained that are not.

use std::collections::HashMap;

use crate::health::standings::EndpointKey;
use crate::health::table::EndpointHealth;
use crate::health::table::HealthTable;
use crate::health::table::Known;
use crate::health::table::Ordered;
use crate::health::table::PoolHealth;
use crate::health::table::UP;
use crate::health::table::fronts;
use crate::model::EndpointId;
use crate::model::Model;
use crate::model::PoolId;

impl HealthTable {
    /// What would be known of another model if it were served now: what a reload would do to answers.
    ///
    /// An endpoint of the same pool, address and port keeps what is known of it, one that is new is taken to be up: it
    /// will not be answered before a probe has found it so. An order for a pool holds for the pool of that name.
    pub fn carried_over(&self, old: &Model, new: &Model) -> Self {
        let former: HashMap<EndpointKey, EndpointId> =
            (0..old.endpoints.len()).map(EndpointId::from).map(|id| (EndpointKey::of(old, id), id)).collect();
        let former = |id: EndpointId| former.get(&EndpointKey::of(new, id)).copied();
        let ids = (0..new.endpoints.len()).map(EndpointId::from);
        // What is behind it is looked at below.
        let unblocked = |before: EndpointHealth| EndpointHealth {
            usable: before.usable || before.blocked,
            blocked: false,
            ..before
        };
        let endpoints =
            ids.clone().map(|id| former(id).map_or(UP, |before| unblocked(self.endpoint(before)))).collect();
        let weight_of = |id: EndpointId| {
            let at = self.weights.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            Some(self.weights[at].1)
        };
        let weights = match self.weights.is_empty() {
            true => Vec::new(),
            false => ids.filter_map(|id| Some((id, weight_of(former(id)?)?))).collect(),
        };
        let pools = Vec::with_capacity(new.pools.len());
        let (fronts, fronts_now) = fronts(new);
        let nothing = HealthTable::all_up(&Model::default());
        let mut table = HealthTable { endpoints, pools, weights, fronts, fronts_now, ..nothing };
        let pools: HashMap<&str, PoolId> =
            old.pools.iter().enumerate().map(|(at, pool)| (pool.name.as_str(), PoolId::from(at))).collect();
        let mut scratch = Vec::new();
        for id in (0..new.pools.len()).map(PoolId::from) {
            let counted = table.pool_health(new, id, Ordered::NOTHING, false, &mut scratch);
            let pool = pools.get(new.pool(id).name.as_str()).map_or(counted, |before| {
                let by_count = self.pool_health(old, *before, Ordered::NOTHING, false, &mut scratch).usable;
                let before = self.pool(*before);
                // What the count does not explain was ordered.
                let usable = if before.usable == by_count { counted.usable } else { before.usable };
                PoolHealth { usable, withdrawn: before.withdrawn, ejections: before.ejections, ..counted }
            });
            table.pools.push(pool);
        }
        table.follow_up(new, Known::Nothing, (0..new.pools.len()).map(PoolId::from));
        table
    }

    /// The same table with another weight of an endpoint. Its pool is as it was: see [`HealthTable::supposing`].
    pub fn weighing(&self, id: EndpointId, weight: u32) -> Self {
        let mut table = self.clone();
        table.reweigh(id, Some(weight));
        table
    }

    /// The same table with these endpoints and pools taken out as by a drain.
    pub fn with_withdrawn(&self, model: &Model, endpoints: &[EndpointId], pools: &[PoolId]) -> Self {
        let mut table = self.with_down(model, endpoints, pools);
        endpoints.iter().for_each(|id| table.endpoints[id.index()].withdrawn = true);
        pools.iter().for_each(|id| table.pools[id.index()].withdrawn = true);
        table
    }
}
