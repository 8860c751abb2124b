//! VIPs.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// A DNS name whose answer is chosen per client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Vip {
    /// `www.example.com.`.
    pub name: String,
    /// `geolocation`, `geoproximity`, `latency`, `weighted`, `hash`, `failover`.
    pub policy: String,
    /// The longest TTL of an answer, in seconds.
    pub ttl: u32,
    /// The shortest, in seconds.
    pub min_ttl: u32,
    /// At most this many records in an answer.
    pub answers: u8,
    /// `all`, `nodata`, `servfail` or `pool:NAME`.
    pub when_all_down: String,
    /// Whether any of its pools is answered.
    pub up: bool,
    /// The pools its policy names, each once, in the order written; fallbacks not among them.
    pub pools: Vec<VipPool>,
    /// Where it was written: `rhumb.toml:58`.
    pub place: Option<String>,
}

/// A pool of a VIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VipPool {
    /// The pool.
    pub pool: String,
    /// Its region.
    pub region: String,
    /// Whether it is answered.
    pub up: bool,
    /// Its part of the VIP's recent answers; absent when none were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}
