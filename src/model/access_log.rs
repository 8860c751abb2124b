//! The access log: which requests are written down, where, and how.

use std::path::PathBuf;

use super::ClientShown;

/// `[access_log]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLogSettings {
    /// The file it is appended to; standard error when absent.
    pub file: Option<PathBuf>,
    /// The share of requests that are written, chosen at random: above 0, at most 1. Failures (5xx, broken off) always are.
    pub sample: f64,
    /// How a line looks.
    pub format: AccessLogFormat,
    /// How much of the client's address is written.
    pub client: ClientShown,
    /// Lines a second at most; what is beyond is counted and not written.
    pub rate_max: u32,
}

impl Default for AccessLogSettings {
    fn default() -> Self {
        AccessLogSettings {
            file: None,
            sample: 1.0,
            format: AccessLogFormat::Text,
            client: ClientShown::Full,
            rate_max: 100_000,
        }
    }
}

/// How a line of the access log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLogFormat {
    /// `name=value` with spaces between.
    #[default]
    Text,
    /// One JSON object.
    Json,
}
