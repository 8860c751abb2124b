//! A point in time, as the pure layers are told it.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Microseconds since the Unix epoch, on a clock that never steps back (`runtime::clock` sets it once by the wall clock
/// and lets the monotonic clock carry it on). So one value serves for intervals, for what people read and for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// That many seconds after the epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Moment(seconds.saturating_mul(1_000_000))
    }
    /// Whole seconds since the epoch.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000
    }
    /// How long after `earlier` this is; zero when it is not.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, wait: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Moment {
    type Output = Duration;
    fn sub(self, earlier: Moment) -> Duration {
        self.since(earlier)
    }
}
