//! What part of the clients alike is sent to which pool?
//!
//! [`decide()`] answers for one client; where several pools share by weight, what part each gets is known without asking
//! for every client: a weighted rendezvous gives each its weight's part. So this runs the same `decide` once and listens
//! for who took part in the draw. There is no second opinion of what a decision is. What pools send elsewhere for their load is
//! left out: it is of this minute, and not what configuration and health make of the clients.
//!
//! [`decide()`]: crate::steering::decide()

use crate::geo::place::Place;
use crate::health::table::HealthTable;
use crate::model::Family;
use crate::model::PoolId;
use crate::model::VipId;
use crate::steering::client::Client;
use crate::steering::decide::Decision;
use crate::steering::decide::Draw;
use crate::steering::decide::Reason;
use crate::steering::decide::Verdict;
use crate::steering::decide::decide;
use crate::steering::decide::decide_at;
use crate::steering::plan::Plan;
use crate::steering::trace::Tracer;

/// Where all clients of a class are sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shares {
    /// The pools, each with its weight among these; none when no pool is answered.
    pub pools: Vec<(PoolId, u32)>,
    /// Whether the draw is keyed so that a client keeps its pool for good (`hash`); a weighted draw is made anew for each
    /// TTL's time.
    pub for_good: bool,
    /// Whether no pool was left and the VIP's `when_all_down` was followed.
    pub all_down: bool,
}

impl Shares {
    /// The pools, each with its part of the whole.
    pub fn parts(&self) -> impl Iterator<Item = (PoolId, f64)> {
        let whole: f64 = self.pools.iter().map(|(_, weight)| f64::from(*weight)).sum();
        self.pools.iter().map(move |(pool, weight)| (*pool, f64::from(*weight) / whole))
    }
}

/// Where clients like this one are sent: all that are of its class, whatever a draw says of this one.
pub fn shares(plan: &Plan, health: &HealthTable, vip: VipId, family: Family, client: &Client) -> Shares {
    let mut listener = Listener::default();
    let decision = decide(plan, health, vip, family, client, Draw::default(), &mut listener);
    listener.heard(&decision)
}

/// The same of clients in a place, whether or not any address is there.
pub fn shares_at(plan: &Plan, health: &HealthTable, vip: VipId, family: Family, place: &Place) -> Shares {
    let mut listener = Listener::default();
    let decision = decide_at(plan, health, vip, family, place, Draw::default(), &mut listener);
    listener.heard(&decision)
}

/// Hears who takes part in a draw. The first draw in which anybody does ends the search for a pool.
#[derive(Debug, Default)]
struct Listener {
    competitors: Vec<(PoolId, u32)>,
    for_good: bool,
}

impl Tracer for Listener {
    fn ignores_load(&self) -> bool {
        true
    }

    fn competes(&mut self, pool: PoolId, weight: u32) {
        // As the draw has it: where nobody has a weight, all count alike.
        self.competitors.push((pool, weight.max(1)));
    }

    fn drawn(&mut self, _members: &[(PoolId, u32)], _chosen: PoolId, period: Option<u32>) {
        self.for_good = period.is_none();
    }
}

impl Listener {
    fn heard(self, decision: &Decision) -> Shares {
        let pools = match (decision.verdict, decision.pool) {
            (Verdict::Answer, Some(_)) if !self.competitors.is_empty() => self.competitors,
            (Verdict::Answer, Some(pool)) => vec![(pool, 1)],
            _ => Vec::new(),
        };
        Shares { pools, for_good: self.for_good, all_down: decision.reason == Reason::AllDown }
    }
}
