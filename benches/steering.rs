//! What a decision costs, and how long the prefix tables take to build.
//!
//! `cargo bench --bench steering`; with `RHUMB_CITY="v4.mmdb v6.mmdb"` also a city database: reading, building, memory.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use divan::Bencher;
use divan::black_box;
use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::health::table::HealthTable;
use rhumb::model::*;
use rhumb::steering::*;

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// How many clients are asked for in turn.
const CLIENTS: usize = 4096;

fn country() -> &'static Atlas {
    static ATLAS: OnceLock<Atlas> = OnceLock::new();
    ATLAS.get_or_init(|| read(vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/geo/country.mmdb"))]))
}

fn city() -> Option<&'static Atlas> {
    static ATLAS: OnceLock<Option<Atlas>> = OnceLock::new();
    let load = || Some(read(std::env::var("RHUMB_CITY").ok()?.split(' ').map(PathBuf::from).collect()));
    ATLAS.get_or_init(load).as_ref()
}

fn read(databases: Vec<PathBuf>) -> Atlas {
    Atlas::read(&GeoSettings { databases, ..GeoSettings::default() }).expect("sound databases")
}

/// Six pools of two addresses of each family, one for each inhabited continent.
fn model() -> Model {
    let places = [
        ("AF", -26.2, 28.0),
        ("AS", 1.35, 103.8),
        ("EU", 50.1, 8.7),
        ("NA", 39.0, -77.5),
        ("OC", -33.9, 151.2),
        ("SA", -23.5, -46.6),
    ];
    let mut model = Model::default();
    let mut rules = Vec::new();
    let mut members = Vec::new();
    for (at, (name, lat, lon)) in places.into_iter().enumerate() {
        let (pool, region) = (PoolId::from(at), RegionId::from(at));
        model.regions.push(Region {
            name: name.into(),
            label: name.into(),
            location: Some(Location { lat, lon }),
            capacity: None,
            requests_max: None,
        });
        for host in 1..=2 {
            for address in [format!("192.0.{at}.{host}"), format!("2001:db8:{at}::{host}")] {
                model.endpoints.push(Endpoint {
                    pool,
                    address: address.parse().unwrap(),
                    port: None,
                    weight: 1,
                    backup: false,
                });
            }
        }
        let first = 4 * at as u32;
        model.pools.push(Pool {
            name: name.into(),
            region,
            check: None,
            balance: Balance::Weighted,
            min_healthy: 1,
            fallback: None,
            endpoints: first..first + 4,
            upstream: Default::default(),
            load: None,
        });
        members.push(Member { pool, weight: 1, bias: 0 });
        rules.push(rule(&[name], pool));
    }
    rules.push(rule(&[], PoolId(3)));
    for policy in [Policy::Geolocation(rules), Policy::Geoproximity(members.clone()), Policy::Weighted(members)] {
        model.vips.push(Vip {
            name: format!("vip{}.example.com.", model.vips.len()),
            policy,
            ttl: Duration::from_secs(30),
            min_ttl: Duration::from_secs(1),
            answers: 2,
            hash: HashGranularity::default(),
            when_all_down: WhenAllDown::All,
            family: FamilyRule::SameRegion,
            place: None,
        });
    }
    model
}

fn rule(geos: &[&str], pool: PoolId) -> Rule {
    let geos = geos.iter().map(|geo| geo.parse().unwrap()).collect();
    let members = vec![Member { pool, weight: 1, bias: 0 }];
    Rule { networks: vec![], geos, asns: vec![], members, geofence: false, place: None }
}

fn plan(atlas: &Atlas) -> Plan {
    Plan::build(Arc::new(model()), atlas, &LatencyTable::default())
}

fn clients() -> Vec<Client> {
    let spread = |at: u32| at.wrapping_mul(0x9e37_79b9) % 0xdf00_0000;
    (0..CLIENTS as u32).map(|at| Client::from_subnet(IpAddr::from(spread(at + 1).to_be_bytes()), 24)).collect()
}

fn deciding(bencher: Bencher<'_, '_>, atlas: &Atlas, vip: u32) {
    let (plan, clients) = (plan(atlas), clients());
    let health = HealthTable::all_up(plan.model());
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 1) % CLIENTS;
        let draw = Draw { random: (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15), seconds: 1_800_000_000 };
        decide(&plan, &health, VipId(vip), Family::V4, black_box(&clients[at]), draw, &mut Silent)
    });
}

#[divan::bench]
fn geolocation_country(bencher: Bencher<'_, '_>) {
    deciding(bencher, country(), 0);
}

#[divan::bench]
fn geoproximity_country(bencher: Bencher<'_, '_>) {
    deciding(bencher, country(), 1);
}

#[divan::bench]
fn weighted_of_six(bencher: Bencher<'_, '_>) {
    deciding(bencher, country(), 2);
}

#[divan::bench]
fn geolocation_city(bencher: Bencher<'_, '_>) {
    if let Some(atlas) = city() {
        deciding(bencher, atlas, 0);
    }
}

#[divan::bench(sample_count = 3)]
fn read_country_database(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| read(vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/geo/country.mmdb"))]));
}

#[divan::bench(sample_count = 3)]
fn compile_country(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| plan(country()));
}

#[divan::bench(sample_count = 2)]
fn compile_city(bencher: Bencher<'_, '_>) {
    if let Some(atlas) = city() {
        println!("city: {} places, {} and {} runs", atlas.places().count(), atlas.v4().count(), atlas.v6().count());
        println!("three policies: {:?}", plan(atlas).figures());
        bencher.bench_local(|| plan(atlas));
    }
}
