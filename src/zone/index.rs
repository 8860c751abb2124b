//! Names by hash: a sorted array with gaps.
//!
//! Every entry is a 32-bit tag (the hash's upper half) and a 32-bit value. A tag's home is its share of the array
//! (`tag × slots / 2^32`), so entries that are sorted by tag stand at their homes or just behind. A search that meets a
//! larger tag or a gap is over: a name that does not exist costs about one slot, like one that does. Eight bytes an
//! entry, no pointers, built from sorted input in one pass, and never changed.

use prefetch_index::prefetch_index;

use crate::zone::pages::Pages;

/// Slots for each entry, in halves: 3 is a load of two thirds, where an entry is rarely more than two slots from home.
const SLOTS_IN_HALVES: usize = 3;
/// The value of a gap.
const GAP: u32 = u32::MAX;

/// The bytes of a slot.
const SLOT_BYTES: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    value: u32,
}

impl Slot {
    #[inline]
    fn read(bytes: &[u8; SLOT_BYTES]) -> Self {
        let both = u64::from_le_bytes(*bytes);
        Slot { tag: (both >> 32) as u32, value: both as u32 }
    }

    fn bytes(self) -> [u8; SLOT_BYTES] {
        (u64::from(self.tag) << 32 | u64::from(self.value)).to_le_bytes()
    }
}

/// Values by the hash of their names.
#[derive(Debug, Default)]
pub struct Index {
    slots: Pages,
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
        let mut slots = Pages::with_room((homes as usize + 16) * SLOT_BYTES);
        for (tag, value) in sorted {
            let home = home(tag, homes) * SLOT_BYTES;
            while slots.len() < home {
                slots.extend(&Slot { tag: 0, value: GAP }.bytes());
            }
            slots.extend(&Slot { tag, value }.bytes());
        }
        slots.shrink();
        Index { slots, homes }
    }

    /// The value under this hash that `is` the one looked for.
    #[inline]
    pub fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let wanted = tag(hash);
        let (slots, _) = self.slots.get(home(wanted, self.homes) * SLOT_BYTES..)?.as_chunks();
        for slot in slots {
            let slot = Slot::read(slot);
            if slot.value == GAP || slot.tag > wanted {
                return None;
            }
            if slot.tag == wanted && is(slot.value) {
                return Some(slot.value);
            }
        }
        None
    }

    /// Has the slot where a search for this hash begins brought into the cache; waits for nothing.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch_index::<u8>(&*self.slots, home(tag(hash), self.homes) * SLOT_BYTES);
    }

    /// The value that a search for this hash would look at first, any value when there is none.
    #[inline]
    pub fn first(&self, hash: u64) -> u32 {
        let mut first = 0;
        self.find(hash, |value| {
            first = value;
            true
        });
        first
    }

    /// Replaces every value.
    pub fn map(&mut self, new: impl Fn(u32) -> u32) {
        let (slots, _) = self.slots.as_chunks_mut();
        for bytes in slots {
            let slot = Slot::read(bytes);
            if slot.value != GAP {
                *bytes = Slot { value: new(slot.value), ..slot }.bytes();
            }
        }
    }

    /// The memory it takes.
    pub fn bytes(&self) -> usize {
        self.slots.len()
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
