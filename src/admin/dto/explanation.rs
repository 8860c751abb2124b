//! What a client would be answered, step by step, as `explain` tells it.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use super::RequestSaid;

/// `GET /v1/explain`: what a client would be answered, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The name asked for, absolute.
    pub name: String,
    /// The type asked for.
    #[serde(rename = "type")]
    pub rtype: String,
    /// Whose place counts.
    pub client: ClientSaid,
    /// How the VIP decided; absent when no VIP answers this name and type.
    pub decision: Option<DecisionSaid>,
    /// The answer on the wire.
    pub answer: AnswerSaid,
    /// What becomes of the request, when a URL was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestSaid>,
}

/// The client of an explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClientSaid {
    /// `81.2.69.0/24`; absent when the client was placed by hand.
    pub prefix: Option<String>,
    /// Where it was taken from: `--client`, `--geo`, `--at`.
    pub from: String,
}

/// Every step of a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionSaid {
    /// The VIP, which is the end of a CNAME chain or a wildcard when it is not the name asked for.
    pub vip: String,
    /// `geolocation`, `geoproximity`…
    pub policy: String,
    /// Step 1.
    pub locate: LocateSaid,
    /// Step 2, `geolocation`: the rules tried.
    pub rules: Vec<RuleSaid>,
    /// Step 2, `geoproximity` and `latency`: the pools as the place orders them.
    pub order: Vec<OrderSaid>,
    /// Step 2, pools that share by weight: the draw.
    pub drawn: Option<DrawSaid>,
    /// Step 3: the pools looked at.
    pub pools: Vec<PoolSaid>,
    /// What `when_all_down` said, when it was asked.
    pub all_down: Option<String>,
    /// Step 4: how the endpoints were chosen, in words.
    pub chosen_by: String,
    /// Step 4: the endpoints, in order.
    pub endpoints: Vec<String>,
    /// Seconds.
    pub ttl: u32,
    /// What bounds the TTL, in words.
    pub ttl_because: String,
    /// What would be answered if the pool used failed.
    pub next: Option<NextSaid>,
}

/// Where a client is, and who says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LocateSaid {
    /// A database's file name, a custom network's name, or how it was placed by hand; absent when nobody knows.
    pub source: Option<String>,
    /// When that database was built, `2026-11-18`.
    pub built: Option<String>,
    /// The largest network around the client that is in the same place.
    pub network: Option<String>,
    /// `EU-GB`.
    pub geo: Option<String>,
    /// Degrees north and east.
    pub location: Option<[f64; 2]>,
    /// The autonomous system.
    pub asn: Option<u32>,
}

/// A rule that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleSaid {
    /// Its number, from 1.
    pub number: usize,
    /// Its conditions, `geos EU AF`.
    pub conditions: String,
    /// Whether it matched.
    pub matched: bool,
    /// What of it matched.
    pub by: String,
    /// Where it was written, `rhumb.toml:58`.
    pub place: Option<String>,
}

/// A pool as a place orders it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderSaid {
    /// The pool.
    pub pool: String,
    /// Great-circle distance.
    pub km: Option<f64>,
    /// The same after its bias.
    pub biased_km: Option<f64>,
    /// By the latency table.
    pub milliseconds: Option<f64>,
}

/// A draw by weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrawSaid {
    /// Pools and weights.
    pub members: Vec<(String, u32)>,
    /// The one drawn.
    pub chosen: String,
    /// The network that drew it.
    pub key: String,
    /// How many seconds it keeps what it drew; for good when absent.
    pub seconds: Option<u32>,
}

/// A pool that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolSaid {
    /// The pool.
    pub pool: String,
    /// Its region.
    pub region: String,
    /// How many of its endpoints are up.
    pub healthy: u32,
    /// How many it has.
    pub endpoints: u32,
    /// How many it needs.
    pub min_healthy: u32,
    /// Whether the answer comes from it.
    pub used: bool,
    /// Why, in words: `first choice`, `down`, `drained`.
    pub because: String,
    /// Its endpoints that failing requests took out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ejected: Vec<EjectedSaid>,
    /// Its endpoints that are up and have nobody behind them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedSaid>,
}

/// An endpoint that failing requests took out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EjectedSaid {
    /// `eu-web/192.0.2.10`.
    pub endpoint: String,
    /// Whether it may be answered all the same, because the VIP has no other pool that is up.
    pub answered: bool,
    /// Why, and for how long still: `5 failures in a row (connect refused), back in 8 s`.
    pub why: String,
}

/// An endpoint that is a listener of this configuration, of which nothing behind is up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlockedSaid {
    /// `eu-web/192.0.2.10`.
    pub endpoint: String,
    /// `listener edge-eu has nobody to send to: eu-app 0 of 2 up`.
    pub why: String,
}

/// What would be answered if the pool used failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NextSaid {
    /// The pool that fails.
    pub if_fails: String,
    /// The pool that would answer.
    pub pool: Option<String>,
    /// Its endpoints.
    pub endpoints: Vec<String>,
}

/// The answer on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnswerSaid {
    /// `NOERROR`, `NXDOMAIN`…; `none` when the host of a URL is an address, for which nobody asks.
    pub rcode: String,
    /// Whether the server is authoritative for it.
    pub authoritative: bool,
    /// The answer section, in presentation form.
    pub records: Vec<String>,
    /// The ECS scope returned, if any.
    pub scope: Option<u8>,
}
