//! A stretch of a list.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// A stretch of a list; `next` asks for what follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// Which configuration this is of: counts reloads, from 1. Cursors are good for one generation.
    pub generation: u64,
    /// The items, in the order of the configuration (events: oldest first).
    pub items: Vec<T>,
    /// What to give as `after` for the rest; absent when this is the end. For events: the number to give as `from`
    /// for what comes later, always there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
