//! What is believed, and what is asked next: the health of everything, as one value that is told what happened.
//!
//! The keeper's core. It owns every belief, the schedule and the table made of them; events and the time come in,
//! probes to start and turned standings come out. It never waits, logs or writes, so a failover is played in virtual
//! time with the very code that runs.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::health::belief::{Belief, Standing};
use crate::health::journal::{Journal, Turn};
use crate::health::needed::NeededPools;
use crate::health::probe::ProbeResult;
use crate::health::schedule::Schedule;
use crate::health::standings::{EndpointKey, Standings, Subject};
use crate::health::suspicion::Suspicions;
use crate::health::table::{EndpointHealth, HealthTable, PoolHealth};
use crate::health::tally::ProbeTally;
use crate::health::target::{Job, Target, TargetId, targets};
use crate::model::{EndpointId, Model, Moment, Pool, PoolId};

mod ejecting;
mod loading;
mod ordering;
mod suspecting;

pub use ordering::{BY_BYTES_MAX, REASON_BYTES_MAX};

/// More turns than this that come of one cause are counted, not told one by one: the drain of a region of a thousand
/// pools, or the start of a server with thirty thousand endpoints, must not push everything else out of the journal.
const TURNS_TOLD_MAX: usize = 20;

/// What an event came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// Whether queries must see a new table at all.
    pub changed: bool,
    /// Whether something may be answered now that might not, or the reverse: publish at once.
    pub flipped: bool,
    /// The standings that turned, in order; they are in the journal already.
    pub turns: Vec<Turn>,
}

impl Step {
    /// This and what came after it.
    pub fn and(mut self, next: Step) -> Step {
        self.turns.extend(next.turns);
        Step { changed: self.changed | next.changed, flipped: self.flipped | next.flipped, turns: self.turns }
    }
}

/// One target and whom it speaks for.
#[derive(Debug)]
struct Watched {
    target: Arc<Target>,
    endpoints: Vec<EndpointId>,
    /// When the last probe started.
    started: Moment,
    /// Whether its result is still owed.
    running: bool,
    /// Whether a first result is still owed.
    unheard: bool,
    /// Whether the last probe took all the time it was allowed.
    slow: bool,
}

/// The health of everything in one model.
#[derive(Debug)]
pub struct Ledger {
    model: Arc<Model>,
    standings: Standings,
    table: HealthTable,
    schedule: Schedule,
    watched: HashMap<TargetId, Watched>,
    next_id: u64,
    /// Targets of which no probe has ended yet.
    unheard: usize,
    journal: Journal,
    tally: ProbeTally,
    suspicions: Suspicions,
    /// Which pools have been found up or down since they came up in the configuration, by id.
    known_pools: Vec<bool>,
    /// How many turns told of what was found down at first, in this round of first probes.
    found_down: usize,
    /// The longest TTL of any VIP: what changes later than that caps no answer.
    ttl_max: Duration,
    /// Whether all targets have been heard of at some time: what comes up from then on, came up while we watched.
    is_first_round_over: bool,
    /// The endpoints that requests took out.
    ejected: BTreeSet<EndpointId>,
    /// The pools in which that does not count.
    spared: BTreeSet<PoolId>,
    /// The pools of which each VIP needs one.
    needed: OnceLock<Arc<NeededPools>>,
    /// What is read of the load of pools.
    loads: loading::Loads,
}

impl Ledger {
    /// Nothing is known but what is recalled from before a restart; probes are due within
    /// their fast intervals, or later where there are thousands of them.
    pub fn new(model: Arc<Model>, recalled: &HashMap<EndpointKey, Standing>, seed: u64, now: Moment) -> Self {
        let standings = Standings::recalled(&model, recalled, now);
        let table = HealthTable::new(&model, &standings, now);
        let tally = ProbeTally::new(&model);
        let mut ledger = Ledger {
            ttl_max: ttl_max(&model),
            suspicions: Suspicions::new(&model),
            loads: loading::Loads::of(&model, None, now),
            known_pools: vec![false; model.pools.len()],
            found_down: 0,
            model,
            standings,
            table,
            schedule: Schedule::new(seed),
            watched: HashMap::new(),
            next_id: 0,
            unheard: 0,
            journal: Journal::default(),
            tally,
            is_first_round_over: false,
            ejected: BTreeSet::new(),
            spared: BTreeSet::new(),
            needed: OnceLock::new(),
        };
        ledger.watch_targets(None, now);
        // Where nothing is probed there is no first round to wait for.
        ledger.is_first_round_over = ledger.unheard == 0;
        ledger.know_pools(&HashMap::new());
        ledger
    }

    /// The probes that are due. Exactly one [`Ledger::probed`] is owed for each; until then it is not asked again.
    pub fn due(&mut self, now: Moment) -> Vec<Job> {
        let mut jobs = Vec::new();
        while let Some((id, _)) = self.schedule.pop_due(now) {
            if let Some(watched) = self.watched.get_mut(&id) {
                (watched.started, watched.running) = (now, true);
                jobs.push(Job { id, target: watched.target.clone(), slow: watched.slow });
            }
        }
        jobs
    }

    /// When [`Ledger::due`] has something next.
    pub fn next_due(&self) -> Option<Moment> {
        self.schedule.next_due()
    }

    /// A probe ended. Results that nobody waits for are dropped (the target is no longer watched, or was answered for),
    /// and what is no evidence changes no belief: a server out of sockets must not take its endpoints for dead.
    pub fn probed(&mut self, id: TargetId, result: &ProbeResult, now: Moment) -> Step {
        let Some(watched) = self.watched.get_mut(&id) else { return Step::default() };
        if !std::mem::take(&mut watched.running) {
            return Step::default();
        }
        self.tally.probed(&self.model, &watched.endpoints, result);
        if !result.reason.is_evidence() {
            // Thousands that could not be asked at once, because of us, are not all asked again at once.
            let check = &watched.target.check;
            self.schedule.slackened(id, watched.started, now, check.fast, check.interval);
            return Step::default();
        }
        watched.slow = result.reason.timed_out();
        self.is_first_round_over |= self.unheard == 0;
        self.unheard -= usize::from(std::mem::take(&mut watched.unheard));
        let (target, started, endpoints) = (watched.target.clone(), watched.started, watched.endpoints.clone());
        let former = self.pace(&target, &endpoints);
        let step = self.hear(id, &endpoints, result, now);
        let believed = result.passed || !self.suspicions.disbelieves(started);
        let learn = |step: Step, endpoint: &EndpointId| step.and(self.learn(*endpoint, &target, result, believed, now));
        let step = endpoints.iter().fold(step, learn);
        let pace = self.pace(&target, &endpoints);
        if pace > former {
            self.schedule.slackened(id, started, now, former, pace);
        } else {
            self.schedule.again(id, started, now, pace);
        }
        step
    }

    /// A new model takes effect: what is known stays known (see [`Standings::carried_over`]), and orders go by name.
    pub fn reloaded(&mut self, model: Arc<Model>, now: Moment) -> Step {
        let next = self.standings.carried_over(&self.model, &model, now);
        let former = std::mem::replace(&mut self.standings, next);
        self.tally = self.tally.carried_over(&self.model, &model);
        self.ttl_max = ttl_max(&model);
        let old = std::mem::replace(&mut self.model, model);
        self.watch_targets(Some(&former), now);
        let table = HealthTable::new(&self.model, &self.standings, now);
        let table = std::mem::replace(&mut self.table, table);
        self.take_risen_over(&old, &table);
        self.take_loads_over(&old, now);
        self.take_ejections_over(now);
        let known = old.pools.iter().map(|pool| pool.name.as_str()).zip(std::mem::take(&mut self.known_pools));
        self.know_pools(&known.filter(|(_, known)| *known).collect());
        let turns = self.slept_and_woken(&former.orders, now);
        let step = Step { changed: true, flipped: true, turns };
        self.write(&step);
        step
    }

    /// Something else that operators shall find among the turns: a reload, what the server finds of itself.
    pub fn noted(&mut self, turn: Turn) -> Step {
        let step = Step { turns: vec![turn], ..Step::default() };
        self.write(&step);
        step
    }

    /// Whether every target was asked at least once.
    pub fn first_round_done(&self) -> bool {
        self.unheard == 0
    }

    /// Whether every target was asked that is not a listener of this configuration: those answer once what is behind them may be
    /// known.
    pub fn others_are_heard(&self) -> bool {
        let is_ours = |watched: &Watched| watched.endpoints.iter().any(|id| self.table.is_ours(*id));
        self.watched.values().all(|watched| !watched.unheard || is_ours(watched))
    }

    /// How many targets were never heard of yet, and how many there are.
    pub fn unheard(&self) -> (usize, usize) {
        (self.unheard, self.watched.len())
    }

    /// How many probes are under way.
    pub fn running(&self) -> usize {
        self.watched.values().filter(|watched| watched.running).count()
    }

    /// The model everything here is about.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Every belief and order.
    pub fn standings(&self) -> &Standings {
        &self.standings
    }

    /// What is believed of one endpoint.
    pub fn belief(&self, id: EndpointId) -> &Belief {
        &self.standings.endpoints[id.index()]
    }

    /// What queries read.
    pub fn table(&self) -> &HealthTable {
        &self.table
    }

    /// The last turns.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// How many probes ended, and how.
    pub fn tally(&self) -> &ProbeTally {
        &self.tally
    }

    /// The target that speaks for an endpoint, if it is probed.
    pub fn target_of(&self, endpoint: EndpointId) -> Option<TargetId> {
        self.watched.iter().find(|(_, watched)| watched.endpoints.contains(&endpoint)).map(|(id, _)| *id)
    }

    /// Lines the targets up with the model: kept where equal, asked soon where new. An
    /// endpoint that is new at a target we know is believed what the target showed, so renaming a pool loses nothing.
    fn watch_targets(&mut self, standings: Option<&Standings>, now: Moment) {
        let former: HashMap<Arc<Target>, TargetId> =
            self.watched.iter().map(|(id, w)| (w.target.clone(), *id)).collect();
        let mut watched = HashMap::with_capacity(self.model.endpoints.len());
        // In the order of the model: a hash map's own order is not the same in every run.
        let mut wanted: Vec<(Target, Vec<EndpointId>)> = targets(&self.model).into_iter().collect();
        wanted.sort_by_key(|(_, endpoints)| endpoints[0]);
        let new = wanted.iter().filter(|(target, _)| !former.contains_key(target)).count();
        for (target, endpoints) in wanted {
            if let Some(mut known) = former.get(&target).and_then(|id| Some((*id, self.watched.remove(id)?))) {
                let former = std::mem::replace(&mut known.1.endpoints, endpoints);
                if let Some(belief) = standings.and_then(|s| s.endpoints.get(former.first()?.index())) {
                    self.adopt(&known.1.endpoints, belief);
                }
                watched.insert(known.0, known.1);
                continue;
            }
            let id = TargetId(self.next_id);
            self.next_id += 1;
            self.schedule.first(id, now, first_within(&target, new));
            watched.insert(
                id,
                Watched {
                    target: Arc::new(target),
                    endpoints,
                    started: now,
                    running: false,
                    unheard: true,
                    slow: false,
                },
            );
        }
        self.unheard = watched.values().filter(|w| w.unheard).count();
        self.schedule.retain(|id| watched.contains_key(&id));
        self.watched = watched;
        self.suspect_watched();
    }

    /// Gives a belief to those of its endpoints that have none of their own; orders stay theirs.
    fn adopt(&mut self, endpoints: &[EndpointId], belief: &Belief) {
        for id in endpoints {
            let own = &mut self.standings.endpoints[id.index()];
            if own.standing() == Standing::Unknown && own.last().is_none() {
                *own = belief.clone().beside(std::mem::replace(own, Belief::unprobed(belief.since())));
            }
        }
    }

    /// The shortest wait that any of the endpoints asks for: they may disagree when one joined later.
    fn pace(&self, target: &Target, endpoints: &[EndpointId]) -> Duration {
        let waits = endpoints.iter().map(|id| self.belief(*id).next_probe_in(&target.check));
        waits.min().unwrap_or(target.check.interval)
    }

    /// One endpoint's belief after a result; one that is not believed turns nothing down.
    ///
    /// What is found up at first is no turn: that is how it should be, and a start would be a thousand lines of it. What
    /// is found down at first is told, up to a bound.
    fn learn(&mut self, id: EndpointId, target: &Target, result: &ProbeResult, believed: bool, now: Moment) -> Step {
        let slot = &mut self.standings.endpoints[id.index()];
        let before = slot.counted();
        let belief = std::mem::replace(slot, Belief::unprobed(now));
        let belief = match believed {
            true => belief.after(&target.check, result.clone(), now),
            false => belief.after_in_vain(&target.check, result.clone(), now),
        };
        let (after, effective) = (belief.counted(), belief.effective());
        let in_a_row = belief.last().map_or(0, |last| last.in_a_row);
        *slot = belief;
        let mut step = self.refresh(Subject::Endpoint(id), now);
        let effective = if self.table.endpoint(id).blocked { "down" } else { effective };
        if before != after {
            self.tally.turned(id, after);
        }
        let told = match (before, after) {
            (Standing::Unknown, Standing::Up) => false,
            (Standing::Unknown, _) => before != after && self.tells_found_down(),
            _ => before != after,
        };
        if told {
            let (kind, name) = ("endpoint", Subject::Endpoint(id).name(&self.model));
            let (from, to, reason) = (before.words().into(), after.words().into(), result.to_string());
            let effective = effective.into();
            step.turns.insert(0, Turn { at: now, kind, name, from, to, after: in_a_row, reason, effective });
        }
        self.write(&step);
        step
    }

    /// Brings the table up to date after a change to `subject`; tells which pools turned.
    fn refresh(&mut self, subject: Subject, now: Moment) -> Step {
        let mut before: Vec<(PoolId, PoolHealth)> = match subject {
            Subject::Endpoint(id) => vec![self.model.endpoint(id).pool],
            Subject::Pool(id) => vec![id],
            Subject::Region(id) => {
                let pools = self.model.pools.iter().enumerate().filter(|(_, pool)| pool.region == id);
                pools.map(|(at, _)| PoolId::from(at)).collect()
            }
        }
        .into_iter()
        .map(|id| (id, self.table.pool(id)))
        .collect();
        let step = match subject {
            Subject::Endpoint(id) => self.refresh_endpoint(id, now),
            Subject::Pool(_) | Subject::Region(_) => {
                if let Subject::Region(id) = subject {
                    self.table.refresh_region(&self.standings, id);
                }
                for (id, _) in &before {
                    self.table.refresh_pool(&self.model, &self.standings, *id, now);
                }
                Step::default()
            }
        };
        let step = step.and(self.follow_up(&mut before, now));
        before.into_iter().fold(step, |step, (id, before)| step.and(self.pool_step(id, before, now)))
    }

    /// What changes of pools mean for others: for ejections that count or not, and for those in front of them. Pools that change by
    /// it join those that are given.
    fn follow_up(&mut self, changed: &mut Vec<(PoolId, PoolHealth)>, now: Moment) -> Step {
        /// Each tier may move what is spared in the next; there are not so many tiers.
        const ROUNDS_MAX: usize = 8;
        let mut step = Step::default();
        let mut news: Vec<PoolId> = changed.iter().map(|(id, _)| *id).collect();
        for _ in 0..ROUNDS_MAX {
            let spared = self.spare_the_last(now);
            news.extend(spared.iter().map(|(id, _)| *id));
            let settled = self.table.settle(&self.model, &self.standings, news.drain(..), now);
            for (id, before) in spared.into_iter().chain(settled.pools) {
                if changed.iter().all(|(known, _)| *known != id) {
                    changed.push((id, before));
                }
                news.push(id);
            }
            for (id, before) in settled.endpoints {
                step = step.and(self.endpoint_settled(id, before, now));
            }
            if news.is_empty() {
                break;
            }
        }
        step
    }

    /// What it means that something behind an endpoint has changed.
    fn endpoint_settled(&mut self, id: EndpointId, before: EndpointHealth, now: Moment) -> Step {
        let after = self.table.endpoint(id);
        self.up_or_not(id, before, now);
        let turn = (before.blocked != after.blocked && self.is_first_round_over).then(|| {
            let counted = self.belief(id).counted().words();
            let (from, to) = if after.blocked { (counted, "blocked") } else { ("blocked", counted) };
            let served = || "what is behind it is up again".to_owned();
            let reason = self.table.why_blocked(&self.model, id).unwrap_or_else(served);
            let effective = if after.usable { "up" } else { "down" };
            let (kind, name) = ("endpoint", Subject::Endpoint(id).name(&self.model));
            Turn {
                at: now,
                kind,
                name,
                from: from.into(),
                to: to.into(),
                after: 0,
                reason,
                effective: effective.into(),
            }
        });
        let flipped = before.usable != after.usable;
        Step { changed: true, flipped, turns: turn.into_iter().collect() }
    }

    fn refresh_endpoint(&mut self, id: EndpointId, now: Moment) -> Step {
        let before = self.table.endpoint(id);
        let changed = self.table.refresh(&self.model, &self.standings, id, now);
        let after = self.table.endpoint(id);
        let flipped = (before.usable, before.withdrawn) != (after.usable, after.withdrawn);
        self.up_or_not(id, before, now);
        Step { changed, flipped, turns: Vec::new() }
    }

    fn up_or_not(&mut self, id: EndpointId, before: EndpointHealth, now: Moment) {
        match (before.is_up_without_ejection(), self.table.endpoint(id).is_up_without_ejection()) {
            (true, false) => self.table.set_risen(id, None),
            (false, true) => self.rises(id, now),
            _ => {}
        }
    }

    /// Where its pool starts slowly, an endpoint that came up grows into its weight. Not in the first round of probes: then
    /// everyone comes up, and nothing is gained by giving all a tenth.
    fn rises(&mut self, id: EndpointId, now: Moment) {
        let slow_start = self.model.pool(self.model.endpoint(id).pool).upstream.slow_start;
        if self.is_first_round_over && !slow_start.is_zero() {
            self.table.set_risen(id, Some(now));
        }
    }

    /// Those that were growing in the former model go on in this one.
    fn take_risen_over(&mut self, former: &Model, table: &HealthTable) {
        for (id, risen) in table.growing() {
            if let Some(id) = self.endpoint_named(&EndpointKey::of(former, *id))
                && self.table.endpoint(id).is_up_without_ejection()
            {
                self.table.set_risen(id, Some(*risen));
            }
        }
    }

    /// What it means that a pool was `before` and is now as the table says.
    fn pool_step(&mut self, id: PoolId, before: PoolHealth, now: Moment) -> Step {
        let after = self.table.pool(id);
        let turned = (before.usable, before.withdrawn) != (after.usable, after.withdrawn);
        // Endpoints of it may be answered, or may no more.
        let flipped = turned || before.ejections != after.ejections;
        let (from, told) = match self.known_pools[id.index()] {
            true => (pool_words(before), turned),
            false if !self.is_known(id) => ("unknown", false),
            false => {
                self.known_pools[id.index()] = true;
                ("unknown", !after.usable && !after.withdrawn && self.tells_found_down())
            }
        };
        let turn = told.then(|| {
            let pool = self.model.pool(id);
            let (kind, name) = ("pool", pool.name.clone());
            let to = pool_words(after);
            let last = if after.is_spared() { ", the ejected among them: a VIP has no other" } else { "" };
            let reason = format!("{} of {} up (min {}){last}", after.healthy, pool.endpoints.len(), pool.min_healthy);
            Turn { at: now, kind, name, from: from.into(), to: to.into(), after: 0, reason, effective: to.into() }
        });
        Step { changed: before != after, flipped, turns: turn.into_iter().collect() }
    }

    /// Whether a pool is up, or all of its endpoints have been heard of.
    fn is_known(&self, id: PoolId) -> bool {
        let heard = |(id, _): (EndpointId, _)| self.belief(id).counted() != Standing::Unknown;
        self.table.pool(id).usable || self.model.members(id).all(heard)
    }

    /// What is known of pools when the table was made anew; those named were known before.
    fn know_pools(&mut self, before: &HashMap<&str, bool>) {
        let known =
            |(at, pool): (usize, &Pool)| before.contains_key(pool.name.as_str()) || self.is_known(PoolId::from(at));
        self.known_pools = self.model.pools.iter().enumerate().map(known).collect();
    }

    /// Whether one more may be told of that was found down at first.
    fn tells_found_down(&mut self) -> bool {
        self.found_down = if self.unheard == 0 { 0 } else { self.found_down + 1 };
        self.found_down <= TURNS_TOLD_MAX
    }

    /// What the first round found, in a line: `20 endpoints up, 1 down; 1 of 7 pools down`.
    pub fn found(&self) -> String {
        let counted = |standing| self.standings.endpoints.iter().filter(|b| b.counted() == standing).count();
        let (up, down, unknown) = (counted(Standing::Up), counted(Standing::Down), counted(Standing::Unknown));
        let pools = self.model.pools.len();
        let away = (0..pools).filter(|at| !self.table.pool(PoolId::from(*at)).usable).count();
        let unknown = if unknown > 0 { format!(", {unknown} unknown") } else { String::new() };
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (of_up, of_pools) = (plural(up), plural(pools));
        format!("{up} endpoint{of_up} up, {down} down{unknown}; {away} of {pools} pool{of_pools} out")
    }

    fn write(&mut self, step: &Step) {
        step.turns.iter().for_each(|turn| self.journal.write(turn.clone()));
    }
}

fn pool_words(pool: PoolHealth) -> &'static str {
    match (pool.usable, pool.withdrawn) {
        (_, true) => "withdrawn",
        (true, false) => "up",
        (false, false) => "down",
    }
}

/// The longest TTL that any answer may have.
fn ttl_max(model: &Model) -> Duration {
    model.vips.iter().map(|vip| vip.ttl).max().unwrap_or_default()
}

/// The most targets that are asked for the first time in a second: what one core does at ease. Thirty thousand take six
/// seconds, and a few take no longer than their fast interval.
const FIRST_PER_SECOND: usize = 5_000;

/// Within what time a target is asked for the first time, when it is one of so many.
fn first_within(target: &Target, new: usize) -> Duration {
    let check = &target.check;
    let paced = Duration::from_millis((new * 1000 / FIRST_PER_SECOND) as u64);
    paced.max(check.fast).min(check.interval)
}
