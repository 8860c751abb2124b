//! What part of a pool's clients is sent elsewhere, as its load is read again and again?
//!
//! Where it comes to rest is a line between two watermarks, as in NS1's Shed Load filter
//! (<https://www.ibm.com/docs/en/ns1-connect?topic=configurations-automatic-load-shedding>): nobody at or below `low`,
//! everybody at or above `high`, in proportion between. What is not as there is the way to it. To go by the line directly,
//! reading by reading, swings: with 20 % between the marks, one per cent more load sends away five per cent of the clients, and
//! none of them goes before the answer that its resolver holds has ended. So three things are done here:
//!
//! - **The demand is told from the load.** Of the load that is read, a known part is already being kept away:
//!   `demand = load / (1 - held)`. From the demand the share that will rest on the line follows at once, without trying:
//!   where `demand × (1 - share) = low + share × (high - low)`.
//! - **`held` is the share that resolvers have heard of**, not the one that is answered now: it follows the answered one at the
//!   pace at which caches forget (a Smith predictor: the delay is known, so its effect is taken out of what is measured).
//! - **The pace is bounded**: the demand is smoothed over two TTLs, the share rises by at most [`RISE_PER_TTL`] and falls by
//!   at most [`FALL_PER_TTL`] within one. What we take for known may be wrong: resolvers that hold answers for longer, clients
//!   that weigh more than others. Then these keep the loop from swinging.
//!
//! At rest the load read is on the line whatever the demand was taken for. When nothing that is sent away lowers the load,
//! because nobody has room, the share becomes the line's at the load that is read, up to all.
//!
//! Without readings nothing is known, and nobody is sent elsewhere: the share falls to nothing at its usual pace, since clients
//! that came back all at once would be the end of a pool that is too busy to tell its load.

use std::time::Duration;

use crate::model::{LoadFeedback, Moment};

/// Shares are counted in so many parts.
pub const WHOLE: u16 = 256;
/// The most by which a share rises within a TTL.
pub const RISE_PER_TTL: f64 = 0.25;
/// The most by which it falls within a TTL: who comes back is to be seen in the load before the next do.
pub const FALL_PER_TTL: f64 = 0.125;
/// The demand is smoothed over so many TTLs.
const SMOOTHED_TTLS: u32 = 2;
/// Beyond this much kept away, the demand cannot be told from what is left any more; a share above is all.
const HELD_MAX: f64 = 0.9;
/// The least by which a share that is answered changes, in parts of [`WHOLE`]; smaller steps would publish worlds for nothing.
const STEP: u16 = 2;
/// Loads above this are not told apart.
pub const LOAD_MAX: f64 = 10.0;
/// A TTL that is shorter counts as this long: resolvers are not that prompt.
const TTL_MIN: Duration = Duration::from_secs(2);

/// What was read of a pool's load, at one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Requests in hand and waiting, as a part of the capacity; may exceed 1.
    pub load: f64,
    /// How many requests in hand are the whole; how much the reading counts beside others.
    pub capacity: u64,
}

impl Reading {
    /// Several places together; none of none.
    pub fn together(readings: impl Iterator<Item = Reading> + Clone) -> Option<f64> {
        let capacity: f64 = readings.clone().map(|reading| reading.capacity as f64).sum();
        if capacity > 0.0 {
            return Some(readings.map(|reading| reading.load * reading.capacity as f64).sum::<f64>() / capacity);
        }
        // No place has any capacity: what they say of their load is all there is.
        readings.map(|reading| reading.load).reduce(f64::max)
    }
}

/// The line between the watermarks, and how long resolvers hold answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Nobody is sent elsewhere up to here.
    pub low: f64,
    /// Everybody is from here on.
    pub high: f64,
    /// How long resolvers hold answers.
    pub ttl: Duration,
}

impl Line {
    /// Of a pool whose answers have this TTL.
    pub fn of(feedback: &LoadFeedback, ttl: Duration) -> Line {
        Line { low: feedback.low(), high: feedback.high(), ttl: ttl.max(TTL_MIN) }
    }

    /// The share at which a demand comes to rest on the line.
    fn share_for(self, demand: f64) -> f64 {
        let excess = (demand - self.low).max(0.0);
        let share = excess / (self.high - self.low + demand);
        if share >= HELD_MAX { 1.0 } else { share }
    }

    /// What part of the way to its goal a value goes that takes `over` for most of it.
    fn part(passed: Duration, over: Duration) -> f64 {
        1.0 - (-passed.as_secs_f64() / over.as_secs_f64()).exp()
    }
}

/// The share of a pool's clients that is sent elsewhere, and what it is reckoned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shedding {
    /// The load as last read, smoothed a little; for people.
    load: Option<f64>,
    /// What the load would be if nobody were sent elsewhere.
    demand: f64,
    /// The share that resolvers have heard of.
    held: f64,
    share: f64,
    /// The share that is answered, in parts of [`WHOLE`].
    answered: u16,
    at: Moment,
    /// When the load was last read; when this began if it never was.
    read: Moment,
}

impl Shedding {
    /// Nothing is known yet.
    pub fn begun(now: Moment) -> Self {
        Shedding { load: None, demand: 0.0, held: 0.0, share: 0.0, answered: 0, at: now, read: now }
    }

    /// The load was read.
    pub fn after(self, load: f64, line: Line, now: Moment) -> Self {
        let load = if load.is_finite() { load.clamp(0.0, LOAD_MAX) } else { LOAD_MAX };
        let passed = now.since(self.at);
        let next = self.heard(passed, line);
        let demand = load / (1.0 - next.held.min(HELD_MAX));
        let smoothed = match self.load {
            // The first reading is all there is.
            None => demand,
            Some(_) => {
                next.demand + (demand - next.demand) * Line::part(now.since(self.read), line.ttl * SMOOTHED_TTLS)
            }
        };
        let shown =
            self.load.map_or(load, |before| before + (load - before) * Line::part(now.since(self.read), line.ttl / 4));
        let goal = line.share_for(smoothed);
        Shedding { load: Some(shown), demand: smoothed, read: now, ..next }.toward(goal, passed, line, now)
    }

    /// Time went by and the load could not be read for so long that it is not known any more.
    pub fn unread(self, line: Line, now: Moment) -> Self {
        let passed = now.since(self.at);
        Shedding { load: None, ..self.heard(passed, line) }.toward(0.0, passed, line, now)
    }

    /// The part of the clients that is sent elsewhere, of [`WHOLE`].
    pub fn answered(&self) -> u16 {
        self.answered
    }

    /// The load, as a part of the capacity; none when it is not known.
    pub fn load(&self) -> Option<f64> {
        self.load
    }

    /// When the load was last read.
    pub fn read(&self) -> Moment {
        self.read
    }

    /// Resolvers ask again one by one, on average half a TTL after a share has changed.
    fn heard(self, passed: Duration, line: Line) -> Self {
        let answered = f64::from(self.answered) / f64::from(WHOLE);
        Shedding { held: self.held + (answered - self.held) * Line::part(passed, line.ttl / 2), ..self }
    }

    fn toward(self, goal: f64, passed: Duration, line: Line, now: Moment) -> Self {
        let ttls = passed.as_secs_f64() / line.ttl.as_secs_f64();
        let share = goal.clamp(self.share - FALL_PER_TTL * ttls, self.share + RISE_PER_TTL * ttls).clamp(0.0, 1.0);
        Shedding { share, answered: stepped(self.answered, share), at: now, ..self }
    }
}

/// What is answered of a share: as before while it is near, and both ends exactly.
fn stepped(before: u16, share: f64) -> u16 {
    let parts = (share * f64::from(WHOLE)).round() as u16;
    let at_an_end = (parts == 0 && share < 1e-3) || parts == WHOLE;
    if at_an_end || parts.abs_diff(before) >= STEP { parts } else { before }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TTL: Duration = Duration::from_secs(60);
    const LINE: Line = Line { low: 0.7, high: 0.9, ttl: TTL };
    const T0: Moment = Moment::from_secs(1_000);

    /// Readings every 5 s of what `load` makes of the share that is held by then, for so many minutes.
    fn run(mut shedding: Shedding, minutes: u64, load: impl Fn(f64) -> f64) -> Shedding {
        let from = shedding.at;
        let mut held = f64::from(shedding.answered) / f64::from(WHOLE);
        for tick in 1..=minutes * 12 {
            held += (f64::from(shedding.answered) / f64::from(WHOLE) - held) * (1.0 - (-5.0f64 / 30.0).exp());
            shedding = shedding.after(load(held), LINE, from + Duration::from_secs(tick * 5));
        }
        shedding
    }

    fn share(shedding: Shedding) -> f64 {
        f64::from(shedding.answered) / f64::from(WHOLE)
    }

    #[test]
    fn it_rests_on_the_line_between_the_watermarks() {
        for demand in [0.3, 0.7, 0.75, 0.9, 1.2, 1.5, 3.0] {
            let at_rest = run(Shedding::begun(T0), 30, |held| demand * (1.0 - held));
            let load = demand * (1.0 - share(at_rest));
            // A step of the share is more of the load where there is more of it.
            let near = 0.01 + 0.02 * demand;
            let on_the_line = 0.7 + 0.2 * share(at_rest);
            assert!(load < 0.7 || (load - on_the_line).abs() < near, "{demand}: {load} and {}", share(at_rest));
            assert!(load <= 0.9 && (share(at_rest) == 0.0) == (demand <= 0.7), "{demand}: {load}");
        }
    }

    #[test]
    fn where_nobody_has_room_the_share_is_the_lines() {
        for (load, expected) in [(0.6, 0.0), (0.8, 0.5), (0.85, 0.75), (0.95, 1.0), (2.0, 1.0)] {
            // It is approached ever more slowly.
            let at_rest = share(run(Shedding::begun(T0), 60, |_| load));
            assert!((at_rest - expected).abs() < 0.1, "at {load} {at_rest}");
        }
    }

    #[test]
    fn clients_that_weigh_more_or_less_than_we_think_do_not_make_it_swing() {
        for weight in [0.4, 0.7, 1.5, 2.0] {
            let before = run(Shedding::begun(T0), 30, |held| 1.5 * (1.0 - weight * held));
            let after = run(before, 1, |held| 1.5 * (1.0 - weight * held));
            assert!((share(before) - share(after)).abs() < 0.04, "{weight}: {} {}", share(before), share(after));
        }
    }

    #[test]
    fn all_come_back_when_the_load_is_gone_and_slowly_when_it_is_unknown() {
        let busy = run(Shedding::begun(T0), 30, |_| 2.0);
        assert_eq!(share(busy), 1.0);
        assert_eq!(share(run(busy, 20, |_| 0.5)), 0.0);
        let soon = busy.unread(LINE, busy.at + Duration::from_secs(30));
        assert_eq!((soon.load(), share(soon) > 0.9), (None, true));
        let late = (0..600).fold(soon, |shedding, _| shedding.unread(LINE, shedding.at + Duration::from_secs(1)));
        assert_eq!(share(late), 0.0);
    }

    #[test]
    fn places_count_by_their_capacity() {
        let reading = |load, capacity| Reading { load, capacity };
        let together = |readings: &[Reading]| Reading::together(readings.iter().copied());
        assert_eq!(together(&[reading(0.5, 300), reading(0.9, 100)]), Some(0.6));
        assert_eq!(together(&[reading(1.0, 0), reading(0.2, 100)]), Some(0.2), "it takes nobody");
        assert_eq!(together(&[reading(1.0, 0)]), Some(1.0));
        assert_eq!(together(&[]), None);
    }

    proptest! {
        /// Whatever is read: the share is one, moves no faster than said, and answers do not follow every reading.
        #[test]
        fn it_is_always_a_share_and_moves_slowly(loads in prop::collection::vec((-1.0f64..20.0, 1u64..100), 1..100)) {
            let mut shedding = Shedding::begun(T0);
            for (load, seconds) in loads {
                let now = shedding.at + Duration::from_secs(seconds);
                let next = if load < 0.0 { shedding.unread(LINE, now) } else { shedding.after(load, LINE, now) };
                let ttls = seconds as f64 / 60.0;
                prop_assert!((0.0..=1.0).contains(&next.share) && next.answered <= WHOLE);
                prop_assert!(next.share - shedding.share <= RISE_PER_TTL * ttls + 1e-9);
                prop_assert!(shedding.share - next.share <= FALL_PER_TTL * ttls + 1e-9);
                prop_assert!((share(next) - next.share).abs() <= f64::from(STEP) / f64::from(WHOLE) + 1e-9);
                shedding = next;
            }
        }
    }
}
