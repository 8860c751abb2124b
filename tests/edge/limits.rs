//! What is too much is refused, or waits its turn, and says so.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::common::poll;
use crate::kit::Findings;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::Response;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::fleet::Fleet;
use crate::kit::fleet::after_millis;
use crate::kit::fleet::at_once;
use crate::kit::fleet::who;
use crate::kit::now;
use crate::kit::only_for_rhumb;
use crate::kit::operator::ADMIN;

/// Seconds that a response asks for.
fn retry_after(said: &Response) -> Option<u64> {
    said.header("retry-after")?.parse().ok()
}

#[test]
fn connections_beyond_the_most_are_closed_and_others_take_their_places() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(1);
    for workers in [1, 2] {
        let edge = Setup { workers, ..fleet.setup() }.listener("max_connections = 3").section(ADMIN).start();
        let mut held: Vec<Client> = (0..3).map(|_| Client::connect(edge.address)).collect();
        held.iter_mut().for_each(|client| assert_eq!(client.send(get("/")).response().unwrap().status, 200));
        assert!(Client::connect(edge.address).send(get("/")).response().is_err());
        assert!(held.iter_mut().all(|client| client.send(get("/")).response().is_ok()), "who is in stays in");
        assert!(edge.metric(r#"rhumb_proxy_refused_total{listener="edge",reason="connections_max"}"#) >= 1.0);
        held.pop();
        assert!(poll(PATIENCE, || ask(edge.address, get("/")).is_ok()));
    }
}

#[test]
fn requests_beyond_the_most_are_told_to_come_again() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(1);
    fleet.mood(0, |_| Some(after_millis(800, "a")));
    let edge = Setup { workers: 2, ..fleet.setup() }.listener("max_requests = 3").start();
    let said = at_once(8, |_| ask(edge.address, get("/")));
    let of = |status| said.iter().flatten().filter(|said| said.status == status).collect::<Vec<_>>();
    assert_eq!((of(200).len(), of(503).len()), (3, 5), "{said:?}");
    assert!(of(503).iter().all(|said| retry_after(said) == Some(1)));
    assert_eq!(ask(edge.address, get("/")).unwrap().status, 200);
}

#[test]
fn an_endpoint_never_has_more_than_its_most() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let most = Arc::new(AtomicUsize::new(0));
    for at in 0..2 {
        let (most, there) = (most.clone(), AtomicUsize::new(0));
        fleet.mood(at, move |_| {
            most.fetch_max(there.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
            there.fetch_sub(1, Ordering::SeqCst);
            None
        });
    }
    let edge = Setup { workers: 2, ..fleet.setup() }.pool("max_requests = 2").section(ADMIN).start();
    let served = at_once(16, |_| {
        assert!(!who(edge.address, 40).contains('-'), "all have their turn");
        ask(edge.address, get("/"))
    });
    assert!(served.iter().flatten().all(|said| said.status == 200));
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!(edge.metric(r#"rhumb_proxy_queue{pool="origin"}"#), 0.0);
}

#[test]
fn who_waits_too_long_or_finds_the_queue_full_is_told() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(1);
    fleet.mood(0, |_| Some(after_millis(2_000, "a")));
    let lines = "max_queue = 2\nqueue_timeout = \"500ms\"";
    let edge = fleet.setup().pool("max_requests = 1").listener(lines).section(ADMIN).start();
    let began = now();
    let said = at_once(6, |n| {
        thread::sleep(Duration::from_millis(if n == 0 { 0 } else { 150 }));
        ask(edge.address, get("/")).map(|said| (said, began.elapsed())).map(|(mut said, took)| {
            said.trailers.push(("took".to_owned(), took.as_millis().to_string()));
            said
        })
    });
    let took = |said: &Response| said.trailers[0].1.parse::<u64>().unwrap();
    let refused: Vec<&Response> = said.iter().flatten().filter(|said| said.status == 503).collect();
    assert_eq!(refused.len(), 5, "{said:?}");
    assert!(refused.iter().all(|said| retry_after(said) == Some(1)));
    let waited = refused.iter().filter(|said| took(said) >= 600).count();
    assert_eq!(
        waited,
        2,
        "two waited, three were sent away at once: {:?}",
        refused.iter().map(|s| took(s)).collect::<Vec<_>>()
    );
    assert_eq!(edge.metric(r#"rhumb_proxy_queue_timeouts_total{pool="origin"}"#), 2.0);
    assert_eq!(edge.metric(r#"rhumb_proxy_queue{pool="origin"}"#), 0.0);
}

#[test]
fn first_come_first_served_over_all_threads() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(1);
    let lines = "queue_timeout = \"20s\"";
    let edge = Setup { workers: 2, ..fleet.setup() }.pool("max_requests = 1").listener(lines).section(ADMIN).start();
    let series = r#"rhumb_proxy_queue{pool="origin"}"#;
    let mut clients = Vec::new();
    // One holds the endpoint for long enough that all others are in line when it ends.
    fleet.mood(0, |taken| Some(after_millis(if taken.target() == "/hold" { 1_500 } else { 20 }, "a")));
    let mut holder = Client::connect(edge.address);
    holder.send(get("/hold"));
    assert!(poll(PATIENCE, || fleet.total() == 1));
    for n in 0..16 {
        let mut client = Client::connect(edge.address);
        client.send(get(&format!("/{n}")));
        assert!(poll(PATIENCE, || edge.metric(series) >= f64::from(n + 1)), "{n} waits");
        clients.push(client);
    }
    // And who comes later does not get in before them.
    let late = thread::spawn({
        let address = edge.address;
        move || (0..20).map(|_| ask(address, get("/late")).unwrap().status).collect::<Vec<_>>()
    });
    assert!(clients.iter_mut().all(|client| client.response().unwrap().status == 200));
    assert_eq!(holder.response().unwrap().status, 200);
    assert!(late.join().unwrap().iter().all(|status| *status == 200));
    let order: Vec<String> = fleet.origins[0].requests().iter().map(|taken| taken.target()).collect();
    let expected: Vec<String> = (0..16).map(|n| format!("/{n}")).collect();
    let theirs: Vec<&String> = order.iter().filter(|target| !["/late", "/hold"].contains(&target.as_str())).collect();
    assert_eq!(theirs, expected.iter().collect::<Vec<_>>());
    let first_late = order.iter().position(|target| target == "/late").unwrap();
    assert!(first_late >= 17, "one after those who waited: {order:?}");
}

#[test]
fn a_wait_in_line_is_not_held_against_the_endpoint() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(1);
    fleet.mood(0, |_| Some(after_millis(700, "a")));
    let lines = "queue_timeout = \"10s\"";
    let routes = "{ pool = \"origin\", timeout = \"1s\" }";
    let edge = fleet.setup().pool("max_requests = 1").listener(lines).routes(routes).section(ADMIN).start();
    let said = at_once(4, |_| ask(edge.address, get("/")));
    assert!(said.iter().flatten().all(|said| said.status == 200), "{said:?}");
}

#[test]
fn a_client_that_asks_too_often_is_told_how_long_to_wait() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(1);
    let lines = "client_rate = 5\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let edge = Setup { workers: 2, ..fleet.setup() }.listener(lines).section(ADMIN).start();
    let from = |client: &str| {
        ask(edge.address, format!("GET / HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-For: {client}\r\n\r\n"))
            .unwrap()
    };
    let said: Vec<Response> = (0..12).map(|_| from("192.0.2.1")).collect();
    let passed = said.iter().filter(|said| said.status == 200).count();
    let refused: Vec<&Response> = said.iter().filter(|said| said.status == 429).collect();
    assert!(passed >= 5 && !refused.is_empty() && passed + refused.len() == 12, "{passed}");
    assert!(refused.iter().all(|said| retry_after(said) == Some(1)));
    assert_eq!(from("192.0.2.2").status, 200, "another has its own rate");
    assert!(edge.metric(r#"rhumb_proxy_refused_total{listener="edge",reason="client_rate"}"#) >= 1.0);
    assert_eq!(fleet.total(), passed + 1);
}

#[test]
fn bodies_beyond_the_most_are_refused_however_they_come() {
    if only_for_rhumb() {
        return;
    }
    let mut findings = Findings::default();
    let fleet = Fleet::of(1);
    let edge = fleet.setup().listener("max_body = 1000").section(ADMIN).start();
    let head = "POST / HTTP/1.1\r\nHost: www.example.com\r\n";
    let fixed = |length: usize| format!("{head}Content-Length: {length}\r\n\r\n{}", "x".repeat(length));
    let chunked = |length: usize| {
        let half = "x".repeat(length / 2);
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{0:x}\r\n{half}\r\n{0:x}\r\n{half}\r\n0\r\n\r\n", length / 2)
    };
    for (case, request, status) in [
        ("length within", fixed(1_000), 200),
        ("length beyond", fixed(1_001), 413),
        ("chunks within", chunked(1_000), 200),
        ("chunks beyond", chunked(1_002), 413),
    ] {
        let said = ask(edge.address, request);
        findings.expect(case, said.as_ref().is_ok_and(|said| said.status == status), || format!("{said:?}"));
    }
    let expects = format!("{head}Content-Length: 5000\r\nExpect: 100-continue\r\n\r\n");
    let said = Client::connect(edge.address).send(expects).head();
    findings.expect("before it is sent", said.as_ref().is_ok_and(|said| said.status == 413), || format!("{said:?}"));
    // It is the client's doing, not the endpoint's.
    let ejected: f64 =
        edge.metric(&format!("rhumb_proxy_ejections_total{{pool=\"origin\",endpoint=\"{}\"}}", "127.0.0.1"));
    findings.expect("nobody", ejected == 0.0, || ejected.to_string());
    findings.end();
}

#[test]
fn what_waits_takes_little_memory() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(1);
    fleet.mood(0, |_| Some(after_millis(5_000, "a")));
    let lines = "max_queue = 300\nqueue_timeout = \"60s\"";
    let edge = fleet.setup().pool("max_requests = 1").listener(lines).section(ADMIN).start_program();
    let body = vec![b'x'; 1 << 20];
    let head = format!("POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: {}\r\n\r\n", body.len());
    // What the first takes is not what each of the others does.
    let mut clients: Vec<Client> = Vec::new();
    let mut wait = |count: usize| {
        while clients.len() < count {
            let mut client = Client::connect(edge.address);
            client.stream.set_nonblocking(true).unwrap();
            // As much as the system takes; nobody reads the rest before its turn.
            client.send(head.as_bytes()).send(&body);
            clients.push(client);
        }
        assert!(poll(PATIENCE, || edge.metric(r#"rhumb_proxy_queue{pool="origin"}"#) >= (count - 1) as f64));
        edge.resident_kib()
    };
    let few = wait(50);
    let grown = wait(250).saturating_sub(few);
    assert!(grown < 200 * 64, "{grown} KiB for 200 that wait with a MiB each");
    drop(clients);
}
