//! If this region fails, who takes its clients, does that overload it, and what then?
//!
//! Step by step: of the regions that bear more than their `capacity`, the one that is furthest over it is taken to fail next,
//! and all is decided anew. A region fails once, so this ends: when all that are left hold, or when none is left. Capacity
//! informs this alone; the server sheds nothing by it.

use crate::health::standings::Subject;
use crate::health::table::HealthTable;
use crate::impact::load::Borne;
use crate::impact::load::Load;
use crate::model::EndpointId;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::RegionId;

/// What is taken to be out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outage {
    /// As it was asked for: `region/eu-west`.
    pub down: Vec<String>,
    /// The same of what is drained.
    pub drained: Vec<String>,
    down_ids: (Vec<EndpointId>, Vec<PoolId>),
    drained_ids: (Vec<EndpointId>, Vec<PoolId>),
    regions: Vec<RegionId>,
}

impl Outage {
    /// Reads `region/X`, `pool/X` and `endpoint/POOL/ADDRESS`.
    ///
    /// # Errors
    /// A sentence about each that is not there.
    pub fn read(model: &Model, down: &[String], drained: &[String]) -> Result<Self, Vec<String>> {
        let mut outage = Outage { down: down.to_vec(), drained: drained.to_vec(), ..Outage::default() };
        let mut wrong = Vec::new();
        for (texts, is_drain) in [(down, false), (drained, true)] {
            for text in texts {
                match Subject::named(model, text) {
                    Some(subject) => outage.add(model, subject, is_drain),
                    None => wrong.push(unknown(model, text)),
                }
            }
        }
        if wrong.is_empty() { Ok(outage) } else { Err(wrong) }
    }

    /// One region down.
    pub fn of_region(model: &Model, region: RegionId) -> Self {
        let name = format!("region/{}", model.region(region).name);
        let mut outage = Outage { down: vec![name], ..Outage::default() };
        outage.add(model, Subject::Region(region), false);
        outage
    }

    fn add(&mut self, model: &Model, subject: Subject, is_drain: bool) {
        let (endpoints, pools) = if is_drain { &mut self.drained_ids } else { &mut self.down_ids };
        match subject {
            Subject::Endpoint(id) => endpoints.push(id),
            Subject::Pool(id) => pools.push(id),
            Subject::Region(region) => {
                pools.extend(pools_in(model, region));
                self.regions.push(region);
            }
        }
    }

    /// What is up then.
    fn after(&self, model: &Model, health: &HealthTable) -> HealthTable {
        health.with_down(model, &self.down_ids.0, &self.down_ids.1).with_withdrawn(
            model,
            &self.drained_ids.0,
            &self.drained_ids.1,
        )
    }
}

fn pools_in(model: &Model, region: RegionId) -> Vec<PoolId> {
    let inside = model.pools.iter().enumerate().filter(|(_, pool)| pool.region == region);
    inside.map(|(at, _)| PoolId::from(at)).collect()
}

/// What is said of a name that is not there.
fn unknown(model: &Model, text: &str) -> String {
    let near = |names: &mut dyn Iterator<Item = &String>, wrong: &str| {
        let near = names.map(|name| (strsim::jaro_winkler(name, wrong), name)).filter(|(likeness, _)| *likeness > 0.8);
        near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name.clone())
    };
    let suggestion = match text.split_once('/') {
        Some(("region", name)) => near(&mut model.regions.iter().map(|r| &r.name), name).map(|n| format!("region/{n}")),
        Some(("pool", name)) => near(&mut model.pools.iter().map(|p| &p.name), name).map(|n| format!("pool/{n}")),
        Some(_) => None,
        None => near(&mut model.regions.iter().map(|r| &r.name), text).map(|name| format!("region/{name}")),
    };
    match suggestion {
        Some(meant) => format!("there is no `{text}`; did you mean `{meant}`?"),
        None => format!("there is no `{text}`; write region/NAME, pool/NAME or endpoint/POOL/ADDRESS"),
    }
}

/// What a failure comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What was taken to be out.
    pub outage: Outage,
    /// What each region bears before.
    pub before: Borne,
    /// What each region bears after.
    pub after: Borne,
    /// Who is overloaded then, and fails next; in order.
    pub cascade: Vec<Step>,
    /// Whether no region is left at its end.
    pub nothing_left: bool,
}

/// A region that bears too much and is taken to fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which.
    pub region: RegionId,
    /// What it would have borne.
    pub load: f64,
    /// What it can.
    pub capacity: u64,
    /// What each region bears once it has failed.
    pub after: Borne,
}

impl Step {
    /// What it would have borne, as part of what it can.
    pub fn used(&self) -> f64 {
        self.load / self.capacity as f64
    }
}

impl Scenario {
    /// Follows an outage to its end.
    pub fn of(load: &Load<'_>, model: &Model, health: &HealthTable, outage: Outage) -> Self {
        let before = load.borne(health);
        let mut health = outage.after(model, health);
        let after = load.borne(&health);
        let mut failed: Vec<bool> = vec![false; model.regions.len()];
        outage.regions.iter().for_each(|region| failed[region.index()] = true);
        let mut cascade: Vec<Step> = Vec::new();
        loop {
            let now = cascade.last().map_or(&after, |step| &step.after);
            let Some((region, capacity)) = most_overloaded(model, now, &failed) else { break };
            let load_then = now.regions[region.index()];
            failed[region.index()] = true;
            health = health.with_down(model, &[], &pools_in(model, region));
            cascade.push(Step { region, load: load_then, capacity, after: load.borne(&health) });
        }
        let left = |last: &Borne| last.regions.iter().any(|load| *load > 0.0);
        let nothing_left = !left(cascade.last().map_or(&after, |step| &step.after));
        Scenario { outage, before, after, cascade, nothing_left }
    }
}

/// The region furthest over its capacity.
fn most_overloaded(model: &Model, borne: &Borne, failed: &[bool]) -> Option<(RegionId, u64)> {
    /// What rounding may add to a sum of many parts.
    const ROUNDING: f64 = 1e-9;
    let over = model.regions.iter().enumerate().filter_map(|(at, region)| {
        let capacity = region.capacity.filter(|_| !failed[at])?;
        let used = borne.regions[at] / capacity as f64;
        (used > 1.0 + ROUNDING).then_some((RegionId::from(at), capacity, used))
    });
    over.max_by(|a, b| a.2.total_cmp(&b.2)).map(|(region, capacity, _)| (region, capacity))
}
