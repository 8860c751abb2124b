//! What the process is told from outside: stop (SIGTERM, SIGINT), reload (SIGHUP), be replaced (SIGUSR2).

use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// Waits until somebody asks the process to end: Ctrl-C or SIGTERM. They are heard from this call on, not from the first
/// look at what it gives.
pub fn terminated() -> impl Future<Output = ()> {
    let mut requests = Terminations::listen();
    async move { requests.next().await }
}

/// Ctrl-C and SIGTERM, again and again: who asks twice does not want to wait.
pub struct Terminations(Repeated, Repeated);

impl Terminations {
    /// From now on they do not end the process by themselves.
    pub fn listen() -> Self {
        Terminations(Repeated(listen(SignalKind::terminate())), Repeated(listen(SignalKind::interrupt())))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! { () = self.0.next() => {}, () = self.1.next() => {} }
    }
}

/// A signal, again and again.
pub struct Repeated(Option<Signal>);

impl Repeated {
    /// SIGHUP. From now on it does not end the process.
    pub fn hangups() -> Self {
        Repeated(listen(SignalKind::hangup()))
    }

    /// SIGUSR2. From now on it does not end the process.
    pub fn user_signals() -> Self {
        Repeated(listen(SignalKind::user_defined2()))
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
