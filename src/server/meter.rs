//! What did all listeners count, those that are closed among them?
//!
//! A [`Meter`] outlives the listeners it is told of, and anyone may hold one: whoever reads it disturbs nobody who
//! counts.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::server::admission::Admission;
use crate::server::counters::Counters;
use crate::server::counters::Tally;

/// A view of what a server's listeners count; clones see the same.
#[derive(Debug, Clone)]
pub struct Meter {
    counters: Arc<Mutex<Watched>>,
    admission: Arc<Admission>,
}

#[derive(Debug, Default)]
struct Watched {
    open: Vec<Arc<Counters>>,
    /// The sum of those that nobody counts in any more.
    closed: Tally,
}

impl Meter {
    /// Of no listener yet; its streams are admitted there.
    pub fn new(admission: Arc<Admission>) -> Self {
        Meter { counters: Arc::default(), admission }
    }

    /// Reads these, too, from now on, those it does not read yet.
    pub fn watch(&self, counters: impl IntoIterator<Item = Arc<Counters>>) {
        self.with(|watched| {
            for new in counters {
                if !watched.open.iter().any(|known| Arc::ptr_eq(known, &new)) {
                    watched.open.push(new);
                }
            }
        });
    }

    /// What was counted since the start, over all listeners.
    pub fn totals(&self) -> Tally {
        self.with(|watched| {
            for counters in std::mem::take(&mut watched.open) {
                match Arc::try_unwrap(counters) {
                    Ok(ended) => ended.add_to(&mut watched.closed),
                    Err(counters) => watched.open.push(counters),
                }
            }
            let mut sum = watched.closed;
            watched.open.iter().for_each(|counters| counters.add_to(&mut sum));
            sum
        })
    }

    /// How many TCP and TLS connections are open.
    pub fn connections(&self) -> usize {
        self.admission.open()
    }

    fn with<T>(&self, look: impl FnOnce(&mut Watched) -> T) -> T {
        look(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_closed_listener_counted_is_kept() {
        let meter = Meter::new(Arc::default());
        let (stays, goes) = (Arc::<Counters>::default(), Arc::<Counters>::default());
        meter.watch([stays.clone(), goes.clone()]);
        meter.watch([stays.clone()]);
        stays.add(&Tally { queries: 1, ..Tally::default() });
        goes.add(&Tally { queries: 10, ..Tally::default() });
        assert_eq!(meter.totals().queries, 11);
        goes.add(&Tally { queries: 100, ..Tally::default() });
        drop(goes);
        assert_eq!(meter.totals().queries, 111);
        assert_eq!(meter.clone().totals().queries, 111);
    }
}
