//! Who has the fewest requests in flight for its weight?
//!
//! The key is `(in flight + 1) / weight`, HAProxy's `leastconn`: with the 1, an idle pool is filled in proportion to its
//! weights, not from the top. Compared by cross multiplication, so nothing is rounded. Ties go round, or the first of an
//! idle pool would get every request of a quiet service. A request counts until its body has ended; the asker sees to that.

use std::cmp::Ordering;

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
        let next = self.next % ask.members().max(1);
        let mut best: Option<(usize, Key)> = None;
        for member in ask.able() {
            let key = Key::of(ask, member);
            let is_better = best.is_none_or(|(best, least)| match key.compare(least) {
                Ordering::Less => true,
                // Of equals the first from `next` on; members come in order.
                Ordering::Equal => best < next && member >= next,
                Ordering::Greater => false,
            });
            if is_better {
                best = Some((member, key));
            }
        }
        self.next = best?.0 + 1;
        best.map(|(member, _)| member)
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
        // Both have 32 bits, so their products have 64.
        let in_flight = ask.load.in_flight(member).saturating_add(1);
        Key { in_flight: u64::from(in_flight), weight: u64::from(ask.weight(member)) }
    }

    #[inline]
    fn compare(self, other: Key) -> Ordering {
        (self.in_flight * other.weight).cmp(&(other.in_flight * self.weight))
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

    /// Picks one after the other, none of which ends.
    fn fill(weights: &[u32], requests: usize) -> (String, Vec<u32>) {
        let (all, mut choice) = (Set::all(weights.len()), LeastConn::default());
        let mut seats = Seats { in_flight: vec![0; weights.len()], ..Seats::default() };
        let each = Weights::of(weights.iter().copied());
        let order = (0..requests)
            .map(|_| {
                let member = choice.pick(&ask(&all, &each, &seats)).unwrap();
                seats.in_flight[member] += 1;
                (b'a' + member as u8) as char
            })
            .collect();
        (order, seats.in_flight)
    }

    #[test]
    fn an_idle_pool_is_gone_round() {
        let (all, idle, mut choice) = (Set::all(3), Seats::default(), LeastConn::default());
        let order: Vec<usize> =
            (0..6).map(|_| choice.pick(&ask(&all, &Weights::from([1, 1, 1]), &idle)).unwrap()).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        assert_eq!(
            LeastConn::starting_at(5).pick(&ask(&all, &Weights::from([1, 1, 1]), &idle)),
            Some(2),
            "another core"
        );
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
        assert_eq!(LeastConn::default().pick(&ask(&all, &Weights::from([1, 1, 1]), &seats)), Some(1));
        let weights = Weights::from([1, 2, 3]);
        let retry = Ask { tried: &[1], ..ask(&all, &weights, &seats) };
        assert_eq!(LeastConn::default().pick(&retry), Some(2));
        assert_eq!(LeastConn::default().pick(&ask(&Set::none(3), &Weights::from([1, 1, 1]), &seats)), None);
    }

    #[test]
    fn the_largest_numbers_compare_exactly() {
        let seats = Seats { in_flight: vec![u32::MAX - 1, u32::MAX - 2], ..Seats::default() };
        let weights = Weights::from([u32::MAX, u32::MAX]);
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
