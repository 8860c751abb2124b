//! Every belief of one moment, by dense id: what queries read.
//!
//! Made from [`Standings`] once for each model and kept up endpoint by endpoint ([`HealthTable::refresh`]), so that a
//! flip costs the pool it happens in and one copy of two flat arrays, whatever the number of VIPs.
//!
//! **When is a pool up?** When at least `min_healthy` of its endpoints are usable, and weights count: an endpoint of
//! weight 0 serves only when every other is gone, so standbys do not make up the number for those they stand behind.
//! The two groups are counted apart, and the pool is up when either one has enough. A weight that an operator ordered
//! counts in place of the configuration's.

mod blocked;
mod ejected;
mod loaded;
mod risen;
mod what_if;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::health::forced::Order;
use crate::health::fronts::Fronts;
use crate::health::standings::{Standings, Subject};
use crate::health::target::check_of;
use crate::model::{Endpoint, EndpointId, Model, Moment, PoolId, RegionId};

pub use blocked::{FrontHealth, Settled};
pub use loaded::PoolLoad;

use blocked::Known;

/// A TTL cap that never binds: nothing probes it, or nothing is in doubt.
pub const HOLDS_FOREVER: u32 = u32::MAX;

/// What a query needs to know of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Whether it may be answered: up (or forced up), not drained, and not ejected or of the last pool that is up.
    pub usable: bool,
    /// Whether failing requests took it out that would be usable but for them.
    pub ejected: bool,
    /// Whether it would be up but for what is behind it: it is a listener of ours that has nobody to send to.
    pub blocked: bool,
    /// Whether an operator took it out (drain, maint): not answered even when all are down, as long as anything is left
    /// that was not.
    pub withdrawn: bool,
    /// How long what is said here holds at least, in seconds: the probes left until it could turn, times the interval.
    pub holds_for: u32,
}

impl EndpointHealth {
    /// Whether it is up for those who see for themselves what requests say: proxies, whose breakers know better.
    #[inline]
    pub const fn is_up_without_ejection(self) -> bool {
        self.usable || self.ejected
    }
}

/// What a query needs to know of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolHealth {
    /// Whether it may be answered: at least `min_healthy` endpoints usable, neither it nor its region withdrawn.
    pub usable: bool,
    /// Whether an operator took it or its region out.
    pub withdrawn: bool,
    /// Whether an endpoint of it has another weight than the configuration's ([`HealthTable::weight_ordered`]).
    pub reweighed: bool,
    /// Whether it is up or down by ejections.
    pub ejections: Ejections,
    /// How many endpoints are usable.
    pub healthy: u32,
    /// How long `usable` holds at least, in seconds.
    pub holds_for: u32,
}

/// What ejections mean for a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ejections {
    /// It is up, or down, with or without them.
    #[default]
    Immaterial,
    /// They alone keep it down.
    Decisive,
    /// They alone would, but do not count: a VIP has no other pool that is up.
    Spared,
}

impl PoolHealth {
    /// Whether it is up for those who see for themselves what requests say.
    #[inline]
    pub const fn is_up_without_ejection(self) -> bool {
        self.usable || matches!(self.ejections, Ejections::Decisive)
    }

    /// Whether ejections do not count in it.
    #[inline]
    pub const fn is_spared(self) -> bool {
        matches!(self.ejections, Ejections::Spared)
    }
}

/// Every belief of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthTable {
    endpoints: Vec<EndpointHealth>,
    pools: Vec<PoolHealth>,
    /// The weights that were ordered, by id: few, so that the endpoints of all other pools stay small in the cache.
    weights: Vec<(EndpointId, u32)>,
    /// When endpoints came up whose weight in a proxy is still growing, by id: few.
    risen: Vec<(EndpointId, Moment)>,
    /// Regions that an operator took out: few.
    withdrawn: Vec<RegionId>,
    /// Endpoints that are listeners of ours.
    fronts: Arc<Fronts>,
    /// What those can do, by their ids.
    fronts_now: Vec<FrontHealth>,
    /// What is known of the load of pools, by id: of those where it is read.
    loads: Vec<(PoolId, PoolLoad)>,
    /// Whether any of them sends clients elsewhere.
    sheds: bool,
}

const UP: EndpointHealth =
    EndpointHealth { usable: true, ejected: false, blocked: false, withdrawn: false, holds_for: HOLDS_FOREVER };

impl HealthTable {
    /// The table for a model and what is believed of it.
    ///
    /// `now` tells how long orders with an end still hold.
    pub fn new(model: &Model, standings: &Standings, now: Moment) -> Self {
        let endpoints = (0..model.endpoints.len()).map(EndpointId::from);
        let weights = endpoints.clone().filter_map(|id| Some((id, standings.endpoints[id.index()].weight?))).collect();
        let endpoints = endpoints.map(|id| endpoint_health(model, standings, id, false, now)).collect();
        let pools = Vec::with_capacity(model.pools.len());
        let (fronts, fronts_now) = fronts(model);
        let (risen, withdrawn, loads) = (Vec::new(), Vec::new(), Vec::new());
        let mut table =
            HealthTable { endpoints, pools, weights, risen, withdrawn, fronts, fronts_now, loads, sheds: false };
        (0..model.regions.len()).map(RegionId::from).for_each(|id| table.refresh_region(standings, id));
        let mut scratch = Vec::new();
        for id in (0..model.pools.len()).map(PoolId::from) {
            let ordered = ordered_of(model, standings, id, now);
            table.pools.push(table.pool_health(model, id, ordered, false, &mut scratch));
        }
        table.settle(model, standings, (0..model.pools.len()).map(PoolId::from), now);
        table
    }

    /// Everything usable, nothing in doubt: for tools that look at configuration alone.
    pub fn all_up(model: &Model) -> Self {
        let pools = model.pools.iter().map(|pool| PoolHealth {
            usable: true,
            withdrawn: false,
            reweighed: false,
            ejections: Ejections::Immaterial,
            healthy: pool.endpoints.len() as u32,
            holds_for: HOLDS_FOREVER,
        });
        let endpoints = vec![UP; model.endpoints.len()];
        let (pools, (fronts, fronts_now)) = (pools.collect(), fronts(model));
        let (weights, risen, withdrawn, loads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        HealthTable { endpoints, pools, weights, risen, withdrawn, fronts, fronts_now, loads, sheds: false }
    }

    /// The same table with these endpoints and pools down: what-if.
    ///
    /// What is assumed holds forever, so a TTL of the result is bounded by real beliefs alone. A pool that was down or
    /// withdrawn stays so.
    pub fn with_down(&self, model: &Model, endpoints: &[EndpointId], pools: &[PoolId]) -> Self {
        let mut table = self.clone();
        for id in endpoints {
            let endpoint = &mut table.endpoints[id.index()];
            let down = EndpointHealth { usable: false, ejected: false, blocked: false, ..*endpoint };
            *endpoint = EndpointHealth { holds_for: HOLDS_FOREVER, ..down };
        }
        let mut scratch = Vec::new();
        for id in endpoints {
            let pool = model.endpoint(*id).pool;
            let before = table.pools[pool.index()];
            let counted = table.pool_health(model, pool, Ordered::NOTHING, before.is_spared(), &mut scratch);
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
        let of_endpoints = endpoints.iter().map(|id| model.endpoint(*id).pool);
        table.follow_up(model, Known::Assumed, of_endpoints.chain(pools.iter().copied()).collect::<Vec<_>>());
        table
    }

    /// The table as it would be if these orders of state, and no others, held for these subjects; TTLs mean nothing in
    /// it. Subjects that are not named stay as they are.
    pub fn supposing(&self, model: &Model, standings: &Standings, orders: &BTreeMap<Subject, Option<Order>>) -> Self {
        let mut table = self.clone();
        let mut pools = BTreeSet::new();
        for (subject, order) in orders {
            match subject {
                Subject::Endpoint(id) => {
                    let belief = &standings.endpoints[id.index()];
                    let spared = table.pool_of(model, *id).is_spared();
                    let health = &mut table.endpoints[id.index()];
                    let is_up = belief.is_up_under(*order);
                    health.ejected = is_up && order.is_none() && belief.ejection.is_some();
                    health.usable = is_up && (!health.ejected || spared);
                    health.withdrawn = order.is_some_and(Order::withdraws);
                    health.blocked = false;
                    pools.insert(model.endpoint(*id).pool);
                }
                Subject::Pool(id) => drop(pools.insert(*id)),
                Subject::Region(region) => {
                    let members = model.pools.iter().enumerate().filter(|(_, pool)| pool.region == *region);
                    pools.extend(members.map(|(at, _)| PoolId::from(at)));
                }
            }
        }
        let mut scratch = Vec::new();
        for &id in &pools {
            let order = |subject| orders.get(&subject).copied().unwrap_or(standings.forced(subject).map(|f| f.order));
            let both = [order(Subject::Pool(id)), order(Subject::Region(model.pool(id).region))];
            let order = both.into_iter().flatten().max_by_key(|order| order.harshness());
            let ordered = Ordered { order, changes_in: HOLDS_FOREVER };
            let spared = table.pools[id.index()].is_spared();
            table.pools[id.index()] = table.pool_health(model, id, ordered, spared, &mut scratch);
        }
        table.follow_up(model, Known::Nothing, pools);
        table
    }

    /// Brings one endpoint and its pool up to date; whether anything changed.
    pub fn refresh(&mut self, model: &Model, standings: &Standings, id: EndpointId, now: Moment) -> bool {
        let after = self.health_of(model, standings, id, self.pool_of(model, id).is_spared(), now);
        let mut changed = std::mem::replace(&mut self.endpoints[id.index()], after) != after;
        changed |= self.reweigh(id, standings.endpoints[id.index()].weight);
        if changed {
            self.refresh_pool(model, standings, model.endpoint(id).pool, now);
        }
        changed
    }

    fn reweigh(&mut self, id: EndpointId, weight: Option<u32>) -> bool {
        match (self.weights.binary_search_by_key(&id, |(id, _)| *id), weight) {
            (Err(_), None) => return false,
            (Ok(at), Some(weight)) if self.weights[at].1 == weight => return false,
            (Ok(at), Some(weight)) => self.weights[at].1 = weight,
            (Ok(at), None) => drop(self.weights.remove(at)),
            (Err(at), Some(weight)) => self.weights.insert(at, (id, weight)),
        }
        true
    }

    /// Brings one pool up to date with its endpoints and orders; whether it changed.
    pub fn refresh_pool(&mut self, model: &Model, standings: &Standings, id: PoolId, now: Moment) -> bool {
        let (ordered, spared) = (ordered_of(model, standings, id, now), self.pools[id.index()].is_spared());
        let after = self.pool_health(model, id, ordered, spared, &mut Vec::new());
        std::mem::replace(&mut self.pools[id.index()], after) != after
    }

    /// Brings one region up to date with its orders.
    pub fn refresh_region(&mut self, standings: &Standings, id: RegionId) {
        self.withdrawn.retain(|withdrawn| *withdrawn != id);
        if standings.forced(Subject::Region(id)).is_some_and(|forced| forced.order.withdraws()) {
            // In one order, however they came: equal tables are equal.
            let at = self.withdrawn.partition_point(|withdrawn| *withdrawn < id);
            self.withdrawn.insert(at, id);
        }
    }

    /// Whether an operator took a region out: nobody is sent there, and who is there is told to go.
    #[inline]
    pub fn is_withdrawn(&self, id: RegionId) -> bool {
        self.withdrawn.contains(&id)
    }

    /// The weight that was ordered for an endpoint, in place of the configuration's. Only pools that are
    /// [`PoolHealth::reweighed`] have such endpoints.
    #[inline]
    pub fn weight_ordered(&self, id: EndpointId) -> Option<u32> {
        let at = self.weights.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.weights[at].1)
    }

    /// The weight that counts for an endpoint.
    pub fn weight(&self, model: &Model, id: EndpointId) -> u32 {
        self.weight_ordered(id).unwrap_or(model.endpoint(id).weight)
    }

    /// What is known of an endpoint.
    pub fn endpoint(&self, id: EndpointId) -> EndpointHealth {
        self.endpoints[id.index()]
    }

    /// What is known of a pool.
    pub fn pool(&self, id: PoolId) -> PoolHealth {
        self.pools[id.index()]
    }

    fn pool_of(&self, model: &Model, id: EndpointId) -> PoolHealth {
        self.pools[model.endpoint(id).pool.index()]
    }

    fn pool_health(
        &self,
        model: &Model,
        id: PoolId,
        ordered: Ordered,
        spared: bool,
        scratch: &mut Vec<u32>,
    ) -> PoolHealth {
        let ejections = self.ejections_in(model, id, ordered, spared, scratch);
        PoolHealth { ejections, ..self.pool_health_by(model, id, ordered, |endpoint| endpoint.usable, scratch) }
    }

    /// The same where these endpoints count as usable.
    fn pool_health_by(
        &self,
        model: &Model,
        id: PoolId,
        ordered: Ordered,
        counts: fn(EndpointHealth) -> bool,
        scratch: &mut Vec<u32>,
    ) -> PoolHealth {
        let needed = model.pool(id).min_healthy.max(1);
        let group = Counted { table: self, model, pool: id, needed, counts };
        let (serving, standby) = (group.count(false, scratch), group.count(true, scratch));
        let usable = serving.enough || standby.enough;
        let holds_for = match (serving.enough, standby.enough) {
            // Both must fail it before it is down.
            (true, true) => serving.holds_for.max(standby.holds_for),
            (true, false) => serving.holds_for,
            (false, true) => standby.holds_for,
            // Either brings it back.
            (false, false) => serving.holds_for.min(standby.holds_for),
        };
        let healthy = serving.usable + standby.usable;
        let reweighed = !self.weights.is_empty() && self.is_reweighed(model, id);
        let ejections = Ejections::Immaterial;
        ordered.changes(PoolHealth { usable, withdrawn: false, reweighed, ejections, healthy, holds_for })
    }

    fn is_reweighed(&self, model: &Model, id: PoolId) -> bool {
        let members = &model.pool(id).endpoints;
        let at = self.weights.partition_point(|(id, _)| id.0 < members.start);
        self.weights.get(at).is_some_and(|(id, _)| id.0 < members.end)
    }
}

/// Endpoints that are listeners of a model, all of which serve so far.
fn fronts(model: &Model) -> (Arc<Fronts>, Vec<FrontHealth>) {
    let fronts = Arc::new(Fronts::of(model));
    let now = vec![FrontHealth::SERVES; fronts.all().count()];
    (fronts, now)
}

/// The endpoints of a pool with a weight, or those without.
struct Group {
    usable: u32,
    enough: bool,
    /// How long `enough` holds at least, in seconds.
    holds_for: u32,
}

/// A pool whose groups are counted.
struct Counted<'a> {
    table: &'a HealthTable,
    model: &'a Model,
    pool: PoolId,
    needed: u32,
    counts: fn(EndpointHealth) -> bool,
}

impl Counted<'_> {
    fn count(&self, standby: bool, scratch: &mut Vec<u32>) -> Group {
        let Counted { table, model, pool, needed, counts } = *self;
        let is_standby = |(id, endpoint): &(EndpointId, &Endpoint)| match table.weights.is_empty() {
            true => endpoint.weight == 0,
            false => table.weight(model, *id) == 0,
        };
        let members = || model.members(pool).filter(|m| is_standby(m) == standby).map(|(id, _)| table.endpoint(id));
        let usable = members().filter(|e| counts(*e)).count() as u32;
        let enough = usable >= needed;
        // It turns when so many of those that hold it there have turned: the soonest that many could is the answer.
        let turns = if enough { usable - needed + 1 } else { needed - usable } as usize;
        scratch.clear();
        scratch.extend(members().filter(|e| counts(*e) == enough).map(|e| e.holds_for));
        let holds_for = match scratch.get(turns - 1) {
            None => HOLDS_FOREVER,
            Some(_) => *scratch.select_nth_unstable(turns - 1).1,
        };
        Group { usable, enough, holds_for }
    }
}

fn endpoint_health(model: &Model, standings: &Standings, id: EndpointId, spared: bool, now: Moment) -> EndpointHealth {
    let belief = &standings.endpoints[id.index()];
    let observed = match &belief.forced {
        Some(_) => HOLDS_FOREVER,
        None => {
            let held = check_of(model, id).and_then(|check| belief.holds_for(check));
            held.map_or(HOLDS_FOREVER, |held| seconds(held.as_secs()))
        }
    };
    let ejected = belief.is_ejected();
    // It is tried at the end of its rest, and may be answered again right after.
    let tried_in = belief.ejection.as_ref().filter(|_| ejected).map(|ejection| ejection.until.since(now).as_secs());
    let holds_for = observed.min(changes_in(standings, Subject::Endpoint(id), now));
    let holds_for = holds_for.min(tried_in.map_or(HOLDS_FOREVER, seconds));
    let usable = belief.is_up_without_ejection() && (!ejected || spared);
    EndpointHealth { usable, ejected, blocked: false, withdrawn: belief.withdrawn(), holds_for }
}

/// What operators say of a pool.
#[derive(Debug, Clone, Copy)]
struct Ordered {
    /// The order that counts: its own or its region's.
    order: Option<Order>,
    /// Seconds until any of them begins or ends.
    changes_in: u32,
}

impl Ordered {
    const NOTHING: Ordered = Ordered { order: None, changes_in: HOLDS_FOREVER };

    /// What is observed of a pool under the order. Forced up means "do not count": one usable endpoint is enough.
    fn changes(self, observed: PoolHealth) -> PoolHealth {
        let changes_in = self.changes_in;
        let as_observed = changes_in.min(observed.holds_for);
        match self.order {
            Some(Order::Drain | Order::Maint) => {
                PoolHealth { usable: false, withdrawn: true, holds_for: changes_in, ..observed }
            }
            Some(Order::Down) => PoolHealth { usable: false, holds_for: changes_in, ..observed },
            Some(Order::Up) => PoolHealth { usable: observed.healthy > 0, holds_for: as_observed, ..observed },
            Some(Order::Weight(_)) | None => PoolHealth { holds_for: as_observed, ..observed },
        }
    }
}

fn ordered_of(model: &Model, standings: &Standings, id: PoolId, now: Moment) -> Ordered {
    if standings.orders.is_empty() {
        return Ordered::NOTHING;
    }
    let pool = model.pool(id);
    let order = standings.order_for(id, pool).map(|forced| forced.order);
    let both = [Subject::Pool(id), Subject::Region(pool.region)];
    let changes_in = both.map(|subject| changes_in(standings, subject, now)).into_iter().min();
    Ordered { order, changes_in: changes_in.unwrap_or(HOLDS_FOREVER) }
}

/// Seconds until an order of this subject begins or ends: what is answered now must not outlive that moment.
fn changes_in(standings: &Standings, subject: Subject, now: Moment) -> u32 {
    let change = standings.orders.of(subject).and_then(|given| given.changes_after(now));
    change.map_or(HOLDS_FOREVER, |at| seconds(at.since(now).as_secs()))
}

/// Below the value that means forever.
fn seconds(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(HOLDS_FOREVER).min(HOLDS_FOREVER - 1)
}
