//! Hashing with a bound: no member carries more than one and a half times its share.
//!
//! Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads" (SODA 2018; HAProxy's `hash-balance-factor`,
//! Envoy's `hash_balance_factor`): a key whose own member is full goes on to the next that is not. With a key that everyone
//! asks for, a hashed pool would else send everything to one endpoint.
//!
//! Where "next" is depends on the hash: the next best score, the next slot drawn from the key, the next point clockwise. So
//! a hot key always overflows to the same few members.

use crate::balance::ask::Ask;
use crate::balance::ask::Load;

/// A member may carry so many hundredths of its share. The paper's trade: at 1.25 keys move more, at 2 loads differ more.
pub const FACTOR_PERCENT: u32 = 150;

/// The bound of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// In flight over all who may be chosen with the request that is to be placed, times the factor.
    allowed: u128,
    /// The weight of all who may be chosen, in hundredths.
    weight: u128,
}

impl Bound {
    /// For a request that is about to be placed, among those who may be chosen for it: what a drained member or another tier
    /// carries makes no room here.
    #[inline]
    pub fn of<L: Load>(ask: &Ask<'_, L>, factor_percent: u32) -> Self {
        let carried = |member| (u64::from(ask.load.in_flight(member)), u64::from(ask.weight(member)));
        let sum = |(load, weight): (u64, u64), (one, heavy): (u64, u64)| (load + one, weight + heavy);
        let (in_flight, weight) = ask.able().map(carried).fold((0, 0), sum);
        Bound::over(in_flight, weight, factor_percent)
    }

    /// With so many in flight before it, over that weight.
    #[inline]
    pub fn over(in_flight: u64, weight: u64, factor_percent: u32) -> Self {
        // Below 100 nobody could take the last request.
        let factor = factor_percent.max(100);
        Bound { allowed: (u128::from(in_flight) + 1) * u128::from(factor), weight: u128::from(weight) * 100 }
    }

    /// Whether a member with so many in flight may take one more: what it then carries is at most its bound rounded up.
    #[inline]
    pub fn admits(&self, in_flight: u32, weight: u32) -> bool {
        u128::from(in_flight) * self.weight < self.allowed * u128::from(weight.max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::ask::Weights;
    use crate::balance::ask::testing::Seats;
    use crate::balance::ask::testing::ask;
    use crate::balance::set::Set;

    #[test]
    fn an_empty_pool_admits_one_anywhere() {
        let bound = Bound::over(0, 10, FACTOR_PERCENT);
        assert!(bound.admits(0, 1) && !bound.admits(1, 1));
    }

    #[test]
    fn half_as_much_again_and_no_more() {
        // 39 in flight over four members: ten each with the next, so fifteen at most.
        let bound = Bound::over(39, 4, FACTOR_PERCENT);
        assert!(bound.admits(14, 1) && !bound.admits(15, 1));
        assert!(bound.admits(29, 2) && !bound.admits(30, 2));
        assert!(Bound::over(39, 4, 0).admits(9, 1), "a factor below 1 counts as 1");
    }

    #[test]
    fn what_others_carry_makes_no_room() {
        let (usable, weights) = (Set::of(3, |member| member < 2), Weights::from([1, 1, 1]));
        let seats = Seats { in_flight: vec![4, 1, 900], ..Seats::default() };
        let bound = Bound::of(&ask(&usable, &weights, &seats), FACTOR_PERCENT);
        assert_eq!(bound, Bound::over(5, 2, FACTOR_PERCENT), "the third is drained, or a backup");
        assert!(bound.admits(4, 1) && !bound.admits(5, 1));
    }

    proptest! {
        /// Somebody always has room: were all at their bound, they would carry more than there is.
        #[test]
        fn somebody_has_room(loads in proptest::collection::vec((0u32..1_000, 1u32..100), 1..20), factor in 100u32..300) {
            let (total, weight) = loads.iter().fold((0, 0), |(t, w), (load, weight)| (t + u64::from(*load), w + u64::from(*weight)));
            let bound = Bound::over(total, weight, factor);
            prop_assert!(loads.iter().any(|(load, weight)| bound.admits(*load, *weight)));
        }
    }
}
