//! `[query_log]` as it was written.

use std::path::PathBuf;

use crate::config::codes;
use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::fields::Words;
use crate::config::fields::wrong_type;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::model::ClientShown;
use crate::model::QueryLogFormat;

/// More lines a second than one thread writes.
const RATE_MAX: u64 = 1_000_000;

const FORMATS: Words<QueryLogFormat> =
    Words { words: &[("text", QueryLogFormat::Text), ("json", QueryLogFormat::Json)], later: &[] };
const CLIENTS: Words<ClientShown> = Words {
    words: &[("prefix", ClientShown::Prefix), ("full", ClientShown::Full), ("none", ClientShown::None)],
    later: &[],
};

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
            sample: sample(reports, &mut fields),
            format: fields.word(reports, "format", &FORMATS),
            client: fields.word(reports, "client", &CLIENTS),
            rate_max: fields.integer(reports, "rate_max", 1..=RATE_MAX),
        };
        fields.finish(reports, &[]);
        log
    }
}

/// A share: `0.01`, `1`, `"1/100"` or `"1%"`.
fn sample(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<f64> {
    let value = fields.any("sample")?;
    let share = match &value.value {
        Value::Float(number) => *number,
        Value::Integer(number) => *number as f64,
        Value::Text(text) => read_share(text).unwrap_or(f64::NAN),
        other => {
            let help = Some("write `sample = 0.01` or `sample = \"1/100\"`".to_owned());
            wrong_type(reports, value.span, "`sample`", "a share of the queries", other, help);
            return None;
        }
    };
    if share > 0.0 && share <= 1.0 {
        return Some(share);
    }
    let fact = "`sample` is no share of the queries: it takes what is above 0 and at most 1";
    let help = "write `sample = 0.01` or `sample = \"1/100\"`; leave [query_log] out to log nothing".to_owned();
    reports.error(codes::RANGE, value.span, fact).label("out of range").help(help);
    None
}

fn read_share(text: &str) -> Option<f64> {
    if let Some((part, whole)) = text.split_once('/') {
        return Some(part.trim().parse::<f64>().ok()? / whole.trim().parse::<f64>().ok()?);
    }
    match text.trim().strip_suffix('%') {
        Some(percent) => Some(percent.trim_end().parse::<f64>().ok()? / 100.0),
        None => text.trim().parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_written_as_people_write_them() {
        for (text, share) in [("1/100", 0.01), ("0.5", 0.5), ("5%", 0.05), (" 1 / 4 ", 0.25), ("1", 1.0)] {
            assert!((read_share(text).unwrap() - share).abs() < 1e-12, "{text}");
        }
        for text in ["", "x", "1/x", "%", "one in ten"] {
            assert_eq!(read_share(text), None, "{text}");
        }
    }
}
