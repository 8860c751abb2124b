//! What the process is told from outside: stop (SIGTERM, SIGINT) and reload (SIGHUP).

use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// Waits until somebody asks the process to end: Ctrl-C or SIGTERM. They are heard from this call on, not from the first
/// look at what it gives.
pub fn terminated() -> impl Future<Output = ()> {
    let signals = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    async move {
        match signals {
            (Some(mut term), Some(mut int)) => {
                tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            }
            _ => std::future::pending().await,
        }
    }
}

/// SIGHUP, again and again.
pub struct Hangups(Option<Signal>);

impl Hangups {
    /// From now on SIGHUP does not end the process.
    pub fn listen() -> Self {
        Hangups(listen(SignalKind::hangup()))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind).inspect_err(|error| tracing::error!(%error, "cannot listen for signals")).ok()
}
