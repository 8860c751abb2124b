//! When is each target probed next?
//!
//! A heap of due times and a seeded sequence of draws. Starts are spread, so that ten thousand targets do not fire in
//! one millisecond at boot; every later wait is drawn a little *shorter* than asked for, never longer, so that targets
//! drift apart and an interval stays a promise: with three failures at `interval 1s` the dead are out within 3 s.
//!
//! A target is in the heap only while it waits; while its probe runs it is not, so a target is never probed twice at
//! once and a slow one delays no other. 30,000 targets every 10 s are 3,000 pushes and pops a second: microseconds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::health::target::TargetId;
use crate::model::Moment;

/// How much of a wait the draw may take off, in percent.
pub const JITTER_PERCENT: u32 = 10;

/// Due times of every target that waits.
#[derive(Debug, Clone)]
pub struct Schedule {
    waiting: BinaryHeap<Reverse<(Moment, TargetId)>>,
    seed: u64,
}

impl Schedule {
    /// An empty one; the same seed and the same calls give the same times.
    pub fn new(seed: u64) -> Self {
        Schedule { waiting: BinaryHeap::new(), seed }
    }

    /// A first probe at some time in the next `within`.
    pub fn first(&mut self, id: TargetId, now: Moment, within: Duration) {
        let wait = self.draw(Duration::ZERO..=within);
        self.waiting.push(Reverse((now + wait, id)));
    }

    /// The next probe of a target whose last one started at `started`: `wait` later, less the jitter, and not before
    /// `now`.
    pub fn again(&mut self, id: TargetId, started: Moment, now: Moment, wait: Duration) {
        let earliest = wait.saturating_mul(100 - JITTER_PERCENT) / 100;
        let wait = self.draw(earliest..=wait);
        self.waiting.push(Reverse(((started + wait).max(now), id)));
    }

    /// The same where the pace has just slackened from `former` to `wait`: anywhere between the two, so that targets
    /// that were all in doubt at once (at start, after an outage, when we could not ask) do not beat as one ever after.
    pub fn slackened(&mut self, id: TargetId, started: Moment, now: Moment, former: Duration, wait: Duration) {
        let wait = self.draw(former.min(wait)..=wait);
        self.waiting.push(Reverse(((started + wait).max(now), id)));
    }

    /// Takes a target that is due.
    pub fn pop_due(&mut self, now: Moment) -> Option<(TargetId, Moment)> {
        match self.waiting.peek() {
            Some(Reverse((due, _))) if *due <= now => self.waiting.pop().map(|Reverse((due, id))| (id, due)),
            _ => None,
        }
    }

    /// When the next target is due.
    pub fn next_due(&self) -> Option<Moment> {
        self.waiting.peek().map(|Reverse((due, _))| *due)
    }

    /// Forgets the targets that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(TargetId) -> bool) {
        self.waiting.retain(|Reverse((_, id))| keep(*id));
    }

    /// How many targets wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Uniform in the range, by the seed (splitmix64: any seed will do, and it is the same on every build).
    fn draw(&mut self, range: RangeInclusive<Duration>) -> Duration {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let width = (range.end().saturating_sub(*range.start())).as_micros() + 1;
        let micros = (u128::from(z) * width) >> 64;
        *range.start() + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn starts_are_spread_over_the_time_given() {
        let mut schedule = Schedule::new(7);
        (0..10_000).for_each(|i| schedule.first(TargetId(i), Moment(0), INTERVAL));
        let mut seconds = [0; 10];
        while let Some((_, due)) = schedule.pop_due(Moment::from_secs(10)) {
            seconds[(due.secs() as usize).min(9)] += 1;
        }
        assert!(seconds.iter().all(|n| (850..1150).contains(n)), "{seconds:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let times = |seed| {
            let mut schedule = Schedule::new(seed);
            (0..100).for_each(|i| schedule.first(TargetId(i), Moment(0), INTERVAL));
            std::iter::from_fn(|| schedule.pop_due(Moment::from_secs(20))).collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }

    #[test]
    fn a_probe_that_outlasts_its_interval_is_followed_at_once() {
        let mut schedule = Schedule::new(7);
        schedule.again(TargetId(1), Moment(0), Moment::from_secs(12), INTERVAL);
        assert_eq!(schedule.next_due(), Some(Moment::from_secs(12)));
    }

    proptest! {
        /// However probes last and whatever the pace: nobody starves, and nobody is probed more often than its pace.
        #[test]
        fn nobody_starves_and_nobody_is_hurried(
            seed: u64,
            paces in proptest::collection::vec(1u64..20, 1..40),
            lasts in proptest::collection::vec(0u64..3, 1..7),
        ) {
            let mut schedule = Schedule::new(seed);
            for (i, pace) in paces.iter().enumerate() {
                schedule.first(TargetId(i as u64), Moment(0), Duration::from_secs(*pace));
            }
            let mut last: Vec<Option<Moment>> = vec![None; paces.len()];
            let mut counts = vec![0u64; paces.len()];
            for (step, now) in (0..2_000).map(|tenth| Moment(tenth * 100_000)).enumerate() {
                while let Some((id, _)) = schedule.pop_due(now) {
                    let i = id.0 as usize;
                    let pace = Duration::from_secs(paces[i]);
                    if let Some(before) = last[i].replace(now) {
                        // A tenth of a second is this test's clock.
                        prop_assert!(now - before + Duration::from_millis(100) >= pace * 9 / 10);
                        prop_assert!(now - before <= pace + Duration::from_secs(3) + Duration::from_millis(100));
                    }
                    counts[i] += 1;
                    let ended = now + Duration::from_secs(lasts[step % lasts.len()]);
                    schedule.again(id, now, ended, pace);
                }
            }
            for (pace, count) in paces.iter().zip(counts) {
                prop_assert!(count >= 200 / (pace + 3), "pace {} s: {} probes in 200 s", pace, count);
            }
        }
    }
}
