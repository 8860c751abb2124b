//! Does every thread that answers UDP still turn?
//!
//! A worker beats each time it looks at its socket, at least every tenth of a second when it is idle. Whoever watches
//! compares two looks: a pulse that has not moved between them belongs to a worker that hangs, or has died. A beat is
//! one store to a cache line nobody else writes.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// One worker's. Aligned so that two workers' never share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct Pulse {
    beats: AtomicU64,
    whose: String,
}

impl Pulse {
    /// Only its worker calls it, so a load and a store do.
    #[inline]
    pub fn beat(&self) {
        self.beats.store(self.beats.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// Those of all workers that are meant to turn. A std mutex: held when workers begin and when somebody looks.
#[derive(Debug, Default)]
pub struct Pulses(Mutex<Vec<Watched>>);

#[derive(Debug)]
struct Watched {
    pulse: Weak<Pulse>,
    seen: Option<u64>,
}

impl Pulses {
    /// A worker begins; it is watched until whoever keeps what this returns lets it go.
    pub fn begin(&self, whose: String) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse { beats: AtomicU64::new(0), whose });
        self.watched().push(Watched { pulse: Arc::downgrade(&pulse), seen: None });
        pulse
    }

    /// Those that have not moved since the last look.
    pub fn still(&self) -> Vec<String> {
        let mut still = Vec::new();
        self.watched().retain_mut(|watched| {
            let Some(pulse) = watched.pulse.upgrade() else { return false };
            let beats = pulse.beats.load(Relaxed);
            if watched.seen.replace(beats) == Some(beats) {
                still.push(pulse.whose.clone());
            }
            true
        });
        still
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Vec<Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_move_between_two_looks_is_named_and_who_has_gone_is_not() {
        let pulses = Pulses::default();
        let (turns, hangs) = (pulses.begin("one".to_owned()), pulses.begin("two".to_owned()));
        assert!(pulses.still().is_empty(), "the first look only learns");
        turns.beat();
        assert_eq!(pulses.still(), ["two"]);
        drop(hangs);
        turns.beat();
        assert!(pulses.still().is_empty());
    }
}
