//! Zone text in, query in, presentation of the response out.

mod dynamic;
mod edns;
mod hostile;
mod semantics;
mod transfers;

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use hickory_proto::rr::Record;

use super::*;
use crate::dns::name::Name;
use crate::geo::atlas::Atlas;
use crate::health::table::HealthTable;
use crate::model::Model;
use crate::model::Problem;
use crate::snapshot::Snapshot;
use crate::zone::compile::VipName;
use crate::zone::read::ZoneFile;
use crate::zone::read::type_code;
use crate::zone::zones::Zones;

/// What every test zone begins with.
pub(super) const HEAD: &str = "$TTL 300\n@ 600 SOA ns1 hostmaster 7 1h 15m 1w 60\n@ NS ns1\nns1 A 192.0.2.53\n";

/// A zone file of this apex and text behind [`HEAD`].
pub(super) fn zone_file(apex: &str, text: &str) -> ZoneFile {
    let text = format!("{HEAD}{text}");
    let apex: Name = apex.parse().unwrap();
    let path = format!("{apex}zone");
    ZoneFile::parse(text.as_bytes(), Path::new(&path), Some(&apex), &mut |_| Err(std::io::ErrorKind::NotFound.into()))
        .unwrap_or_else(|problems| panic!("{}", shown(&problems)))
}

pub(super) fn shown(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{p}\n")).collect()
}

/// A world of these zones (apex, text) for a model whose VIPs lie in them.
pub(super) fn world_of(model: Model, zones: &[(&str, &str)]) -> World {
    let files = zones.iter().map(|(apex, text)| zone_file(apex, text)).collect();
    let vips: Vec<VipName> = model
        .vips
        .iter()
        .enumerate()
        .map(|(i, vip)| VipName { name: vip.name.parse().unwrap(), vip: i.into(), place: None })
        .collect();
    let (zones, _) = Zones::compile(files, &vips).unwrap_or_else(|problems| panic!("{}", shown(&problems)));
    let health = HealthTable::all_up(&model);
    let model = Arc::new(model);
    let plan = dynamic::plan(&model);
    let atlas = Arc::new(Atlas::of_networks(&model.geo.networks));
    World {
        snapshot: Arc::new(Snapshot {
            safety: crate::steering::Safety::of(&model),
            model,
            plan,
            zones,
            atlas,
            regional: Arc::default(),
        }),
        health,
        generation: 1,
    }
}

/// A world of static zones.
pub(super) fn world(zones: &[(&str, &str)]) -> World {
    world_of(Model::default(), zones)
}

/// A query in wire form: header and question, then an OPT record with these options when there are any.
pub(super) fn query(name: &str, qtype: &str, opt: Option<(u16, u32, &[u8])>) -> Vec<u8> {
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())];
    for label in name.trim_end_matches('.').split('.').filter(|l| !l.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    let qtype = if qtype == "ANY" { 255 } else { type_code(qtype).unwrap() };
    wire.extend_from_slice(&qtype.to_be_bytes());
    wire.extend_from_slice(&[0, 1]);
    if let Some((payload, ttl, options)) = opt {
        wire.extend_from_slice(&[0, 0, 41]);
        wire.extend_from_slice(&payload.to_be_bytes());
        wire.extend_from_slice(&ttl.to_be_bytes());
        wire.extend_from_slice(&(options.len() as u16).to_be_bytes());
        wire.extend_from_slice(options);
    }
    wire
}

pub(super) const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 9));

/// The response's bytes.
pub(super) fn bytes(world: &World, query: &[u8], transport: Transport) -> Vec<u8> {
    let mut out = vec![0; if transport == Transport::Udp { UDP_BYTES_MAX } else { MESSAGE_BYTES_MAX }];
    let outcome = respond(query, SOURCE, transport, world, Draw::default(), &mut out);
    out.truncate(outcome.bytes);
    out
}

/// Response code and flags, then a line for each record: section, owner, TTL, type, data.
pub(super) fn ask(world: &World, name: &str, qtype: &str) -> String {
    present(&bytes(world, &query(name, qtype, Some((4096, 0, &[]))), Transport::Tcp))
}

pub(super) fn present(wire: &[u8]) -> String {
    let message = Message::from_vec(wire).expect("the response parses");
    let mut text = format!("{:?}", message.response_code);
    for (flag, set) in [(" aa", message.authoritative), (" tc", message.truncation)] {
        text.push_str(if set { flag } else { "" });
    }
    let mut lines = |mark: &str, records: &[Record]| {
        for r in records {
            let data = match &r.data {
                // hickory-proto does not know DNAME.
                RData::Unknown { code, rdata } if u16::from(*code) == rtype::DNAME => {
                    Name::from_wire(&rdata.anything).unwrap().to_string()
                }
                data => data.to_string(),
            };
            write!(text, "\n{mark} {} {} {} {data}", r.name, r.ttl, r.record_type()).unwrap();
        }
    };
    lines("=", &message.answers);
    lines("^", &message.authorities);
    lines("+", &message.additionals);
    text
}

/// Asserts a response: what follows the first line may stand indented.
#[track_caller]
pub(super) fn expect(world: &World, name: &str, qtype: &str, wanted: &str) {
    let wanted: Vec<&str> = wanted.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(ask(world, name, qtype), wanted.join("\n"), "{name} {qtype}");
}
