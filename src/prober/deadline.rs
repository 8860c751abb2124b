//! How long may this probe still take?
//!
//! One deadline for the whole of a probe, however many steps it has. Each step runs within what is left of it, so the
//! step that did not end is the one to name: a host that is gone, a TLS terminator that hangs and an application that
//! is slow are three different nights for an operator.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::health::probe::ReasonCode;
use crate::prober::Found;

/// The end of one probe.
pub(super) struct Deadline {
    allowed: Duration,
    end: Pin<Box<Sleep>>,
}

impl Deadline {
    /// A probe that begins now and may take this long.
    pub(super) fn new(allowed: Duration) -> Self {
        Deadline { allowed, end: Box::pin(sleep(allowed)) }
    }

    /// Runs a step; what it found, or none when the time is over first.
    pub(super) async fn within<F: Future>(&mut self, step: F) -> Option<F::Output> {
        let step = pin!(step);
        tokio::select! {
            // What came at the last moment came in time.
            biased;
            found = step => Some(found),
            () = self.end.as_mut() => None,
        }
    }

    /// How long the whole may take.
    pub(super) fn allowed(&self) -> Duration {
        self.allowed
    }

    /// That no connection came about in time.
    pub(super) fn no_connection(&self) -> Found {
        (ReasonCode::L4Tout, format!("no connection within {:?}", self.allowed))
    }

    /// That TLS was not agreed on in time.
    pub(super) fn no_session(&self) -> Found {
        (ReasonCode::L6Tout, format!("no TLS session within {:?}", self.allowed))
    }

    /// That no whole response came in time.
    pub(super) fn no_response(&self) -> Found {
        (ReasonCode::L7Tout, format!("no complete response within {:?}", self.allowed))
    }
}

/// Runs an exchange over a connection that must be driven for it to get on: hyper's and h2's are two futures. Both live
/// in the probe's own task, so that nothing is left of either when the probe ends.
pub(super) async fn drive<E: Future, C: Future>(exchange: E, connection: C) -> E::Output {
    let (mut exchange, connection) = (pin!(exchange), pin!(connection));
    tokio::select! {
        biased;
        found = &mut exchange => return found,
        // It says the same to the exchange, which may still have something to read.
        _ = connection => {}
    }
    exchange.await
}
