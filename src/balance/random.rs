//! At random, in proportion to weights.
//!
//! One draw, one pass over the members; none where all weigh the same. Nothing is remembered, so cores and machines need no
//! agreement, and the price is what randomness costs: after n requests a share is off by about the square root of n.
//! [`super::smooth_wrr`] is even.

use crate::balance::ask::Ask;

/// Draws one of those who may be chosen.
#[inline]
pub fn pick<L>(ask: &Ask<'_, L>, draw: u64) -> Option<usize> {
    if ask.weights.are_equal() && ask.tried.is_empty() {
        return ask.usable.nth(((u128::from(draw) * ask.usable.count() as u128) >> 64) as usize);
    }
    let total = ask.weight_able();
    // The draw as a fraction of the total, without division and without a bias that could matter (2^-64 times the total).
    let mut point = ((u128::from(draw) * u128::from(total)) >> 64) as u64;
    ask.able().find(|member| {
        let weight = u64::from(ask.weight(*member));
        let is_here = point < weight;
        point = point.wrapping_sub(weight);
        is_here
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::ask::Idle;
    use crate::balance::ask::Weights;
    use crate::balance::ask::testing::ask;
    use crate::balance::ask::testing::draws;
    use crate::balance::set::Set;

    #[test]
    fn the_ends_of_the_draw_are_the_ends_of_the_pool() {
        let all = Set::all(3);
        let weights = Weights::from([5, 3, 2]);
        let ask = ask(&all, &weights, &Idle);
        assert_eq!(
            [0, u64::MAX / 2 - 1, u64::MAX / 2 + 1, u64::MAX].map(|draw| pick(&ask, draw).unwrap()),
            [0, 0, 1, 2]
        );
    }

    #[test]
    fn shares_follow_weights() {
        let all = Set::all(4);
        let weights = Weights::from([70, 20, 10, 500]);
        let ask = Ask { tried: &[3], ..ask(&all, &weights, &Idle) };
        let mut won = [0u32; 4];
        draws().take(100_000).for_each(|draw| won[pick(&ask, draw).unwrap()] += 1);
        for (member, percent) in [70.0, 20.0, 10.0, 0.0].into_iter().enumerate() {
            assert!((f64::from(won[member]) / 1_000.0 - percent).abs() < 1.0, "{won:?}");
        }
    }

    #[test]
    fn of_nobody_nobody() {
        assert_eq!(pick(&ask(&Set::none(2), &Weights::from([1, 1]), &Idle), u64::MAX), None);
    }
}
