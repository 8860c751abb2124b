//! `rhumb demo`: the three tiers on loopback, to look at.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::cmd::Exit;
use crate::cmd::duration;
use crate::cmd::terminal::colour;
use crate::cmd::terminal::width;
use crate::demo;
use crate::demo::Wishes;
use crate::demo::screen::Look;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many regions
    #[arg(long, default_value_t = 3, value_parser = regions)]
    regions: u8,
    /// When the first region fails, and for how long (at least six seconds, so that everybody sees it)
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "TIME")]
    fail_after: Duration,
    /// End by itself after so many seconds; with an error if a request failed
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Where to answer DNS; port 0 takes any
    #[arg(long, default_value = "127.0.0.1:5300", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The port of edges (L7), zones (L4) and applications; 0 takes one that is free
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    port: u16,
    /// Requests a second, of all simulated clients together
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// Leave configuration, zone and database in this folder
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Run the applications and nothing else, for a configuration that --write left
    #[arg(long, conflicts_with = "write")]
    apps_only: bool,
    /// Also show the server's log
    #[arg(long)]
    log: bool,
}

fn regions(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|count| (2..=6).contains(count)).ok_or_else(|| "there may be 2 to 6".to_owned())
}

/// A row of the table has so many columns; broken into two lines it could not be drawn anew.
const COLUMNS: usize = 80;

/// A table that is drawn anew needs a terminal that can do that, and nobody else who writes there.
fn look(has_log: bool) -> Look {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let is_live = std::io::stdout().is_terminal() && !is_dumb && !has_log && width() >= COLUMNS;
    Look { is_live, colour: colour(&std::io::stdout()) }
}

/// Runs it.
pub fn run(args: Args) -> Exit {
    if args.log {
        crate::cmd::serve::log_to_stderr(crate::cmd::serve::LogFormat::Text);
    }
    let wishes = Wishes {
        regions: args.regions.into(),
        fail_after: args.fail_after,
        ends_after: args.seconds.map(Duration::from_secs),
        listen: args.listen,
        port: args.port,
        rate: args.rate,
        apps_only: args.apps_only,
        look: look(args.log),
        write: args.write,
    };
    crate::cmd::block_on(async {
        match demo::run(wishes).await {
            Ok(()) => Exit::Done,
            Err(sentence) => {
                crate::cmd::terminal::tell(format!("error: {sentence}"));
                Exit::Failed
            }
        }
    })
}
