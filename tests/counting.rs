//! What is counted keeps its place and its name: pairs of VIP and pool, probes of endpoints and checks.

use std::path::Path;
use std::time::Duration;

use rhumb::health::belief::Standing;
use rhumb::health::probe::ProbeResult;
use rhumb::health::probe::ReasonCode;
use rhumb::health::tally::CheckTally;
use rhumb::health::tally::ProbeTally;
use rhumb::model::EndpointId;
use rhumb::model::Model;
use rhumb::model::PoolId;
use rhumb::model::VipId;
use rhumb::steering::Uses;

fn with_pools(pools: usize) -> Model {
    let mut text = String::from("[server]\nlisten = [\"127.0.0.1:0\"]\nzones_dir = \"zones\"\n[region.r]\n");
    let mut members = Vec::new();
    for pool in 0..pools {
        text += &format!("[pool.p{pool}]\nregion = \"r\"\nendpoints = [{{ address = \"192.0.2.{pool}\" }}]\n");
        members.push(format!("{{ pool = \"p{pool}\" }}"));
    }
    text += "[pool.spare]\nregion = \"r\"\nendpoints = [{ address = \"198.51.100.1\" }]\n";
    text += "[pool.last]\nregion = \"r\"\nfallback = \"spare\"\nendpoints = [{ address = \"198.51.100.2\" }]\n";
    for vip in ["a", "b", "c"] {
        let all_down = if vip == "c" { "when_all_down = \"pool:last\"\n" } else { "" };
        let pools = members.join(", ");
        text += &format!("[vip.\"{vip}.example.com.\"]\npolicy = \"failover\"\n{all_down}pools = [{pools}]\n");
    }
    let loaded = rhumb::config::read(Path::new("rhumb.toml"), &text);
    loaded.unwrap_or_else(|refused| panic!("{:?}", refused.problems)).model
}

#[test]
fn numbers_are_dense_and_lead_back() {
    for pools in [1, 3, 40] {
        let uses = Uses::of(&with_pools(pools));
        let all: Vec<(VipId, Option<PoolId>)> = uses.iter().collect();
        assert_eq!(all.len(), uses.pairs());
        for (number, (vip, pool)) in all.into_iter().enumerate() {
            assert_eq!(uses.pair(vip, pool), Some(number));
        }
        assert!(std::ptr::eq(uses.pools(VipId(0)), uses.pools(VipId(1))), "equal sets are stored once");
    }
}

#[test]
fn fallbacks_and_the_last_resort_count_among_a_vips_pools() {
    let model = with_pools(2);
    let uses = Uses::of(&model);
    let named = |name: &str| PoolId::from(model.pools.iter().position(|pool| pool.name == name).unwrap());
    assert_eq!(uses.pair(VipId(0), Some(named("last"))), None, "no VIP but the third may use it");
    assert!(uses.pair(VipId(2), Some(named("last"))).is_some());
    assert_eq!(uses.pair(VipId(9), None), None);
}

fn with_checks(pools: &[(&str, &str)]) -> Model {
    let mut text = String::from("[server]\nlisten = [\"127.0.0.1:0\"]\nzones_dir = \"zones\"\n[region.r]\n");
    text += "[health_check.web]\ntype = \"http\"\n[health_check.raw]\ntype = \"tcp\"\nport = 80\n";
    for (pool, check) in pools {
        text += &format!("[pool.{pool}]\nregion = \"r\"\nhealth_check = \"{check}\"\n");
        text += "endpoints = [{ address = \"192.0.2.1\" }, { address = \"192.0.2.2\" }]\n";
    }
    let loaded = rhumb::config::read(Path::new("rhumb.toml"), &text);
    loaded.unwrap_or_else(|refused| panic!("{:?}", refused.problems)).model
}

fn result(code: ReasonCode, millis: u64) -> ProbeResult {
    ProbeResult::new(code, String::new(), Duration::from_millis(millis))
}

#[test]
fn a_shared_probe_counts_for_each_endpoint_and_once_for_its_check() {
    let model = with_checks(&[("a", "web"), ("b", "web")]);
    let mut tally = ProbeTally::new(&model);
    tally.probed(&model, &[EndpointId(0), EndpointId(2)], &result(ReasonCode::L7Ok, 3));
    tally.probed(&model, &[EndpointId(0), EndpointId(2)], &result(ReasonCode::L4Con, 60_000));
    tally.probed(&model, &[EndpointId(0)], &result(ReasonCode::SockErr, 0));
    let of = |id: usize| (tally.endpoints[id].passed, tally.endpoints[id].failed, tally.endpoints[id].not_made);
    assert_eq!([of(0), of(1), of(2)], [(1, 1, 1), (0, 0, 0), (1, 1, 0)]);
    let web = model.checks.iter().position(|check| check.name == "web").unwrap();
    assert_eq!(tally.checks[web].count(), 3);
    assert_eq!(tally.checks[web].buckets[2], 1, "3 ms is within 5 ms and not within 2.5 ms");
    assert_eq!(*tally.checks[web].buckets.last().unwrap(), 1);
    assert_eq!(tally.checks[web].codes.iter().sum::<u64>(), 3);
}

#[test]
fn counts_follow_names_over_a_reload() {
    let old = with_checks(&[("a", "web"), ("b", "raw")]);
    let mut tally = ProbeTally::new(&old);
    tally.probed(&old, &[EndpointId(2)], &result(ReasonCode::L4Ok, 1));
    tally.turned(EndpointId(2), Standing::Up);
    tally.turned(EndpointId(2), Standing::Down);
    let new = with_checks(&[("c", "web"), ("a", "raw"), ("b", "raw")]);
    let after = tally.carried_over(&old, &new);
    let id = new.members(rhumb::model::PoolId::from(new.pools.iter().position(|p| p.name == "b").unwrap()));
    let id = id.map(|(id, _)| id).next().unwrap();
    let kept = after.endpoints[id.index()];
    assert_eq!((kept.passed, kept.turned_up, kept.turned_down), (1, 1, 1));
    assert_eq!(after.endpoints.iter().map(|e| e.passed).sum::<u64>(), 1);
    assert_eq!(after.checks.iter().map(CheckTally::count).sum::<u64>(), 1);
}
