//! When endpoints came up whose weight in a proxy is still growing (`slow_start`).

use crate::health::table::HealthTable;
use crate::model::{EndpointId, Model, Moment};

impl HealthTable {
    /// When an endpoint came up while this process watched, for as long as its weight grows; `None` for one that was up from
    /// the start, and in pools that do not start slowly. What its own requests brought about does not count here: a proxy
    /// knows that better.
    pub fn risen(&self, id: EndpointId) -> Option<Moment> {
        let at = self.risen.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.risen[at].1)
    }

    /// Every endpoint whose weight is growing, and since when.
    pub fn growing(&self) -> &[(EndpointId, Moment)] {
        &self.risen
    }

    /// An endpoint came up then, or went down.
    pub fn set_risen(&mut self, id: EndpointId, risen: Option<Moment>) {
        match (self.risen.binary_search_by_key(&id, |(id, _)| *id), risen) {
            (Ok(at), Some(moment)) => self.risen[at].1 = moment,
            (Ok(at), None) => drop(self.risen.remove(at)),
            (Err(at), Some(moment)) => self.risen.insert(at, (id, moment)),
            (Err(_), None) => {}
        }
    }

    /// Forgets when those came up that have their whole weight by now.
    pub fn forget_grown(&mut self, model: &Model, now: Moment) {
        self.risen.retain(|(id, risen)| now.since(*risen) < model.pool(model.endpoint(*id).pool).upstream.slow_start);
    }
}
