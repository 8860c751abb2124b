//! How many a second, of a counter that is looked at now and then.

use std::time::Duration;

use crate::model::Moment;

/// What lies between two readings at least: over less time a rate is chance.
const APART_MIN: Duration = Duration::from_secs(1);

/// The rate of a counter between the last two readings that were far enough apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    since: Moment,
    count: u64,
    per_second: f64,
}

impl Rate {
    /// Nothing was counted before `since`.
    pub(super) fn new(since: Moment) -> Self {
        Rate { since, count: 0, per_second: 0.0 }
    }

    /// The rate, as the counter is at `count` now.
    pub(super) fn at(&mut self, now: Moment, count: u64) -> f64 {
        let apart = now - self.since;
        if apart >= APART_MIN {
            let per_second = count.saturating_sub(self.count) as f64 / apart.as_secs_f64();
            *self = Rate { since: now, count, per_second: (per_second * 10.0).round() / 10.0 };
        }
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_time_between_two_looks() {
        let mut rate = Rate::new(Moment::from_secs(100));
        assert_eq!(rate.at(Moment::from_secs(110), 500), 50.0);
        assert_eq!(rate.at(Moment::from_secs(110), 900), 50.0, "too soon to tell");
        assert_eq!(rate.at(Moment::from_secs(112), 700), 100.0);
        assert_eq!(rate.at(Moment::from_secs(120), 0), 0.0, "a counter that began anew");
    }
}
