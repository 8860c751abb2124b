//! Where each country is sent.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// `GET /v1/map`: where a VIP sends each country now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MapSaid {
    /// Counts reloads, from 1.
    pub generation: u64,
    /// The VIP.
    pub vip: String,
    /// `A` or `AAAA`.
    #[serde(rename = "type")]
    pub rtype: String,
    /// Every country that a database or a custom network knows, by code.
    pub countries: Vec<CountrySaid>,
    /// Where clients go of whom nothing is known.
    pub elsewhere: Vec<DestinationSaid>,
}

/// A country and where its clients go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CountrySaid {
    /// ISO 3166-1 alpha-2: `DE`.
    pub country: String,
    /// `EU`.
    pub continent: String,
    /// The pools, the largest share first; empty when its clients get no address.
    pub to: Vec<DestinationSaid>,
}

/// A pool that clients are sent to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DestinationSaid {
    /// Its region.
    pub region: String,
    /// The pool.
    pub pool: String,
    /// What part of the country's places go there: of its addresses where a database tells towns apart, and by weight
    /// where pools share.
    pub share: f64,
}
