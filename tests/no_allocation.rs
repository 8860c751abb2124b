//! Answering allocates nothing, whatever is asked: an allocator has locks, and its time has a long tail.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use allocation_counter::AllocationInfo;

use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::health::forced::Change;
use rhumb::health::forced::Forced;
use rhumb::health::forced::Order;
use rhumb::health::ledger::Ledger;
use rhumb::health::table::HealthTable;
use rhumb::health::table::PoolLoad;
use rhumb::model::CookieSecrets;
use rhumb::model::Moment;
use rhumb::model::PoolId;
use rhumb::responder::Outcome;
use rhumb::responder::Transport;
use rhumb::responder::UDP_BYTES_MAX;
use rhumb::responder::ahead::read_ahead;
use rhumb::responder::respond;
use rhumb::snapshot::Snapshot;
use rhumb::steering::Draw;
use rhumb::world::World;
use rhumb::zone::read::ZoneFile;

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9));
const HOSTS: usize = 10_000;
const A: u16 = 1;
const TXT: u16 = 16;

const CONFIG: &str = r#"
[server]
listen = ["127.0.0.1:0"]
zones_dir = "zones"
nsid = "ns1"
[geo]
[[geo.network]]
name = "office"
cidr = ["192.0.2.0/25", "10.0.0.0/9"]
geo  = "EU-DE"
[region.eu]
[region.us]
[pool.eu]
region = "eu"
endpoints = [{ address = "203.0.113.1" }, { address = "203.0.113.3" }]
[pool.us]
region = "us"
endpoints = [{ address = "203.0.113.2" }, { address = "203.0.113.4" }]
[vip."vip.example.com."]
policy  = "geolocation"
answers = 2
rules   = [{ networks = ["office"], pool = "eu" }, { pool = "us" }]
"#;

fn zone_text() -> String {
    let mut text =
        String::from("$TTL 300\n@ SOA ns1 hostmaster 1 1h 15m 1w 60\n@ NS ns1\n@ MX 10 www\nns1 A 192.0.2.53\n");
    text.push_str("www A 192.0.2.80\nalias CNAME other\nother CNAME www\nloop CNAME loop2\nloop2 CNAME loop\n");
    text.push_str("child NS ns.child\nns.child A 192.0.2.54\nold DNAME new\nx.new A 192.0.2.81\n*.wild A 192.0.2.82\n");
    for number in 0..40 {
        text.push_str(&format!("big TXT \"{number:0>100}\"\n"));
    }
    // Enough that reading ahead has something to do.
    for number in 0..HOSTS {
        text.push_str(&format!("host-{number:06x} A 10.0.{}.{}\n", number >> 8 & 255, number & 255));
    }
    text
}

fn world() -> World {
    let loaded = rhumb::config::read(Path::new("rhumb.toml"), CONFIG).unwrap_or_else(|_| panic!("configuration"));
    let apex = "example.com".parse().expect("a name");
    let file = ZoneFile::parse(zone_text().as_bytes(), Path::new("example.com.zone"), Some(&apex), &mut |_| {
        Err(ErrorKind::NotFound.into())
    })
    .expect("a good zone");
    let mut model = loaded.model;
    model.server.cookie_secrets = Some(CookieSecrets { current: [1; 16], previous: Some([2; 16]) });
    let model = Arc::new(model);
    let atlas = Arc::new(Atlas::of_networks(&model.geo.networks));
    let health = HealthTable::all_up(&model);
    let (snapshot, _) = Snapshot::compile(model, vec![file], atlas, &LatencyTable::default()).expect("a good world");
    assert!(snapshot.zones.any_large());
    World { snapshot: Arc::new(snapshot), health, generation: 1 }
}

/// A query with an OPT record of these options.
fn query(name: &str, qtype: u16, options: &[u8]) -> Vec<u8> {
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.extend_from_slice(&[0, 0, qtype as u8, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8]);
    wire.extend_from_slice(options);
    wire
}

/// Answers, and fails when that allocated.
fn answer(world: &World, query: &[u8], transport: Transport) -> (Outcome, Vec<u8>) {
    let mut out = vec![0; UDP_BYTES_MAX];
    let mut outcome = Outcome::default();
    let allocations = allocation_counter::measure(|| {
        read_ahead(world, [query; 8].into_iter());
        outcome = respond(query, SOURCE, transport, world, Draw { random: 7, seconds: 1_700_000_000 }, &mut out);
    });
    let AllocationInfo { count_total, bytes_total, .. } = allocations;
    assert_eq!((count_total, bytes_total), (0, 0), "allocated while answering {query:02x?}");
    out.truncate(outcome.bytes);
    (outcome, out)
}

#[test]
fn allocations_are_counted_at_all() {
    assert_eq!(allocation_counter::measure(|| drop(vec![0u8; 10])).count_total, 1);
}

/// The same world after an operator ordered other weights.
fn reweighed_world() -> World {
    let world = world();
    let (model, now) = (world.snapshot.model.clone(), Moment::from_secs(1_700_000_000));
    let mut ledger = Ledger::new(model, &HashMap::new(), 1, now);
    for (endpoint, weight) in [("endpoint/eu/203.0.113.1", 50), ("endpoint/us/203.0.113.2", 0)] {
        let name = ledger.subject(endpoint).expect("it is configured");
        let (reason, by) = (String::new(), "ada".to_owned());
        let order = Order::Weight(weight);
        let forced = Forced { order, reason, by, since: now, begins: now, until: None };
        assert!(ledger.order(&name, Change::Set(forced), now).changed);
    }
    World { health: ledger.table().clone(), ..world }
}

#[test]
fn no_answer_by_ordered_weights_allocates() {
    let world = reweighed_world();
    let query = query("vip.example.com", A, &[]);
    let (outcome, message) = answer(&world, &query, Transport::Udp);
    // Of the two in `us`, one is a standby by order.
    assert_eq!((outcome.rcode, message[7]), (0, 1));
    let (_, message) =
        answer(&world, &self::query("vip.example.com", A, &[0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 2]), Transport::Udp);
    assert_eq!(message[7], 2);
}

/// The same world with pools so loaded that they send some of their clients elsewhere.
fn loaded_world(shares: [u16; 2]) -> World {
    let mut world = world();
    for (pool, sheds) in shares.into_iter().enumerate() {
        world.health.set_load(PoolId::from(pool), PoolLoad { percent: Some(80), sheds });
    }
    world
}

#[test]
fn no_answer_of_a_loaded_pool_allocates() {
    for shares in [[128, 0], [256, 0], [0, 256], [128, 128], [256, 256]] {
        let world = loaded_world(shares);
        for last in 0..=255 {
            let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 10, 1, last];
            let (outcome, message) = answer(&world, &query("vip.example.com", A, &subnet), Transport::Udp);
            assert_eq!((outcome.rcode, message[7]), (0, 2));
        }
    }
}

#[test]
fn no_answer_allocates() {
    let world = world();
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 2];
    let everything =
        [&subnet[..], &[0, 3, 0, 0], &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8], &[0, 12, 0, 2, 0, 0]].concat();
    // What it is, the query, and what the answer must be: response code, answers, whether it is truncated.
    let cases: [(&str, Vec<u8>, u16, u8, bool); 15] = [
        ("a VIP for a subnet", query("vip.example.com", A, &subnet), 0, 2, false),
        ("a VIP with every option", query("vip.example.com", A, &everything), 0, 2, false),
        ("a static answer", query("www.example.com", A, &[]), 0, 1, false),
        ("an answer with additional data", query("example.com", 15, &[]), 0, 1, false),
        ("ANY", query("www.example.com", 255, &[]), 0, 1, false),
        ("no such type", query("www.example.com", TXT, &[]), 0, 0, false),
        ("no such name", query("a.b.nope.example.com", A, &[]), 3, 0, false),
        ("a wildcard", query("x.wild.example.com", A, &[]), 0, 1, false),
        ("a chain of CNAMEs", query("alias.example.com", A, &[]), 0, 3, false),
        ("a loop of CNAMEs", query("loop.example.com", A, &[]), 0, 2, false),
        ("a DNAME", query("x.old.example.com", A, &[]), 0, 3, false),
        ("a referral", query("www.child.example.com", A, &[]), 0, 0, false),
        ("an answer too large", query("big.example.com", TXT, &[]), 0, 0, true),
        ("a name that is not ours", query("www.example.org", A, &[]), 5, 0, false),
        ("a malformed subnet", query("www.example.com", A, &[0, 8, 0, 3, 0, 9, 9]), 1, 0, false),
    ];
    for (what, query, rcode, answers, truncated) in cases {
        for transport in [Transport::Udp, Transport::Https] {
            let (outcome, message) = answer(&world, &query, transport);
            assert_eq!((outcome.rcode, message[7]), (rcode, answers), "{what}");
            let is_truncated = message[2] & 2 != 0;
            assert_eq!(is_truncated, truncated, "{what} over {transport:?}");
        }
    }
    for junk in [&[][..], &[0; 11], &[0xff; 40], &[0x12, 0x34, 0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0]] {
        answer(&world, junk, Transport::Udp);
    }
}
