//! How much of the server may those take who only look?
//!
//! Anybody on this machine may look over loopback HTTP, and a look at a large configuration takes the keeper and a core
//! for milliseconds. Whoever asks without end waits for their turn here, not in the way of probes and queries: what
//! others notice of them is one look, however many connections they have. Those who may order are not counted; the Unix
//! socket has turns of its own, so that a flood over HTTP does not keep an operator waiting.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use crate::admin::door::Way;

/// Looks at once over HTTP: one, which leaves the other cores to those who wait for answers.
const HTTP_LOOKS_MAX: usize = 1;
/// Looks at once over the Unix socket.
const SOCKET_LOOKS_MAX: usize = 2;
/// Maps at once: each asks for every place of the databases, which keeps a core busy for some hundred milliseconds.
const MAPS_MAX: usize = 1;

/// Whose turn it is. Those who wait are served in the order in which they came.
#[derive(Debug)]
pub(super) struct Turns {
    http: Semaphore,
    socket: Semaphore,
    maps: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Turns {
            http: Semaphore::new(HTTP_LOOKS_MAX),
            socket: Semaphore::new(SOCKET_LOOKS_MAX),
            maps: Arc::new(Semaphore::new(MAPS_MAX)),
        }
    }
}

impl Turns {
    /// Waits for the turn of a look; it lasts until it is dropped.
    pub(super) async fn look(&self, way: &Way) -> SemaphorePermit<'_> {
        let turns = match way {
            Way::Http(_) => &self.http,
            Way::Socket(_) => &self.socket,
        };
        turns.acquire().await.expect("the semaphore is never closed")
    }

    /// Waits for the turn of a map. It goes along to the thread that makes the map, which does not stop when the client
    /// who asked for it has left.
    pub(super) async fn map(&self) -> OwnedSemaphorePermit {
        self.maps.clone().acquire_owned().await.expect("the semaphore is never closed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_over_http_keeps_neither_the_socket_nor_the_next_look_waiting() {
        let turns = Turns::default();
        let http = Way::Http("127.0.0.1:8853".parse().unwrap());
        let first = turns.look(&http).await;
        let mut second = std::pin::pin!(turns.look(&http));
        let waits = tokio::time::timeout(std::time::Duration::from_millis(10), &mut second).await;
        assert!(waits.is_err(), "one at a time");
        drop(turns.look(&Way::Socket("ada".into())).await);
        drop(first);
        drop(second.await);
    }
}
