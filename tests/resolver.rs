//! Does a real recursive resolver reach a VIP through a delegation, and does each client get its own region?
//!
//! NSD serves a root that delegates `example.` to rhumb; Unbound starts at that root and sends client subnets. Resolvers
//! ask port 53, so this needs root, and takes loopback addresses that nothing else uses.

mod common;

use std::fs;
use std::net::IpAddr;

use common::delegation::{self, PORT, missing, own_address};
use common::dns::{Question, ask, rtype};
use common::servers::rhumb_at;

const EXAMPLE: &str = "\
$TTL 3600
@        SOA  ns hostmaster 1 2h 15m 2w 30
         NS   ns
alias    CNAME www
long     CNAME elsewhere.alias2
*.alias2 CNAME www
plain    A    192.0.2.99
sub      NS   ns.sub
ns.sub   A    192.0.2.53
";

const STEERING: &str = r#"
[geo]
client_subnet = "honour"
[[geo.network]]
name = "north"
cidr = ["10.1.0.0/16"]
[[geo.network]]
name = "south"
cidr = ["10.2.0.0/20"]
[region.north]
[region.south]
[region.rest]
[pool.north]
region = "north"
endpoints = [{ address = "192.0.2.1" }, { address = "2001:db8::1" }]
[pool.south]
region = "south"
endpoints = [{ address = "192.0.2.2" }, { address = "2001:db8::2" }]
[pool.rest]
region = "rest"
endpoints = [{ address = "192.0.2.3" }, { address = "2001:db8::3" }]
[vip."www.example."]
policy = "geolocation"
ttl = "60s"
rules = [
  { networks = ["north"], pool = "north" },
  { networks = ["south"], pool = "south" },
  { pool = "rest" },
]
"#;

#[test]
fn a_resolver_brings_each_client_to_its_region() {
    let [root, authority] = [1, 2].map(own_address);
    if let Some(why) = missing(root, &["unbound", "nsd"]) {
        return common::skipped(&why);
    }
    let dir = tempfile::tempdir().unwrap();
    let zones = dir.path().join("zones");
    fs::create_dir(&zones).unwrap();
    fs::write(zones.join("example.zone"), format!("{EXAMPLE}ns A {authority}\n")).unwrap();

    let us = rhumb_at((authority, PORT).into(), dir.path(), &zones, STEERING);
    let _root = delegation::root(root, authority, dir.path());
    let (resolver, log) = delegation::unbound(dir.path(), root, authority, "plain.example.");

    let resolved = |name: &str, qtype: u16, subnet: &str| {
        let question = Question { flags: 0x0100, ..Question::new(name, qtype).subnet(subnet, 24) };
        let reply = ask(resolver, &question);
        assert_eq!(reply.rcode, 0, "{name} for {subnet}: {reply:?}\n{}", log.log());
        reply
    };
    let address = |text: &str| [text.parse::<IpAddr>().unwrap()].into();
    // Asked twice round, so that the second time Unbound answers from its cache, by the scopes it was given.
    for round in ["first", "cached"] {
        for (subnet, a, aaaa) in [
            ("10.1.7.0", "192.0.2.1", "2001:db8::1"),
            ("10.2.3.0", "192.0.2.2", "2001:db8::2"),
            ("10.2.200.0", "192.0.2.3", "2001:db8::3"),
            ("203.0.113.0", "192.0.2.3", "2001:db8::3"),
            ("10.1.250.0", "192.0.2.1", "2001:db8::1"),
        ] {
            for name in ["www.example.", "alias.example.", "long.example."] {
                let reply = resolved(name, rtype::A, subnet);
                assert_eq!(reply.addresses(), address(a), "{round}: {name} A for {subnet}\n{}", us.process.log());
                assert_eq!(resolved(name, rtype::AAAA, subnet).addresses(), address(aaaa), "{round}: {name} {subnet}");
            }
        }
    }
    assert_eq!(resolved("plain.example.", rtype::A, "10.1.1.0").addresses(), address("192.0.2.99"));
    let missing = Question { flags: 0x0100, ..Question::new("nothere.example.", rtype::A) };
    assert_eq!(ask(resolver, &missing).rcode, 3, "a name that is not there, through the resolver");
}
