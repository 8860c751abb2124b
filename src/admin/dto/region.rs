//! Regions.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::dto::Override;
use crate::admin::dto::Tail;

/// A place where we run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Region {
    /// `eu-west`.
    pub name: String,
    /// What people call it, `Frankfurt`.
    pub label: String,
    /// Degrees north and east.
    pub location: Option<[f64; 2]>,
    /// Whether any pool of it is answered.
    pub up: bool,
    /// How many of its pools are answered.
    pub pools_up: u32,
    /// How many pools it has.
    pub pools: u32,
    /// How many of its endpoints may be answered, orders considered.
    pub endpoints_up: u32,
    /// How many endpoints it has.
    pub endpoints: u32,
    /// The order in force for the whole region: `drain`, `maint`, `forced-up`, `forced-down`.
    pub order: Option<String>,
    /// Every order for the region itself, planned ones too.
    pub overrides: Vec<Override>,
    /// Who still comes to its listeners here; absent when it is not drained, and where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
}
