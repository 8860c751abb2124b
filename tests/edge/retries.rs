//! What is tried again, where, and how often: never at the same endpoint, never twice what may have been done, never without end.

use crate::kit::Findings;
use crate::kit::client::Client;
use crate::kit::client::Response;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::fleet::Fleet;
use crate::kit::fleet::at_once;
use crate::kit::fleet::refusing;
use crate::kit::only_for_rhumb;
use crate::kit::operator::ADMIN;
use crate::kit::origin::Step;

fn post(body: &[u8]) -> Vec<u8> {
    let head = format!("POST /p HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn request(method: &str) -> Vec<u8> {
    match method {
        "POST" | "PATCH" => post(b"abc").strip_prefix(b"POST").map(|rest| [method.as_bytes(), rest].concat()).unwrap(),
        "PUT" => [b"PUT", &post(b"abc")[4..]].concat(),
        _ => format!("{method} / HTTP/1.1\r\nHost: www.example.com\r\n\r\n").into_bytes(),
    }
}

/// Two endpoints: the one that is first in turn breaks off what it is sent.
fn before_one_that_breaks(step: Step, setup: impl Fn(Setup) -> Setup) -> (Fleet, Edge) {
    let fleet = Fleet::of(2);
    fleet.mood(0, move |_| Some(vec![Step::Body, step.clone()]));
    let edge = setup(fleet.setup()).start();
    (fleet, edge)
}

#[test]
fn a_refused_connection_is_nothing_to_any_method() {
    if only_for_rhumb() {
        return;
    }
    let mut findings = Findings::default();
    for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
        let fleet = Fleet::of(1);
        let (_socket, nobody) = refusing();
        let edge = Setup::to(&[nobody, fleet.addresses()[0]]).section(ADMIN).start();
        for n in 0..4 {
            let said = ask(edge.address, request(method));
            findings.expect(method, said.as_ref().is_ok_and(|said| said.status == 200), || format!("{n}: {said:?}"));
        }
        let whole = fleet.origins[0].requests().iter().all(|taken| taken.is_whole);
        findings.expect(method, whole && fleet.total() == 4, || format!("{:?}", fleet.counts()));
        findings.expect(method, edge.metric(r#"rhumb_proxy_retries_total{pool="origin"}"#) > 0.0, || "none".to_owned());
    }
    findings.end();
}

#[test]
fn what_was_sent_is_sent_again_only_when_it_may_be_done_twice() {
    if only_for_rhumb() {
        return;
    }
    let mut findings = Findings::default();
    for step in [Step::Close, Step::Reset] {
        for (method, again) in [("GET", true), ("PUT", true), ("DELETE", true), ("POST", false), ("PATCH", false)] {
            let (fleet, edge) = before_one_that_breaks(step.clone(), |setup| setup);
            let case = format!("{method} {step:?}");
            let said = ask(edge.address, request(method)).unwrap();
            let expected = if again { (200, vec![1, 1]) } else { (502, vec![1, 0]) };
            findings.expect(&case, (said.status, fleet.counts()) == expected, || {
                format!("{} {:?}", said.status, fleet.counts())
            });
            if again {
                let [first, second] = [0, 1].map(|at| fleet.origins[at].last());
                let same = first.head == second.head && first.body == second.body;
                findings.expect(&case, same, || format!("{first:?} {second:?}"));
            }
        }
    }
    findings.end();
}

#[test]
fn a_body_is_sent_again_while_it_is_short() {
    if only_for_rhumb() {
        return;
    }
    let mut findings = Findings::default();
    for (length, chunked) in [(65_536, false), (65_536, true), (65_537, false), (200_000, true)] {
        let (fleet, edge) = before_one_that_breaks(Step::Close, |setup| setup);
        let body: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let request = if chunked {
            let head = "PUT /p HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut bytes = head.as_bytes().to_vec();
            for part in body.chunks(10_000) {
                bytes.extend([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
            }
            bytes.extend(b"0\r\n\r\n");
            bytes
        } else {
            [b"PUT", &post(&body)[4..]].concat()
        };
        let said = ask(edge.address, request).unwrap();
        let status = if length <= 65_536 { 200 } else { 502 };
        let case = format!("{length} chunked {chunked}");
        findings.expect(&case, said.status == status, || said.status.to_string());
        if status == 200 {
            findings.expect(&case, fleet.origins[1].last().body == body, || "another body".to_owned());
        }
    }
    findings.end();
}

#[test]
fn trailers_are_sent_again_with_their_body() {
    if only_for_rhumb() {
        return;
    }
    let (fleet, edge) = before_one_that_breaks(Step::Close, |setup| setup.listener("trailers = [\"x-checksum\"]"));
    let head = "PUT /p HTTP/1.1\r\nHost: www.example.com\r\nTrailer: x-checksum\r\nTransfer-Encoding: chunked\r\n\r\n";
    let said = ask(edge.address, format!("{head}3\r\nabc\r\n0\r\nx-checksum: 7\r\n\r\n")).unwrap();
    assert_eq!(said.text(), "b");
    let [first, second] = [0, 1].map(|at| String::from_utf8(fleet.origins[at].last().trailers).unwrap());
    assert_eq!((first.trim_end(), &first), ("x-checksum: 7", &second));
}

#[test]
fn a_route_that_wants_no_retries_has_none() {
    if only_for_rhumb() {
        return;
    }
    let (fleet, edge) = before_one_that_breaks(Step::Close, |setup| setup.routes("{ pool = \"origin\", retries = 0 }"));
    assert_eq!(ask(edge.address, get("/")).unwrap().status, 502);
    assert_eq!(fleet.counts(), [1, 0]);
}

#[test]
fn each_try_is_at_another_endpoint() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(3);
    (0..3).for_each(|at| fleet.mood(at, |_| Some(vec![Step::Close])));
    let edge = fleet.setup().routes("{ pool = \"origin\", retries = 5 }").section(ADMIN).start();
    assert_eq!(ask(edge.address, get("/")).unwrap().status, 502, "what the last one did");
    assert_eq!(fleet.counts(), [1, 1, 1]);
    assert_eq!(edge.metric(r#"rhumb_proxy_retries_total{pool="origin"}"#), 2.0, "who is not tried is no retry");
}

#[test]
fn a_pool_of_one_has_nobody_to_try_again() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(1);
    fleet.mood(0, |_| Some(vec![Step::Close]));
    let edge = fleet.setup().section(ADMIN).start();
    assert_eq!(ask(edge.address, get("/")).unwrap().status, 502);
    assert_eq!(fleet.counts(), [1]);
    assert_eq!(edge.metric(r#"rhumb_proxy_retries_total{pool="origin"}"#), 0.0);
}

#[test]
fn when_all_fails_origins_see_a_fifth_more_at_most() {
    if only_for_rhumb() {
        return;
    }
    const REQUESTS: usize = 600;
    let fleet = Fleet::of(4);
    (0..4).for_each(|at| fleet.mood(at, |_| Some(vec![Step::Close])));
    let edge = fleet.setup().routes("{ pool = \"origin\", retries = 3 }").section(ADMIN).start();
    let said = at_once(4, |_| {
        let mut client = Client::connect(edge.address);
        (0..REQUESTS / 4).map(|_| client.send(get("/")).response()).last().unwrap()
    });
    assert!(said.iter().flatten().all(|said: &Response| said.status == 502), "{said:?}");
    let seen = fleet.total();
    assert!(seen >= REQUESTS && seen * 10 <= REQUESTS * 12, "{seen} for {REQUESTS}");
    assert!(edge.metric(r#"rhumb_proxy_retries_refused_total{pool="origin"}"#) > 100.0);
}

#[test]
fn a_connection_that_died_waiting_is_nobody_s_failure() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(1);
    // Takes the second request of a connection and dies without a word, as a server does that closes at that moment.
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    fleet.mood(0, move |taken| (!seen.lock().unwrap().insert(taken.connection)).then(|| vec![Step::Reset]));
    let edge = fleet.setup().section(ADMIN).start();
    let mut client = Client::connect(edge.address);
    for _ in 0..30 {
        assert_eq!(client.send(get("/")).response().unwrap().status, 200);
    }
    assert_eq!(edge.metric(r#"rhumb_proxy_upstream_failures_total{pool="origin",reason="reset"}"#), 0.0);
    assert_eq!(edge.metric(r#"rhumb_proxy_retries_total{pool="origin"}"#), 0.0);
}
