//! A snapshot and the health table made for it, published together so that they always agree.

use std::sync::Arc;

use crate::health::table::HealthTable;
use crate::snapshot::Snapshot;

/// What a query or request loads once, decides on, and lets go.
#[derive(Debug, Clone)]
pub struct World {
    /// Configuration, zones and geo tables.
    pub snapshot: Arc<Snapshot>,
    /// Every belief of this moment, by the snapshot's ids.
    pub health: HealthTable,
    /// Counts reloads, from 1.
    pub generation: u64,
}
