//! Which members of a pool: a set of their places, as bits.
//!
//! The usable members of a pool change when health does, thousands of requests apart; each request only reads them. So the
//! set is made anew with a change and asked with a shift and a mask. Nothing here knows why a member is in or out.

/// A set of members, by their places in the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    words: Box<[u64]>,
    /// Kept beside the bits: panic and the spill to backups ask for it.
    count: usize,
}

impl Set {
    /// None of so many members.
    pub fn none(members: usize) -> Self {
        Set { words: vec![0; members.div_ceil(64)].into(), count: 0 }
    }

    /// Those of so many members that `is_in` says yes to.
    pub fn of(members: usize, is_in: impl Fn(usize) -> bool) -> Self {
        let mut set = Set::none(members);
        (0..members).filter(|member| is_in(*member)).for_each(|member| set.insert(member));
        set
    }

    /// All of so many members.
    pub fn all(members: usize) -> Self {
        Set::of(members, |_| true)
    }

    /// Puts a member in. One beyond the pool's size is left out: the set was made for another pool.
    pub fn insert(&mut self, member: usize) {
        if let Some(word) = self.words.get_mut(member / 64) {
            self.count += usize::from(*word & (1 << (member % 64)) == 0);
            *word |= 1 << (member % 64);
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, member: usize) {
        if let Some(word) = self.words.get_mut(member / 64) {
            self.count -= usize::from(*word & (1 << (member % 64)) != 0);
            *word &= !(1 << (member % 64));
        }
    }

    /// Whether a member is in.
    #[inline]
    pub fn contains(&self, member: usize) -> bool {
        self.words.get(member / 64).is_some_and(|word| word >> (member % 64) & 1 == 1)
    }

    /// How many are in.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether none is in.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The members, in the pool's order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| Bits(*word).map(move |bit| at * 64 + bit))
    }

    /// The member with so many before it.
    #[inline]
    pub fn nth(&self, mut before: usize) -> Option<usize> {
        for (at, word) in self.words.iter().enumerate() {
            let here = word.count_ones() as usize;
            if before < here {
                return Bits(*word).nth(before).map(|bit| at * 64 + bit);
            }
            before -= here;
        }
        None
    }
}

/// The set bits of a word, lowest first.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;
    #[inline]
    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        // Clears the lowest set bit; of none, none.
        self.0 &= self.0.wrapping_sub(1);
        (bit < 64).then_some(bit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_go_in_and_out_once() {
        let mut set = Set::none(130);
        [0, 63, 64, 129, 129].into_iter().for_each(|member| set.insert(member));
        assert_eq!((set.count(), set.iter().collect::<Vec<_>>()), (4, vec![0, 63, 64, 129]));
        set.remove(63);
        set.remove(63);
        assert_eq!((set.count(), set.contains(63), set.contains(64)), (3, false, true));
    }

    #[test]
    fn what_lies_outside_the_pool_is_never_in() {
        let mut set = Set::all(64);
        set.insert(500);
        set.remove(500);
        assert!(set.count() == 64 && !set.contains(500) && !set.contains(64));
        assert!(Set::none(0).is_empty());
    }

    proptest! {
        #[test]
        fn it_is_the_set_it_stands_for(members in proptest::collection::btree_set(0usize..200, 0..60)) {
            let set = Set::of(200, |member| members.contains(&member));
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), members.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.count(), members.len());
            for (before, member) in members.iter().enumerate() {
                prop_assert_eq!(set.nth(before), Some(*member));
            }
            prop_assert_eq!(set.nth(members.len()), None);
        }
    }
}
