//! In which order would a client of this place be sent to a VIP's pools, if all were up?
//!
//! A ranking is groups, each tried after the one before; the members of one group share by weight. After the groups comes
//! the tail: fallbacks, then the VIP's other pools. All of it depends on the place alone, so that whatever health does, the
//! answer is one within the class. Nothing here knows health; see `decide`.

use crate::geo::distance::great_circle_km;
use crate::geo::latency::LatencyTable;
use crate::geo::place::Place;
use crate::model::Location;
use crate::model::Member;
use crate::model::Model;
use crate::model::Policy;
use crate::model::PoolId;
use crate::model::Rule;
use crate::model::Vip;

/// The order of a VIP's pools for one class of clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ranking {
    /// Tried one after the other.
    pub groups: Vec<Group>,
    /// Tried after the groups, in order.
    pub tail: Vec<PoolId>,
    /// How many of the tail are fallbacks; the rest are the VIP's other pools.
    pub fallbacks: usize,
    /// Whether no other pool than the groups' may be answered.
    pub fenced: bool,
}

/// Pools that share clients by weight; those without weight stand at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    /// Pool and weight.
    pub members: Vec<(PoolId, u32)>,
    /// How many of them have a weight.
    pub weighted: usize,
}

impl Group {
    fn new(members: &[Member]) -> Self {
        let of = |some: bool| members.iter().filter(move |m| (m.weight > 0) == some).map(|m| (m.pool, m.weight));
        let weighted = of(true).count();
        Group { members: of(true).chain(of(false)).collect(), weighted }
    }
}

impl Ranking {
    /// The pools of the groups, in order.
    pub fn ranked(&self) -> impl Iterator<Item = PoolId> {
        self.groups.iter().flat_map(|g| g.members.iter().map(|(pool, _)| *pool))
    }
}

/// The rule of a geolocation policy that a place falls under.
pub fn first_match(rules: &[Rule], place: &Place) -> Option<usize> {
    rules.iter().position(|rule| matches(rule, place))
}

/// Whether a rule holds for a place: any of its conditions, or it has none.
pub fn matches(rule: &Rule, place: &Place) -> bool {
    rule.is_catch_all()
        || place.network.is_some_and(|network| rule.networks.contains(&network))
        || place.asn.is_some_and(|asn| rule.asns.contains(&asn))
        || place.code().is_some_and(|code| rule.geos.iter().any(|geo| geo.holds(&code)))
}

/// Distance as a pool's bias sees it, as Route 53 documents: a positive bias takes that many percent off, a negative
/// one divides by what it leaves of the whole.
pub fn biased_km(km: f64, bias: i8) -> f64 {
    let share = 1.0 - f64::from(bias.unsigned_abs().min(99)) / 100.0;
    if bias >= 0 { km * share } else { km / share }
}

/// The order of members for a point, nearest first; those whose region is nowhere come last, as declared, and those
/// without weight after all others. Without a point: as declared.
pub fn by_distance(model: &Model, members: &[Member], point: Option<Location>) -> Vec<u16> {
    ordered(members, |member| Some(biased_km(km_to(model, member.pool, point)?, member.bias)))
}

/// The order of members by measured latency; those without a figure come after, by distance.
pub fn by_latency(model: &Model, members: &[Member], table: &LatencyTable, row: u32, place: &Place) -> Vec<u16> {
    // No figure exceeds ten minutes, so distances stand behind all of them.
    const BEHIND_FIGURES: f64 = 1e12;
    ordered(members, |member| match table.figure(row, place, model.pool(member.pool).region) {
        Some(microseconds) => Some(f64::from(microseconds)),
        None => Some(BEHIND_FIGURES + km_to(model, member.pool, place.point())?),
    })
}

/// As declared, those without weight last.
pub fn as_declared(members: &[Member]) -> Vec<u16> {
    ordered(members, |_| None)
}

fn ordered(members: &[Member], by: impl Fn(&Member) -> Option<f64>) -> Vec<u16> {
    let mut keyed: Vec<(bool, f64, u16)> = members
        .iter()
        .enumerate()
        .map(|(at, member)| (member.weight == 0, by(member).unwrap_or(f64::INFINITY), at as u16))
        .collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    keyed.into_iter().map(|(_, _, at)| at).collect()
}

fn km_to(model: &Model, pool: PoolId, point: Option<Location>) -> Option<f64> {
    let region = model.region(model.pool(pool).region);
    Some(great_circle_km(region.location?, point?))
}

/// The ranking of a place, whether or not any address is there.
pub fn ranking_of(model: &Model, vip: &Vip, latency: &LatencyTable, row: u32, place: &Place) -> Ranking {
    match &vip.policy {
        Policy::Geolocation(rules) => of_rule(model, vip, first_match(rules, place).map(|at| &rules[at])),
        Policy::Geoproximity(members) => of_order(model, vip, members, &by_distance(model, members, place.point())),
        Policy::Latency(members) => of_order(model, vip, members, &by_latency(model, members, latency, row, place)),
        Policy::Failover(members) => of_order(model, vip, members, &as_declared(members)),
        Policy::Weighted(members) | Policy::Hash(members) => finished(model, vip, vec![Group::new(members)], false),
    }
}

/// The ranking of a geolocation rule: one weighted group. Without a rule there is only the tail.
pub fn of_rule(model: &Model, vip: &Vip, rule: Option<&Rule>) -> Ranking {
    let groups = rule.map(|rule| Group::new(&rule.members)).into_iter().collect();
    finished(model, vip, groups, rule.is_some_and(|rule| rule.geofence))
}

/// The ranking of members in this order, each a group of its own.
pub fn of_order(model: &Model, vip: &Vip, members: &[Member], order: &[u16]) -> Ranking {
    let alone = |at: &u16| {
        let member = &members[usize::from(*at)];
        Group { members: vec![(member.pool, 1)], weighted: usize::from(member.weight > 0) }
    };
    finished(model, vip, order.iter().map(alone).collect(), false)
}

/// Groups with their tail.
fn finished(model: &Model, vip: &Vip, groups: Vec<Group>, fenced: bool) -> Ranking {
    let mut ranking = Ranking { groups, tail: Vec::new(), fallbacks: 0, fenced };
    if fenced {
        return ranking;
    }
    let ranked: Vec<PoolId> = ranking.ranked().collect();
    let mut tail: Vec<PoolId> = Vec::new();
    for pool in &ranked {
        for fallback in model.fallbacks(*pool) {
            if !ranked.contains(&fallback) && !tail.contains(&fallback) {
                tail.push(fallback);
            }
        }
    }
    ranking.fallbacks = tail.len();
    let others = nearest_first(model, &vip.pools(), ranked.first().copied());
    for pool in others {
        if !ranked.contains(&pool) && !tail.contains(&pool) {
            tail.push(pool);
        }
    }
    ranking.tail = tail;
    ranking
}

/// Pools by the distance of their regions from that of `first`; as declared where that is not known.
fn nearest_first(model: &Model, pools: &[PoolId], first: Option<PoolId>) -> Vec<PoolId> {
    let from = first.and_then(|pool| model.region(model.pool(pool).region).location);
    let members: Vec<Member> = pools.iter().map(|pool| Member { pool: *pool, weight: 1, bias: 0 }).collect();
    by_distance(model, &members, from).into_iter().map(|at| pools[usize::from(at)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bias_scales_distances_as_route_53_documents() {
        assert_eq!(biased_km(150.0, 0), 150.0);
        assert_eq!(biased_km(150.0, 50), 75.0);
        assert_eq!(biased_km(150.0, -50), 300.0);
        assert!((biased_km(100.0, 99) - 1.0).abs() < 1e-9 && (biased_km(1.0, -99) - 100.0).abs() < 1e-9);
    }
}
