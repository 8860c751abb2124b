//! Does a real recursive resolver reach a VIP through a delegation, and does each client get its own region?
//!
//! NSD serves a root that delegates `example.` to rhumb; Unbound starts at that root and sends client subnets. Resolvers
//! ask port 53, so this needs root, and takes loopback addresses that nothing else uses.

mod common;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::Running;
use common::dns::{Question, Reply, ask, rtype};
use common::servers::{Zone, nsd_at, rhumb_at};

const PORT: u16 = 53;

/// Two addresses of 127/8 that are this process's own.
fn addresses() -> [Ipv4Addr; 2] {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    [1, 2].map(|host| Ipv4Addr::new(127, 100 + high % 100, low, host))
}

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

/// Unbound, starting at the root server `root` and sending client subnets to `authority`.
fn unbound(dir: &Path, root: Ipv4Addr, authority: Ipv4Addr) -> Option<(SocketAddr, Running)> {
    let program = common::program("unbound")?;
    let address = common::free_address();
    fs::write(dir.join("hints"), format!(". 3600 NS ns.root.\nns.root. 3600 A {root}\n")).unwrap();
    let home = dir.display();
    let config = format!(
        "server:\n interface: {ip}@{port}\n access-control: 127.0.0.0/8 allow\n do-ip6: no\n do-daemonize: no\n \
         username: \"\"\n chroot: \"\"\n directory: \"{home}\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n \
         verbosity: 2\n num-threads: 1\n do-not-query-localhost: no\n root-hints: \"{home}/hints\"\n \
         module-config: \"subnetcache iterator\"\n send-client-subnet: {authority}\n \
         client-subnet-always-forward: yes\n max-client-subnet-ipv4: 24\n harden-below-nxdomain: no\n\
         remote-control:\n control-enable: no\n",
        ip = address.ip(),
        port = address.port()
    );
    let file = dir.join("unbound.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg("-d").arg("-c").arg(&file);
    let mut running = Running::start(command, "unbound", dir);
    let question = Question { flags: 0x0100, ..Question::new("plain.example.", rtype::A) }.to_bytes();
    running.wait_until(|| {
        let reply = common::dns::udp_within(address, &question, Duration::from_millis(500));
        reply.and_then(|bytes| Reply::parse(&bytes).ok()).is_some_and(|reply| reply.rcode == 0)
    });
    Some((address, running))
}

#[test]
fn a_resolver_brings_each_client_to_its_region() {
    let [root, authority] = addresses();
    if let Err(e) = TcpListener::bind((root, PORT)) {
        return common::skipped(&format!("port 53 on loopback cannot be bound ({e}); run as root"));
    }
    if common::program("unbound").is_none() || common::program("nsd").is_none() {
        return common::skipped("unbound or nsd is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let zones = dir.path().join("zones");
    fs::create_dir(&zones).unwrap();
    fs::write(zones.join("example.zone"), format!("{EXAMPLE}ns A {authority}\n")).unwrap();
    let root_zone = dir.path().join("root");
    let delegation = format!("example. NS ns.example.\nns.example. A {authority}\nns.root. A {root}\n");
    fs::write(&root_zone, format!("$TTL 3600\n. SOA ns.root. h.root. 1 1h 1h 1h 60\n. NS ns.root.\n{delegation}"))
        .unwrap();

    let us = rhumb_at((authority, PORT).into(), dir.path(), &zones, STEERING);
    let root_zones = [Zone { name: ".".to_owned(), file: root_zone }];
    let _root = nsd_at((root, PORT).into(), dir.path(), &root_zones).expect("nsd is installed");
    let (resolver, log) = unbound(dir.path(), root, authority).expect("unbound is installed");

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
