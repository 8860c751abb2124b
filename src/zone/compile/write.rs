//! Lays out the arena: nodes with their record sets as they go into responses. The form is described in `tree`.

use crate::dns::code::class;
use crate::dns::code::rtype;
use crate::dns::writer::RECORD_BYTES;
use crate::model::Problem;
use crate::zone::compile::data::name_bytes;
use crate::zone::compile::data::own_bytes;
use crate::zone::compile::data::shape;
use crate::zone::compile::data::suffixes;
use crate::zone::compile::data::within;
use crate::zone::compile::names::Names;
use crate::zone::compile::names::place;
use crate::zone::compile::names::shown;
use crate::zone::pages::Pages;
use crate::zone::read::Record;
use crate::zone::tree::CACHE_LINE_BYTES;
use crate::zone::tree::ENTRY_BYTES;
use crate::zone::tree::FIXED_BYTES;
use crate::zone::tree::PLACE_OF_OWNER;
use crate::zone::tree::Zone;
use crate::zone::tree::flags;

/// A larger set fits no message: 65,535 bytes less header, question and a full OPT record.
const SET_BYTES_MAX: usize = 64_000;
/// Nodes are found by 32-bit places in the arena.
const ARENA_BYTES_MAX: usize = u32::MAX as usize - 1;

struct Arena<'n, 'a> {
    names: &'n Names<'a>,
    bytes: Pages,
    /// Places of target nodes, which hold places in `names` until every node has its own.
    target_at: Vec<u32>,
    records: u32,
}

impl Names<'_> {
    /// Writes the zone; problems are those of sets as wholes (W0235, E0236).
    pub fn write(&self, problems: &mut Vec<Problem>) -> Zone {
        let mut arena =
            Arena { names: self, bytes: Pages::with_room(self.estimate()), target_at: Vec::new(), records: 0 };
        let mut node_at = Vec::with_capacity(self.names.len());
        for name in 0..self.names.len() {
            let padding = padding(arena.bytes.len(), self.node_bytes(name));
            arena.bytes.extend_zeros(padding);
            node_at.push(arena.bytes.len() as u32);
            arena.node(name, problems);
            if arena.bytes.len() > ARENA_BYTES_MAX {
                let fact = format!("zone {} is larger than 4 GiB", self.file.apex);
                problems.push(Problem::error("E0237", crate::model::Place::file(&self.file.path), fact));
                break;
            }
        }
        let Arena { mut bytes, target_at, records, .. } = arena;
        for at in target_at {
            let target = &mut bytes[at as usize..at as usize + 4];
            let name = u32::from_le_bytes([target[0], target[1], target[2], target[3]]);
            target.copy_from_slice(&node_at.get(name as usize).copied().unwrap_or_default().to_le_bytes());
        }
        bytes.shrink();
        let mut index = self.hashed();
        index.map(|name| node_at.get(name as usize).copied().unwrap_or_default());
        let apex_node =
            self.find(self.file.apex.wire()).and_then(|name| node_at.get(name).copied()).unwrap_or_default();
        let mut zone = Zone {
            apex: self.file.apex.clone(),
            apex_labels: self.file.apex.labels().count() as u8,
            serial: self.file.serial(),
            nodes: self.names.len() as u32,
            records,
            apex_node,
            arena: bytes,
            index,
            negative: Box::default(),
            negative_apex_at: Box::default(),
        };
        (zone.negative, zone.negative_apex_at) = negative(&zone);
        zone
    }

    /// Bytes that suffice for nearly every zone, so that the arena hardly ever moves while it grows.
    fn estimate(&self) -> usize {
        (0..self.names.len()).fold(0, |at, name| {
            let bytes = self.node_bytes(name);
            at + padding(at, bytes) + bytes
        })
    }

    /// How long a node will be, but for what compression takes away and extras add.
    fn node_bytes(&self, name: usize) -> usize {
        let records: usize = self.records(name).map(|r| r.rdata.len() + RECORD_BYTES + ENTRY_BYTES).sum();
        let vip = if self.names[name].flags & flags::VIP != 0 { 4 } else { 0 };
        1 + self.owner(name).len() + FIXED_BYTES + vip + records
    }

    /// The node that answers for a target's addresses, when they are the zone's to give.
    fn target(&self, name: &[u8]) -> Option<usize> {
        if !within(name, self.file.apex.wire()) {
            return None;
        }
        let name = name.to_ascii_lowercase();
        self.find(&name).or_else(|| self.wildcard_for(&name)).filter(|found| self.has_addresses(*found))
    }

    fn wildcard_for(&self, name: &[u8]) -> Option<usize> {
        let encloser = suffixes(name).skip(1).find_map(|above| self.find(above))?;
        let wildcard = self.find(&[&[1, b'*'], self.owner(encloser)].concat())?;
        (self.names[encloser].cut == 0).then_some(wildcard)
    }

    fn has_addresses(&self, name: usize) -> bool {
        self.records(name).any(|r| matches!(r.rtype, rtype::A | rtype::AAAA))
    }
}

/// Zeros before a node of this length, so that it spans no more cache lines than it must.
fn padding(at: usize, bytes: usize) -> usize {
    let into_line = at % CACHE_LINE_BYTES;
    let spans_another = (into_line + bytes).div_ceil(CACHE_LINE_BYTES) > bytes.div_ceil(CACHE_LINE_BYTES);
    if spans_another { CACHE_LINE_BYTES - into_line } else { 0 }
}

/// The SOA with the TTL of negative answers.
fn negative(zone: &Zone) -> (Box<[u8]>, Box<[u8]>) {
    let Some(soa) = zone.apex_node().set(rtype::SOA) else { return Default::default() };
    let mut data = soa.prepared.data.to_vec();
    let minimum_at = data.len().saturating_sub(4);
    if let (Some(ttl), Some(minimum)) = (data.get(6..10), data.get(minimum_at..)) {
        let least = ttl.min(minimum).to_vec();
        data[6..10].copy_from_slice(&least);
    }
    (data.into(), soa.prepared.apex_at.into())
}

impl<'a> Arena<'_, 'a> {
    fn node(&mut self, name: usize, problems: &mut Vec<Problem>) {
        let gathered = self.names.names[name];
        let owner = self.names.owner(name);
        let mut records: Vec<Record<'a>> = self.names.records(name).collect();
        records.sort_by_key(|record| record.rtype);
        let sets = records.chunk_by(|a, b| a.rtype == b.rtype).count();
        self.bytes.extend(&[owner.len() as u8]);
        self.bytes.extend(owner);
        self.bytes.extend(&[gathered.flags, gathered.cut]);
        self.bytes.extend(&(sets as u16).to_le_bytes());
        if let Some(vip) = self.names.vips(name).next() {
            self.bytes.extend(&vip.vip.0.to_le_bytes());
        }
        let mut entry_at = self.bytes.len();
        self.bytes.extend_zeros(sets * ENTRY_BYTES);
        for set in records.chunk_by(|a, b| a.rtype == b.rtype) {
            self.set(name, set, entry_at, problems);
            entry_at += ENTRY_BYTES;
        }
    }

    fn set(&mut self, name: usize, set: &[Record<'a>], entry_at: usize, problems: &mut Vec<Problem>) {
        let ttl = lowest_ttl(set, problems);
        let start = self.bytes.len();
        let mut extra = Extra::default();
        let mut count = 0u16;
        let mut seen = std::collections::HashSet::new();
        for record in set {
            // Equal records are one record (RFC 2181 section 5).
            if set.len() > 1 && !seen.insert(record.rdata) {
                continue;
            }
            self.record(name, record, ttl, start, &mut extra);
            count = count.saturating_add(1);
            if self.bytes.len() - start > SET_BYTES_MAX {
                let fact = format!(
                    "the {} records of type {} at {} are too many for any message",
                    set.len(),
                    record.rtype,
                    shown(record.owner)
                );
                problems.push(Problem::error("E0236", place(record), fact).help("spread them over several names"));
                self.bytes.truncate(start);
                return;
            }
        }
        let data_bytes = (self.bytes.len() - start) as u16;
        let extra_bytes = self.extra(&extra);
        self.records += u32::from(count);
        for (i, word) in [set[0].rtype, count, data_bytes, extra_bytes].into_iter().enumerate() {
            self.bytes[entry_at + 2 * i..entry_at + 2 * i + 2].copy_from_slice(&word.to_le_bytes());
        }
    }

    fn record(&mut self, name: usize, record: &Record<'a>, ttl: u32, start: usize, extra: &mut Extra) {
        let head = self.bytes.len();
        self.bytes.extend(&[0xc0, crate::dns::query::HEADER_BYTES as u8]);
        self.bytes.extend(&record.rtype.to_be_bytes());
        self.bytes.extend(&class::IN.to_be_bytes());
        self.bytes.extend(&ttl.to_be_bytes());
        self.bytes.extend(&[0, 0]);
        self.data(record, start, extra);
        let length = (self.bytes.len() - head - RECORD_BYTES) as u16;
        self.bytes[head + 10..head + RECORD_BYTES].copy_from_slice(&length.to_be_bytes());
        if let Some(target) = self.target(name, record, (head + RECORD_BYTES - start) as u16) {
            // Of several records with one target, the first brings the addresses. (Names that one wildcard answers differ.)
            let wildcard = self.names.owner(target.1 as usize).starts_with(&[1, b'*']);
            if wildcard || extra.asked.insert(target.1) {
                extra.targets.push(target);
            }
        }
    }

    /// The data, names of the zone cut short before the apex.
    fn data(&mut self, record: &Record<'a>, start: usize, extra: &mut Extra) {
        let apex = self.names.file.apex.wire();
        let Some(shape) = shape(record.rtype).filter(|shape| shape.compressed && apex.len() > 1) else {
            self.bytes.extend(record.rdata);
            return;
        };
        let (skipped, mut rest) = record.rdata.split_at(shape.skip.min(record.rdata.len()));
        self.bytes.extend(skipped);
        for _ in 0..shape.names {
            let Some(length) = name_bytes(rest) else { break };
            let (name, after) = rest.split_at(length);
            match own_bytes(name, apex) {
                Some(own) => {
                    self.bytes.extend(&name[..own]);
                    extra.apex_at.push((self.bytes.len() - start) as u16);
                    self.bytes.extend(&[0xc0, 0]);
                }
                None => self.bytes.extend(name),
            }
            rest = after;
        }
        self.bytes.extend(rest);
    }

    /// The target of a record whose data begins at `data_at` of its set.
    fn target(&self, name: usize, record: &Record<'_>, data_at: u16) -> Option<(u16, u32, bool)> {
        let shape = shape(record.rtype).filter(|shape| shape.addressed)?;
        let wire = record.rdata.get(shape.skip..)?;
        let wire = &wire[..name_bytes(wire)?];
        let is_binding = matches!(record.rtype, rtype::SVCB | rtype::HTTPS);
        if is_binding && wire == [0] {
            // `.` is the owner itself, but nothing in alias mode, priority 0 (RFC 9460 section 2.5).
            let alias = record.rdata.starts_with(&[0, 0]);
            return (!alias && self.names.has_addresses(name)).then_some((PLACE_OF_OWNER, name as u32, false));
        }
        let node = self.names.target(wire)?;
        let of_cut = record.rtype == rtype::NS && self.names.names[name].cut != 0;
        // Addresses below a cut are glue: only for NS, where the child's own are required.
        if self.names.names[node].cut != 0 && record.rtype != rtype::NS {
            return None;
        }
        Some((data_at + shape.skip as u16, node as u32, of_cut && within(wire, record.owner)))
    }

    fn extra(&mut self, extra: &Extra) -> u16 {
        let start = self.bytes.len();
        if extra.apex_at.is_empty() && extra.targets.is_empty() {
            return 0;
        }
        self.bytes.extend(&((2 * extra.apex_at.len()) as u16).to_le_bytes());
        for at in &extra.apex_at {
            self.bytes.extend(&at.to_le_bytes());
        }
        for (at, node, required) in &extra.targets {
            self.bytes.extend(&at.to_le_bytes());
            self.target_at.push(self.bytes.len() as u32);
            self.bytes.extend(&node.to_le_bytes());
            self.bytes.extend(&[u8::from(*required)]);
        }
        (self.bytes.len() - start) as u16
    }
}

/// What stands behind a set's data.
#[derive(Default)]
struct Extra {
    apex_at: Vec<u16>,
    targets: Vec<(u16, u32, bool)>,
    asked: std::collections::HashSet<u32>,
}

/// The TTL of a set (RFC 2181 section 5.2).
fn lowest_ttl(set: &[Record<'_>], problems: &mut Vec<Problem>) -> u32 {
    let lowest = set.iter().map(|record| record.ttl).min().unwrap_or_default();
    // Signatures of one name have the TTLs of what they sign.
    let differ = |pair: &&[Record<'_>]| pair[0].ttl != pair[1].ttl && pair[0].rtype != rtype::RRSIG;
    if let Some([first, other]) = set.windows(2).find(differ) {
        let fact = format!("TTL {} differs from TTL {} on line {} of the same set", other.ttl, first.ttl, first.line);
        problems.push(
            Problem::warning("W0235", place(other), fact)
                .help(format!("the records of one set have one TTL; {lowest} is used")),
        );
    }
    lowest
}
