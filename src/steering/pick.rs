//! Which endpoints of the chosen pool, and in which order?
//!
//! Endpoints without weight are picked only when none with a weight can be. The weights are the configuration's, which the
//! plan has worked out; where an operator ordered others, a longer way chooses as a plan with those weights would. Nothing
//! here knows other pools.

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
    let reweighed = health.pool(pool).reweighed;
    let pool = &plan.pools[pool.index()];
    let side = pool.side(family);
    let all = &plan.members[side.first as usize..][..side.count as usize];
    if reweighed {
        return pick_reweighed(all, health, pool.balance, allowed, wanted, keys);
    }
    let (weighted, spare) = all.split_at(side.weighted as usize);
    let mut picks = Picks::NONE;
    let mut tier = Tier { members: weighted, equal: side.equal, allowed, health, weights: Configured };
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

/// The same where an operator ordered other weights than the plan was compiled with: who competes is found out now.
#[cold]
fn pick_reweighed(
    all: &[MemberPlan],
    health: &HealthTable,
    balance: Balance,
    allowed: Allowed,
    wanted: u8,
    keys: Keys<impl FnOnce() -> u64>,
) -> Picks {
    let mut picks = Picks::NONE;
    for standby in [false, true] {
        let weights = Ordered { health, standby };
        let mut competing = all.iter().filter(|member| weights.competes(member)).map(|member| weights.of(member));
        let first = competing.next();
        let equal = competing.all(|weight| Some(weight) == first);
        let tier = Tier { members: all, equal, allowed, health, weights };
        let able = tier.able(&mut picks.holds_for);
        if able > 0 {
            tier.fill(&mut picks, balance, able, wanted, keys);
            break;
        }
    }
    picks
}

impl Picks {
    const NONE: Picks =
        Picks { ids: [EndpointId(0); ANSWERS_MAX], count: 0, keying: Keying::None, holds_for: u32::MAX };
}

/// Whose weights count, and who of a tier's members competes at all.
trait Weights {
    fn competes(&self, member: &MemberPlan) -> bool;
    fn of(&self, member: &MemberPlan) -> u32;
}

/// The configuration's; a tier is a stretch of the plan.
struct Configured;

impl Weights for Configured {
    #[inline]
    fn competes(&self, _: &MemberPlan) -> bool {
        true
    }
    #[inline]
    fn of(&self, member: &MemberPlan) -> u32 {
        member.weight
    }
}

/// An operator's where there is one; a tier is those with a weight or those without, wherever they stand.
struct Ordered<'a> {
    health: &'a HealthTable,
    standby: bool,
}

impl Weights for Ordered<'_> {
    fn competes(&self, member: &MemberPlan) -> bool {
        (self.of(member) == 0) == self.standby
    }
    fn of(&self, member: &MemberPlan) -> u32 {
        self.health.weight_ordered(member.id).unwrap_or(member.weight)
    }
}

/// The endpoints that compete: those with a weight, or those without.
struct Tier<'a, W> {
    members: &'a [MemberPlan],
    equal: bool,
    allowed: Allowed,
    health: &'a HealthTable,
    weights: W,
}

impl<W: Weights> Tier<'_, W> {
    /// How many may be picked; what was looked at shortens `holds_for`.
    #[inline]
    fn able(&self, holds_for: &mut u32) -> u32 {
        let mut able = 0;
        for member in self.members.iter().filter(|member| self.weights.competes(member)) {
            let health = self.health.endpoint(member.id);
            *holds_for = (*holds_for).min(health.holds_for);
            able += u32::from(self.allowed.allows(health));
        }
        able
    }

    /// Whether more than one competes at all, up or not: else nothing depends on the client.
    #[inline]
    fn are_several(&self) -> bool {
        self.members.iter().filter(|member| self.weights.competes(member)).nth(1).is_some()
    }

    #[inline]
    fn each(&self) -> impl Iterator<Item = (u32, &MemberPlan)> {
        let may =
            |member: &MemberPlan| self.weights.competes(member) && self.allowed.allows(self.health.endpoint(member.id));
        self.members.iter().filter(move |member| may(member)).enumerate().map(|(at, member)| (at as u32, member))
    }

    #[inline]
    fn fill(&self, picks: &mut Picks, balance: Balance, able: u32, wanted: u8, keys: Keys<impl FnOnce() -> u64>) {
        let wanted = u32::from(wanted).clamp(1, ANSWERS_MAX as u32).min(able);
        match balance {
            Balance::Failover => self.in_order(picks),
            Balance::Hash | Balance::RingHash | Balance::Maglev if self.are_several() => {
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

    /// The first alone, in the order written: a second address would take its share of the clients, which is not what
    /// failover means.
    fn in_order(&self, picks: &mut Picks) {
        picks.keying = Keying::Order;
        if let Some(first) = self.each().map(|(_, member)| member.id).min() {
            picks.ids[0] = first;
            picks.count = 1;
        }
    }

    fn by_score(&self, picks: &mut Picks, wanted: u32, key: u64) {
        let mut best = Best::of(wanted as usize);
        for (_, member) in self.each() {
            best.offer(member.id.0, score(key, member.identity, self.weights.of(member)));
        }
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
