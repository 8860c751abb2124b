//! Address to class, with the exact depth of its leaf: what queries read.
//!
//! Think of the binary prefix tree in which siblings of one class are one leaf. The leaf's depth is the EDNS Client
//! Subnet scope: the largest prefix that is sure to have the same answer (RFC 7871 section 7.2.1). The tree is stored
//! as 16-8-8 for IPv4 and 16-8-…-8 for IPv6. The first level is an array; a chunk below it has 256 slots, of which only
//! those that differ from the slot before are kept, found by counting bits (as in Poptrie, SIGCOMM 2015), so that memory
//! grows with the leaves and not with the addresses.

use prefetch_index::prefetch_index;

use crate::geo::runs::Address;
use crate::geo::runs::Block;
use crate::geo::runs::Runs;

/// More classes than this in one table are refused by [`PrefixTable::build`]'s caller; 23 bits beside the depth.
pub const CLASSES_MAX: u32 = 1 << 23;

/// How many bits the first level takes.
const ROOT_BITS: u8 = 16;
/// Set in an entry that leads to a chunk; the rest is its index.
const LINK: u32 = 1 << 31;
/// An entry that is a leaf holds its depth in so many low bits, and its class above.
const DEPTH_BITS: u32 = 8;

/// What an address comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// Its class.
    pub class: u32,
    /// The prefix length of the largest block around it that is of one class.
    pub depth: u8,
}

/// Classes by prefix, for one address family.
#[derive(Debug, PartialEq, Eq)]
pub struct PrefixTable {
    /// 65,536 entries, or a single one when all addresses are of one class.
    root: Vec<u32>,
    chunks: Vec<Chunk>,
    entries: Vec<u32>,
}

/// 256 slots; a set bit begins a new entry. In a cache line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
struct Chunk {
    begins: [u64; 4],
    /// How many entries begin before each word.
    before: [u8; 4],
    /// Its first entry.
    base: u32,
}

impl PrefixTable {
    /// The table of these runs; their values are the classes, each below [`CLASSES_MAX`].
    pub fn build<A: Address>(runs: &Runs<A>) -> Self {
        let mut builder = Builder {
            blocks: runs.blocks().peekable(),
            table: PrefixTable { root: Vec::new(), chunks: Vec::new(), entries: Vec::new() },
        };
        let slots = if runs.count() == 1 { 1 } else { 1usize << ROOT_BITS };
        let depth = if slots == 1 { 0 } else { ROOT_BITS };
        let root = (0..slots).map(|_| builder.slot(depth)).collect();
        let mut table = PrefixTable { root, ..builder.table };
        table.chunks.shrink_to_fit();
        table.entries.shrink_to_fit();
        table
    }

    /// What an address comes to; `octets` are all of its bytes.
    #[inline]
    pub fn find(&self, octets: &[u8]) -> Leaf {
        let slot = if self.root.len() == 1 { 0 } else { usize::from(octets[0]) << 8 | usize::from(octets[1]) };
        let mut entry = self.root[slot];
        let mut rest = octets[2..].iter();
        while entry & LINK != 0 {
            let octet = *rest.next().expect("a chunk below the last octet would hold blocks longer than an address");
            entry = self.chunks[(entry & !LINK) as usize].entry(&self.entries, octet);
        }
        Leaf { class: entry >> DEPTH_BITS, depth: entry as u8 }
    }

    /// Has the first level's entry for an address brought into the cache; waits for nothing.
    #[inline]
    pub fn prefetch_entry(&self, octets: &[u8]) {
        if self.root.len() > 1 {
            prefetch_index(&self.root[..], usize::from(octets[0]) << 8 | usize::from(octets[1]));
        }
    }

    /// The same for the chunk that this entry leads to, if it does.
    #[inline]
    pub fn prefetch_chunk(&self, octets: &[u8]) {
        let entry = self.root.get(usize::from(octets[0]) << 8 | usize::from(octets[1])).copied().unwrap_or_default();
        if entry & LINK != 0 {
            prefetch_index(&self.chunks[..], (entry & !LINK) as usize);
        }
    }

    /// The classes as runs, in the order of addresses: for those who look at the whole space, not at one address.
    ///
    /// The table must be one of this family, as for [`PrefixTable::find`].
    pub fn runs<A: Address>(&self) -> Runs<A> {
        let mut runs = Runs::empty();
        if self.is_uniform() {
            self.add_runs(self.root[0], A::FIRST, 0, &mut runs);
            return runs;
        }
        for (slot, entry) in self.root.iter().enumerate() {
            let first = A::FIRST.with_octet(0, (slot >> 8) as u8).with_octet(1, slot as u8);
            self.add_runs(*entry, first, 2, &mut runs);
        }
        runs
    }

    /// Adds what lies below an entry; its addresses begin at `first`, and chunks below it look at the octet at `place`.
    fn add_runs<A: Address>(&self, entry: u32, first: A, place: u8, runs: &mut Runs<A>) {
        if entry & LINK == 0 {
            return runs.push(first, entry >> DEPTH_BITS);
        }
        let chunk = self.chunks[(entry & !LINK) as usize];
        let octets = (0..=255u8).filter(|octet| chunk.begins[usize::from(octet >> 6)] >> (octet & 63) & 1 == 1);
        for (at, octet) in octets.enumerate() {
            self.add_runs(self.entries[chunk.base as usize + at], first.with_octet(place, octet), place + 1, runs);
        }
    }

    /// Whether all addresses are of one class.
    pub fn is_uniform(&self) -> bool {
        self.root.len() == 1
    }

    /// How much memory it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.root[..]) + size_of_val(&self.chunks[..]) + size_of_val(&self.entries[..])
    }
}

impl Chunk {
    #[inline]
    fn entry(&self, entries: &[u32], octet: u8) -> u32 {
        let word = usize::from(octet >> 6);
        let upto = self.begins[word] & (u64::MAX >> (63 - (octet & 63)));
        let rank = u32::from(self.before[word]) + upto.count_ones() - 1;
        entries[(self.base + rank) as usize]
    }
}

struct Builder<A: Address, I: Iterator<Item = Block<A>>> {
    blocks: std::iter::Peekable<I>,
    table: PrefixTable,
}

impl<A: Address, I: Iterator<Item = Block<A>>> Builder<A, I> {
    /// The entry of the next slot, whose prefix has `depth` bits: a leaf when one block covers it, else a chunk.
    fn slot(&mut self, depth: u8) -> u32 {
        let block = *self.blocks.peek().expect("blocks cover the whole space");
        if block.prefix > depth {
            return self.chunk(depth);
        }
        // A block wider than the slot is used up by the last slot in it; shrinking it counts the slots.
        match (block.first.block_last(depth)).next().filter(|next| *next <= block_end(&block)) {
            Some(next) => *self.blocks.peek_mut().expect("peeked above") = Block { first: next, ..block },
            None => {
                self.blocks.next();
            }
        }
        block.value << DEPTH_BITS | u32::from(block.prefix)
    }

    /// The chunk of the next 256 slots below a prefix of `depth` bits.
    fn chunk(&mut self, depth: u8) -> u32 {
        let mut kept = Vec::with_capacity(16);
        let mut begins = [0u64; 4];
        let mut before = [0u8; 4];
        for octet in 0..256usize {
            if octet % 64 == 0 {
                before[octet / 64] = kept.len() as u8;
            }
            let entry = self.slot(depth + 8);
            if kept.last() != Some(&entry) {
                begins[octet / 64] |= 1 << (octet % 64);
                kept.push(entry);
            }
        }
        let base = self.table.entries.len() as u32;
        self.table.entries.extend_from_slice(&kept);
        self.table.chunks.push(Chunk { begins, before, base });
        LINK | (self.table.chunks.len() - 1) as u32
    }
}

/// The last address of a block, also of one whose first slots are used up.
fn block_end<A: Address>(block: &Block<A>) -> A {
    block.first.block_last(block.prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The class at an address and the depth of its leaf, by widening until another class is met.
    fn naive<A: Address>(runs: &Runs<A>, address: A) -> Leaf {
        let block = runs.block_at(address);
        Leaf { class: block.value, depth: block.prefix }
    }

    #[test]
    fn one_class_everywhere_is_one_leaf_of_depth_0() {
        let table = PrefixTable::build(&Runs::<u32>::uniform(3));
        assert_eq!(table.find(&[192, 0, 2, 1]), Leaf { class: 3, depth: 0 });
        assert!(table.is_uniform() && table.bytes() == 4);
    }

    #[test]
    fn siblings_of_one_class_are_one_leaf() {
        let block = |first: u32, prefix, value| Block { first, prefix, value };
        let runs = Runs::from_disjoint([block(0x0a00_0000, 9, 1), block(0x0a80_0000, 9, 1), block(0x0b00_0000, 32, 2)]);
        let table = PrefixTable::build(&runs);
        assert_eq!(table.find(&[10, 200, 0, 1]), Leaf { class: 1, depth: 8 });
        assert_eq!(table.find(&[11, 0, 0, 0]), Leaf { class: 2, depth: 32 });
        assert_eq!(table.find(&[11, 0, 0, 1]), Leaf { class: 0, depth: 32 });
        assert_eq!(table.find(&[128, 0, 0, 1]), Leaf { class: 0, depth: 1 });
    }

    #[test]
    fn the_last_address_of_each_space_is_found() {
        let runs = Runs::from_disjoint([Block { first: u128::MAX, prefix: 128, value: 9 }]);
        let table = PrefixTable::build(&runs);
        assert_eq!(table.find(&[255; 16]), Leaf { class: 9, depth: 128 });
        assert_eq!(table.find(&[0; 16]), Leaf { class: 0, depth: 1 });
    }

    fn clustered() -> impl Strategy<Value = u32> {
        prop_oneof![any::<u32>(), (0u32..1 << 12).prop_map(|low| 0xc000_0200 | low)]
    }

    proptest! {
        #[test]
        fn class_and_depth_are_as_in_the_naive_tree_for_ipv4(
            blocks in prop::collection::vec((clustered(), 0u8..=32, 1u32..4), 0..40),
            probes in prop::collection::vec(clustered(), 16),
        ) {
            let blocks = blocks.into_iter().map(|(a, prefix, value)| Block { first: a.block_first(prefix), prefix, value });
            let runs = Runs::from_nested(blocks.collect(), |_, inner| inner);
            let table = PrefixTable::build(&runs);
            for address in runs.blocks().map(|b| b.first).chain(probes) {
                prop_assert_eq!(table.find(&address.to_be_bytes()), naive(&runs, address));
            }
            prop_assert_eq!(table.runs::<u32>(), runs);
        }

        #[test]
        fn class_and_depth_are_as_in_the_naive_tree_for_ipv6(
            blocks in prop::collection::vec((any::<u64>(), any::<u16>(), 0u8..=128, 1u32..4), 0..20),
            probes in prop::collection::vec(any::<u128>(), 16),
        ) {
            let near = |high: u64, low: u16| (u128::from(high & 0xff) << 64) | (0x2001 << 112) | u128::from(low);
            let blocks = blocks.into_iter().map(|(high, low, prefix, value)| {
                Block { first: near(high, low).block_first(prefix), prefix, value }
            });
            let runs = Runs::from_nested(blocks.collect(), |_, inner| inner);
            let table = PrefixTable::build(&runs);
            for address in runs.blocks().map(|b| b.first).chain(probes) {
                prop_assert_eq!(table.find(&address.to_be_bytes()), naive(&runs, address));
            }
            prop_assert_eq!(table.runs::<u128>(), runs);
        }
    }
}
