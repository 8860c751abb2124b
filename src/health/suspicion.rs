//! Is it them, or is it us?
//!
//! When nearly all checks fail at once, the likeliest cause is what they have in common: this server's own network. Taken
//! at its word it would send the whole world to the few endpoints it still reaches. So it suspects itself: passes are
//! believed, failures turn nothing down, and it says so.
//!
//! **What is suspicious is simultaneity.** Only checks count that passed at the outset and fail now, and whose first
//! failure is no older than one round of probes ([`Suspicions::together`]): what has been down for an hour proves nothing,
//! and two regions that fail minutes apart are two failures. Of what was heard since the first of these failures, at least
//! [`SHARE`] percent must have failed: overall, and in two regions or more. One region that fails alone is believed, and so
//! are two of four.
//!
//! **Too little evidence is none.** Fewer than [`CHECKS_MIN`] checks fail together by chance, or by one bad deployment;
//! `when_all_down` is then what the operator said of such a day. In a region one check is no evidence of the region, so
//! [`CHECKS_IN_REGION_MIN`] are needed; and of all checks a quarter must have been heard ([`HEARD_SHARE`]), so that the
//! first few failures of thousands of checks do not speak for all.
//!
//! **It ends** when fewer than [`SHARE_AT_END`] percent fail, and in any case after [`LASTS_MAX`]: a failure of everything
//! may be true, and then `when_all_down` and the operators' spare pools are to have their turn. Five minutes are longer
//! than routers take to restart and routes to settle; who knows sooner orders `down`, or sets `suspect_itself = false`.
//! What has failed all the while is then turned down by its next failure, and is no longer evidence of anything.
//!
//! Only probes are heard. What proxies say of failing requests ([`crate::health::ejection`]) is no evidence here, for it
//! stops at half of a pool, and goes on counting meanwhile, for it may be true although no probe gets out.
//!
//! Pure counting, O(1) for a result apart from a walk over the regions. What follows from it is the ledger's business.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::health::target::TargetId;
use crate::model::{Model, Moment, RegionId};

/// So many percent of the checks heard fail before we suspect ourselves.
pub const SHARE: u64 = 80;
/// Fewer percent than this failing end it: far enough below [`SHARE`] not to waver between the two, and more than two
/// regions of four make up.
pub const SHARE_AT_END: u64 = 60;
/// At least so many checks are evidence: three regions of two endpoints.
pub const CHECKS_MIN: u64 = 6;
/// At least so many of them speak for a region.
pub const CHECKS_IN_REGION_MIN: u64 = 2;
/// At least so many regions must fail.
pub const REGIONS_MIN: usize = 2;
/// Of the checks that passed at the outset, so many percent must have been heard since.
pub const HEARD_SHARE: u64 = 25;
/// How long failures are disbelieved at the most.
pub const LASTS_MAX: Duration = Duration::from_secs(300);
/// Checks that are made more seldom than this do not stretch what counts as "at once".
const TOGETHER_MAX: Duration = Duration::from_secs(60);

/// The server suspects itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// Since when.
    pub since: Moment,
    /// When failures count again, whatever is found.
    pub until: Moment,
    /// How many checks fail that passed at the outset.
    pub failing: u64,
    /// How many were heard since.
    pub checks: u64,
    /// In how many regions nearly all fail.
    pub regions: usize,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    AsBefore,
    /// It suspects itself from now on.
    Suspects,
    /// Enough checks pass again.
    Recovered,
    /// It lasted too long: the failures are taken for true.
    Believed,
}

/// What a check shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulse {
    /// It has been down, or was never up: no evidence.
    Out,
    /// It passes; and in which episode it was last heard to.
    Well { heard_in: u64 },
    /// It passed at the outset and fails since then.
    Failing { since: Moment },
}

/// A check as it is heard.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// Whether it passed.
    pub passed: bool,
    /// Whether an endpoint of it counts as up, before a failure and after a pass.
    pub up: bool,
    /// Whether this is the first result of all: before a failure only what was recalled is known.
    pub first: bool,
    /// Whether operators took out all that it speaks for: what fails then fails for a reason.
    pub excused: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    up: u64,
    failing: u64,
    /// Of those that pass: heard since the first failure.
    well: u64,
}

impl Count {
    fn heard(self) -> u64 {
        self.failing + self.well
    }
    fn fails(self) -> bool {
        self.failing * 100 >= SHARE * self.heard()
    }
}

/// What all checks together show.
#[derive(Debug)]
pub struct Suspicions {
    enabled: bool,
    together: Duration,
    pulses: HashMap<TargetId, (RegionId, Pulse)>,
    all: Count,
    regions: Vec<Count>,
    /// Failing checks by when they began to; some may pass again.
    failing: VecDeque<(Moment, TargetId)>,
    /// Counts the times at which a first check began to fail while none did.
    episode: u64,
    suspicion: Option<Suspicion>,
    /// When it last ended because checks pass again: probes that started before may still have failed through us.
    recovered_at: Option<Moment>,
}

impl Suspicions {
    /// None, of no checks.
    pub fn new(model: &Model) -> Self {
        Suspicions {
            enabled: model.server.suspect_itself,
            together: together(model),
            pulses: HashMap::new(),
            all: Count::default(),
            regions: vec![Count::default(); model.regions.len()],
            failing: VecDeque::new(),
            episode: 0,
            suspicion: None,
            recovered_at: None,
        }
    }

    /// The checks there are from now on; what is known of those that stay, stays known.
    pub fn watch(&mut self, model: &Model, targets: impl Iterator<Item = (TargetId, RegionId)>) {
        self.enabled = model.server.suspect_itself;
        self.together = together(model);
        let former = std::mem::take(&mut self.pulses);
        let known = |id: &TargetId| former.get(id).map_or(Pulse::Out, |(_, pulse)| *pulse);
        self.pulses = targets.map(|(id, region)| (id, (region, known(&id)))).collect();
        self.all = Count::default();
        self.regions = vec![Count::default(); model.regions.len()];
        let pulses: Vec<(RegionId, Pulse)> = self.pulses.values().copied().collect();
        pulses.into_iter().for_each(|(region, pulse)| self.count(region, pulse, true));
    }

    /// How long after its first failure a check still fails "at once" with others: a round of probes.
    pub fn together(&self) -> Duration {
        self.together
    }

    /// The suspicion, if there is one.
    pub fn suspicion(&self) -> Option<&Suspicion> {
        self.suspicion.as_ref()
    }

    /// Whether a failure found by a probe that started then turns nothing down.
    pub fn disbelieves(&self, started: Moment) -> bool {
        self.suspicion.is_some() || self.recovered_at.is_some_and(|at| started < at)
    }

    /// The checks that fail and passed at the outset, with when they began to; in the order of their ids.
    pub fn failing(&self) -> Vec<(TargetId, Moment)> {
        let failing = self.pulses.iter().filter_map(|(id, (_, pulse))| match pulse {
            Pulse::Failing { since } => Some((*id, *since)),
            _ => None,
        });
        let mut failing: Vec<_> = failing.collect();
        failing.sort_unstable();
        failing
    }

    /// A probe ended.
    pub fn heard(&mut self, id: TargetId, heard: Heard, now: Moment) -> Verdict {
        self.forget_old(now);
        let Some((region, before)) = self.pulses.get(&id).copied() else { return Verdict::AsBefore };
        let well = Pulse::Well { heard_in: self.episode };
        let after = match (before, heard.passed) {
            (_, false) if heard.excused => Pulse::Out,
            (Pulse::Out, true) if !heard.up => Pulse::Out,
            (_, true) => well,
            (Pulse::Well { .. }, false) => self.begins_to_fail(id, now),
            (Pulse::Out, false) if heard.first && heard.up => self.begins_to_fail(id, now),
            (before, false) => before,
        };
        if after != before {
            self.count(region, before, false);
            self.count(region, after, true);
            self.pulses.insert(id, (region, after));
        }
        self.judge(now)
    }

    /// Looks at the time alone.
    pub fn judge(&mut self, now: Moment) -> Verdict {
        // What was just believed must not be suspected again for want of a result in between.
        self.forget_old(now);
        let regions = || self.regions.iter().filter(|c| c.heard() >= CHECKS_IN_REGION_MIN && c.fails()).count();
        match &mut self.suspicion {
            Some(suspicion) => {
                (suspicion.failing, suspicion.checks) = (self.all.failing, self.all.heard());
                suspicion.regions = self.regions.iter().filter(|c| c.failing > 0 && c.fails()).count();
                let recovered = self.all.failing * 100 < SHARE_AT_END * self.all.heard() || self.all.failing == 0;
                if recovered || !self.enabled {
                    self.suspicion = None;
                    self.recovered_at = self.enabled.then_some(now);
                    return Verdict::Recovered;
                }
                if now >= suspicion.until {
                    self.suspicion = None;
                    return Verdict::Believed;
                }
            }
            None => {
                let enough = self.all.heard() >= CHECKS_MIN && self.all.heard() * 100 >= HEARD_SHARE * self.all.up;
                if self.enabled && enough && self.all.fails() && regions() >= REGIONS_MIN {
                    let (failing, checks) = (self.all.failing, self.all.heard());
                    let (until, regions) = (now + LASTS_MAX, regions());
                    self.suspicion = Some(Suspicion { since: now, until, failing, checks, regions });
                    return Verdict::Suspects;
                }
            }
        }
        Verdict::AsBefore
    }

    fn begins_to_fail(&mut self, id: TargetId, now: Moment) -> Pulse {
        if self.all.failing == 0 {
            // Nothing was heard yet since this first one.
            self.episode += 1;
            self.all.well = 0;
            self.regions.iter_mut().for_each(|count| count.well = 0);
        }
        self.failing.push_back((now, id));
        Pulse::Failing { since: now }
    }

    /// What has failed for longer than others can have failed "at once" with it is simply down.
    fn forget_old(&mut self, now: Moment) {
        if self.suspicion.is_some() {
            return;
        }
        while let Some((since, id)) = self.failing.front().copied().filter(|(since, _)| now - *since > self.together) {
            self.failing.pop_front();
            if let Some((region, pulse)) = self.pulses.get(&id).copied()
                && pulse == (Pulse::Failing { since })
            {
                self.count(region, pulse, false);
                self.pulses.insert(id, (region, Pulse::Out));
            }
        }
    }

    fn count(&mut self, region: RegionId, pulse: Pulse, add: bool) {
        let episode = self.episode;
        for count in [Some(&mut self.all), self.regions.get_mut(region.index())].into_iter().flatten() {
            let counts: [(&mut u64, bool); 3] = [
                (&mut count.up, pulse != Pulse::Out),
                (&mut count.failing, matches!(pulse, Pulse::Failing { .. })),
                (&mut count.well, pulse == Pulse::Well { heard_in: episode }),
            ];
            for (count, counts) in counts {
                if counts {
                    *count = if add { *count + 1 } else { count.saturating_sub(1) };
                }
            }
        }
    }
}

/// By then every check has been made once, and has ended.
fn together(model: &Model) -> Duration {
    let rounds = model.checks.iter().map(|check| check.interval.saturating_add(check.timeout));
    rounds.max().unwrap_or_default().min(TOGETHER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Region;

    /// So many checks in each region, all of them up, heard at second 0.
    fn well(regions: &[u64]) -> Suspicions {
        let region =
            Region { name: String::new(), label: String::new(), location: None, capacity: None, requests_max: None };
        let model = Model { regions: vec![region; regions.len()], ..Model::default() };
        let mut all = Suspicions::new(&model);
        let targets = regions.iter().enumerate().flat_map(|(region, count)| {
            (0..*count).map(move |i| (TargetId(region as u64 * 1000 + i), RegionId::from(region)))
        });
        all.watch(&model, targets.clone());
        all.together = Duration::from_secs(11);
        targets.for_each(|(id, _)| assert_eq!(hear(&mut all, id.0, true, 0), Verdict::AsBefore));
        all
    }

    fn hear(all: &mut Suspicions, id: u64, passed: bool, second: u64) -> Verdict {
        let heard = Heard { passed, up: true, first: false, excused: false };
        all.heard(TargetId(id), heard, Moment::from_secs(second))
    }

    /// The last verdict after so many checks of a region fail, beginning with its first.
    fn fail(all: &mut Suspicions, region: u64, count: u64, second: u64) -> Verdict {
        (0..count).map(|i| hear(all, region * 1000 + i, false, second)).last().unwrap_or(Verdict::AsBefore)
    }

    #[test]
    fn nearly_all_at_once_in_two_regions_is_suspicious() {
        let mut all = well(&[10, 10, 10]);
        for region in 0..3 {
            fail(&mut all, region, 10, 100);
        }
        let suspicion = all.suspicion().expect("it suspects itself");
        assert!(suspicion.checks >= CHECKS_MIN && suspicion.until == Moment::from_secs(400));
        assert_eq!(all.judge(Moment::from_secs(399)), Verdict::AsBefore);
        let (failing, checks, regions) = all.suspicion().map(|s| (s.failing, s.checks, s.regions)).unwrap();
        assert_eq!((failing, checks, regions), (30, 30, 3));
    }

    #[test]
    fn one_region_or_two_of_four_are_believed() {
        let mut all = well(&[50, 10]);
        assert_eq!(fail(&mut all, 0, 50, 100), Verdict::AsBefore);
        let mut all = well(&[10, 10, 10, 10]);
        for (region, passes) in [(0, false), (2, true), (1, false), (3, true)] {
            (0..10).for_each(|i| _ = hear(&mut all, region * 1000 + i, passes, 100));
        }
        assert_eq!(all.suspicion(), None);
    }

    #[test]
    fn what_fails_minutes_apart_is_believed() {
        let mut all = well(&[10, 10]);
        fail(&mut all, 0, 10, 100);
        (0..10).for_each(|i| _ = hear(&mut all, 1000 + i, true, 105));
        assert_eq!(fail(&mut all, 1, 10, 200), Verdict::AsBefore, "the first region is simply down by then");
        assert_eq!(all.suspicion(), None);
    }

    #[test]
    fn what_was_down_before_does_not_count() {
        let mut all = well(&[10, 10]);
        fail(&mut all, 0, 9, 100);
        // Of the first region, one is left that was up.
        assert_eq!(hear(&mut all, 9, true, 150), Verdict::AsBefore);
        hear(&mut all, 9, false, 200);
        assert_eq!(fail(&mut all, 1, 10, 200), Verdict::AsBefore);
    }

    #[test]
    fn too_little_evidence_is_none() {
        for regions in [&[2, 2][..], &[1, 4], &[5], &[1, 1, 1, 1, 1, 1]] {
            let mut all = well(regions);
            (0..regions.len()).for_each(|region| _ = fail(&mut all, region as u64, regions[region], 100));
            assert_eq!(all.suspicion(), None, "{regions:?}");
        }
        // The first to be heard of a thousand do not speak for all.
        let mut all = well(&[500, 500]);
        fail(&mut all, 0, 10, 100);
        assert_eq!(fail(&mut all, 1, 10, 100), Verdict::AsBefore);
    }

    #[test]
    fn it_ends_when_enough_pass_again_and_believes_what_lasts() {
        let mut all = well(&[10, 10]);
        (0..2).for_each(|region| _ = fail(&mut all, region, 10, 100));
        let recovers = (0..20).map(|i| hear(&mut all, i / 10 * 1000 + i % 10, true, 130)).collect::<Vec<_>>();
        assert_eq!(recovers.iter().position(|v| *v == Verdict::Recovered), Some(8), "eleven of twenty fail");
        assert!(all.disbelieves(Moment::from_secs(129)), "a probe from before may have failed through us");
        assert!(!all.disbelieves(Moment::from_secs(130)));
        let mut all = well(&[10, 10]);
        (0..2).for_each(|region| _ = fail(&mut all, region, 10, 100));
        assert_eq!(all.judge(Moment::from_secs(400)), Verdict::Believed);
        assert_eq!(all.judge(Moment::from_secs(401)), Verdict::AsBefore, "though nothing was heard meanwhile");
        let mut all = well(&[10, 10]);
        (0..2).for_each(|region| _ = fail(&mut all, region, 10, 100));
        assert_eq!(hear(&mut all, 0, false, 400), Verdict::Believed);
        assert!(!all.disbelieves(Moment::from_secs(400)));
        assert_eq!(fail(&mut all, 1, 10, 401), Verdict::AsBefore, "and does not begin anew");
    }
}
