//! Events: what turned, when and why.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// One standing that turned, a reload, or what the server found of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventSaid {
    /// Counts events since the start, from 0.
    pub number: u64,
    /// When.
    pub at: String,
    /// `endpoint`, `pool`, `region`, `config` or `server`.
    pub kind: String,
    /// `eu-web/192.0.2.10`, `eu-web`, `eu-west`; the file's name for `config`.
    pub name: String,
    /// The former standing.
    pub from: String,
    /// The new one.
    pub to: String,
    /// How many probes in a row brought it about; 0 where no probe did.
    pub after: u32,
    /// Why: the last probe's code and words, or an operator's.
    pub reason: String,
    /// What counts now, orders considered.
    pub effective: String,
}
