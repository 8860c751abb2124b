//! `rhumb check`.

use crate::cmd::Exit;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(args: Args) -> Exit {
    let _ = args;
    todo!()
}
