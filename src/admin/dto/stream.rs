//! The events of `GET /v1/stream`, beside [`EventSaid`](super::EventSaid) and [`ReloadSaid`](super::ReloadSaid).

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::dto::Override;

/// `hello`: where the stream begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hello {
    /// The program's version.
    pub version: String,
    /// Counts reloads, from 1.
    pub generation: u64,
    /// The number of the next event.
    pub next: u64,
    /// The server's clock.
    pub now: String,
}

/// `lost`: events between were forgotten; read everything anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Lost {
    /// The first that was asked for.
    pub from: u64,
    /// The first that is still known.
    pub kept: u64,
}

/// `overrides`: the orders as they are now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OverridesNow {
    /// At most a thousand.
    pub items: Vec<Override>,
    /// How many more.
    pub more: usize,
}

/// `shares`: what was answered in the last second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SharesSaid {
    /// When it ended.
    pub at: String,
    /// By region.
    pub regions: Vec<ShareSaid>,
    /// By pool.
    pub pools: Vec<ShareSaid>,
}

/// How many answers went somewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShareSaid {
    /// The region or pool.
    pub name: String,
    /// How many answers.
    pub answers: u64,
}
