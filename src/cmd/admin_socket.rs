//! Where the running server's admin socket is, and what to say when nobody answers there.

use std::path::Path;
use std::path::PathBuf;

use crate::admin::client::ClientError;
use crate::cmd::ConfigFile;
use crate::cmd::Exit;
use crate::cmd::check;
use crate::runtime::config_files::ConfigFiles;

/// The socket that was given, else the one that the configuration names.
///
/// A configuration that cannot be served may still name it: a server that runs on an earlier version of the file can
/// be asked all the same.
///
/// # Errors
/// After saying why there is none.
pub fn find(given: Option<&Path>, config: &ConfigFile) -> Result<PathBuf, Exit> {
    if let Some(socket) = given {
        return Ok(socket.to_owned());
    }
    let (model, refused) = match crate::config::load(&config.config, &mut ConfigFiles) {
        Ok(loaded) => (loaded.model, None),
        Err(refused) => (refused.partial, Some((refused.problems, refused.sources))),
    };
    match (model.admin.socket, refused) {
        (Some(socket), _) => Ok(socket),
        (None, Some((problems, sources))) => {
            check::print_refusal(&problems, &sources);
            Err(Exit::Invalid)
        }
        (None, None) => {
            eprintln!(
                "error: {} has no [admin] socket to ask a running server at; add one, or give --socket",
                config.config.display()
            );
            Err(Exit::Usage)
        }
    }
}

/// Says why a request came to nothing; `way_out` is what helps when nobody answers.
pub fn failed(error: ClientError, way_out: &str) -> Exit {
    match error {
        ClientError::Unreachable(sentence) => {
            eprintln!("error: {sentence}; {way_out}");
            Exit::Unreachable
        }
        ClientError::Refused(said) => {
            said.problems.iter().for_each(|problem| eprintln!("{problem}"));
            eprintln!("error: {}", said.detail);
            if said.status == 400 { Exit::Usage } else { Exit::Failed }
        }
    }
}
