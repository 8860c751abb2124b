//! Where the load of a pool is read, and from which load on its clients are sent elsewhere.

use std::path::PathBuf;
use std::time::Duration;

/// `load` of a `[pool.*]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFeedback {
    /// Documents of headroom that other processes publish, `https://10.0.0.1:8853/v1/headroom`; without any, what this
    /// process's own listeners have in hand.
    pub urls: Vec<String>,
    /// What is looked for in the documents.
    pub of: LoadOf,
    /// Up to this load, in per cent of the capacity, every client is served where it belongs.
    pub low_percent: u32,
    /// The load at which every client that can be is sent elsewhere; above `low_percent`.
    pub high_percent: u32,
    /// Time between readings.
    pub interval: Duration,
    /// A file with the token that is shown to whoever publishes.
    pub token_file: Option<PathBuf>,
    /// Whether certificates must chain to a trusted root and carry the name.
    pub verify: bool,
    /// A PEM file of the roots to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Whose load it is, by the names that the publisher has for them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LoadOf {
    /// Of all pools of a region.
    Region(String),
    /// Of one pool.
    Pool(String),
}

impl std::fmt::Display for LoadOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadOf::Region(name) => write!(f, "region/{name}"),
            LoadOf::Pool(name) => write!(f, "pool/{name}"),
        }
    }
}

impl LoadFeedback {
    /// Readings are believed for so many intervals: one that is lost changes nothing, and two do not either.
    pub const BELIEVED_FOR: u32 = 3;

    /// The load up to which nobody is sent elsewhere, as a part of the capacity.
    pub fn low(&self) -> f64 {
        f64::from(self.low_percent) / 100.0
    }

    /// The load at which everybody is, as a part of the capacity.
    pub fn high(&self) -> f64 {
        f64::from(self.high_percent) / 100.0
    }

    /// How old a reading may be.
    pub fn believed_for(&self) -> Duration {
        self.interval * Self::BELIEVED_FOR
    }
}
