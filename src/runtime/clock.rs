//! What time is it? The one place that asks the operating system.
//!
//! The wall clock is read once; from then on the monotonic clock carries it. So a [`Moment`] never steps back when
//! somebody sets the date, and still means a date to people and to files (off by what the date was set since start).
#![expect(clippy::disallowed_methods, reason = "everything else is told the time by this module")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::Moment;

/// The clock of this process; copies agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_at: Moment,
}

impl Clock {
    /// Sets it by the wall clock. Once for each process.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Clock { started: Instant::now(), started_at: Moment::default() + since_epoch }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.started_at + self.started.elapsed()
    }

    /// The same moment for timers.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.started + moment.since(self.started_at)
    }

    /// When this process started.
    pub fn started_at(&self) -> Moment {
        self.started_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_forward_and_knows_the_year() {
        let clock = Clock::start();
        let (first, second) = (clock.now(), clock.now());
        assert!(first <= second);
        assert!(first.secs() > 1_700_000_000, "after 2023");
        assert_eq!(clock.instant(first + Duration::from_secs(1)) - clock.instant(first), Duration::from_secs(1));
    }
}
