//! Random bits for draws: fast, one generator for each worker or connection, seeded by the operating system.
//!
//! Not for secrets: draws spread load, and who learns one learns nothing.

use std::hash::{BuildHasher, Hasher, RandomState};

/// SplitMix64 (Steele, Lea, Flood 2014): one add and three multiplications a draw, full period, any seed is good.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Seeded by the operating system.
    pub fn new() -> Self {
        // `RandomState` is the standard library's only door to the system's random numbers.
        Dice { state: RandomState::new().build_hasher().finish() }
    }

    /// 64 uniform bits.
    #[inline]
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Default for Dice {
    fn default() -> Self {
        Dice::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_workers_do_not_draw_alike() {
        assert_ne!(Dice::new().roll(), Dice::new().roll());
    }

    #[test]
    fn every_bit_is_set_about_half_the_time() {
        let mut dice = Dice { state: 1 };
        let mut set = [0u32; 64];
        for _ in 0..4096 {
            let bits = dice.roll();
            for (bit, count) in set.iter_mut().enumerate() {
                *count += (bits >> bit & 1) as u32;
            }
        }
        assert!(set.iter().all(|n| (1848..2248).contains(n)), "{set:?}");
    }
}
