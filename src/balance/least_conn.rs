//! Who has the fewest requests in flight for its weight?
//!
//! The key is `(in flight + 1) / weight`, HAProxy's `leastconn`: with the 1, an idle pool is filled in proportion to its
//! weights, not from the top. Compared by cross multiplication, so nothing is rounded. Ties go round, or the first of an
//! idle pool would get every request of a quiet service. A request counts until its body has ended; the asker sees to that.

use crate::balance::ask::Ask;
use crate::balance::ask::Load;

/// Where ties begin. Each core has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeastConn {
    /// The first member to be looked at next.
    next: usize,
}

impl LeastConn {
    /// Ties begin at that member, modulo the pool: each core elsewhere.
    pub fn starting_at(member: usize) -> Self {
        LeastConn { next: member }
    }

    /// The one with the fewest for its weight.
    #[inline]
    pub fn pick<L: Load>(&mut self, ask: &Ask<'_, L>) -> Option<usize> {
        let members = ask.weights.len().max(1);
        let next = self.next % members;
        // Those from `next` on come first, then those before it: two passes over the bits, no division in the loop.
        let after = ask.able().filter(|member| *member >= next);
        let before = ask.able().filter(|member| *member < next);
        let best = after.chain(before).map(|member| (member, Key::of(ask, member))).reduce(Key::lesser)?.0;
        self.next = best + 1;
        Some(best)
    }
}

/// `(in flight + 1) / weight`, not divided.
#[derive(Debug, Clone, Copy)]
struct Key {
    in_flight: u64,
    weight: u64,
}

impl Key {
    #[inline]
    fn of<L: Load>(ask: &Ask<'_, L>, member: usize) -> Self {
        Key { in_flight: u64::from(ask.load.in_flight(member)) + 1, weight: u64::from(ask.weight(member)) }
    }

    /// The smaller of two; the former when they are equal.
    #[inline]
    fn lesser(a: (usize, Key), b: (usize, Key)) -> (usize, Key) {
        // Both factors have 33 bits at most, but two of 33 are more than 64.
        let is_less =
            u128::from(b.1.in_flight) * u128::from(a.1.weight) < u128::from(a.1.in_flight) * u128::from(b.1.weight);
        if is_less { b } else { a }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::ask::testing::Seats;
    use crate::balance::ask::testing::ask;
    use crate::balance::set::Set;

    /// Picks one after the other, none of which ends.
    fn fill(weights: &[u32], requests: usize) -> (String, Vec<u32>) {
        let (all, mut choice) = (Set::all(weights.len()), LeastConn::default());
        let mut seats = Seats { in_flight: vec![0; weights.len()], ..Seats::default() };
        let order = (0..requests)
            .map(|_| {
                let member = choice.pick(&ask(&all, weights, &seats)).unwrap();
                seats.in_flight[member] += 1;
                (b'a' + member as u8) as char
            })
            .collect();
        (order, seats.in_flight)
    }

    #[test]
    fn an_idle_pool_is_gone_round() {
        let (all, idle, mut choice) = (Set::all(3), Seats::default(), LeastConn::default());
        let order: Vec<usize> = (0..6).map(|_| choice.pick(&ask(&all, &[1, 1, 1], &idle)).unwrap()).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        assert_eq!(LeastConn::starting_at(5).pick(&ask(&all, &[1, 1, 1], &idle)), Some(2), "another core");
    }

    #[test]
    fn it_fills_by_weight() {
        assert_eq!(
            fill(&[3, 1], 8).0,
            "aabaaaba",
            "at the third both have 1 each for their weight: a tie, which goes round"
        );
        assert_eq!(fill(&[5, 3, 2], 100).1, [50, 30, 20]);
    }

    #[test]
    fn the_busy_one_is_left_alone() {
        let seats = Seats { in_flight: vec![9, 0, 9], ..Seats::default() };
        let all = Set::all(3);
        assert_eq!(LeastConn::default().pick(&ask(&all, &[1, 1, 1], &seats)), Some(1));
        let retry = Ask { tried: &[1], ..ask(&all, &[1, 2, 3], &seats) };
        assert_eq!(LeastConn::default().pick(&retry), Some(2));
        assert_eq!(LeastConn::default().pick(&ask(&Set::none(3), &[1, 1, 1], &seats)), None);
    }

    #[test]
    fn the_largest_numbers_compare_exactly() {
        let seats = Seats { in_flight: vec![u32::MAX, u32::MAX - 1], ..Seats::default() };
        let weights = [u32::MAX, u32::MAX];
        assert_eq!(LeastConn::default().pick(&ask(&Set::all(2), &weights, &seats)), Some(1));
    }

    proptest! {
        /// Filling without an end keeps every member within one request of its share.
        #[test]
        fn shares_follow_weights(weights in proptest::collection::vec(1u32..50, 1..10), requests in 1usize..500) {
            let total: u32 = weights.iter().sum();
            for (weight, in_flight) in weights.iter().zip(fill(&weights, requests).1) {
                let share = requests as f64 * f64::from(*weight) / f64::from(total);
                // Greedy by (n + 1) / weight is the apportionment of Jefferson and D'Hondt, which favours the large by
                // less than the number of the small.
                prop_assert!(f64::from(in_flight) + 1.0 > share - 1.0, "{in_flight} of {share}");
            }
        }
    }
}
