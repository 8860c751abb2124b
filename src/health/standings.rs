//! Every belief and every order of one moment, by dense id: what the keeper owns and [`HealthTable`] is made from.
//!
//! Ids are those of one [`Model`]; [`Standings::carried_over`] takes what is known from one model to the next, so that
//! a reload forgets nothing it need not forget.
//!
//! [`HealthTable`]: crate::health::table::HealthTable

use std::collections::HashMap;

use crate::health::belief::{Belief, Standing};
use crate::health::forced::Forced;
use crate::health::orders::Orders;
use crate::health::target::check_of;
use crate::model::{EndpointId, HealthCheck, Model, Moment, Pool, PoolId};

pub use crate::health::names::{EndpointKey, Subject};

/// Every belief and every order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standings {
    /// By [`EndpointId`].
    pub endpoints: Vec<Belief>,
    /// Which order of state is in force for a whole pool, by [`PoolId`].
    pub pools: Vec<Option<Box<Forced>>>,
    /// Which order of state is in force for a whole region, by [`RegionId`].
    pub regions: Vec<Option<Box<Forced>>>,
    /// Every order, in force or not.
    pub orders: Orders,
}

impl Standings {
    /// Nothing known and nothing ordered; endpoints that nothing probes are up.
    pub fn unknown(model: &Model, now: Moment) -> Self {
        Standings::recalled(model, &HashMap::new(), now)
    }

    /// Nothing known but what is recalled from before a restart, which counts until the first probes have ended.
    pub fn recalled(model: &Model, known: &HashMap<EndpointKey, Standing>, now: Moment) -> Self {
        let endpoints = (0..model.endpoints.len()).map(EndpointId::from).map(|id| match check_of(model, id) {
            None => Belief::unprobed(now),
            Some(_) if known.is_empty() => Belief::unknown(None, now),
            Some(_) => Belief::unknown(known.get(&EndpointKey::of(model, id)).copied(), now),
        });
        Standings {
            endpoints: endpoints.collect(),
            pools: vec![None; model.pools.len()],
            regions: vec![None; model.regions.len()],
            orders: Orders::default(),
        }
    }

    /// The same for the next model.
    ///
    /// An endpoint of the same pool, address, port and check keeps its belief; one whose check has changed is asked
    /// anew and keeps its standing until the first answer; others start unknown. An ejection stays with its endpoint, orders
    /// go by name.
    pub fn carried_over(&self, old: &Model, new: &Model, now: Moment) -> Self {
        let keys = (0..old.endpoints.len()).map(EndpointId::from);
        let before: HashMap<EndpointKey, EndpointId> = keys.map(|id| (EndpointKey::of(old, id), id)).collect();
        let endpoints = (0..new.endpoints.len()).map(EndpointId::from).map(|id| {
            let check = check_of(new, id);
            let Some(former) = before.get(&EndpointKey::of(new, id)) else { return fresh(check, now) };
            let belief = self.endpoints[former.index()].clone();
            match (check_of(old, *former), check) {
                (None, None) => belief,
                (Some(was), Some(is)) if asks_the_same(was, is) => belief,
                (_, Some(_)) => belief.asked_anew(now),
                (Some(_), None) => belief.asked_no_more(now),
            }
            .without_orders()
        });
        let mut carried = Standings {
            endpoints: endpoints.collect(),
            pools: vec![None; new.pools.len()],
            regions: vec![None; new.regions.len()],
            orders: self.orders.carried_over(old, new),
        };
        let subjects: Vec<Subject> = carried.orders.live().map(|(subject, _)| subject).collect();
        for subject in subjects {
            carried.bring_in_force(subject, now);
        }
        carried
    }

    /// Which order of state is in force for a subject.
    pub fn forced(&self, subject: Subject) -> Option<&Forced> {
        match subject {
            Subject::Endpoint(id) => self.endpoints[id.index()].forced.as_deref(),
            Subject::Pool(id) => self.pools[id.index()].as_deref(),
            Subject::Region(id) => self.regions[id.index()].as_deref(),
        }
    }

    /// Lets those orders of a subject count that count at this moment, and no others; whether that changed anything.
    pub fn bring_in_force(&mut self, subject: Subject, now: Moment) -> bool {
        let given = self.orders.of(subject);
        let state = given.and_then(|given| given.state.as_ref()).filter(|forced| forced.in_force_at(now));
        let weight = given.and_then(|given| given.weight.as_ref()).filter(|forced| forced.in_force_at(now));
        let weight = weight.and_then(|forced| forced.order.weight());
        let changed = self.forced(subject) != state;
        let state = if changed { state.cloned().map(Box::new) } else { None };
        let (slot, weighed) = match subject {
            Subject::Endpoint(id) => {
                let belief = &mut self.endpoints[id.index()];
                let weighed = std::mem::replace(&mut belief.weight, weight) != weight;
                (&mut belief.forced, weighed)
            }
            Subject::Pool(id) => (&mut self.pools[id.index()], false),
            Subject::Region(id) => (&mut self.regions[id.index()], false),
        };
        if changed {
            *slot = state;
        }
        changed || weighed
    }

    /// The order that counts for a pool: its own or its region's, the harsher one.
    pub fn order_for(&self, id: PoolId, pool: &Pool) -> Option<&Forced> {
        let own = self.pools[id.index()].as_deref();
        let all = own.into_iter().chain(self.regions[pool.region.index()].as_deref());
        all.max_by_key(|forced| forced.order.harshness())
    }
}

fn fresh(check: Option<&HealthCheck>, now: Moment) -> Belief {
    check.map_or_else(|| Belief::unprobed(now), |_| Belief::unknown(None, now))
}

/// Whether two checks ask the same question in the same rhythm; their names may differ.
pub fn asks_the_same(a: &HealthCheck, b: &HealthCheck) -> bool {
    let rhythm = |c: &HealthCheck| (c.interval, c.fast, c.timeout, c.fall, c.rise, c.port);
    rhythm(a) == rhythm(b) && a.kind == b.kind
}
