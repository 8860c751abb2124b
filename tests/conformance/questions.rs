//! A few thousand questions about a zone: names that are there, below, beside, covered by wildcards, between; every
//! type; EDNS or none; both transports. The same seed asks the same.

use std::collections::BTreeSet;

use rhumb::dns::name::Name;
use rhumb::zone::read::ZoneFile;

use crate::common::dns::Question;

/// Types that are asked for whether or not they are there.
const TYPES: &[u16] = &[1, 28, 2, 5, 6, 15, 16, 33, 43, 39, 12, 257, 65, 64, 35, 48, 47, 65280, 65400, 255, 99, 13, 52];

/// Classes other than IN: CHAOS, Hesiod, NONE, ANY, one never assigned a meaning, one unassigned.
const CLASSES: &[u16] = &[3, 4, 254, 255, 2, 4711];

/// Names outside all zones.
const OUTSIDE: &[&str] = &[".", "test.", "com.", "www.example.org.", "xwild.test.", "wild.test.example.org."];

/// How a question travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub question: Question,
    pub over_tcp: bool,
}

/// splitmix64: small, and the same everywhere.
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
    pub fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Questions about `zone`.
pub fn about(zone: &ZoneFile, draw: &mut Draw) -> Vec<Asked> {
    let apex = zone.apex.to_string();
    let mut own: BTreeSet<(String, u16)> = BTreeSet::new();
    let mut names: BTreeSet<String> = OUTSIDE.iter().map(|n| (*n).to_owned()).collect();
    for record in zone.records() {
        let owner = Name::from_wire(record.owner).unwrap();
        own.insert((owner.to_string(), record.rtype));
        near(&owner, &zone.apex, &mut names);
    }
    let mut pairs: BTreeSet<(String, u16)> = own;
    for name in &names {
        let count = if name.ends_with(&apex) { 4 } else { 2 };
        pairs.insert((name.clone(), 1));
        pairs.extend((0..count).map(|_| (name.clone(), draw.pick(TYPES))));
    }
    pairs.into_iter().map(|(name, qtype)| asked(&name, qtype, draw)).collect()
}

/// The owner, what encloses it, and what lies below and beside it.
fn near(owner: &Name, apex: &Name, names: &mut BTreeSet<String>) {
    let text = owner.to_string();
    let mut above = Some(owner.clone());
    while let Some(name) = above.filter(|name| name.is_within(apex)) {
        let beside = format!("nothere.{name}");
        names.extend([name.to_string(), beside, format!("*.{name}")]);
        above = name.parent();
    }
    if let Some(rest) = text.strip_prefix("*.") {
        names.extend([format!("covered.{rest}"), format!("two.labels.{rest}"), format!("a.*.{rest}")]);
    }
    names.extend([format!("x.{text}"), format!("a.b.{text}"), format!("_tcp.www.{text}")]);
    // A name too long is none.
    names.retain(|name| crate::common::dns::wire_name(name).len() <= 255);
}

fn asked(name: &str, qtype: u16, draw: &mut Draw) -> Asked {
    let mut question = Question::new(&if draw.one_in(4) { mixed_case(name, draw) } else { name.to_owned() }, qtype);
    question.id = draw.next() as u16;
    question.edns = draw.pick(&[None, Some(512), Some(1232), Some(1232), Some(4096), Some(100)]);
    question.dnssec_ok = question.edns.is_some() && draw.one_in(3);
    if draw.one_in(4) {
        question.flags |= 0x0100; // RD
    }
    if draw.one_in(8) {
        question.flags |= 0x0010; // CD
    }
    if draw.one_in(40) {
        question.qclass = draw.pick(CLASSES);
    }
    Asked { question, over_tcp: draw.one_in(8) }
}

fn mixed_case(name: &str, draw: &mut Draw) -> String {
    let flip = |c: char| if draw.one_in(2) { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    name.chars().map(flip).collect()
}
