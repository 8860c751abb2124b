//! `[access_log]` as it was written.

use std::path::PathBuf;

use crate::config::fields::Fields;
use crate::config::fields::Words;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::config::spec::quantities::share;
use crate::config::spec::query_log::CLIENTS;
use crate::model::AccessLogFormat;
use crate::model::ClientShown;

/// More lines a second than one thread writes.
const RATE_MAX: u64 = 1_000_000;

const FORMATS: Words<AccessLogFormat> =
    Words { words: &[("text", AccessLogFormat::Text), ("json", AccessLogFormat::Json)] };

/// `[access_log]`.
#[derive(Debug)]
pub struct AccessLog {
    /// Where it is written; standard error when absent.
    pub file: Option<Written<PathBuf>>,
    /// The share of requests.
    pub sample: Option<f64>,
    /// `text` or `json`.
    pub format: Option<Written<AccessLogFormat>>,
    /// `prefix`, `full` or `none`.
    pub client: Option<Written<ClientShown>>,
    /// Lines a second.
    pub rate_max: Option<Written<u64>>,
}

impl AccessLog {
    /// Reads `[access_log]`.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> AccessLog {
        let log = AccessLog {
            file: fields.path(reports, "file"),
            sample: share(reports, &mut fields, "sample", "the requests", "leave [access_log] out to log nothing"),
            format: fields.word(reports, "format", &FORMATS),
            client: fields.word(reports, "client", &CLIENTS),
            rate_max: fields.integer(reports, "rate_max", 1..=RATE_MAX),
        };
        fields.finish(reports);
        log
    }
}
