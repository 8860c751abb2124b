//! `rhumb schema`: what editors and other programs check a configuration by.
//!
//! The document is written by hand, because what it is for is its words; `tests/schema.rs` asks the parser for its keys,
//! words and ranges and holds the document to them.

use crate::admin::openapi;
use crate::cmd::Exit;
use crate::cmd::terminal;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// config: JSON schema (2020-12) of rhumb.toml; api: OpenAPI document, which describes what --json prints
    #[arg(value_enum, value_name = "WHAT", default_value = "config", hide_possible_values = true)]
    of: Of,
}

const AFTER: &str = "\
Examples:
  rhumb schema > rhumb.schema.json
  rhumb schema api | jq .components.schemas.Status

Editors that use taplo check and explain a configuration whose first line is
  #:schema ./rhumb.schema.json";

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Of {
    /// The configuration, as JSON schema 2020-12
    Config,
    /// The admin API, as OpenAPI 3.1: what --json prints, and what can be asked over HTTP
    Api,
}

/// The JSON schema (2020-12) of the configuration.
pub const CONFIG: &str = include_str!("config.json");

/// Runs it.
pub fn run(args: Args) -> Exit {
    match args.of {
        Of::Config => terminal::print(CONFIG),
        Of::Api => terminal::print_json(openapi::document()),
    };
    Exit::Done
}
