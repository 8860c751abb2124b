//! When too few endpoints are up to believe it: balance over all.
//!
//! If more than half of a pool looks dead, it is likelier that the checks are wrong, or that the few left will be crushed by
//! the load of all, than that sending some requests to the dead makes it worse (Envoy's panic threshold). Drained
//! endpoints and those in maintenance stay out in any case: an operator took them out.
//!
//! Not while backups can carry the load: a pool whose four members are dead and whose backup stands is no reason to panic.
//! `config` refuses a pool whose DNS still sends clients (`min_healthy`) below what panics here.

use crate::balance::tiers::WHOLE;

/// Fewer than so many per cent up: panic. Envoy's default.
pub const THRESHOLD_PERCENT: u32 = 50;

/// Whether a pool panics: so many of its endpoints are up, of those no operator took out, and its tiers carry `cover`
/// (see [`super::tiers::Tiers::cover`]). A threshold of 0 never panics.
pub fn is_due(up: usize, all: usize, threshold_percent: u32, cover: u32) -> bool {
    cover < WHOLE && (up as u64) * 100 < (all as u64) * u64::from(threshold_percent)
}

/// Whether a pool that DNS still sends clients to could panic: with `min_healthy` up of all, DNS says it is well.
pub fn contradicts_min_healthy(min_healthy: u32, all: u32, threshold_percent: u32) -> bool {
    is_due(min_healthy as usize, all as usize, threshold_percent, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_half_and_without_backups() {
        assert!(!is_due(2, 4, THRESHOLD_PERCENT, 7_000), "half is not below half");
        assert!(is_due(1, 4, THRESHOLD_PERCENT, 3_500));
        assert!(is_due(0, 4, THRESHOLD_PERCENT, 0));
        assert!(!is_due(1, 5, THRESHOLD_PERCENT, WHOLE), "a backup carries it");
    }

    #[test]
    fn never_when_told_so_and_never_of_nothing() {
        assert!(!is_due(0, 4, 0, 0));
        assert!(!is_due(0, 0, THRESHOLD_PERCENT, 0));
    }

    #[test]
    fn what_dns_calls_well_must_not_panic() {
        assert!(contradicts_min_healthy(1, 4, THRESHOLD_PERCENT));
        assert!(!contradicts_min_healthy(2, 4, THRESHOLD_PERCENT));
        assert!(!contradicts_min_healthy(1, 4, 25));
    }
}
