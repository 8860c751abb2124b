//! Which of a route's pools does this client belong to? Canaries by weight.
//!
//! Weighted rendezvous over the pools' names: a client keeps its pool for as long as the weights say so, on every node. When a
//! canary goes from 5 to 10 per cent, clients move to it and none moves elsewhere; when it is taken back, they return.

use crate::balance::key::identity;
use crate::balance::rendezvous;
use crate::model::Arm;
use crate::model::PoolId;

/// The pools of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    arms: Box<[(PoolId, u64, u32)]>,
}

impl Split {
    /// Of these arms. Those of weight 0 have no clients, unless all are 0.
    pub fn of<'a>(arms: &[Arm], name: impl Fn(PoolId) -> &'a str) -> Self {
        let have_weight = arms.iter().any(|arm| arm.weight > 0);
        let counted = arms.iter().filter(|arm| arm.weight > 0 || !have_weight);
        Split { arms: counted.map(|arm| (arm.pool, identity(name(arm.pool).as_bytes()), arm.weight.max(1))).collect() }
    }

    /// Every pool that has clients.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> + '_ {
        self.arms.iter().map(|(pool, ..)| *pool)
    }

    /// The same with what each weighs.
    pub fn weights(&self) -> impl Iterator<Item = (PoolId, u32)> + '_ {
        self.arms.iter().map(|(pool, _, weight)| (*pool, *weight))
    }

    /// Whether there is anything to choose: a key is worked out only then.
    pub fn is_choice(&self) -> bool {
        self.arms.len() > 1
    }

    /// The pool of that key.
    #[inline]
    pub fn pool(&self, key: u64) -> Option<PoolId> {
        if let [only] = &*self.arms {
            return Some(only.0);
        }
        let offered = self.arms.iter().enumerate().map(|(at, (_, identity, weight))| (at, *identity, *weight));
        rendezvous::winner(key, offered).map(|at| self.arms[at].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["app", "canary"];

    fn split(weights: [u32; 2]) -> Split {
        let arms = [0, 1].map(|pool| Arm { pool: PoolId(pool), weight: weights[pool as usize] });
        Split::of(&arms, |pool| NAMES[pool.index()])
    }

    /// Keys as clients have them.
    fn keys() -> impl Iterator<Item = u64> {
        (0..50_000u64).map(|client| identity(&client.to_le_bytes()))
    }

    #[test]
    fn shares_follow_weights() {
        let split = split([95, 5]);
        let canary = keys().filter(|key| split.pool(*key) == Some(PoolId(1))).count();
        assert!((2_250..2_750).contains(&canary), "{canary} of 50,000");
    }

    #[test]
    fn a_growing_canary_takes_and_gives_nothing_away() {
        let (five, ten) = (split([95, 5]), split([95, 10]));
        for key in keys() {
            assert!(five.pool(key) == ten.pool(key) || ten.pool(key) == Some(PoolId(1)));
        }
    }

    #[test]
    fn nothing_to_choose() {
        assert_eq!(split([1, 0]).pool(7), Some(PoolId(0)));
        assert!(!split([1, 0]).is_choice() && split([0, 0]).is_choice());
        assert_eq!(Split::of(&[], |_| "").pool(7), None);
    }
}
