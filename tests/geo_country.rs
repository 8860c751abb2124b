//! The country database that ships, and the laws of steering over all of it.

mod real_prefixes;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use real_prefixes::REAL_PREFIXES;
use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::geo::runs::Address;
use rhumb::health::table::HealthTable;
use rhumb::model::*;
use rhumb::steering::*;

fn settings() -> GeoSettings {
    let database = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/geo/country.mmdb"));
    let office = Network {
        name: "office".into(),
        cidr: vec![("81.2.69.64".parse().unwrap(), 27)],
        geo: Some("AS-JP".parse().unwrap()),
        location: None,
    };
    GeoSettings { databases: vec![database], networks: vec![office], ..GeoSettings::default() }
}

fn atlas() -> &'static Atlas {
    static ATLAS: OnceLock<Atlas> = OnceLock::new();
    ATLAS.get_or_init(|| Atlas::read(&settings()).expect("the database that ships is sound"))
}

/// A pool in each continent's region, by the order of [`CONTINENTS`], and three VIPs: by rules, by distance, by draw.
fn model() -> Model {
    let places =
        [(5.0, 17.0), (-77.8, 166.7), (1.35, 103.8), (50.1, 8.7), (39.0, -77.5), (-33.9, 151.2), (-23.5, -46.6)];
    let mut model = Model { geo: settings(), ..Model::default() };
    for (at, (name, (lat, lon))) in CONTINENTS.iter().zip(places).enumerate() {
        let location = Some(Location { lat, lon });
        model.regions.push(Region {
            name: name.to_string(),
            label: name.to_string(),
            location,
            capacity: None,
            requests_max: None,
        });
        for address in [format!("192.0.2.{at}"), format!("2001:db8::{at}")] {
            let pool = PoolId::from(at);
            model.endpoints.push(Endpoint {
                pool,
                address: address.parse().unwrap(),
                port: None,
                weight: 1,
                backup: false,
            });
        }
        let (first, region) = (2 * at as u32, RegionId::from(at));
        model.pools.push(Pool {
            name: name.to_string(),
            region,
            check: None,
            balance: Balance::Weighted,
            min_healthy: 1,
            fallback: None,
            endpoints: first..first + 2,
            upstream: Default::default(),
            load: None,
        });
    }
    let members: Vec<Member> = (0..CONTINENTS.len()).map(|at| member(at, 1)).collect();
    let mut rules: Vec<Rule> =
        CONTINENTS.iter().enumerate().map(|(at, name)| rule(&[name], &[member(at, 1)])).collect();
    rules.insert(0, rule(&["EU-GR", "NA-CU"], &[member(2, 1)]));
    rules.push(rule(&[], &[member(4, 1)]));
    for policy in [Policy::Geolocation(rules), Policy::Geoproximity(members)] {
        let name = format!("vip{}.example.com.", model.vips.len());
        model.vips.push(Vip {
            name,
            policy,
            ttl: Duration::from_secs(30),
            min_ttl: Duration::from_secs(1),
            answers: 1,
            hash: HashGranularity::default(),
            when_all_down: WhenAllDown::All,
            family: FamilyRule::SameRegion,
            place: None,
        });
    }
    model
}

fn member(pool: usize, weight: u32) -> Member {
    Member { pool: PoolId::from(pool), weight, bias: 0 }
}

fn rule(geos: &[&str], members: &[Member]) -> Rule {
    let geos = geos.iter().map(|geo| geo.parse().unwrap()).collect();
    Rule { networks: vec![], geos, asns: vec![], members: members.to_vec(), geofence: false, place: None }
}

fn plan() -> Plan {
    Plan::build(Arc::new(model()), atlas(), &LatencyTable::default())
}

fn split(prefix: &str) -> (IpAddr, u8) {
    let (address, length) = prefix.split_once('/').unwrap();
    (address.parse().unwrap(), length.parse().unwrap())
}

#[test]
fn real_prefixes_of_many_countries_are_where_they_are() {
    let mut countries: Vec<&str> = REAL_PREFIXES.iter().map(|(_, place)| *place).collect();
    countries.sort_unstable();
    countries.dedup();
    let mut continents: Vec<&str> = countries.iter().map(|place| &place[..2]).collect();
    continents.dedup();
    assert!(countries.len() >= 12 && continents.len() >= 5);
    for (prefix, place) in REAL_PREFIXES {
        let (address, length) = split(prefix);
        let located = atlas().locate(address);
        // The office of the settings lies in one of them.
        assert!(located.prefix <= length || prefix.starts_with("81.2.69."), "{prefix} is cut by {}", located.prefix);
        assert_eq!(located.place.code().unwrap().to_string(), *place, "{prefix}");
    }
}

#[test]
fn clients_of_every_continent_go_to_its_pool() {
    let (plan, health) = (plan(), HealthTable::all_up(&model()));
    for (prefix, place) in REAL_PREFIXES {
        let (address, length) = split(prefix);
        let client = Client::from_subnet(address, length);
        let decision = decide(&plan, &health, VipId(0), Family::V4, &client, Draw::default(), &mut Silent);
        let pool = &plan.model().pool(decision.pool.unwrap()).name;
        match *place {
            "EU-GR" => assert_eq!(pool, "AS"),
            other => assert_eq!(pool, &other[..2], "{prefix}"),
        }
    }
}

/// Walks the leaves of one family as the scopes say and checks that each is right and could not be wider.
fn walk<A: Address>(plan: &Plan, vip: VipId) -> usize {
    let health = HealthTable::all_up(plan.model());
    let ask = |address: A| {
        let client = Client { address: address.ip(), prefix: A::BITS, from_subnet: true, bits_before: 0 };
        let decision = decide(plan, &health, vip, Family::V4, &client, Draw::default(), &mut Silent);
        (decision.pool, decision.scope)
    };
    let ranking = |address: A| {
        let client = Client { address: address.ip(), prefix: A::BITS, from_subnet: true, bits_before: 0 };
        std::ptr::from_ref(plan.ranking_for(vip, &client))
    };
    // Unoptimised this takes a minute for all leaves; then every eighth is looked into.
    let every = if cfg!(debug_assertions) { 8 } else { 1 };
    let (mut leaves, mut next) = (0, Some(A::FIRST));
    while let Some(first) = next {
        let (pool, scope) = ask(first);
        let last = first.block_last(scope);
        assert_eq!(first.block_first(scope), first, "a leaf begins where the one before ends");
        leaves += 1;
        next = last.next();
        if leaves % every != 0 {
            continue;
        }
        for inside in [last, last.block_first(scope + (A::BITS - scope).div_ceil(2))] {
            assert_eq!(ask(inside), (pool, scope), "inside {}/{scope}", first.ip());
        }
        // The other half of the block one bit wider has another ranking, or is cut further.
        if scope > 0 {
            let wider = first.block_first(scope - 1);
            let sibling = if wider == first { last.next().unwrap() } else { wider };
            assert!(
                ask(sibling).1 > scope || ranking(sibling) != ranking(first),
                "{}/{scope} is too narrow",
                first.ip()
            );
        }
    }
    leaves
}

#[test]
fn decisions_are_constant_within_every_scope_and_no_scope_is_too_narrow() {
    let plan = plan();
    let by_rules_and_by_distance = [VipId(0), VipId(1)];
    // By distance nearly every country is a class of its own; unoptimised that takes minutes.
    let walked = if cfg!(debug_assertions) { &by_rules_and_by_distance[..1] } else { &by_rules_and_by_distance[..] };
    for vip in walked.iter().copied() {
        let (v4, v6) = (walk::<u32>(&plan, vip), walk::<u128>(&plan, vip));
        println!("{vip:?}: {v4} and {v6} leaves");
        assert!(v4 > 10_000 && v6 > 10_000);
    }
}

#[test]
fn explain_names_the_database_and_the_network() {
    let plan = plan();
    let health = HealthTable::all_up(plan.model());
    let client = Client::from_subnet("133.11.0.0".parse().unwrap(), 24);
    let trace = explain(&plan, atlas(), &health, VipId(1), Family::V6, &client, Draw::default());
    let located = trace.located.unwrap();
    assert_eq!((located.network.to_string(), located.prefix), ("133.0.0.0".to_owned(), 8));
    assert_eq!(located.origin, rhumb::geo::place::Origin::Database(0));
    assert!(
        atlas().databases()[0].path.ends_with("country.mmdb") && atlas().databases()[0].build_epoch > 1_700_000_000
    );
    assert_eq!(trace.order.len(), 7);
    assert_eq!(trace.order[0].pool, PoolId(2), "Tokyo is nearest to Singapore");
    assert!((trace.order[0].km.unwrap() - 5_300.0).abs() < 100.0);
    assert_eq!(trace.decision.endpoints().len(), 1);
}
