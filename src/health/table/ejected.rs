//! What ejections make of a pool, and the pools in which they do not count.

use crate::health::standings::Standings;
use crate::health::table::{Ejections, EndpointHealth, HealthTable, Ordered};
use crate::model::{Model, Moment, PoolId};

impl HealthTable {
    /// Lets the ejections of a pool count, or not.
    pub fn spare(&mut self, model: &Model, standings: &Standings, id: PoolId, spared: bool, now: Moment) {
        let ejections = &mut self.pools[id.index()].ejections;
        *ejections = if spared { Ejections::Spared } else { Ejections::Decisive };
        for (member, _) in model.members(id) {
            self.endpoints[member.index()] = self.health_of(model, standings, member, spared, now);
        }
        self.refresh_pool(model, standings, id, now);
    }

    /// What the ejections in a pool mean for it, if they are spared or not.
    pub(super) fn ejections_in(
        &self,
        model: &Model,
        id: PoolId,
        ordered: Ordered,
        spared: bool,
        scratch: &mut Vec<u32>,
    ) -> Ejections {
        if !model.members(id).any(|(id, _)| self.endpoint(id).ejected) {
            return Ejections::Immaterial;
        }
        let mut usable = |counts| self.pool_health_by(model, id, ordered, counts, scratch).usable;
        let decide = !usable(is_up_and_not_ejected) && usable(EndpointHealth::is_up_without_ejection);
        match (decide, spared) {
            (false, _) => Ejections::Immaterial,
            (true, false) => Ejections::Decisive,
            (true, true) => Ejections::Spared,
        }
    }
}

fn is_up_and_not_ejected(endpoint: EndpointHealth) -> bool {
    endpoint.usable && !endpoint.ejected
}
