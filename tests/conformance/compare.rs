//! What differs between two replies to one question, and which differences an RFC allows.

use std::collections::BTreeSet;

use crate::common::dns::{Reply, Rr, read_name, rtype};
use crate::questions::Asked;

/// A part of a reply in which two servers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Silence,
    Rcode,
    Authoritative,
    Truncated,
    Question,
    Flags,
    Answer,
    Authority,
    Additional,
    Edns,
    /// We said a record twice.
    Twice,
}

/// RD, CD, AD, RA, Z and the opcode.
const FLAGS: u16 = 0x79F0;
const CD: u16 = 0x0010;
const SERVFAIL: u16 = 2;
const REFUSED: u16 = 5;
const DNAME: u16 = 39;
const DS: u16 = 43;

/// What one server said: a reply, or nothing that can be read.
pub type Said = Result<Reply, String>;

/// The parts in which `ours` differs from `theirs`.
pub fn differences(ours: &Said, theirs: &Said) -> Vec<Part> {
    let (ours, theirs) = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(_), Err(_)) => return Vec::new(),
        _ => return vec![Part::Silence],
    };
    let differs = [
        (Part::Rcode, ours.rcode != theirs.rcode),
        (Part::Authoritative, ours.is_authoritative() != theirs.is_authoritative()),
        (Part::Truncated, ours.is_truncated() != theirs.is_truncated()),
        (Part::Question, ours.question != theirs.question),
        (Part::Flags, (ours.flags & FLAGS) != (theirs.flags & FLAGS)),
        (Part::Answer, set(&ours.answer) != set(&theirs.answer)),
        (Part::Authority, set(&ours.authority) != set(&theirs.authority)),
        (Part::Additional, set(&ours.additional) != set(&theirs.additional)),
        (Part::Edns, edns(ours) != edns(theirs)),
        (Part::Twice, [&ours.answer, &ours.authority, &ours.additional].iter().any(|rrs| set(rrs).len() < rrs.len())),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
}

fn set(records: &[Rr]) -> BTreeSet<&Rr> {
    records.iter().collect()
}

/// Version and DO; payload sizes and options are each server's own.
fn edns(reply: &Reply) -> Option<(u8, bool)> {
    reply.opt.as_ref().map(|opt| (opt.version, opt.dnssec_ok))
}

/// A difference that stays, and why it may.
pub struct Allowance {
    pub name: &'static str,
    pub because: &'static str,
    pub applies: fn(&Case<'_>) -> bool,
}

/// One difference, with all that is needed to judge it.
pub struct Case<'a> {
    pub asked: &'a Asked,
    pub part: Part,
    pub ours: &'a Reply,
    pub theirs: &'a Reply,
    /// The judge's name.
    pub judge: &'static str,
}

impl Case<'_> {
    fn qclass(&self) -> u16 {
        self.asked.question.qclass
    }
    /// Whether the judge stopped at an alias where we went on into another zone that we serve.
    fn stopped_at_alias(&self) -> bool {
        let (ours, theirs) = (set(&self.ours.answer), set(&self.theirs.answer));
        let last = self.theirs.answer.iter().rfind(|rr| rr.rtype == rtype::CNAME);
        let target = last.and_then(|rr| read_name(&rr.rdata, 0)).map(|(target, _)| target);
        // The zones of these tests lie below `test.`, one label each, but for the child of cuts.test.
        let zone_of =
            |name: &str| name.trim_end_matches('.').rsplit('.').take(2).map(str::to_owned).collect::<Vec<_>>();
        ours.is_superset(&theirs)
            && target.is_some_and(|target| zone_of(&target) != zone_of(&self.asked.question.name.to_ascii_lowercase()))
    }
    fn any_truncated(&self) -> bool {
        self.ours.is_truncated() || self.theirs.is_truncated()
    }
    fn is_positive(&self, reply: &Reply) -> bool {
        reply.rcode == 0 && !reply.answer.is_empty()
    }
}

/// The class IN.
const IN: u16 = 1;

/// The differences that stay.
pub const ALLOWANCES: &[Allowance] = &[
    Allowance {
        name: "a class that is not served",
        because: "RFC 1035 section 4.1.1: REFUSED for policy; the judges say REFUSED, NOTIMP, FORMERR, or answer ANY as IN",
        applies: |c| c.qclass() != IN && c.ours.rcode == REFUSED && c.ours.answer.is_empty() && c.part != Part::Twice,
    },
    Allowance {
        name: "CD copied",
        because: "RFC 4035 section 3.1.6 says an authoritative answer should clear CD; BIND copies it as section 3 says",
        applies: |c| c.part == Part::Flags && c.judge == "bind" && (c.ours.flags ^ c.theirs.flags) & FLAGS == CD,
    },
    Allowance {
        name: "a chain into another zone that is served here",
        because: "RFC 1034 section 4.3.2 step 3a goes on with the new name; Knot and BIND leave that to the resolver",
        applies: |c| {
            matches!(c.part, Part::Answer | Part::Authority | Part::Additional | Part::Rcode) && c.stopped_at_alias()
        },
    },
    Allowance {
        name: "a long chain cut short",
        because: "RFC 1034 section 4.3.2 names no bound; ours is 8 aliases, Knot's is 6",
        applies: |c| {
            c.judge == "knot"
                && c.theirs.answer.len() >= 5
                && c.theirs.answer.iter().all(|rr| rr.rtype == rtype::CNAME)
                && matches!(c.part, Part::Answer | Part::Authority)
                && set(&c.ours.answer).is_superset(&set(&c.theirs.answer))
        },
    },
    Allowance {
        name: "a chain that loops or grows is an error to BIND",
        because: "RFC 1034 section 3.6.2 leaves loops to whoever follows them; NSD and Knot give the chain without SERVFAIL",
        applies: |c| {
            let aliases = |reply: &Reply| reply.answer.iter().any(|rr| rr.rtype == rtype::CNAME);
            c.judge == "bind"
                && c.theirs.rcode == SERVFAIL
                && c.part != Part::Twice
                && aliases(c.ours)
                && (aliases(c.theirs) || c.theirs.is_truncated())
        },
    },
    Allowance {
        name: "a DNAME that leads back to itself",
        because: "RFC 6672 names no bound; NSD and we stop at its second use, Knot goes on to its sixth",
        applies: |c| {
            c.judge == "knot"
                && matches!(c.part, Part::Answer | Part::Authority)
                && c.ours.answer.iter().any(|rr| rr.rtype == DNAME)
                && set(&c.theirs.answer).is_superset(&set(&c.ours.answer))
        },
    },
    Allowance {
        name: "ANY below a DNAME",
        because: "RFC 6672 section 3.2 goes on with the new name; BIND leaves that to the resolver when ANY is asked for",
        applies: |c| {
            c.judge == "bind"
                && c.asked.question.qtype == rtype::ANY
                && matches!(c.part, Part::Answer | Part::Authority | Part::Rcode)
                && c.theirs.answer.iter().any(|rr| rr.rtype == DNAME)
                && set(&c.ours.answer).is_superset(&set(&c.theirs.answer))
        },
    },
    Allowance {
        name: "TC for glue that does not fit",
        because: "RFC 9471 section 3.1: TC when glue of a server below the cut is left out; Knot does, these are older",
        applies: |c| {
            let is_referral = |reply: &Reply| !reply.is_authoritative() && reply.answer.is_empty() && reply.rcode == 0;
            c.part == Part::Truncated
                && c.judge != "knot"
                && c.ours.is_truncated()
                && is_referral(c.ours)
                && is_referral(c.theirs)
        },
    },
    Allowance {
        name: "DS in a referral from an unsigned zone",
        because: "RFC 4035 section 3.1.4: a DS set that is there goes along when DO is set; the judges want the zone signed",
        applies: |c| {
            let more = &set(&c.ours.authority) - &set(&c.theirs.authority);
            c.part == Part::Authority
                && c.asked.question.dnssec_ok
                && set(&c.ours.authority).is_superset(&set(&c.theirs.authority))
                && more.iter().all(|rr| rr.rtype == DS)
        },
    },
    Allowance {
        name: "NSEC or RRSIG asked for at an alias",
        because: "RFC 4034 lets both stand beside a CNAME; in an unsigned zone neither does, and the alias is the answer",
        applies: |c| {
            let alias = |rr: &Rr| rr.rtype == rtype::CNAME;
            [46, 47].contains(&c.asked.question.qtype)
                && matches!(c.part, Part::Answer | Part::Authority | Part::Rcode)
                && c.ours.answer.iter().any(alias)
                && !c.theirs.answer.iter().any(alias)
        },
    },
    Allowance {
        name: "contents of a truncated reply",
        because: "RFC 2181 section 9: what a reply with TC holds is not used; servers drop different parts",
        applies: |c| matches!(c.part, Part::Answer | Part::Authority | Part::Additional) && c.any_truncated(),
    },
    Allowance {
        name: "NS set beside a positive answer",
        because: "RFC 1034 section 4.3.2 asks for none; it is a courtesy of the judge",
        applies: |c| {
            let courtesy = |rr: &Rr| rr.rtype == rtype::NS;
            c.part == Part::Authority
                && c.is_positive(c.theirs)
                && c.theirs.authority.iter().all(courtesy)
                && c.ours.authority.is_empty()
        },
    },
    Allowance {
        name: "optional additional records",
        because: "RFC 2181 section 9, RFC 9471 section 2.2: additional records are a courtesy, but for in-domain glue",
        applies: |c| c.part == Part::Additional && glue(c.ours).is_superset(&glue(c.theirs)),
    },
    Allowance {
        name: "ANY answered with a subset",
        because: "RFC 8482 section 4.1: one RRset is a valid answer to ANY",
        applies: |c| {
            c.asked.question.qtype == rtype::ANY
                && matches!(c.part, Part::Answer | Part::Authority | Part::Additional | Part::Truncated)
                && (c.any_truncated()
                    || set(&c.ours.answer).is_subset(&set(&c.theirs.answer))
                    // BIND picks one set, too, and not the same.
                    || (one_set(c.ours) && one_set(c.theirs)))
                && c.ours.answer.is_empty() == c.theirs.answer.is_empty()
        },
    },
];

/// Whether its answer is one record set.
fn one_set(reply: &Reply) -> bool {
    reply.answer.windows(2).all(|pair| (&pair[0].owner, pair[0].rtype) == (&pair[1].owner, pair[1].rtype))
}

/// Addresses in a referral that nobody else can give: those of servers below the cut (RFC 9471 section 2.1).
fn glue(reply: &Reply) -> BTreeSet<&Rr> {
    if reply.is_authoritative() || !reply.answer.is_empty() {
        return BTreeSet::new();
    }
    let cuts: Vec<&Rr> = reply.authority.iter().filter(|rr| rr.rtype == rtype::NS).collect();
    let below =
        |rr: &&Rr| cuts.iter().any(|cut| rr.owner.ends_with(&format!(".{}", cut.owner)) || rr.owner == cut.owner);
    reply.additional.iter().filter(below).collect()
}
