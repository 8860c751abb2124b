//! Query bytes to response bytes: the one answer function of every transport.
//!
//! [`respond`] reads the query, refuses what must be refused, lets [`walk`] answer from the zones and VIPs, and closes the
//! message. It waits for nothing, allocates nothing and never panics; which world, which moment and which random bits are
//! its arguments, so that `explain`, tests and the server all get the same answer.

pub mod ahead;
mod chaos;
pub mod transfer;
mod walk;

use std::net::IpAddr;

use crate::dns::code::class;
use crate::dns::code::extended;
use crate::dns::code::flag;
use crate::dns::code::rcode;
use crate::dns::code::rtype;
use crate::dns::cookie;
use crate::dns::edns::Reply;
use crate::dns::edns::Subnet;
use crate::dns::edns::SubnetOption;
use crate::dns::name_buf::NameBuf;
use crate::dns::query::HEADER_BYTES;
use crate::dns::query::Query;
use crate::dns::query::Refusal;
use crate::dns::writer::Writer;
use crate::model::ClientSubnet;
use crate::model::PoolId;
use crate::model::VipId;
use crate::responder::walk::Walk;
use crate::steering::Client;
use crate::steering::Draw;
use crate::steering::Reason;
use crate::world::World;

/// How a query came, which says how large its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP: at most what the client's EDNS and our own cap allow.
    Udp,
    /// TCP.
    Tcp,
    /// DNS over TLS.
    Tls,
    /// DNS over HTTPS.
    Https,
    /// DNS over QUIC.
    Quic,
}

impl Transport {
    /// As people write it.
    pub fn words(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Https => "HTTPS",
            Transport::Quic => "QUIC",
        }
    }
}

/// The most bytes of a response over anything but UDP; a buffer lent to [`respond`] for those has this size.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// The most bytes of a UDP response, whatever client and configuration say; a buffer lent for UDP has this size.
pub const UDP_BYTES_MAX: usize = 4_096;
/// What every client takes over UDP (RFC 1035 section 2.3.4); smaller EDNS sizes count as this (RFC 6891 section 6.2.3).
pub const UDP_BYTES_MIN: usize = 512;
/// A longer name of the server is not sent as NSID: the smallest response must have room for the whole OPT record.
const NSID_BYTES_MAX: usize = 128;

/// What became of a query; counters and the query log read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// How many bytes of the buffer to send; 0: nothing may be sent (not a query, or too short to answer).
    pub bytes: usize,
    /// The extended response code.
    pub rcode: u16,
    /// The query's type, 0 when it was not understood.
    pub qtype: u16,
    /// The zone that holds the question (index into the snapshot's zones); none when no zone does, or nothing was asked of
    /// one.
    pub zone: Option<usize>,
    /// The VIP that answered.
    pub vip: Option<VipId>,
    /// The pool its answer came from.
    pub pool: Option<PoolId>,
    /// Why that pool; meaningless without a VIP.
    pub reason: Reason,
    /// A zone transfer was asked for and may be had: the transport streams this zone (index into the snapshot's zones)
    /// instead of sending `bytes`.
    pub transfer: Option<usize>,
}

/// Answers one query into `out`, of at least 512 bytes.
///
/// Never allocates, blocks or panics, whatever `query` holds.
pub fn respond(
    query: &[u8],
    source: IpAddr,
    transport: Transport,
    world: &World,
    draw: Draw,
    out: &mut [u8],
) -> Outcome {
    if out.len() < UDP_BYTES_MIN {
        return Outcome::default();
    }
    let mut name = NameBuf::default();
    match Query::read(query, &mut name) {
        Ok(query) => Exchange { query: &query, source, transport, world, draw }.answer(&mut name, out),
        Err(refusal) => refuse(query, refusal, out),
    }
}

/// Whose place counts for a query: its Client Subnet unless that is empty, else where it came from.
pub fn client(subnet: Option<&Subnet<'_>>, source: IpAddr) -> Client {
    match subnet {
        Some(subnet) if subnet.prefix > 0 => Client::from_subnet(subnet.address, subnet.prefix),
        _ => Client::from_source(source),
    }
}

/// Says no to what is no query of ours.
fn refuse(message: &[u8], refusal: Refusal, out: &mut [u8]) -> Outcome {
    let (rcode, end) = match refusal {
        Refusal::Silence => return Outcome::default(),
        Refusal::Header(rcode) => (rcode, HEADER_BYTES),
        Refusal::Question { rcode, question_end } => (rcode, question_end),
    };
    let Some(echo) = message.get(..end) else { return Outcome::default() };
    out[..end].copy_from_slice(echo);
    let asked = u16::from_be_bytes([out[2], out[3]]);
    let flags = flag::QR | asked & (flag::OPCODE | flag::RD) | rcode;
    out[2..4].copy_from_slice(&flags.to_be_bytes());
    out[4..HEADER_BYTES].fill(0);
    out[5] = u8::from(end > HEADER_BYTES);
    Outcome { bytes: end, rcode, ..Outcome::default() }
}

/// What is fixed while one query is answered.
struct Exchange<'a> {
    query: &'a Query<'a>,
    source: IpAddr,
    transport: Transport,
    world: &'a World,
    draw: Draw,
}

impl<'a> Exchange<'a> {
    fn answer(&self, name: &mut NameBuf, out: &mut [u8]) -> Outcome {
        let query = self.query;
        let Ok(subnet) = self.subnet() else {
            return refuse(query.message, query.refusal(rcode::FORMERR), out);
        };
        let mut opt = self.opt(subnet.as_ref());
        let limit = self.limit(out.len());
        let room = limit - opt.as_ref().map_or(0, Reply::bytes);
        out[..query.question_end].copy_from_slice(&query.message[..query.question_end]);
        let mut walk = Walk {
            world: self.world,
            qtype: query.qtype,
            dnssec_ok: query.edns.is_some_and(|edns| edns.dnssec_ok),
            client: client(subnet.as_ref(), self.source),
            draw: self.draw,
            writer: Writer::new(out, query.question_end, room),
            rcode: rcode::NOERROR,
            authoritative: false,
            truncated: false,
            scope: 0,
            error: None,
            zone: None,
            vip: None,
            pool: None,
            reason: Reason::default(),
        };
        let transfer = self.decide_kind(name, &mut walk);
        if let Some(opt) = &mut opt {
            opt.rcode_high = (walk.rcode >> 4) as u8;
            opt.error = walk.error;
            if let Some((_, scope)) = &mut opt.subnet {
                *scope = if walk.client.from_subnet { walk.client.reply_scope(walk.scope) } else { 0 };
            }
        }
        self.close(walk, opt, limit, transfer)
    }

    /// The query's Client Subnet, when it counts.
    fn subnet(&self) -> Result<Option<Subnet<'a>>, crate::dns::edns::Malformed> {
        if self.world.snapshot.model.geo.client_subnet == ClientSubnet::Ignore {
            return Ok(None);
        }
        match self.query.edns.map_or(SubnetOption::Absent, |edns| edns.subnet) {
            SubnetOption::Absent => Ok(None),
            SubnetOption::Present(data) => Subnet::read(data).map(Some),
            SubnetOption::Repeated => Err(crate::dns::edns::Malformed),
        }
    }

    /// The OPT record of the response, but for what the answer decides; none when the query has none.
    fn opt(&self, subnet: Option<&Subnet<'a>>) -> Option<Reply<'a>> {
        let edns = self.query.edns?;
        let server = &self.world.snapshot.model.server;
        let nsid = server.nsid.as_deref().filter(|name| edns.nsid && name.len() <= NSID_BYTES_MAX);
        let connected = matches!(self.transport, Transport::Tcp | Transport::Tls);
        let tenths = (server.tcp_idle.as_millis() / 100).min(u128::from(u16::MAX)) as u16;
        Some(Reply {
            payload: server.udp_payload_max,
            dnssec_ok: edns.dnssec_ok,
            rcode_high: 0,
            subnet: subnet.map(|subnet| (subnet.data, 0)),
            nsid: nsid.map(str::as_bytes),
            cookie: edns.cookie.and_then(|data| self.cookie(data)),
            keepalive: (edns.keepalive && connected).then_some(tenths),
            error: None,
            padded: edns.padding && !matches!(self.transport, Transport::Udp | Transport::Tcp),
        })
    }

    /// The cookie option of the response.
    #[inline(never)]
    fn cookie(&self, data: &[u8]) -> Option<[u8; 24]> {
        let secrets = self.world.snapshot.model.server.cookie_secrets.as_ref()?;
        cookie::reply(secrets, data, self.source, self.draw.seconds)
    }

    /// The most bytes of the response.
    fn limit(&self, buffer: usize) -> usize {
        if self.transport != Transport::Udp {
            return buffer;
        }
        let theirs = self.query.edns.map_or(UDP_BYTES_MIN, |edns| usize::from(edns.payload));
        let ours = usize::from(self.world.snapshot.model.server.udp_payload_max);
        theirs.min(ours).clamp(UDP_BYTES_MIN, UDP_BYTES_MAX).min(buffer)
    }

    /// Answers, refuses, or grants a transfer.
    fn decide_kind(&self, name: &mut NameBuf, walk: &mut Walk<'_, '_>) -> Option<usize> {
        let query = self.query;
        if query.edns.is_some_and(|edns| edns.version != 0) {
            walk.rcode = rcode::BADVERS;
        } else if query.tsig {
            // We hold no keys, so every key is one we do not know (RFC 8945 section 5.2.1).
            walk.rcode = rcode::NOTAUTH;
        } else if query.qclass == class::CH {
            chaos::answer(&self.world.snapshot.model.server, name, walk);
        } else if query.qclass != class::IN {
            walk.refuse(rcode::REFUSED, extended::NOT_SUPPORTED, "");
        } else {
            match query.qtype {
                rtype::AXFR | rtype::IXFR => return self.transfer(name, walk),
                // Records of these types exist only inside messages.
                rtype::OPT | rtype::TSIG => walk.rcode = rcode::FORMERR,
                rtype::TKEY | rtype::MAILA | rtype::MAILB => walk.rcode = rcode::NOTIMP,
                _ => walk.zones(name),
            }
        }
        None
    }

    /// Grants or refuses a transfer. Over UDP a whole zone never fits: IXFR gets the current SOA, which tells a secondary
    /// whether to come back over TCP (RFC 1995 section 2); AXFR is not defined there (RFC 5936 section 4.2).
    fn transfer(&self, name: &mut NameBuf, walk: &mut Walk<'_, '_>) -> Option<usize> {
        let held = self.world.snapshot.zones.holding(name);
        let Some((place, zone)) = held.filter(|(_, zone)| zone.apex().wire() == name.wire()) else {
            walk.refuse(rcode::NOTAUTH, extended::NOT_AUTHORITATIVE, "");
            return None;
        };
        walk.zone = Some(place);
        if !transfer::may(&self.world.snapshot.model.server.transfer_to, self.source) {
            walk.refuse(rcode::REFUSED, extended::PROHIBITED, "");
            return None;
        }
        match (self.transport, self.query.qtype) {
            (Transport::Tcp, _) => Some(place),
            (_, rtype::IXFR) => {
                walk.start_of(zone);
                None
            }
            _ => {
                walk.rcode = rcode::NOTIMP;
                None
            }
        }
    }

    fn close(&self, walk: Walk<'_, '_>, opt: Option<Reply<'_>>, limit: usize, transfer: Option<usize>) -> Outcome {
        let Walk { mut writer, rcode, zone, vip, pool, reason, .. } = walk;
        let counts = writer.counts();
        let mut end = writer.at();
        let mut additional = counts[2];
        let out = writer.buffer();
        if let Some(mut opt) = opt {
            if end + opt.bytes() > limit {
                opt.error = None;
            }
            end = opt.write(out, end);
            additional += 1;
        }
        let flags = flag::QR
            // CD is cleared, as RFC 4035 section 3.1.6 asks of authoritative answers.
            | self.query.flags & flag::RD
            | if walk.authoritative { flag::AA } else { 0 }
            | if walk.truncated { flag::TC } else { 0 }
            | rcode & 0xf;
        let words = [flags, 1, counts[0], counts[1], additional];
        for (at, word) in out[2..HEADER_BYTES].chunks_exact_mut(2).zip(words) {
            at.copy_from_slice(&word.to_be_bytes());
        }
        Outcome { bytes: end, rcode, qtype: self.query.qtype, zone, vip, pool, reason, transfer }
    }
}

#[cfg(test)]
mod tests;
