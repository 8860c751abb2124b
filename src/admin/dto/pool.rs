//! Pools and their endpoints.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::dto::Override;
use crate::admin::dto::Tail;

/// Endpoints of one region that serve the same thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// `eu-web`.
    pub name: String,
    /// The region it is in.
    pub region: String,
    /// Whether it is answered.
    pub up: bool,
    /// What counts, orders for the pool and its region considered: `up`, `down`, `drain`, `maint`, `forced-up`,
    /// `forced-down`.
    pub effective: String,
    /// The order in force, of the pool or of its region.
    pub order: Option<String>,
    /// Whose order that is: `pool/eu-web` or `region/eu-west`.
    pub order_of: Option<String>,
    /// How many of its endpoints may be answered.
    pub healthy: u32,
    /// How many it has.
    pub endpoints: u32,
    /// Fewer than this: the pool is down.
    pub min_healthy: u32,
    /// How its endpoints are probed; absent when nothing probes them.
    pub check: Option<String>,
    /// How endpoints are chosen: `weighted`, `hash`…
    pub balance: String,
    /// Where its clients go when it is down.
    pub fallback: Option<String>,
    /// How loaded it is, and who is sent elsewhere for it; absent where nothing says where its load is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// Every order for the pool itself, planned ones too.
    pub overrides: Vec<Override>,
    /// Who still comes to its listeners here; absent when it is not drained, and where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
    /// Its endpoints; only where one pool was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Endpoint>>,
    /// The VIPs that may answer from it, at most a hundred; only where one pool was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vips: Option<Vec<String>>,
}

/// How loaded a pool is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Load {
    /// As last read, as a part of the capacity; absent while it is not known.
    pub load: Option<f64>,
    /// The part of its clients that is sent elsewhere.
    pub shed: f64,
    /// Up to this load nobody is.
    pub low: f64,
    /// From this load on everybody is who can be.
    pub high: f64,
    /// Where it is read, `this process` or addresses of documents.
    pub sources: Vec<String>,
}

/// One address, member of a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// Pool and address, as orders name it: `eu-web/192.0.2.10`.
    pub name: String,
    /// Its pool.
    pub pool: String,
    /// Its region.
    pub region: String,
    /// Its address.
    pub address: String,
    /// The port that probes use when the check names none.
    pub port: Option<u16>,
    /// Whether it may be answered now, as far as it is concerned; its pool may still be down or drained.
    pub up: bool,
    /// What probes find: `up`, `down`, `unknown`.
    pub observed: String,
    /// The order in force, of the endpoint, its pool or its region: `drain`, `maint`, `forced-up`, `forced-down`.
    pub order: Option<String>,
    /// Whose order that is: `endpoint/eu-web/192.0.2.10`, `pool/eu-web` or `region/eu-west`.
    pub order_of: Option<String>,
    /// Why a proxy sends it no requests; absent when none has failed too often. `up` with it: it counts as up all the same,
    /// by an order, or because a VIP has no other pool that is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected: Option<Ejected>,
    /// Why it cannot serve although it is up: it is a listener of this configuration, and nothing behind that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// What counts of all: the order's word, or `up`, `down`, `unknown`, `blocked`, `ejected`.
    pub effective: String,
    /// Since when `observed` is so.
    pub since: String,
    /// The last probe; absent when none has ended, or nothing probes it.
    pub last: Option<LastProbe>,
    /// Its share in the pool.
    pub weight: Weight,
    /// Every order for the endpoint itself, planned ones too.
    pub overrides: Vec<Override>,
}

/// An endpoint whose requests fail, and which rests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ejected {
    /// Why: `5 failures in a row (connect refused)`.
    pub reason: String,
    /// Since when.
    pub since: String,
    /// When a request is to try it.
    pub until: String,
    /// Reason and time left in words: `5 failures in a row (connect refused), back in 8 s`.
    pub words: String,
}

/// The last probe of an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LastProbe {
    /// Whether it passed.
    pub passed: bool,
    /// Where it ended, as HAProxy has it: `L7OK`, `L4CON`.
    pub code: String,
    /// The same in words: `connection refused`, `status 503`.
    pub words: String,
    /// How long it took.
    pub milliseconds: f64,
    /// When it ended.
    pub at: String,
    /// How many in a row, with this one, came to the same verdict.
    pub in_a_row: u32,
}

/// A weight, as written and as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Weight {
    /// As the configuration has it.
    pub configured: u32,
    /// As it counts: an operator's, if one is in force.
    pub effective: u32,
}
