//! First, second and third choice: when do requests go to a pool's backups?
//!
//! Members stand in tiers: those without `backup`, then the backups, tier by tier. A tier carries everything while its
//! healthy share times 1.4 is at least 1, so that one of four may fail and nothing spills; below that it keeps just that
//! much and the rest goes on to the next (Envoy's priority levels and overprovisioning factor). HAProxy and nginx wait for
//! the last server to die, which then has carried the load of all.
//!
//! Members of weight 0 are the last resort: asked only when nobody else is left, never by spilling.
//!
//! Made anew when health or weights change; a request only reads which set it falls to.

use crate::balance::set::Set;

/// A tier carries so many hundredths of what its healthy share alone would be.
pub const OVERPROVISION_PERCENT: u64 = 140;

/// The whole, in the unit of shares.
pub const WHOLE: u32 = 10_000;

/// The usable members of a pool, tier by tier, with what each tier carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers {
    tiers: Vec<Tier>,
    last_resort: Set,
    cover: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tier {
    usable: Set,
    /// Of [`WHOLE`], with those of the tiers before.
    up_to: u32,
}

/// A member as tiers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranked {
    /// 0 for members proper, 1 for backups, and so on.
    pub tier: u8,
    /// What it weighs by configuration or order; 0 for a last resort.
    pub weight: u32,
    /// Whether it may be chosen now.
    pub usable: bool,
}

impl Tiers {
    /// Of these members, in the pool's order.
    pub fn of(members: &[Ranked]) -> Self {
        let count = members.len();
        let mut levels: Vec<u8> = members.iter().filter(|member| member.weight > 0).map(|member| member.tier).collect();
        levels.sort_unstable();
        levels.dedup();
        let health: Vec<u32> = levels.iter().map(|level| health(members, *level)).collect();
        let sum: u32 = health.iter().sum();
        let mut carried = 0;
        let tiers = levels.iter().zip(health).map(|(level, health)| {
            // Where all tiers together cannot carry the whole, they share it as they are able (Envoy's normalisation).
            let able = if sum < WHOLE && sum > 0 {
                (u64::from(health) * u64::from(WHOLE)).div_ceil(u64::from(sum)) as u32
            } else {
                health
            };
            carried = WHOLE.min(carried + able);
            let is_in =
                |place: usize| members[place].usable && members[place].weight > 0 && members[place].tier == *level;
            Tier { usable: Set::of(count, is_in), up_to: carried }
        });
        Tiers {
            tiers: tiers.collect(),
            last_resort: Set::of(count, |place| members[place].usable && members[place].weight == 0),
            cover: sum.min(WHOLE),
        }
    }

    /// Whom a request may be sent to. `point` is its draw; for keyed policies its key, so that a client stays in its tier.
    #[inline]
    pub fn choose(&self, point: u64) -> &Set {
        let at = ((u128::from(point) * u128::from(WHOLE)) >> 64) as u32;
        let found = self.tiers.iter().find(|tier| at < tier.up_to).map(|tier| &tier.usable);
        found.filter(|usable| !usable.is_empty()).unwrap_or(&self.last_resort)
    }

    /// Each tier: what part of [`WHOLE`] falls to it, and among whom; for `explain`.
    pub fn parts(&self) -> impl Iterator<Item = (u32, &Set)> {
        let before = std::iter::once(0).chain(self.tiers.iter().map(|tier| tier.up_to));
        self.tiers.iter().zip(before).map(|(tier, before)| (tier.up_to - before, &tier.usable))
    }

    /// Whom requests are sent to that fall to a tier with nobody, or to none; for `explain`.
    pub fn last_resort(&self) -> &Set {
        &self.last_resort
    }

    /// For a retry whose tier has nobody left that was not tried: the first tier with somebody.
    pub fn another(&self, tried: &[u32]) -> Option<&Set> {
        let left = |set: &&Set| set.iter().any(|member| !tried.contains(&(member as u32)));
        self.tiers.iter().map(|tier| &tier.usable).chain([&self.last_resort]).find(left)
    }

    /// The same shares over everyone in `all`, which was made of the same members: what a pool does that panics. A tier that is
    /// wholly down still carries nothing while another carries something; only when none does, all count as `all` has them.
    pub fn widened_to(self, all: Tiers) -> Tiers {
        if self.cover == 0 {
            return all;
        }
        let tiers = self.tiers.iter().zip(all.tiers).map(|(own, all)| Tier { usable: all.usable, up_to: own.up_to });
        Tiers { tiers: tiers.collect(), last_resort: all.last_resort, cover: self.cover }
    }

    /// How much of the load the tiers together carry, of [`WHOLE`]; below it the pool may panic (see [`super::panic`]).
    pub fn cover(&self) -> u32 {
        self.cover
    }
}

/// The healthy share of a tier by weight, with overprovision, of [`WHOLE`].
fn health(members: &[Ranked], tier: u8) -> u32 {
    let weigh = |only_usable: bool| -> u64 {
        let of_tier = members.iter().filter(|member| member.tier == tier && (member.usable || !only_usable));
        of_tier.map(|member| u64::from(member.weight)).sum()
    };
    let share = weigh(true) * u64::from(WHOLE) * OVERPROVISION_PERCENT / 100 / weigh(false).max(1);
    share.min(u64::from(WHOLE)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::ask::testing::draws;

    /// `P` and `p` are members proper up and down, `B` and `b` backups, `Z` a last resort that is up.
    fn tiers(pool: &str) -> Tiers {
        let member = |c: char| Ranked {
            tier: u8::from(c.eq_ignore_ascii_case(&'b')),
            weight: u32::from(!c.eq_ignore_ascii_case(&'z')),
            usable: c.is_ascii_uppercase(),
        };
        Tiers::of(&pool.chars().map(member).collect::<Vec<_>>())
    }

    /// Per cent of requests that go to the first tier of the pool's first member, and to the last resort.
    fn first_share(pool: &str) -> u32 {
        let tiers = tiers(pool);
        draws()
            .take(10_000)
            .filter(|draw| tiers.choose(*draw).iter().any(|place| pool.as_bytes()[place] == b'P'))
            .count() as u32
            / 100
    }

    #[test]
    fn one_of_four_may_fail_before_anything_spills() {
        assert_eq!(first_share("PPPPBB"), 100);
        assert_eq!(first_share("PPPpBB"), 100, "3/4 times 1.4 is more than the whole");
        assert!((69..=71).contains(&first_share("PPppBB")), "2/4 times 1.4");
        assert!((34..=36).contains(&first_share("PpppBB")));
        assert_eq!(first_share("ppppBB"), 0);
    }

    #[test]
    fn where_all_together_cannot_carry_it_they_share_it() {
        assert!((49..=51).contains(&first_share("PpppBbbb")), "35 and 35 per cent become halves");
        assert_eq!(tiers("PpppBbbb").cover(), 7_000);
        assert_eq!(tiers("PpppBB").cover(), WHOLE);
    }

    #[test]
    fn the_last_resort_is_the_last() {
        assert_eq!(tiers("ppbbZ").choose(7).iter().collect::<Vec<_>>(), [4]);
        assert!(draws().take(1_000).all(|draw| !tiers("PpppZ").choose(draw).contains(4)));
        assert!(tiers("pb").choose(7).is_empty() && tiers("").choose(7).is_empty());
        assert_eq!(tiers("ZZ").choose(7).count(), 2);
    }

    #[test]
    fn a_retry_finds_the_next_tier() {
        let tiers = tiers("PB");
        assert_eq!(tiers.choose(3).iter().collect::<Vec<_>>(), [0]);
        assert_eq!(tiers.another(&[0]).unwrap().iter().collect::<Vec<_>>(), [1]);
        assert_eq!(tiers.another(&[0, 1]), None);
    }

    proptest! {
        /// While anyone is usable, every request finds somebody, and only the usable.
        #[test]
        fn nobody_is_left_without(members in proptest::collection::vec((0u8..3, 0u32..5, any::<bool>()), 1..20), point: u64) {
            let members: Vec<Ranked> =
                members.into_iter().map(|(tier, weight, usable)| Ranked { tier, weight, usable }).collect();
            let tiers = Tiers::of(&members);
            let chosen = tiers.choose(point);
            prop_assert!(chosen.iter().all(|place| members[place].usable));
            prop_assert_eq!(chosen.is_empty(), !members.iter().any(|member| member.usable));
        }
    }
}
