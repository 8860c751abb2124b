//! `rhumb diff`: what a reload would change, and with `--impact` whose answers would move.
//!
//! The running server reads its own files anew and compares them with what it serves, health and orders as they are; with
//! `--from` two files are compared, everything taken to be up. Exit code 0 with or without differences, 3 when the files
//! cannot be served.

use std::path::Path;
use std::path::PathBuf;

use crate::admin::client::ClientError;
use crate::admin::dto::ConfigDiff;
use crate::admin::what_if::Compared;
use crate::admin::what_if::Health;
use crate::admin::what_if::world_all_up;
use crate::cmd::Exit;
use crate::cmd::check;
use crate::cmd::remote;
use crate::cmd::remote::Server;
use crate::cmd::terminal;
use crate::cmd::terminal::tell;
use crate::runtime::load;
use crate::runtime::load::Loaded;

mod words;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose answers would move, too: by VIP, country and pool
    #[arg(long)]
    impact: bool,
    /// Compare with this configuration file instead of the running server, everything taken to be up
    #[arg(long, value_name = "FILE", conflicts_with_all = ["socket", "server"])]
    from: Option<PathBuf>,
    /// How many of each kind to show one by one; the rest is summed up
    #[arg(long, value_name = "COUNT", default_value = "10", value_parser = crate::cmd::count)]
    top: usize,
    #[command(flatten)]
    server: Server,
}

/// Runs it.
pub fn run(args: Args) -> Exit {
    let found = match &args.from {
        Some(from) => of_files(from, &args.server.config.config, args.impact),
        None => of_server(&args),
    };
    match found {
        Ok(diff) if args.server.json => {
            terminal::print_json(&diff);
            Exit::Done
        }
        Ok(diff) => {
            diff.warnings.iter().for_each(tell);
            terminal::print(&words::diff(&diff, args.top));
            Exit::Done
        }
        Err(exit) => exit,
    }
}

fn read(path: &Path) -> Result<Loaded, Exit> {
    load::load(path, None).map_err(|refused| {
        check::print_refusal(&refused.problems, &refused.sources);
        Exit::Invalid
    })
}

fn of_files(from: &Path, to: &Path, impact: bool) -> Result<ConfigDiff, Exit> {
    let old = read(from)?;
    // Databases that both name are read once.
    let new = load::load(to, Some(&old)).map_err(|refused| {
        check::print_refusal(&refused.problems, &refused.sources);
        Exit::Invalid
    })?;
    let compared = Compared {
        old: &world_all_up(old.snapshot.clone()),
        from: from.display().to_string(),
        new: &world_all_up(new.snapshot.clone()),
        warnings: &new.warnings,
        to,
        health: Health::AllUp,
    };
    Ok(compared.diff(impact))
}

fn of_server(args: &Args) -> Result<ConfigDiff, Exit> {
    let client = args.server.client()?;
    let path = if args.impact { "/v1/config/diff?impact=true" } else { "/v1/config/diff" };
    crate::cmd::block_on(client.post(path, None)).map_err(|error| match error {
        ClientError::Refused(said) if said.word() == "reload" => {
            said.problems.iter().for_each(tell);
            tell(format!("error: a reload would be refused; {}", said.detail));
            Exit::Invalid
        }
        error => remote::failed(error, "start it, or compare two files: --from FILE"),
    })
}
