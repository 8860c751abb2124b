//! What is known of an endpoint from its requests, shared by the cores that send them.
//!
//! It outlives every snapshot ([`super::live_pools`] carries it from one to the next): a reload forgets neither a rest nor a
//! count. Every request ends here, so nearly all of them must cost nothing: while an endpoint is calm a pass is one load and one
//! addition, both relaxed, and no lock. The breaker hears of those passes together, once a second and before each failure.
//! Failures, trials and whatever follows a failure take the endpoint's own lock for some tens of nanoseconds.
//!
//! ```text
//!  CALM ──a failure──→ DOUBTED ──too many, and the pool allows──→ AWAY
//!    ▲                    │                                         │
//!    └──────a pass────────┴──────────the trial passes───────────────┘
//! ```
//!
//! "In a row" is as the lock has it: of requests that end on two cores in the same microsecond nobody can tell which was
//! first. Nothing here knows what is believed of the endpoint; whether it may rest is asked of the caller.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::balance::breaker::Breaker;
use crate::balance::breaker::Outcome;
use crate::health::names::EndpointKey;
use crate::model::Moment;

/// It admits, and its last request passed: passes are only counted.
const CALM: u8 = 0;
/// It admits, and its last request failed: a pass must be told, for it ends a row.
const DOUBTED: u8 = 1;
/// It rests or is on trial.
const AWAY: u8 = 2;

/// One endpoint. A cache line of its own, so that the counts of two endpoints do not push each other out of the cores.
#[derive(Debug)]
#[repr(align(64))]
pub struct Live {
    state: AtomicU8,
    in_flight: AtomicU32,
    /// Passes that the breaker has not been told of.
    passed: AtomicU32,
    breaker: Mutex<Breaker>,
    shared: Arc<Shared>,
    key: EndpointKey,
}

/// What all endpoints of one pool share, whichever snapshot they were found in.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Grows with each change of who may be sent requests.
    pub(super) epoch: AtomicU64,
    /// Held while it is decided whether one more may rest: two that fail at once must not both be the last but one.
    pub(super) law: Mutex<()>,
}

/// A request that did not pass.
#[derive(Clone, Copy)]
pub struct Failure<'a> {
    /// [`Outcome::Failed`] or [`Outcome::PushedBack`].
    pub outcome: Outcome,
    /// What it met, for people: `connect refused`, `status 503`. Written out only when the endpoint goes to rest for it.
    pub met: &'a dyn fmt::Display,
    /// When the request was sent.
    pub began: Moment,
}

impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} since {:?}: {}", self.outcome, self.began, self.met)
    }
}

/// What a request has made of its endpoint: somebody must be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turned {
    /// It rests, for the first time or once more after a trial.
    Ejected {
        /// A trial is sent from then on.
        until: Moment,
        /// Why: `5 failures in a row (connect refused)`, `62 % of 40 requests in 10 s failed (status 503)`.
        reason: String,
    },
    /// Its trial passed.
    Readmitted,
}

impl Live {
    pub(super) fn new(key: EndpointKey, shared: Arc<Shared>) -> Self {
        let (state, in_flight, passed) = (AtomicU8::new(CALM), AtomicU32::new(0), AtomicU32::new(0));
        Live { state, in_flight, passed, breaker: Mutex::default(), shared, key }
    }

    /// Its pool, address and port: what the keeper is told by.
    pub fn key(&self) -> &EndpointKey {
        &self.key
    }

    /// A request is sent to it, unless it has so many: no two cores take the last place.
    #[inline]
    pub fn begins(&self, most: u32) -> bool {
        let one_more = |in_flight| (in_flight < most).then_some(in_flight + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::SeqCst, one_more).is_ok()
    }

    /// A request is over, its body too. In one order with the count of those who wait for room: who joins them and finds none,
    /// and who makes room and sees nobody waiting, must not both be possible.
    #[inline]
    pub fn ends(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// Requests that are not over.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether this request may go there: always, while it admits. After a rest the first to ask becomes the trial.
    #[inline]
    pub fn ask(&self, now: Moment) -> bool {
        if self.is_admitting() {
            return true;
        }
        let mut breaker = self.lock();
        let (after, may) = breaker.ask(now);
        self.settle(&mut breaker, after);
        may
    }

    /// A request passed that began then.
    #[inline]
    pub fn passed(&self, began: Moment, now: Moment) -> Option<Turned> {
        if self.state.load(Ordering::Relaxed) == CALM {
            self.passed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.passed_in_doubt(began, now)
    }

    #[cold]
    fn passed_in_doubt(&self, began: Moment, now: Moment) -> Option<Turned> {
        let mut breaker = self.lock();
        let before = *breaker;
        self.settle(&mut breaker, before.after(Outcome::Passed, began, now, 0, || false));
        (!before.is_admitting() && breaker.is_admitting()).then_some(Turned::Readmitted)
    }

    /// A request did not pass. `draw` is random; `may_rest` the pool's word ([`super::live_pools::LivePool::failed`] gives it),
    /// asked only when it matters, with this endpoint's lock held.
    #[cold]
    pub fn failed(
        &self,
        failure: &Failure<'_>,
        now: Moment,
        draw: u64,
        may_rest: impl FnOnce() -> bool,
    ) -> Option<Turned> {
        let mut breaker = self.lock();
        let before = breaker.passed(self.passed.swap(0, Ordering::Relaxed), now);
        self.settle(&mut breaker, before.after(failure.outcome, failure.began, now, draw, may_rest));
        match (before, *breaker) {
            (Breaker::Resting { .. }, _) => None,
            (_, Breaker::Resting { until, .. }) => {
                let charge = before.charge(failure.outcome, now).map(|charge| charge.to_string()).unwrap_or_default();
                Some(Turned::Ejected { until, reason: format!("{charge} ({})", failure.met) })
            }
            (Breaker::Trial { .. }, Breaker::Admitting { .. }) => Some(Turned::Readmitted),
            _ => None,
        }
    }

    /// Once a second: the breaker hears of the passes.
    pub fn tick(&self, now: Moment) {
        if self.passed.load(Ordering::Relaxed) > 0 {
            let mut breaker = self.lock();
            let after = breaker.passed(self.passed.swap(0, Ordering::Relaxed), now);
            self.settle(&mut breaker, after);
        }
    }

    /// Whether requests go there; a trial is no such state.
    #[inline]
    pub fn is_admitting(&self) -> bool {
        self.state.load(Ordering::Relaxed) != AWAY
    }

    /// Whether a request that asked now might go: what makes a member one that may be chosen.
    pub fn might_admit(&self, now: Moment) -> bool {
        self.is_admitting() || self.lock().might_admit(now)
    }

    /// When that changes although nobody asks: the end of a rest, or of the patience with a trial.
    pub fn wakes_at(&self) -> Option<Moment> {
        if self.is_admitting() { None } else { self.lock().wakes_at() }
    }

    /// Since when it admits again after a rest, for slow start; `None` if it never rested, or does not admit.
    pub fn admits_since(&self) -> Option<Moment> {
        self.lock().admits_since()
    }

    /// Rests from now on as far as others see: the pool has just allowed it, and holds its law until they do.
    pub(super) fn is_away_from_now_on(&self) {
        self.state.store(AWAY, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The breaker's next state, and what is seen of it without the lock.
    fn settle(&self, breaker: &mut Breaker, after: Breaker) {
        let before = std::mem::replace(breaker, after);
        let state = match after {
            _ if after.is_calm() => CALM,
            Breaker::Admitting { .. } => DOUBTED,
            Breaker::Resting { .. } | Breaker::Trial { .. } => AWAY,
        };
        self.state.store(state, Ordering::Relaxed);
        if before != after && !(before.is_admitting() && after.is_admitting()) {
            // Whoever sees the new epoch sees what changed.
            self.shared.epoch.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::balance::window::SPAN;

    const T0: Moment = Moment::from_secs(1_000);

    fn live() -> Live {
        let key = EndpointKey { pool: "web".into(), address: [192, 0, 2, 1].into(), port: Some(80) };
        Live::new(key, Arc::default())
    }

    fn millis(millis: u64) -> Moment {
        T0 + Duration::from_millis(millis)
    }

    fn failure(began: Moment) -> Failure<'static> {
        Failure { outcome: Outcome::Failed, met: &"connect refused", began }
    }

    fn fail(live: &Live, now: Moment) -> Option<Turned> {
        live.failed(&failure(now), now, 0, || true)
    }

    #[test]
    fn five_in_a_row_and_it_says_so() {
        let live = live();
        assert!((0..4).all(|_| fail(&live, T0).is_none() && live.is_admitting()));
        let reason = "5 failures in a row (connect refused)".to_owned();
        assert_eq!(fail(&live, T0), Some(Turned::Ejected { until: millis(10_000), reason }));
        assert!(!live.is_admitting() && !live.ask(millis(9_999)) && !live.might_admit(millis(9_999)));
        assert_eq!(live.wakes_at(), Some(millis(10_000)));
        assert_eq!(fail(&live, millis(10)), None, "what was on its way");
    }

    #[test]
    fn a_pass_between_ends_a_row() {
        let live = live();
        for now in (0..10).map(|round| millis(round * 20_000)) {
            assert!((0..4).all(|_| fail(&live, now).is_none()));
            assert_eq!(live.passed(now, now), None);
            live.tick(now);
        }
        assert!(live.is_admitting());
    }

    #[test]
    fn one_trial_decides() {
        let live = live();
        (0..5).for_each(|_| drop(fail(&live, T0)));
        let until = live.wakes_at().unwrap();
        assert!(live.might_admit(until) && live.ask(until) && !live.ask(until), "one goes");
        assert_eq!(live.passed(T0, until), None, "it began before the rest");
        let failed = live.failed(&Failure { met: &"status 503", ..failure(until) }, until, 0, || true);
        let reason = "its trial failed (status 503)".to_owned();
        assert_eq!(failed, Some(Turned::Ejected { until: until + Duration::from_secs(20), reason }));
        let until = live.wakes_at().unwrap();
        assert!(live.ask(until));
        assert_eq!(live.passed(until, until), Some(Turned::Readmitted));
        assert!(live.is_admitting() && live.wakes_at().is_none());
        assert_eq!(live.admits_since(), Some(until));
    }

    #[test]
    fn who_pushes_back_at_its_trial_is_alive() {
        let live = live();
        (0..5).for_each(|_| drop(fail(&live, T0)));
        let until = live.wakes_at().unwrap();
        assert!(live.ask(until));
        let pushed = Failure { outcome: Outcome::PushedBack, ..failure(until) };
        assert_eq!(live.failed(&pushed, until, 0, || true), Some(Turned::Readmitted));
    }

    /// Requests that come every so many milliseconds and fail in this pattern, from `from` on; ticks every second.
    fn play(live: &Live, every: u64, pattern: &str, from: u64, until: u64) -> Option<(u64, String)> {
        let outcomes = pattern.chars().cycle();
        for (at, outcome) in (from..until).step_by(every as usize).zip(outcomes) {
            if at % 1_000 < every {
                live.tick(millis(at));
            }
            let turned = match outcome {
                '.' => live.passed(millis(at), millis(at)),
                _ => fail(live, millis(at)),
            };
            if let Some(Turned::Ejected { reason, .. }) = turned {
                return Some((at, reason));
            }
        }
        None
    }

    #[test]
    fn above_half_it_is_out_within_a_second() {
        let (at, reason) = play(&live(), 25, "x.xx.", 0, 5_000).expect("60 % of 40 requests a second");
        assert!(at <= 1_000, "after {at} ms");
        assert_eq!(reason, "61 % of 21 requests in 10 s failed (connect refused)");
        assert_eq!(play(&live(), 25, ".x", 0, 60_000), None, "half is not more than half");
    }

    /// After a good while it is the share of ten seconds that must be above half: from that moment, one second.
    #[test]
    fn a_good_past_is_outweighed_within_a_second_of_ten() {
        for every in [1, 5, 20, 50] {
            let live = live();
            assert_eq!(play(&live, every, ".", 0, 30_000), None);
            let (at, _) = play(&live, every, "xx.", 30_000, 60_000).expect("67 % fail");
            // So much of ten seconds must have failed two in three times that half of all failed.
            let above = 30_000 + SPAN.as_millis() as u64 * 3 / 4;
            assert!(at <= above + 1_000, "{every} ms: {} ms after the share was above half", at - above);
            assert!(at >= above - 1_500, "{every} ms: at {at}");
        }
    }

    #[test]
    fn passes_are_counted_in_the_second_they_came() {
        let live = live();
        (0..100).for_each(|_| assert_eq!(live.passed(T0, T0), None));
        live.tick(T0);
        // Ten seconds on, the hundred passes excuse nothing.
        assert!(play(&live, 10, "xxxx.", 10_000, 10_300).is_some());
    }

    proptest! {
        /// Whatever comes: the state without the lock is the breaker's, and nobody's standing changes unless the epoch grows.
        #[test]
        fn what_is_seen_is_what_is(steps in proptest::collection::vec((0u64..3_000, 0u8..5, 0u64..20_000), 1..300)) {
            let (live, mut at) = (live(), 0);
            for (wait, step, age) in steps {
                at += wait;
                let (now, began) = (millis(at), millis(at.saturating_sub(age)));
                let seen = || (live.is_admitting(), live.wakes_at());
                let (before, epoch) = (seen(), live.shared.epoch.load(Ordering::Acquire));
                let turned = match step {
                    0 => live.passed(began, now),
                    1 => live.failed(&failure(began), now, age, || true),
                    2 => live.failed(&failure(began), now, age, || false),
                    3 => { live.tick(now); None }
                    _ => { prop_assert_eq!(live.might_admit(now), live.ask(now)); None }
                };
                let grew = live.shared.epoch.load(Ordering::Acquire) > epoch;
                prop_assert!(grew || before == seen());
                // A trial that fails may rest to the moment at which it would have been lost: that looks the same.
                prop_assert!(!grew || !before.0 || !seen().0, "nobody looks again for nothing");
                prop_assert!(grew || turned.is_none());
                prop_assert_eq!(live.is_admitting(), live.lock().is_admitting());
                prop_assert!(live.lock().is_calm() == (live.state.load(Ordering::Relaxed) == CALM));
            }
        }
    }

    #[test]
    fn cores_lose_no_pass_and_no_request() {
        let live = live();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for step in 0..5_000_u64 {
                        assert!(live.begins(4));
                        assert!(live.ask(T0));
                        if step % 7 == 0 {
                            assert_eq!(live.failed(&failure(T0), T0, step, || false), None);
                        } else {
                            assert_eq!(live.passed(T0, T0), None);
                        }
                        live.ends();
                    }
                });
            }
        });
        live.tick(T0);
        let Breaker::Admitting { mut window, .. } = *live.lock() else { panic!("it was not allowed to rest") };
        let count = window.sum(T0);
        assert_eq!((count.all, count.special, live.in_flight()), (20_000, 4 * 715, 0));
    }
}
