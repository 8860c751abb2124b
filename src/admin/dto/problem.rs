//! Failures, and problems of files.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Problem;
use crate::model::Severity;

/// A failure (RFC 9457): `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ProblemSaid {
    /// What kind of failure, as a stable word behind `urn:rhumb:problem:`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// The kind in words.
    pub title: String,
    /// This failure in words, with the way out.
    pub detail: String,
    /// What is wrong with the request, one by one (RFC 9457 section 3.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorSaid>,
    /// What is wrong with the files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ConfigProblem>,
    /// VIPs that an order would leave without a healthy pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vips: Vec<String>,
    /// How many VIPs more.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
}

impl ProblemSaid {
    /// The stable word of [`ProblemSaid::kind`]: `unsafe`, `override`.
    pub fn word(&self) -> &str {
        self.kind.strip_prefix("urn:rhumb:problem:").unwrap_or(&self.kind)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorSaid {
    /// What, in words.
    pub detail: String,
    /// Where in the body (RFC 6901): `/until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Which key of the query string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
}

/// A problem of a file, with the keys of `rhumb check --format json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigProblem {
    /// A stable code: `E0101`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// The file as the operator named it.
    pub file: Option<String>,
    /// From 1; absent when the whole file is meant.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// How many characters.
    pub width: Option<u32>,
    /// What is wrong.
    pub fact: String,
    /// A few words for the marked spot.
    pub label: Option<String>,
    /// The way out.
    pub help: Option<String>,
}

impl From<&Problem> for ConfigProblem {
    fn from(problem: &Problem) -> Self {
        let place = problem.place.as_ref();
        ConfigProblem {
            code: problem.code.to_owned(),
            severity: if problem.severity == Severity::Error { "error" } else { "warning" }.to_owned(),
            file: place.map(|place| place.file.to_string_lossy().into_owned()),
            line: place.map(|place| place.line).filter(|line| *line > 0),
            column: place.map(|place| place.column).filter(|column| *column > 0),
            width: place.map(|place| place.width).filter(|width| *width > 0),
            fact: problem.fact.clone(),
            label: problem.label.clone(),
            help: problem.help.clone(),
        }
    }
}

impl fmt::Display for ConfigProblem {
    /// One line: `rhumb.toml:11:33: error[E0101]: fact; help`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            let numbers = self.line.into_iter().chain(self.line.and(self.column));
            numbers.into_iter().try_for_each(|number| write!(f, "{number}:"))?;
            f.write_str(" ")?;
        }
        write!(f, "{}[{}]: {}", self.severity, self.code, self.fact)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}
