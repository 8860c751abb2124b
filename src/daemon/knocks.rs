//! Who asks to take over, and how one is started that does.
//!
//! Beside the admin socket is another one, for processes of the same user (or root) alone: who has the sockets answers in
//! our name. The conversation itself blocks, so each of its steps runs where blocking is allowed.

use std::env;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tracing::error;
use tracing::info;
use tracing::warn;

use super::steward::After;
use crate::runtime::door::Door;
use crate::runtime::handover;
use crate::runtime::handover::Line;
use crate::runtime::handover::Message;

/// What tells a process to take over from the one that runs.
pub(super) const TAKEOVER: &str = "--takeover";

/// The socket at which successors knock.
pub(super) struct Knocks {
    door: Door,
    listener: UnixListener,
}

impl Knocks {
    /// Listens where nobody finds it yet; inside a tokio runtime.
    pub(super) fn prepare(admin_socket: &Path) -> Result<Self, String> {
        let door = Door::prepare(&handover::beside(admin_socket))?;
        let listener = door.listener().try_clone().and_then(|listener| {
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        });
        let listener = listener.map_err(|error| format!("cannot listen for successors: {error}"))?;
        Ok(Knocks { door, listener })
    }

    /// From now on successors find it.
    pub(super) fn put_in_place(&mut self) -> Result<(), String> {
        self.door.put_in_place()
    }

    /// Waits for a caller; for ever when nobody can call.
    pub(super) async fn next(knocks: &mut Option<Knocks>) -> Caller {
        let Some(knocks) = knocks else { return std::future::pending().await };
        loop {
            let caller = match knocks.listener.accept().await {
                Ok((stream, _)) => Caller::of(stream).await,
                Err(error) => Err(error),
            };
            match caller {
                Ok(Some(caller)) => return caller,
                Ok(None) => {}
                Err(error) => {
                    warn!("a process that wants to take over cannot be heard: {error}");
                    // for want of descriptors, most likely: the next try shall not follow at once
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// A process at the other end.
pub(super) struct Caller {
    line: Line,
    process: Option<u32>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, "process {process}"),
            None => f.write_str("another process"),
        }
    }
}

impl Caller {
    /// Nobody, when it runs as somebody else.
    async fn of(stream: UnixStream) -> io::Result<Option<Caller>> {
        let who = stream.peer_cred()?;
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        let process = who.pid().and_then(|pid| u32::try_from(pid).ok());
        let caller = Caller { line: Line::new(stream), process };
        if who.uid() == 0 || who.uid() == rustix::process::geteuid().as_raw() {
            return Ok(Some(caller));
        }
        warn!("{caller} of user {} wants to take over, and may not", who.uid());
        let _ = caller.refuse("only a process of the same user may take over".to_owned()).await;
        Ok(None)
    }

    /// Its number.
    pub(super) fn process(&self) -> Option<u32> {
        self.process
    }

    async fn blocking<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Line) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mut line = self.line.other_handle()?;
        tokio::task::spawn_blocking(move || step(&mut line)).await.map_err(io::Error::other)?
    }

    pub(super) async fn send(&mut self, message: Message) -> io::Result<()> {
        self.blocking(move |line| line.send(&message)).await
    }

    /// Waits for its next word. Dropped, it leaves a thread behind until the line is hung up.
    pub(super) async fn receive(&mut self, patience: Duration) -> io::Result<Message> {
        self.blocking(move |line| line.receive(patience)).await
    }

    pub(super) async fn offer(
        &mut self,
        protocol: u32,
        descriptors: &[OwnedFd],
        ports: &[(SocketAddr, SocketAddr)],
    ) -> io::Result<()> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let offer = Message::Offer { protocol, version, descriptors: descriptors.len(), ports: ports.to_vec() };
        let copies: Vec<OwnedFd> = descriptors.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>()?;
        self.blocking(move |line| {
            line.send(&offer)?;
            line.send_descriptors(&copies)
        })
        .await
    }

    /// Says no, with the reason, and hangs up.
    pub(super) async fn refuse(&self, why: String) -> After {
        let message = Message::Refused { why: why.clone() };
        // It may have gone.
        let _ = self.blocking(move |line| line.send(&message)).await;
        After::GoOn(why)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.line.hang_up();
    }
}

/// Starts the program anew, as it is installed now, with our own arguments, to take over from us. It belongs to the same
/// service: the service manager is told which process is the main one when it answers.
pub(super) fn start_successor() {
    let program = installed(env::current_exe().unwrap_or_else(|_| PathBuf::from("rhumb")));
    let mut command = Command::new(&program);
    command.args(env::args_os().skip(1));
    if !env::args_os().any(|argument| argument.to_string_lossy().starts_with(TAKEOVER)) {
        command.arg(TAKEOVER);
    }
    // These name our own process or descriptors, which are not the successor's.
    for ours in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
        command.env_remove(ours);
    }
    match command.spawn() {
        Ok(mut successor) => {
            info!("process {} is to take over: {}", successor.id(), program.display());
            // A thread of its own: it may outlive us, and must not hold up our end.
            std::thread::spawn(move || match successor.wait() {
                Ok(status) if !status.success() => error!("process {} has ended: {status}", successor.id()),
                _ => {}
            });
        }
        Err(error) => error!("cannot start {}: {error}", program.display()),
    }
}

/// The path without what the kernel adds when the file has been replaced since.
fn installed(program: PathBuf) -> PathBuf {
    match program.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(path) => PathBuf::from(path),
        None => program,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_is_started_as_it_is_now() {
        assert_eq!(installed(PathBuf::from("/usr/bin/rhumb (deleted)")), PathBuf::from("/usr/bin/rhumb"));
        assert_eq!(installed(PathBuf::from("/usr/bin/rhumb")), PathBuf::from("/usr/bin/rhumb"));
    }
}
