//! Reloads and checks of files.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::dto::ConfigProblem;

/// `POST /v1/reload`, done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// What queries see now; with `wait=false`, what they saw before.
    pub generation: u64,
}

/// How a reload ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReloadSaid {
    /// When.
    pub at: String,
    /// Whether it is what queries see now; else the running configuration is unchanged.
    pub ok: bool,
    /// What queries see now.
    pub generation: u64,
    /// What it was for: `asked by ada`, `SIGHUP`, `zones/example.com.zone has changed`.
    pub by: String,
    /// Everything that was wrong.
    pub problems: Vec<ConfigProblem>,
}

/// `POST /v1/config/check`: what a reload would find.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChecked {
    /// Whether it could be served.
    pub ok: bool,
    /// The file.
    pub file: String,
    /// Everything that is wrong, and the warnings.
    pub problems: Vec<ConfigProblem>,
    /// How many cannot be served.
    pub errors: usize,
    /// How many are probably not as meant.
    pub warnings: usize,
    /// The last line of `rhumb check`.
    pub summary: String,
}
