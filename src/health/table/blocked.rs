//! Endpoints that are listeners of ours ([`crate::health::fronts`]): blocked while nothing behind them is up.
//!
//! Whatever changes a pool is followed up from pool to listener to endpoint to pool, until nothing changes any more. `config` refuses
//! listeners that come back to themselves, so it ends.

use std::collections::BTreeSet;

use crate::health::fronts::FrontId;
use crate::health::standings::Standings;
use crate::health::table::Ejections;
use crate::health::table::EndpointHealth;
use crate::health::table::HOLDS_FOREVER;
use crate::health::table::HealthTable;
use crate::health::table::Ordered;
use crate::health::table::PoolHealth;
use crate::health::table::endpoint_health;
use crate::health::table::ordered_of;
use crate::model::EndpointId;
use crate::model::Model;
use crate::model::Moment;
use crate::model::PoolId;

/// What a listener can do at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontHealth {
    /// Whether a pool behind it is up.
    pub serves: bool,
    /// How long that holds at least, in seconds.
    pub holds_for: u32,
}

impl FrontHealth {
    pub(super) const SERVES: FrontHealth = FrontHealth { serves: true, holds_for: HOLDS_FOREVER };

    /// What that makes of an endpoint that is the listener.
    fn applied(self, endpoint: EndpointHealth) -> EndpointHealth {
        let holds_for = endpoint.holds_for.min(self.holds_for);
        match (endpoint.is_up_without_ejection(), self.serves) {
            (true, true) => EndpointHealth { holds_for, ..endpoint },
            (true, false) => EndpointHealth { usable: false, ejected: false, blocked: true, holds_for, ..endpoint },
            (false, _) => endpoint,
        }
    }
}

/// What else has changed, each as it was before.
#[derive(Debug, Default)]
pub struct Settled {
    /// Pools.
    pub pools: Vec<(PoolId, PoolHealth)>,
    /// Endpoints.
    pub endpoints: Vec<(EndpointId, EndpointHealth)>,
}

/// What endpoints are when they are not blocked.
#[derive(Clone, Copy)]
pub(super) enum Known<'a> {
    /// What is believed now.
    Standings(&'a Standings, Moment),
    /// The table alone: what-if.
    Nothing,
    /// The table, in which something is assumed to be down: nothing comes up by that.
    Assumed,
}

impl HealthTable {
    /// Follows up changes of these pools.
    pub fn settle(
        &mut self,
        model: &Model,
        standings: &Standings,
        changed: impl IntoIterator<Item = PoolId>,
        now: Moment,
    ) -> Settled {
        self.follow_up(model, Known::Standings(standings, now), changed)
    }

    pub(super) fn follow_up(
        &mut self,
        model: &Model,
        known: Known<'_>,
        changed: impl IntoIterator<Item = PoolId>,
    ) -> Settled {
        let mut settled = Settled::default();
        if self.fronts.is_empty() {
            return settled;
        }
        let mut open: BTreeSet<PoolId> = changed.into_iter().collect();
        // A circle, which `config` refuses, would go on for ever.
        let mut left = (self.fronts_now.len() + 1) * (model.pools.len() + 1);
        while let Some(pool) = open.pop_first().filter(|_| left > 0) {
            left -= 1;
            for front in self.fronts.clone().of_pool(pool) {
                self.follow_front(model, known, *front, &mut open, &mut settled);
            }
        }
        settled
    }

    fn follow_front(
        &mut self,
        model: &Model,
        known: Known<'_>,
        id: FrontId,
        open: &mut BTreeSet<PoolId>,
        settled: &mut Settled,
    ) {
        let after = self.front_health(model, id);
        if std::mem::replace(&mut self.fronts_now[id.index()], after) == after {
            return;
        }
        let fronts = self.fronts.clone();
        for endpoint in &fronts.front(id).endpoints {
            let before = self.endpoints[endpoint.index()];
            let health = match known {
                Known::Standings(standings, now) => {
                    let spared = self.pool_of(model, *endpoint).is_spared();
                    self.health_of(model, standings, *endpoint, spared, now)
                }
                Known::Nothing | Known::Assumed => {
                    after.applied(EndpointHealth { usable: before.usable || before.blocked, blocked: false, ..before })
                }
            };
            self.endpoints[endpoint.index()] = health;
            if health != before {
                settled.endpoints.push((*endpoint, before));
                self.follow_pool(model, known, model.endpoint(*endpoint).pool, open, settled);
            }
        }
    }

    fn follow_pool(
        &mut self,
        model: &Model,
        known: Known<'_>,
        id: PoolId,
        open: &mut BTreeSet<PoolId>,
        settled: &mut Settled,
    ) {
        let before = self.pools[id.index()];
        let ordered = match known {
            Known::Standings(standings, now) => ordered_of(model, standings, id, now),
            Known::Nothing | Known::Assumed => Ordered::NOTHING,
        };
        let counted = self.pool_health(model, id, ordered, before.is_spared(), &mut Vec::new());
        let after = match known {
            // Orders are not known here: what was taken out stays so.
            Known::Nothing if before.withdrawn => PoolHealth { healthy: counted.healthy, ..before },
            Known::Assumed if !before.usable => PoolHealth { healthy: counted.healthy, ..before },
            _ => counted,
        };
        self.pools[id.index()] = after;
        if after != before {
            open.insert(id);
            if settled.pools.iter().all(|(known, _)| *known != id) {
                settled.pools.push((id, before));
            }
        }
    }

    fn front_health(&self, model: &Model, id: FrontId) -> FrontHealth {
        // By its own endpoints: those of other regions say nothing of this one.
        let is_here = |(id, _): (EndpointId, &_)| {
            self.endpoints[id.index()].is_up_without_ejection() && !self.fronts.is_elsewhere(id)
        };
        let serves_here = |pool: &PoolId| model.members(*pool).any(is_here);
        let behind = || self.fronts.front(id).behind.iter().map(|pool| (pool, self.pools[pool.index()]));
        let is_up = |(id, pool): &(&PoolId, PoolHealth)| {
            (pool.usable || pool.ejections == Ejections::Decisive && !pool.withdrawn) && serves_here(id)
        };
        // All that are up must turn before it serves nobody; one that comes up is enough to serve.
        let up = behind().filter(is_up).map(|(_, pool)| pool.holds_for).max();
        let down = behind().map(|(_, pool)| pool.holds_for).min();
        FrontHealth { serves: up.is_some(), holds_for: up.or(down).unwrap_or(HOLDS_FOREVER) }
    }

    /// An endpoint by what is believed of it and of what is behind it. One that was forced up is up.
    pub(super) fn health_of(
        &self,
        model: &Model,
        standings: &Standings,
        id: EndpointId,
        spared: bool,
        now: Moment,
    ) -> EndpointHealth {
        let health = endpoint_health(model, standings, id, spared, now);
        match self.fronts.of_endpoint(id) {
            Some(front) if standings.endpoints[id.index()].forced.is_none() => {
                self.fronts_now[front.index()].applied(health)
            }
            _ => health,
        }
    }

    /// Whether an endpoint is a listener of this configuration, of whatever region.
    pub fn is_ours(&self, id: EndpointId) -> bool {
        self.fronts.of_endpoint(id).is_some() || self.fronts.is_elsewhere(id)
    }

    /// The listener that an endpoint is: its place in the model.
    pub fn front_of(&self, id: EndpointId) -> Option<usize> {
        self.fronts.of_endpoint(id).map(|front| self.fronts.front(front).listener)
    }

    /// The listener that an endpoint is, while nothing behind that is up: its place in the model, and the pools behind it.
    pub fn blocked_by(&self, id: EndpointId) -> Option<(usize, &[PoolId])> {
        let front = self.fronts.of_endpoint(id).filter(|_| self.endpoint(id).blocked)?;
        let front = self.fronts.front(front);
        Some((front.listener, &front.behind))
    }

    /// Why an endpoint is blocked, in words.
    pub fn why_blocked(&self, model: &Model, id: EndpointId) -> Option<String> {
        let (listener, behind) = self.blocked_by(id)?;
        Some(self.says_nobody(model, listener, behind))
    }

    fn says_nobody(&self, model: &Model, listener: usize, behind: &[PoolId]) -> String {
        /// More pools than this are counted.
        const NAMED_MAX: usize = 3;
        let named = behind.iter().take(NAMED_MAX).map(|id| {
            let (pool, health) = (model.pool(*id), self.pool(*id));
            match health {
                _ if health.withdrawn => format!("{} taken out", pool.name),
                _ if health.usable => format!("{} up by other regions alone", pool.name),
                _ if health.healthy >= pool.min_healthy.max(1) => format!("{} taken to be down", pool.name),
                _ => format!("{} {} of {} up", pool.name, health.healthy, pool.endpoints.len()),
            }
        });
        let mut named: Vec<String> = named.collect();
        if behind.len() > NAMED_MAX {
            named.push(format!("{} more", behind.len() - NAMED_MAX));
        }
        format!("listener {} has nobody to send to: {}", model.listeners[listener].name, named.join(", "))
    }
}
