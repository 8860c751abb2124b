//! Every belief of one moment, by dense id: what queries read.
//!
//! Made from [`Standings`] once for each model and kept up endpoint by endpoint ([`HealthTable::refresh`]), so that a
//! flip costs the pool it happens in and one copy of two flat arrays, whatever the number of VIPs.
//!
//! **When is a pool up?** When at least `min_healthy` of its endpoints are usable, and weights count: an endpoint of
//! weight 0 serves only when every other is gone, so standbys do not make up the number for those they stand behind.
//! The two groups are counted apart, and the pool is up when either one has enough.

use crate::health::belief::Belief;
use crate::health::forced::{Forced, Order};
use crate::health::standings::Standings;
use crate::health::target::check_of;
use crate::model::{EndpointId, Model, Moment, PoolId};

/// A TTL cap that never binds: nothing probes it, or nothing is in doubt.
pub const HOLDS_FOREVER: u32 = u32::MAX;

/// What a query needs to know of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Whether it may be answered: up (or forced up), not drained.
    pub usable: bool,
    /// Whether an operator took it out (drain, maint): not answered even when all are down, as long as anything is left
    /// that was not.
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

const UP: EndpointHealth = EndpointHealth { usable: true, withdrawn: false, holds_for: HOLDS_FOREVER };

impl HealthTable {
    /// The table for a model and what is believed of it.
    ///
    /// `now` tells how long orders with an end still hold.
    pub fn new(model: &Model, standings: &Standings, now: Moment) -> Self {
        let endpoints = (0..model.endpoints.len()).map(EndpointId::from);
        let endpoints = endpoints.map(|id| endpoint_health(model, id, &standings.endpoints[id.index()], now));
        let mut table = HealthTable { endpoints: endpoints.collect(), pools: Vec::with_capacity(model.pools.len()) };
        let mut scratch = Vec::new();
        for id in (0..model.pools.len()).map(PoolId::from) {
            let order = standings.order_for(id, model.pool(id));
            table.pools.push(table.pool_health(model, id, order, now, &mut scratch));
        }
        table
    }

    /// Everything usable, nothing in doubt: for tools that look at configuration alone.
    pub fn all_up(model: &Model) -> Self {
        let pools = model.pools.iter().map(|pool| PoolHealth {
            usable: true,
            withdrawn: false,
            healthy: pool.endpoints.len() as u32,
            holds_for: HOLDS_FOREVER,
        });
        HealthTable { endpoints: vec![UP; model.endpoints.len()], pools: pools.collect() }
    }

    /// The same table with these endpoints and pools down: what-if.
    ///
    /// What is assumed holds forever, so a TTL of the result is bounded by real beliefs alone. A pool that was down or
    /// withdrawn stays so.
    pub fn with_down(&self, model: &Model, endpoints: &[EndpointId], pools: &[PoolId]) -> Self {
        let mut table = self.clone();
        for id in endpoints {
            let endpoint = &mut table.endpoints[id.index()];
            *endpoint = EndpointHealth { usable: false, holds_for: HOLDS_FOREVER, ..*endpoint };
        }
        let mut scratch = Vec::new();
        for id in endpoints {
            let pool = model.endpoint(*id).pool;
            let before = table.pools[pool.index()];
            let counted = table.pool_health(model, pool, None, Moment::default(), &mut scratch);
            if before.usable {
                table.pools[pool.index()] = counted;
            } else {
                table.pools[pool.index()].healthy = counted.healthy;
            }
        }
        for id in pools {
            let pool = &mut table.pools[id.index()];
            *pool = PoolHealth { usable: false, holds_for: HOLDS_FOREVER, ..*pool };
        }
        table
    }

    /// Brings one endpoint and its pool up to date; whether anything changed.
    pub fn refresh(&mut self, model: &Model, standings: &Standings, id: EndpointId, now: Moment) -> bool {
        let after = endpoint_health(model, id, &standings.endpoints[id.index()], now);
        let changed = std::mem::replace(&mut self.endpoints[id.index()], after) != after;
        if changed {
            self.refresh_pool(model, standings, model.endpoint(id).pool, now);
        }
        changed
    }

    /// Brings one pool up to date with its endpoints and orders; whether it changed.
    pub fn refresh_pool(&mut self, model: &Model, standings: &Standings, id: PoolId, now: Moment) -> bool {
        let order = standings.order_for(id, model.pool(id));
        let after = self.pool_health(model, id, order, now, &mut Vec::new());
        std::mem::replace(&mut self.pools[id.index()], after) != after
    }

    /// What is known of an endpoint.
    pub fn endpoint(&self, id: EndpointId) -> EndpointHealth {
        self.endpoints[id.index()]
    }

    /// What is known of a pool.
    pub fn pool(&self, id: PoolId) -> PoolHealth {
        self.pools[id.index()]
    }

    fn pool_health(
        &self,
        model: &Model,
        id: PoolId,
        order: Option<&Forced>,
        now: Moment,
        scratch: &mut Vec<u32>,
    ) -> PoolHealth {
        let needed = model.pool(id).min_healthy.max(1);
        let serving = Group::count(self, model, id, needed, false, scratch);
        let standby = Group::count(self, model, id, needed, true, scratch);
        let usable = serving.enough || standby.enough;
        let holds_for = match (serving.enough, standby.enough) {
            // Both must fail it before it is down.
            (true, true) => serving.holds_for.max(standby.holds_for),
            (true, false) => serving.holds_for,
            (false, true) => standby.holds_for,
            // Either brings it back.
            (false, false) => serving.holds_for.min(standby.holds_for),
        };
        let observed = PoolHealth { usable, withdrawn: false, healthy: serving.usable + standby.usable, holds_for };
        match order {
            None => observed,
            Some(forced) => ordered(observed, forced, now),
        }
    }
}

/// The endpoints of a pool with a weight, or those without.
struct Group {
    usable: u32,
    enough: bool,
    /// How long `enough` holds at least, in seconds.
    holds_for: u32,
}

impl Group {
    fn count(
        table: &HealthTable,
        model: &Model,
        pool: PoolId,
        needed: u32,
        standby: bool,
        scratch: &mut Vec<u32>,
    ) -> Group {
        let members =
            || model.members(pool).filter(|(_, e)| (e.weight == 0) == standby).map(|(id, _)| table.endpoint(id));
        let usable = members().filter(|e| e.usable).count() as u32;
        let enough = usable >= needed;
        // It turns when so many of those that hold it there have turned: the soonest that many could is the answer.
        let turns = if enough { usable - needed + 1 } else { needed - usable } as usize;
        scratch.clear();
        scratch.extend(members().filter(|e| e.usable == enough).map(|e| e.holds_for));
        let holds_for = match scratch.get(turns - 1) {
            None => HOLDS_FOREVER,
            Some(_) => *scratch.select_nth_unstable(turns - 1).1,
        };
        Group { usable, enough, holds_for }
    }
}

fn endpoint_health(model: &Model, id: EndpointId, belief: &Belief, now: Moment) -> EndpointHealth {
    let holds_for = match &belief.forced {
        Some(forced) => forced.seconds_left(now).map_or(HOLDS_FOREVER, seconds),
        None => {
            let held = check_of(model, id).and_then(|check| belief.holds_for(check));
            held.map_or(HOLDS_FOREVER, |held| seconds(held.as_secs()))
        }
    };
    EndpointHealth { usable: belief.usable(), withdrawn: belief.withdrawn(), holds_for }
}

/// What is observed of a pool under an order for it. Forced up means "do not count": one usable endpoint is enough.
fn ordered(observed: PoolHealth, forced: &Forced, now: Moment) -> PoolHealth {
    let left = forced.seconds_left(now).map_or(HOLDS_FOREVER, seconds);
    match forced.order {
        Order::Drain | Order::Maint => PoolHealth { usable: false, withdrawn: true, holds_for: left, ..observed },
        Order::Down => PoolHealth { usable: false, holds_for: left, ..observed },
        Order::Up => PoolHealth { usable: observed.healthy > 0, holds_for: left.min(observed.holds_for), ..observed },
        Order::Weight(_) => observed,
    }
}

/// Below the value that means forever.
fn seconds(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(HOLDS_FOREVER).min(HOLDS_FOREVER - 1)
}
