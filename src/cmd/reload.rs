//! `rhumb reload`: read all files again, and wait until queries see it.

use std::path::PathBuf;

use crate::admin::client;
use crate::admin::client::ClientError;
use crate::admin::dto::Reloaded;
use crate::cmd::ConfigFile;
use crate::cmd::Exit;
use crate::cmd::admin_socket;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The admin socket; the configuration's when not given
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
}

/// Runs it.
pub fn run(args: Args) -> Exit {
    let socket = match admin_socket::find(args.socket.as_deref(), &args.config) {
        Ok(socket) => socket,
        Err(exit) => return exit,
    };
    match crate::cmd::block_on(client::post::<Reloaded>(&socket, "/v1/reload")) {
        Ok(reloaded) => {
            println!("reloaded: generation {}", reloaded.generation);
            Exit::Done
        }
        Err(ClientError::Refused(said)) if said.kind.ends_with(":reload") => {
            said.problems.iter().for_each(|problem| eprintln!("{problem}"));
            eprintln!("error: the reload was refused; {}", said.detail);
            Exit::Invalid
        }
        Err(error) => admin_socket::failed(error, "start it first"),
    }
}
