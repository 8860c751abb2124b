//! Maglev's table: which member a key falls to, by one look, however many members there are.
//!
//! Eisenbud et al., "Maglev: a fast and reliable software network load balancer" (NSDI 2016, section 3.4): each member walks
//! the slots in an order of its own and takes the first free one in its turn. Weights as in Katran's `MaglevHashV2`: all gain
//! their weight, whoever reaches the largest weight takes a slot and pays that. Members are taken in the order of their
//! identities, so the order in a file changes nothing and every node makes the same table.
//!
//! The table holds all members of the configuration, the unhealthy, too. One that cannot be used is passed over by looking
//! up other slots, drawn from the key: then its keys alone move, spread evenly, and come back with it. Making the table
//! anew without it would move some keys of others, which is Maglev's price (2/N in the tests below).
//!
//! 65,537 slots, the paper's small table: the largest share is within 1 % of the weights up to some 600 members. Making it
//! takes 1 ms for 100 members and for 1,000 in a release build (a test below prints it), at worst 0.1 s: a thousand whose weights are
//! 65,535 and 1. Two bytes a slot, shared by all cores.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::balance::ask::Member;
use crate::balance::rendezvous;

/// Slots of the table: a prime, so that every step walks all of them.
pub const SLOTS: usize = 65_537;

/// How many slots are tried before the few that are left are asked one by one: with half of a pool gone one key in 2^16
/// gets there.
const LOOKS_MAX: u64 = 16;

/// Never change them: nodes of two versions would send one client to two places.
const SEED_OFFSET: u64 = 0x6d61_676c_6576_6f66;
const SEED_STEP: u64 = 0x6d61_676c_6576_7374;
const SEED_LOOK: u64 = 0x6d61_676c_6576_6c6f;

/// The table of one pool.
#[derive(Clone, PartialEq, Eq)]
pub struct Maglev {
    slots: Box<[u16]>,
}

impl std::fmt::Debug for Maglev {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Maglev({} slots)", self.slots.len())
    }
}

/// Where a member stands on its walk over the slots.
struct Walker {
    member: u16,
    weight: u64,
    /// Gained and not yet paid for a slot.
    gained: u64,
    at: usize,
    step: usize,
}

impl Maglev {
    /// The table of these members. Those without weight have no slot unless nobody has weight; members from the 65,536th
    /// on have none either (a pool that large is refused by `config`).
    pub fn of(members: &[Member]) -> Self {
        let mut walkers = walkers(members);
        let most = walkers.iter().map(|walker| walker.weight).max().unwrap_or(0);
        if most == 0 {
            return Maglev { slots: Box::default() };
        }
        let mut slots = vec![u16::MAX; SLOTS];
        let mut free = SLOTS;
        loop {
            for walker in &mut walkers {
                walker.gained += walker.weight;
                if walker.gained < most {
                    continue;
                }
                walker.gained -= most;
                walker.take(&mut slots);
                free -= 1;
                if free == 0 {
                    return Maglev { slots: slots.into() };
                }
            }
        }
    }

    /// Which member a key falls to, of those that are `able`.
    #[inline]
    pub fn find(&self, key: u64, members: &[Member], able: impl Fn(usize) -> bool) -> Option<usize> {
        let first = self.at(key)?;
        if able(first) { Some(first) } else { self.look_on(key, members, able) }
    }

    #[cold]
    fn look_on(&self, key: u64, members: &[Member], able: impl Fn(usize) -> bool) -> Option<usize> {
        let looks = (1..LOOKS_MAX).filter_map(|look| self.at(xxh3_64_with_seed(&look.to_le_bytes(), key ^ SEED_LOOK)));
        looks.into_iter().find(|member| able(*member)).or_else(|| {
            let left = members.iter().enumerate().filter(|(place, _)| able(*place));
            rendezvous::winner(key, left.map(|(place, member)| (place, member.identity, member.weight)))
        })
    }

    #[inline]
    fn at(&self, key: u64) -> Option<usize> {
        self.slots.get((key % SLOTS as u64) as usize).map(|member| usize::from(*member))
    }

    /// How many slots a member has.
    pub fn slots_of(&self, member: usize) -> usize {
        self.slots.iter().filter(|slot| usize::from(**slot) == member).count()
    }
}

impl Walker {
    /// Takes the next free slot of its walk; there is one.
    #[inline]
    fn take(&mut self, slots: &mut [u16]) {
        while slots[self.at] != u16::MAX {
            self.advance();
        }
        slots[self.at] = self.member;
        self.advance();
    }

    #[inline]
    fn advance(&mut self) {
        self.at += self.step;
        if self.at >= SLOTS {
            self.at -= SLOTS;
        }
    }
}

/// One for each member that counts, by identity.
fn walkers(members: &[Member]) -> Vec<Walker> {
    let have_weight = members.iter().any(|member| member.weight > 0);
    let known = members.iter().take(usize::from(u16::MAX)).enumerate();
    let counted = known.filter(|(_, member)| member.weight > 0 || !have_weight);
    let mut sorted: Vec<(usize, &Member)> = counted.collect();
    sorted.sort_by_key(|(place, member)| (member.identity, *place));
    sorted
        .into_iter()
        .map(|(place, member)| {
            let hash = |seed| xxh3_64_with_seed(&member.identity.to_le_bytes(), seed);
            Walker {
                member: place as u16,
                weight: u64::from(member.weight.max(1)),
                gained: 0,
                at: (hash(SEED_OFFSET) % SLOTS as u64) as usize,
                step: (hash(SEED_STEP) % (SLOTS as u64 - 1)) as usize + 1,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::ask::testing::draws;
    use crate::balance::key::identity;

    fn pool(weights: &[u32]) -> Vec<Member> {
        let name = |place: usize| identity(format!("10.0.{}.{}:80", place / 256, place % 256).as_bytes());
        weights.iter().enumerate().map(|(place, weight)| Member { identity: name(place), weight: *weight }).collect()
    }

    #[test]
    fn shares_follow_weights() {
        let weights = [70, 20, 10, 0];
        let table = Maglev::of(&pool(&weights));
        for (member, weight) in weights.into_iter().enumerate() {
            let share = table.slots_of(member) as f64 * 100.0 / SLOTS as f64;
            assert!((share - f64::from(weight)).abs() < 0.1, "{member}: {share} % of {weight}");
        }
    }

    /// `cargo test --release balance::maglev -- --nocapture` prints what it takes.
    #[test]
    fn a_hundred_members_have_equal_shares_and_one_that_goes_moves_little() {
        let all = pool(&[1; 100]);
        #[expect(clippy::disallowed_methods, reason = "a figure for the documentation; nothing is decided by it")]
        let began = std::time::Instant::now();
        let table = Maglev::of(&all);
        println!("maglev: 100 members, {SLOTS} slots made in {:?}", began.elapsed());
        let counts: Vec<usize> = (0..100).map(|member| table.slots_of(member)).collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "{least} to {most}");

        let gone = 37;
        let rest: Vec<Member> = all.iter().enumerate().filter(|(place, _)| *place != gone).map(|(_, m)| *m).collect();
        let without = Maglev::of(&rest);
        let renamed = |place: u16| usize::from(place) + usize::from(usize::from(place) >= gone);
        let moved = table.slots.iter().zip(&without.slots).filter(|(a, b)| usize::from(**a) != renamed(**b)).count();
        assert!(moved as f64 <= SLOTS as f64 * 2.0 / 100.0, "{moved} of {SLOTS} slots moved");
    }

    #[test]
    fn the_order_in_the_file_does_not_matter() {
        let (one, two) = (pool(&[3, 1, 2]), {
            let mut other = pool(&[3, 1, 2]);
            other.reverse();
            other
        });
        let (first, second) = (Maglev::of(&one), Maglev::of(&two));
        assert!(first.slots.iter().zip(&second.slots).all(|(a, b)| *a == 2 - *b));
    }

    #[test]
    fn one_that_is_out_moves_only_its_own_and_evenly() {
        let (members, out) = (pool(&[1; 10]), 3);
        let table = Maglev::of(&members);
        let mut heirs = [0u32; 10];
        for key in draws().take(50_000) {
            let before = table.find(key, &members, |_| true).unwrap();
            let after = table.find(key, &members, |member| member != out).unwrap();
            assert!(before == after || before == out);
            if before == out {
                heirs[after] += 1;
            }
        }
        let others: Vec<u32> = heirs.iter().enumerate().filter(|(member, _)| *member != out).map(|(_, n)| *n).collect();
        assert!(heirs[out] == 0 && others.iter().all(|n| (400..720).contains(n)), "{heirs:?}");
    }

    #[test]
    fn the_last_one_able_is_found_and_nobody_is_nobody() {
        let members = pool(&[1; 300]);
        let table = Maglev::of(&members);
        assert!(draws().take(500).all(|key| table.find(key, &members, |member| member == 299) == Some(299)));
        assert_eq!(table.find(1, &members, |_| false), None);
        assert_eq!(Maglev::of(&[]).find(1, &[], |_| true), None);
        assert_eq!(Maglev::of(&pool(&[0, 0])).slots_of(0), SLOTS / 2 + 1, "nobody has weight: all are alike");
    }
}
