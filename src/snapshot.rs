//! A [`Model`] compiled: what is served until the next reload.

use std::sync::Arc;

use crate::model::Model;
use crate::steering::Plan;
use crate::zone::zones::Zones;

/// Configuration, zones and geo tables, compiled for queries; immutable.
#[derive(Debug)]
pub struct Snapshot {
    /// What was meant.
    pub model: Arc<Model>,
    /// What `steering::decide` reads.
    pub plan: Plan,
    /// What is answered as written, and which names are VIPs.
    pub zones: Zones,
}
