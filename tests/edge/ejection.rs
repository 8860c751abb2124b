//! An endpoint that fails its requests is left out, tried once after a rest, and never takes the whole pool with it.

use std::fs;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::poll;
use crate::kit::Findings;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::fleet::Fleet;
use crate::kit::fleet::after_millis;
use crate::kit::fleet::refusing;
use crate::kit::fleet::who;
use crate::kit::fleet::who_said;
use crate::kit::now;
use crate::kit::only_for_rhumb;
use crate::kit::operator::ADMIN;
use crate::kit::origin::Step;
use crate::kit::origin::fixed;

fn ejections(edge: &Edge, fleet: &Fleet) -> Vec<f64> {
    let count =
        |endpoint| edge.metric(&format!("rhumb_proxy_ejections_total{{pool=\"origin\",endpoint=\"{endpoint}\"}}"));
    fleet.addresses().iter().map(count).collect()
}

fn post(edge: &Edge) -> String {
    let request = "POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 2\r\n\r\nab";
    who_said(&ask(edge.address, request).unwrap())
}

#[test]
fn five_in_a_row_and_the_fifth_is_tried_elsewhere() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(3);
    fleet.says(0, 500);
    let edge = fleet.setup().section(ADMIN).start();
    assert_eq!(who(edge.address, 20), "-bc-bc-bc-bcbcbcbcbc", "the fifth came to the next in turn");
    assert_eq!(fleet.counts()[0], 5);
    assert_eq!(ejections(&edge, &fleet), [1.0, 0.0, 0.0]);
}

#[test]
fn what_may_not_be_done_twice_is_answered_with_the_failure_that_was_one_too_many() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    fleet.says(0, 500);
    let edge = fleet.setup().section(ADMIN).start();
    let said: String = (0..14).map(|_| post(&edge)).collect();
    assert_eq!(said, "-b-b-b-b-bbbbb");
    assert_eq!(fleet.counts(), [5, 9]);
}

#[test]
fn more_than_half_of_twenty_and_it_is_out_within_a_second() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let step = AtomicUsize::new(0);
    // Two of three, never five in a row.
    fleet.mood(0, move |_| (!step.fetch_add(1, Ordering::SeqCst).is_multiple_of(3)).then(|| fixed(503, "")));
    let edge = fleet.setup().section(ADMIN).start();
    let (mut client, began) = (Client::connect(edge.address), now());
    while ejections(&edge, &fleet)[0] == 0.0 {
        (0..10).for_each(|_| drop(client.send(get("/")).response().unwrap()));
        assert!(began.elapsed() < PATIENCE, "never");
    }
    let took = began.elapsed();
    eprintln!("two of three requests failed: out after {took:?} and {} requests", fleet.counts()[0]);
    assert!(took < Duration::from_secs(5), "{took:?}");
    // Twenty, and what the batch above sent after them; not one more from now on.
    assert_eq!(fleet.counts()[0], 20);
    assert_eq!(who(edge.address, 10), "b".repeat(10));
}

#[test]
fn who_refuses_connections_or_says_nothing_is_out_after_five() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(1);
    let (_socket, nobody) = refusing();
    let edge = Setup::to(&[nobody, fleet.addresses()[0]]).section(ADMIN).start();
    assert_eq!(who(edge.address, 30), "a".repeat(30));
    assert_eq!(edge.metric(r#"rhumb_proxy_upstream_failures_total{pool="origin",reason="connect"}"#), 5.0);

    let fleet = Fleet::of(2);
    fleet.mood(0, |_| Some(vec![Step::Body, Step::Silence]));
    let edge = fleet.setup().routes("{ pool = \"origin\", timeout = \"200ms\" }").section(ADMIN).start();
    let said: Vec<u16> = (0..14).map(|_| ask(edge.address, get("/")).unwrap().status).collect();
    assert_eq!(said.iter().filter(|status| **status == 504).count(), 5, "{said:?}");
    assert_eq!(said[10..], [200; 4]);
    assert_eq!(ejections(&edge, &fleet), [1.0, 0.0]);
}

#[test]
fn a_pool_that_fails_as_a_whole_keeps_half_and_its_last_one() {
    if only_for_rhumb() {
        return;
    }
    let mut findings = Findings::default();
    for (endpoints, most) in [(1, 0.0), (2, 1.0), (3, 1.0), (5, 2.0)] {
        let fleet = Fleet::of(endpoints);
        (0..endpoints).for_each(|at| fleet.says(at, 500));
        let edge = fleet.setup().pool("panic = 0").section(ADMIN).start();
        let mut client = Client::connect(edge.address);
        let said: Vec<u16> = (0..60).map(|_| client.send(get("/")).response().unwrap().status).collect();
        let out = if endpoints == 1 {
            edge.metric(r#"rhumb_proxy_ejections_total{pool="origin",endpoint="127.0.0.1"}"#)
        } else {
            ejections(&edge, &fleet).iter().sum()
        };
        let case = format!("{endpoints} endpoints");
        findings.expect(&case, out == most, || format!("{out} ejected"));
        findings.expect(&case, said.iter().all(|status| *status == 500), || format!("{said:?}"));
        // The last one is healthy: all others are down or out.
        if endpoints == 3 {
            let before = fleet.counts();
            edge.order(fleet.addresses()[1], r#""state": "down""#);
            edge.order(fleet.addresses()[0], r#""state": "down""#);
            (0..20).for_each(|_| drop(client.send(get("/")).response()));
            findings.expect(
                &case,
                fleet.counts()[2] > before[2] && fleet.total() == before.iter().sum::<usize>() + 20,
                || format!("{before:?} {:?}", fleet.counts()),
            );
        }
    }
    findings.end();
}

#[test]
fn after_its_rest_one_request_tries_it() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    fleet.says(0, 500);
    let edge = fleet.setup().section(ADMIN).start();
    who(edge.address, 20);
    assert_eq!((fleet.counts()[0], ejections(&edge, &fleet)[0]), (5, 1.0));
    let began = now();
    // The trial is under way for a while; meanwhile nobody else comes.
    fleet.mood(0, |_| Some(after_millis(800, "a")));
    while fleet.counts()[0] == 5 {
        assert!(began.elapsed() < Duration::from_secs(20), "never tried");
        ask_in_the_background(&edge);
        std::thread::sleep(Duration::from_millis(50));
    }
    let rested = began.elapsed();
    assert!((Duration::from_millis(7_500)..Duration::from_secs(15)).contains(&rested), "{rested:?}");
    assert_eq!(who(edge.address, 10), "b".repeat(10), "one trial, and no more");
    assert_eq!(fleet.counts()[0], 6);
    assert!(poll(PATIENCE, || who(edge.address, 4).contains('a')), "it is back");
}

#[test]
fn who_rests_is_asked_all_the_same_when_the_others_are_gone() {
    if only_for_rhumb() {
        return;
    }
    for panic in ["panic = 0", "panic = \"50%\""] {
        let fleet = Fleet::of(2);
        fleet.says(0, 500);
        let edge = fleet.setup().pool(panic).section(ADMIN).start();
        who(edge.address, 20);
        assert_eq!((fleet.counts()[0], ejections(&edge, &fleet)[0]), (5, 1.0));
        // It has recovered, and nobody knows yet; then the other is taken out.
        fleet.mood(0, |_| None);
        for order in [r#""state": "down""#, r#""state": "drain""#] {
            edge.order(fleet.addresses()[1], order);
            assert_eq!(who(edge.address, 5), "aaaaa", "{panic}, {order}");
            edge.end_order(fleet.addresses()[1]);
            assert_eq!(who(edge.address, 5), "bbbbb", "{panic}: its rest goes on while there is another");
        }
    }
}

/// A request that nobody here waits for.
fn ask_in_the_background(edge: &Edge) {
    let address = edge.address;
    std::thread::spawn(move || drop(ask(address, get("/"))));
}

#[test]
fn dns_hears_of_it() {
    if only_for_rhumb() {
        return;
    }
    let zones = tempfile::tempdir().unwrap();
    let file = zones.path().join("example.com.zone");
    fs::write(&file, "$TTL 60\n@ SOA ns h 1 1h 15m 1w 60\n@ NS ns\nns A 192.0.2.53\n").unwrap();
    let fleet = Fleet::on(&["127.0.0.1", "127.0.0.2"]);
    fleet.says(0, 500);
    let vip = "[vip.\"www.example.com.\"]\npolicy = \"failover\"\npools = [{ pool = \"origin\" }]\n";
    let zone = format!("[zone.\"example.com.\"]\nfile = {:?}\n", file.display().to_string());
    let edge = fleet.setup().section(&format!("{ADMIN}{zone}{vip}")).start();
    let both = || (0..40).flat_map(|_| edge.addresses("www.example.com.")).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(both().into_iter().collect::<Vec<_>>(), ["127.0.0.1", "127.0.0.2"]);
    who(edge.address, 20);
    assert_eq!(fleet.counts()[0], 5);
    assert!(poll(PATIENCE, || both().into_iter().eq(["127.0.0.2".to_owned()])), "{:?}", both());
    let (_, seen) = edge.admin("GET", "/v1/endpoints", "");
    assert!(seen.contains("5 failures in a row (status 500)"), "{seen}");
}
