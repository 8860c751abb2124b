//! The law of a pool: how many of its endpoints may rest at once?
//!
//! At most half, and never the last healthy one. Passive evidence is what clients saw, and when clients see failures
//! everywhere the cause is seldom every endpoint (a shared database, a bad release, a bad request repeated by many). Resting
//! them all would turn errors of some requests into an outage of all.

/// A pool at the moment one of its endpoints would rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolNow {
    /// Endpoints that no operator took out.
    pub members: usize,
    /// Of those, how many rest or are on trial.
    pub ejected: usize,
    /// How many others are up and do not rest.
    pub healthy_others: usize,
}

/// Whether one more may rest.
pub fn may_rest(pool: PoolNow) -> bool {
    pool.healthy_others > 0 && (pool.ejected + 1) * 2 <= pool.members
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of a healthy pool come to rest when every request fails.
    fn all_fail(members: usize) -> usize {
        let mut ejected = 0;
        while may_rest(PoolNow { members, ejected, healthy_others: members - ejected - 1 }) {
            ejected += 1;
        }
        ejected
    }

    #[test]
    fn at_most_half() {
        assert_eq!([1, 2, 3, 4, 5, 100].map(all_fail), [0, 1, 1, 2, 2, 50]);
    }

    #[test]
    fn never_the_last_healthy_one() {
        assert!(!may_rest(PoolNow { members: 10, ejected: 0, healthy_others: 0 }), "probes took the others");
        assert!(may_rest(PoolNow { members: 10, ejected: 0, healthy_others: 1 }));
    }

    /// Every pool of up to 40, walked whole.
    #[test]
    fn the_law_holds_in_every_pool() {
        for members in 1..=40 {
            for ejected in 0..members {
                for healthy_others in 0..members - ejected {
                    if may_rest(PoolNow { members, ejected, healthy_others }) {
                        assert!((ejected + 1) * 2 <= members && healthy_others >= 1);
                    }
                }
            }
        }
    }
}
