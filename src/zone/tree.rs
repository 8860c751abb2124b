//! A zone compiled for answering: every name a node, every record set in wire form.
//!
//! One arena holds the nodes one after the other, an [`Index`] finds a node by its name's hash. A lookup touches the
//! index's slot and the node, whose owner and data stand together: two cache misses in a zone of a million names.
//! Nothing here knows how queries are answered (see `find`), or where records came from (see `compile`).
//!
//! A node in the arena, numbers little-endian:
//!
//! ```text
//! owner's length u8, owner (wire, lower case), flags u8, cut u8, sets u16, [VIP u32]
//! sets ×   type u16, records u16, data length u16, extra length u16
//! sets ×   data: what `dns::writer::Prepared` says
//!          extra: length of the next in bytes u16, places of apex pointers u16 ×, targets 7 ×
//! target   place of its name in data u16, node u32, required u8
//! ```
//!
//! A node that fits into a cache line stands within one, behind zeros where it must: no owner's length is 0.

use prefetch_index::prefetch_index;

use crate::dns::name::Name;
use crate::dns::name_buf::hash;
use crate::dns::writer::Prepared;
use crate::model::VipId;
use crate::zone::index::Index;
use crate::zone::pages::Pages;

/// Bits of a node's flags.
pub(super) mod flags {
    /// It has NS records and is not the apex.
    pub const CUT: u8 = 1;
    /// It has a DNAME record.
    pub const DNAME: u8 = 2;
    /// `*` below it exists.
    pub const WILDCARD_BELOW: u8 = 4;
    /// A VIP answers here.
    pub const VIP: u8 = 8;
    /// It has a CNAME record.
    pub const CNAME: u8 = 16;
}

/// The bytes of a node between its owner and its VIP or sets.
pub(super) const FIXED_BYTES: usize = 4;
/// The bytes of a set's entry.
pub(super) const ENTRY_BYTES: usize = 8;
/// The bytes of a target.
pub(super) const TARGET_BYTES: usize = 7;
/// The place of a target that is the owner itself (SVCB's `.`).
pub(super) const PLACE_OF_OWNER: u16 = u16::MAX;

/// A smaller zone stays in a core's second-level cache.
const LARGE_BYTES: usize = 512 << 10;
/// What memory is fetched in. A name with one address and not too long a name is a node no longer than this.
pub(super) const CACHE_LINE_BYTES: usize = 64;
/// What the node of a name with one address takes at least: within a line that it fits into, this is the same line.
const ADDRESS_NODE_BYTES_MIN: usize = 40;

/// A zone, compiled and immutable.
#[derive(Debug)]
pub struct Zone {
    pub(super) apex: Name,
    pub(super) apex_labels: u8,
    pub(super) serial: u32,
    pub(super) nodes: u32,
    pub(super) records: u32,
    pub(super) apex_node: u32,
    pub(super) arena: Pages,
    pub(super) index: Index,
    /// The SOA record as negative answers carry it.
    pub(super) negative: Box<[u8]>,
    pub(super) negative_apex_at: Box<[u8]>,
}

/// A name in a zone, or an empty non-terminal.
#[derive(Debug, Clone, Copy)]
pub struct Node<'z> {
    zone: &'z Zone,
    at: u32,
    /// Where its set entries begin.
    entries: u32,
    flags: u8,
    cut: u8,
    sets: u16,
    vip: Option<VipId>,
}

/// A record set of a node.
#[derive(Debug, Clone, Copy)]
pub struct RecordSet<'z> {
    /// Its type.
    pub rtype: u16,
    /// Its records.
    pub prepared: Prepared<'z>,
    targets: &'z [u8],
}

/// A name in a record's data that has addresses in the zone.
#[derive(Debug, Clone, Copy)]
pub struct Target<'z> {
    /// Where the name stands in the set's data; none: it is the owner.
    pub place: Option<usize>,
    /// Its node.
    pub node: Node<'z>,
    /// Whether the answer is no good without its addresses: glue in the delegated zone itself (RFC 9471).
    pub required: bool,
}

impl Zone {
    /// Its name.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// How many labels its name has.
    pub fn apex_labels(&self) -> usize {
        usize::from(self.apex_labels)
    }

    /// The serial of its SOA record.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// How many names it has, empty non-terminals included.
    pub fn names(&self) -> usize {
        self.nodes as usize
    }

    /// How many records it has.
    pub fn records(&self) -> usize {
        self.records as usize
    }

    /// The memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.index.bytes()
    }

    /// The SOA record for negative answers, its TTL the lesser of its own and its minimum field (RFC 2308 section 3).
    pub fn negative(&self) -> Prepared<'_> {
        Prepared { data: &self.negative, count: 1, apex_at: &self.negative_apex_at }
    }

    /// The node of exactly this name, in wire form and lower case.
    #[inline]
    pub fn node(&self, name: &[u8]) -> Option<Node<'_>> {
        let at = self.index.find(hash(name), |at| self.owner(at) == name)?;
        Some(self.node_at(at))
    }

    /// Whether lookups wait for memory: the zone is larger than a core's own caches.
    pub fn is_large(&self) -> bool {
        self.bytes() > LARGE_BYTES
    }

    /// Has the place in the index where a lookup of this hash begins brought into the cache.
    #[inline]
    pub fn prefetch_slot(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Has the node that a lookup of this hash most likely ends at brought into the cache: its first line, and a second
    /// one for a node that does not fit. Waits for the index's slot unless that is in the cache already.
    #[inline]
    pub fn prefetch_node(&self, hash: u64) {
        let at = self.index.first(hash) as usize;
        prefetch_index::<u8>(&*self.arena, at);
        prefetch_index::<u8>(&*self.arena, at + ADDRESS_NODE_BYTES_MIN - 1);
    }

    /// The node at the apex.
    pub fn apex_node(&self) -> Node<'_> {
        self.node_at(self.apex_node)
    }

    /// All nodes, in the order of the arena: pass `None`, then each one's [`Node::after`].
    pub fn first(&self) -> Option<Node<'_>> {
        (!self.arena.is_empty()).then(|| self.node_at(0))
    }

    /// The node that [`Node::place`] named, or the next one when nothing but padding stands there.
    pub fn at_place(&self, place: u32) -> Option<Node<'_>> {
        let padding = self.arena.get(place as usize..)?.iter().position(|byte| *byte != 0)?;
        Some(self.node_at(place + padding as u32))
    }

    #[inline]
    fn owner(&self, at: u32) -> &[u8] {
        let bytes = &self.arena[at as usize..];
        &bytes[1..1 + usize::from(bytes[0])]
    }

    #[inline]
    fn node_at(&self, at: u32) -> Node<'_> {
        let fixed_at = at as usize + 1 + usize::from(self.arena[at as usize]);
        let fixed: [u8; FIXED_BYTES] = *self.arena[fixed_at..].first_chunk().expect("nodes are written whole");
        let mut entries = (fixed_at + FIXED_BYTES) as u32;
        let mut vip = None;
        if fixed[0] & flags::VIP != 0 {
            let id = self.arena[entries as usize..].first_chunk().expect("nodes are written whole");
            vip = Some(VipId(u32::from_le_bytes(*id)));
            entries += 4;
        }
        let sets = u16::from_le_bytes([fixed[2], fixed[3]]);
        Node { zone: self, at, entries, flags: fixed[0], cut: fixed[1], sets, vip }
    }
}

impl<'z> Node<'z> {
    /// Its name in wire form, lower case.
    pub fn owner(&self) -> &'z [u8] {
        self.zone.owner(self.at)
    }

    /// Its place in the arena, the same in every lookup.
    pub fn place(&self) -> u32 {
        self.at
    }

    /// The VIP that answers here.
    pub fn vip(&self) -> Option<VipId> {
        self.vip
    }

    /// How many labels the topmost zone cut at or above it has; none: the zone's own data.
    pub fn cut_labels(&self) -> Option<usize> {
        (self.cut != 0).then_some(usize::from(self.cut))
    }

    /// Whether it has a DNAME record.
    pub fn has_dname(&self) -> bool {
        self.flags & flags::DNAME != 0
    }

    /// Whether it has a CNAME record.
    pub fn has_cname(&self) -> bool {
        self.flags & flags::CNAME != 0
    }

    /// Whether there is a wildcard directly below it.
    pub fn has_wildcard(&self) -> bool {
        self.flags & flags::WILDCARD_BELOW != 0
    }

    /// Its record set of this type.
    #[inline]
    pub fn set(&self, rtype: u16) -> Option<RecordSet<'z>> {
        self.sets().find(|set| set.rtype == rtype)
    }

    /// Its record sets.
    #[inline]
    pub fn sets(&self) -> impl Iterator<Item = RecordSet<'z>> {
        let bytes = &self.zone.arena[self.entries as usize..];
        let (entries, mut data) = bytes.split_at(usize::from(self.sets) * ENTRY_BYTES);
        entries.chunks_exact(ENTRY_BYTES).map(move |entry| {
            let word = |i: usize| u16::from_le_bytes([entry[i], entry[i + 1]]);
            let (records, rest) = data.split_at(usize::from(word(4)));
            let (extra, rest) = rest.split_at(usize::from(word(6)));
            data = rest;
            let (apex_at, targets) = match extra.split_first_chunk::<2>() {
                Some((length, extra)) => extra.split_at(usize::from(u16::from_le_bytes(*length))),
                None => (extra, extra),
            };
            RecordSet { rtype: word(0), prepared: Prepared { data: records, count: word(2), apex_at }, targets }
        })
    }

    /// The targets of one of its sets.
    pub fn targets(&self, set: &RecordSet<'z>) -> impl Iterator<Item = Target<'z>> + use<'z> {
        let zone = self.zone;
        set.targets.chunks_exact(TARGET_BYTES).map(move |target| {
            let place = u16::from_le_bytes([target[0], target[1]]);
            let node = u32::from_le_bytes([target[2], target[3], target[4], target[5]]);
            Target {
                place: (place != PLACE_OF_OWNER).then_some(usize::from(place)),
                node: zone.node_at(node),
                required: target[6] != 0,
            }
        })
    }

    /// The node that stands behind it in the arena.
    pub fn after(&self) -> Option<Node<'z>> {
        let bytes = &self.zone.arena[self.entries as usize..];
        let entries = &bytes[..usize::from(self.sets) * ENTRY_BYTES];
        let length: usize = entries
            .chunks_exact(ENTRY_BYTES)
            .map(|e| usize::from(u16::from_le_bytes([e[4], e[5]])) + usize::from(u16::from_le_bytes([e[6], e[7]])))
            .sum();
        self.zone.at_place(self.entries + (entries.len() + length) as u32)
    }
}
