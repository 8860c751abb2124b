//! Does this machine keep up with its probes?
//!
//! A sentinel sleeps for a moment, again and again, and notes how much later than asked it woke: that is how long any
//! task of this runtime waits for its turn. Probes of a machine that is that late measure the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::runtime::clock::Clock;

/// How long the sentinel sleeps.
const NAP: Duration = Duration::from_millis(20);
/// Later than this is a lag.
const LATE: Duration = Duration::from_millis(20);

/// How late tasks get their turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Lag(Arc<AtomicU64>);

impl Lag {
    /// Keeps it up to date, until dropped.
    pub(super) async fn watch(self, clock: Clock) {
        loop {
            let before = clock.now();
            tokio::time::sleep(NAP).await;
            let late = (clock.now() - before).saturating_sub(NAP);
            // A single good moment does not end a bad spell.
            let late = (late.as_micros() as u64).max(self.0.load(Ordering::Relaxed) / 2);
            self.0.store(late, Ordering::Relaxed);
        }
    }

    /// Whether it is too late to trust our own timing.
    pub(super) fn is_high(&self) -> bool {
        self.0.load(Ordering::Relaxed) > LATE.as_micros() as u64
    }
}
