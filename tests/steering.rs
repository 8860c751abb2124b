//! What steering promises, on small hand-made places; `steering_laws.rs` walks the whole country database.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::geo::place::Place;
use rhumb::health::table::{HOLDS_FOREVER, HealthTable};
use rhumb::model::*;
use rhumb::steering::*;

/// Builds models in the order in which they are written down.
#[derive(Default)]
struct World {
    model: Model,
    latency: LatencyTable,
}

impl World {
    /// Frankfurt, Ashburn and Singapore, with a pool of two IPv4 and one IPv6 endpoints each: eu, us, ap; ap has no IPv6.
    fn three() -> Self {
        let mut world = World::default();
        world.region("eu-west", 50.11, 8.68).region("us-east", 39.04, -77.49).region("ap-south", 1.35, 103.82);
        world.pool("eu", 0, &[("192.0.2.1", 1), ("192.0.2.2", 1), ("2001:db8:1::1", 1)]);
        world.pool("us", 1, &[("198.51.100.1", 1), ("198.51.100.2", 1), ("2001:db8:2::1", 1)]);
        world.pool("ap", 2, &[("203.0.113.1", 1), ("203.0.113.2", 1)]);
        world.network("berlin", &[("10.20.0.0", 16), ("2001:db8:20::", 48)], "EU-DE", None);
        world.network("tokyo", &[("10.30.0.0", 16)], "AS-JP", None);
        world.network("denver", &[("10.40.0.0", 16)], "NA-US-CO", None);
        world
    }

    fn region(&mut self, name: &str, lat: f64, lon: f64) -> &mut Self {
        let location = Some(Location { lat, lon });
        self.model.regions.push(Region {
            name: name.into(),
            label: name.into(),
            location,
            capacity: None,
            requests_max: None,
        });
        self
    }

    fn pool(&mut self, name: &str, region: u32, endpoints: &[(&str, u32)]) -> PoolId {
        let id = PoolId::from(self.model.pools.len());
        let first = self.model.endpoints.len() as u32;
        for (address, weight) in endpoints {
            let address = address.parse().unwrap();
            self.model.endpoints.push(Endpoint { pool: id, address, port: None, weight: *weight, backup: false });
        }
        self.model.pools.push(Pool {
            name: name.into(),
            region: RegionId(region),
            check: None,
            balance: Balance::Weighted,
            min_healthy: 1,
            fallback: None,
            endpoints: first..first + endpoints.len() as u32,
            upstream: Default::default(),
            load: None,
        });
        id
    }

    fn network(&mut self, name: &str, cidr: &[(&str, u8)], geo: &str, location: Option<(f64, f64)>) {
        self.model.geo.networks.push(Network {
            name: name.into(),
            cidr: cidr.iter().map(|(ip, prefix)| (ip.parse().unwrap(), *prefix)).collect(),
            geo: Some(geo.parse().unwrap()),
            location: location.map(|(lat, lon)| Location { lat, lon }),
        });
    }

    fn vip(&mut self, policy: Policy) -> VipId {
        let id = VipId::from(self.model.vips.len());
        self.model.vips.push(Vip {
            name: format!("vip{}.example.com.", id.0),
            policy,
            ttl: Duration::from_secs(30),
            min_ttl: Duration::from_secs(1),
            answers: 2,
            hash: HashGranularity::default(),
            when_all_down: WhenAllDown::All,
            family: FamilyRule::SameRegion,
            place: None,
        });
        id
    }

    fn plan(&self) -> Plan {
        Plan::build(Arc::new(self.model.clone()), &Atlas::of_networks(&self.model.geo.networks), &self.latency)
    }

    fn up(&self) -> HealthTable {
        HealthTable::all_up(&self.model)
    }

    fn down(&self, pools: &[PoolId]) -> HealthTable {
        let endpoints: Vec<EndpointId> =
            pools.iter().flat_map(|pool| self.model.pool(*pool).endpoints.clone()).map(EndpointId).collect();
        self.up().with_down(&self.model, &endpoints, &[])
    }
}

const EU: PoolId = PoolId(0);
const US: PoolId = PoolId(1);
const AP: PoolId = PoolId(2);

fn member(pool: PoolId, weight: u32) -> Member {
    Member { pool, weight, bias: 0 }
}

fn rule(geos: &[&str], members: &[Member]) -> Rule {
    Rule {
        networks: Vec::new(),
        geos: geos.iter().map(|g| g.parse().unwrap()).collect(),
        asns: Vec::new(),
        members: members.to_vec(),
        geofence: false,
        place: None,
    }
}

fn geolocation() -> Policy {
    Policy::Geolocation(vec![
        rule(&["EU", "AF"], &[member(EU, 1)]),
        rule(&["AS", "OC"], &[member(AP, 1)]),
        rule(&[], &[member(US, 1)]),
    ])
}

fn client(text: &str) -> Client {
    match text.split_once('/') {
        Some((ip, prefix)) => Client::from_subnet(ip.parse().unwrap(), prefix.parse().unwrap()),
        None => Client::from_source(text.parse().unwrap()),
    }
}

fn ask(plan: &Plan, health: &HealthTable, vip: VipId, from: &str) -> Decision {
    decide(plan, health, vip, Family::V4, &client(from), Draw::default(), &mut Silent)
}

fn addresses(plan: &Plan, decision: &Decision) -> Vec<String> {
    let mut all: Vec<String> = decision.endpoints().iter().map(|id| plan.address(*id).to_string()).collect();
    all.sort();
    all
}

#[test]
fn the_first_matching_rule_decides_and_the_scope_is_the_leaf() {
    let mut world = World::three();
    let vip = world.vip(geolocation());
    let (plan, health) = (world.plan(), world.up());
    let berlin = ask(&plan, &health, vip, "10.20.7.0/24");
    assert_eq!((berlin.pool, berlin.reason, berlin.scope, berlin.ttl), (Some(EU), Reason::Preferred, 16, 30));
    assert_eq!(addresses(&plan, &berlin), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(ask(&plan, &health, vip, "10.30.0.1").pool, Some(AP));
    // Denver and the unknown rest of the world share the catch-all, so 10.40.0.0/16 is no leaf of its own.
    assert_eq!(
        (ask(&plan, &health, vip, "10.40.0.1").pool, ask(&plan, &health, vip, "10.40.0.1").scope),
        (Some(US), 11)
    );
    assert_eq!(
        (ask(&plan, &health, vip, "192.0.2.1").pool, ask(&plan, &health, vip, "192.0.2.1").scope),
        (Some(US), 1)
    );
    let v6 = ask(&plan, &health, vip, "2001:db8:20:1::/64");
    assert_eq!((v6.pool, v6.scope), (Some(EU), 48));
}

#[test]
fn a_and_aaaa_come_from_one_region() {
    let mut world = World::three();
    let shared = [member(EU, 1), member(US, 1)];
    let vip = world.vip(Policy::Weighted(shared.to_vec()));
    let place = world.vip(geolocation());
    let (plan, health) = (world.plan(), world.up());
    for at in 0..200u32 {
        let client = Client::from_source(IpAddr::from(at.wrapping_mul(0x9e37_79b9).to_be_bytes()));
        let ask = |family, random| {
            let draw = Draw { random, seconds: 1_000 };
            decide(&plan, &health, vip, family, &client, draw, &mut Silent)
        };
        assert_eq!(ask(Family::V4, 1).pool, ask(Family::V6, u64::MAX).pool);
    }
    // Singapore has no IPv6 address: NODATA, not another region's.
    let tokyo = decide(&plan, &health, place, Family::V6, &client("10.30.0.1"), Draw::default(), &mut Silent);
    assert_eq!((tokyo.pool, tokyo.verdict, tokyo.endpoints().len()), (Some(AP), Verdict::Answer, 0));
}

#[test]
fn any_region_looks_for_the_family_elsewhere() {
    let mut world = World::three();
    let vip = world.vip(geolocation());
    world.model.vips[0].family = FamilyRule::AnyRegion;
    let (plan, health) = (world.plan(), world.up());
    let ask = |family, health: &HealthTable| {
        decide(&plan, health, vip, family, &client("10.30.0.1"), Draw::default(), &mut Silent)
    };
    assert_eq!(ask(Family::V4, &health).pool, Some(AP));
    let v6 = ask(Family::V6, &health);
    assert_eq!((v6.pool, v6.reason, v6.endpoints().len()), (Some(EU), Reason::Nearest, 1));
    let none = ask(Family::V6, &world.down(&[EU, US]));
    assert_eq!((none.verdict, none.endpoints().len(), none.reason), (Verdict::Answer, 0, Reason::NextRanked));
}

#[test]
fn a_pool_that_is_down_gives_way_to_its_fallback_then_to_the_nearest() {
    let mut world = World::three();
    world.model.pools[EU.index()].fallback = Some(AP);
    let vip = world.vip(geolocation());
    let plan = world.plan();
    let from = |down: &[PoolId]| {
        let decision = ask(&plan, &world.down(down), vip, "10.20.0.1");
        (decision.pool, decision.reason)
    };
    assert_eq!(from(&[]), (Some(EU), Reason::Preferred));
    assert_eq!(from(&[EU]), (Some(AP), Reason::Fallback));
    assert_eq!(from(&[EU, AP]), (Some(US), Reason::Nearest));
    assert_eq!(from(&[EU, AP, US]), (Some(EU), Reason::AllDown));
}

#[test]
fn a_fence_is_never_left() {
    let mut world = World::three();
    world.model.pools[EU.index()].fallback = Some(US);
    let mut rules = vec![rule(&["EU"], &[member(EU, 1)]), rule(&[], &[member(US, 1)])];
    rules[0].geofence = true;
    let vip = world.vip(Policy::Geolocation(rules));
    let fallback = |world: &mut World, rule| world.model.vips[0].when_all_down = rule;
    let health = world.down(&[EU]);
    assert_eq!(ask(&world.plan(), &health, vip, "10.20.0.1").pool, Some(EU));
    fallback(&mut world, WhenAllDown::Pool(US));
    assert_eq!(ask(&world.plan(), &health, vip, "10.20.0.1").verdict, Verdict::NoData);
    fallback(&mut world, WhenAllDown::ServFail);
    assert_eq!(ask(&world.plan(), &health, vip, "10.20.0.1").verdict, Verdict::ServFail);
}

#[test]
fn when_all_is_down_the_vip_says_what_to_answer() {
    let mut world = World::three();
    let vip = world.vip(geolocation());
    let health = world.down(&[EU, US, AP]);
    let mut says = |rule| {
        world.model.vips[0].when_all_down = rule;
        let decision = ask(&world.plan(), &health, vip, "10.20.0.1");
        (decision.verdict, decision.pool, decision.endpoints().len())
    };
    assert_eq!(says(WhenAllDown::All), (Verdict::Answer, Some(EU), 2));
    assert_eq!(says(WhenAllDown::NoData), (Verdict::NoData, None, 0));
    assert_eq!(says(WhenAllDown::ServFail), (Verdict::ServFail, None, 0));
    assert_eq!(says(WhenAllDown::Pool(AP)), (Verdict::Answer, Some(AP), 2));
}

#[test]
fn geoproximity_takes_the_nearest_and_bias_moves_the_border() {
    let mut world = World::three();
    let near = |bias| Policy::Geoproximity(vec![member(EU, 1), Member { pool: US, weight: 1, bias }, member(AP, 1)]);
    let (plain, wide) = (world.vip(near(0)), world.vip(near(60)));
    let (plan, health) = (world.plan(), world.up());
    assert_eq!(ask(&plan, &health, plain, "10.20.0.1").pool, Some(EU));
    assert_eq!(ask(&plan, &health, plain, "10.30.0.1").pool, Some(AP));
    assert_eq!(ask(&plan, &health, plain, "10.40.0.1").pool, Some(US));
    // Reykjavik is nearer to Frankfurt; with +60 Ashburn's 4,500 km count as 1,800.
    let reykjavik = Place { location: Some(Location { lat: 64.1, lon: -21.9 }), ..Place::default() };
    let at = |vip| decide_at(&plan, &health, vip, Family::V4, &reykjavik, Draw::default(), &mut Silent).pool;
    assert_eq!((at(plain), at(wide)), (Some(EU), Some(US)));
    // Nobody knows where 192.0.2.1 is: as declared.
    assert_eq!(ask(&plan, &health, plain, "192.0.2.1").pool, Some(EU));
    assert_eq!(ask(&plan, &world.down(&[AP]), plain, "10.30.0.1").reason, Reason::NextRanked);
}

#[test]
fn places_by_the_antimeridian_and_the_poles_are_near_what_they_are_near() {
    let mut world = World::default();
    world.region("fiji", -18.1, 178.4).region("hawaii", 21.3, -157.9).region("sydney", -33.9, 151.2);
    for (name, region) in [("fiji", 0), ("hawaii", 1), ("sydney", 2)] {
        world.pool(name, region, &[("192.0.2.1", 1)]);
    }
    let vip = world.vip(Policy::Geoproximity(vec![member(EU, 1), member(US, 1), member(AP, 1)]));
    let (plan, health) = (world.plan(), world.up());
    let at = |lat, lon| {
        let place = Place { location: Some(Location { lat, lon }), ..Place::default() };
        decide_at(&plan, &health, vip, Family::V4, &place, Draw::default(), &mut Silent).pool
    };
    assert_eq!(at(-13.8, -171.8), Some(PoolId(0)), "Samoa, over the antimeridian, is near Fiji");
    assert_eq!(at(-90.0, 0.0), Some(PoolId(2)), "Sydney is the southernmost");
    assert_eq!((at(90.0, 0.0), at(90.0, 123.0)), (Some(PoolId(1)), Some(PoolId(1))));
}

#[test]
fn latency_prefers_figures_and_then_distance() {
    let mut world = World::three();
    let table = "EU,us-east,20\nEU,eu-west,40\n10.20.128.0/17,eu-west,5\n";
    world.latency = LatencyTable::parse(std::path::Path::new("l.csv"), table, &world.model.regions).unwrap();
    let vip = world.vip(Policy::Latency(vec![member(EU, 1), member(US, 1), member(AP, 1)]));
    let (plan, health) = (world.plan(), world.up());
    let low = ask(&plan, &health, vip, "10.20.0.1");
    assert_eq!((low.pool, low.scope), (Some(US), 17));
    assert_eq!(ask(&plan, &health, vip, "10.20.200.1").pool, Some(EU));
    assert_eq!(ask(&plan, &health, vip, "10.30.0.1").pool, Some(AP));
    assert_eq!(ask(&plan, &world.down(&[EU, US]), vip, "10.20.0.1").pool, Some(AP));
}

#[test]
fn failover_is_as_declared_and_does_not_depend_on_the_client() {
    let mut world = World::three();
    let vip = world.vip(Policy::Failover(vec![member(US, 1), member(AP, 1), member(EU, 0)]));
    let plan = world.plan();
    let first = ask(&plan, &world.up(), vip, "10.20.0.1");
    assert_eq!((first.pool, first.scope), (Some(US), 0));
    assert_eq!(ask(&plan, &world.down(&[US]), vip, "10.20.0.1").pool, Some(AP));
    assert_eq!(ask(&plan, &world.down(&[US, AP]), vip, "10.20.0.1").pool, Some(EU));
}

/// The share of each pool over many clients, in percent.
fn shares(plan: &Plan, health: &HealthTable, vip: VipId, seconds: u64) -> HashMap<PoolId, f64> {
    let mut shares = HashMap::new();
    for at in 0..100_000u32 {
        let client = Client::from_source(IpAddr::from((at << 8).to_be_bytes()));
        let draw = Draw { random: 0, seconds };
        let decision = decide(plan, health, vip, Family::V4, &client, draw, &mut Silent);
        *shares.entry(decision.pool.unwrap()).or_insert(0.0) += 0.001;
    }
    shares
}

#[test]
fn weighted_shares_follow_weights_and_change_with_each_ttl() {
    let mut world = World::three();
    let vip = world.vip(Policy::Weighted(vec![member(US, 90), member(EU, 10), member(AP, 0)]));
    let (plan, up) = (world.plan(), world.up());
    let found = shares(&plan, &up, vip, 5_000);
    assert!((found[&US] - 90.0).abs() < 2.0 && (found[&EU] - 10.0).abs() < 2.0, "{found:?}");
    assert_eq!(found.get(&AP), None, "without weight only when every other is gone");
    assert_eq!(shares(&plan, &world.down(&[US, EU]), vip, 5_000)[&AP].round(), 100.0);
    let at = |seconds| {
        let draw = Draw { random: 7, seconds };
        decide(&plan, &up, vip, Family::V4, &client("10.1.2.3"), draw, &mut Silent)
    };
    let changes = (0..1_000u64).filter(|s| at(*s).pool != at(s + 1).pool).count();
    assert!(changes <= 1_000 / 30 + 1, "a client draws once for each TTL's time, {changes} changes");
    assert!((0..20_000).step_by(30).any(|seconds| at(seconds).pool == Some(EU)), "and may draw another");
    assert_eq!(at(0).scope, 24);
    assert_eq!(decide(&plan, &up, vip, Family::V4, &client("2001:db8::1"), Draw::default(), &mut Silent).scope, 56);
}

#[test]
fn hash_keeps_clients_and_moves_only_those_of_a_pool_that_is_gone() {
    let mut world = World::three();
    let vip = world.vip(Policy::Hash(vec![member(US, 1), member(EU, 1), member(AP, 1)]));
    let (plan, up, down) = (world.plan(), world.up(), world.down(&[EU]));
    for (pool, share) in shares(&plan, &up, vip, 0) {
        assert!((share - 100.0 / 3.0).abs() < 2.0, "{pool:?} {share}");
    }
    for at in 0..20_000u32 {
        let client = Client::from_source(IpAddr::from((at << 12 | 5).to_be_bytes()));
        let ask = |health, seconds| {
            let draw = Draw { random: u64::from(at), seconds };
            decide(&plan, health, vip, Family::V4, &client, draw, &mut Silent)
        };
        let before = ask(&up, 1).pool;
        assert_eq!(ask(&up, 1_000_000).pool, before, "whatever the time");
        let after = ask(&down, 1);
        assert!(after.pool == before || before == Some(EU));
        assert_eq!(after.reason == Reason::NextRanked, before == Some(EU));
    }
}

#[test]
fn one_member_needs_no_key_and_two_do() {
    let mut world = World::three();
    let alone = world.vip(Policy::Weighted(vec![member(US, 5), member(EU, 0)]));
    let rules = vec![rule(&["EU"], &[member(EU, 95), member(US, 5)]), rule(&[], &[member(US, 1)])];
    let shared = world.vip(Policy::Geolocation(rules));
    let (plan, up) = (world.plan(), world.up());
    assert_eq!(ask(&plan, &up, alone, "10.20.0.1").scope, 0);
    assert_eq!(ask(&plan, &up, shared, "10.20.0.1").scope, 24, "shared by weight: keyed on the client's /24");
    assert_eq!(ask(&plan, &up, shared, "10.30.0.1").scope, 13, "only the catch-all's pool: the leaf");
}

#[test]
fn endpoints_without_weight_are_the_last_resort() {
    let mut world = World::default();
    world.region("here", 0.0, 0.0);
    let pool = world.pool("only", 0, &[("192.0.2.1", 3), ("192.0.2.2", 1), ("192.0.2.3", 0)]);
    let vip = world.vip(Policy::Failover(vec![member(pool, 1)]));
    let plan = world.plan();
    let without = |gone: &[u32]| {
        let gone: Vec<EndpointId> = gone.iter().map(|id| EndpointId(*id)).collect();
        addresses(&plan, &ask(&plan, &world.up().with_down(&world.model, &gone, &[]), vip, "10.0.0.1"))
    };
    assert_eq!(without(&[]), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(without(&[0]), ["192.0.2.2"]);
    assert_eq!(without(&[0, 1]), ["192.0.2.3"]);
}

#[test]
fn endpoints_are_answered_in_proportion_to_their_weights() {
    let mut world = World::default();
    world.region("here", 0.0, 0.0);
    let pool = world.pool("only", 0, &[("192.0.2.1", 3), ("192.0.2.2", 1)]);
    let vip = world.vip(Policy::Failover(vec![member(pool, 1)]));
    world.model.vips[0].answers = 1;
    let mut first = |balance| {
        world.model.pools[0].balance = balance;
        let (plan, health) = (world.plan(), world.up());
        let asked = (0..40_000u64).filter(|at| {
            let draw = Draw { random: at.wrapping_mul(0x9e37_79b9_7f4a_7c15), seconds: 0 };
            let client = Client::from_source(IpAddr::from(((*at as u32) << 8).to_be_bytes()));
            decide(&plan, &health, vip, Family::V4, &client, draw, &mut Silent).endpoints() == [EndpointId(0)]
        });
        asked.count() as f64 / 400.0
    };
    for (balance, share) in [
        (Balance::Weighted, 75.0),
        (Balance::Hash, 75.0),
        (Balance::Maglev, 75.0),
        (Balance::RoundRobin, 50.0),
        (Balance::Random, 50.0),
        (Balance::Failover, 100.0),
    ] {
        let found = first(balance);
        assert!((found - share).abs() < 2.0, "{balance:?}: {found} % instead of {share} %");
    }
}

#[test]
fn hashed_endpoints_stay_with_their_clients() {
    let mut world = World::default();
    world.region("here", 0.0, 0.0);
    let four = [("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.3", 1), ("192.0.2.4", 1)];
    let pool = world.pool("only", 0, &four);
    world.model.pools[0].balance = Balance::Hash;
    let vip = world.vip(Policy::Failover(vec![member(pool, 1)]));
    world.model.vips[0].answers = 1;
    let (plan, up) = (world.plan(), world.up());
    let less = up.with_down(&world.model, &[EndpointId(2)], &[]);
    for at in 0..5_000u32 {
        let client = Client::from_source(IpAddr::from((at << 10).to_be_bytes()));
        let ask = |health: &HealthTable, random| {
            let draw = Draw { random, seconds: random };
            decide(&plan, health, vip, Family::V4, &client, draw, &mut Silent)
        };
        let before = ask(&up, 1);
        assert_eq!((before.endpoints(), before.scope), (ask(&up, 99).endpoints(), 24));
        let after = ask(&less, 5);
        assert!(after.endpoints() == before.endpoints() || before.endpoints() == [EndpointId(2)]);
    }
}

#[test]
fn a_rotation_puts_each_first_as_often_and_never_repeats() {
    let mut world = World::default();
    world.region("here", 0.0, 0.0);
    let five = [("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.3", 1), ("192.0.2.4", 1), ("192.0.2.5", 1)];
    let pool = world.pool("only", 0, &five);
    let vip = world.vip(Policy::Failover(vec![member(pool, 1)]));
    world.model.vips[0].answers = 3;
    let plan = world.plan();
    let health = world.up().with_down(&world.model, &[EndpointId(1)], &[]);
    let mut first = HashMap::new();
    for at in 0..40_000u64 {
        let draw = Draw { random: at.wrapping_mul(0x9e37_79b9_7f4a_7c15), seconds: 0 };
        let decision = decide(&plan, &health, vip, Family::V4, &client("10.0.0.1"), draw, &mut Silent);
        let picked = decision.endpoints();
        assert!(picked.len() == 3 && !picked.contains(&EndpointId(1)));
        assert!(picked[0] != picked[1] && picked[1] != picked[2] && picked[0] != picked[2]);
        *first.entry(picked[0]).or_insert(0) += 1;
    }
    assert!(first.len() == 4 && first.values().all(|n| (9_500..10_500).contains(n)), "{first:?}");
}

#[test]
fn equal_ways_of_steering_share_a_table() {
    let mut world = World::three();
    for _ in 0..1_000 {
        world.vip(geolocation());
    }
    let other =
        vec![rule(&["EU", "AF"], &[member(AP, 1)]), rule(&["AS", "OC"], &[member(US, 1)]), rule(&[], &[member(EU, 1)])];
    world.vip(Policy::Geolocation(other));
    assert_eq!(world.plan().figures().maps, 1, "other pools, but the same cut of the world");
    world.vip(Policy::Failover(vec![member(EU, 1)]));
    assert_eq!(world.plan().figures().maps, 2);
}

#[test]
fn explain_tells_what_decide_did() {
    let mut world = World::three();
    world.model.pools[EU.index()].fallback = Some(US);
    let mut rules =
        vec![rule(&[], &[member(AP, 1)]), rule(&["AF", "EU"], &[member(EU, 1)]), rule(&[], &[member(US, 1)])];
    rules[0].networks = vec![NetworkId(1)];
    rules[1].place = Some(rhumb::model::Place::at("rhumb.toml", 58, 3));
    let vip = world.vip(Policy::Geolocation(rules));
    let (plan, atlas) = (world.plan(), Atlas::of_networks(&world.model.geo.networks));
    let from = client("10.20.7.0/24");
    let trace = explain(&plan, &atlas, &world.up(), vip, Family::V4, &from, Draw::default());
    assert_eq!(trace.located.unwrap().prefix, 16);
    assert_eq!(
        trace.rules.iter().map(|r| (r.number, r.matched, r.by.as_str())).collect::<Vec<_>>(),
        [(1, false, ""), (2, true, "EU")]
    );
    assert_eq!(trace.rules[0].conditions, [Condition { key: "networks", values: vec!["tokyo".into()] }]);
    assert_eq!(trace.rules[1].place.as_ref().unwrap().line, 58);
    assert_eq!(trace.pools.last().unwrap().used, PoolUse::Used(Reason::Preferred));
    assert_eq!((trace.pools[0].healthy, trace.pools[0].endpoints, trace.keying), (3, 3, Keying::Rotation));
    assert_eq!((trace.addresses.len(), trace.ttl_cause, trace.leaf_depth), (2, TtlCause::Vip, 16));
    let next = trace.next.unwrap();
    assert_eq!((next.decision.pool, next.decision.reason, next.addresses.len()), (Some(US), Reason::Fallback, 2));
    let down = explain(&plan, &atlas, &world.down(&[EU]), vip, Family::V4, &from, Draw::default());
    assert_eq!(down.pools[0].used, PoolUse::Dropped(Obstacle::Down));
    assert_eq!(down.decision.endpoints(), ask(&plan, &world.down(&[EU]), vip, "10.20.7.0/24").endpoints());
    assert_eq!(HOLDS_FOREVER, u32::MAX);
}

#[test]
fn beyond_a_region_clients_go_where_they_would_if_it_were_drained() {
    let mut world = World::three();
    let members = |weights: [u32; 3]| {
        let member = |(at, weight)| Member { pool: PoolId::from(at), weight, bias: 0 };
        weights.into_iter().enumerate().map(member).collect::<Vec<_>>()
    };
    world.model.pools[1].fallback = Some(PoolId(2));
    let vips = [
        world.vip(Policy::Geoproximity(members([1, 1, 1]))),
        world.vip(Policy::Weighted(members([5, 3, 2]))),
        world.vip(Policy::Hash(members([1, 1, 1]))),
        world.vip(Policy::Failover(members([1, 1, 1]))),
    ];
    let plan = world.plan();
    let up = HealthTable::all_up(&world.model);
    // With all else well, and with one more region down.
    for down in [&[][..], &[PoolId(2)]] {
        let health = up.with_down(&world.model, &[], down);
        for (at, vip) in (0..3).flat_map(|at| vips.map(|vip| (at, vip))) {
            let drained = health.with_withdrawn(&world.model, &[], &[PoolId::from(at)]);
            for number in 0..2_000_u32 {
                let client = Client::from_source(IpAddr::from((0x0a14_0000 + number * 4_001).to_be_bytes()));
                let draw = Draw { random: u64::from(number), seconds: 1_700_000_000 };
                let beyond = decide_beyond(RegionId::from(at), &plan, &health, vip, Family::V4, &client, draw);
                let as_drained = decide(&plan, &drained, vip, Family::V4, &client, draw, &mut Silent);
                assert_eq!((beyond.pool, beyond.endpoints()), (as_drained.pool, as_drained.endpoints()));
                assert_ne!(beyond.pool, Some(PoolId::from(at)));
            }
        }
    }
}
