//! When has everybody heard of a drain?
//!
//! Resolvers keep an answer for its TTL, some for longer, and so clients go on coming to a region, or to the load balancers of a pool,
//! after it was drained. Those who still come are its *tail*. It is gone when nobody has come for twice the largest TTL that answers
//! leading there had: once for answers given just before the drain, and once more for those who keep them longer than they may.
//!
//! Counts come in, words go out; whoever counts decides who is counted.

use std::time::Duration;

use crate::health::table::HealthTable;
use crate::model::Model;
use crate::model::Moment;
use crate::model::PoolId;
use crate::regional::front::Front;
use crate::steering::Uses;

/// What is said of the last minute is kept by the second.
const SECONDS: usize = 60;
/// Where no VIP says how long answers hold.
const TTL_UNKNOWN: Duration = Duration::from_secs(60);

/// The tail of one drain.
#[derive(Debug, Clone)]
pub struct Tail {
    since: Moment,
    quiet: Duration,
    /// What the counter said when it began, and last.
    first: u64,
    counted: u64,
    last: Option<Moment>,
    /// How many came in each of the last seconds, by their number modulo their count.
    seconds: [u64; SECONDS],
    looked: u64,
    gone: Option<Moment>,
}

/// What is said of a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailNow {
    /// Since when it is watched: the drain, or the start of the process.
    pub since: Moment,
    /// How many came since then.
    pub came: u64,
    /// How many of them within the last minute.
    pub last_minute: u64,
    /// When the last one came, to a second.
    pub last: Option<Moment>,
    /// It is gone when nobody has come for so long.
    pub quiet: Duration,
    /// When it was gone, if it is.
    pub gone: Option<Moment>,
}

impl Tail {
    /// Of a drain that begins; the counter stands there.
    pub fn begin(now: Moment, quiet: Duration, counted: u64) -> Self {
        let looked = now.secs();
        Tail { since: now, quiet, first: counted, counted, last: None, seconds: [0; SECONDS], looked, gone: None }
    }

    /// The counter stands there now; whether this is the moment at which the tail is gone. Somebody who comes after that is
    /// seen, and the tail is gone again in its time, but that is told once only.
    pub fn after(&mut self, counted: u64, now: Moment) -> bool {
        self.forget(now);
        let came = counted.saturating_sub(self.counted);
        self.counted = counted;
        if came > 0 {
            self.seconds[self.looked as usize % SECONDS] += came;
            self.last = Some(now);
        }
        let is_gone = now.since(self.last.unwrap_or(self.since).max(self.since)) >= self.quiet;
        let is_news = is_gone && self.gone.is_none();
        if is_news {
            self.gone = Some(now);
        }
        is_news
    }

    /// What is said of it.
    pub fn now(&self, now: Moment) -> TailNow {
        let mut recent = self.clone();
        recent.forget(now);
        TailNow {
            since: self.since,
            came: self.counted - self.first,
            last_minute: recent.seconds.iter().sum(),
            last: self.last,
            quiet: self.quiet,
            gone: self.gone.filter(|gone| self.last.is_none_or(|last| last < *gone)),
        }
    }

    /// Seconds that are more than a minute ago.
    fn forget(&mut self, now: Moment) {
        let second = now.secs().max(self.looked);
        for past in (self.looked + 1..=second).take(SECONDS) {
            self.seconds[past as usize % SECONDS] = 0;
        }
        self.looked = second;
    }
}

/// For how long nobody must have come to pools, so that everybody has heard: twice the largest TTL of the VIPs that may be answered
/// from one of them.
pub fn quiet(model: &Model, uses: &Uses, is_drained: impl Fn(PoolId) -> bool) -> Duration {
    let vips = (0..model.vips.len()).map(crate::model::VipId::from);
    let leading = vips.filter(|vip| uses.pools(*vip).iter().any(|pool| is_drained(*pool)));
    2 * leading.map(|vip| model.vip(vip).ttl).max().unwrap_or(TTL_UNKNOWN)
}

/// Whether those who come to a listener at this moment come late: no answer of DNS leads here any more.
#[inline]
pub fn is_late(front: &Front, health: &HealthTable) -> bool {
    health.is_withdrawn(front.listener.region)
        || !front.answered.is_empty() && front.answered.iter().all(|pool| health.pool(*pool).withdrawn)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUIET: Duration = Duration::from_secs(60);

    fn at(second: u64) -> Moment {
        Moment::from_secs(1_700_000_000 + second)
    }

    #[test]
    fn it_is_gone_when_nobody_has_come_for_so_long_and_that_is_told_once() {
        let mut tail = Tail::begin(at(0), QUIET, 100);
        assert!(!tail.after(130, at(1)) && !tail.after(142, at(20)));
        let said = tail.now(at(24));
        assert_eq!((said.came, said.last_minute, said.last, said.gone), (42, 42, Some(at(20)), None));
        assert_eq!(tail.now(at(61)).last_minute, 12, "those of the first second are more than a minute ago");
        assert!(!tail.after(142, at(79)));
        assert!(tail.after(142, at(80)));
        assert_eq!((tail.now(at(81)).gone, tail.now(at(81)).last_minute), (Some(at(80)), 0));
        // A straggler.
        assert!(!tail.after(143, at(90)));
        assert_eq!((tail.now(at(90)).gone, tail.now(at(90)).last_minute), (None, 1));
        assert!(!tail.after(143, at(200)), "it was told");
    }

    #[test]
    fn nobody_at_all_is_a_tail_that_is_gone_in_its_time() {
        let mut tail = Tail::begin(at(0), QUIET, 7);
        assert!(!tail.after(7, at(59)));
        assert!(tail.after(7, at(60)));
        assert_eq!((tail.now(at(60)).came, tail.now(at(60)).last), (0, None));
    }

    proptest! {
        #[test]
        fn the_last_minute_is_what_came_in_it(came in prop::collection::vec((0_u64..100, 0_u64..50), 1..60)) {
            let mut tail = Tail::begin(at(0), QUIET, 0);
            let (mut now, mut counted, mut all) = (0, 0, Vec::new());
            for (pause, count) in came {
                now += pause;
                counted += count;
                all.push((now, count));
                tail.after(counted, at(now));
                let recent = all.iter().filter(|(then, _)| now - then < 60).map(|(_, count)| count).sum::<u64>();
                let said = tail.now(at(now));
                prop_assert_eq!((said.last_minute, said.came), (recent, counted));
                prop_assert!(said.gone.is_none_or(|gone| said.last.is_none_or(|last| gone.since(last) >= QUIET)));
            }
        }
    }
}
