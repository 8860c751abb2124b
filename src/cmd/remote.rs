//! Which server is asked, how, and what is said when it does not answer or says no. Every verb that asks a running
//! server takes these arguments and goes through these methods.

use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::client::Client;
use crate::admin::client::ClientError;
use crate::admin::client::Remote;
use crate::admin::dto::ProblemSaid;
use crate::cmd::ConfigFile;
use crate::cmd::Exit;
use crate::cmd::check;
use crate::cmd::terminal::fail;
use crate::cmd::terminal::tell;
use crate::model::plain_words;
use crate::runtime::config_files::ConfigFiles;

/// Where the server is, and how its answer is shown.
#[derive(Debug, Clone, clap::Args)]
pub struct Server {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// The admin socket [default: the configuration's] [env: RHUMB_SOCKET]
    #[arg(long, value_name = "PATH", help_heading = "Server", conflicts_with = "server")]
    socket: Option<PathBuf>,
    /// The admin API, as in http://127.0.0.1:8853 [env: RHUMB_SERVER]
    #[arg(long, value_name = "URL", help_heading = "Server", value_parser = url)]
    server: Option<String>,
    /// The file that holds the token for --server; changes need one [env: RHUMB_TOKEN_FILE]
    #[arg(long, value_name = "FILE", help_heading = "Server", conflicts_with = "socket")]
    token_file: Option<PathBuf>,
    /// Roots to trust for an https URL, as PEM; the system's unless told
    #[arg(long, value_name = "FILE", help_heading = "Server", requires = "server")]
    ca_file: Option<PathBuf>,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Names a server for those who have no `rhumb.toml` at hand.
const SAY_WHERE: &str = "name the configuration with -c FILE, or the server with --socket PATH or --server URL";

fn url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.trim_end_matches('/').is_empty() => Ok(text.to_owned()),
        _ => Err("write http://ADDRESS:PORT or https://NAME:PORT".to_owned()),
    }
}

impl Server {
    /// Runs a verb that waits for the server.
    pub fn run(&self, verb: impl AsyncFnOnce(&Client) -> Result<Exit, Exit>) -> Exit {
        match self.client() {
            Ok(client) => crate::cmd::block_on(async { verb(&client).await.unwrap_or_else(|exit| exit) }),
            Err(exit) => exit,
        }
    }

    /// The server that is meant: what the command line says, else the environment, else the configuration.
    ///
    /// # Errors
    /// After saying why there is none.
    pub fn client(&self) -> Result<Client, Exit> {
        let client = match (&self.socket, &self.server) {
            (Some(socket), _) => Client::of_socket(socket),
            (None, Some(url)) => Client::of_url(self.remote(url)?),
            (None, None) => match (environment("RHUMB_SOCKET"), environment("RHUMB_SERVER")) {
                (Some(socket), _) => Client::of_socket(Path::new(&socket)),
                (None, Some(server)) => {
                    let server = url(&server).map_err(|why| {
                        fail(format!("RHUMB_SERVER is `{server}`"), why);
                        Exit::Usage
                    })?;
                    Client::of_url(self.remote(&server)?)
                }
                (None, None) => Client::of_socket(&self.configured()?),
            },
        };
        client.map_err(|error| failed(error, SAY_WHERE))
    }

    fn remote(&self, url: &str) -> Result<Remote, Exit> {
        let file = self.token_file.clone().or_else(|| environment("RHUMB_TOKEN_FILE").map(PathBuf::from));
        let token = file.map(|path| token(&path)).transpose()?;
        let roots = self.ca_file.as_ref().map(|path| read(path, "--ca-file")).transpose()?;
        Ok(Remote { url: url.to_owned(), token, roots })
    }

    /// The socket that the configuration names.
    ///
    /// A configuration that cannot be served may still name it: a server that runs on an earlier version of the file
    /// can be asked all the same.
    fn configured(&self) -> Result<PathBuf, Exit> {
        let path = &self.config.config;
        let (model, refused) = match crate::config::load(path, &mut ConfigFiles) {
            Ok(loaded) => (loaded.model, None),
            Err(refused) => (refused.partial, Some((refused.problems, refused.sources))),
        };
        match (model.admin.socket, refused) {
            (Some(socket), _) => Ok(socket),
            (None, Some(_)) if !path.exists() => {
                fail(format!("there is no {}, which would name the server's socket", path.display()), SAY_WHERE);
                Err(Exit::Usage)
            }
            (None, Some((problems, sources))) => {
                check::print_refusal(&problems, &sources);
                Err(Exit::Invalid)
            }
            (None, None) => {
                let help = "add one, as in `socket = \"run/admin.sock\"`, or give --socket PATH or --server URL";
                fail(format!("{} has no [admin] socket to ask a running server at", path.display()), help);
                Err(Exit::Usage)
            }
        }
    }

    /// Asks with GET; `way_out` is what helps when nobody answers.
    ///
    /// # Errors
    /// After saying why.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)], way_out: &str) -> Result<T, Exit> {
        let client = self.client()?;
        crate::cmd::block_on(client.get(path, query)).map_err(|error| failed(error, way_out))
    }

    /// Orders with PUT.
    ///
    /// # Errors
    /// After saying why.
    pub fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Exit> {
        let client = self.client()?;
        crate::cmd::block_on(client.put(path, body)).map_err(|error| failed(error, START_IT))
    }

    /// Orders with POST.
    ///
    /// # Errors
    /// After saying why.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Exit> {
        let client = self.client()?;
        crate::cmd::block_on(client.post_body(path, body)).map_err(|error| failed(error, START_IT))
    }

    /// Takes back with DELETE.
    ///
    /// # Errors
    /// After saying why.
    pub fn delete<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Exit> {
        let client = self.client()?;
        crate::cmd::block_on(client.delete(path, query)).map_err(|error| failed(error, START_IT))
    }
}

/// What helps when nobody answers.
pub const START_IT: &str = "start it with `rhumb serve`, or say where it is: -c FILE, --socket PATH or --server URL";

/// A name as a path can carry it: whatever it could not is percent-encoded (RFC 3986 section 2.1).
pub fn path_safe(name: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:[]*".contains(&b);
    let encode = |b: u8| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    name.bytes().map(encode).collect()
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read(path: &Path, option: &str) -> Result<Vec<u8>, Exit> {
    std::fs::read(path).map_err(|error| {
        fail(format!("cannot read {}: {}", path.display(), plain_words(&error)), format!("{option} names it"));
        Exit::Failed
    })
}

/// A file that holds a token and nothing else.
fn token(path: &Path) -> Result<String, Exit> {
    let bytes = read(path, "--token-file")?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    // What a header can carry (RFC 9110, field-content), in one word.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        fail(format!("{} does not hold a token", path.display()), "write the secret alone into it, on one line");
        return Err(Exit::Failed);
    }
    Ok(text)
}

/// Says why a request came to nothing; `way_out` is what helps when nobody answers.
pub fn failed(error: ClientError, way_out: &str) -> Exit {
    match error {
        ClientError::Unreachable(sentence) => {
            fail(sentence, way_out);
            Exit::Unreachable
        }
        ClientError::Refused(said) => {
            said.problems.iter().for_each(tell);
            match way_out_of(&said) {
                Some((fact, help)) => fail(fact, help),
                None => tell(format!("error: {}", said.detail)),
            }
            meaning(&said)
        }
    }
}

/// VIPs that are named when an order is refused for their sake.
const VIPS_NAMED_MAX: usize = 8;

/// What the server says, where the command line has a way out of its own.
fn way_out_of(said: &ProblemSaid) -> Option<(String, String)> {
    let anyway = || "--force orders it all the same".to_owned();
    match said.word() {
        "unsafe" if !said.vips.is_empty() => {
            let named = &said.vips[..said.vips.len().min(VIPS_NAMED_MAX)];
            let more = match said.vips.len() - named.len() + said.more {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Some((format!("refused: it would leave {}{more} without a healthy pool", named.join(", ")), anyway()))
        }
        "unsafe" => Some((format!("refused: {}", said.detail), anyway())),
        "token" => {
            let help = "--token-file FILE names the token to send; over the Unix socket none is needed";
            Some((said.detail.clone(), help.to_owned()))
        }
        // The paths of the API mean nothing on the command line.
        "unknown" => {
            let (fact, path) = said.detail.split_once("; see /v1/")?;
            Some((fact.to_owned(), format!("`rhumb get {path}` lists them")))
        }
        _ if said.errors.len() > 1 => {
            let all: Vec<&str> = said.errors.iter().map(|error| error.detail.as_str()).collect();
            Some((all.join("; "), "see --help for what is taken".to_owned()))
        }
        _ => None,
    }
}

/// The exit code of what a server says.
fn meaning(said: &ProblemSaid) -> Exit {
    match said.word() {
        "question" | "body" | "override" => Exit::Usage,
        "reload" => Exit::Invalid,
        "unsafe" => Exit::Refused,
        "stopping" => Exit::Unreachable,
        _ => Exit::Failed,
    }
}
