//! A configuration in words, item by item: what `changes` compares and people read.
//!
//! Each item is facts in the words of the configuration file. A fact that is one of a list (an endpoint, a rule, a prefix)
//! is known by its own key, so that one more endpoint is one line more and not another list.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;

use crate::config::forms::show_duration;
use crate::geo::database::DatabaseInfo;
use crate::health::names::member_names;
use crate::impact::proxy_facts;
use crate::model::AdminSettings;
use crate::model::Body;
use crate::model::CheckKind;
use crate::model::ClientSubnet;
use crate::model::FamilyRule;
use crate::model::GeoSettings;
use crate::model::HealthCheck;
use crate::model::LoadFeedback;
use crate::model::Location;
use crate::model::Member;
use crate::model::Model;
use crate::model::Network;
use crate::model::Policy;
use crate::model::Pool;
use crate::model::PoolId;
use crate::model::Region;
use crate::model::Rule;
use crate::model::ServerSettings;
use crate::model::TlsFiles;
use crate::model::Vip;
use crate::model::WhenAllDown;
use crate::zone::tree::Zone;

/// Something that is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about: `ttl`, `endpoint 192.0.2.10`.
    pub key: String,
    /// What is so: `30s`; may be empty in a list.
    pub value: String,
    /// Whether it is one of a list, in which more may be or fewer.
    pub listed: bool,
}

pub(super) fn fact(key: &str, value: impl ToString) -> Fact {
    Fact { key: key.to_owned(), value: value.to_string(), listed: false }
}

pub(super) fn listed(key: String, value: impl ToString) -> Fact {
    Fact { key, value: value.to_string(), listed: true }
}

/// What is not there.
const NONE: &str = "none";

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

pub(super) fn all<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    if values.is_empty() { NONE.to_owned() } else { values.join(", ") }
}

fn time(duration: Duration) -> String {
    show_duration(duration)
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn spot(location: Option<Location>) -> String {
    or_none(location.map(|at| format!("{}, {}", at.lat, at.lon)))
}

pub(super) fn networks(list: &[(IpAddr, u8)]) -> String {
    all(list.iter().map(|(ip, prefix)| format!("{ip}/{prefix}")))
}

/// `[server]`.
pub fn server(server: &ServerSettings) -> Vec<Fact> {
    vec![
        fact("listen", all(&server.listen)),
        fact("zones_dir", or_none(server.zones_dir.as_deref().map(path))),
        fact("state_dir", or_none(server.state_dir.as_deref().map(path))),
        fact("udp_workers", server.udp_workers),
        fact("dot", all(&server.dot)),
        fact("doq", all(&server.doq)),
        fact("doh", all(&server.doh)),
        fact("udp_payload_max", server.udp_payload_max),
        fact("nsid", or_none(server.nsid.as_ref())),
        fact("version", or_none(server.version.as_ref())),
        fact("start_timeout", time(server.start_timeout)),
        fact("suspect_itself", server.suspect_itself),
        fact("tcp_connections_max", server.tcp_connections_max),
        fact("tcp_connections_per_client_max", server.tcp_connections_per_client_max),
        fact("tcp_idle", time(server.tcp_idle)),
        fact("proxy_protocol_from", networks(&server.proxy_protocol_from)),
        fact("cookie_secret_file", or_none(server.cookie_secret_file.as_deref().map(path))),
        fact("transfer_to", networks(&server.transfer_to)),
    ]
}

/// `[admin]`.
pub fn admin(admin: &AdminSettings) -> Vec<Fact> {
    vec![fact("socket", or_none(admin.socket.as_deref().map(path)))]
}

/// `[tls.*]`.
pub fn tls(tls: &TlsFiles) -> Vec<Fact> {
    vec![fact("certificate", path(&tls.certificate)), fact("key_file", path(&tls.key_file))]
}

/// `[geo]`, without its databases and networks.
pub fn geo(geo: &GeoSettings) -> Vec<Fact> {
    let client_subnet = match geo.client_subnet {
        ClientSubnet::Honour => "honour",
        ClientSubnet::Ignore => "ignore",
    };
    vec![
        fact("databases", all(geo.databases.iter().map(|database| path(database)))),
        fact("latency", or_none(geo.latency.as_deref().map(path))),
        fact("client_subnet", client_subnet),
    ]
}

/// A geo database.
pub fn database(info: &DatabaseInfo) -> Vec<Fact> {
    let built = i64::try_from(info.build_epoch).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    vec![
        fact("built", or_none(built.map(|at| at.date()))),
        fact("kind", &info.kind),
        fact("networks", info.networks),
        fact("records", info.records),
    ]
}

/// `[[geo.network]]`.
pub fn network(network: &Network) -> Vec<Fact> {
    let mut facts = vec![fact("geo", or_none(network.geo)), fact("location", spot(network.location))];
    facts.extend(network.cidr.iter().map(|(ip, prefix)| listed(format!("cidr {ip}/{prefix}"), "")));
    facts
}

/// `[region.*]`.
pub fn region(region: &Region) -> Vec<Fact> {
    vec![
        fact("label", &region.label),
        fact("location", spot(region.location)),
        fact("capacity", or_none(region.capacity)),
        fact("max_requests", or_none(region.requests_max)),
    ]
}

/// `[health_check.*]`.
pub fn health_check(check: &HealthCheck) -> Vec<Fact> {
    let mut facts = vec![fact("port", or_none(check.port))];
    facts.extend(kind(&check.kind));
    facts.extend([
        fact("interval", time(check.interval)),
        fact("fast", time(check.fast)),
        fact("timeout", time(check.timeout)),
        fact("fall", check.fall),
        fact("rise", check.rise),
    ]);
    facts
}

fn kind(kind: &CheckKind) -> Vec<Fact> {
    match kind {
        CheckKind::None => vec![fact("type", "none")],
        CheckKind::Tcp => vec![fact("type", "tcp")],
        CheckKind::Tls(tls) => vec![
            fact("type", "tls"),
            fact("verify", tls.trust.verify),
            fact("ca_file", or_none(tls.trust.ca_file.as_deref().map(path))),
            fact("host", or_none(tls.host.as_ref())),
            fact("alpn", all(&tls.alpn)),
            fact("valid_for", or_none(tls.valid_for.map(time))),
        ],
        CheckKind::Dns(dns) => vec![
            fact("type", "dns"),
            fact("protocol", if dns.tcp { "tcp" } else { "udp" }),
            fact("question", format!("{} type {}", labels(&dns.name), dns.qtype)),
            fact("expect.rcodes", all(&dns.rcodes)),
            fact("expect.answer", or_none(dns.answer.as_ref().map(|answer| format!("{answer:?}")))),
        ],
        CheckKind::Grpc { tls, service, host } => vec![
            fact("type", "grpc"),
            fact("tls", tls.is_some()),
            fact("verify", tls.as_ref().is_some_and(|tls| tls.verify)),
            fact("ca_file", or_none(tls.as_ref().and_then(|tls| tls.ca_file.as_deref()).map(path))),
            fact("service", service),
            fact("host", or_none(host.as_ref())),
        ],
        CheckKind::Http { tls, verify, ca_file, method, path: asked, host, status, body } => vec![
            fact("type", if *tls { "https" } else { "http" }),
            fact("verify", verify),
            fact("ca_file", or_none(ca_file.as_deref().map(path))),
            fact("method", method),
            fact("path", asked),
            fact("host", or_none(host.as_ref())),
            fact("expect.status", all(status.iter().map(|range| format!("{}-{}", range.first, range.last)))),
            fact(
                "expect.body",
                or_none(body.as_ref().map(|body| match body {
                    Body::Contains(text) => text.escape_debug().to_string(),
                })),
            ),
        ],
    }
}

/// A name in wire form, as people read it.
fn labels(wire: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = wire;
    while let Some((length, after)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let (label, next) = after.split_at((*length as usize).min(after.len()));
        out.push_str(&label.escape_ascii().to_string());
        out.push('.');
        rest = next;
    }
    if out.is_empty() { ".".to_owned() } else { out }
}

/// `[pool.*]`.
pub fn pool(model: &Model, id: PoolId, pool: &Pool) -> Vec<Fact> {
    let balance = pool.balance.words();
    let mut facts = vec![
        fact("region", &model.region(pool.region).name),
        fact("health_check", or_none(pool.check.map(|check| &model.checks[check.index()].name))),
        fact("balance", balance),
        fact("min_healthy", pool.min_healthy),
        fact("fallback", or_none(pool.fallback.map(|fallback| &model.pool(fallback).name))),
    ];
    facts.extend(pool.load.iter().flat_map(|load| self::load(load)));
    facts.extend(proxy_facts::upstream(&pool.upstream));
    facts.extend(member_names(model, id).map(|(id, name)| {
        let endpoint = model.endpoint(id);
        let port = endpoint.port.map_or_else(String::new, |port| format!(", port {port}"));
        let backup = if endpoint.backup { ", backup" } else { "" };
        listed(format!("endpoint {name}"), format!("weight {}{port}{backup}", endpoint.weight))
    }));
    facts
}

/// `load` of a `[pool.*]`.
fn load(load: &LoadFeedback) -> Vec<Fact> {
    let urls = if load.urls.is_empty() { "this process".to_owned() } else { all(&load.urls) };
    let mut facts = vec![
        fact("load.urls", urls),
        fact("load.of", &load.of),
        fact("load.low", format!("{}%", load.low_percent)),
        fact("load.high", format!("{}%", load.high_percent)),
        fact("load.interval", time(load.interval)),
    ];
    if !load.urls.is_empty() {
        facts.extend([
            fact("load.token_file", or_none(load.token_file.as_deref().map(path))),
            fact("load.verify", load.verify),
            fact("load.ca_file", or_none(load.ca_file.as_deref().map(path))),
        ]);
    }
    facts
}

/// `[vip.*]`.
pub fn vip(model: &Model, vip: &Vip) -> Vec<Fact> {
    let mut facts = policy(model, &vip.policy);
    let when_all_down = match vip.when_all_down {
        WhenAllDown::All => "all".to_owned(),
        WhenAllDown::NoData => "nodata".to_owned(),
        WhenAllDown::ServFail => "servfail".to_owned(),
        WhenAllDown::Pool(pool) => format!("pool:{}", model.pool(pool).name),
    };
    facts.extend([
        fact("ttl", time(vip.ttl)),
        fact("min_ttl", time(vip.min_ttl)),
        fact("answers", vip.answers),
        fact("hash", format!("v4 /{}, v6 /{}", vip.hash.v4, vip.hash.v6)),
        fact("when_all_down", when_all_down),
        fact("family", if vip.family == FamilyRule::AnyRegion { "any-region" } else { "same-region" }),
    ]);
    facts
}

fn policy(model: &Model, policy: &Policy) -> Vec<Fact> {
    let (name, of) = match policy {
        Policy::Geolocation(rules) => {
            let mut facts = vec![fact("policy", "geolocation")];
            facts.extend(rules.iter().map(|rule| self::rule(model, rule)));
            return numbered(facts);
        }
        Policy::Geoproximity(of) => ("geoproximity", of),
        Policy::Latency(of) => ("latency", of),
        Policy::Weighted(of) => ("weighted", of),
        Policy::Hash(of) => ("hash", of),
        Policy::Failover(of) => ("failover", of),
    };
    vec![fact("policy", name), fact("pools", members(model, of))]
}

fn rule(model: &Model, rule: &Rule) -> Fact {
    let network = |id: &crate::model::NetworkId| model.geo.networks[id.index()].name.clone();
    let mut conditions = Vec::new();
    if !rule.networks.is_empty() {
        conditions.push(format!("networks {}", all(rule.networks.iter().map(network))));
    }
    if !rule.geos.is_empty() {
        conditions.push(format!("geos {}", all(&rule.geos)));
    }
    if !rule.asns.is_empty() {
        conditions.push(format!("asns {}", all(&rule.asns)));
    }
    let conditions = if conditions.is_empty() { "for the rest".to_owned() } else { conditions.join(" or ") };
    let fence = if rule.geofence { ", geofence" } else { "" };
    listed(format!("rule {conditions}"), members(model, &rule.members) + fence)
}

/// Keys of a list that come twice are told apart: a second rule with the same conditions.
pub(super) fn numbered(mut facts: Vec<Fact>) -> Vec<Fact> {
    for at in 1..facts.len() {
        let same = facts[..at].iter().filter(|before| before.key == facts[at].key).count();
        if same > 0 {
            facts[at].key = format!("{} (again)", facts[at].key);
        }
    }
    facts
}

fn members(model: &Model, members: &[Member]) -> String {
    let alike = members.windows(2).all(|pair| pair[0].weight == pair[1].weight);
    all(members.iter().map(|member| {
        let name = &model.pool(member.pool).name;
        let weight = if alike && member.weight > 0 { String::new() } else { format!(" {}", member.weight) };
        let bias = if member.bias == 0 { String::new() } else { format!(" bias {}", member.bias) };
        format!("{name}{weight}{bias}")
    }))
}

/// A zone as it is served.
pub fn zone(zone: &Zone) -> Vec<Fact> {
    vec![fact("serial", zone.serial()), fact("records", zone.records())]
}
