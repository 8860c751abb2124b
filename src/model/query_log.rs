//! The query log: which queries are written down, where, and how much of whom asked.

use std::path::PathBuf;

/// `[query_log]`.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryLogSettings {
    /// The file it is appended to; standard error when absent.
    pub file: Option<PathBuf>,
    /// The share of queries that are written, chosen at random: above 0, at most 1.
    pub sample: f64,
    /// How a line looks.
    pub format: QueryLogFormat,
    /// How much of the client's address is written.
    pub client: ClientShown,
    /// Lines a second at most; what is beyond is counted and not written.
    pub rate_max: u32,
}

impl Default for QueryLogSettings {
    fn default() -> Self {
        QueryLogSettings {
            file: None,
            sample: 0.01,
            format: QueryLogFormat::Text,
            client: ClientShown::Prefix,
            rate_max: 1000,
        }
    }
}

/// How a line of the query log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryLogFormat {
    /// `name=value` with spaces between.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// How much of a client's address is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientShown {
    /// Its /24 or /56: what answers depend on, and nobody's person.
    #[default]
    Prefix,
    /// All of it.
    Full,
    /// Nothing, nor its Client Subnet.
    None,
}
