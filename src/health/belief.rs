//! Is this endpoint up, how sure are we, and for how long will we say so?
//!
//! A belief is HAProxy's integer machine of rise and fall, with a state before it for "never asked":
//!
//! ```text
//!              first result decides at once
//!   Unknown ──────────────────────────────────┐
//!      pass → max,  failure → 0               ▼
//!
//!   health:   0 ……… rise-1 │ rise ……… max        max = rise + fall - 1
//!             down         │ up
//!   pass      +1, and from `rise` on straight to max: one pass forgives every failure
//!   failure   -1, and below `rise` straight to 0: one failure forgets every pass
//! ```
//!
//! So `fall` failures in a row take an endpoint down and `rise` passes in a row bring it back. `health` strictly
//! between 0 and max means *in doubt*: probed at the check's `fast` interval until it settles.
//!
//! Nothing is up by default. "Unknown counts as down" empties answers at each restart, "unknown counts as up" sends
//! clients to the dead; so Unknown is a state of its own, the first probe ends it without anti-flap, and until then the
//! standing recalled from before the restart (or before the check was changed) counts, if there is one.
//!
//! What an operator ordered ([`Forced`]) and what failing requests say ([`Ejection`]) is kept beside what is observed: probes
//! go on changing the one under the others.

use std::fmt;
use std::time::Duration;

use crate::health::ejection::Ejection;
use crate::health::forced::{Forced, Order};
use crate::health::probe::ProbeResult;
use crate::model::{HealthCheck, Moment};

/// What is observed of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// No probe has ended yet.
    Unknown,
    /// Passed, or nothing probes it.
    Up,
    /// Failed.
    Down,
}

impl Standing {
    /// The operators' word.
    pub const fn words(self) -> &'static str {
        match self {
            Standing::Unknown => "unknown",
            Standing::Up => "up",
            Standing::Down => "down",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// The machine's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observed {
    /// Nothing probes it; it counts as up.
    Unprobed,
    /// No probe has ended; what was known before counts until then.
    Unknown { recalled: Option<Standing> },
    /// 0 to rise + fall - 1; up from `rise` on.
    Known { health: u16, up: bool },
}

/// The last probe of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastResult {
    /// What it found.
    pub result: ProbeResult,
    /// When it ended.
    pub at: Moment,
    /// How many in a row, with this one, found the same verdict.
    pub in_a_row: u32,
}

/// What is believed of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belief {
    observed: Observed,
    /// The order of state that is in force, beside what is observed.
    pub forced: Option<Box<Forced>>,
    /// The weight that is ordered and in force.
    pub weight: Option<u32>,
    /// What failing requests say.
    pub ejection: Option<Box<Ejection>>,
    last: Option<LastResult>,
    since: Moment,
}

impl Belief {
    /// Never asked; `recalled` counts until the first probe has ended.
    pub fn unknown(recalled: Option<Standing>, now: Moment) -> Self {
        let recalled = recalled.filter(|standing| *standing != Standing::Unknown);
        Belief::new(Observed::Unknown { recalled }, now)
    }

    /// Nothing probes it: up until an operator says otherwise.
    pub fn unprobed(now: Moment) -> Self {
        Belief::new(Observed::Unprobed, now)
    }

    fn new(observed: Observed, since: Moment) -> Self {
        Belief { observed, forced: None, weight: None, ejection: None, last: None, since }
    }

    /// The belief after one more probe, ended at `now`.
    pub fn after(self, check: &HealthCheck, result: ProbeResult, now: Moment) -> Self {
        let before = self.standing();
        let observed = self.observed.after(check, result.passed);
        let in_a_row = match &self.last {
            Some(last) if last.result.passed == result.passed => last.in_a_row.saturating_add(1),
            _ => 1,
        };
        let last = Some(LastResult { result, at: now, in_a_row });
        let since = if observed.standing() == before { self.since } else { now };
        Belief { observed, last, since, ..self }
    }

    /// The belief after one more failure that turns nothing down: the server suspects itself. It comes as close to down
    /// as it can, so that the next failure that is believed takes it there.
    pub fn after_in_vain(self, check: &HealthCheck, result: ProbeResult, now: Moment) -> Self {
        if self.counted() != Standing::Up {
            return self.after(check, result, now);
        }
        let least = Observed::Known { health: rise(check), up: true };
        let after = self.after(check, result, now);
        match after.observed {
            Observed::Known { up: false, .. } => Belief { observed: least, ..after },
            _ => after,
        }
    }

    /// Up again, one failure away from down: it went there while the server suspected itself too late.
    pub fn reinstated(self, check: &HealthCheck, now: Moment) -> Self {
        Belief { observed: Observed::Known { health: rise(check), up: true }, since: now, ..self }
    }

    /// The same belief with its history forgotten and its standing recalled: what is left of it when the check it was
    /// formed by has changed. Orders stay, and what requests say.
    pub fn asked_anew(self, now: Moment) -> Self {
        Belief::unknown(Some(self.counted()), now).beside(self)
    }

    /// What is left of it when nothing probes the endpoint any more.
    pub fn asked_no_more(self, now: Moment) -> Self {
        Belief::unprobed(now).beside(self)
    }

    /// The same belief under this order, or under none.
    pub fn under(self, forced: Option<Box<Forced>>) -> Self {
        Belief { forced, ..self }
    }

    /// What is observed, beside the orders of another belief and what requests said by it.
    pub fn beside(self, other: Belief) -> Self {
        Belief { forced: other.forced, weight: other.weight, ejection: other.ejection, ..self }
    }

    /// The same belief under no orders at all.
    pub fn without_orders(self) -> Self {
        Belief { forced: None, weight: None, ..self }
    }

    /// What is observed, whatever was ordered.
    pub fn standing(&self) -> Standing {
        self.observed.standing()
    }

    /// What counts of what is observed: the standing, or the recalled one while nothing is known.
    pub fn counted(&self) -> Standing {
        match self.observed {
            Observed::Unknown { recalled: Some(standing) } => standing,
            observed => observed.standing(),
        }
    }

    /// Whether it may be answered: forced up, or up and neither ordered out nor ejected.
    pub fn usable(&self) -> bool {
        self.is_up_without_ejection() && !self.is_ejected()
    }

    /// Whether it is up for those who see for themselves what requests say.
    pub fn is_up_without_ejection(&self) -> bool {
        self.is_up_under(self.order())
    }

    /// The same, if this were ordered.
    pub fn is_up_under(&self, order: Option<Order>) -> bool {
        match order {
            Some(order) => order == Order::Up,
            None => self.counted() == Standing::Up,
        }
    }

    /// Whether an ejection is all that keeps it from being answered; what is forced up stays up.
    pub fn is_ejected(&self) -> bool {
        self.ejection.is_some() && self.order().is_none() && self.counted() == Standing::Up
    }

    /// Whether an operator took it out.
    pub fn withdrawn(&self) -> bool {
        self.order().is_some_and(Order::withdraws)
    }

    /// What was ordered, if anything.
    pub fn order(&self) -> Option<Order> {
        self.forced.as_ref().map(|forced| forced.order)
    }

    /// What was ordered, else what counts, in operators' words.
    pub fn effective(&self) -> &'static str {
        match self.order() {
            Some(order) => order.words(),
            None if self.is_ejected() => "ejected",
            None => self.counted().words(),
        }
    }

    /// The last probe.
    pub fn last(&self) -> Option<&LastResult> {
        self.last.as_ref()
    }

    /// Since when [`Belief::standing`] is what it is.
    pub fn since(&self) -> Moment {
        self.since
    }

    /// How many more probes, all of one verdict, it takes to turn the standing; 0: none ever will.
    pub fn probes_until_turn(&self, check: &HealthCheck) -> u32 {
        match self.observed {
            Observed::Unprobed => 0,
            Observed::Unknown { .. } => 1,
            Observed::Known { health, up: true } => u32::from(health - rise(check)) + 1,
            Observed::Known { health, up: false } => u32::from(rise(check) - health),
        }
    }

    /// Whether one more probe of either verdict could bring it closer to a turn it is already on the way to, or nothing
    /// is known: probed at the fast interval.
    pub fn in_doubt(&self, check: &HealthCheck) -> bool {
        match self.observed {
            Observed::Unprobed => false,
            Observed::Unknown { .. } => true,
            Observed::Known { health, .. } => health != 0 && health != health_max(check),
        }
    }

    /// The time between this probe's start and the next one's.
    ///
    /// `fast` in doubt, `interval` settled up, twice that settled down: what is down has no clients to protect, and its
    /// return is confirmed at the fast interval as soon as one probe passes.
    pub fn next_probe_in(&self, check: &HealthCheck) -> Duration {
        match self.observed {
            _ if self.in_doubt(check) => fast(check),
            Observed::Known { health: 0, .. } => check.interval.saturating_mul(2),
            _ => check.interval,
        }
    }

    /// How long the standing holds, as an answer's TTL may count on: the time of the probes left until it could turn, the
    /// first at the interval in force and the rest at the fast one, for they come only when there is doubt; `None` when no
    /// probe can turn it.
    ///
    /// The first of those probes may come right after the answer was given, so an answer outlives a turn by at most the
    /// time of one probe. Settled down counts `interval`, not the doubled one: returning must not be held up by the rest
    /// we grant the dead.
    pub fn holds_for(&self, check: &HealthCheck) -> Option<Duration> {
        let first = if self.in_doubt(check) { fast(check) } else { check.interval };
        let rest = self.probes_until_turn(check).checked_sub(1)?;
        Some(first.saturating_add(fast(check).saturating_mul(rest)))
    }
}

impl Observed {
    fn standing(self) -> Standing {
        match self {
            Observed::Unprobed | Observed::Known { up: true, .. } => Standing::Up,
            Observed::Known { up: false, .. } => Standing::Down,
            Observed::Unknown { .. } => Standing::Unknown,
        }
    }

    fn after(self, check: &HealthCheck, passed: bool) -> Observed {
        let max = health_max(check);
        let health = match (self, passed) {
            (Observed::Unprobed, _) => return self,
            (Observed::Unknown { .. }, true) => max,
            (Observed::Unknown { .. }, false) => 0,
            (Observed::Known { health, .. }, true) if health + 1 >= rise(check) => max,
            (Observed::Known { health, .. }, true) => health + 1,
            (Observed::Known { health, .. }, false) if health <= rise(check) => 0,
            (Observed::Known { health, .. }, false) => health - 1,
        };
        Observed::Known { health, up: health >= rise(check) }
    }
}

/// Passes in a row that bring it up; a 0 would mean "always up" and is read as 1.
fn rise(check: &HealthCheck) -> u16 {
    u16::from(check.rise.max(1))
}

fn health_max(check: &HealthCheck) -> u16 {
    rise(check) + u16::from(check.fall.max(1)) - 1
}

fn fast(check: &HealthCheck) -> Duration {
    check.fast.min(check.interval)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::health::probe::ReasonCode;
    use crate::model::CheckKind;

    fn check(fall: u8, rise: u8) -> HealthCheck {
        HealthCheck {
            name: "web".into(),
            kind: CheckKind::Tcp,
            port: None,
            interval: Duration::from_secs(10),
            fast: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            fall,
            rise,
        }
    }

    fn result(passed: bool) -> ProbeResult {
        ProbeResult::new(if passed { ReasonCode::L4Ok } else { ReasonCode::L4Con }, "", Duration::ZERO)
    }

    fn believe(check: &HealthCheck, results: &[bool]) -> Belief {
        results.iter().enumerate().fold(Belief::unknown(None, Moment(0)), |belief, (i, passed)| {
            belief.after(check, result(*passed), Moment::from_secs(i as u64 + 1))
        })
    }

    const P: bool = true;
    const F: bool = false;

    #[test]
    fn the_first_probe_decides_at_once() {
        let check = check(3, 2);
        assert_eq!(believe(&check, &[]).standing(), Standing::Unknown);
        assert_eq!(believe(&check, &[P]).standing(), Standing::Up);
        assert_eq!(believe(&check, &[F]).standing(), Standing::Down);
        assert!(!believe(&check, &[P]).in_doubt(&check));
        assert!(!believe(&check, &[F]).in_doubt(&check));
    }

    #[test]
    fn three_failures_out_and_two_passes_back() {
        let check = check(3, 2);
        assert_eq!(believe(&check, &[P, F, F]).standing(), Standing::Up);
        assert_eq!(believe(&check, &[P, F, F, F]).standing(), Standing::Down);
        assert_eq!(believe(&check, &[P, F, F, F, P]).standing(), Standing::Down);
        assert_eq!(believe(&check, &[P, F, F, F, P, P]).standing(), Standing::Up);
    }

    #[test]
    fn one_pass_forgives_and_one_failure_forgets() {
        let check = check(3, 3);
        assert_eq!(believe(&check, &[P, F, F, P, F, F]).standing(), Standing::Up);
        assert_eq!(believe(&check, &[F, P, P, F, P, P]).standing(), Standing::Down);
    }

    #[test]
    fn intervals_follow_doubt() {
        let check = check(3, 2);
        let wait = |results: &[bool]| believe(&check, results).next_probe_in(&check).as_secs();
        assert_eq!(wait(&[]), 2, "unknown");
        assert_eq!(wait(&[P]), 10, "settled up");
        assert_eq!(wait(&[P, F]), 2, "in doubt");
        assert_eq!(wait(&[P, F, F, F]), 20, "settled down");
        assert_eq!(wait(&[P, F, F, F, P]), 2, "coming back");
    }

    #[test]
    fn a_belief_says_how_long_it_holds() {
        let holds = |check: &HealthCheck, results: &[bool]| believe(check, results).holds_for(check).unwrap().as_secs();
        let fast_differs = check(3, 2);
        assert_eq!(holds(&fast_differs, &[]), 2, "unknown: the next probe decides");
        assert_eq!(holds(&fast_differs, &[P]), 14, "the first failure within 10 s, two more at the fast interval");
        assert_eq!(holds(&fast_differs, &[P, F]), 4);
        assert_eq!(holds(&fast_differs, &[P, F, F]), 2);
        assert_eq!(holds(&fast_differs, &[F]), 12, "down: two passes away");
        let one_interval = HealthCheck { fast: Duration::from_secs(10), ..check(3, 2) };
        assert_eq!(holds(&one_interval, &[P, F]), 20, "two probes from going down, probed every 10 s");
        assert_eq!(Belief::unprobed(Moment(0)).holds_for(&one_interval), None);
    }

    #[test]
    fn what_was_known_counts_until_the_first_probe() {
        let check = check(3, 2);
        let recalled = Belief::unknown(Some(Standing::Up), Moment(0));
        assert_eq!(recalled.standing(), Standing::Unknown);
        assert!(recalled.usable());
        assert!(!recalled.clone().after(&check, result(F), Moment(1)).usable(), "no anti-flap for what is recalled");
        let changed = believe(&check, &[P, P]).asked_anew(Moment::from_secs(9));
        assert_eq!((changed.standing(), changed.usable()), (Standing::Unknown, true));
        assert!(!Belief::unknown(None, Moment(0)).usable());
    }

    #[test]
    fn orders_stand_beside_what_is_observed() {
        let check = check(1, 1);
        let order = |belief: Belief, order| {
            let (reason, by) = (String::new(), String::new());
            belief.under(Some(Box::new(Forced { order, reason, by, since: Moment(0), begins: Moment(0), until: None })))
        };
        let drained = order(believe(&check, &[P]), Order::Drain);
        assert_eq!((drained.usable(), drained.withdrawn(), drained.standing()), (false, true, Standing::Up));
        assert_eq!(drained.effective(), "drain");
        let drained = drained.after(&check, result(F), Moment::from_secs(5));
        assert_eq!((drained.withdrawn(), drained.standing()), (true, Standing::Down));
        let up = order(believe(&check, &[F]), Order::Up);
        assert_eq!((up.usable(), up.withdrawn(), up.effective()), (true, false, "forced-up"));
        let down = order(believe(&check, &[P]), Order::Down);
        assert_eq!((down.usable(), down.withdrawn()), (false, false));
    }

    #[test]
    fn an_ejection_stands_beside_both() {
        let check = check(1, 1);
        let (since, until, reason) = (Moment(0), Moment::from_secs(10), String::new());
        let ejection = Some(Box::new(Ejection { since, until, reason }));
        let ejected = |belief: Belief| Belief { ejection: ejection.clone(), ..belief };
        let up = ejected(believe(&check, &[P]));
        assert_eq!((up.usable(), up.is_up_without_ejection(), up.effective()), (false, true, "ejected"));
        assert_eq!((up.standing(), up.probes_until_turn(&check)), (Standing::Up, 1), "no failure of a probe");
        let down = up.clone().after(&check, result(F), Moment::from_secs(5));
        assert_eq!((down.is_ejected(), down.effective(), down.ejection.is_some()), (false, "down", true));
        assert_eq!(down.after(&check, result(P), Moment::from_secs(6)).effective(), "ejected", "a pass ends nothing");
        let (reason, by) = (String::new(), String::new());
        let forced = Forced { order: Order::Up, reason, by, since, begins: since, until: None };
        let forced = up.clone().under(Some(Box::new(forced)));
        assert_eq!((forced.usable(), forced.is_ejected(), forced.effective()), (true, false, "forced-up"));
        assert_eq!(up.clone().asked_anew(Moment(1)).effective(), "ejected", "another check");
        assert_eq!(up.asked_no_more(Moment(1)).effective(), "ejected", "no check");
    }

    #[test]
    fn it_remembers_since_when_and_how_often() {
        let check = check(2, 1);
        let belief = believe(&check, &[P, F, F, F]);
        assert_eq!(belief.since(), Moment::from_secs(3));
        assert_eq!(belief.last().unwrap().in_a_row, 3);
        assert_eq!(belief.last().unwrap().at, Moment::from_secs(4));
    }

    /// The same in the words of the documentation, over the whole history.
    fn naive(check: &HealthCheck, results: &[bool]) -> Standing {
        let Some((first, rest)) = results.split_first() else { return Standing::Unknown };
        let (mut up, mut against) = (*first, 0);
        for passed in rest {
            against = if *passed == up { 0 } else { against + 1 };
            if against == if up { check.fall } else { check.rise } {
                (up, against) = (!up, 0);
            }
        }
        if up { Standing::Up } else { Standing::Down }
    }

    proptest! {
        #[test]
        fn the_machine_is_what_the_words_say(
            fall in 1u8..6, rise in 1u8..6, results in proptest::collection::vec(any::<bool>(), 0..60),
        ) {
            let check = check(fall, rise);
            let belief = believe(&check, &results);
            prop_assert_eq!(belief.standing(), naive(&check, &results));
            // And the number of probes left is exact: one fewer never turns it, that many of one verdict do.
            let verdict = belief.standing() != Standing::Up;
            let left = belief.probes_until_turn(&check) as usize;
            let with = |n: usize| {
                let more: Vec<bool> = results.iter().copied().chain(std::iter::repeat_n(verdict, n)).collect();
                believe(&check, &more).standing()
            };
            prop_assert_eq!(with(left - 1), belief.standing());
            prop_assert_ne!(with(left), belief.standing());
        }

        #[test]
        fn extremes_do_not_overflow(fall: u8, rise: u8, results in proptest::collection::vec(any::<bool>(), 0..600)) {
            let check = check(fall, rise);
            let belief = believe(&check, &results);
            prop_assert!(belief.probes_until_turn(&check) >= 1);
            prop_assert!(belief.holds_for(&check).is_some());
        }
    }
}
