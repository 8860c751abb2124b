//! The better of two drawn at random, by how long each would take.
//!
//! "The power of two choices" (Mitzenmacher 2001): looking at two instead of one turns the longest queue from logarithmic to
//! doubly logarithmic, and unlike the best of all it sends no herd to whoever looked best a moment ago. A member's cost is
//! `latency × (in flight + 1)` with the latency of [`super::peak_ewma`] (Finagle's Peak EWMA, linkerd's default).
//!
//! Members of equal weight: two different ones. With unequal weights both are drawn by weight and may be the same, which
//! makes shares of equally fast members exactly the weights; two different ones would share evenly whatever they weigh.

use crate::balance::ask::Ask;
use crate::balance::ask::Load;
use crate::balance::key::next_draw;
use crate::balance::random;

/// How long a member that never answered is taken to need while its first requests are out: a newcomer gets one request
/// and then waits for what becomes of it (Finagle's penalty).
const UNKNOWN_MICROS: f64 = 1_000_000.0;

/// Draws two and takes the better.
#[inline]
pub fn pick<L: Load>(ask: &Ask<'_, L>) -> Option<usize> {
    let (one, other) = if ask.weights.are_equal() { two_different(ask)? } else { two_by_weight(ask)? };
    Some(if cost(ask, other) < cost(ask, one) { other } else { one })
}

#[inline]
fn cost<L: Load>(ask: &Ask<'_, L>, member: usize) -> f64 {
    let (in_flight, latency) = (ask.load.in_flight(member), ask.load.latency(member, ask.now));
    let latency = if latency == 0.0 && in_flight > 0 { UNKNOWN_MICROS } else { latency };
    latency * (f64::from(in_flight) + 1.0)
}

#[inline]
fn two_by_weight<L>(ask: &Ask<'_, L>) -> Option<(usize, usize)> {
    Some((random::pick(ask, ask.draw)?, random::pick(ask, next_draw(ask.draw))?))
}

/// Two different ones, or twice the only one.
#[inline]
fn two_different<L>(ask: &Ask<'_, L>) -> Option<(usize, usize)> {
    if !ask.tried.is_empty() {
        // A retry: rare, and the usable are not all able. Counts instead of bits.
        let able = ask.able().count();
        let (one, other) = two_places(ask.draw, able)?;
        return Some((ask.able().nth(one)?, ask.able().nth(other)?));
    }
    let (one, other) = two_places(ask.draw, ask.usable.count())?;
    Some((ask.usable.nth(one)?, ask.usable.nth(other)?))
}

/// Two different numbers below `count`, each pair equally likely; the same when there is but one.
#[inline]
fn two_places(draw: u64, count: usize) -> Option<(usize, usize)> {
    let below = |draw: u64, count: usize| ((u128::from(draw) * count as u128) >> 64) as usize;
    match count {
        0 => None,
        1 => Some((0, 0)),
        _ => {
            let (one, other) = (below(draw, count), below(next_draw(draw), count - 1));
            Some((one, if other >= one { other + 1 } else { other }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::ask::Weights;
    use crate::balance::ask::testing::Seats;
    use crate::balance::ask::testing::ask;
    use crate::balance::ask::testing::draws;
    use crate::balance::set::Set;

    fn shares(weights: &[u32], seats: &Seats, tried: &[u32]) -> Vec<f64> {
        let (all, each) = (Set::all(weights.len()), Weights::of(weights.iter().copied()));
        let mut won = vec![0u32; weights.len()];
        for draw in draws().take(50_000) {
            won[pick(&Ask { draw, tried, ..ask(&all, &each, seats) }).unwrap()] += 1;
        }
        won.into_iter().map(|won| f64::from(won) / 500.0).collect()
    }

    fn near(shares: &[f64], wanted: &[f64]) {
        assert!(shares.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1.0), "{shares:?} {wanted:?}");
    }

    #[test]
    fn equals_share_equally_and_weights_are_kept() {
        let seats = Seats { in_flight: vec![0; 3], latency: vec![500.0; 3] };
        near(&shares(&[1, 1, 1], &seats, &[]), &[33.3, 33.3, 33.3]);
        near(&shares(&[6, 3, 1], &seats, &[]), &[60.0, 30.0, 10.0]);
        near(&shares(&[1, 1, 1], &seats, &[2]), &[50.0, 50.0, 0.0]);
    }

    #[test]
    fn the_slowest_of_equals_is_never_the_better_of_two() {
        let seats = Seats { in_flight: vec![0; 3], latency: vec![500.0, 600.0, 9_000.0] };
        near(&shares(&[1, 1, 1], &seats, &[]), &[66.7, 33.3, 0.0]);
        let busy = Seats { in_flight: vec![0, 0, 40], latency: vec![500.0; 3] };
        assert_eq!(shares(&[1, 1, 1], &busy, &[])[2], 0.0);
    }

    #[test]
    fn a_newcomer_gets_one_request_at_a_time() {
        let mut seats = Seats { in_flight: vec![1, 1, 0], latency: vec![900.0, 900.0, 0.0] };
        assert!(shares(&[1, 1, 1], &seats, &[])[2] > 60.0, "it is tried at once");
        seats.in_flight[2] = 1;
        assert_eq!(shares(&[1, 1, 1], &seats, &[])[2], 0.0, "and then waited for");
    }

    #[test]
    fn few_members_are_no_special_case() {
        let seats = Seats::default();
        assert_eq!(shares(&[1], &seats, &[]), [100.0]);
        assert_eq!(pick(&ask(&Set::none(3), &Weights::from([1, 1, 1]), &seats)), None);
        let (all, weights) = (Set::all(2), Weights::from([1, 1]));
        let retry = Ask { tried: &[0, 1], ..ask(&all, &weights, &seats) };
        assert_eq!(pick(&retry), None);
    }

    #[test]
    fn every_pair_is_equally_likely() {
        let mut seen = std::collections::BTreeMap::new();
        draws().take(60_000).for_each(|draw| *seen.entry(two_places(draw, 4).unwrap()).or_insert(0u32) += 1);
        assert!(seen.keys().all(|(one, other)| one != other) && seen.len() == 12, "{seen:?}");
        assert!(seen.values().all(|count| (4_600..5_400).contains(count)), "{seen:?}");
    }
}
