//! What a reload would change and what a failure would do, as operators ask it.

mod common;

use std::fs;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rhumb::admin::what_if::world_all_up;
use rhumb::health::table::HealthTable;
use rhumb::impact::demand::Demand;
use rhumb::impact::load::Load;
use rhumb::impact::reload::Impact;
use rhumb::model::Family;
use rhumb::model::PoolId;
use rhumb::model::VipId;
use rhumb::runtime::load::load;
use rhumb::steering::Client;
use rhumb::steering::Draw;
use rhumb::steering::Silent;
use rhumb::steering::decide;
use rhumb::world::World;

/// Half of the world is at home in 64.0.0.0/2, and Berlin in a /8 of it.
const CONFIG: &str = r#"
[server]
listen = ["127.0.0.1:5300"]
zones_dir = "zones"
[admin]
socket = "admin.sock"
[[geo.network]]
name = "quarter"
cidr = ["64.0.0.0/2"]
geo = "EU-DE"
[[geo.network]]
name = "berlin"
cidr = ["80.0.0.0/8"]
geo = "EU-DE-BE"
[region.eu-west]
capacity = 60
[region.us-east]
capacity = 80
[region.ap-south]
capacity = 90
[pool.eu]
region = "eu-west"
endpoints = [{ address = "192.0.2.1" }]
[pool.us]
region = "us-east"
endpoints = [{ address = "198.51.100.1" }]
[pool.ap]
region = "ap-south"
endpoints = [{ address = "203.0.113.1" }]
[vip."www.example.com."]
policy = "geolocation"
rules = [
  { geos = ["EU-DE"], pool = "eu" },
  { pools = [{ pool = "us", weight = 2 }, { pool = "ap", weight = 1 }] },
]
[vip."all.example.com."]
policy = "failover"
pools = [{ pool = "us" }, { pool = "ap" }, { pool = "eu" }]
"#;
const ZONE: &str =
    "$ORIGIN example.com.\n$TTL 300\n@ SOA ns1 hostmaster 1 3600 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\n";

/// A folder with `rhumb.toml` and its zone.
fn folder(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("zones")).unwrap();
    fs::write(dir.path().join("zones/example.com.zone"), ZONE).unwrap();
    fs::write(dir.path().join("rhumb.toml"), config).unwrap();
    dir
}

/// Exit code, standard output, standard error.
fn rhumb(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_rhumb")).args(args).current_dir(dir).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code().unwrap(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn two_files_are_compared_section_by_section() {
    let dir = folder(CONFIG);
    let new = CONFIG
        .replace("capacity = 60", "capacity = 61")
        .replace(
            r#"[{ address = "192.0.2.1" }]"#,
            r#"[{ address = "192.0.2.1", weight = 3 }, { address = "192.0.2.2" }]"#,
        )
        .replace("80.0.0.0/8", "80.0.0.0/9")
        .replace(r#"[vip."all"#, r#"[vip."both"#)
        .replace("zones_dir", "udp_workers = 2\nzones_dir")
        .replace(r#"{ geos = ["EU-DE"], pool = "eu" }"#, r#"{ geos = ["EU-DE"], pool = "us" }"#);
    fs::write(dir.path().join("new.toml"), new).unwrap();
    let (code, out, said) = rhumb(dir.path(), &["diff", "--from", "rhumb.toml", "-c", "new.toml"]);
    assert_eq!(code, 0, "{said}");
    let expected = "\
from rhumb.toml to new.toml

~ [server]
    ~ udp_workers  0 → 2
~ network berlin
    + cidr 80.0.0.0/9
    - cidr 80.0.0.0/8
~ region eu-west
    ~ capacity  60 → 61
~ pool eu
    ~ endpoint 192.0.2.1  weight 1 → weight 3
    + endpoint 192.0.2.2  weight 1
~ vip www.example.com.
    ~ rule geos EU-DE  eu → us
+ vip both.example.com.
    + policy  failover
    + pools  us, ap, eu
    + ttl  30s
    + min_ttl  1s
    + answers  1
    + hash  v4 /24, v6 /56
    + when_all_down  all
    + family  same-region
- vip all.example.com.

1 added, 5 changed, 1 removed
";
    assert_eq!(out, expected);
}

#[test]
fn listeners_are_compared_route_by_route() {
    let dir = folder(CONFIG);
    let edge = r#"
[access_log]
[pool.app]
region = "eu-west"
balance = "least_conn"
endpoints = [{ address = "10.0.0.1", port = 8080 }, { address = "10.0.0.1", port = 8081 }]
[[listener]]
name = "edge"
region = "eu-west"
bind = "127.0.0.1:8080"
protocol = "http"
routes = [
  { name = "files", path_prefix = "/static/", pool = "app", expires = "30d" },
  { host = "a.example", headers = { x-canary = "true" }, pool = "app" },
  { pool = "app" },
]
"#;
    fs::write(dir.path().join("old.toml"), format!("{CONFIG}{edge}")).unwrap();
    let new = edge
        .replace("[access_log]", "[access_log]\nsample = 0.5")
        .replace("port = 8081", "port = 8082, backup = true")
        .replace("least_conn\"", "least_conn\"\nslow_start = \"30s\"\npanic = \"10%\"")
        .replace("30d", "1d")
        .replace(
            "  { host = \"a.example\"",
            "  { host = \"b.example\", redirect = { to = \"https://{host}{uri}\" } },\n  { host = \"a.example\"",
        )
        .replace("  { pool = \"app\" },\n", "  { pool = \"app\", sticky = \"backend\", retries = 0 },\n")
        .replace("protocol = ", "max_body = \"1MiB\"\nprotocol = ");
    let more = "[[listener]]\nname = \"more\"\nregion = \"us-east\"\nbind = \"127.0.0.1:8081\"\nprotocol = \"http\"\n\
        routes = [{ respond = { status = 404 } }]\n";
    fs::write(dir.path().join("new.toml"), format!("{CONFIG}{new}{more}")).unwrap();
    let (code, out, said) = rhumb(dir.path(), &["diff", "--from", "old.toml", "-c", "new.toml"]);
    assert_eq!(code, 0, "{said}");
    let expected = "\
from old.toml to new.toml

~ [access_log]
    ~ sample  1 → 0.5
~ pool app
    + slow_start  30s
    + panic  10%
    + endpoint 10.0.0.1:8082  weight 1, port 8082, backup
    - endpoint 10.0.0.1:8081  weight 1, port 8081
~ listener edge
    + max_body  1048576 bytes
    ~ route files  * /static/… pool app, expires 30d → * /static/… pool app, expires 1d
    + route b.example  redirect 302 https://{host}{uri}
    ~ route *  pool app → pool app, retries 0, sticky backend
+ listener more
    + region  us-east
    + bind  127.0.0.1:8081
    + protocol  http
    + drain_timeout  5m
    + upgrades  websocket
    + route *  respond 404 \"\"

1 added, 3 changed, 0 removed
";
    assert_eq!(out, expected);
}

#[test]
fn nothing_differs_and_nobody_moves() {
    let dir = folder(CONFIG);
    // Another order of sections and spelt-out defaults mean the same.
    let new = CONFIG.replace("[region.eu-west]", "[region.eu-west]\nlabel = \"eu-west\"");
    fs::write(dir.path().join("new.toml"), new).unwrap();
    let (code, out, _) = rhumb(dir.path(), &["diff", "--from", "rhumb.toml", "-c", "new.toml", "--impact"]);
    assert_eq!((code, out.lines().next()), (0, Some("nothing differs between rhumb.toml and new.toml")));
    assert!(out.contains("no answer moves (everything taken to be up)"), "{out}");
}

#[test]
fn a_zone_whose_records_change_under_the_same_serial_is_told() {
    let (old, new) = (folder(CONFIG), folder(CONFIG));
    fs::write(new.path().join("zones/example.com.zone"), ZONE.replace("192.0.2.53", "192.0.2.54")).unwrap();
    let from = old.path().join("rhumb.toml");
    let (_, out, _) = rhumb(new.path(), &["diff", "--from", from.to_str().unwrap()]);
    assert!(out.contains("~ zone example.com.\n    ~ serial  still 1, although records changed"), "{out}");
}

#[test]
fn whose_answers_move_is_told_by_pool_vip_and_country() {
    let dir = folder(CONFIG);
    fs::write(dir.path().join("new.toml"), CONFIG.replace(r#"["EU-DE"]"#, r#"["EU-DE-BE"]"#)).unwrap();
    let (code, out, _) = rhumb(dir.path(), &["diff", "--from", "rhumb.toml", "-c", "new.toml", "--impact", "--json"]);
    assert_eq!(code, 0);
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    let impact = &said["impact"];
    // 63 of 223 /8s leave eu; of two VIPs one. Two thirds go to us.
    let near = |value: &serde_json::Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-9;
    assert!(near(&impact["moved"]["ipv4"], 63.0 / 223.0 / 2.0), "{impact:#}");
    assert!(near(&impact["flows"][0]["share"]["ipv4"], 63.0 / 223.0 / 3.0), "{impact:#}");
    assert_eq!(impact["flows"][0]["to"]["region"], "us-east");
    assert_eq!(impact["by_vip"].as_array().unwrap().len(), 1);
    assert_eq!(impact["by_vip"][0]["vip"], "www.example.com.");
    assert_eq!(impact["by_country"][0]["country"], "DE");
    assert!(near(&impact["by_country"][0]["of_its_own"]["ipv4"], 63.0 / 64.0 / 2.0), "{impact:#}");
}

#[test]
fn a_running_server_tells_what_a_reload_would_change() {
    let dir = folder(&CONFIG.replace("5300", &common::free_port().to_string()));
    let config = dir.path().join("rhumb.toml");
    let text = fs::read_to_string(&config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    command.args(["serve", "-c", "rhumb.toml"]).current_dir(dir.path());
    // What is watched is reloaded: the change must be seen before it is made.
    let mut server = common::Running::start(command, "serve", dir.path());
    let socket = dir.path().join("admin.sock");
    server.wait_until(|| socket.exists() && rhumb(dir.path(), &["diff"]).0 == 0);
    let (_, out, _) = rhumb(dir.path(), &["diff", "--impact"]);
    assert!(out.starts_with("nothing differs between what is served (generation 1) and rhumb.toml"), "{out}");
    assert!(out.contains("no answer moves (health and orders as they are now"), "{out}");

    let (code, _, said) = rhumb(dir.path(), &["drain", "region/us-east", "--reason", "test"]);
    assert_eq!(code, 0, "{said}");
    let (code, out, said) = rhumb(dir.path(), &["simulate", "--live", "--down", "region/eu-west", "--json"]);
    assert_eq!(code, 0, "{said}");
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["scenarios"][0]["regions"][1]["before"], 0.0, "us-east is drained already: {said:#}");
    assert!((said["scenarios"][0]["regions"][2]["after"].as_f64().unwrap() - 100.0).abs() < 1e-9, "{said:#}");

    let (code, _, said) = rhumb(dir.path(), &["simulate", "--live", "--down", "region/nowhere"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("there is no `region/nowhere`"), "{said}");

    fs::write(&config, text.replace(r#"region = "us-east""#, r#"region = "us-eats""#)).unwrap();
    let (code, _, said) = rhumb(dir.path(), &["diff", "--socket", "admin.sock"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("error[E0101]") && said.contains("a reload would be refused"), "{said}");
}

#[test]
fn a_region_that_fails_overloads_the_next_and_the_cascade_is_named() {
    let dir = folder(CONFIG);
    let demand = "64.0.0.0/2 50 # the quarter\n* 60\n";
    fs::write(dir.path().join("demand.txt"), demand).unwrap();
    let args = ["simulate", "--vip", "www.example.com", "--down", "region/eu-west", "--demand", "demand.txt"];
    let (code, out, said) = rhumb(dir.path(), &args);
    assert_eq!(code, 0, "{said}");
    let expected = "\
demand   2 lines of demand.txt (for one VIP)
assumed  everything taken to be up

region/eu-west down
  region    before          after          capacity   used
  eu-west     50.0  45.5 %      0   0.0 %        60    0 %
  us-east     40.0  36.4 %   90.0  81.8 %        80  112 %  over
  ap-south    20.0  18.2 %   20.0  18.2 %        90   22 %
  cascade: region/eu-west out → us-east at 112 % of its capacity, would fail next → ap-south at 122 % of its capacity, would fail next → nothing is left
";
    assert_eq!(out, expected);
}

#[test]
fn without_names_each_region_fails_in_turn() {
    let dir = folder(&CONFIG.replace("capacity = 80", "capacity = 1000").replace("capacity = 90", "capacity = 1000"));
    let (code, out, said) = rhumb(dir.path(), &["simulate", "--total", "90"]);
    assert_eq!(code, 0, "{said}");
    let headings: Vec<&str> = out.lines().filter(|line| line.starts_with("region/")).collect();
    assert_eq!(headings, ["region/eu-west down", "region/us-east down", "region/ap-south down"], "{out}");
    assert!(out.contains("holds: every region that is left stays within its capacity"), "{out}");
}

#[test]
fn wrong_questions_and_wrong_demand_are_told() {
    let dir = folder(CONFIG);
    let (code, _, said) = rhumb(dir.path(), &["simulate", "--down", "region/eu-wset", "--drain", "us-east"]);
    assert_eq!(code, 2);
    assert_eq!(
        said,
        "error: there is no `region/eu-wset`; did you mean `region/eu-west`?\n\
         error: there is no `us-east`; did you mean `region/us-east`?\n"
    );
    fs::write(dir.path().join("demand.txt"), "EU-DE\nXX 5\n192.0.2.1/24 7\nEU 5\nEU 6\nEU x\n").unwrap();
    let (code, _, said) = rhumb(dir.path(), &["simulate", "--demand", "demand.txt"]);
    assert_eq!(code, 3, "{said}");
    let places: Vec<&str> = said.lines().filter_map(|line| line.trim().strip_prefix("--> ")).collect();
    assert_eq!(
        places,
        ["demand.txt:1:1", "demand.txt:2:1", "demand.txt:3:1", "demand.txt:5:1", "demand.txt:6:4"],
        "{said}"
    );
    assert!(said.ends_with("5 errors\n"), "{said}");
    let (code, _, said) = rhumb(dir.path(), &["simulate", "--demand", "nowhere.txt"]);
    assert_eq!(code, 3);
    assert!(said.contains("error[E0601]: cannot read the demand: no such file"), "{said}");
    fs::write(
        dir.path().join("demand.txt"),
        "EU-DE 5\n64.0.0.0/2 1\n64.0.0.0/3 1\n96.0.0.0/3 1\nNA-US 4 no.example.com\n",
    )
    .unwrap();
    let (code, out, said) = rhumb(dir.path(), &["simulate", "--demand", "demand.txt"]);
    assert_eq!(code, 0);
    assert!(said.contains("demand.txt:5: warning[W0601]: there is no VIP `no.example.com.`"), "{said}");
    assert!(said.contains("demand.txt:2: warning[W0602]: every address of `64.0.0.0/2`"), "{said}");
    // A place without an address of its own is decided as a place.
    assert!(out.contains("5 lines of demand.txt"), "{out}");
}

/// The example with three regions, and what of it is changed.
fn example(change: impl Fn(&str) -> String) -> World {
    let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"));
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let text = fs::read_to_string(examples.join("three-region.toml")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = text
        .replace("\"../", &format!("\"{root}"))
        .replace("\"latency.csv\"", &format!("\"{root}examples/latency.csv\""));
    let path = dir.path().join("rhumb.toml");
    fs::write(&path, change(&text)).unwrap();
    world_all_up(load(&path, None).unwrap_or_else(|refused| panic!("{:#?}", refused.problems)).snapshot)
}

fn pool_of(world: &World, vip: VipId, client: &Client, at: u64) -> Option<PoolId> {
    let draw = Draw { random: at.wrapping_mul(0x9e37_79b9_7f4a_7c15), seconds: 1_800_000_000 };
    decide(&world.snapshot.plan, &world.health, vip, Family::V4, client, draw, &mut Silent).pool
}

/// /24s all over the address space that the database knows, in proportion.
fn clients(world: &World) -> Vec<Client> {
    const COUNT: u32 = 40_000;
    let spread = (1..=COUNT).map(|at| Ipv4Addr::from(at.wrapping_mul(0x9e37_79b9)));
    let known = spread.filter(|ip| {
        (1..224).contains(&ip.octets()[0])
            && world.snapshot.atlas.locate(IpAddr::V4(*ip)).place != rhumb::geo::place::Place::default()
    });
    known.map(|ip| Client::from_subnet(IpAddr::V4(ip), 24)).collect()
}

#[test]
fn what_is_said_to_move_and_to_bear_is_what_queries_get() {
    let old = example(str::to_owned);
    let new = example(|text| {
        text.replace("weight = 95", "weight = 40").replace(r#"geos = ["EU", "AF"]"#, r#"geos = ["EU"]"#)
    });
    let clients = clients(&old);
    let vips = old.snapshot.model.vips.len();
    let mut moved = 0u32;
    for vip in (0..vips).map(VipId::from) {
        for (at, client) in clients.iter().enumerate() {
            let pools = (pool_of(&old, vip, client, at as u64), pool_of(&new, vip, client, at as u64));
            moved += u32::from(pools.0 != pools.1);
        }
    }
    let seen = f64::from(moved) / (clients.len() * vips) as f64;
    let said = Impact::between(&old, &new).moved.v4;
    assert!(said > 0.005 && (seen - said).abs() < 0.003, "seen {seen}, said {said}");

    let model = old.snapshot.model.clone();
    let down = PoolId::from(0usize);
    let health = HealthTable::all_up(&model).with_down(&model, &[], &[down]);
    let world = World { snapshot: Arc::clone(&old.snapshot), health, generation: 1 };
    let all: Vec<VipId> = (0..vips).map(VipId::from).collect();
    let load = Load::spread(&world.snapshot, &all, &Demand::everywhere(1.0), Path::new("demand"));
    let said = load.borne(&world.health);
    let mut seen = vec![0u32; model.regions.len()];
    let mut nowhere = 0u32;
    for vip in all {
        for (at, client) in clients.iter().enumerate() {
            match pool_of(&world, vip, client, at as u64) {
                Some(pool) => seen[model.pool(pool).region.index()] += 1,
                None => nowhere += 1,
            }
        }
    }
    let part = |count: u32| f64::from(count) / (clients.len() * vips) as f64;
    for (seen, said) in seen.into_iter().zip(&said.regions) {
        assert!((part(seen) - said).abs() < 0.006, "seen {}, said {said}", part(seen));
    }
    assert!((part(nowhere) - said.unanswered).abs() < 0.006, "seen {}, said {}", part(nowhere), said.unanswered);
}
