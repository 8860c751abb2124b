//! The command line: one file for each verb.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

pub mod admin_socket;
pub mod check;
pub mod demo;
pub mod explain;
pub mod geo;
pub mod reload;
pub mod serve;
pub mod zone;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration, a zone or a database is wrong.
    Invalid = 3,
    /// Refused, because it would hurt.
    Refused = 4,
    /// No server answers at the admin socket.
    Unreachable = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// GeoDNS global traffic manager: steers each client to a healthy region.
#[derive(Debug, Parser)]
#[command(name = "rhumb", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server in the foreground
    Serve(serve::Args),
    /// Run everything on loopback: no root, no download
    Demo(demo::Args),
    /// Check a configuration, its zones and its databases; every problem in one run
    Check(check::Args),
    /// Read all files again and wait until queries see it
    Reload(reload::Args),
    /// Say what a client would be answered, and why
    Explain(explain::Args),
    /// Look into geo databases, or build one
    Geo(geo::Args),
    /// Check a zone's master file
    Zone(zone::Args),
}

/// Where the configuration is; every verb that reads it takes this.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = "rhumb.toml")]
    pub config: PathBuf,
}

/// Reads the command line, runs the verb, and gives its exit code.
pub fn main() -> ExitCode {
    let exit = match Cli::parse().verb {
        Verb::Serve(args) => serve::run(args),
        Verb::Demo(args) => demo::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Reload(args) => reload::run(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Geo(args) => geo::run(args),
        Verb::Zone(args) => zone::run(args),
    };
    exit.into()
}

/// Runs what waits, on as many threads as there are cores.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("the system gives threads to a program that has only begun").block_on(work)
}

/// A time as the configuration writes it: `500ms`, `15s`, `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let form = crate::config::forms::DURATION;
    (form.read)(text).map_err(|wrong| wrong.help.unwrap_or(wrong.why))
}
