//! Has this client asked too often? A rate for each client address, in a table that cannot grow.
//!
//! The generic cell rate algorithm (ATM Forum 1996; the leaky bucket as one number): a client has a moment at which its next
//! request is due, each request moves it by `1 / rate`, and it may run ahead by a burst. So a client costs 16 bytes and a
//! request no clean-up. The table has a fixed number of places in sets of four; in a full set the client who is furthest from its
//! bound gives up its place, and it is the one who loses least by being forgotten. A flood of addresses can thus make us
//! forget, never allocate, and a client at its bound is the last to be forgotten.

use std::time::Duration;

use crate::model::Moment;

/// Clients that share a set.
const WAYS: usize = 4;

/// Clients that are remembered at once on one core: 1 MiB.
pub const CLIENTS_MAX: usize = 1 << 16;

/// The rates of the clients of one listener on one core.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Between two requests of one client, in microseconds.
    gap: u64,
    /// How far ahead of its due a client may be, in microseconds.
    ahead_max: u64,
    places: Box<[Place]>,
}

/// A client, by its key, and when its next request is due. A due in the past is a place that is free.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    client: u64,
    due: u64,
}

impl Rates {
    /// So many requests a second for each client, and that many at once after a rest; at least 1 each.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let gap = (1_000_000 / u64::from(per_second.max(1))).max(1);
        Rates { gap, ahead_max: gap * u64::from(burst.max(1)), places: vec![Place::default(); CLIENTS_MAX].into() }
    }

    /// Counts a request of the client of that key ([`super::key::ClientKey`]): nothing when it may be, or how long the client
    /// should wait (`Retry-After`). A request that may not be is not counted.
    #[inline]
    pub fn ask(&mut self, client: u64, now: Moment) -> Result<(), Duration> {
        let set = (client as usize % (CLIENTS_MAX / WAYS)) * WAYS;
        let set = &mut self.places[set..set + WAYS];
        let at = set.iter().position(|place| place.client == client).unwrap_or_else(|| least_due(set));
        let due = if set[at].client == client { set[at].due.max(now.0) } else { now.0 };
        let next = due.saturating_add(self.gap);
        let ahead = next.saturating_sub(now.0);
        if ahead > self.ahead_max {
            return Err(Duration::from_micros(ahead - self.ahead_max));
        }
        set[at] = Place { client, due: next };
        Ok(())
    }
}

/// Who loses least by being forgotten.
fn least_due(set: &[Place]) -> usize {
    (0..set.len()).min_by_key(|at| set[*at].due).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: Moment = Moment::from_secs(1_000);

    fn granted(rates: &mut Rates, client: u64, now: Moment, requests: usize) -> usize {
        (0..requests).filter(|_| rates.ask(client, now).is_ok()).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut rates = Rates::new(10, 5);
        assert_eq!(granted(&mut rates, 7, T0, 100), 5);
        assert_eq!(rates.ask(7, T0), Err(Duration::from_millis(100)));
        assert_eq!(granted(&mut rates, 7, T0 + Duration::from_secs(1), 100), 5, "no more than a burst was saved");
        let steady: usize =
            (1..=100).map(|i| granted(&mut rates, 7, T0 + Duration::from_millis(1_000 + i * 100), 3)).sum();
        assert_eq!(steady, 100);
    }

    #[test]
    fn clients_do_not_pay_for_each_other() {
        let mut rates = Rates::new(10, 5);
        granted(&mut rates, 7, T0, 100);
        assert_eq!(granted(&mut rates, 8, T0, 100), 5);
    }

    #[test]
    fn a_flood_of_addresses_does_not_free_who_is_at_its_bound() {
        let mut rates = Rates::new(10, 5);
        granted(&mut rates, 7, T0, 100);
        (0..200_000u64).for_each(|i| _ = rates.ask(1_000_000 + i * 977, T0));
        assert_eq!(granted(&mut rates, 7, T0, 10), 0);
    }

    #[test]
    fn odd_settings_and_moments_do_no_harm() {
        let mut rates = Rates::new(0, 0);
        assert!(rates.ask(0, Moment(0)).is_ok() && rates.ask(0, Moment(0)).is_err());
        assert!(Rates::new(u32::MAX, u32::MAX).ask(1, Moment(u64::MAX)).is_ok());
    }

    proptest! {
        /// Over any time, a client gets its burst and its rate, and one more at most.
        #[test]
        fn the_rate_is_kept(waits in proptest::collection::vec(0u64..200_000, 1..300), per_second in 1u32..100, burst in 1u32..20) {
            let (mut rates, mut now, mut granted) = (Rates::new(per_second, burst), T0, 0u64);
            for wait in waits {
                now = now + Duration::from_micros(wait);
                granted += u64::from(rates.ask(7, now).is_ok());
            }
            let allowed = now.since(T0).as_micros() as u64 * u64::from(per_second) / 1_000_000 + u64::from(burst) + 1;
            prop_assert!(granted <= allowed, "{granted} of {allowed}");
        }
    }
}
