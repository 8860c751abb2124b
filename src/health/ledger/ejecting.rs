//! What proxies say of endpoints whose requests fail ([`crate::health::ejection`]), and the pools in which that does not count.
//!
//! A pool is spared where ejections are all that keeps it down and some set of pools, of which a VIP needs one, has no other
//! that is up. While nothing is ejected, none of this costs a probe's result anything.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::health::ejection::Ejection;
use crate::health::journal::Turn;
use crate::health::ledger::{Ledger, Step};
use crate::health::names::{EndpointKey, Subject, SubjectName};
use crate::health::needed::NeededPools;
use crate::health::table::{Ejections, PoolHealth};
use crate::model::{EndpointId, Moment, PoolId};

impl Ledger {
    /// Requests to an endpoint fail and it rests; or it rests once more, which is no turn. What is older than what is known
    /// is ignored, as is an endpoint that is not configured any more.
    pub fn ejected(&mut self, endpoint: &EndpointKey, ejection: Ejection, now: Moment) -> Step {
        let Some(id) = self.endpoint_named(endpoint) else { return Step::default() };
        let slot = &mut self.standings.endpoints[id.index()].ejection;
        let since = match slot {
            Some(known) if known.until >= ejection.until => return Step::default(),
            Some(known) => Some(known.since),
            None => None,
        };
        let reason = ejection.reason.clone();
        *slot = Some(Box::new(Ejection { since: since.unwrap_or(ejection.since), ..ejection }));
        self.ejected.insert(id);
        let mut step = self.refresh(Subject::Endpoint(id), now);
        if since.is_none() {
            let from = self.belief(id).counted().words();
            let turn = self.passive_turn(id, [from, "ejected"], reason, now);
            step.turns.insert(0, turn);
        }
        self.write(&step);
        step
    }

    /// A request to an endpoint passed that was to show, at that moment, whether it is well.
    pub fn readmitted(&mut self, endpoint: &EndpointKey, at: Moment, now: Moment) -> Step {
        let Some(id) = self.endpoint_named(endpoint) else { return Step::default() };
        // A trial comes after its rest: one from before the end of this rest was the trial of an earlier one.
        let of_it = |ejection: &Ejection| ejection.until <= at;
        match self.belief(id).ejection.as_deref().is_some_and(of_it) {
            true => self.no_longer_ejected(id, "the request that tried it passed", now),
            false => Step::default(),
        }
    }

    /// Forgets the ejections that nobody renews, and counts down the others.
    pub(super) fn keep_ejections(&mut self, now: Moment) -> Step {
        let ejected: Vec<EndpointId> = self.ejected.iter().copied().collect();
        ejected.into_iter().fold(Step::default(), |step, id| {
            let Some(ejection) = &self.standings.endpoints[id.index()].ejection else { return step };
            match (now >= ejection.ends(), self.counts_down_to(ejection.until, now)) {
                (true, _) => step.and(self.no_longer_ejected(id, "no request has tried it for a minute", now)),
                (false, true) => step.and(self.refresh(Subject::Endpoint(id), now)),
                (false, false) => step,
            }
        })
    }

    /// The ejections of the present model's endpoints, and what follows from them.
    pub(super) fn take_ejections_over(&mut self, now: Moment) {
        let beliefs = self.standings.endpoints.iter().enumerate();
        let ejected = beliefs.filter(|(_, belief)| belief.ejection.is_some());
        self.ejected = ejected.map(|(at, _)| EndpointId::from(at)).collect();
        self.spared.clear();
        self.needed.take();
        let step = self.follow_up(&mut Vec::new(), now);
        self.write(&step);
    }

    /// Why each ejected endpoint is, by its name: `5 failures in a row (connect refused), back in 8 s`.
    pub fn why_ejected(&self, now: Moment) -> HashMap<String, String> {
        let words = |id: &EndpointId| {
            let ejection = self.belief(*id).ejection.as_ref()?;
            Some((Subject::Endpoint(*id).name(&self.model), ejection.words(now)))
        };
        self.ejected.iter().filter_map(words).collect()
    }

    /// The endpoints that failing requests took out, whatever counts of them.
    pub fn ejected_endpoints(&self) -> impl Iterator<Item = EndpointId> {
        self.ejected.iter().copied()
    }

    /// The sets of pools that VIPs need, where somebody has worked them out already; else the first time they matter.
    pub fn needs(&mut self, needed: Arc<NeededPools>) {
        self.needed = needed.into();
    }

    /// Lets ejections count where they may, and nowhere else; the pools that this changed, as they were before.
    pub(super) fn spare_the_last(&mut self, now: Moment) -> Vec<(PoolId, PoolHealth)> {
        if self.ejected.is_empty() && self.spared.is_empty() {
            return Vec::new();
        }
        let pools: BTreeSet<PoolId> = self.ejected.iter().map(|id| self.model.endpoint(*id).pool).collect();
        let kept_down = |id: &PoolId| self.table.pool(*id).ejections != Ejections::Immaterial;
        let kept_down: BTreeSet<PoolId> = pools.into_iter().filter(kept_down).collect();
        let mut before = Vec::new();
        for id in self.spared.difference(&kept_down).copied().collect::<Vec<_>>() {
            before.push((id, self.table.pool(id)));
            self.spare(id, false, now);
        }
        for id in kept_down {
            if self.is_last(id) != self.spared.contains(&id) {
                before.push((id, self.table.pool(id)));
                self.spare(id, !self.spared.contains(&id), now);
            }
        }
        before
    }

    fn spare(&mut self, id: PoolId, spared: bool, now: Moment) {
        self.table.spare(&self.model, &self.standings, id, spared, now);
        match spared {
            true => self.spared.insert(id),
            false => self.spared.remove(&id),
        };
    }

    /// Whether a VIP needs one of some pools of which none is up but by being spared, this one among them.
    fn is_last(&self, id: PoolId) -> bool {
        let needed = self.needed.get_or_init(|| Arc::new(NeededPools::of(&self.model)));
        let is_up = |pool: &PoolId| self.table.pool(*pool).usable && !self.spared.contains(pool);
        needed.sets_of(id).iter().any(|set| !needed.set(*set).iter().any(is_up))
    }

    fn no_longer_ejected(&mut self, id: EndpointId, why: &str, now: Moment) -> Step {
        self.standings.endpoints[id.index()].ejection = None;
        self.ejected.remove(&id);
        let mut step = self.refresh(Subject::Endpoint(id), now);
        let to = self.belief(id).counted().words();
        let turn = self.passive_turn(id, ["ejected", to], why.to_owned(), now);
        step.turns.insert(0, turn);
        self.write(&step);
        step
    }

    fn passive_turn(&self, id: EndpointId, [from, to]: [&'static str; 2], reason: String, now: Moment) -> Turn {
        let (kind, name) = ("endpoint", Subject::Endpoint(id).name(&self.model));
        let effective = match self.table.endpoint(id) {
            health if health.ejected && health.usable => "up",
            _ => self.belief(id).effective(),
        };
        Turn { at: now, kind, name, from: from.into(), to: to.into(), after: 0, reason, effective: effective.into() }
    }

    pub(super) fn endpoint_named(&self, key: &EndpointKey) -> Option<EndpointId> {
        match SubjectName::Endpoint(key.clone()).find(&self.model) {
            Some(Subject::Endpoint(id)) => Some(id),
            _ => None,
        }
    }
}
