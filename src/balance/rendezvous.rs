//! Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005).
//!
//! Each member draws `-log(u) / weight` with `u` hashed from key and member; the smallest wins. Taking a member away
//! moves only those that it had won, giving it back restores them, and shares are in proportion to weights. With a random
//! key the same ordering is a weighted draw without replacement (Efraimidis and Spirakis 2006).

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::ANSWERS_MAX;

/// What a member draws for a key; the smallest wins. A weight of 0 counts as 1: whoever has no weight is kept apart.
#[inline]
pub fn score(key: u64, identity: u64, weight: u32) -> f64 {
    negative_log2(xxh3_64_with_seed(&identity.to_le_bytes(), key)) / f64::from(weight.max(1))
}

/// `-log2((hash + 1) / 2^64)`, by plain arithmetic: a libm may differ between machines, this does not.
#[inline]
fn negative_log2(hash: u64) -> f64 {
    // 53 bits are what a double holds; the lowest is set so that the fraction is never 0.
    let bits = (hash >> 11) | 1;
    let zeros = bits.leading_zeros();
    // The mantissa in [1, 2), by its bits: the highest set bit is the implicit one.
    let mantissa = f64::from_bits((1023 << 52) | ((bits << zeros << 1) >> 12));
    f64::from(zeros - 11) + 1.0 - log2_of_mantissa(mantissa)
}

/// log2 of a number in [1, 2): `2 artanh((m-1)/(m+1)) / ln 2`, by its series about the square root of 2.
#[inline]
fn log2_of_mantissa(mantissa: f64) -> f64 {
    let around = mantissa * std::f64::consts::FRAC_1_SQRT_2;
    let s = (around - 1.0) / (around + 1.0);
    let square = s * s;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0 + square * (1.0 / 9.0))));
    0.5 + 2.0 * std::f64::consts::LOG2_E * s * series
}

/// Above so many members a table ([`super::maglev`]) is quicker than a score for each: 64 scores take about half a
/// microsecond.
pub const MEMBERS_MAX: usize = 64;

/// Which of the members offered (place, identity, weight) a key falls to. Offering fewer moves only the keys of those left
/// out, so health, retries and bounds on load are filters before it.
#[inline]
pub fn winner(key: u64, offered: impl Iterator<Item = (usize, u64, u32)>) -> Option<usize> {
    let mut best = (f64::INFINITY, None);
    for (member, identity, weight) in offered {
        let score = score(key, identity, weight);
        if score < best.0 {
            best = (score, Some(member));
        }
    }
    best.1
}

/// The best few of many by score, in order.
#[derive(Debug)]
pub struct Best {
    scores: [f64; ANSWERS_MAX],
    members: [u32; ANSWERS_MAX],
    count: usize,
    wanted: usize,
}

impl Best {
    /// Keeps the `wanted` best, at most [`ANSWERS_MAX`].
    pub fn of(wanted: usize) -> Self {
        let wanted = wanted.clamp(1, ANSWERS_MAX);
        Best { scores: [f64::INFINITY; ANSWERS_MAX], members: [0; ANSWERS_MAX], count: 0, wanted }
    }

    /// Considers a member.
    #[inline]
    pub fn offer(&mut self, member: u32, score: f64) {
        if self.count == self.wanted {
            if score >= self.scores[self.count - 1] {
                return;
            }
            self.count -= 1;
        }
        let mut at = self.count;
        while at > 0 && self.scores[at - 1] > score {
            self.scores[at] = self.scores[at - 1];
            self.members[at] = self.members[at - 1];
            at -= 1;
        }
        self.scores[at] = score;
        self.members[at] = member;
        self.count += 1;
    }

    /// The kept ones, best first.
    pub fn members(&self) -> &[u32] {
        &self.members[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        for shift in 0..64 {
            for hash in [u64::MAX >> shift, (u64::MAX >> shift) / 3, 0x9e37_79b9_7f4a_7c15 >> shift] {
                let exact = -((((hash >> 11) | 1) as f64).log2() - 53.0);
                assert!((negative_log2(hash) - exact).abs() < 1e-6, "{hash:x}: {} {exact}", negative_log2(hash));
            }
        }
    }

    fn winner(key: u64, members: &[(u64, u32)]) -> u64 {
        let offered = members.iter().enumerate().map(|(place, (identity, weight))| (place, *identity, *weight));
        members[super::winner(key, offered).unwrap()].0
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let (one, other) = ([(11, 3), (22, 2), (33, 1)], [(33, 1), (11, 3), (22, 2)]);
        assert!((0..1_000).all(|key| winner(key, &one) == winner(key, &other)));
        assert_eq!(super::winner(7, std::iter::empty()), None);
    }

    #[test]
    fn shares_follow_weights() {
        let members = [(11, 70), (22, 20), (33, 10)];
        let mut won = std::collections::HashMap::new();
        (0..100_000u64).for_each(|key| *won.entry(winner(key, &members)).or_insert(0u32) += 1);
        for (member, weight) in members {
            let share = f64::from(won[&member]) / 1_000.0;
            assert!((share - f64::from(weight)).abs() < 2.0, "{member}: {share} % of {weight}");
        }
    }

    #[test]
    fn taking_a_member_away_moves_only_its_own() {
        let all = [(11, 3), (22, 2), (33, 1)];
        for key in 0..10_000 {
            let before = winner(key, &all);
            let after = winner(key, &all[..2]);
            assert!(before == after || before == 33);
        }
    }

    #[test]
    fn the_best_few_are_kept_in_order() {
        let mut best = Best::of(3);
        [5.0, 1.0, 4.0, 2.0, 3.0].iter().enumerate().for_each(|(member, score)| best.offer(member as u32, *score));
        assert_eq!(best.members(), [1, 3, 4]);
    }
}
