//! What do operators call a region, a pool or an endpoint, and what did they mean?
//!
//! `region/eu-west`, `pool/eu-web`, `endpoint/eu-web/192.0.2.10`. Where a pool has one address at several ports, the port
//! tells them apart: `endpoint/eu-web/192.0.2.10:8443`, `endpoint/eu-web/[2001:db8::1]:8443`. Ids are those of one model;
//! a [`SubjectName`] outlives it, so orders survive reloads and restarts by name. Nothing here knows what is ordered.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::health::forced::Refusal;
use crate::model::{Endpoint, EndpointId, Model, PoolId, RegionId};

/// Below this likeness (Jaro-Winkler) a name is no suggestion but noise.
const LIKENESS_MIN: f64 = 0.8;
/// So many names are listed where one was expected; more do not help anybody.
const LISTED_MAX: usize = 5;

/// What an order is about, in one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One region: every pool in it.
    Region(RegionId),
    /// One pool.
    Pool(PoolId),
    /// One endpoint.
    Endpoint(EndpointId),
}

impl Subject {
    /// The subject of a name as operators write it, if the model has it and it is not ambiguous.
    pub fn named(model: &Model, text: &str) -> Option<Subject> {
        resolve(model, text).ok()
    }

    /// `region`, `pool` or `endpoint`.
    pub const fn kind(self) -> &'static str {
        match self {
            Subject::Region(_) => "region",
            Subject::Pool(_) => "pool",
            Subject::Endpoint(_) => "endpoint",
        }
    }

    /// Its name without the kind, as short as it can be: `eu-west`, `eu-web`, `eu-web/192.0.2.10`.
    pub fn name(self, model: &Model) -> String {
        match self {
            Subject::Region(id) => model.region(id).name.clone(),
            Subject::Pool(id) => model.pool(id).name.clone(),
            Subject::Endpoint(id) => endpoint_name(model, id),
        }
    }
}

/// What an endpoint is known by from one model to the next, and from one run to the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    /// The pool's name.
    pub pool: String,
    /// The endpoint's address.
    pub address: IpAddr,
    /// The endpoint's own port.
    pub port: Option<u16>,
}

impl EndpointKey {
    /// The key of an endpoint.
    pub fn of(model: &Model, id: EndpointId) -> Self {
        let endpoint = model.endpoint(id);
        EndpointKey { pool: model.pool(endpoint.pool).name.clone(), address: endpoint.address, port: endpoint.port }
    }
}

impl fmt::Display for EndpointKey {
    /// `eu-web/192.0.2.10`, with the port where it has one of its own: `eu-web/192.0.2.10:8443`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, MemberName { address: self.address, port: self.port })
    }
}

/// For each endpoint of a pool, in its order, what it is called within it: `192.0.2.10`, and with its port where that tells
/// two of one address apart, `192.0.2.10:8443`.
pub fn member_names(model: &Model, pool: PoolId) -> impl Iterator<Item = (EndpointId, MemberName)> + '_ {
    let mut there: HashMap<IpAddr, usize> = HashMap::new();
    model.members(pool).for_each(|(_, endpoint)| *there.entry(endpoint.address).or_default() += 1);
    let name = move |(id, endpoint): (EndpointId, &Endpoint)| {
        let port = endpoint.port.filter(|_| there.get(&endpoint.address).is_some_and(|count| *count > 1));
        (id, MemberName { address: endpoint.address, port })
    };
    model.members(pool).map(name)
}

/// What an endpoint is called within its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberName {
    address: IpAddr,
    port: Option<u16>,
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::new(self.address, port)),
            None => write!(f, "{}", self.address),
        }
    }
}

/// What an order is about, whatever the model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectName {
    /// A region's name.
    Region(String),
    /// A pool's name.
    Pool(String),
    /// An endpoint's pool, address and port.
    Endpoint(EndpointKey),
}

impl SubjectName {
    /// The name of a subject.
    pub fn of(model: &Model, subject: Subject) -> Self {
        match subject {
            Subject::Region(id) => SubjectName::Region(model.region(id).name.clone()),
            Subject::Pool(id) => SubjectName::Pool(model.pool(id).name.clone()),
            Subject::Endpoint(id) => SubjectName::Endpoint(EndpointKey::of(model, id)),
        }
    }

    /// The name in a text such as [`SubjectName`] writes, whatever the model; `None` when it has not that form.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        match kind {
            _ if name.is_empty() => None,
            "region" => Some(SubjectName::Region(name.to_owned())),
            "pool" => Some(SubjectName::Pool(name.to_owned())),
            "endpoint" => {
                let (pool, address) = name.rsplit_once('/')?;
                let (address, port) = address_and_port(address)?;
                let pool = (!pool.is_empty()).then(|| pool.to_owned())?;
                Some(SubjectName::Endpoint(EndpointKey { pool, address, port }))
            }
            _ => None,
        }
    }

    /// The subject of exactly this name. See [`Directory`] for many.
    pub fn find(&self, model: &Model) -> Option<Subject> {
        let pool_named = |name: &str| model.pools.iter().position(|pool| pool.name == name).map(PoolId::from);
        match self {
            SubjectName::Region(name) => {
                let at = model.regions.iter().position(|region| region.name == *name);
                at.map(|at| Subject::Region(RegionId::from(at)))
            }
            SubjectName::Pool(name) => pool_named(name).map(Subject::Pool),
            SubjectName::Endpoint(key) => member(model, pool_named(&key.pool)?, key),
        }
    }

    /// `region`, `pool` or `endpoint`.
    pub const fn kind(&self) -> &'static str {
        match self {
            SubjectName::Region(_) => "region",
            SubjectName::Pool(_) => "pool",
            SubjectName::Endpoint(_) => "endpoint",
        }
    }

    /// Without the kind.
    pub fn name(&self) -> String {
        match self {
            SubjectName::Region(name) | SubjectName::Pool(name) => name.clone(),
            SubjectName::Endpoint(key) => key.to_string(),
        }
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), self.name())
    }
}

/// Finds many names in one model.
#[derive(Debug)]
pub struct Directory<'a> {
    model: &'a Model,
    regions: HashMap<&'a str, RegionId>,
    pools: HashMap<&'a str, PoolId>,
}

impl<'a> Directory<'a> {
    /// The names of a model.
    pub fn of(model: &'a Model) -> Self {
        let regions = model.regions.iter().enumerate().map(|(at, r)| (r.name.as_str(), RegionId::from(at)));
        let pools = model.pools.iter().enumerate().map(|(at, p)| (p.name.as_str(), PoolId::from(at)));
        Directory { model, regions: regions.collect(), pools: pools.collect() }
    }

    /// The subject of exactly this name.
    pub fn find(&self, name: &SubjectName) -> Option<Subject> {
        match name {
            SubjectName::Region(name) => self.regions.get(name.as_str()).map(|id| Subject::Region(*id)),
            SubjectName::Pool(name) => self.pools.get(name.as_str()).map(|id| Subject::Pool(*id)),
            SubjectName::Endpoint(key) => member(self.model, *self.pools.get(key.pool.as_str())?, key),
        }
    }
}

fn member(model: &Model, pool: PoolId, key: &EndpointKey) -> Option<Subject> {
    let mut members = model.members(pool);
    let found = members.find(|(_, endpoint)| (endpoint.address, endpoint.port) == (key.address, key.port));
    found.map(|(id, _)| Subject::Endpoint(id))
}

/// The subject of a name as operators write it.
///
/// # Errors
/// [`Refusal::Unknown`] with what there is, [`Refusal::Invalid`] when it is ambiguous or no such name at all.
pub fn resolve(model: &Model, text: &str) -> Result<Subject, Refusal> {
    let (kind, name) = text.split_once('/').unwrap_or((text, ""));
    let regions = || model.regions.iter().map(|region| region.name.as_str());
    let pools = || model.pools.iter().map(|pool| pool.name.as_str());
    match kind {
        "region" => match regions().position(|known| known == name) {
            Some(at) => Ok(Subject::Region(RegionId::from(at))),
            None => Err(unknown("region", name, regions())),
        },
        "pool" => match pools().position(|known| known == name) {
            Some(at) => Ok(Subject::Pool(PoolId::from(at))),
            None => Err(unknown("pool", name, pools())),
        },
        "endpoint" => {
            let (pool, address) = name.rsplit_once('/').unwrap_or((name, ""));
            match pools().position(|known| known == pool) {
                Some(at) => endpoint(model, PoolId::from(at), address, text).map(Subject::Endpoint),
                None => Err(unknown("pool", pool, pools())),
            }
        }
        _ => {
            let forms = "region/NAME, pool/NAME or endpoint/POOL/ADDRESS";
            Err(Refusal::Invalid(format!("`{text}` names no region, pool or endpoint: write {forms}")))
        }
    }
}

/// An address without a port means the endpoint that has none of its own, else the only one of that address.
fn endpoint(model: &Model, pool: PoolId, text: &str, whole: &str) -> Result<EndpointId, Refusal> {
    let Some((address, port)) = address_and_port(text) else {
        let forms = "ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT";
        return Err(Refusal::Invalid(format!("`{whole}` names no endpoint: write endpoint/POOL/ and {forms}")));
    };
    let named: Vec<_> = model.members(pool).filter(|(_, endpoint)| endpoint.address == address).collect();
    if let Some((id, _)) = named.iter().find(|(_, endpoint)| endpoint.port == port) {
        return Ok(*id);
    }
    match (&named[..], port) {
        ([(id, _)], None) => Ok(*id),
        ([_, _, ..], None) => {
            let names = named.iter().map(|(id, _)| format!("endpoint/{}", EndpointKey::of(model, *id)));
            let fact = format!("`{whole}` is the address of {} endpoints", named.len());
            Err(Refusal::Invalid(format!("{fact}: write {}", listed(names, " or "))))
        }
        _ => {
            let names = model.members(pool).map(|(id, _)| endpoint_name(model, id));
            let has = listed(names.map(|name| format!("`endpoint/{name}`")), ", ");
            Err(Refusal::Unknown(format!("there is no `{whole}`; the pool has {has}")))
        }
    }
}

fn unknown<'a>(kind: &str, name: &str, there: impl Iterator<Item = &'a str> + Clone) -> Refusal {
    let likeness = |known: &&str| strsim::jaro_winkler(known, name);
    let similar = there.clone().filter(|known| likeness(known) >= LIKENESS_MIN);
    let similar = similar.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    Refusal::Unknown(match similar {
        Some(known) => format!("there is no {kind} `{name}`; a similar name exists: `{known}`"),
        None if there.clone().next().is_none() => format!("there is no {kind} `{name}`: no {kind} is configured"),
        None => format!("there is no {kind} `{name}`; there is {}", listed(there.map(|n| format!("`{n}`")), ", ")),
    })
}

/// The first few of many.
fn listed(names: impl Iterator<Item = String>, between: &str) -> String {
    let names: Vec<String> = names.collect();
    let few = names[..names.len().min(LISTED_MAX)].join(between);
    match names.len().saturating_sub(LISTED_MAX) {
        0 => few,
        more => format!("{few} and {more} more"),
    }
}

/// The port stands in a name where it tells two endpoints of one address apart.
fn endpoint_name(model: &Model, id: EndpointId) -> String {
    let key = EndpointKey::of(model, id);
    let alone = model.members(model.endpoint(id).pool).filter(|(_, e)| e.address == key.address).count() == 1;
    if alone { EndpointKey { port: None, ..key }.to_string() } else { key.to_string() }
}

fn address_and_port(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, None));
    }
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Some((IpAddr::V6(address.parse().ok()?), None));
    }
    // A scope (`%eth0`) or flow would make two names of one endpoint.
    let socket: SocketAddr = text.parse().ok()?;
    let plain = !matches!(socket, SocketAddr::V6(v6) if v6.scope_id() != 0);
    plain.then(|| (socket.ip(), Some(socket.port())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Balance, Pool, Region};

    fn model() -> Model {
        let endpoint = |pool, address: &str, port| Endpoint {
            pool: PoolId(pool),
            address: address.parse().unwrap(),
            port,
            weight: 1,
            backup: false,
        };
        let pool = |name: &str, endpoints| Pool {
            name: name.into(),
            region: RegionId(0),
            check: None,
            balance: Balance::Weighted,
            min_healthy: 1,
            fallback: None,
            endpoints,
            upstream: Arc::default(),
            load: None,
        };
        Model {
            regions: vec![Region {
                name: "eu-west".into(),
                label: String::new(),
                location: None,
                capacity: None,
                requests_max: None,
            }],
            pools: vec![pool("eu-web", 0..3), pool("eu-app", 3..6)],
            endpoints: vec![
                endpoint(0, "192.0.2.10", None),
                endpoint(0, "192.0.2.11", Some(8080)),
                endpoint(0, "2001:db8::1", None),
                endpoint(1, "192.0.2.20", Some(8080)),
                endpoint(1, "192.0.2.20", Some(8443)),
                endpoint(1, "2001:db8::2", Some(8443)),
            ],
            ..Model::default()
        }
    }

    fn said(text: &str) -> String {
        resolve(&model(), text).unwrap_err().to_string()
    }

    #[test]
    fn operators_names_are_understood() {
        let model = model();
        let named = |text: &str| Subject::named(&model, text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(named("region/eu-west"), Subject::Region(RegionId(0)));
        assert_eq!(named("pool/eu-app"), Subject::Pool(PoolId(1)));
        let endpoints = [
            ("endpoint/eu-web/192.0.2.10", 0),
            ("endpoint/eu-web/192.0.2.11", 1),
            ("endpoint/eu-web/192.0.2.11:8080", 1),
            ("endpoint/eu-web/2001:db8::1", 2),
            ("endpoint/eu-web/[2001:db8::1]", 2),
            ("endpoint/eu-app/192.0.2.20:8443", 4),
            ("endpoint/eu-app/[2001:db8::2]:8443", 5),
        ];
        for (text, id) in endpoints {
            assert_eq!(named(text), Subject::Endpoint(EndpointId(id)), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        assert_eq!(said("pool/eu-wbe"), "there is no pool `eu-wbe`; a similar name exists: `eu-web`");
        assert_eq!(said("region/mars"), "there is no region `mars`; there is `eu-west`");
        assert_eq!(said("endpoint/eu-wbe/192.0.2.10"), "there is no pool `eu-wbe`; a similar name exists: `eu-web`");
        assert_eq!(
            said("endpoint/eu-web/192.0.2.99"),
            "there is no `endpoint/eu-web/192.0.2.99`; the pool has `endpoint/eu-web/192.0.2.10`, \
             `endpoint/eu-web/192.0.2.11`, `endpoint/eu-web/2001:db8::1`"
        );
        assert!(said("eu-web").contains("write region/NAME, pool/NAME or endpoint/POOL/ADDRESS"));
        assert!(said("endpoint/eu-web/one").contains("ADDRESS:PORT"));
    }

    #[test]
    fn one_address_at_two_ports_is_told_apart() {
        assert_eq!(
            said("endpoint/eu-app/192.0.2.20"),
            "`endpoint/eu-app/192.0.2.20` is the address of 2 endpoints: write endpoint/eu-app/192.0.2.20:8080 or \
             endpoint/eu-app/192.0.2.20:8443"
        );
        let model = model();
        let names: Vec<String> = (0..6).map(|id| Subject::Endpoint(EndpointId(id)).name(&model)).collect();
        let shortest = [
            "eu-web/192.0.2.10",
            "eu-web/192.0.2.11",
            "eu-web/2001:db8::1",
            "eu-app/192.0.2.20:8080",
            "eu-app/192.0.2.20:8443",
            "eu-app/2001:db8::2",
        ];
        assert_eq!(names, shortest);
        let within = (0..2).flat_map(|pool| member_names(&model, PoolId(pool))).map(|(_, name)| name.to_string());
        assert!(within.eq(names.iter().map(|name| name.split_once('/').unwrap().1.to_owned())));
        for (id, name) in names.iter().enumerate() {
            let found = Subject::named(&model, &format!("endpoint/{name}"));
            assert_eq!(found, Some(Subject::Endpoint(EndpointId::from(id))), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_read_as_it_was_written(pool in "[a-z/]{0,6}[a-z]", address: [u8; 16], v4: bool, port: Option<u16>) {
            let address = if v4 { IpAddr::from([address[0], 2, 3, 4]) } else { IpAddr::from(address) };
            for name in [
                SubjectName::Pool(pool.clone()),
                SubjectName::Region(pool.clone()),
                SubjectName::Endpoint(EndpointKey { pool: pool.clone(), address, port }),
            ] {
                prop_assert_eq!(SubjectName::parse(&name.to_string()), Some(name));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}", tail in "(region|pool|endpoint)/[0-9a-f.:/\\[\\]%]{0,20}") {
            for text in [text, tail] {
                let _ = SubjectName::parse(&text);
                let _ = resolve(&model(), &text);
            }
        }
    }
}
