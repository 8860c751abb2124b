//! `rhumb reload`: read all files again, and wait until queries see it.

use std::time::Duration;

use crate::admin::client::Client;
use crate::admin::client::ClientError;
use crate::admin::dto::Reloaded;
use crate::cmd::Exit;
use crate::cmd::duration;
use crate::cmd::remote;
use crate::cmd::remote::Server;
use crate::cmd::terminal;
use crate::cmd::terminal::fail;
use crate::cmd::terminal::tell;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long to wait for the answer; the reload goes on all the same
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    wait: Duration,
    #[command(flatten)]
    server: Server,
}

/// Runs it.
pub fn run(args: Args) -> Exit {
    args.server.run(async |client: &Client| match client.post::<Reloaded>("/v1/reload", Some(args.wait)).await {
        Ok(reloaded) if args.server.json => {
            terminal::print_json(&reloaded);
            Ok(Exit::Done)
        }
        Ok(reloaded) => {
            terminal::print(&format!("reloaded: generation {}\n", reloaded.generation));
            Ok(Exit::Done)
        }
        Err(ClientError::Refused(said)) if said.kind.ends_with(":reload") => {
            said.problems.iter().for_each(tell);
            fail(format!("the reload was refused; {}", said.detail), "mend the files and reload again");
            Ok(Exit::Invalid)
        }
        Err(error) => Err(remote::failed(error, remote::START_IT)),
    })
}
