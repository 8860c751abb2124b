//! `[query_log]` as it was written.

use std::path::PathBuf;

use crate::config::fields::Fields;
use crate::config::fields::Words;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::config::spec::quantities::share;
use crate::model::ClientShown;
use crate::model::QueryLogFormat;

/// More lines a second than one thread writes.
const RATE_MAX: u64 = 1_000_000;

const FORMATS: Words<QueryLogFormat> =
    Words { words: &[("text", QueryLogFormat::Text), ("json", QueryLogFormat::Json)] };
/// How much of a client's address is written.
pub const CLIENTS: Words<ClientShown> =
    Words { words: &[("prefix", ClientShown::Prefix), ("full", ClientShown::Full), ("none", ClientShown::None)] };

/// `[query_log]`.
#[derive(Debug)]
pub struct QueryLog {
    /// Where it is written; standard error when absent.
    pub file: Option<Written<PathBuf>>,
    /// The share of queries.
    pub sample: Option<f64>,
    /// `text` or `json`.
    pub format: Option<Written<QueryLogFormat>>,
    /// `prefix`, `full` or `none`.
    pub client: Option<Written<ClientShown>>,
    /// Lines a second.
    pub rate_max: Option<Written<u64>>,
}

impl QueryLog {
    /// Reads `[query_log]`.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> QueryLog {
        let log = QueryLog {
            file: fields.path(reports, "file"),
            sample: share(reports, &mut fields, "sample", "the queries", "leave [query_log] out to log nothing"),
            format: fields.word(reports, "format", &FORMATS),
            client: fields.word(reports, "client", &CLIENTS),
            rate_max: fields.integer(reports, "rate_max", 1..=RATE_MAX),
        };
        fields.finish(reports);
        log
    }
}
