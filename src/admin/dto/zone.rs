//! Zones.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// A zone that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Zone {
    /// `example.com.`.
    pub name: String,
    /// The serial of its SOA record.
    pub serial: u32,
    /// How many records it holds.
    pub records: u64,
    /// How many names it holds, those between included.
    pub names: u64,
    /// The master file.
    pub file: Option<String>,
}
