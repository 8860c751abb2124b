//! Which of the probes that are due may start now?
//!
//! Three bounds, each against a bad day:
//!
//! - **All at once** ([`Bounds::running`]): every probe holds a socket, and the process has only so many.
//! - **Those whose last probe timed out** may hold half of these places. After an outage of thousands each of them holds
//!   its place for the whole time it is allowed; the others, which answer in milliseconds, must not stand in that queue.
//! - **Young ones** ([`YOUNG_MAX`]), started less than [`YOUNG_FOR`] ago, are few: they are the ones that keep the CPU
//!   busy, connecting and shaking hands, where older ones merely wait. At start thirty thousand are due in seconds; all
//!   at once they would time out in our own queues, and the dead would be ourselves. While this machine lags, none grows
//!   old, so that it is never asked for more than it can do.
//!
//! Pure: the time and whether we lag are told. What waits here waits in order, the two kinds by turns.

use std::collections::VecDeque;
use std::time::Duration;

use crate::health::target::Job;
use crate::model::Moment;

/// The most young probes: half a second's work for one core when each shakes hands over TLS, a tenth without.
pub const YOUNG_MAX: usize = 512;
/// How long a probe counts as young. By then it waits for the network or for the endpoint.
pub const YOUNG_FOR: Duration = Duration::from_millis(100);

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most probes at once.
    pub running: usize,
    /// The most young ones.
    pub young: usize,
}

/// The most probes that ever run at once: thirty thousand targets of which all time out after 2 s, every 10 s, need six
/// thousand. One that connects holds about 2 KiB of ours, one that waits for an HTTP response about 25 KiB, so this is
/// 200 MiB on the worst day.
pub const RUNNING_MAX: usize = 8_192;
/// Descriptors left to everything else: listeners, connections of clients, files.
const DESCRIPTORS_KEPT: usize = 512;

impl Bounds {
    /// For a process that may open so many descriptors.
    pub fn for_descriptors(descriptors: u64) -> Bounds {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let running = descriptors.saturating_sub(DESCRIPTORS_KEPT).clamp(64, RUNNING_MAX);
        Bounds { running, young: YOUNG_MAX }
    }
}

/// A place that a probe holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    number: u64,
    slow: bool,
}

#[derive(Debug)]
struct Young {
    started: Moment,
    ended: bool,
}

/// Who runs and who waits.
#[derive(Debug)]
pub struct Places {
    bounds: Bounds,
    prompt: VecDeque<Job>,
    slow: VecDeque<Job>,
    slow_next: bool,
    running: usize,
    running_slow: usize,
    /// Probes by number from `oldest_young` on, in the order they started.
    young: VecDeque<Young>,
    oldest_young: u64,
    /// Those of `young` that have not ended.
    running_young: usize,
}

impl Places {
    /// All free.
    pub fn new(bounds: Bounds) -> Self {
        Places {
            bounds,
            prompt: VecDeque::new(),
            slow: VecDeque::new(),
            slow_next: false,
            running: 0,
            running_slow: 0,
            young: VecDeque::new(),
            oldest_young: 0,
            running_young: 0,
        }
    }

    /// A probe is due.
    pub fn arrived(&mut self, job: Job) {
        if job.slow { &mut self.slow } else { &mut self.prompt }.push_back(job);
    }

    /// A probe to start now, and the place it holds until [`Places::left`].
    pub fn next(&mut self, now: Moment, lagging: bool) -> Option<(Job, Place)> {
        self.grow_old(now, lagging);
        if self.running >= self.bounds.running || self.running_young >= self.bounds.young {
            return None;
        }
        let slow_may = self.running_slow < self.bounds.running.div_ceil(2) && !self.slow.is_empty();
        let slow = slow_may && (self.slow_next || self.prompt.is_empty());
        let job = if slow { &mut self.slow } else { &mut self.prompt }.pop_front()?;
        self.slow_next = !slow;
        let place = Place { number: self.oldest_young + self.young.len() as u64, slow };
        self.young.push_back(Young { started: now, ended: false });
        self.running += 1;
        self.running_young += 1;
        self.running_slow += usize::from(slow);
        Some((job, place))
    }

    /// The probe that held this place ended.
    pub fn left(&mut self, place: Place) {
        self.running -= 1;
        self.running_slow -= usize::from(place.slow);
        let young = place.number.checked_sub(self.oldest_young).and_then(|at| self.young.get_mut(at as usize));
        if let Some(young) = young {
            young.ended = true;
            self.running_young -= 1;
        }
    }

    /// Whether some wait that may start although none ends: when those that run have grown old.
    pub fn wait_for_age(&self) -> bool {
        let waiting = !(self.prompt.is_empty() && self.slow.is_empty());
        waiting && self.running_young >= self.bounds.young && self.running < self.bounds.running
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.prompt.is_empty() && self.slow.is_empty()
    }

    fn grow_old(&mut self, now: Moment, lagging: bool) {
        while let Some(first) = self.young.front() {
            let old = !lagging && now - first.started >= YOUNG_FOR;
            if !first.ended && !old {
                break;
            }
            self.running_young -= usize::from(!first.ended);
            self.oldest_young += 1;
            self.young.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::health::target::{Target, TargetId};
    use crate::model::{CheckKind, HealthCheck};

    fn job(id: u64, slow: bool) -> Job {
        let second = Duration::from_secs(1);
        let check = HealthCheck {
            name: String::new(),
            kind: CheckKind::Tcp,
            port: None,
            interval: second,
            fast: second,
            timeout: second,
            fall: 3,
            rise: 2,
        };
        Job { id: TargetId(id), target: Arc::new(Target { address: ([127, 0, 0, 1], 80).into(), check }), slow }
    }

    #[test]
    fn descriptors_decide_within_reason() {
        assert_eq!(Bounds::for_descriptors(1024).running, 512);
        assert_eq!(Bounds::for_descriptors(20).running, 64);
        assert_eq!(Bounds::for_descriptors(u64::MAX).running, RUNNING_MAX);
    }

    /// Ten targets that answer in 1 ms and 400 that time out after 2 s, each every 10 s, with 32 places: once it is known
    /// who is slow, those that answer are asked on time.
    #[test]
    fn an_outage_of_many_does_not_keep_the_others_waiting() {
        let mut places = Places::new(Bounds { running: 32, young: 32 });
        let mut ends: BTreeMap<(u64, u64), Place> = BTreeMap::new();
        let mut known: Vec<bool> = vec![false; 410];
        let mut late_most = 0;
        let mut due: BTreeMap<u64, u64> = BTreeMap::new();
        for ms in 0..120_000u64 {
            for id in (0..410).filter(|id| (ms + id * 9) % 10_000 == 0) {
                // One that waits or runs is not due again.
                if let std::collections::btree_map::Entry::Vacant(entry) = due.entry(id) {
                    entry.insert(ms);
                    places.arrived(job(id, known[id as usize]));
                }
            }
            while let Some(entry) = ends.first_entry().filter(|entry| entry.key().0 <= ms) {
                let id = entry.key().1;
                known[id as usize] = id >= 10;
                due.remove(&id);
                places.left(entry.remove());
            }
            while let Some((job, place)) = places.next(Moment(ms * 1000), false) {
                if job.id.0 < 10 && ms > 80_000 {
                    late_most = late_most.max(ms - due[&job.id.0]);
                }
                ends.insert((ms + if job.id.0 < 10 { 1 } else { 2000 }, job.id.0), place);
            }
        }
        assert!(known.iter().filter(|slow| **slow).count() == 400, "all were asked");
        assert!(late_most <= 1, "{late_most} ms late");
    }

    #[test]
    fn those_that_only_wait_make_room_for_others_unless_we_lag() {
        let mut places = Places::new(Bounds { running: 100, young: 10 });
        (0..100).for_each(|id| places.arrived(job(id, false)));
        let start = |places: &mut Places, ms: u64, lagging| {
            std::iter::from_fn(|| places.next(Moment(ms * 1000), lagging)).map(|(_, place)| place).collect::<Vec<_>>()
        };
        let first = start(&mut places, 0, false);
        assert_eq!(first.len(), 10);
        assert!(places.wait_for_age());
        assert_eq!(start(&mut places, 99, false).len(), 0);
        assert_eq!(start(&mut places, 100, true).len(), 0);
        assert_eq!(start(&mut places, 100, false).len(), 10);
        // An old one that ends makes no room among the young.
        places.left(first[0]);
        assert_eq!(start(&mut places, 150, false).len(), 0);
    }

    proptest! {
        /// Whatever comes and goes: the bounds hold, everyone gets a turn, and nothing is left at the end.
        #[test]
        fn bounds_hold_and_all_get_a_turn(
            jobs in prop::collection::vec((any::<bool>(), 0u64..3000, 0u64..300), 1..200),
            running in 1usize..20,
            young in 1usize..20,
        ) {
            let mut places = Places::new(Bounds { running, young });
            let mut ends: Vec<(u64, Place)> = Vec::new();
            let mut arriving: Vec<(u64, usize)> = jobs.iter().enumerate().map(|(i, job)| (job.1, i)).collect();
            arriving.sort_unstable();
            let (mut arriving, mut started, mut ms) = (arriving.into_iter().peekable(), 0, 0);
            while started < jobs.len() || !ends.is_empty() {
                while let Some((_, i)) = arriving.next_if(|(at, _)| *at <= ms) {
                    places.arrived(job(i as u64, jobs[i].0));
                }
                while let Some(at) = ends.iter().position(|(end, _)| *end <= ms) {
                    places.left(ends.swap_remove(at).1);
                }
                while let Some((job, place)) = places.next(Moment(ms * 1000), ms % 7 == 0) {
                    started += 1;
                    ends.push((ms + jobs[job.id.0 as usize].2, place));
                }
                prop_assert!(ends.len() <= running);
                prop_assert!(ends.iter().filter(|(_, place)| place.slow).count() <= running.div_ceil(2));
                ms += 1;
                prop_assert!(ms < 200_000, "somebody never gets a turn");
            }
            prop_assert!(places.is_empty());
            prop_assert_eq!((places.running, places.running_slow, places.running_young), (0, 0, 0));
        }
    }
}
