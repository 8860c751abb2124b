//! May one more request be retried?
//!
//! A retry is for the one request that met the one bad endpoint. When everything fails, retries are the load that keeps it
//! down: three tries each are three times the traffic. So retries are at most a fifth of the requests of the last ten
//! seconds, and three a second in any case, or a quiet service had none (Finagle's and linkerd's retry budget, and their
//! figures nearly). When all fails, the backends see at most 1.2 times what the clients sent.

use crate::balance::window::BUCKETS;
use crate::balance::window::Window;
use crate::model::Moment;

/// Retries may be so many per cent of requests.
pub const SHARE_PERCENT: u32 = 20;

/// So many a second are allowed in any case, over the whole process.
pub const LEAST_PER_SECOND: u32 = 3;

/// The budget of one pool on one core.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryBudget {
    window: Window,
    share_percent: u32,
    /// Over the whole window.
    least: u32,
}

impl RetryBudget {
    /// With the usual figures, for one of so many cores: each has its part of what is allowed in any case, at least one in
    /// ten seconds.
    pub fn for_one_of(cores: u32) -> Self {
        RetryBudget::new(SHARE_PERCENT, (LEAST_PER_SECOND * BUCKETS as u32 / cores.max(1)).max(1))
    }

    /// Retries up to that share of requests, and so many in ten seconds in any case.
    pub fn new(share_percent: u32, least: u32) -> Self {
        RetryBudget { window: Window::default(), share_percent, least }
    }

    /// A request came from a client.
    #[inline]
    pub fn request(&mut self, now: Moment) {
        self.window.add(1, 0, now);
    }

    /// Takes one retry from the budget, if there is one left.
    #[inline]
    pub fn take(&mut self, now: Moment) -> bool {
        let count = self.window.sum(now);
        let share = u64::from(count.all) * u64::from(self.share_percent) / 100;
        let is_allowed = u64::from(count.special) < share.max(u64::from(self.least));
        if is_allowed {
            self.window.add(0, 1, now);
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Retries granted when every request fails and asks for three, at so many requests a second.
    fn granted(requests_per_second: u64, seconds: u64) -> u64 {
        let mut budget = RetryBudget::for_one_of(1);
        let mut granted = 0;
        for tick in 0..requests_per_second * seconds {
            let now = Moment(1_000_000_000 + tick * 1_000_000 / requests_per_second);
            budget.request(now);
            granted += (0..3).take_while(|_| budget.take(now)).count() as u64;
        }
        granted
    }

    #[test]
    fn when_all_fails_the_backends_see_a_fifth_more() {
        let granted = granted(1_000, 60);
        assert!((11_000..=12_300).contains(&granted), "{granted} retries of 60,000 requests");
    }

    #[test]
    fn a_quiet_service_may_retry() {
        assert_eq!(granted(1, 10), 30, "all three of each");
        assert!((300..=310).contains(&granted(5, 100)), "and no more than three a second: {}", granted(5, 100));
    }

    #[test]
    fn cores_share_what_is_allowed_in_any_case() {
        assert_eq!(RetryBudget::for_one_of(4), RetryBudget::new(20, 7));
        assert_eq!(RetryBudget::for_one_of(500), RetryBudget::new(20, 1));
        assert_eq!(RetryBudget::for_one_of(0), RetryBudget::new(20, 30));
        assert!(!RetryBudget::new(0, 0).take(Moment(0)), "no budget is no retries");
    }

    proptest! {
        /// Whatever the order of requests and retries: never more than a fifth or the least in ten seconds.
        #[test]
        fn the_budget_is_kept(steps in proptest::collection::vec((0u64..300_000, any::<bool>()), 1..400)) {
            let (mut budget, mut now) = (RetryBudget::new(20, 5), Moment::from_secs(1_000));
            for (wait, is_request) in steps {
                now.0 += wait;
                let before = budget.window.sum(now);
                if is_request {
                    budget.request(now);
                } else if budget.take(now) {
                    prop_assert!(before.special < 5 || before.special * 5 < before.all);
                } else {
                    prop_assert!(before.special >= 5 && before.special >= before.all * 20 / 100);
                }
            }
        }
    }
}
