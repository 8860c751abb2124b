//! Names by hash: a sorted array with gaps.
//!
//! Every entry is a 32-bit tag (the hash's upper half) and a 32-bit value. A tag's home is its share of the array
//! (`tag × slots / 2^32`), so entries that are sorted by tag stand at their homes or just behind. A search that meets a
//! larger tag or a gap is over: a name that does not exist costs about one slot, like one that does. Eight bytes an
//! entry, no pointers, built from sorted input in one pass, and never changed.

/// Slots for each entry, in halves: 3 is a load of two thirds, where an entry is rarely more than two slots from home.
const SLOTS_IN_HALVES: usize = 3;
/// The value of a gap.
const GAP: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    value: u32,
}

/// Values by the hash of their names.
#[derive(Debug, Clone, Default)]
pub struct Index {
    slots: Vec<Slot>,
    homes: u64,
}

/// What of a hash is kept.
pub fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Index {
    /// Builds it from (tag, value) pairs in the order of their tags; values are below `u32::MAX`.
    pub fn build(sorted: impl ExactSizeIterator<Item = (u32, u32)>) -> Self {
        let homes = (sorted.len() * SLOTS_IN_HALVES / 2 + 1) as u64;
        let mut slots = Vec::with_capacity(homes as usize + 16);
        for (tag, value) in sorted {
            let home = home(tag, homes);
            while slots.len() < home {
                slots.push(Slot { tag: 0, value: GAP });
            }
            slots.push(Slot { tag, value });
        }
        slots.shrink_to_fit();
        Index { slots, homes }
    }

    /// The value under this hash that `is` the one looked for.
    #[inline]
    pub fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let wanted = tag(hash);
        for slot in self.slots.get(home(wanted, self.homes)..)? {
            if slot.value == GAP || slot.tag > wanted {
                return None;
            }
            if slot.tag == wanted && is(slot.value) {
                return Some(slot.value);
            }
        }
        None
    }

    /// Replaces every value.
    pub fn map(&mut self, new: impl Fn(u32) -> u32) {
        for slot in self.slots.iter_mut().filter(|slot| slot.value != GAP) {
            slot.value = new(slot.value);
        }
    }

    /// The memory it takes.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }
}

#[inline]
fn home(tag: u32, homes: u64) -> usize {
    ((u64::from(tag) * homes) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_index_has_nothing() {
        assert_eq!(
            Index::build(std::iter::empty::<(u32, u32)>().collect::<Vec<_>>().into_iter()).find(7, |_| true),
            None
        );
        assert_eq!(Index::default().find(7, |_| true), None);
    }

    proptest! {
        #[test]
        fn it_has_what_was_put_in_and_nothing_else(
            hashes in proptest::collection::vec(prop_oneof![any::<u64>(), any::<u64>().prop_map(|h| h | !0 << 36)], 0..300),
            absent: u64,
        ) {
            let mut pairs: Vec<(u32, u32)> = hashes.iter().enumerate().map(|(i, h)| (tag(*h), i as u32)).collect();
            pairs.sort_unstable();
            let index = Index::build(pairs.into_iter());
            for (i, hash) in hashes.iter().enumerate() {
                prop_assert_eq!(index.find(*hash, |v| v == i as u32), Some(i as u32));
            }
            prop_assume!(!hashes.iter().any(|h| tag(*h) == tag(absent)));
            prop_assert_eq!(index.find(absent, |_| true), None);
        }
    }
}
