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

mod answered {
    use std::io::ErrorKind;
    use std::net::IpAddr;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use rhumb::geo::atlas::Atlas;
    use rhumb::geo::latency::LatencyTable;
    use rhumb::responder::Transport;
    use rhumb::responder::UDP_BYTES_MAX;
    use rhumb::runtime::clock::Clock;
    use rhumb::runtime::keeper::Keeper;
    use rhumb::server::answer::Answer;
    use rhumb::server::answered::Totals;
    use rhumb::server::counts::TYPES;
    use rhumb::server::responding::Responding;
    use rhumb::snapshot::Snapshot;
    use rhumb::zone::read::ZoneFile;

    /// Two VIPs of pools `a` and `b`; `more` are sections before them, so that every number is another one.
    fn snapshot(more: &str, zones: &[&str]) -> Arc<Snapshot> {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nzones_dir = \"zones\"\n[region.r]\n{more}\
             [pool.a]\nregion = \"r\"\nendpoints = [{{ address = \"192.0.2.1\" }}]\n\
             [pool.b]\nregion = \"r\"\nendpoints = [{{ address = \"192.0.2.2\" }}]\n\
             [vip.\"one.example.com.\"]\npolicy = \"failover\"\npools = [{{ pool = \"b\" }}, {{ pool = \"a\" }}]\n"
        );
        let loaded = rhumb::config::read(std::path::Path::new("rhumb.toml"), &text);
        let model = Arc::new(loaded.unwrap_or_else(|refused| panic!("{:?}", refused.problems)).model);
        let zone = |name: &&str| {
            let apex = name.parse().unwrap();
            let text = "$TTL 300\n@ SOA ns1 h 1 1h 15m 1w 60\n@ NS ns1\nns1 A 192.0.2.53\n";
            let missing = &mut |_: &std::path::Path| Err(ErrorKind::NotFound.into());
            ZoneFile::parse(text.as_bytes(), std::path::Path::new("x.zone"), Some(&apex), missing).unwrap()
        };
        let atlas = Arc::new(Atlas::of_networks(&model.geo.networks));
        let compiled = Snapshot::compile(model, zones.iter().map(zone).collect(), atlas, &LatencyTable::default());
        Arc::new(compiled.unwrap().0)
    }

    fn query(name: &str, qtype: u16) -> Vec<u8> {
        let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        wire.extend_from_slice(&qtype.to_be_bytes());
        wire.extend_from_slice(&[0, 1]);
        wire
    }

    fn ask(answer: &Responding, view: &<Responding as Answer>::View, transport: Transport, name: &str, qtype: u16) {
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        answer.answer(view, &query(name, qtype), source, transport, 1, &mut [0; UDP_BYTES_MAX]);
    }

    /// What was answered for a VIP, as (pool, count).
    fn of_vip(totals: &Totals, name: &str) -> Vec<(String, u64)> {
        let model = &totals.snapshot.model;
        let answers = totals.answers.iter().filter(|(vip, _, _)| model.vip(*vip).name == name);
        let named = answers.map(|(_, pool, reasons)| {
            (pool.map_or(String::new(), |pool| model.pool(pool).name.clone()), reasons.iter().sum())
        });
        named.collect()
    }

    fn of_zone(totals: &Totals, name: &str) -> [u64; 8] {
        let place = totals.snapshot.zones.iter().position(|zone| zone.apex().to_string() == name);
        totals.zones[place.expect("a zone of that name")]
    }

    #[tokio::test]
    async fn counts_are_told_by_name_and_survive_reloads() {
        let (keeper, handle, _jobs) = Keeper::new(snapshot("", &["example.com.", "gone.example."]), Clock::start());
        let running = tokio::spawn(keeper.run());
        let answer = Responding::new(handle.published.clone(), Clock::start());
        let mut worker = answer.worker_view();
        let busy = answer.worker_view();
        for _ in 0..3 {
            ask(&answer, &worker, Transport::Udp, "one.example.com", 1);
        }
        ask(&answer, &busy, Transport::Udp, "one.example.com", 1);
        ask(&answer, &answer.view(), Transport::Tcp, "missing.example.com", 28);
        ask(&answer, &worker, Transport::Udp, "www.gone.example", 1);
        ask(&answer, &worker, Transport::Udp, "elsewhere.test", 999);
        ask(&answer, &worker, Transport::Udp, "one.example.com", 28);
        answer.answer(&worker, &[0; 5], Ipv4Addr::LOCALHOST.into(), Transport::Udp, 1, &mut [0; UDP_BYTES_MAX]);

        let check = |totals: &Totals, more: u64| {
            assert_eq!(of_vip(totals, "one.example.com."), [("b".to_owned(), 5 + more)], "NODATA for AAAA counts too");
            assert_eq!(of_zone(totals, "example.com."), [5 + more, 0, 0, 1, 0, 0, 0, 0]);
            assert_eq!(totals.outside[5], 1, "REFUSED");
            let typed = |transport: Transport, name: &str| {
                let place = TYPES.iter().position(|(_, known)| *known == name).unwrap();
                totals.types[transport as usize * TYPES.len() + place]
            };
            let udp = [typed(Transport::Udp, "A"), typed(Transport::Udp, "AAAA"), typed(Transport::Udp, "other")];
            assert_eq!(udp, [5 + more, 1, 1]);
            assert_eq!((typed(Transport::Udp, "none"), typed(Transport::Tcp, "AAAA")), (1, 1));
        };
        check(&answer.answered().totals(), 0);

        // Every number of VIPs, pools and zones is another one now, and one zone is gone.
        let more = "[pool.A0]\nregion = \"r\"\nendpoints = [{ address = \"192.0.2.9\" }]\n\
                    [vip.\"first.example.com.\"]\npolicy = \"failover\"\npools = [{ pool = \"A0\" }]\n";
        handle.reload(snapshot(more, &["aaa.example.", "example.com."])).await.unwrap();
        check(&answer.answered().totals(), 0);
        assert!(!answer.answered().settle(), "two workers have not looked yet");
        answer.refresh(&mut worker);
        ask(&answer, &worker, Transport::Udp, "one.example.com", 1);
        ask(&answer, &busy, Transport::Udp, "one.example.com", 1); // as it was in the middle of a batch
        check(&answer.answered().totals(), 2);
        drop(busy);
        assert!(answer.answered().settle());
        check(&answer.answered().totals(), 2);

        handle.reload(snapshot("", &["example.com.", "gone.example."])).await.unwrap();
        answer.refresh(&mut worker);
        assert!(answer.answered().settle());
        let totals = answer.answered().totals();
        check(&totals, 2);
        assert_eq!(of_zone(&totals, "gone.example."), [0; 8], "what was taken out begins anew");
        handle.stop().await;
        running.await.unwrap();
    }
}
