//! An endpoint that comes back is given its share step by step.
//!
//! Its caches are cold and its connections not yet made; all of its share in the first second is what takes it down again.
//! The weight grows linearly from a tenth over the window: `w × max(0.1, t / window)` (HAProxy's `slowstart`, Envoy's
//! `slow_start_config` with `min_weight_percent` 10).
//!
//! Never at process start: then everyone would be new, and nothing is gained by giving all a tenth. Nor in hashed
//! policies: a weight that grows moves keys at every step, and keys that move are what those policies avoid.

use std::time::Duration;

use crate::model::Moment;

/// Effective weights are in thousandths, so that a tenth of 1 is not 0. The largest weight (65,535) still fits 32 bits.
pub const GRAIN: u32 = 1_000;

/// The share of its weight, in thousandths, that an endpoint starts with.
const FIRST_SHARE: u64 = 100;

/// What an endpoint weighs now, in thousandths. `risen` is when it came up while this process watched; `None` for one that
/// was up from the start.
#[inline]
pub fn effective(weight: u32, risen: Option<Moment>, window: Duration, now: Moment) -> u32 {
    let grown = risen.map_or(1_000, |risen| share(now.since(risen), window));
    (u64::from(weight) * grown).min(u64::from(u32::MAX)) as u32
}

/// Whether its weight is still growing: whoever keeps effective weights works them out again until then.
pub fn is_growing(risen: Option<Moment>, window: Duration, now: Moment) -> bool {
    risen.is_some_and(|risen| now.since(risen) < window)
}

/// Thousandths of the weight after so long.
fn share(age: Duration, window: Duration) -> u64 {
    if age >= window {
        return 1_000;
    }
    let share = age.as_micros() * 1_000 / window.as_micros().max(1);
    (share as u64).clamp(FIRST_SHARE, 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    fn weight_after(seconds: u64) -> u32 {
        effective(4, Some(Moment::from_secs(100)), WINDOW, Moment::from_secs(100 + seconds))
    }

    #[test]
    fn it_grows_from_a_tenth_to_the_whole() {
        assert_eq!([0, 3, 6, 15, 29, 30, 300].map(weight_after), [400, 400, 800, 2_000, 3_864, 4_000, 4_000]);
    }

    #[test]
    fn at_process_start_everyone_has_its_whole_weight() {
        assert_eq!(effective(4, None, WINDOW, Moment::from_secs(0)), 4_000);
        assert!(!is_growing(None, WINDOW, Moment::from_secs(0)));
    }

    #[test]
    fn odd_windows_and_clocks_do_no_harm() {
        let risen = Some(Moment::from_secs(100));
        assert_eq!(effective(4, risen, Duration::ZERO, Moment::from_secs(100)), 4_000);
        assert_eq!(effective(4, risen, WINDOW, Moment::from_secs(50)), 400, "before it rose");
        assert_eq!(effective(0, risen, WINDOW, Moment::from_secs(110)), 0);
        assert_eq!(effective(u32::MAX, None, WINDOW, Moment::from_secs(0)), u32::MAX);
        assert!(
            is_growing(risen, WINDOW, Moment::from_secs(129)) && !is_growing(risen, WINDOW, Moment::from_secs(130))
        );
    }
}
