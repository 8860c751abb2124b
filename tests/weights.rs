//! Weights that operators order: they change the picks at once, without a new plan, and as a plan with those weights would.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use rhumb::config;
use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::health::forced::{Change, Forced, Order};
use rhumb::health::ledger::Ledger;
use rhumb::health::table::HealthTable;
use rhumb::model::{Balance, Family, Model, Moment, PoolId, VipId};
use rhumb::steering::{Client, Decision, Draw, Plan, Silent, decide, explain};

const NOW: Moment = Moment::from_secs(1_700_000_000);
const DRAWS: u64 = 40_000;

/// One pool of four endpoints that nothing probes, so that they are up.
fn model(weights: [u32; 4], balance: &str) -> Arc<Model> {
    let endpoints =
        (1..).zip(weights).map(|(host, weight)| format!("{{ address = \"192.0.2.{host}\", weight = {weight} }}"));
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:5300\"]\n[region.eu]\n[pool.web]\nregion = \"eu\"\nbalance = {balance:?}\n\
         endpoints = [{}]\n[vip.\"www.example.org.\"]\npolicy = \"failover\"\npools = [{{ pool = \"web\" }}]\n",
        endpoints.collect::<Vec<_>>().join(", ")
    );
    Arc::new(config::read(Path::new("weights.toml"), &text).unwrap_or_else(|r| panic!("{:#?}", r.problems)).model)
}

fn plan(model: &Arc<Model>) -> Plan {
    Plan::build(model.clone(), &Atlas::of_networks(&[]), &LatencyTable::default())
}

fn order(ledger: &mut Ledger, host: usize, order: Order) {
    let name = ledger.subject(&format!("endpoint/web/192.0.2.{host}")).unwrap();
    let (reason, by) = (String::new(), "ada".to_owned());
    let forced = Forced { order, reason, by, since: NOW, begins: NOW, until: None };
    ledger.checked(&ledger.standings().orders, &name, &forced, NOW).unwrap();
    let _ = ledger.order(&name, Change::Set(forced), NOW);
}

/// A ledger of this model where these weights are ordered.
fn ordered(model: &Arc<Model>, weights: [Option<u32>; 4]) -> Ledger {
    let mut ledger = Ledger::new(model.clone(), &HashMap::new(), 1, NOW);
    for (host, weight) in (1..).zip(weights) {
        if let Some(weight) = weight {
            order(&mut ledger, host, Order::Weight(weight));
        }
    }
    ledger
}

fn ask(plan: &Plan, health: &HealthTable, client: u32, random: u64) -> Decision {
    let client = Client::from_source(IpAddr::from(client.to_be_bytes()));
    let draw = Draw { random, seconds: NOW.secs() };
    decide(plan, health, VipId(0), Family::V4, &client, draw, &mut Silent)
}

/// How often each endpoint comes first, in percent.
fn shares(plan: &Plan, health: &HealthTable) -> [f64; 4] {
    let mut counts = [0u64; 4];
    let mut random = 7u64;
    for client in 0..DRAWS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        counts[ask(plan, health, (client as u32) << 8, random).endpoints()[0].index()] += 1;
    }
    counts.map(|count| count as f64 * 100.0 / DRAWS as f64)
}

fn near(found: [f64; 4], expected: [f64; 4]) -> bool {
    found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1.5)
}

#[test]
fn shares_follow_an_ordered_weight_and_come_back() {
    for balance in ["weighted", "hash"] {
        let model = model([1, 1, 1, 1], balance);
        let plan = plan(&model);
        let mut ledger = ordered(&model, [Some(5), None, None, None]);
        let found = shares(&plan, ledger.table());
        assert!(near(found, [62.5, 12.5, 12.5, 12.5]), "{balance}: {found:?}");
        order(&mut ledger, 2, Order::Weight(0));
        let found = shares(&plan, ledger.table());
        assert!(near(found, [71.4, 0.0, 14.3, 14.3]), "{balance}: {found:?}");
        for host in 1..=2 {
            let name = ledger.subject(&format!("endpoint/web/192.0.2.{host}")).unwrap();
            let _ = ledger.order(&name, Change::End { aspect: None, by: "ada".into() }, NOW);
        }
        assert_eq!(ledger.table(), &HealthTable::new(&model, ledger.standings(), NOW));
        assert!(!ledger.table().pool(PoolId(0)).reweighed, "the short way again");
        let found = shares(&plan, ledger.table());
        assert!(near(found, [25.0; 4]), "{balance}: {found:?}");
    }
}

#[test]
fn weight_0_waits_until_every_other_is_gone() {
    let model = model([1, 1, 1, 0], "weighted");
    let plan = plan(&model);
    let mut ledger = ordered(&model, [Some(0), None, None, Some(1)]);
    let found = shares(&plan, ledger.table());
    assert!(near(found, [0.0, 33.3, 33.3, 33.3]), "{found:?}");
    (2..=4).for_each(|host| order(&mut ledger, host, Order::Down));
    assert!(ledger.table().pool(PoolId(0)).usable, "a standby keeps the pool up");
    assert_eq!(shares(&plan, ledger.table()), [100.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_standby_by_order_does_not_make_up_the_number() {
    let mut two_needed = Model::clone(&model([1, 1, 0, 0], "weighted"));
    two_needed.pools[0].min_healthy = 2;
    let two_needed = Arc::new(two_needed);
    let mut ledger = ordered(&two_needed, [None, Some(0), None, None]);
    assert!(ledger.table().pool(PoolId(0)).usable, "three standbys are enough");
    order(&mut ledger, 3, Order::Drain);
    order(&mut ledger, 4, Order::Drain);
    assert!(!ledger.table().pool(PoolId(0)).usable, "one of each is not");
    order(&mut ledger, 2, Order::Weight(7));
    assert!(ledger.table().pool(PoolId(0)).usable);
}

#[test]
fn failover_keeps_the_order_written() {
    let model = model([0, 1, 1, 1], "failover");
    let plan = plan(&model);
    let first = |ledger: &Ledger| ask(&plan, ledger.table(), 1, 1).endpoints()[0].index();
    assert_eq!(first(&ordered(&model, [None; 4])), 1);
    assert_eq!(first(&ordered(&model, [Some(1), None, None, None])), 0);
    assert_eq!(first(&ordered(&model, [Some(1), None, Some(0), None])), 0);
    assert_eq!(first(&ordered(&model, [None, Some(0), None, None])), 2);
}

#[test]
fn explain_says_which_weights_were_ordered() {
    let model = model([3, 1, 1, 1], "weighted");
    let plan = plan(&model);
    let ledger = ordered(&model, [None, Some(50), None, None]);
    let client = Client::from_source("203.0.113.9".parse().unwrap());
    let draw = Draw { random: 1, seconds: NOW.secs() };
    let atlas = Atlas::of_networks(&[]);
    let trace = explain(&plan, &atlas, ledger.table(), VipId(0), Family::V4, &client, draw);
    let reweighed: Vec<_> = trace.reweighed.iter().map(|r| (r.address.to_string(), r.weight, r.configured)).collect();
    assert_eq!(reweighed, [("192.0.2.2".to_owned(), 50, 1)]);
    assert_eq!(
        trace.decision.endpoints(),
        ask(&plan, ledger.table(), u32::from_be_bytes([203, 0, 113, 9]), 1).endpoints()
    );
}

proptest! {
    /// The longer way picks what a plan with those weights picks, whoever is up.
    #[test]
    fn ordered_weights_pick_as_configured_ones(
        configured in any::<[u8; 4]>(), ordered_to in any::<[Option<u8>; 4]>(), down in any::<[bool; 4]>(),
        which in 0usize..3, random: u64, client: u32,
    ) {
        let small = |weight: u8| u32::from(weight % 4);
        let balance = ["weighted", "hash", "failover"][which];
        let before = model(configured.map(small), balance);
        let mut after = Model::clone(&before);
        for (endpoint, weight) in after.endpoints.iter_mut().zip(ordered_to) {
            endpoint.weight = weight.map_or(endpoint.weight, small);
        }
        let after = Arc::new(after);
        let mut by_order = ordered(&before, ordered_to.map(|weight| weight.map(small)));
        let mut by_configuration = Ledger::new(after.clone(), &HashMap::new(), 1, NOW);
        for (host, down) in (1..).zip(down) {
            if down {
                order(&mut by_order, host, Order::Down);
                order(&mut by_configuration, host, Order::Down);
            }
        }
        let health = |ledger: &Ledger| ledger.table().pool(PoolId(0));
        let same = (health(&by_order).usable, health(&by_order).healthy);
        prop_assert_eq!(same, (health(&by_configuration).usable, health(&by_configuration).healthy));
        let one = ask(&plan(&before), by_order.table(), client, random);
        let other = ask(&plan(&after), by_configuration.table(), client, random);
        // Equal weights are taken in turn, which begins anywhere: then only how many there are is the same.
        let in_turn = before.pools[0].balance == Balance::Weighted;
        if in_turn {
            prop_assert_eq!(one.endpoints().len(), other.endpoints().len());
        } else {
            prop_assert_eq!(one.endpoints(), other.endpoints());
        }
        prop_assert_eq!((one.ttl, one.scope, one.reason), (other.ttl, other.scope, other.reason));
    }
}
