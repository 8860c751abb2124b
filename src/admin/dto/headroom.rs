//! What regions and pools have in hand.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// `GET /v1/headroom`: what this process's listeners have in hand, and how much is borne.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Headroom {
    /// When this was so.
    pub now: String,
    /// Counts reloads, from 1.
    pub generation: u64,
    /// Regions with pools that requests are sent to.
    pub regions: Vec<Room>,
    /// Those pools.
    pub pools: Vec<Room>,
}

/// What one region or pool has in hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Room {
    /// Its name.
    pub name: String,
    /// Requests at endpoints; connections where those are forwarded as they are.
    pub in_flight: u64,
    /// Requests that wait for an endpoint.
    pub queue: u64,
    /// The most that may be at endpoints at once: what those bear that are up.
    pub capacity: u64,
    /// What is at endpoints and waits, as a part of the capacity; above 1 where more wait than there is room for.
    pub load: f64,
}
