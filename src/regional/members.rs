//! Who of a pool is there at this moment: its plan beside what is believed.

use std::time::Duration;

use crate::balance::balancer::Method;
use crate::balance::live_pools::LivePool;
use crate::balance::standing::MemberNow;
use crate::balance::standing::Standing;
use crate::health::table::HealthTable;
use crate::model::Moment;
use crate::regional::pool::MemberPlan;
use crate::regional::pool::PoolPlan;

/// What the proxy itself knows of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its breaker admits requests.
    pub is_admitting: bool,
    /// When it came up while this process watched.
    pub risen: Option<Moment>,
}

/// Every member, in the pool's order; `seen` is asked by place.
pub fn now(plan: &PoolPlan, health: &HealthTable, seen: impl Fn(usize) -> Seen) -> Vec<MemberNow> {
    plan.members.iter().enumerate().map(|(at, member)| one(member, health, seen(at))).collect()
}

/// What requests tell of the member at that place.
pub fn seen(plan: &PoolPlan, health: &HealthTable, live: &LivePool, at: usize, now: Moment) -> Seen {
    let live = &live.members()[at];
    let risen = health.risen(plan.members[at].id).max(live.admits_since());
    Seen { is_admitting: live.might_admit(now), risen }
}

/// Who may be chosen.
pub fn standing(plan: &PoolPlan, members: &[MemberNow], now: Moment) -> Standing {
    let slow_start = if plan.method.is_keyed() { Duration::ZERO } else { plan.upstream.slow_start };
    Standing::of(members, plan.upstream.panic_percent, slow_start, now)
}

/// The pool's method by the weights that were ordered.
pub fn reweighed(plan: &PoolPlan, health: &HealthTable) -> Method {
    plan.reweighed(|member| health.weight_ordered(member.id).unwrap_or(member.weight))
}

fn one(member: &MemberPlan, health: &HealthTable, seen: Seen) -> MemberNow {
    let believed = health.endpoint(member.id);
    MemberNow {
        tier: member.tier,
        weight: health.weight_ordered(member.id).unwrap_or(member.weight),
        // Its own breaker says more, and says it now.
        is_up: believed.is_up_without_ejection(),
        is_withdrawn: believed.withdrawn,
        is_admitting: seen.is_admitting,
        risen: seen.risen,
    }
}
