//! Times as people read them: how long since, how long until.

use std::time::Duration;

use crate::admin::when;
use crate::model::Moment;

/// A duration in its two largest units: `42s`, `3m12s`, `2h05m`, `3d4h`.
pub fn coarse(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// How long ago a time of the API was; the time itself where it cannot be read.
pub fn since(now: Option<Moment>, time: &str) -> String {
    match (now, when::read(time)) {
        (Some(now), Ok(then)) => coarse(now - then),
        _ => time.to_owned(),
    }
}

/// How long it is until a time of the API, rounded up, so that a minute from now is `1m00s`.
pub fn until(now: Option<Moment>, time: &str) -> String {
    match (now, when::read(time)) {
        (Some(now), Ok(then)) => coarse(Duration::from_secs((then - now).as_millis().div_ceil(1000) as u64)),
        _ => time.to_owned(),
    }
}

/// A time of the API to the second: `2026-11-18T09:30:00Z`.
pub fn second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, rest)) if rest.ends_with('Z') => format!("{seconds}Z"),
        _ => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_say_enough() {
        let says = |seconds| coarse(Duration::from_secs(seconds));
        assert_eq!(
            [0, 59, 60, 192, 3600, 7500, 86_400, 273_600].map(says),
            ["0s", "59s", "1m00s", "3m12s", "1h00m", "2h05m", "1d0h", "3d4h"]
        );
    }

    #[test]
    fn times_are_told_from_the_servers_now() {
        let now = when::read("2026-11-18T09:30:00.000Z").ok();
        assert_eq!(since(now, "2026-11-18T09:26:48.500Z"), "3m11s");
        assert_eq!(until(now, "2026-11-18T09:30:59.200Z"), "1m00s");
        assert_eq!(until(now, "2026-11-18T09:00:00Z"), "0s");
        assert_eq!(since(now, "yesterday"), "yesterday");
        assert_eq!(second("2026-11-18T09:30:00.250Z"), "2026-11-18T09:30:00Z");
    }
}
