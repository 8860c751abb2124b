//! VIPs: whose place counts, which scope comes back, and how VIPs mix with what the zone file says.

use super::*;
use crate::geo::atlas::Atlas;
use crate::geo::latency::LatencyTable;
use crate::model::PoolId;
use crate::steering::Plan;

/// The model compiled with its own networks as the only places.
pub(super) fn plan(model: &Arc<Model>) -> Plan {
    Plan::build(Arc::clone(model), &Atlas::of_networks(&model.geo.networks), &LatencyTable::default())
}

const CONFIG: &str = r#"
[server]
listen = ["127.0.0.1:0"]
zones_dir = "zones"
[geo]
[[geo.network]]
name = "office"
cidr = ["192.0.2.0/25", "2001:db8:20::/48"]
geo  = "EU-DE"
[region.eu]
[region.us]
[pool.eu]
region = "eu"
endpoints = [{ address = "203.0.113.1" }, { address = "2001:db8:1::1" }]
[pool.us]
region = "us"
endpoints = [{ address = "203.0.113.2" }]
[vip."www.example.com."]
policy = "geolocation"
ttl = "30s"
rules = [{ networks = ["office"], pool = "eu" }, { pool = "us" }]
[vip."*.wild.example.com."]
policy = "failover"
pools = [{ pool = "us" }]
[vip."down.example.com."]
policy = "failover"
pools = [{ pool = "us" }]
when_all_down = "servfail"
[vip."example.com."]
policy = "failover"
pools = [{ pool = "eu" }]
"#;

const ZONE: &str = "www TXT t\nwww HTTPS 1 .\nalias CNAME www\ndown-alias CNAME down\n@ MX 1 www\n";

fn steered() -> World {
    steered_by(CONFIG)
}

fn steered_by(config: &str) -> World {
    let loaded =
        crate::config::read(Path::new("rhumb.toml"), config).unwrap_or_else(|_| panic!("the configuration is good"));
    world_of(loaded.model, &[("example.com", ZONE)])
}

/// The answer and the scope for a client in this subnet; the option's data is the subnet's.
fn from(world: &World, name: &str, qtype: &str, subnet: &[u8]) -> (String, Option<u8>) {
    let option = [&[0, 8, 0, subnet.len() as u8], subnet].concat();
    let reply = bytes(world, &query(name, qtype, Some((1232, 0, &option))), Transport::Udp);
    let options = super::edns::opt(&reply).unwrap().2;
    (present(&reply), options.first().map(|(_, data)| data[3]))
}

const INSIDE: &[u8] = &[0, 1, 24, 0, 192, 0, 2];
const OUTSIDE: &[u8] = &[0, 1, 24, 0, 198, 51, 100];
const EU: &str = "NoError aa\n= www.example.com. 30 A 203.0.113.1";
const US: &str = "NoError aa\n= www.example.com. 30 A 203.0.113.2";

#[test]
fn the_subnet_decides_and_the_scope_is_where_the_answer_holds() {
    let world = steered();
    let (answer, scope) = from(&world, "www.example.com", "A", &[0, 1, 32, 0, 192, 0, 2, 1]);
    assert_eq!((answer.as_str(), scope), (EU, Some(25)));
    let (answer, scope) = from(&world, "www.example.com", "A", &[0, 1, 32, 0, 192, 0, 2, 200]);
    assert_eq!((answer.as_str(), scope), (US, Some(25)));
    let (answer, scope) = from(&world, "www.example.com", "A", &[0, 2, 48, 0, 0x20, 1, 0xd, 0xb8, 0, 0x20]);
    assert_eq!((answer.as_str(), scope), (EU, Some(48)));
    let (answer, scope) = from(&world, "www.example.com", "A", OUTSIDE);
    assert_eq!(answer, US);
    assert!(scope.is_some_and(|scope| (1..=24).contains(&scope)), "{scope:?}");
}

#[test]
fn a_subnet_that_carries_an_ipv4_address_has_its_scope_in_its_own_family() {
    let mapped = [&[0, 2, 128, 0][..], &[0; 10], &[0xff, 0xff, 192, 0, 2, 1]].concat();
    let (answer, scope) = from(&steered(), "www.example.com", "A", &mapped);
    assert_eq!((answer.as_str(), scope), (EU, Some(96 + 25)));
    let six_to_four = [0, 2, 48, 0, 0x20, 2, 192, 0, 2, 1];
    let (answer, scope) = from(&steered(), "www.example.com", "A", &six_to_four);
    assert_eq!((answer.as_str(), scope), (EU, Some(16 + 25)));
}

#[test]
fn an_empty_subnet_means_the_resolver_and_scope_0() {
    let (answer, scope) = from(&steered(), "www.example.com", "A", &[0, 1, 0, 0]);
    assert_eq!((answer.as_str(), scope), (US, Some(0)));
}

#[test]
fn without_a_subnet_the_source_decides_and_no_scope_comes_back() {
    let world = steered();
    let mut out = vec![0; UDP_BYTES_MAX];
    let query = query("www.example.com", "A", Some((1232, 0, &[])));
    let mut ask = |source: &str| {
        let outcome = respond(&query, source.parse().unwrap(), Transport::Udp, &world, Draw::default(), &mut out);
        assert_eq!(super::edns::opt(&out[..outcome.bytes]).unwrap().2, []);
        (present(&out[..outcome.bytes]), outcome.vip, outcome.pool)
    };
    assert_eq!(ask("192.0.2.1"), (EU.into(), Some(VipId(0)), Some(PoolId(0))));
    assert_eq!(ask("::ffff:192.0.2.1"), (EU.into(), Some(VipId(0)), Some(PoolId(0))));
    assert_eq!(ask("198.51.100.1"), (US.into(), Some(VipId(0)), Some(PoolId(1))));
}

#[test]
fn a_subnet_is_left_unread_when_told_so() {
    let world = steered_by(&CONFIG.replace("[geo]", "[geo]\nclient_subnet = \"ignore\""));
    let (answer, scope) = from(&world, "www.example.com", "A", INSIDE);
    assert_eq!((answer.as_str(), scope), (US, None));
}

#[test]
fn answers_that_do_not_depend_on_the_client_have_scope_0() {
    let world = steered();
    for (name, qtype) in [
        ("www.example.com", "TXT"),
        ("x.wild.example.com", "A"),
        ("nope.example.com", "A"),
        ("example.com", "MX"),
        ("example.com", "A"),
    ] {
        assert_eq!(from(&world, name, qtype, OUTSIDE).1, Some(0), "{name} {qtype}");
    }
}

#[test]
fn a_chain_to_a_vip_is_answered_with_its_scope() {
    let (answer, scope) = from(&steered(), "alias.example.com", "A", &[0, 1, 32, 0, 192, 0, 2, 1]);
    let cname = "= alias.example.com. 300 CNAME www.example.com.";
    assert_eq!(answer, EU.replace("NoError aa", &format!("NoError aa\n{cname}")));
    assert_eq!(scope, Some(25));
}

#[test]
fn other_types_of_a_vip_come_from_the_zone_file() {
    let world = steered();
    let soa = "^ example.com. 60 SOA ns1.example.com. hostmaster.example.com. 7 3600 900 604800 60";
    expect(&world, "www.example.com", "TXT", "NoError aa\n= www.example.com. 300 TXT t");
    assert!(ask(&world, "www.example.com", "HTTPS").starts_with("NoError aa\n= www.example.com. 300 HTTPS 1 ."));
    expect(&world, "www.example.com", "MX", &format!("NoError aa\n{soa}"));
    expect(&world, "www.example.com", "AAAA", &format!("NoError aa\n{soa}"));
    expect(&world, "www.example.com", "ANY", US);
    expect(&world, "x.wild.example.com", "A", &US.replace("www.", "x.wild."));
    expect(&world, "x.wild.example.com", "TXT", &format!("NoError aa\n{soa}"));
    expect(&world, "wild.example.com", "A", &format!("NoError aa\n{soa}"));
    expect(&world, "example.com", "AAAA", "NoError aa\n= example.com. 30 AAAA 2001:db8:1::1");
    expect(&world, "example.com", "MX", "NoError aa\n= example.com. 300 MX 1 www.example.com.");
}

#[test]
fn the_scope_of_nodata_depends_on_the_client_as_the_answer_did() {
    assert_eq!(from(&steered(), "www.example.com", "AAAA", &[0, 1, 32, 0, 192, 0, 2, 200]).1, Some(25));
}

#[test]
fn a_vip_without_pools_says_servfail_when_told_to() {
    let mut world = steered();
    let model = Arc::clone(&world.snapshot.model);
    world.health = world.health.with_down(&model, &[], &[PoolId(1)]);
    expect(&world, "down.example.com", "A", "ServFail");
    expect(&world, "down-alias.example.com", "A", "ServFail");
    let reply = bytes(&world, &query("down.example.com", "A", Some((1232, 0, &[]))), Transport::Udp);
    let options = super::edns::opt(&reply).unwrap().2;
    assert_eq!(options[0].1[2..], *b"no healthy endpoint");
}

#[test]
fn vips_are_left_out_of_transfers() {
    let world = steered();
    let zone = world.snapshot.zones.zone(0).unwrap();
    let query = query("example.com", "TYPE252", None);
    let mut transfer = crate::responder::transfer::Transfer::new(&query, Arc::clone(zone)).unwrap();
    let mut out = vec![0; MESSAGE_BYTES_MAX];
    let bytes = transfer.next(&mut out);
    let text = present(&out[..bytes]);
    assert!(text.contains("www.example.com. 300 TXT t") && !text.contains("203.0.113."), "{text}");
}
