//! A whole address space cut into runs of one value each.
//!
//! Databases, custom networks and classes are all runs; merging two is one pass over both. A run knows nothing of
//! prefixes; [`Runs::blocks`] cuts it into the fewest aligned ones.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

/// An address as a number.
pub trait Address: Copy + Ord + std::fmt::Debug {
    /// How many bits it has.
    const BITS: u8;
    /// The first address.
    const FIRST: Self;
    /// The last address.
    const LAST: Self;
    /// The one after it, none after the last.
    fn next(self) -> Option<Self>;
    /// The last address of the block of this prefix length that begins here.
    fn block_last(self, prefix: u8) -> Self;
    /// The first address of the block of this prefix length that it lies in.
    fn block_first(self, prefix: u8) -> Self;
    /// How many of its last bits are zero.
    fn zero_bits(self) -> u8;
    /// The same with its octet at this place, from the left, set.
    fn with_octet(self, place: u8, octet: u8) -> Self;
    /// How many addresses there are from this one to `last`; exact in IPv4, and to 53 bits in IPv6.
    fn count_to(self, last: Self) -> f64;
    /// As an IP address.
    fn ip(self) -> IpAddr;
}

macro_rules! address {
    ($number:ty, $ip:ident, $variant:ident) => {
        impl Address for $number {
            const BITS: u8 = <$number>::BITS as u8;
            const FIRST: Self = 0;
            const LAST: Self = <$number>::MAX;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn block_last(self, prefix: u8) -> Self {
                self | <$number>::MAX.checked_shr(u32::from(prefix)).unwrap_or(0)
            }
            fn block_first(self, prefix: u8) -> Self {
                self & !<$number>::MAX.checked_shr(u32::from(prefix)).unwrap_or(0)
            }
            fn zero_bits(self) -> u8 {
                self.trailing_zeros() as u8
            }
            fn with_octet(self, place: u8, octet: u8) -> Self {
                let shift = <Self as Address>::BITS - 8 * (place + 1);
                self & !(0xff << shift) | <$number>::from(octet) << shift
            }
            fn count_to(self, last: Self) -> f64 {
                (last - self) as f64 + 1.0
            }
            fn ip(self) -> IpAddr {
                IpAddr::$variant($ip::from(self))
            }
        }
    };
}
address!(u32, Ipv4Addr, V4);
address!(u128, Ipv6Addr, V6);

/// A value for every address; neighbours differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs<A> {
    starts: Vec<A>,
    values: Vec<u32>,
}

/// An aligned block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<A> {
    /// Its first address.
    pub first: A,
    /// Its prefix length.
    pub prefix: u8,
    /// Its value.
    pub value: u32,
}

/// Runs in the making, from blocks in rising order: millions of them are never held at once.
#[derive(Debug)]
pub struct InOrder<A> {
    runs: Runs<A>,
    /// The first address that no block covered yet.
    free: Option<A>,
    /// How many blocks were taken.
    pub count: u64,
}

impl<A: Address> Default for InOrder<A> {
    fn default() -> Self {
        InOrder { runs: Runs { starts: Vec::new(), values: Vec::new() }, free: Some(A::FIRST), count: 0 }
    }
}

impl<A: Address> InOrder<A> {
    /// Takes the next block; one that begins before the end of the last is left out.
    pub fn add(&mut self, block: Block<A>) {
        let Some(free) = self.free.filter(|free| *free <= block.first) else { return };
        if free < block.first {
            self.runs.push(free, 0);
        }
        self.runs.push(block.first, block.value);
        self.free = block.first.block_last(block.prefix).next();
        self.count += 1;
    }

    /// The runs; what no block covered has 0.
    pub fn finish(mut self) -> Runs<A> {
        if let Some(free) = self.free {
            self.runs.push(free, 0);
        }
        self.runs.starts.shrink_to_fit();
        self.runs.values.shrink_to_fit();
        self.runs
    }
}

impl<A: Address> Runs<A> {
    /// Nothing yet: [`Runs::push`] makes it whole.
    pub(super) fn empty() -> Self {
        Runs { starts: Vec::new(), values: Vec::new() }
    }

    /// One value everywhere.
    pub fn uniform(value: u32) -> Self {
        Runs { starts: vec![A::FIRST], values: vec![value] }
    }

    /// Blocks in rising order, none over another; 0 in the gaps.
    pub fn from_disjoint(blocks: impl IntoIterator<Item = Block<A>>) -> Self {
        let mut in_order = InOrder::default();
        blocks.into_iter().for_each(|block| in_order.add(block));
        in_order.finish()
    }

    /// Blocks in any order, one inside another; the innermost counts, 0 outside all. Of two equal blocks `over` says
    /// what counts; it also sees, for each block, the value of the block it lies in.
    pub fn from_nested(mut blocks: Vec<Block<A>>, mut over: impl FnMut(u32, u32) -> u32) -> Self {
        blocks.sort_by_key(|b| (b.first, b.prefix));
        let mut runs = Runs { starts: Vec::new(), values: Vec::new() };
        let mut open: Vec<(A, u32)> = Vec::new();
        runs.push(A::FIRST, 0);
        for block in blocks {
            close(&mut runs, &mut open, Some(block.first));
            let outer = open.last().map_or(0, |(_, value)| *value);
            let value = over(outer, block.value);
            runs.push(block.first, value);
            open.push((block.first.block_last(block.prefix), value));
        }
        close(&mut runs, &mut open, None);
        runs
    }

    /// `start` begins a run of `value`; starts rise, and an equal start replaces.
    pub(super) fn push(&mut self, start: A, value: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// Both at once, in one pass; `combine` is asked once for each stretch.
    pub fn merge(&self, other: &Self, mut combine: impl FnMut(u32, u32) -> u32) -> Self {
        let mut runs = Runs { starts: Vec::with_capacity(self.starts.len()), values: Vec::new() };
        let (mut a, mut b) = (0, 0);
        let mut start = A::FIRST;
        loop {
            runs.push(start, combine(self.values[a], other.values[b]));
            let (next_a, next_b) = (self.starts.get(a + 1), other.starts.get(b + 1));
            start = match (next_a, next_b) {
                (None, None) => break,
                (Some(x), None) => *x,
                (None, Some(y)) => *y,
                (Some(x), Some(y)) => *x.min(y),
            };
            a += usize::from(next_a == Some(&start));
            b += usize::from(next_b == Some(&start));
        }
        runs
    }

    /// Each value replaced.
    pub fn map(&self, mut f: impl FnMut(u32) -> u32) -> Self {
        let mut runs = Runs { starts: Vec::new(), values: Vec::new() };
        self.starts.iter().zip(&self.values).for_each(|(start, value)| runs.push(*start, f(*value)));
        runs
    }

    /// How many runs there are.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// The value at an address, and the largest aligned block around it that has no other.
    pub fn block_at(&self, address: A) -> Block<A> {
        let at = self.starts.partition_point(|start| *start <= address) - 1;
        let first = self.starts[at];
        let last = self.starts.get(at + 1).copied();
        let fits = |prefix: u8| {
            address.block_first(prefix) >= first && last.is_none_or(|next| address.block_last(prefix) < next)
        };
        let prefix = (0..=A::BITS).find(|p| fits(*p)).expect("an address alone fits in its run");
        Block { first: address.block_first(prefix), prefix, value: self.values[at] }
    }

    /// The fewest aligned blocks of one value each, in order: the leaves of the binary prefix tree in which siblings of
    /// one value are one.
    pub fn blocks(&self) -> impl Iterator<Item = Block<A>> {
        self.runs().flat_map(|(first, last, value)| {
            let mut from = Some(first);
            std::iter::from_fn(move || {
                let first = from?;
                let mut prefix = A::BITS - first.zero_bits().min(A::BITS);
                while first.block_last(prefix) > last {
                    prefix += 1;
                }
                let end = first.block_last(prefix);
                from = end.next().filter(|next| *next <= last);
                Some(Block { first, prefix, value })
            })
        })
    }

    /// First address, last address and value of each run.
    pub fn runs(&self) -> impl Iterator<Item = (A, A, u32)> {
        (0..self.starts.len()).map(|at| {
            let last = self.starts.get(at + 1).map_or(A::LAST, |next| before(*next));
            (self.starts[at], last, self.values[at])
        })
    }
}

/// The address before one that is not the first.
fn before<A: Address>(next: A) -> A {
    // The block of one address less: clearing the lowest set bit and filling what is below it.
    let prefix = A::BITS - next.zero_bits();
    next.block_first(prefix - 1).block_last(prefix)
}

/// Ends the open blocks that lie before `until`.
fn close<A: Address>(runs: &mut Runs<A>, open: &mut Vec<(A, u32)>, until: Option<A>) {
    while let Some((last, _)) = open.last().copied() {
        if until.is_some_and(|until| last >= until) {
            return;
        }
        open.pop();
        if let Some(next) = last.next() {
            runs.push(next, open.last().map_or(0, |(_, value)| *value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(first: u32, prefix: u8, value: u32) -> Block<u32> {
        Block { first: first.block_first(prefix), prefix, value }
    }

    #[test]
    fn the_innermost_block_counts() {
        let runs = Runs::from_nested(
            vec![block(0x0a00_0000, 8, 1), block(0x0a14_0000, 16, 2), block(0x0a14_0500, 24, 3)],
            |_, inner| inner,
        );
        let at = |address| runs.block_at(address).value;
        assert_eq!([at(0), at(0x0a00_0001), at(0x0a14_0001), at(0x0a14_0501), at(0x0a14_0601)], [0, 1, 2, 3, 2]);
        assert_eq!(at(0x0b00_0000), 0);
        assert_eq!(runs.block_at(0x0a14_0501), block(0x0a14_0500, 24, 3));
    }

    #[test]
    fn a_block_at_the_end_of_the_space_ends_it() {
        let runs = Runs::from_nested(vec![block(0xffff_ffff, 32, 7), block(0, 32, 8)], |_, inner| inner);
        assert_eq!((runs.block_at(u32::MAX).value, runs.block_at(0).value, runs.block_at(1).value), (7, 8, 0));
        let disjoint = Runs::from_disjoint([block(0, 32, 8), block(u32::MAX, 32, 7)]);
        assert_eq!(runs, disjoint);
        assert_eq!(Runs::<u128>::from_disjoint([]), Runs::uniform(0));
    }

    fn any_blocks() -> impl Strategy<Value = Vec<Block<u32>>> {
        prop::collection::vec((any::<u32>(), 0u8..=32, 1u32..5).prop_map(|(a, p, v)| block(a, p, v)), 0..12)
    }

    /// The longest block around an address; of equal ones the later.
    fn naive(blocks: &[Block<u32>], address: u32) -> u32 {
        let holds = |b: &&Block<u32>| address.block_first(b.prefix) == b.first;
        blocks.iter().filter(holds).max_by_key(|b| b.prefix).map_or(0, |b| b.value)
    }

    proptest! {
        #[test]
        fn nested_blocks_are_as_a_search_through_all(blocks in any_blocks(), probes in prop::collection::vec(any::<u32>(), 8)) {
            let runs = Runs::from_nested(blocks.clone(), |_, inner| inner);
            let edges = blocks.iter().flat_map(|b| [b.first, b.first.block_last(b.prefix)]);
            for address in edges.chain(probes) {
                prop_assert_eq!(runs.block_at(address).value, naive(&blocks, address));
            }
        }

        #[test]
        fn blocks_cover_everything_once_and_none_could_be_wider(blocks in any_blocks()) {
            let runs = Runs::from_nested(blocks, |_, inner| inner);
            let mut next = Some(0u32);
            for block in runs.blocks() {
                prop_assert_eq!(Some(block.first), next);
                prop_assert_eq!(runs.block_at(block.first), block);
                next = block.first.block_last(block.prefix).next();
            }
            prop_assert_eq!(next, None);
        }

        #[test]
        fn a_merge_sees_both(a in any_blocks(), b in any_blocks(), probes in prop::collection::vec(any::<u32>(), 8)) {
            let (x, y) = (Runs::from_nested(a.clone(), |_, i| i), Runs::from_nested(b.clone(), |_, i| i));
            let both = x.merge(&y, |x, y| x * 10 + y);
            for address in a.iter().chain(&b).map(|b| b.first).chain(probes) {
                prop_assert_eq!(both.block_at(address).value, x.block_at(address).value * 10 + y.block_at(address).value);
            }
        }
    }
}
