//! One line of the query log: what was asked, what was answered, and why.
//!
//! Everything comes from bytes that a client sent or that we made for it, and some of them are cut off: whatever cannot
//! be read is left out, and no bytes make it panic.

use std::fmt;
use std::io;
use std::io::Write;
use std::net::IpAddr;

use hickory_proto::rr::RecordType;
use serde::Serialize;

use crate::dns::code::rtype;
use crate::dns::edns::Subnet;
use crate::dns::edns::SubnetOption;
use crate::dns::edns::option;
use crate::dns::name::Name;
use crate::dns::name_buf::NameBuf;
use crate::dns::query::Query;
use crate::model::ClientShown;
use crate::model::QueryLogFormat;
use crate::server::counters::code_name;
use crate::server::log_words::shown;
use crate::server::log_words::time;
use crate::server::query_log::Record;

/// Records of a response that are looked at; no VIP answers with more.
const RECORDS_MAX: usize = 64;

/// The fields of a line, in the order they are written.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct QueryLine<'r> {
    time: String,
    proto: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// The Client Subnet of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    ecs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    rtype: Option<String>,
    rcode: &'static str,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vip: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Of the first record of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    /// The SCOPE PREFIX-LENGTH that was returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<IpAddr>,
}

impl<'r> QueryLine<'r> {
    /// The line of a record.
    pub fn of(record: &'r Record, client: ClientShown) -> Self {
        let mut line = QueryLine {
            time: time(record.at),
            proto: record.transport.words(),
            client: shown(record.source, 128, client).map(|client| client.to_string()),
            rcode: code_name(record.outcome.rcode),
            bytes: record.outcome.bytes,
            ..QueryLine::default()
        };
        let mut name = NameBuf::default();
        if let Ok(query) = Query::read(record.query(), &mut name) {
            line.asked(&query, &name, client);
            line.answered(record.response(), query.question_end);
        }
        line.decided(record);
        line
    }

    fn asked(&mut self, query: &Query<'_>, name: &NameBuf, client: ClientShown) {
        self.name = Name::from_wire(name.wire()).ok().map(|name| name.to_string());
        self.rtype = Some(RecordType::from(query.qtype).to_string());
        if let Some(SubnetOption::Present(data)) = query.edns.map(|edns| edns.subnet)
            && let Ok(subnet) = Subnet::read(data)
        {
            self.ecs = shown(subnet.address, subnet.prefix, client).map(|subnet| subnet.to_string());
        }
    }

    fn decided(&mut self, record: &'r Record) {
        let (outcome, snapshot) = (&record.outcome, &record.snapshot);
        self.zone = outcome.zone.and_then(|zone| Some(snapshot.zones.zone(zone)?.apex().to_string()));
        let Some(vip) = outcome.vip else { return };
        self.vip = Some(&snapshot.model.vip(vip).name);
        self.reason = Some(outcome.reason.words());
        if let Some(pool) = outcome.pool {
            let pool = snapshot.model.pool(pool);
            (self.pool, self.region) = (Some(&*pool.name), Some(&*snapshot.model.region(pool.region).name));
        }
    }

    /// Looks through a response's records as far as they are whole.
    fn answered(&mut self, response: &[u8], question_end: usize) {
        let mut at = question_end;
        for _ in 0..RECORDS_MAX {
            let Some(found) = read_record(response, at) else { return };
            at = found.end;
            match (found.rtype, found.data) {
                (rtype::OPT, options) => self.scope = scope(options),
                (rtype::A, data) => self.address(<[u8; 4]>::try_from(data).ok().map(IpAddr::from), found.ttl),
                (rtype::AAAA, data) => self.address(<[u8; 16]>::try_from(data).ok().map(IpAddr::from), found.ttl),
                _ => {}
            }
        }
    }

    fn address(&mut self, address: Option<IpAddr>, ttl: u32) {
        self.ttl = self.ttl.or(Some(ttl));
        self.answers.extend(address);
    }

    /// Writes the line and its end.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, format: QueryLogFormat, out: &mut impl Write) -> io::Result<()> {
        match format {
            QueryLogFormat::Json => serde_json::to_writer(&mut *out, self)?,
            QueryLogFormat::Text => write!(out, "{self}")?,
        }
        out.write_all(b"\n")
    }
}

impl fmt::Display for QueryLine<'_> {
    /// `time=2026-11-18T09:30:00.250000Z proto=UDP client=192.0.2.0/24 name=www.example.com. type=A rcode=NOERROR …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "time={} proto={}", self.time, self.proto)?;
        let mut field = |name: &str, value: Option<&dyn fmt::Display>| match value {
            Some(value) => write!(f, " {name}={value}"),
            None => Ok(()),
        };
        macro_rules! fields {
            ($($name:literal $value:expr),* $(,)?) => {
                $(field($name, $value.as_ref().map(|value| value as &dyn fmt::Display))?;)*
            };
        }
        fields!("client" self.client, "ecs" self.ecs, "name" self.name, "type" self.rtype);
        fields!("rcode" Some(&self.rcode), "bytes" Some(self.bytes));
        fields!("zone" self.zone, "vip" self.vip, "pool" self.pool, "region" self.region, "reason" self.reason);
        fields!("ttl" self.ttl, "scope" self.scope);
        for (number, address) in self.answers.iter().enumerate() {
            let before = if number == 0 { " answers=" } else { "," };
            write!(f, "{before}{address}")?;
        }
        Ok(())
    }
}

/// A record of a message.
struct Found<'m> {
    rtype: u16,
    ttl: u32,
    data: &'m [u8],
    end: usize,
}

fn read_record(message: &[u8], at: usize) -> Option<Found<'_>> {
    let at = after_name(message, at)?;
    let head: &[u8; 10] = message.get(at..)?.first_chunk()?;
    let end = at + 10 + usize::from(u16::from_be_bytes([head[8], head[9]]));
    Some(Found {
        rtype: u16::from_be_bytes([head[0], head[1]]),
        ttl: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        data: message.get(at + 10..end)?,
        end,
    })
}

/// Where a name ends; what it is does not matter.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// The scope in the options of a response's OPT record (RFC 7871 section 6).
fn scope(mut options: &[u8]) -> Option<u8> {
    while let Some((head, rest)) = options.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let data = rest.get(..length)?;
        if u16::from_be_bytes([head[0], head[1]]) == option::CLIENT_SUBNET {
            return data.get(3).copied();
        }
        options = &rest[length..];
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_are_written_as_everywhere() {
        assert_eq!([0, 3, 16, 99].map(code_name), ["NOERROR", "NXDOMAIN", "BADVERS", "other"]);
    }

    proptest! {
        #[test]
        fn no_response_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..700), start in 0_usize..600) {
            let mut line = QueryLine::default();
            line.answered(&bytes, start);
            prop_assert!(line.answers.len() <= RECORDS_MAX);
        }
    }
}
