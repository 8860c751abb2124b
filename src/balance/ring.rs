//! A ring of virtual nodes: Ketama (Last.fm, 2007) after Karger et al., "Consistent hashing and random trees" (STOC 1997).
//!
//! Each member stands on a circle of 64-bit numbers at 160 points for each unit of its weight; a key falls to the next
//! point clockwise. Here because operators know it and caches were filled by it elsewhere: rendezvous has exact shares and
//! Maglev is quicker. 160 points leave shares about 8 % uneven.
//!
//! One that cannot be used is passed over clockwise, so only its own keys move, and they fall to its neighbours. A weight
//! that grows adds points and takes none away.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::balance::ask::Member;

/// Virtual nodes for each unit of weight: Ketama's, nginx's and Envoy's neighbourhood.
pub const POINTS_PER_WEIGHT: u64 = 160;

/// The ring is held below this (4 MiB): weights are units only in proportion, and beyond it they are scaled down.
pub const POINTS_MAX: u64 = 1 << 18;

/// Never change it: nodes of two versions would send one client to two places.
const SEED_POINT: u64 = 0x7269_6e67_706f_696e;

/// The ring of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// By point. A point that two members share belongs to the one of the smaller identity.
    points: Box<[(u64, u32)]>,
}

impl Ring {
    /// The ring of these members. Those without weight stand on it only when nobody has weight.
    pub fn of(members: &[Member]) -> Self {
        let units = units(members);
        let sum: u64 = units.iter().sum();
        let mut points = Vec::with_capacity(sum.saturating_mul(POINTS_PER_WEIGHT).min(POINTS_MAX) as usize);
        for ((place, member), units) in members.iter().enumerate().zip(units) {
            let count = if sum.saturating_mul(POINTS_PER_WEIGHT) > POINTS_MAX {
                // At least one for whoever has weight.
                (units * POINTS_MAX / sum).max(u64::from(units > 0))
            } else {
                units * POINTS_PER_WEIGHT
            };
            points.extend((0..count).map(|n| (point(member.identity, n), member.identity, place as u32)));
        }
        points.sort_unstable();
        points.dedup_by_key(|(point, _, _)| *point);
        Ring { points: points.into_iter().map(|(point, _, place)| (point, place)).collect() }
    }

    /// Which member a key falls to, of those that are `able`: the next of them clockwise. Goes once round at most, and so far
    /// only when nobody is able.
    #[inline]
    pub fn find(&self, key: u64, able: impl Fn(usize) -> bool) -> Option<usize> {
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).map(|(_, place)| *place as usize).find(|member| able(*member))
    }

    /// How many points there are.
    pub fn points(&self) -> usize {
        self.points.len()
    }
}

fn point(identity: u64, n: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&identity.to_le_bytes());
    bytes[8..].copy_from_slice(&n.to_le_bytes());
    xxh3_64_with_seed(&bytes, SEED_POINT)
}

/// The weights in their smallest whole numbers: 100 and 300 are 1 and 3.
fn units(members: &[Member]) -> Vec<u64> {
    let have_weight = members.iter().any(|member| member.weight > 0);
    let weight = |member: &Member| if have_weight { u64::from(member.weight) } else { 1 };
    let divisor = members.iter().map(weight).fold(0, greatest_common_divisor).max(1);
    members.iter().map(|member| weight(member) / divisor).collect()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::ask::testing::draws;
    use crate::balance::key::identity;

    fn pool(weights: &[u32]) -> Vec<Member> {
        let of = |place: usize| identity(format!("192.0.2.{place}:8080").as_bytes());
        weights.iter().enumerate().map(|(place, weight)| Member { identity: of(place), weight: *weight }).collect()
    }

    #[test]
    fn a_unit_of_weight_is_160_points() {
        assert_eq!(Ring::of(&pool(&[3, 1])).points(), 640);
        assert_eq!(Ring::of(&pool(&[300, 100])).points(), 640, "only the proportion counts");
        assert_eq!(Ring::of(&pool(&[0, 0])).points(), 320);
        assert_eq!(Ring::of(&pool(&[0, 5])).find(9, |_| true), Some(1));
        assert_eq!(Ring::of(&[]).find(9, |_| true), None);
    }

    #[test]
    fn the_ring_is_bounded_and_the_lightest_stands_on_it() {
        let mut weights = vec![65_535; 999];
        weights.push(1);
        let ring = Ring::of(&pool(&weights));
        assert!(ring.points() as u64 <= POINTS_MAX + 1_000, "{}", ring.points());
        assert!(ring.points.iter().any(|(_, place)| *place == 999));
    }

    #[test]
    fn shares_are_near_the_weights() {
        let ring = Ring::of(&pool(&[5, 3, 2]));
        let mut won = [0u32; 3];
        draws().take(100_000).for_each(|key| won[ring.find(key, |_| true).unwrap()] += 1);
        for (won, percent) in won.into_iter().zip([50.0, 30.0, 20.0]) {
            assert!((f64::from(won) / 1_000.0 - percent).abs() < 5.0, "{won} of {percent} %");
        }
    }

    #[test]
    fn one_that_goes_moves_only_its_own() {
        let (members, gone) = (pool(&[1; 8]), 5);
        let (ring, rest) = (Ring::of(&members), Ring::of(&members[..7]));
        for key in draws().take(20_000) {
            let before = ring.find(key, |_| true).unwrap();
            let after = ring.find(key, |member| member != gone).unwrap();
            assert!(after != gone && (before == after || before == gone));
            assert!(before == rest.find(key, |_| true).unwrap() || before == 7, "removed for good, it is the same");
        }
    }

    #[test]
    fn a_weight_that_grows_takes_and_never_moves_others() {
        let (before, after) = (Ring::of(&pool(&[1, 1, 1])), Ring::of(&pool(&[2, 1, 1])));
        for key in draws().take(20_000) {
            let (old, new) = (before.find(key, |_| true), after.find(key, |_| true));
            assert!(old == new || new == Some(0));
        }
    }
}
