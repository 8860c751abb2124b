//! How long what might never end goes on when it is to leave: `drain_timeout`, and a little more, each another little.
//!
//! A WebSocket comes back at once when it is closed. A thousand that are closed in the same moment come back in the same moment,
//! to those who have enough to do already.

use std::time::Duration;

/// The ends are spread over this share of the drain.
const SPREAD: u32 = 10;
/// And over no more than this.
const SPREAD_MAX: Duration = Duration::from_secs(60);

/// Over how long connections end that have had their time.
pub fn spread(drain: Duration) -> Duration {
    (drain / SPREAD).min(SPREAD_MAX)
}

/// The whole time of one of them; `draw` is random.
pub fn time(drain: Duration, draw: u64) -> Duration {
    drain + share(spread(drain), draw)
}

/// A random share of a time.
pub fn share(of: Duration, draw: u64) -> Duration {
    of.mul_f64(draw as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_ends_before_his_time_or_long_after() {
        let drain = Duration::from_secs(300);
        assert_eq!((time(drain, 0), time(drain, u64::MAX)), (drain, Duration::from_secs(330)));
        let day = Duration::from_secs(86_400);
        assert_eq!(time(day, u64::MAX) - day, SPREAD_MAX);
        assert_eq!(time(Duration::ZERO, 7), Duration::ZERO);
    }
}
