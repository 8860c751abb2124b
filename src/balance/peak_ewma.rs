//! How long does an endpoint take to answer, now?
//!
//! Finagle's Peak EWMA (twitter/finagle `PeakEwma.scala`; the same in linkerd and tower): an average over time that decays
//! by `e^(-t/τ)` and jumps to every new peak, so it is quick to believe bad news and slow to believe good news. Read without
//! news it decays, too: an endpoint shunned for one slow answer is tried again by and by.
//!
//! A failure is recorded as a slow answer. Else an endpoint that refuses in 200 µs were the quickest of the pool and drew all
//! its traffic, the well known black hole of latency balancing.

use std::time::Duration;

use crate::model::Moment;

/// τ: an observation weighs a third after that long, a twentieth after three times that. Finagle's and linkerd's default.
pub const DECAY: Duration = Duration::from_secs(10);

/// What a failure counts as at least: far above an answer of a healthy service, and forgotten within a minute.
pub const FAILURE_PENALTY: Duration = Duration::from_secs(1);

/// Repeated failures double up to this; beyond it nothing is decided any more.
const PENALTY_MAX: Duration = Duration::from_secs(60);

/// The latency of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PeakEwma {
    /// As of `at`; 0 when nothing was observed.
    micros: f64,
    at: Moment,
}

impl PeakEwma {
    /// What it is now, in microseconds; 0 when nothing was ever observed.
    #[inline]
    pub fn micros(&self, now: Moment) -> f64 {
        self.micros * kept(now.since(self.at))
    }

    /// After an answer that took so long.
    #[must_use]
    #[inline]
    pub fn after(self, took: Duration, now: Moment) -> Self {
        let took = (took.as_micros() as f64).max(1.0);
        let kept = kept(now.since(self.at));
        let micros = if took > self.micros { took } else { self.micros * kept + took * (1.0 - kept) };
        PeakEwma { micros, at: self.at.max(now) }
    }

    /// After a request that failed, however soon.
    #[must_use]
    pub fn after_failure(self, took: Duration, now: Moment) -> Self {
        let doubled = Duration::from_micros((self.micros(now) * 2.0) as u64).min(PENALTY_MAX);
        self.after(took.max(doubled).max(FAILURE_PENALTY), now)
    }
}

/// How much of an observation that old is left.
#[inline]
fn kept(age: Duration) -> f64 {
    (-age.as_secs_f64() / DECAY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment(1_000_000_000 + millis * 1_000)
    }
    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn bad_news_is_believed_at_once_and_good_news_slowly() {
        let calm = (0..100).fold(PeakEwma::default(), |ewma, i| ewma.after(ms(10), at(i * 100)));
        assert!((calm.micros(at(9_900)) - 10_000.0).abs() < 1.0);
        let peak = calm.after(ms(200), at(10_000));
        assert_eq!(peak.micros(at(10_000)), 200_000.0);
        let after_a_second = (1..=10).fold(peak, |ewma, i| ewma.after(ms(10), at(10_000 + i * 100)));
        assert!(after_a_second.micros(at(11_000)) > 150_000.0);
        let after_a_minute = (1..=600).fold(peak, |ewma, i| ewma.after(ms(10), at(10_000 + i * 100)));
        assert!((after_a_minute.micros(at(70_000)) - 10_000.0).abs() < 1_000.0);
    }

    #[test]
    fn without_news_it_decays() {
        let slow = PeakEwma::default().after(ms(1_000), at(0));
        let later = slow.micros(at(10_000));
        assert!((later - 1e6 / std::f64::consts::E).abs() < 1.0, "{later}");
        assert_eq!(PeakEwma::default().micros(at(0)), 0.0);
    }

    #[test]
    fn a_quick_failure_is_no_quick_answer() {
        let quick = PeakEwma::default().after(ms(2), at(0));
        let failed = quick.after_failure(ms(0), at(1));
        assert!(failed.micros(at(1)) >= 1e6);
        let again = failed.after_failure(ms(0), at(2));
        assert!(again.micros(at(2)) > 1.9e6);
        let endless = (3..100).fold(again, |ewma, i| ewma.after_failure(ms(0), at(i)));
        assert!(endless.micros(at(100)) <= 60e6);
    }

    #[test]
    fn a_clock_that_stands_still_does_no_harm() {
        let now = at(5);
        let ewma = PeakEwma::default().after(ms(3), now).after(ms(1), now).after(ms(1), at(0));
        assert!(ewma.micros(now).is_finite() && ewma.micros(now) > 0.0);
    }
}
