//! From a question to its answer, through the zones: a name at a time, along CNAMEs and DNAMEs.
//!
//! ```text
//! name -> zone -> node -> the set asked for              done
//!                      -> a VIP's addresses               done
//!                      -> CNAME or DNAME                  the next name, up to CNAME_HOPS_MAX
//!                      -> a zone cut                      a referral
//!                      -> nothing                         the zone's SOA
//! ```
//!
//! Answers are minimal: authority and additional sections carry what the client needs next, never the zone's own NS
//! records beside an answer. A type ANY question gets one set (RFC 8482), that of the lowest type number, as from Knot DNS: a
//! complete one would only serve amplification. Addresses beside MX, SRV and their like come from the same zone and are
//! never a VIP's: those depend on the client and have TTLs of their own, so they are asked for.

use crate::dns::code::class;
use crate::dns::code::extended;
use crate::dns::code::rcode;
use crate::dns::code::rtype;
use crate::dns::name::NAME_BYTES_MAX;
use crate::dns::name_buf::NameBuf;
use crate::dns::query::HEADER_BYTES;
use crate::dns::writer::RECORD_BYTES;
use crate::dns::writer::Section;
use crate::dns::writer::Writer;
use crate::model::Family;
use crate::model::PoolId;
use crate::model::VipId;
use crate::steering::Client;
use crate::steering::Draw;
use crate::steering::Reason;
use crate::steering::Silent;
use crate::steering::Verdict;
use crate::steering::decide;
use crate::world::World;
use crate::zone::find::Found;
use crate::zone::tree::Node;
use crate::zone::tree::RecordSet;
use crate::zone::tree::Zone;

/// Longer chains are loops in practice; the client goes on from the last name if it must.
const CNAME_HOPS_MAX: usize = 8;

/// An answer in the making.
pub(super) struct Walk<'w, 'o> {
    pub world: &'w World,
    pub qtype: u16,
    pub dnssec_ok: bool,
    pub client: Client,
    pub draw: Draw,
    pub writer: Writer<'o>,
    pub rcode: u16,
    pub authoritative: bool,
    pub truncated: bool,
    /// In the family of the client's address.
    pub scope: u8,
    pub error: Option<(u16, &'static str)>,
    /// The zone that holds the question.
    pub zone: Option<usize>,
    pub vip: Option<VipId>,
    pub pool: Option<PoolId>,
    pub reason: Reason,
}

/// Where a name that is looked up stands in the message, and where in it the zone's apex begins.
///
/// A name of the zone is never compressed before its apex: it is the question's, or its own bytes and a pointer to the apex.
/// So every suffix from the apex down begins at a place in it.
#[derive(Clone, Copy)]
struct Here {
    name_at: usize,
    name_bytes: usize,
    apex_at: usize,
}

impl Here {
    fn suffix_at(&self, bytes: usize) -> usize {
        self.name_at + self.name_bytes - bytes
    }
}

/// What comes after a name.
enum Step {
    Done,
    /// The name that was set stands here in the message.
    Follow(usize),
}

impl<'w> Walk<'w, '_> {
    /// Says no.
    pub fn refuse(&mut self, rcode: u16, code: u16, text: &'static str) {
        self.rcode = rcode;
        self.error = Some((code, text));
    }

    /// Answers with a zone's SOA record alone; the question's name is its apex.
    pub fn start_of(&mut self, zone: &Zone) {
        self.authoritative = true;
        if let Some(set) = zone.apex_node().set(rtype::SOA) {
            self.truncated |= self.writer.prepared(Section::Answer, set.prepared, HEADER_BYTES, HEADER_BYTES).is_err();
        }
    }

    /// Answers from the zones; `name` is the question's and is changed on the way.
    pub fn zones(&mut self, name: &mut NameBuf) {
        let world = self.world;
        let Some((place, zone)) = self.first_zone(name) else {
            return self.refuse(rcode::REFUSED, extended::NOT_AUTHORITATIVE, "");
        };
        self.zone = Some(place);
        let mut visited = Visited::default();
        let mut at = HEADER_BYTES;
        let mut zone = zone;
        loop {
            let name_bytes = name.wire().len();
            let here = Here { name_at: at, name_bytes, apex_at: at + name_bytes - zone.apex().wire().len() };
            match self.step(zone, name, here, &mut visited) {
                Step::Done => return,
                Step::Follow(next) => at = next,
            }
            match world.snapshot.zones.holding(name) {
                Some((_, next)) => zone = next,
                None => return,
            }
        }
    }

    /// The zone that answers the question. That of DS records is the parent of the zone they speak of
    /// (RFC 4035 section 3.1.4.1).
    #[inline]
    fn first_zone(&self, name: &NameBuf) -> Option<(usize, &'w Zone)> {
        let zones = &self.world.snapshot.zones;
        let held = zones.holding(name)?;
        match self.qtype == rtype::DS && held.1.apex().wire() == name.wire() {
            true => Some(zones.above(name).unwrap_or(held)),
            false => Some(held),
        }
    }

    #[inline]
    fn step(&mut self, zone: &'w Zone, name: &mut NameBuf, here: Here, visited: &mut Visited) -> Step {
        let node = match zone.find(name) {
            Found::Exact(node) | Found::Wildcard(node) => node,
            // What stands at the cut is the child's, but for the DS.
            Found::Cut(node) if self.qtype == rtype::DS && node.owner().len() == here.name_bytes => node,
            Found::Cut(node) => return self.refer(node, here),
            Found::Renamed(node) => {
                self.authoritative = true;
                return if visited.again(zone, node) { Step::Done } else { self.rename(node, name, here) };
            }
            Found::Missing => {
                self.authoritative = true;
                self.rcode = rcode::NXDOMAIN;
                return self.nothing(zone, here);
            }
        };
        self.authoritative = true;
        let family = match self.qtype {
            rtype::A => Some(Family::V4),
            rtype::AAAA => Some(Family::V6),
            _ => None,
        };
        if let (Some(vip), Some(family)) = (node.vip(), family) {
            return match self.steer(vip, family, here) {
                true => Step::Done,
                false => self.nothing(zone, here),
            };
        }
        if let Some(set) = node.set(self.qtype) {
            self.set(&node, &set, here);
            return Step::Done;
        }
        if node.has_cname() && self.qtype != rtype::ANY {
            return if visited.again(zone, node) { Step::Done } else { self.alias(zone, node, name, here) };
        }
        match self.qtype == rtype::ANY && self.any(node, here) {
            true => Step::Done,
            false => self.nothing(zone, here),
        }
    }

    /// Writes a set as the answer, and the addresses it asks for.
    fn set(&mut self, node: &Node<'w>, set: &RecordSet<'w>, here: Here) {
        match self.writer.prepared(Section::Answer, set.prepared, here.name_at, here.apex_at) {
            Ok(start) => self.addresses(node, set, start, here),
            Err(_) => self.truncated = true,
        }
    }

    /// Writes the addresses of a set's targets, the set's records standing at `start`.
    fn addresses(&mut self, node: &Node<'w>, set: &RecordSet<'w>, start: usize, here: Here) {
        for target in node.targets(set) {
            let owner = target.place.map_or(here.name_at, |place| start + place);
            for family in [rtype::A, rtype::AAAA] {
                let Some(set) = target.node.set(family) else { continue };
                if self.writer.prepared(Section::Additional, set.prepared, owner, here.apex_at).is_err() {
                    self.truncated |= target.required;
                }
            }
        }
    }

    /// One set of all (RFC 8482 section 4.1); false when there is none.
    fn any(&mut self, node: Node<'w>, here: Here) -> bool {
        if let Some(vip) = node.vip()
            && (self.steer(vip, Family::V4, here) || self.steer(vip, Family::V6, here))
        {
            return true;
        }
        let Some(set) = node.sets().next() else { return false };
        self.set(&node, &set, here);
        true
    }

    /// Writes a VIP's addresses for the client; false when there are none for it.
    fn steer(&mut self, vip: VipId, family: Family, here: Here) -> bool {
        let plan = &self.world.snapshot.plan;
        let decision = decide(plan, &self.world.health, vip, family, &self.client, self.draw, &mut Silent);
        self.vip = Some(vip);
        self.pool = decision.pool;
        self.reason = decision.reason;
        self.scope = self.scope.max(decision.scope);
        if decision.verdict == Verdict::ServFail {
            self.refuse(rcode::SERVFAIL, extended::OTHER, "no healthy endpoint");
            self.authoritative = false;
            self.writer.clear();
            return true;
        }
        if decision.verdict == Verdict::NoData || decision.endpoints().is_empty() {
            return false;
        }
        let addresses = decision.endpoints().iter().map(|id| plan.address(*id));
        self.truncated |= self.writer.addresses(here.name_at, decision.ttl, addresses).is_err();
        true
    }

    /// Neither the name nor the type: the zone's SOA says for how long (RFC 2308).
    fn nothing(&mut self, zone: &Zone, here: Here) -> Step {
        let written = self.writer.prepared(Section::Authority, zone.negative(), here.apex_at, here.apex_at);
        self.truncated |= written.is_err();
        Step::Done
    }

    /// Another server knows: its NS records, and the glue to reach it. Not authoritative unless CNAMEs of ours led here.
    fn refer(&mut self, cut: Node<'w>, here: Here) -> Step {
        let owner = here.suffix_at(cut.owner().len());
        if let Some(set) = cut.set(rtype::NS) {
            match self.writer.prepared(Section::Authority, set.prepared, owner, here.apex_at) {
                Ok(start) => {
                    self.signed_delegation(cut, owner, here);
                    self.addresses(&cut, &set, start, here);
                }
                Err(_) => self.truncated = true,
            }
        }
        Step::Done
    }

    fn signed_delegation(&mut self, cut: Node<'w>, owner: usize, here: Here) {
        if let Some(set) = cut.set(rtype::DS).filter(|_| self.dnssec_ok) {
            self.truncated |= self.writer.prepared(Section::Authority, set.prepared, owner, here.apex_at).is_err();
        }
    }

    /// Writes a CNAME and sets `name` to its target.
    fn alias(&mut self, zone: &Zone, node: Node<'w>, name: &mut NameBuf, here: Here) -> Step {
        let Some(set) = node.set(rtype::CNAME) else { return Step::Done };
        let Ok(start) = self.writer.prepared(Section::Answer, set.prepared, here.name_at, here.apex_at) else {
            self.truncated = true;
            return Step::Done;
        };
        let data = &set.prepared.data[RECORD_BYTES..];
        let in_zone = !set.prepared.apex_at.is_empty();
        let is_name = match in_zone {
            // Its own bytes, then the two of the pointer to the apex.
            true => set_joined(name, &data[..data.len() - 2], zone.apex().wire()),
            false => name.set(data).is_ok(),
        };
        if is_name { Step::Follow(start + RECORD_BYTES) } else { Step::Done }
    }

    /// Writes a DNAME and the CNAME it makes for this name, and sets `name` to that one's target (RFC 6672 section 3.1).
    fn rename(&mut self, node: Node<'w>, name: &mut NameBuf, here: Here) -> Step {
        let Some(set) = node.set(rtype::DNAME) else { return Step::Done };
        let owner = here.suffix_at(node.owner().len());
        if self.writer.prepared(Section::Answer, set.prepared, owner, here.apex_at).is_err() {
            self.truncated = true;
            return Step::Done;
        }
        let (head, target) = set.prepared.data.split_at(RECORD_BYTES);
        let ttl = u32::from_be_bytes([head[6], head[7], head[8], head[9]]);
        let own_bytes = here.name_bytes - node.owner().len();
        if own_bytes + target.len() > NAME_BYTES_MAX {
            self.rcode = rcode::YXDOMAIN;
            return Step::Done;
        }
        // In the case the client sent it.
        let mut own = [0; NAME_BYTES_MAX];
        let own = &mut own[..own_bytes];
        own.copy_from_slice(&self.writer.buffer()[here.name_at..here.name_at + own_bytes]);
        let data: [&[u8]; 2] = [own, target];
        let written = self.writer.record(Section::Answer, here.name_at, rtype::CNAME, class::IN, ttl, &data);
        match written {
            Ok(_) if self.qtype == rtype::CNAME => Step::Done,
            Ok(at) if set_joined(name, own, target) => Step::Follow(at),
            Ok(_) => Step::Done,
            Err(_) => {
                self.truncated = true;
                Step::Done
            }
        }
    }
}

/// Sets a name to labels and what follows them; false when that is no name.
fn set_joined(name: &mut NameBuf, own: &[u8], rest: &[u8]) -> bool {
    let mut wire = [0; NAME_BYTES_MAX];
    let length = own.len() + rest.len();
    if length > NAME_BYTES_MAX {
        return false;
    }
    wire[..own.len()].copy_from_slice(own);
    wire[own.len()..length].copy_from_slice(rest);
    name.set(&wire[..length]).is_ok()
}

/// The aliases met so far: a chain ends when it comes back, or at its bound.
#[derive(Default)]
struct Visited {
    aliases: [(usize, u32); CNAME_HOPS_MAX],
    count: usize,
}

impl Visited {
    /// Whether the chain ends here: at its bound, or at an alias met before. A wildcard may be met twice, since the first
    /// time was by another name than its target. A DNAME met again would stand in the answer twice, and its names grow
    /// or loop; whoever asked may go on from the last one.
    fn again(&mut self, zone: &Zone, node: Node<'_>) -> bool {
        let alias = (std::ptr::from_ref(zone).addr(), node.place());
        let times = self.aliases[..self.count].iter().filter(|met| **met == alias).count();
        let times_max = 1 + usize::from(node.owner().starts_with(&[1, b'*']));
        if self.count == CNAME_HOPS_MAX || times == times_max {
            return true;
        }
        self.aliases[self.count] = alias;
        self.count += 1;
        false
    }
}
