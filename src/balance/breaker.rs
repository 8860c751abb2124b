//! What requests tell of an endpoint: when it has failed too often it rests, and then one request tries it.
//!
//! Probes ask every few seconds; at a thousand requests a second an endpoint that breaks has failed thousands before the
//! third probe. The breaker sees every request (Envoy's outlier detection, Nygard's circuit breaker). Its verdict enters the
//! endpoint's belief, so DNS hears of it as well. It says nothing of the pool: whether an endpoint may rest at all is the
//! pool's law ([`super::ejection`]), asked only at the moment it would.

use std::fmt;
use std::time::Duration;

use crate::balance::window::Count;
use crate::balance::window::SPAN;
use crate::balance::window::Window;
use crate::model::Moment;

/// Fewer requests than this in ten seconds are no share of anything.
pub const TOTAL_MIN: u32 = 20;
/// It rests when more than so many per cent of them failed.
pub const FAILED_PERCENT: u32 = 50;
/// Or when so many failed in a row, for endpoints with little traffic and for those that die at once.
pub const IN_A_ROW: u32 = 5;
/// The first rest. Each that follows is twice as long.
pub const REST: Duration = Duration::from_secs(10);
/// No rest is longer: an endpoint that is well again is found within five minutes.
pub const REST_MAX: Duration = Duration::from_secs(300);
/// A trial that has not ended by then was lost (its client went away, its core is busy): another is sent.
pub const TRIAL_MAX: Duration = Duration::from_secs(30);

/// Doublings after which the longest rest is reached.
const DOUBLINGS_MAX: u32 = 5;

/// More rests than make the next the longest are not counted: after a day of failures a minute without is forgiveness enough,
/// as after five minutes of them (Envoy stops counting there, too).
const RESTS_MAX: u32 = DOUBLINGS_MAX + 1;

/// How a request to the endpoint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a response that is not the endpoint's fault.
    Passed,
    /// Not connected, reset, timed out, or 5xx.
    Failed,
    /// 429 Too Many Requests: it is alive and says no. Counts as a failure in the share, never in a row; a client over its
    /// rate must not take an endpoint away from everybody.
    PushedBack,
}

/// What is held against an endpoint that goes to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// So many requests failed in a row.
    InARow(u32),
    /// Of so many requests of the last ten seconds so many failed.
    Share {
        /// How many failed.
        failed: u32,
        /// How many there were.
        all: u32,
    },
    /// The one request that was to show whether it is well failed.
    Trial,
}

impl fmt::Display for Charge {
    /// `5 failures in a row`, `62 % of 40 requests in 10 s failed`, `its trial failed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Charge::InARow(count) => write!(f, "{count} failures in a row"),
            Charge::Share { failed, all } => {
                let percent = u64::from(*failed) * 100 / u64::from(*all).max(1);
                write!(f, "{percent} % of {all} requests in {} s failed", SPAN.as_secs())
            }
            Charge::Trial => f.write_str("its trial failed"),
        }
    }
}

/// What an endpoint's requests have come to.
///
/// ```text
///        share or row, if the pool allows          the rest is over and
///    ┌────────────────────────────────────┐        a request asks
///    │                                    ▼      ┌───────────────┐
/// Admitting                            Resting ──┘               ▼
///    ▲                                    ▲                    Trial ──┐ lost: asked again
///    │                                    └─ it fails, longer ───┤ ▲───┘ after TRIAL_MAX
///    └────────────────────────────── it passes ──────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Breaker {
    /// Requests go there.
    Admitting {
        /// Requests and failures of the last ten seconds.
        window: Window,
        /// Failures since the last pass.
        in_a_row: u32,
        /// How often it rested before, less one for each [`REST`] since: a relapse rests longer.
        rests: u32,
        /// Since when, after a rest.
        since: Moment,
    },
    /// None go there.
    Resting {
        /// Until then.
        until: Moment,
        /// How often it rested, this time included; six stand for any more.
        rests: u32,
    },
    /// One goes there.
    Trial {
        /// When it was sent.
        began: Moment,
        /// How often it rested.
        rests: u32,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker::admitting(0, Moment(0))
    }
}

impl Breaker {
    fn admitting(rests: u32, since: Moment) -> Self {
        Breaker::Admitting { window: Window::default(), in_a_row: 0, rests, since }
    }

    /// Whether this request may go there, and the state after it was told. At the end of a rest the first to ask is the
    /// trial, and nobody else goes until it has ended.
    #[must_use]
    pub fn ask(self, now: Moment) -> (Self, bool) {
        match self {
            Breaker::Admitting { .. } => (self, true),
            Breaker::Resting { until, rests } if now >= until => (Breaker::Trial { began: now, rests }, true),
            Breaker::Trial { began, rests } if now.since(began) >= TRIAL_MAX => {
                (Breaker::Trial { began: now, rests }, true)
            }
            Breaker::Resting { .. } | Breaker::Trial { .. } => (self, false),
        }
    }

    /// After a request that began at `began` has ended. `draw` spreads the ends of rests, so that the cores and nodes that
    /// saw one failure do not try again together; `may_rest` is the pool's word, asked when it would rest.
    #[must_use]
    pub fn after(
        self,
        outcome: Outcome,
        began: Moment,
        now: Moment,
        draw: u64,
        may_rest: impl FnOnce() -> bool,
    ) -> Self {
        match self {
            // It began before the rest that is over now: what it met is known, and the trial was asked since.
            Breaker::Admitting { since, .. } if began < since => self,
            Breaker::Admitting { window, in_a_row, rests, since } => {
                let mut seen = Seen { window, in_a_row }.after(outcome, now);
                if seen.charge(now).is_some() && may_rest() {
                    return rest(rests.saturating_sub(healed(since, now)), now, draw);
                }
                Breaker::Admitting { window: seen.window, in_a_row: seen.in_a_row, rests, since }
            }
            // Requests that were on their way when it went to rest tell nothing new.
            Breaker::Resting { .. } => self,
            Breaker::Trial { began: trial, .. } if began < trial => self,
            Breaker::Trial { rests, .. } => match outcome {
                // It answered: pushing back is for the share to judge.
                Outcome::Passed | Outcome::PushedBack => Breaker::admitting(rests, now),
                Outcome::Failed => rest(rests, now, draw),
            },
        }
    }

    /// After so many requests have passed that nobody told of one by one.
    #[must_use]
    pub fn passed(self, count: u32, now: Moment) -> Self {
        match self {
            Breaker::Admitting { mut window, rests, since, .. } if count > 0 => {
                window.add(count, 0, now);
                Breaker::Admitting { window, in_a_row: 0, rests, since }
            }
            _ => self,
        }
    }

    /// What would be held against it if one more request ended so: the reason for the rest that [`Breaker::after`] gives it.
    pub fn charge(&self, outcome: Outcome, now: Moment) -> Option<Charge> {
        match *self {
            Breaker::Admitting { window, in_a_row, .. } => Seen { window, in_a_row }.after(outcome, now).charge(now),
            Breaker::Trial { .. } => (outcome == Outcome::Failed).then_some(Charge::Trial),
            Breaker::Resting { .. } => None,
        }
    }

    /// Whether there is nothing to remember but the counts: it admits, and its last request did not fail.
    pub fn is_calm(&self) -> bool {
        matches!(self, Breaker::Admitting { in_a_row: 0, .. })
    }

    /// Since when requests go there again, if they did not for a while: what slow start goes by.
    pub fn admits_since(&self) -> Option<Moment> {
        match self {
            Breaker::Admitting { since, .. } => (*since > Moment(0)).then_some(*since),
            Breaker::Resting { .. } | Breaker::Trial { .. } => None,
        }
    }

    /// Whether a request that asked now might go: what makes a member one that may be chosen. The one that is chosen then
    /// asks, and so becomes the trial.
    pub fn might_admit(&self, now: Moment) -> bool {
        self.ask(now).1
    }

    /// Whether requests go there; a trial is no such state.
    pub fn is_admitting(&self) -> bool {
        matches!(self, Breaker::Admitting { .. })
    }

    /// When somebody should look again: the end of a rest, or of the patience with a trial.
    pub fn wakes_at(&self) -> Option<Moment> {
        match self {
            Breaker::Admitting { .. } => None,
            Breaker::Resting { until, .. } => Some(*until),
            Breaker::Trial { began, .. } => Some(*began + TRIAL_MAX),
        }
    }
}

/// What was seen while admitting.
struct Seen {
    window: Window,
    in_a_row: u32,
}

impl Seen {
    fn after(mut self, outcome: Outcome, now: Moment) -> Self {
        self.window.add(1, u32::from(outcome != Outcome::Passed), now);
        self.in_a_row = match outcome {
            Outcome::Passed => 0,
            Outcome::Failed => self.in_a_row.saturating_add(1),
            Outcome::PushedBack => self.in_a_row,
        };
        self
    }

    fn charge(&mut self, now: Moment) -> Option<Charge> {
        if self.in_a_row >= IN_A_ROW {
            return Some(Charge::InARow(self.in_a_row));
        }
        let Count { all, special: failed } = self.window.sum(now);
        let share = u64::from(failed) * 100 > u64::from(all) * u64::from(FAILED_PERCENT);
        (all >= TOTAL_MIN && share).then_some(Charge::Share { failed, all })
    }
}

/// How many rests are forgiven for the time since the last one: one for each [`REST`] (Envoy's rule).
fn healed(since: Moment, now: Moment) -> u32 {
    u32::try_from(now.since(since).as_secs() / REST.as_secs()).unwrap_or(u32::MAX)
}

/// A rest after so many before it: between four fifths and the whole of its length.
fn rest(rests: u32, now: Moment, draw: u64) -> Breaker {
    let length = (REST * (1 << rests.min(DOUBLINGS_MAX))).min(REST_MAX);
    let micros = length.as_micros() as u64;
    let shorter = ((u128::from(draw) * u128::from(micros / 5)) >> 64) as u64;
    let rests = rests.saturating_add(1).min(RESTS_MAX);
    Breaker::Resting { until: now + Duration::from_micros(micros - shorter), rests }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: Moment = Moment::from_secs(1_000);

    fn secs(seconds: u64) -> Moment {
        T0 + Duration::from_secs(seconds)
    }

    /// The outcomes of requests at that moment, one after the other: `.` passed, `x` failed, `4` pushed back.
    fn feed(breaker: Breaker, outcomes: &str, now: Moment) -> Breaker {
        outcomes.chars().fold(breaker, |breaker, c| {
            let outcome = match c {
                '.' => Outcome::Passed,
                'x' => Outcome::Failed,
                _ => Outcome::PushedBack,
            };
            breaker.after(outcome, now, now, 0, || true)
        })
    }

    fn resting_for(breaker: Breaker, now: Moment) -> Option<u64> {
        match breaker {
            Breaker::Resting { until, .. } => Some(until.since(now).as_secs()),
            _ => None,
        }
    }

    #[test]
    fn admitting_to_resting_by_five_in_a_row() {
        assert!(feed(Breaker::default(), "xxxx.xxxx", T0).is_admitting());
        assert_eq!(resting_for(feed(Breaker::default(), "xxxxx", T0), T0), Some(10));
    }

    #[test]
    fn admitting_to_resting_by_the_share() {
        let half = "x.".repeat(10);
        assert!(feed(Breaker::default(), &half, T0).is_admitting(), "half is not more than half");
        assert!(!feed(feed(Breaker::default(), &half, T0), "x", T0).is_admitting());
        assert!(feed(Breaker::default(), "xx.xx.xx.xx.xx.xx.", T0).is_admitting(), "18 requests are too few");
        let spread = (0..11).fold(Breaker::default(), |breaker, second| feed(breaker, "x.", secs(second)));
        assert!(feed(spread, "xx", secs(20)).is_admitting(), "what is ten seconds old is forgotten");
    }

    #[test]
    fn pushing_back_counts_in_the_share_only() {
        assert!(feed(Breaker::default(), "4444444444444444444", T0).is_admitting(), "19 in a row");
        assert!(!feed(Breaker::default(), "44444444444444444444", T0).is_admitting(), "20 are a share");
        assert!(!feed(Breaker::default(), "xxxx4x", T0).is_admitting(), "it does not end a row either");
    }

    #[test]
    fn admitting_stays_when_the_pool_does_not_allow_it() {
        let before = feed(Breaker::default(), "xxxx", T0);
        let kept = before.after(Outcome::Failed, T0, T0, 0, || false);
        assert!(kept.is_admitting());
        assert!(!feed(kept, "x", T0).is_admitting(), "and goes as soon as it does");
    }

    #[test]
    fn the_pool_is_asked_only_when_it_matters() {
        _ = Breaker::default().after(Outcome::Failed, T0, T0, 0, || panic!("asked for nothing"));
    }

    #[test]
    fn resting_to_trial_and_only_one() {
        let resting = feed(Breaker::default(), "xxxxx", T0);
        assert_eq!(resting.ask(secs(9)), (resting, false));
        assert!(!resting.might_admit(secs(9)) && resting.might_admit(secs(10)));
        let (trial, may) = resting.ask(secs(10));
        assert!(may && matches!(trial, Breaker::Trial { .. }));
        assert_eq!(trial.ask(secs(11)), (trial, false));
    }

    #[test]
    fn resting_ignores_what_was_on_its_way() {
        let resting = feed(Breaker::default(), "xxxxx", T0);
        assert_eq!(feed(resting, "xxx...", secs(2)), resting);
    }

    #[test]
    fn trial_to_admitting() {
        let trial = feed(Breaker::default(), "xxxxx", T0).ask(secs(10)).0;
        assert!(feed(trial, ".", secs(10)).is_admitting());
        assert!(feed(trial, "4", secs(10)).is_admitting(), "it is alive");
    }

    #[test]
    fn trial_ignores_what_began_before_it() {
        let trial = feed(Breaker::default(), "xxxxx", T0).ask(secs(10)).0;
        assert_eq!(trial.after(Outcome::Passed, secs(1), secs(11), 0, || true), trial);
        assert_eq!(trial.after(Outcome::Failed, secs(1), secs(11), 0, || true), trial);
    }

    #[test]
    fn trial_to_resting_twice_as_long_up_to_five_minutes() {
        let (mut breaker, mut now, mut rests) = (feed(Breaker::default(), "xxxxx", T0), T0, Vec::new());
        for _ in 0..8 {
            rests.push(resting_for(breaker, now).unwrap());
            now = breaker.wakes_at().unwrap();
            breaker = feed(breaker.ask(now).0, "x", now);
        }
        assert_eq!(rests, [10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn admitting_again_ignores_what_began_before_the_rest() {
        let well = feed(feed(Breaker::default(), "xxxxx", T0).ask(secs(10)).0, ".", secs(10));
        let late = (0..30).fold(well, |breaker, _| breaker.after(Outcome::Failed, secs(0), secs(12), 0, || true));
        assert_eq!(late, well, "requests that timed out after they hung through the rest");
        assert!(!feed(well, "xxxxx", secs(12)).is_admitting(), "what began since counts");
    }

    #[test]
    fn a_long_outage_is_forgiven_like_a_short_one() {
        let mut breaker = feed(Breaker::default(), "xxxxx", T0);
        for _ in 0..300 {
            let now = breaker.wakes_at().unwrap();
            breaker = feed(breaker.ask(now).0, "x", now);
        }
        let now = breaker.wakes_at().unwrap();
        let well = feed(breaker.ask(now).0, ".", now);
        let later = now + REST * RESTS_MAX;
        assert_eq!(resting_for(feed(well, "xxxxx", later), later), Some(10));
    }

    #[test]
    fn a_lost_trial_is_sent_again() {
        let trial = feed(Breaker::default(), "xxxxx", T0).ask(secs(10)).0;
        assert_eq!(trial.wakes_at(), Some(secs(40)));
        assert_eq!(trial.ask(secs(40)), (Breaker::Trial { began: secs(40), rests: 1 }, true));
    }

    #[test]
    fn a_rest_says_what_for() {
        let charge = |outcomes: &str| {
            let words =
                feed(Breaker::default(), outcomes, T0).charge(Outcome::Failed, T0).map(|charge| charge.to_string());
            words.unwrap_or_default()
        };
        assert_eq!(charge("xxxx"), "5 failures in a row");
        assert_eq!(charge("xxx"), "");
        assert_eq!(charge(&"xx.".repeat(6)), "", "19 requests");
        assert_eq!(charge(&"xx..".repeat(5)), "52 % of 21 requests in 10 s failed");
        let trial = feed(Breaker::default(), "xxxxx", T0).ask(secs(10)).0;
        assert_eq!(trial.charge(Outcome::Failed, secs(10)).unwrap().to_string(), "its trial failed");
        assert_eq!(trial.charge(Outcome::PushedBack, secs(10)), None);
    }

    #[test]
    fn passes_told_together_count_like_those_told_one_by_one() {
        let together = feed(Breaker::default(), "xxxx", T0).passed(3, T0);
        assert_eq!(together, feed(Breaker::default(), "xxxx...", T0));
        assert!(together.is_calm() && !feed(together, "x", T0).is_calm());
        let resting = feed(Breaker::default(), "xxxxx", T0);
        assert_eq!(resting.passed(3, T0), resting);
    }

    #[test]
    fn it_knows_since_when_it_admits_again() {
        let well = feed(feed(Breaker::default(), "xxxxx", T0).ask(secs(10)).0, ".", secs(10));
        assert_eq!((Breaker::default().admits_since(), well.admits_since()), (None, Some(secs(10))));
    }

    #[test]
    fn a_relapse_rests_longer_and_good_time_is_counted() {
        let well = feed(feed(Breaker::default(), "xxxxx", T0).ask(secs(10)).0, ".", secs(10));
        assert_eq!(resting_for(feed(well, "xxxxx", secs(12)), secs(12)), Some(20));
        assert_eq!(resting_for(feed(well, "xxxxx", secs(21)), secs(21)), Some(10));
    }

    proptest! {
        /// However requests end: a rest is never longer than its bound nor shorter than eight seconds, and it ends.
        #[test]
        fn rests_are_bounded(steps in proptest::collection::vec((0u64..20, 0u8..3, any::<u64>()), 1..300)) {
            let (mut breaker, mut now) = (Breaker::default(), T0);
            for (wait, outcome, draw) in steps {
                now = now + Duration::from_secs(wait);
                let (asked, may) = breaker.ask(now);
                let outcome = [Outcome::Passed, Outcome::Failed, Outcome::PushedBack][usize::from(outcome)];
                breaker = if may { asked.after(outcome, now, now, draw, || true) } else { asked };
                if let Breaker::Resting { until, rests } = breaker {
                    prop_assert!(until.since(now) <= REST_MAX && rests > 0);
                    prop_assert!(!may || until.since(now) >= Duration::from_secs(8));
                }
            }
            let (_, may) = breaker.ask(now + REST_MAX);
            prop_assert!(may);
        }
    }
}
