//! Zone transfer (AXFR, RFC 5936): a zone as a stream of messages.
//!
//! A cursor into the compiled zone, so a transfer of any size takes a few bytes of memory. What is sent is what the master
//! file says; VIPs have no one content that a secondary could serve, so their addresses are left out.

use std::net::IpAddr;
use std::sync::Arc;

use crate::dns::code::flag;
use crate::dns::code::rtype;
use crate::dns::name_buf::NameBuf;
use crate::dns::query::HEADER_BYTES;
use crate::dns::query::Query;
use crate::dns::writer::POINTER_MAX;
use crate::dns::writer::Section;
use crate::dns::writer::Writer;
use crate::zone::tree::Node;
use crate::zone::tree::Zone;

/// Messages are filled up to here, so that every owner in them is in a pointer's reach.
const MESSAGE_BYTES: usize = POINTER_MAX;

/// Whether an address may have transfers.
pub(super) fn may(allowed: &[(IpAddr, u8)], source: IpAddr) -> bool {
    let source = source.to_canonical();
    allowed.iter().any(|(network, prefix)| match (network, source) {
        (IpAddr::V4(network), IpAddr::V4(source)) => {
            (u32::from(*network) ^ u32::from(source)).checked_shr(32u32.saturating_sub(u32::from(*prefix))).unwrap_or(0)
                == 0
        }
        (IpAddr::V6(network), IpAddr::V6(source)) => {
            (u128::from(*network) ^ u128::from(source))
                .checked_shr(128u32.saturating_sub(u32::from(*prefix)))
                .unwrap_or(0)
                == 0
        }
        _ => false,
    })
}

/// A transfer under way.
#[derive(Debug, Clone)]
pub struct Transfer {
    zone: Arc<Zone>,
    /// Header and question, as every message of the transfer has them.
    head: Vec<u8>,
    next: Next,
}

/// What is sent next.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// The SOA that opens.
    Opening,
    /// The sets of the node at this place, from this one on.
    Sets(u32, usize),
    /// The SOA that closes.
    Closing,
    Over,
}

impl Transfer {
    /// The transfer that `query` asks for and [`super::respond`] granted; none when it is no query.
    pub fn new(query: &[u8], zone: Arc<Zone>) -> Option<Self> {
        let read = Query::read(query, &mut NameBuf::default()).ok()?;
        let mut head = query.get(..read.question_end)?.to_vec();
        let flags = flag::QR | flag::AA | read.flags & flag::RD;
        head[2..4].copy_from_slice(&flags.to_be_bytes());
        head[4..HEADER_BYTES].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        Some(Transfer { zone, head, next: Next::Opening })
    }

    /// Writes the next message into `out`, of [`super::MESSAGE_BYTES_MAX`] bytes; gives its length, 0 after the last.
    pub fn next(&mut self, out: &mut [u8]) -> usize {
        if matches!(self.next, Next::Over) || out.len() < self.head.len() {
            return 0;
        }
        out[..self.head.len()].copy_from_slice(&self.head);
        let zone = Arc::clone(&self.zone);
        let room = out.len();
        let mut writer = Writer::new(out, self.head.len(), room);
        while self.fill(&zone, &mut writer) {}
        let end = writer.at();
        let count = writer.counts()[0];
        writer.buffer()[6..8].copy_from_slice(&count.to_be_bytes());
        if count == 0 { 0 } else { end }
    }

    /// Appends the next set; false when the message is full or the transfer over.
    fn fill(&mut self, zone: &Zone, writer: &mut Writer<'_>) -> bool {
        match self.next {
            Next::Opening => {
                self.next = zone.first().map_or(Next::Closing, |node| Next::Sets(node.place(), 0));
                start(zone, writer)
            }
            Next::Sets(place, from) => match zone.at_place(place) {
                Some(node) => self.fill_from(zone, node, from, writer),
                None => {
                    self.next = Next::Closing;
                    true
                }
            },
            Next::Closing => {
                if writer.at() < MESSAGE_BYTES && start(zone, writer) {
                    self.next = Next::Over;
                }
                false
            }
            Next::Over => false,
        }
    }

    /// Appends the sets of a node from `from` on.
    fn fill_from(&mut self, zone: &Zone, node: Node<'_>, from: usize, writer: &mut Writer<'_>) -> bool {
        let at_apex = node.owner() == zone.apex().wire();
        let owner_bytes = node.owner().len() - zone.apex().wire().len();
        let mut owner_at = at_apex.then_some(HEADER_BYTES);
        for (i, set) in node.sets().enumerate().skip(from) {
            if at_apex && set.rtype == rtype::SOA {
                continue;
            }
            self.next = Next::Sets(node.place(), i);
            // A first set in a message always fits: sets are smaller than messages by more than a head.
            let full = writer.at() >= MESSAGE_BYTES || writer.room() < set.prepared.data.len() + owner_bytes;
            if full && writer.counts()[0] > 0 {
                return false;
            }
            // The first record of a name spells it out; the others point to it.
            let written = match owner_at {
                Some(at) => writer.prepared(Section::Answer, set.prepared, at, HEADER_BYTES).map(|_| at),
                None => writer.spelled(Section::Answer, set.prepared, &node.owner()[..owner_bytes], HEADER_BYTES),
            };
            match written {
                Ok(at) => owner_at = Some(at),
                Err(_) => return false,
            }
        }
        self.next = node.after().map_or(Next::Closing, |node| Next::Sets(node.place(), 0));
        true
    }
}

/// Appends the SOA; false when it does not fit.
fn start(zone: &Zone, writer: &mut Writer<'_>) -> bool {
    zone.apex_node()
        .set(rtype::SOA)
        .is_some_and(|set| writer.prepared(Section::Answer, set.prepared, HEADER_BYTES, HEADER_BYTES).is_ok())
}
