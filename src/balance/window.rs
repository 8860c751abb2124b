//! How many of the last ten seconds? Two counts in ten buckets of a second.
//!
//! Ten buckets: with one the count would fall to nothing at every turn, with more nothing is decided better. A sum covers
//! between nine and ten seconds. Nothing runs in the background; what is old is dropped when somebody looks.

use std::time::Duration;

use crate::model::Moment;

/// How many buckets of a second.
pub const BUCKETS: usize = 10;

/// How far back a count reaches.
pub const SPAN: Duration = Duration::from_secs(BUCKETS as u64);

/// Two counts over the last ten seconds: all, and those that are special.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    buckets: [Count; BUCKETS],
    /// The second of the newest bucket.
    second: u64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Everything.
    pub all: u32,
    /// The special ones: failures of requests, retries.
    pub special: u32,
}

impl Window {
    /// Counts one.
    #[inline]
    pub fn add(&mut self, all: u32, special: u32, now: Moment) {
        self.drop_old(now);
        let bucket = &mut self.buckets[(self.second % BUCKETS as u64) as usize];
        bucket.all = bucket.all.saturating_add(all);
        bucket.special = bucket.special.saturating_add(special);
    }

    /// The counts of the last ten seconds.
    #[inline]
    pub fn sum(&mut self, now: Moment) -> Count {
        self.drop_old(now);
        self.buckets.iter().fold(Count::default(), |sum, bucket| Count {
            all: sum.all.saturating_add(bucket.all),
            special: sum.special.saturating_add(bucket.special),
        })
    }

    #[inline]
    fn drop_old(&mut self, now: Moment) {
        // A moment before the newest bucket counts in it: clocks of callers may differ by a little.
        let passed = now.secs().saturating_sub(self.second);
        for step in 1..=passed.min(BUCKETS as u64) {
            self.buckets[((self.second + step) % BUCKETS as u64) as usize] = Count::default();
        }
        self.second += passed;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_older_than_ten_seconds_is_gone() {
        let mut window = Window::default();
        window.add(5, 2, Moment::from_secs(100));
        window.add(1, 1, Moment::from_secs(105));
        assert_eq!(window.sum(Moment::from_secs(109)), Count { all: 6, special: 3 });
        assert_eq!(window.sum(Moment::from_secs(110)), Count { all: 1, special: 1 });
        assert_eq!(window.sum(Moment::from_secs(1_000_000)), Count::default());
    }

    proptest! {
        /// It is the sum of what was added in the current second and the nine before it.
        #[test]
        fn it_counts_what_it_should(steps in proptest::collection::vec((0u64..4, 0u32..9), 1..60)) {
            let (mut window, mut now, mut log) = (Window::default(), 1_000, Vec::new());
            for (wait, count) in steps {
                now += wait;
                window.add(count, count / 2, Moment::from_secs(now));
                log.push((now, count));
                let recent = log.iter().filter(|(at, _)| at + 10 > now);
                let (all, special) = recent.fold((0, 0), |(a, s), (_, n)| (a + n, s + n / 2));
                prop_assert_eq!(window.sum(Moment::from_secs(now)), Count { all, special });
            }
        }
    }
}
