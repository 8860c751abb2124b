//! What follows when the server suspects itself ([`crate::health::suspicion`]): failures turn nothing down, and what they
//! turned down since the outset counts as up again.

use crate::health::journal::Turn;
use crate::health::ledger::{Ledger, Step, TURNS_TOLD_MAX};
use crate::health::names::Subject;
use crate::health::probe::ProbeResult;
use crate::health::suspicion::{Heard, Suspicion, Verdict};
use crate::health::target::TargetId;
use crate::model::{EndpointId, Moment, RegionId};

use crate::health::belief::Standing;

impl Ledger {
    /// Why failures turn nothing down at present, if they do not.
    pub fn suspicion(&self) -> Option<&Suspicion> {
        self.suspicions.suspicion()
    }

    /// Takes a result into account before it is believed.
    pub(super) fn hear(&mut self, id: TargetId, endpoints: &[EndpointId], result: &ProbeResult, now: Moment) -> Step {
        let up = endpoints.iter().any(|id| self.belief(*id).counted() == Standing::Up);
        let first = endpoints.iter().all(|id| self.belief(*id).last().is_none());
        let excused = !result.passed && endpoints.iter().all(|id| self.is_ordered_out(*id));
        let heard = Heard { passed: result.passed, up, first, excused };
        let verdict = self.suspicions.heard(id, heard, now);
        self.follow(verdict, now)
    }

    /// What follows from the time alone.
    pub(super) fn reconsider(&mut self, now: Moment) -> Step {
        let verdict = self.suspicions.judge(now);
        self.follow(verdict, now)
    }

    /// The checks of the present model, with the region they tell of.
    pub(super) fn suspect_watched(&mut self) {
        let region = |endpoints: &[EndpointId]| {
            let first = endpoints.first().map(|id| self.model.pool(self.model.endpoint(*id).pool).region);
            first.unwrap_or(RegionId(0))
        };
        let targets: Vec<_> = self.watched.iter().map(|(id, watched)| (*id, region(&watched.endpoints))).collect();
        self.suspicions.watch(&self.model, targets.into_iter());
    }

    fn is_ordered_out(&self, id: EndpointId) -> bool {
        let pool = self.model.endpoint(id).pool;
        let own = self.belief(id).order();
        let pools = self.standings.order_for(pool, self.model.pool(pool)).map(|forced| forced.order);
        own.into_iter().chain(pools).any(|order| order.harshness() > 0)
    }

    fn follow(&mut self, verdict: Verdict, now: Moment) -> Step {
        let since = self.suspicions.suspicion().map(|suspicion| suspicion.since);
        let (from, to, reason, step) = match verdict {
            Verdict::AsBefore => return Step::default(),
            Verdict::Suspects => {
                let step = self.reinstate(now);
                ("sure", "suspects itself", self.suspicious_because(&step), step)
            }
            Verdict::Recovered => ("suspects itself", "sure", "checks pass again".to_owned(), Step::default()),
            Verdict::Believed => {
                let reason = "nearly all checks have failed for five minutes: it is taken for true".to_owned();
                ("suspects itself", "sure", reason, Step::default())
            }
        };
        let effective = if since.is_some() { "frozen" } else { "as observed" }.into();
        let (kind, name) = ("server", "self".to_owned());
        let turn = Turn { at: now, kind, name, from: from.into(), to: to.into(), after: 0, reason, effective };
        let mut turns = step.turns;
        if turns.len() > TURNS_TOLD_MAX {
            turns.clear();
        }
        turns.insert(0, turn);
        let step = Step { turns, ..step };
        self.write(&step);
        step
    }

    fn suspicious_because(&self, reinstated: &Step) -> String {
        let Some(Suspicion { failing, checks, regions, .. }) = self.suspicions.suspicion() else {
            return String::new();
        };
        let fact = format!("{failing} of {checks} checks fail at once, in {regions} regions; standings are frozen");
        match reinstated.turns.iter().filter(|turn| turn.kind == "endpoint").count() {
            0 => fact,
            1 => format!("{fact}, and an endpoint that had just gone down counts as up"),
            more => format!("{fact}, and {more} endpoints that had just gone down count as up"),
        }
    }

    /// What went down since the outset was as little to blame as the rest.
    fn reinstate(&mut self, now: Moment) -> Step {
        let mut all = Step::default();
        for (id, since) in self.suspicions.failing() {
            let Some(watched) = self.watched.get(&id) else { continue };
            let (target, endpoints) = (watched.target.clone(), watched.endpoints.clone());
            for endpoint in endpoints {
                let slot = &mut self.standings.endpoints[endpoint.index()];
                if slot.standing() != Standing::Down || slot.since() < since {
                    continue;
                }
                *slot = slot.clone().reinstated(&target.check, now);
                let effective = slot.effective().into();
                self.tally.turned(endpoint, Standing::Up);
                let mut step = self.refresh(Subject::Endpoint(endpoint), now);
                let (kind, name) = ("endpoint", Subject::Endpoint(endpoint).name(&self.model));
                let (from, to, reason) = ("down".into(), "up".into(), "the server suspects itself".to_owned());
                step.turns.insert(0, Turn { at: now, kind, name, from, to, after: 0, reason, effective });
                all = all.and(step);
            }
        }
        all
    }
}
