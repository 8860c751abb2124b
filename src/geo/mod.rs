//! Where clients are: databases, places, distances, and the prefix table with its exact scope.
//!
//! ```text
//! database   bytes of one MaxMind-format file -> runs of addresses, each with a place
//! atlas      all databases and custom networks merged: address -> place
//! latency    measured latencies, by network or place
//! table      address -> class and leaf depth; what queries read
//! convert    another layout -> the country database that ships
//! ```
//!
//! Nothing here knows pools or health; `steering` says what a place means for a VIP.

pub mod atlas;
pub mod convert;
pub mod country;
pub mod database;
pub mod distance;
pub mod latency;
pub mod place;
mod record;
pub mod runs;
pub mod table;
