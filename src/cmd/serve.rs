//! `rhumb serve`: the server, in the foreground.

use std::io::IsTerminal;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use listenfd::ListenFd;
use socket2::Domain;
use socket2::Type;
use tracing_subscriber::EnvFilter;

use crate::cmd::ConfigFile;
use crate::cmd::Exit;
use crate::cmd::check;
use crate::daemon::Daemon;
use crate::daemon::Sockets;
use crate::daemon::StartError;
use crate::runtime::limits;
use crate::runtime::signals::Terminations;

/// How long the end waits for what blocks.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Take the sockets over from the process that runs, which answers until this one does and then ends
    ///
    /// It is found beside the admin socket of the configuration, or at PATH when the configuration has moved that.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    takeover: Option<Option<PathBuf>>,
    /// How the log is written, to standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line an event, for people
    Text,
    /// One JSON object a line
    Json,
}

/// Runs it until SIGTERM or Ctrl-C, or until another process has taken over.
pub fn run(args: Args) -> Exit {
    log_to_stderr(args.log);
    limits::raise_descriptors();
    // While there is one thread: it takes variables out of the environment.
    let sockets = match &args.takeover {
        Some(path) => Sockets::TakenOver(path.clone()),
        None => match activated() {
            sockets if sockets.is_empty() => Sockets::Opened,
            sockets => Sockets::Given(sockets),
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("the system gives threads to a program that has only begun");
    let exit = runtime.block_on(serve(args, sockets));
    // What still blocks somewhere, as on a disk that does not answer, shall not hold up the end.
    runtime.shutdown_timeout(LAST_WAIT);
    exit
}

/// The sockets that the service manager has opened for us (sd_listen_fds(3)).
fn activated() -> Vec<OwnedFd> {
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..given.len() {
        let mut socket =
            |kind: Type| given.take_custom(index, Domain::IPV4.into(), kind.into(), "socket").ok().flatten();
        match socket(Type::STREAM).or_else(|| socket(Type::DGRAM)) {
            Some(socket) => sockets.push(socket),
            None => tracing::warn!("descriptor {} of the service manager is neither TCP nor UDP", index + 3),
        }
    }
    sockets
}

async fn serve(args: Args, sockets: Sockets) -> Exit {
    let mut stop = Terminations::listen();
    let daemon = tokio::select! {
        daemon = Daemon::start_with(&args.config.config, sockets) => daemon,
        () = stop.next() => {
            tracing::info!("told to stop before the start was over");
            return Exit::Done;
        }
    };
    match daemon {
        Ok(daemon) => {
            tokio::select! {
                () = stop.next() => tracing::info!("stopping; once more, and nothing is waited for"),
                () = daemon.succeeded() => {}
            }
            tokio::select! {
                () = daemon.stop() => Exit::Done,
                () = stop.next() => {
                    tracing::warn!("told twice to stop: what was in hand is cut off");
                    Exit::Failed
                }
            }
        }
        Err(StartError::Refused(refused)) => {
            check::print_refusal(&refused.problems, &refused.sources);
            Exit::Invalid
        }
        Err(StartError::Sockets(problems, sources)) => {
            check::print_refusal(&problems, &sources);
            Exit::Failed
        }
        Err(StartError::System(sentence)) => {
            eprintln!("error: {sentence}");
            Exit::Failed
        }
    }
}

/// What is logged unless `RHUMB_LOG` tells: hickory writes two lines for each query over HTTPS or QUIC, and one for each
/// handshake that a client spoils.
const LOGGED: &str = "info,hickory_server=error,hickory_net=error";

/// Sends the log to standard error; `RHUMB_LOG` says what is in it (`info` unless told).
pub fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_env("RHUMB_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).with_ansi(colour);
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
