//! The command line: one file for each verb.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub mod check;
pub mod completions;
pub mod demo;
pub mod diff;
pub mod events;
pub mod explain;
pub mod geo;
pub mod get;
pub mod help;
pub mod man;
pub mod order;
pub mod reload;
pub mod remote;
pub mod schema;
pub mod serve;
pub mod simulate;
pub mod status;
pub mod terminal;
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
#[command(name = "rhumb", version, disable_help_subcommand = true)]
pub struct Cli {
    /// Colour what is printed: auto, always or never
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    #[arg(hide_possible_values = true, display_order = 1000)]
    color: terminal::Colour,
    #[command(subcommand)]
    verb: Verb,
}

// What stands under which heading of `rhumb --help` is said in `help`.
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
    /// One screen: whether all is well, and what is not, why and since when
    Status(status::Args),
    /// List VIPs, pools, endpoints, regions, zones, orders or sockets
    Get(get::Args),
    /// What turned, when and why
    Events(events::Args),
    /// Say what a client would be answered, and why
    Explain(explain::Args),
    /// Send new clients elsewhere; probes go on
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain(order::Withdraw),
    /// Take out for maintenance; what probes find is of no interest
    #[command(after_help = MAINT_EXAMPLES)]
    Maint(order::Withdraw),
    /// Count something as up or down, whatever probes find
    #[command(after_help = FORCE_EXAMPLES)]
    Force(order::Force),
    /// Give an endpoint another weight than the configuration's
    #[command(after_help = WEIGHT_EXAMPLES)]
    Weight(order::Weigh),
    /// End what was ordered: drain, maint or a forced state
    #[command(after_help = UNDRAIN_EXAMPLES)]
    Undrain(order::Undrain),
    /// Say what a reload would change, and whose answers would move
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(diff::Args),
    /// Say which region bears how much if one fails, and who is overloaded then
    #[command(after_help = SIMULATE_EXAMPLES)]
    Simulate(simulate::Args),
    /// Look into geo databases, or build one
    Geo(geo::Args),
    /// Check a zone's master file
    Zone(zone::Args),
    /// Print what completes these commands in a shell
    Completions(completions::Args),
    /// Print the manual, or write a page for each command
    Man(man::Args),
    /// Print the JSON schema of the configuration, or the API's OpenAPI document
    Schema(schema::Args),
}

const DIFF_EXAMPLES: &str = "\
Exit code 0 with or without differences, 3 when a reload would be refused.

Examples:
  rhumb diff                                   the running server's files against what it serves
  rhumb diff --impact                          and whose answers would move, given what is up now
  rhumb diff --from old.toml -c new.toml       two files, everything taken to be up";
const SIMULATE_EXAMPLES: &str = "\
A line of a demand file is `CIDR-or-place weight [VIP]`: `192.0.2.0/24 120`,
`EU-DE 4000`, `* 10` for everywhere else. Weights and the `capacity` of regions
are in one unit, whichever. The server sheds nothing by capacity.

Examples:
  rhumb simulate                               each region out in turn, by address space
  rhumb simulate --down region/eu-west --demand demand.txt
  rhumb simulate --drain pool/eu-web --vip www.example.com --live";
const DRAIN_EXAMPLES: &str = "\
Exit code 4: refused, because it would leave a VIP without a healthy pool.

Examples:
  rhumb drain region/eu-west --for 30m --reason 'kernel update'
  rhumb drain pool/eu-web --in 10m             clients are gone when it begins
  rhumb drain endpoint/eu-web/192.0.2.10
  rhumb undrain region/eu-west";
const MAINT_EXAMPLES: &str = "\
Examples:
  rhumb maint endpoint/eu-web/192.0.2.10 --for 2h --reason 'disk replaced'
  rhumb undrain endpoint/eu-web/192.0.2.10";
const FORCE_EXAMPLES: &str = "\
Examples:
  rhumb force pool/eu-web down --for 10m       a rehearsal
  rhumb force endpoint/eu-web/192.0.2.10 up    its probe is broken, it is not
  rhumb force endpoint/eu-web/192.0.2.10 auto";
const WEIGHT_EXAMPLES: &str = "\
Examples:
  rhumb weight endpoint/eu-web/192.0.2.10 5 --for 1h
  rhumb weight endpoint/eu-web/192.0.2.10 0    only when every other is gone
  rhumb weight endpoint/eu-web/192.0.2.10 auto";
const UNDRAIN_EXAMPLES: &str = "\
It is no mistake to end what was not ordered. A weight is ended by
`rhumb weight ENDPOINT auto`.

Examples:
  rhumb undrain region/eu-west";

/// Where the configuration is; every verb that reads it takes this.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = "rhumb.toml", env = "RHUMB_CONFIG")]
    #[arg(hide_env_values = true)]
    pub config: PathBuf,
}

/// The whole command line, as help, manual and completions show it.
pub fn command() -> clap::Command {
    help::grouped(Cli::command())
}

/// Reads the command line, runs the verb, and gives its exit code.
pub fn main() -> ExitCode {
    let read = command()
        .try_get_matches_from(help::as_options(std::env::args_os().collect()))
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = read.unwrap_or_else(|said| said.exit());
    terminal::wish(cli.color);
    cli.verb.run().into()
}

impl Verb {
    fn run(self) -> Exit {
        match self {
            Verb::Serve(args) => serve::run(args),
            Verb::Demo(args) => demo::run(args),
            Verb::Check(args) => check::run(args),
            Verb::Reload(args) => reload::run(args),
            Verb::Status(args) => status::run(args),
            Verb::Get(args) => get::run(args),
            Verb::Events(args) => events::run(args),
            Verb::Explain(args) => explain::run(args),
            Verb::Drain(args) => order::drain(args),
            Verb::Maint(args) => order::maint(args),
            Verb::Force(args) => order::force(args),
            Verb::Weight(args) => order::weigh(args),
            Verb::Undrain(args) => order::undrain(args),
            Verb::Diff(args) => diff::run(args),
            Verb::Simulate(args) => simulate::run(args),
            Verb::Geo(args) => geo::run(args),
            Verb::Zone(args) => zone::run(args),
            Verb::Completions(args) => completions::run(args),
            Verb::Man(args) => man::run(args),
            Verb::Schema(args) => schema::run(args),
        }
    }
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

/// How many.
fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "a whole number is expected".to_owned())
}
