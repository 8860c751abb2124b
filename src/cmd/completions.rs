//! `rhumb completions`: what completes these commands in a shell.

use clap_complete::Shell;

use crate::cmd::Exit;
use crate::cmd::terminal;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const AFTER: &str = "\
Examples:
  rhumb completions bash > /etc/bash_completion.d/rhumb
  rhumb completions zsh  > ~/.zfunc/_rhumb
  rhumb completions fish > ~/.config/fish/completions/rhumb.fish";

/// Runs it.
pub fn run(args: Args) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cmd::command(), "rhumb", &mut script);
    terminal::print(&String::from_utf8_lossy(&script));
    Exit::Done
}
