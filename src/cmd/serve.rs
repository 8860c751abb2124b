//! `rhumb serve`: the server, in the foreground.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cmd::ConfigFile;
use crate::cmd::Exit;
use crate::cmd::check;
use crate::daemon::Daemon;
use crate::daemon::StartError;
use crate::runtime::limits;
use crate::runtime::signals;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
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

/// Runs it until SIGTERM or Ctrl-C.
pub fn run(args: Args) -> Exit {
    log_to_stderr(args.log);
    limits::raise_descriptors();
    crate::cmd::block_on(serve(args))
}

async fn serve(args: Args) -> Exit {
    let stop = signals::terminated();
    tokio::pin!(stop);
    let daemon = tokio::select! {
        daemon = Daemon::start(&args.config.config) => daemon,
        () = &mut stop => return Exit::Done,
    };
    match daemon {
        Ok(daemon) => {
            stop.await;
            tracing::info!("stopping");
            daemon.stop().await;
            Exit::Done
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
