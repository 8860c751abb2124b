//! Which of a pool's clients go first when it sends some elsewhere for its load?
//!
//! Those who lose the least by it: the smaller the detour to their next pool, the earlier, and by a hash of their network
//! where the detour is the same. No list of clients is kept for that. Clients of one detour make one class when the steering map
//! is built; the classes of a pool are put in order and laid end to end, each as wide as its part of the address space, and
//! a client stands at its class's stretch of that line, at the point within it that its hash says. A pool that sheds a
//! share sends away whoever stands before the share: the same clients whenever the share is the same, more when it is
//! larger, and never one in place of another.
//!
//! A class that stands before the share as a whole is sent away without a look at the hash, so that its answers keep their
//! large scope. Where nobody knows how far it is, the hash alone decides: such clients stand all along the line.

use std::collections::HashMap;

use crate::geo::distance::great_circle_km;
use crate::model::Location;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::Vip;
use crate::steering::rank::Ranking;

/// How wide the line is on which clients stand.
pub(super) const LINE: u32 = 1 << 16;
/// Detours are told apart in steps of so many kilometres: as far as light in a fibre gets, there and back, in two milliseconds.
const STEP_KM: f64 = 200.0;
/// The detour of those of whom it is not known.
pub(super) const UNKNOWN: u8 = u8::MAX;

/// Where the clients of one class stand, in the order in which a pool sends them away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The pool that they stand in line at: the first of their ranking.
    pub(super) pool: PoolId,
    /// Where the first stands.
    from: u32,
    /// Where the next class begins.
    to: u32,
}

impl Stretch {
    /// Spread over the whole line by their hash.
    pub(super) const ANYWHERE: Stretch = Stretch { pool: PoolId(u32::MAX), from: 0, to: LINE };

    /// Whether a client is among the first `share` of [`LINE`]; `hash` is uniform, and is asked for where it matters.
    #[inline]
    pub(super) fn comes_before(self, share: u32, hash: impl FnOnce() -> u64) -> bool {
        if self.to <= share || self.from >= share {
            return self.to <= share;
        }
        let within = (hash() >> 48) as u32;
        let place = (u64::from(self.to - self.from) * u64::from(within)) >> 16;
        self.from + (place as u32) < share
    }
}

/// Whether any pool that a VIP names sends clients elsewhere for its load.
pub(super) fn matters(model: &Model, vip: &Vip) -> bool {
    vip.pools().into_iter().any(|pool| model.pool(pool).load.is_some())
}

/// The pool that clients of a ranking are sent to, and the one they are sent to next; none where several share them.
pub(super) fn hop(ranking: &Ranking) -> Option<(PoolId, PoolId)> {
    let first = ranking.groups.first().filter(|group| group.members.len() == 1)?.members[0].0;
    let next = ranking.ranked().chain(ranking.tail.iter().copied()).find(|pool| *pool != first)?;
    Some((first, next))
}

/// How much farther the second place is from a point than the first, in steps.
pub(super) fn detour(point: Option<Location>, first: Option<Location>, second: Option<Location>) -> u8 {
    let (Some(point), Some(first), Some(second)) = (point, first, second) else { return UNKNOWN };
    in_steps(great_circle_km(second, point) - great_circle_km(first, point))
}

/// The same of two round trips, in microseconds; a millisecond is a hundred kilometres of fibre.
pub(super) fn detour_in_time(first: Option<u32>, second: Option<u32>) -> u8 {
    let (Some(first), Some(second)) = (first, second) else { return UNKNOWN };
    in_steps((f64::from(second) - f64::from(first)) / 10.0)
}

fn in_steps(km: f64) -> u8 {
    (km / STEP_KM).clamp(0.0, f64::from(UNKNOWN - 1)) as u8
}

/// The stretch of each class: `classes` has its first pool, its detour and how many addresses are in it.
pub(super) fn stretches(classes: &[(Option<PoolId>, u8, f64)]) -> Vec<Stretch> {
    let mut wholes: HashMap<PoolId, f64> = HashMap::new();
    let mut steps: HashMap<(PoolId, u8), f64> = HashMap::new();
    for (pool, detour, addresses) in classes {
        let Some(pool) = pool.filter(|_| *detour != UNKNOWN) else { continue };
        *wholes.entry(pool).or_default() += addresses;
        *steps.entry((pool, *detour)).or_default() += addresses;
    }
    let mut ordered: Vec<((PoolId, u8), f64)> = steps.into_iter().collect();
    ordered.sort_by_key(|(step, _)| *step);
    let mut before: HashMap<PoolId, f64> = HashMap::new();
    let mut known: HashMap<(PoolId, u8), Stretch> = HashMap::new();
    for ((pool, detour), addresses) in ordered {
        let (whole, begun) = (wholes[&pool], before.entry(pool).or_default());
        let on_the_line = |sum: f64| if whole > 0.0 { (sum / whole * f64::from(LINE)).round() as u32 } else { LINE };
        let from = if whole > 0.0 { on_the_line(*begun) } else { 0 };
        *begun += addresses;
        known.insert((pool, detour), Stretch { pool, from: from.min(LINE), to: on_the_line(*begun).min(LINE) });
    }
    let stretch = |(pool, detour, _): &(Option<PoolId>, u8, f64)| match pool {
        Some(pool) if *detour != UNKNOWN => known[&(*pool, *detour)],
        _ => Stretch::ANYWHERE,
    };
    classes.iter().map(stretch).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EU: PoolId = PoolId(0);
    const US: PoolId = PoolId(1);

    #[test]
    fn the_nearest_to_their_next_pool_stand_first() {
        let stretches =
            stretches(&[(Some(EU), 20, 300.0), (Some(EU), 3, 100.0), (Some(US), 9, 50.0), (Some(EU), UNKNOWN, 7e9)]);
        let quarter = LINE / 4;
        assert_eq!(stretches[1], Stretch { pool: EU, from: 0, to: quarter });
        assert_eq!(stretches[0], Stretch { pool: EU, from: quarter, to: LINE });
        assert_eq!(stretches[2], Stretch { pool: US, from: 0, to: LINE });
        assert_eq!(stretches[3], Stretch::ANYWHERE);
        // A class that stands on one side as a whole needs no hash.
        let never = || -> u64 { panic!("the hash does not matter") };
        assert!(stretches[1].comes_before(quarter, never) && !stretches[0].comes_before(quarter, never));
        assert!(stretches[0].comes_before(LINE, never) && !stretches[1].comes_before(0, never));
    }

    #[test]
    fn classes_without_addresses_share_the_line() {
        assert_eq!(stretches(&[(Some(EU), 3, 0.0)]), [Stretch { pool: EU, from: 0, to: LINE }]);
    }

    #[test]
    fn detours_are_counted_from_where_the_client_is() {
        let at = |lat, lon| Some(Location { lat, lon });
        let (frankfurt, ashburn) = (at(50.11, 8.68), at(39.04, -77.49));
        let (lisbon, warsaw) = (detour(at(38.7, -9.1), frankfurt, ashburn), detour(at(52.2, 21.0), frankfurt, ashburn));
        assert!(lisbon < warsaw, "{lisbon} {warsaw}");
        assert_eq!(detour(None, frankfurt, ashburn), UNKNOWN);
        assert_eq!(detour(at(39.0, -77.0), frankfurt, ashburn), 0, "it is nearer");
        assert_eq!(detour_in_time(Some(10_000), Some(90_000)), 40);
    }

    proptest! {
        /// As the share grows, clients are added and none is spared; and it is that share of them.
        #[test]
        fn a_larger_share_holds_the_smaller(weights in prop::collection::vec((0u8..40, 1.0f64..1e6), 1..20), shares: (u16, u16)) {
            let classes: Vec<_> = weights.iter().map(|(detour, addresses)| (Some(EU), *detour, *addresses)).collect();
            let stretches = stretches(&classes);
            let (low, high) = (u32::from(shares.0.min(shares.1)), u32::from(shares.0.max(shares.1)));
            let goes = |stretch: Stretch, share, point: u64| stretch.comes_before(share, || point << 54);
            let (mut part, mut whole) = (0.0, 0.0);
            let mut seen = std::collections::HashSet::new();
            for stretch in stretches {
                for point in 0..1024 {
                    prop_assert!(!goes(stretch, low, point) || goes(stretch, high, point));
                }
                if seen.insert((stretch.from, stretch.to)) {
                    let width = f64::from(stretch.to - stretch.from);
                    whole += width;
                    part += width * (0..1024).filter(|point| goes(stretch, high, *point)).count() as f64 / 1024.0;
                }
            }
            prop_assert!((whole - f64::from(LINE)).abs() < 1.0);
            prop_assert!((part / whole - f64::from(high) / f64::from(LINE)).abs() < 0.005);
        }
    }
}
