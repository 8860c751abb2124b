//! What would a reload change, and what would a failure do? The questions of `rhumb diff` and `rhumb simulate`, asked of two
//! worlds or one, and said in the shapes of the API. Nothing here works anything out; see [`crate::impact`].

use std::path::Path;

use crate::admin::dto::BeforeAfterSaid;
use crate::admin::dto::ChangeSaid;
use crate::admin::dto::ConfigDiff;
use crate::admin::dto::ConfigProblem;
use crate::admin::dto::CountryMovedSaid;
use crate::admin::dto::DetailSaid;
use crate::admin::dto::ExtentSaid;
use crate::admin::dto::FlowSaid;
use crate::admin::dto::ImpactSaid;
use crate::admin::dto::PoolNamed;
use crate::admin::dto::PoolStaysSaid;
use crate::admin::dto::RegionLoadSaid;
use crate::admin::dto::ScenarioSaid;
use crate::admin::dto::Simulate;
use crate::admin::dto::Simulated;
use crate::admin::dto::StepSaid;
use crate::admin::dto::VipMovedSaid;
use crate::health::table::HealthTable;
use crate::impact::cascade::Outage;
use crate::impact::cascade::Scenario;
use crate::impact::changes::Change;
use crate::impact::changes::Sign;
use crate::impact::changes::changes;
use crate::impact::demand::DEMAND_BYTES_MAX;
use crate::impact::demand::Demand;
use crate::impact::demand::vip_name;
use crate::impact::load::Load;
use crate::impact::reload::End;
use crate::impact::reload::Impact;
use crate::impact::space::Extent;
use crate::model::Model;
use crate::model::Problem;
use crate::model::RegionId;
use crate::model::VipId;
use crate::snapshot::Snapshot;
use crate::world::World;

/// Without a demand file the whole address space is taken to ask so much: capacities are percent then.
const TOTAL: f64 = 100.0;
/// Each region in turn is simulated for at most so many; more are asked for by name.
const REGIONS_IN_TURN_MAX: usize = 64;

/// What was taken to be up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Everything: files alone were looked at.
    AllUp,
    /// What the server believes and operators ordered.
    AsItIs,
}

impl Health {
    fn words(self) -> &'static str {
        match self {
            Health::AllUp => "everything taken to be up",
            Health::AsItIs => "health and orders as they are now; what is new is taken to be up",
        }
    }
}

/// What is compared.
#[derive(Debug)]
pub struct Compared<'a> {
    /// What is served, and what is believed.
    pub old: &'a World,
    /// What it is called.
    pub from: String,
    /// What would be served.
    pub new: &'a World,
    /// What is probably not as meant in it.
    pub warnings: &'a [Problem],
    /// The file it is from.
    pub to: &'a Path,
    /// What was taken to be up.
    pub health: Health,
}

impl Compared<'_> {
    /// What differs, and with `impact` whose answers move.
    pub fn diff(&self, impact: bool) -> ConfigDiff {
        ConfigDiff {
            from: self.from.clone(),
            to: self.to.display().to_string(),
            changes: changes(&self.old.snapshot, &self.new.snapshot).into_iter().map(change).collect(),
            warnings: self.warnings.iter().map(ConfigProblem::from).collect(),
            impact: impact.then(|| impact_said(Impact::between(self.old, self.new), self.health)),
        }
    }
}

/// The world as it would be with this snapshot in place of what is served, for comparing; what is believed is carried over.
pub fn world_to_come(old: &World, snapshot: std::sync::Arc<Snapshot>) -> World {
    let health = old.health.carried_over(&old.snapshot.model, &snapshot.model);
    World { snapshot, health, generation: old.generation + 1 }
}

/// A world in which everything is up.
pub fn world_all_up(snapshot: std::sync::Arc<Snapshot>) -> World {
    World { health: HealthTable::all_up(&snapshot.model), snapshot, generation: 1 }
}

fn sign(sign: Sign) -> String {
    sign.letter().to_string()
}

fn change(change: Change) -> ChangeSaid {
    let details = change.details.into_iter();
    ChangeSaid {
        sign: sign(change.sign),
        kind: change.kind.to_owned(),
        name: change.name,
        details: details.map(|d| DetailSaid { sign: sign(d.sign), key: d.key, from: d.from, to: d.to }).collect(),
    }
}

fn extent(extent: Extent) -> ExtentSaid {
    ExtentSaid { ipv4: extent.v4, ipv6: extent.v6 }
}

fn pool(end: End) -> Option<PoolNamed> {
    match end {
        End::Pool { pool, region } => Some(PoolNamed { pool, region }),
        End::Nowhere => None,
    }
}

fn impact_said(impact: Impact, health: Health) -> ImpactSaid {
    let counted = match impact.by_databases {
        true => {
            "IPv4 by addresses that a database or network places; IPv6 by /48s, a stretch in one place as a /32 at most"
        }
        false => "no database: all of unicast IPv4 by addresses, 2000::/3 by /48s",
    };
    let flow = |from, to, share| FlowSaid { from: pool(from), to: pool(to), share: extent(share) };
    let stays = |(end, share)| Some(PoolStaysSaid { pool: pool(end)?, share: extent(share) });
    ImpactSaid {
        counted: counted.to_owned(),
        health: health.words().to_owned(),
        vips: impact.vips,
        moved: extent(impact.moved),
        readdressed: extent(impact.readdressed),
        by_vip: impact.by_vip.into_iter().map(|(vip, moved)| VipMovedSaid { vip, moved: extent(moved) }).collect(),
        by_country: (impact.by_country.into_iter())
            .map(|moved| CountryMovedSaid {
                country: moved.name,
                of_all: extent(moved.of_all),
                of_its_own: extent(moved.of_its_own),
            })
            .collect(),
        flows: impact.flows.into_iter().map(|each| flow(each.from, each.to, each.part)).collect(),
        readdressed_pools: impact.readdressed_pools.into_iter().filter_map(stays).collect(),
        unplaced: impact.unplaced.into_iter().map(|(from, to)| flow(from, to, Extent::default())).collect(),
        begin: impact.begin,
        end: impact.end,
    }
}

/// Why nothing was simulated.
#[derive(Debug, Clone, PartialEq)]
pub enum NotSimulated {
    /// The question is wrong: sentences.
    Question(Vec<String>),
    /// The demand is wrong.
    Demand(Vec<Problem>),
}

/// What each region bears when these are out; with nothing named, each region in turn.
///
/// # Errors
/// Everything that is wrong with the question.
pub fn simulate(world: &World, asked: &Simulate, health: Health) -> Result<Simulated, NotSimulated> {
    let model = &*world.snapshot.model;
    let mut wrong = Vec::new();
    let vips = vips(model, asked.vip.as_deref()).map_err(|sentence| wrong.push(sentence)).unwrap_or_default();
    let outage = Outage::read(model, &asked.down, &asked.drain).map_err(|more| wrong.extend(more)).unwrap_or_default();
    if asked.total.is_some_and(|total| !(total.is_finite() && total > 0.0)) {
        wrong.push("total is a number above 0".to_owned());
    }
    if asked.demand.as_ref().is_some_and(|text| text.len() > DEMAND_BYTES_MAX) {
        wrong.push(format!("the demand is larger than {} MiB", DEMAND_BYTES_MAX >> 20));
    }
    if !wrong.is_empty() {
        return Err(NotSimulated::Question(wrong));
    }
    let name = Path::new(asked.demand_name.as_deref().unwrap_or("demand"));
    let (demand, words) = demand(asked, name)?;
    let load = Load::spread(&world.snapshot, &vips, &demand, name);
    let outages = match asked.down.is_empty() && asked.drain.is_empty() {
        false => vec![outage],
        true => (0..model.regions.len().min(REGIONS_IN_TURN_MAX))
            .map(|at| Outage::of_region(model, RegionId::from(at)))
            .collect(),
    };
    let scenarios = outages.into_iter().map(|outage| Scenario::of(&load, model, &world.health, outage));
    Ok(Simulated {
        demand: words,
        total: load.total(),
        health: health.words().to_owned(),
        vips: vips.len(),
        warnings: load.warnings.iter().map(ConfigProblem::from).collect(),
        scenarios: scenarios.map(|scenario| scenario_said(model, scenario)).collect(),
    })
}

fn demand(asked: &Simulate, name: &Path) -> Result<(Demand, String), NotSimulated> {
    match &asked.demand {
        Some(text) => {
            let demand = Demand::parse(name, text).map_err(NotSimulated::Demand)?;
            let lines = demand.lines().count();
            Ok((demand, format!("{lines} line{} of {}", if lines == 1 { "" } else { "s" }, name.display())))
        }
        None => {
            let total = asked.total.unwrap_or(TOTAL);
            let words = format!("the IPv4 address space, taken to ask {} in all", number(total));
            Ok((Demand::everywhere(total), words))
        }
    }
}

/// A number without a tail of zeros.
fn number(value: f64) -> String {
    format!("{value}")
}

fn vips(model: &Model, only: Option<&str>) -> Result<Vec<VipId>, String> {
    let Some(only) = only else { return Ok((0..model.vips.len()).map(VipId::from).collect()) };
    let name = vip_name(only);
    match model.vips.iter().position(|vip| vip.name == name) {
        Some(at) => Ok(vec![VipId::from(at)]),
        None => Err(format!("there is no VIP `{name}`")),
    }
}

fn scenario_said(model: &Model, scenario: Scenario) -> ScenarioSaid {
    let (before, after) = (&scenario.before, &scenario.after);
    let regions = model.regions.iter().enumerate().map(|(at, region)| RegionLoadSaid {
        region: region.name.clone(),
        before: before.regions[at],
        after: after.regions[at],
        capacity: region.capacity,
    });
    ScenarioSaid {
        regions: regions.collect(),
        adrift: BeforeAfterSaid { before: before.adrift, after: after.adrift },
        unanswered: BeforeAfterSaid { before: before.unanswered, after: after.unanswered },
        cascade: (scenario.cascade.into_iter())
            .map(|step| StepSaid {
                region: model.region(step.region).name.clone(),
                load: step.load,
                capacity: step.capacity,
                after: step.after.regions,
                adrift: step.after.adrift,
                unanswered: step.after.unanswered,
            })
            .collect(),
        nothing_left: scenario.nothing_left,
        down: scenario.outage.down,
        drain: scenario.outage.drained,
    }
}
