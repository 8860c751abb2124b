//! `rhumb demo`: everything on loopback, to look at.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::cmd::{Exit, duration};
use crate::demo::{self, Wishes};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many regions
    #[arg(long, default_value_t = 3, value_parser = regions)]
    regions: u8,
    /// When the first region fails, and for how long (at least six seconds, so that probes see it)
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "TIME")]
    fail_after: Duration,
    /// End by itself after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Where to answer DNS; port 0 takes any
    #[arg(long, default_value = "127.0.0.1:5300", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The port of the origins; 0 takes one that is free
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    origin_port: u16,
    /// Leave configuration, zone and database in this folder
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Also show the server's log
    #[arg(long)]
    log: bool,
}

fn regions(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|count| (2..=6).contains(count)).ok_or_else(|| "there may be 2 to 6".to_owned())
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
        origin_port: args.origin_port,
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
