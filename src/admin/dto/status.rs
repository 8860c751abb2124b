//! One screen about everything.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::dto::Endpoint;
use crate::admin::dto::Load;
use crate::admin::dto::Override;
use crate::admin::dto::Region;
use crate::admin::dto::ReloadSaid;
use crate::admin::dto::Tail;

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// Counts reloads, from 1.
    pub generation: u64,
    /// Whether the first round of probes is over.
    pub ready: bool,
    /// When the process started.
    pub started: String,
    /// The server's clock, which every other time is by.
    pub now: String,
    /// The configuration.
    pub config: ConfigStatus,
    /// Why the server suspects itself and not the world; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspicion: Option<Suspicion>,
    /// How much there is of everything.
    pub counts: Counts,
    /// Every region.
    pub regions: Vec<Region>,
    /// Endpoints whose probes fail.
    pub trouble: Trouble,
    /// Endpoints that proxies send no requests, because they fail.
    #[serde(default)]
    pub ejected: Trouble,
    /// Pools that send clients elsewhere for their load, or whose load is not known, at most twenty.
    #[serde(default)]
    pub loaded: Vec<LoadedPool>,
    /// How many more.
    #[serde(default)]
    pub loaded_more: usize,
    /// The orders in force or planned, at most a hundred.
    pub overrides: Vec<Override>,
    /// How many orders more.
    pub overrides_more: usize,
    /// Who still comes to what was drained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tails: Vec<Tail>,
    /// Queries; absent when they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<Queries>,
}

/// The configuration in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigStatus {
    /// The main file.
    pub file: String,
    /// How the last reload ended; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<ReloadSaid>,
}

/// Nearly everything failed at once: standings are held until it is clear whose fault that is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Suspicion {
    /// Since when.
    pub since: String,
    /// What was found, in words.
    pub reason: String,
}

/// How much there is of everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// VIPs.
    pub vips: usize,
    /// VIPs of which no pool is answered.
    pub vips_down: usize,
    /// Zones.
    pub zones: usize,
    /// Pools.
    pub pools: PoolCounts,
    /// Endpoints.
    pub endpoints: EndpointCounts,
}

/// Pools by what counts of them; each is in one of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolCounts {
    /// All.
    pub total: usize,
    /// Answered.
    pub up: usize,
    /// Too few endpoints are up, or forced down.
    pub down: usize,
    /// Drained or out for maintenance, themselves or by their region.
    pub withdrawn: usize,
}

/// Endpoints by what probes find, and how many are under orders of their own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointCounts {
    /// All.
    pub total: usize,
    /// Found up.
    pub up: usize,
    /// Found down.
    pub down: usize,
    /// No probe has ended yet.
    pub unknown: usize,
    /// Under an order of their own, among all of these.
    pub ordered: usize,
    /// Sent no requests because they fail, among all of these.
    #[serde(default)]
    pub ejected: usize,
}

/// Endpoints that fail, those that turned last first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// At most twenty.
    pub items: Vec<Endpoint>,
    /// How many more.
    pub more: usize,
}

/// A pool in [`Status`] whose load matters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadedPool {
    /// The pool.
    pub pool: String,
    /// Its region.
    pub region: String,
    /// How loaded it is, and what follows.
    pub load: Load,
}

/// Queries since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Queries {
    /// How many were answered.
    pub total: u64,
    /// How many each second, over the last seconds.
    pub per_second: f64,
}
