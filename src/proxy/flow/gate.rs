//! A listener at L4 as one core serves it, by one snapshot.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::model::PoolId;
use crate::proxy::cells::FlowCell;
use crate::proxy::cells::ListenerCell;
use crate::proxy::client::Bounds;
use crate::proxy::core::Core;
use crate::regional::flow::FlowPlan;
use crate::regional::pool::PoolPlan;

/// Where flows come in.
#[derive(Debug)]
pub struct Gate {
    /// What it does.
    pub plan: Arc<FlowPlan>,
    /// What is counted of it.
    pub cell: Arc<ListenerCell>,
    /// What all cores bear together.
    pub bounds: Arc<Bounds>,
    /// How its flows end, by the pool they went to.
    ends: RefCell<HashMap<Option<PoolId>, Arc<FlowCell>>>,
}

impl Gate {
    /// Of a listener.
    pub fn new(plan: Arc<FlowPlan>, cell: Arc<ListenerCell>, bounds: Arc<Bounds>) -> Self {
        Gate { plan, cell, bounds, ends: RefCell::default() }
    }

    /// A flow has ended so.
    ///
    /// The pool is the one that it was sent to: by now its id may be another pool's, in another configuration.
    pub fn count(&self, core: &Core, pool: Option<&PoolPlan>, end: &'static str) {
        let id = pool.map(|pool| pool.id);
        if let Some(cell) = self.ends.borrow().get(&id) {
            return cell.ended(end);
        }
        let name = pool.map(|pool| &*pool.name);
        let cell = core.shared.counts.flow(core.number as usize, &self.plan.listener.name, name);
        cell.ended(end);
        self.ends.borrow_mut().insert(id, cell);
    }
}
