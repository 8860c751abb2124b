//! What is read of the load of pools, and what part of their clients is sent elsewhere for it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::health::journal::Turn;
use crate::health::ledger::{Ledger, Step};
use crate::health::shedding::{Line, Reading, Shedding};
use crate::health::table::PoolLoad;
use crate::model::{LoadFeedback, Model, Moment, PoolId};

/// Loads that are told to people change by at least so many per cent of the capacity: a world costs a copy of the table.
const TOLD_PERCENT: u16 = 2;

/// The load of one pool, as far as it is known.
#[derive(Debug, Clone)]
struct Loaded {
    /// What each source said last, and when.
    readings: Vec<Option<(Reading, Moment)>>,
    /// Why the last reading that failed did.
    failed: Option<String>,
    shedding: Shedding,
    line: Line,
    /// Whether it was told that the load is not known.
    is_told_unknown: bool,
}

/// Every pool whose load is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Loads(BTreeMap<PoolId, Loaded>);

impl Loads {
    /// Of a model; what is known of a pool of the same name stays known.
    pub(super) fn of(model: &Model, former: Option<(&Model, &Loads)>, now: Moment) -> Loads {
        let named: HashMap<&str, &Loaded> = match former {
            Some((model, loads)) => loads.0.iter().map(|(id, known)| (model.pool(*id).name.as_str(), known)).collect(),
            None => HashMap::new(),
        };
        let read =
            model.pools.iter().enumerate().filter_map(|(at, pool)| Some((PoolId::from(at), pool.load.as_ref()?)));
        let ttls = if model.pools.iter().any(|pool| pool.load.is_some()) { ttls(model) } else { HashMap::new() };
        let loaded = |(id, feedback): (PoolId, &std::sync::Arc<LoadFeedback>)| {
            // One that is only somebody's fallback has the longest there is.
            let ttl = ttls.get(&id).copied().or_else(|| model.vips.iter().map(|vip| vip.ttl).max());
            let line = Line::of(feedback, ttl.unwrap_or_default());
            let sources = feedback.urls.len().max(1);
            let known = named.get(model.pool(id).name.as_str());
            let mut loaded = match known {
                Some(known) => Loaded { line, ..(*known).clone() },
                None => {
                    let (shedding, readings) = (Shedding::begun(now), Vec::new());
                    Loaded { readings, failed: None, shedding, line, is_told_unknown: false }
                }
            };
            loaded.readings.resize(sources, None);
            (id, loaded)
        };
        Loads(read.map(loaded).collect())
    }
}

/// The longest TTL with which each pool is answered.
fn ttls(model: &Model) -> HashMap<PoolId, Duration> {
    let mut ttls: HashMap<PoolId, Duration> = HashMap::new();
    for vip in &model.vips {
        for pool in vip.pools() {
            let ttl = ttls.entry(pool).or_default();
            *ttl = vip.ttl.max(*ttl);
        }
    }
    ttls
}

impl Loaded {
    /// The readings that may still be believed, together.
    fn load(&self, believed_for: Duration, now: Moment) -> Option<f64> {
        let fresh = self.readings.iter().flatten().filter(|(_, at)| now.since(*at) <= believed_for);
        Reading::together(fresh.map(|(reading, _)| *reading))
    }

    fn told(&self, before: PoolLoad) -> PoolLoad {
        let percent = self.shedding.load().map(|load| (load * 100.0).round() as u16);
        let near = |was: u16, is: u16| was.abs_diff(is) < TOLD_PERCENT;
        let percent = match (before.percent, percent) {
            (Some(was), Some(is)) if near(was, is) && before.sheds == self.shedding.answered() => Some(was),
            (_, percent) => percent,
        };
        PoolLoad { percent, sheds: self.shedding.answered() }
    }
}

impl Ledger {
    /// A pool's load was read at one of its sources, or could not be. A pool or source that is not configured any more is
    /// ignored.
    pub fn loaded(&mut self, pool: &str, source: usize, found: Result<Reading, String>, now: Moment) -> Step {
        let Some(at) = self.model.pools.iter().position(|known| known.name == pool) else { return Step::default() };
        let id = PoolId::from(at);
        let (Some(feedback), Some(loaded)) = (self.model.pool(id).load.clone(), self.loads.0.get_mut(&id)) else {
            return Step::default();
        };
        let Some(slot) = loaded.readings.get_mut(source) else { return Step::default() };
        match found {
            Ok(reading) => {
                *slot = Some((reading, now));
                loaded.failed = None;
            }
            Err(why) => {
                loaded.failed = Some(why);
                return Step::default();
            }
        }
        match loaded.load(feedback.believed_for(), now) {
            Some(load) => loaded.shedding = loaded.shedding.after(load, loaded.line, now),
            // The one that has just come is fresh.
            None => return Step::default(),
        }
        self.tell_load(id, now)
    }

    /// Loads that were not read for too long are not known any more.
    pub(super) fn keep_loads(&mut self, now: Moment) -> Step {
        let old = |(id, loaded): (&PoolId, &Loaded)| {
            let feedback = self.model.pool(*id).load.as_ref()?;
            (now.since(loaded.shedding.read()) > feedback.believed_for()).then_some(*id)
        };
        let old: Vec<PoolId> = self.loads.0.iter().filter_map(old).collect();
        old.into_iter().fold(Step::default(), |step, id| {
            let Some(loaded) = self.loads.0.get_mut(&id) else { return step };
            loaded.shedding = loaded.shedding.unread(loaded.line, now);
            step.and(self.tell_load(id, now))
        })
    }

    /// Brings the table and the journal up to date with what is known of a pool's load.
    fn tell_load(&mut self, id: PoolId, now: Moment) -> Step {
        let before = self.table.load(id).unwrap_or_default();
        let (Some(loaded), Some(feedback)) = (self.loads.0.get_mut(&id), self.model.pool(id).load.as_ref()) else {
            return Step::default();
        };
        let after = loaded.told(before);
        let words = |load: PoolLoad| if load.sheds > 0 { "shedding" } else { "not-shedding" };
        let at = |load: f64| format!("load {load:.2}, low {:.2}, high {:.2}", feedback.low(), feedback.high());
        let mut told: Vec<(&'static str, &'static str, String)> = Vec::new();
        match loaded.shedding.load() {
            None if !loaded.is_told_unknown => {
                loaded.is_told_unknown = true;
                let why = loaded.failed.as_deref().unwrap_or("nothing was read");
                let ends = if before.sheds > 0 { "; clients come back one by one" } else { "" };
                let reason = format!("for {:?}: {why}{ends}", feedback.believed_for());
                told.push(("known", "unknown", reason));
            }
            Some(load) if loaded.is_told_unknown => {
                loaded.is_told_unknown = false;
                told.push(("unknown", "known", at(load)));
            }
            _ => {}
        }
        if (before.sheds > 0) != (after.sheds > 0) {
            let reason = loaded.shedding.load().map_or_else(|| "load unknown".to_owned(), at);
            told.push((words(before), words(after), reason));
        }
        self.table.set_load(id, after);
        let turn = |(from, to, reason): (&'static str, &'static str, String)| {
            let (kind, name, effective) = ("load", self.model.pool(id).name.clone(), words(after).into());
            Turn { at: now, kind, name, from: from.into(), to: to.into(), after: 0, reason, effective }
        };
        let step = Step { changed: before != after, flipped: false, turns: told.into_iter().map(turn).collect() };
        self.write(&step);
        step
    }

    /// The loads of the present model's pools, where the former model is known what was known of it.
    pub(super) fn take_loads_over(&mut self, former: &Model, now: Moment) {
        self.loads = Loads::of(&self.model, Some((former, &self.loads)), now);
        for (id, loaded) in &self.loads.0 {
            self.table.set_load(*id, loaded.told(PoolLoad::default()));
        }
    }
}
