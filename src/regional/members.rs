//! Who of a pool is there at this moment: its plan beside what is believed.

use crate::balance::standing::MemberNow;
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
