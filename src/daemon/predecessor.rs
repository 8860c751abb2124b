//! The process that runs, as the one that takes over from it sees it.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use tracing::info;
use tracing::warn;

use crate::runtime::handover;
use crate::runtime::handover::Line;
use crate::runtime::handover::Message;
use crate::server::given::Given;

/// How long it may take to save what it knows, and to let go. Longer, and it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who has handed over its sockets, and still answers.
pub(super) struct Predecessor {
    line: Line,
}

impl Predecessor {
    /// Asks for its sockets; it has saved what it knows when they come.
    ///
    /// # Errors
    /// A sentence: nothing has changed.
    pub(super) async fn call(path: Option<PathBuf>, admin_socket: Option<&Path>) -> Result<(Self, Given), String> {
        let Some(path) = path.or_else(|| admin_socket.map(handover::beside)) else {
            return Err(
                "nobody to take over from: set [admin] socket, beside which the running process listens".to_owned()
            );
        };
        blocking(move || call(&path)).await
    }

    /// Says that we answer now, and waits until the other reads no more.
    ///
    /// # Errors
    /// A sentence: it goes on, and we must not.
    pub(super) async fn release(&mut self) -> Result<(), String> {
        let mut line = self.line.other_handle().map_err(|error| error.to_string())?;
        blocking(move || {
            // Whether it could be said shows in what comes back.
            let said = line.send(&Message::Answering);
            match line.receive(PATIENCE) {
                Ok(Message::Refused { why }) => Err(format!("the running process goes on: {why}")),
                Ok(Message::Released) => Ok(()),
                // It has died, or hangs, and our clients wait: better two that answer than none.
                other => {
                    warn!("the process that we take over from said {other:?} ({said:?}); going on without it");
                    Ok(())
                }
            }
        })
        .await
    }

    /// Says that we have taken up everything; it may end now.
    pub(super) async fn taken(self) {
        let mut line = self.line;
        // It may have ended.
        let _ = blocking(move || line.send(&Message::Taken).map_err(|error| error.to_string())).await;
    }
}

fn call(path: &Path) -> Result<(Predecessor, Given), String> {
    let cannot = |error: io::Error| format!("cannot take over from the process at {}: {error}", path.display());
    let mut line = Line::call(path).map_err(|error| {
        format!("nobody to take over from at {} ({error}): start without --takeover", path.display())
    })?;
    line.send(&Message::hello()).map_err(cannot)?;
    match line.receive(PATIENCE).map_err(cannot)? {
        Message::Offer { descriptors, ports, version, .. } => {
            let sockets = line.receive_descriptors(descriptors).map_err(cannot)?;
            info!("{descriptors} sockets come from the process that runs (rhumb {version})");
            Ok((Predecessor { line }, Given::by_a_predecessor(sockets, ports)))
        }
        Message::Refused { why } => Err(format!("the running process does not hand over: {why}")),
        other => Err(format!("the process at {} said {other:?}", path.display())),
    }
}

async fn blocking<T: Send + 'static>(step: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(step).await.map_err(|error| error.to_string())?
}
