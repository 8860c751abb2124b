//! Which endpoints of the chosen pool, and in which order?
//!
//! Endpoints without weight are picked only when none with a weight can be. Nothing here knows other pools.

use crate::balance::rendezvous::Best;
use crate::balance::rendezvous::score;
use crate::health::table::EndpointHealth;
use crate::health::table::HealthTable;
use crate::model::ANSWERS_MAX;
use crate::model::Balance;
use crate::model::EndpointId;
use crate::model::Family;
use crate::model::PoolId;
use crate::steering::plan::MemberPlan;
use crate::steering::plan::Plan;

/// Which endpoints may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Those that health calls usable.
    Usable,
    /// Those that no operator took out: all pools are down and we guess.
    NotWithdrawn,
    /// Any: an operator took out everything.
    Any,
}

impl Allowed {
    #[inline]
    pub(super) fn allows(self, health: EndpointHealth) -> bool {
        match self {
            Allowed::Usable => health.usable,
            Allowed::NotWithdrawn => !health.withdrawn,
            Allowed::Any => true,
        }
    }
}

/// How the endpoints of an answer were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keying {
    /// All that may be, or a run of them, beginning at random.
    Rotation,
    /// Drawn at random by weight.
    Weighted,
    /// By rendezvous hashing on the client's prefix.
    Client,
    /// The first in the order written.
    Order,
    /// There was nothing to choose.
    None,
}

/// The endpoints picked.
#[derive(Debug)]
pub(super) struct Picks {
    pub(super) ids: [EndpointId; ANSWERS_MAX],
    pub(super) count: u8,
    pub(super) keying: Keying,
    /// How long, in seconds, every belief looked at holds.
    pub(super) holds_for: u32,
}

/// What picks are keyed on.
pub(super) struct Keys<F> {
    /// Random bits of the query.
    pub(super) random: u64,
    /// The client's key; worked out only when it is needed.
    pub(super) client: F,
}

/// Picks up to `wanted` endpoints of one family.
#[inline]
pub(super) fn pick(
    plan: &Plan,
    health: &HealthTable,
    pool: PoolId,
    family: Family,
    allowed: Allowed,
    wanted: u8,
    keys: Keys<impl FnOnce() -> u64>,
) -> Picks {
    let pool = &plan.pools[pool.index()];
    let side = pool.side(family);
    let all = &plan.members[side.first as usize..][..side.count as usize];
    let (weighted, spare) = all.split_at(side.weighted as usize);
    let mut picks = Picks { ids: [EndpointId(0); ANSWERS_MAX], count: 0, keying: Keying::None, holds_for: u32::MAX };
    let mut tier = Tier { members: weighted, equal: side.equal, allowed, health };
    let mut able = tier.able(&mut picks.holds_for);
    if able == 0 && !spare.is_empty() {
        tier = Tier { members: spare, equal: true, ..tier };
        able = tier.able(&mut picks.holds_for);
    }
    if able > 0 {
        tier.fill(&mut picks, pool.balance, able, wanted, keys);
    }
    picks
}

/// The endpoints that compete: those with a weight, or those without.
struct Tier<'a> {
    members: &'a [MemberPlan],
    equal: bool,
    allowed: Allowed,
    health: &'a HealthTable,
}

impl Tier<'_> {
    /// How many may be picked; what was looked at shortens `holds_for`.
    #[inline]
    fn able(&self, holds_for: &mut u32) -> u32 {
        let mut able = 0;
        for member in self.members {
            let health = self.health.endpoint(member.id);
            *holds_for = (*holds_for).min(health.holds_for);
            able += u32::from(self.allowed.allows(health));
        }
        able
    }

    #[inline]
    fn each(&self) -> impl Iterator<Item = (u32, &MemberPlan)> {
        let may = |member: &MemberPlan| self.allowed.allows(self.health.endpoint(member.id));
        self.members.iter().filter(move |member| may(member)).enumerate().map(|(at, member)| (at as u32, member))
    }

    #[inline]
    fn fill(&self, picks: &mut Picks, balance: Balance, able: u32, wanted: u8, keys: Keys<impl FnOnce() -> u64>) {
        let wanted = u32::from(wanted).clamp(1, ANSWERS_MAX as u32).min(able);
        match balance {
            Balance::Failover => self.in_order(picks),
            Balance::Hash | Balance::RingHash | Balance::Maglev if self.members.len() > 1 => {
                picks.keying = Keying::Client;
                self.by_score(picks, wanted, (keys.client)());
            }
            Balance::Weighted if !self.equal => {
                picks.keying = Keying::Weighted;
                self.by_score(picks, wanted, keys.random);
            }
            _ => self.rotated(picks, able, wanted, keys.random),
        }
    }

    /// The first alone: a second address would take its share of the clients, which is not what failover means.
    fn in_order(&self, picks: &mut Picks) {
        picks.keying = Keying::Order;
        if let Some((_, member)) = self.each().next() {
            picks.ids[0] = member.id;
            picks.count = 1;
        }
    }

    fn by_score(&self, picks: &mut Picks, wanted: u32, key: u64) {
        let mut best = Best::of(wanted as usize);
        self.each().for_each(|(_, member)| best.offer(member.id.0, score(key, member.identity, member.weight)));
        best.members().iter().zip(&mut picks.ids).for_each(|(id, place)| *place = EndpointId(*id));
        picks.count = best.members().len() as u8;
    }

    /// A window of `wanted` that begins at random: over many queries each comes first as often as any other.
    #[inline]
    fn rotated(&self, picks: &mut Picks, able: u32, wanted: u32, random: u64) {
        picks.keying = if able > 1 { Keying::Rotation } else { Keying::None };
        let start = (((random >> 32) * u64::from(able)) >> 32) as u32;
        for (at, member) in self.each() {
            let place = if at >= start { at - start } else { at + able - start };
            if place < wanted {
                picks.ids[place as usize] = member.id;
            }
        }
        picks.count = wanted as u8;
    }
}
