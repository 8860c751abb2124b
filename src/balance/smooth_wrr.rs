//! Each in turn, in proportion to weights, and evenly spread: smooth weighted round robin.
//!
//! nginx's method (Igor Sysoev and Ruslan Ermilov, commit 52327e0627f4, 2012): everybody gains its weight, the largest is
//! taken and loses the sum of all. 5:1:1 gives `a a b a c a a`, not `a a a a a b c`. O(n) a request, no random numbers.
//!
//! What stands on a member's account is how many turns it is owed, times the total weight. When the total changes (a weight
//! is changed, a member comes or goes, slow start goes on) the accounts are converted, as if to another currency: who was
//! owed half a turn still is. nginx leaves them alone; there a member owed 300 of 1,000 when the total becomes 2 is chosen
//! a hundred times in a row.

use crate::balance::ask::Ask;
use crate::balance::ask::Idle;
use crate::balance::ask::Weights;
use crate::balance::set::Set;
use crate::model::Moment;

/// A core that starts later in the sequence than this starts as if here: making it costs a pick for each.
const START_MAX: u32 = 4096;

/// Whose turn it is. Each core has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmoothWrr {
    /// What each is owed: turns times `total`. They add up to 0 over the whole pool.
    owed: Vec<i64>,
    /// The weight of all who were usable at the last pick.
    total: i64,
}

impl SmoothWrr {
    /// For a pool of so many members, from the start of the sequence.
    pub fn new(members: usize) -> Self {
        SmoothWrr { owed: vec![0; members], total: 0 }
    }

    /// As it is after so many turns of these weights. Cores that all started at the first would send it their first
    /// requests together; with its own number as `turns` each starts elsewhere, and a restart repeats what it did.
    pub fn after_turns(weights: &[u32], turns: u32) -> Self {
        let mut turn = SmoothWrr::new(weights.len());
        let (usable, weights) = (Set::all(weights.len()), Weights::of(weights.iter().copied()));
        let ask = Ask { usable: &usable, tried: &[], weights: &weights, load: &Idle, key: 0, draw: 0, now: Moment(0) };
        (0..turns.min(START_MAX)).for_each(|_| _ = turn.pick(&ask));
        turn
    }

    /// Takes the next turn.
    #[inline]
    pub fn pick<L>(&mut self, ask: &Ask<'_, L>) -> Option<usize> {
        // Usually nobody was tried and no weight changed: one pass. The total is known only after it, so a pass under the
        // wrong total is taken back.
        let (mut best, mut sum) = self.gain(ask);
        let usable = if ask.tried.is_empty() { sum } else { weight_usable(ask) };
        if usable != self.total {
            ask.able().for_each(|member| self.owed[member] -= i64::from(ask.weight(member)));
            self.convert(usable);
            (best, sum) = self.gain(ask);
        }
        self.owed[best?] -= sum;
        best
    }

    /// Everybody gains its weight: who is owed most, and the sum.
    #[inline]
    fn gain<L>(&mut self, ask: &Ask<'_, L>) -> (Option<usize>, i64) {
        let (mut best, mut most, mut sum) = (None, i64::MIN, 0);
        for member in ask.able() {
            let weight = i64::from(ask.weight(member));
            let owed = &mut self.owed[member];
            *owed += weight;
            sum += weight;
            if *owed > most {
                (best, most) = (Some(member), *owed);
            }
        }
        (best, sum)
    }

    /// Keeps what each is owed, in turns, under another total.
    #[cold]
    fn convert(&mut self, total: i64) {
        let before = std::mem::replace(&mut self.total, total);
        if before == 0 {
            return;
        }
        for owed in &mut self.owed {
            *owed = (i128::from(*owed) * i128::from(total) / i128::from(before)) as i64;
        }
        // Rounding must not add up over many changes.
        let left: i64 = self.owed.iter().sum();
        if let Some(first) = self.owed.first_mut() {
            *first -= left;
        }
    }
}

fn weight_usable<L>(ask: &Ask<'_, L>) -> i64 {
    ask.usable.iter().map(|member| i64::from(ask.weight(member))).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::ask::testing::ask;

    fn letters(turn: &mut SmoothWrr, weights: &[u32], usable: &Set, picks: usize) -> String {
        let weights = Weights::of(weights.iter().copied());
        (0..picks).map(|_| (b'a' + turn.pick(&ask(usable, &weights, &Idle)).unwrap() as u8) as char).collect()
    }

    #[test]
    fn five_one_one_is_nginx_s_sequence() {
        let (weights, all) = ([5, 1, 1], Set::all(3));
        let mut turn = SmoothWrr::new(3);
        assert_eq!(letters(&mut turn, &weights, &all, 14), "aabacaaaabacaa");
        assert_eq!(letters(&mut SmoothWrr::new(3), &[4, 2, 1], &all, 7), "abacaba");
        assert_eq!(letters(&mut SmoothWrr::new(3), &[1, 1, 1], &all, 6), "abcabc");
    }

    #[test]
    fn each_core_starts_elsewhere_and_always_there() {
        let all = Set::all(3);
        let starts: Vec<String> =
            (0..3).map(|core| letters(&mut SmoothWrr::after_turns(&[1, 1, 1], core), &[1, 1, 1], &all, 3)).collect();
        assert_eq!(starts, ["abc", "bca", "cab"]);
        assert_eq!(SmoothWrr::after_turns(&[5, 1, 1], 7), SmoothWrr::after_turns(&[5, 1, 1], 14), "the cycle closes");
        assert_eq!(SmoothWrr::after_turns(&[5, 1, 1], u32::MAX), SmoothWrr::after_turns(&[5, 1, 1], START_MAX));
    }

    #[test]
    fn who_was_tried_is_passed_over_and_keeps_its_turn() {
        let (all, weights) = (Set::all(3), Weights::from([1, 1, 1]));
        let mut turn = SmoothWrr::new(3);
        let retry = Ask { tried: &[0], ..ask(&all, &weights, &Idle) };
        assert_eq!(turn.pick(&retry), Some(1));
        assert_eq!(letters(&mut turn, &[1, 1, 1], &all, 3), "cab");
        let none = Ask { tried: &[0, 1, 2], ..ask(&all, &weights, &Idle) };
        assert_eq!(turn.pick(&none), None);
        assert_eq!(SmoothWrr::new(0).pick(&ask(&Set::none(0), &Weights::from([]), &Idle)), None);
    }

    #[test]
    fn a_member_that_leaves_and_a_total_that_shrinks_make_no_burst() {
        let (mut turn, weights) = (SmoothWrr::new(3), [1, 1, 1000]);
        letters(&mut turn, &weights, &Set::all(3), 400);
        // Without conversion `a` and `b` are owed hundreds here and the first of them is chosen for as long.
        let without = letters(&mut turn, &weights, &Set::of(3, |member| member < 2), 8);
        assert!(!without.contains("aaa") && !without.contains("bbb"), "{without}");
    }

    proptest! {
        /// Over one cycle each is chosen exactly as often as it weighs.
        #[test]
        fn a_cycle_is_the_weights(weights in proptest::collection::vec(1u32..20, 1..12)) {
            let (all, total) = (Set::all(weights.len()), weights.iter().sum::<u32>());
            let mut turn = SmoothWrr::new(weights.len());
            let (mut won, each) = (vec![0; weights.len()], Weights::of(weights.iter().copied()));
            (0..total).for_each(|_| won[turn.pick(&ask(&all, &each, &Idle)).unwrap()] += 1);
            prop_assert_eq!(won, weights);
            prop_assert!(turn.owed.iter().all(|owed| *owed == 0));
        }

        /// However weights change and members come and go: nobody is served more than its share plus what it may be owed,
        /// which is one turn and the harmonic number of the members at most.
        #[test]
        fn no_change_makes_a_burst(
            changes in proptest::collection::vec(
                (proptest::collection::vec(1u32..3_000, 5), 1u32..32, 1usize..60), 1..20),
        ) {
            let mut turn = SmoothWrr::new(5);
            for (weights, usable, picks) in changes {
                let set = Set::of(5, |member| usable >> member & 1 == 1);
                let total: u32 = set.iter().map(|member| weights[member]).sum();
                let (mut won, each) = ([0u32; 5], Weights::of(weights.iter().copied()));
                (0..picks).for_each(|_| won[turn.pick(&ask(&set, &each, &Idle)).unwrap()] += 1);
                prop_assert_eq!(turn.owed.iter().sum::<i64>(), 0);
                for member in set.iter() {
                    let share = picks as f64 * f64::from(weights[member]) / f64::from(total);
                    prop_assert!(f64::from(won[member]) < share + 4.0, "{member} had {} of {share}", won[member]);
                }
            }
        }
    }
}
