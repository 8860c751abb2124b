//! A [`Model`] compiled: what is served until the next reload.

use std::sync::Arc;

use crate::dns::name::Name;
use crate::geo::atlas::Atlas;
use crate::geo::latency::LatencyTable;
use crate::model::Model;
use crate::model::Problem;
use crate::model::VipId;
use crate::regional::Regional;
use crate::steering::Plan;
use crate::steering::Safety;
use crate::zone::compile::VipName;
use crate::zone::read::ZoneFile;
use crate::zone::zones::Zones;

/// Configuration, zones and geo tables, compiled for queries; immutable.
#[derive(Debug)]
pub struct Snapshot {
    /// What was meant.
    pub model: Arc<Model>,
    /// What `steering::decide` reads.
    pub plan: Plan,
    /// What orders are judged by.
    pub safety: Safety,
    /// What is answered as written, and which names are VIPs.
    pub zones: Zones,
    /// Where every address is, for those who ask why; queries read the plan's tables.
    pub atlas: Arc<Atlas>,
    /// What the regional tier serves.
    pub regional: Arc<Regional>,
}

impl Snapshot {
    /// Compiles a model with the zones, places and latencies it names; gives the warnings too.
    ///
    /// # Errors
    /// All problems of all zones, warnings among them.
    pub fn compile(
        model: Arc<Model>,
        zones: Vec<ZoneFile>,
        atlas: Arc<Atlas>,
        latency: &LatencyTable,
    ) -> Result<(Snapshot, Vec<Problem>), Vec<Problem>> {
        let (zones, warnings) = Zones::compile(zones, &vip_names(&model))?;
        let plan = Plan::build(model.clone(), &atlas, latency);
        let safety = Safety::of(&model);
        let regional = Arc::new(Regional::compile(&model));
        Ok((Snapshot { model, plan, safety, zones, atlas, regional }, warnings))
    }

    /// How much there is of everything, in a line: `3 regions, 1 VIP, …`.
    pub fn inventory(&self) -> String {
        let model = &self.model;
        let parts = [
            (model.regions.len(), "region"),
            (model.pools.len(), "pool"),
            (model.endpoints.len(), "endpoint"),
            (model.vips.len(), "VIP"),
            (self.zones.iter().len(), "zone"),
        ];
        // Whoever has none need not hear of them.
        let listeners = Some((model.listeners.len(), "listener")).filter(|(count, _)| *count > 0);
        let words = |(count, one)| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        parts.into_iter().chain(listeners).map(words).collect::<Vec<_>>().join(", ")
    }

    /// What is wrong with the zones and with the VIPs in them, when the rest cannot be compiled anyway.
    pub fn problems_of(model: &Model, zones: Vec<ZoneFile>) -> Vec<Problem> {
        match Zones::compile(zones, &vip_names(model)) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems,
        }
    }
}

fn vip_names(model: &Model) -> Vec<VipName> {
    let named = |(index, vip): (usize, &crate::model::Vip)| {
        let name: Name = vip.name.parse().ok()?;
        Some(VipName { name, vip: VipId::from(index), place: vip.place.clone() })
    };
    model.vips.iter().enumerate().filter_map(named).collect()
}
