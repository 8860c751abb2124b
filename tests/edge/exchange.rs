//! Requests and responses in turn on one connection: pipelining, 100-continue and its kin, old clients, closing.

use std::time::Duration;

use crate::kit::Findings;
use crate::kit::client::Client;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::chunked;
use crate::kit::origin::fixed;
use crate::kit::origin::raw;
use crate::kit::origin::until_close;

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::start(|request| {
        // The first takes longest.
        let wait = if request.target() == "/0" { 200 } else { 0 };
        [vec![Step::Body, Step::Wait(Duration::from_millis(wait))], fixed(200, request.target())].concat()
    });
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    let all: String = (0..30).map(|n| get(&format!("/{n}"))).collect();
    client.send(all + "POST /b HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 3\r\n\r\nabc" + &get("/last"));
    for n in 0..30 {
        assert_eq!(client.response().unwrap().text(), format!("/{n}"));
    }
    assert_eq!(client.response().unwrap().text(), "/b");
    assert_eq!(client.response().unwrap().text(), "/last");
    assert!(origin.requests().iter().any(|taken| taken.body == b"abc"));
}

#[test]
fn requests_cut_anywhere_are_the_same_requests() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let bytes =
        "\r\nPOST /p HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
            .to_owned()
            + &get("/q");
    let mut client = Client::connect(edge.address);
    for byte in bytes.bytes() {
        client.send([byte]);
        std::thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(client.response().unwrap().text(), "/p");
    assert_eq!(client.response().unwrap().text(), "/q");
}

/// What a client sends that waits for leave.
const EXPECTS: &str = "POST /e HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn who_expects_100_continue_gets_it() {
    let origin = Origin::start(|request| match request.header("expect") {
        Some(_) => [vec![raw("HTTP/1.1 100 Continue\r\n\r\n"), Step::Body], fixed(200, "done")].concat(),
        None => fixed(200, "done"),
    });
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    assert_eq!(client.send(EXPECTS).head().unwrap().status, 100);
    assert_eq!(client.send("hello").response().unwrap().text(), "done");
    assert_eq!(origin.last().body, b"hello");
    assert_eq!(client.send(get("/")).response().unwrap().status, 200);
}

#[test]
fn a_final_response_instead_of_100_ends_the_matter() {
    let origin = Origin::start(|request| match request.header("expect") {
        Some(_) => vec![
            raw("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            Step::Wait(Duration::from_millis(100)),
            Step::Close,
            Step::Body,
        ],
        None => fixed(200, request.target()),
    });
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    let said = client.send(EXPECTS).response().unwrap();
    assert_eq!(said.status, 413);
    assert_eq!(ask(edge.address, get("/next")).unwrap().text(), "/next");
}

#[test]
fn other_expectations_are_not_met() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    let request = "GET / HTTP/1.1\r\nHost: www.example.com\r\nExpect: 200-ok\r\n\r\n";
    findings.note("200-ok", crate::kit::refused::refused(&edge, &origin, request, &[417, 400]));
    findings.end();
}

#[test]
fn interim_responses_are_passed_on_in_their_order() {
    let origin = Origin::start(|_| {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        [vec![raw("HTTP/1.1 102 Processing\r\n\r\n"), raw(hints)], fixed(200, "final")].concat()
    });
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    client.send(get("/"));
    assert_eq!(client.head().unwrap().status, 102);
    let hints = client.head().unwrap();
    assert_eq!((hints.status, hints.header("link")), (103, Some("</a.css>; rel=preload")));
    assert_eq!(client.response().unwrap().text(), "final");
    assert_eq!(client.send(get("/")).response().unwrap().text(), "final");
}

#[test]
fn clients_of_http_1_0_get_what_they_understand() {
    let origin = Origin::start(|request| match request.target().as_str() {
        "/chunked" => chunked(&[b"hello ", b"you"], ""),
        "/interim" => [vec![raw("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")], fixed(200, "final")].concat(),
        "/close" => until_close("hello you"),
        other => fixed(200, other),
    });
    let edge = Setup::before(&origin).start();
    let old = |target: &str, lines: &str| format!("GET {target} HTTP/1.0\r\nHost: www.example.com\r\n{lines}\r\n");
    let mut client = Client::connect(edge.address);
    let said = client.send(old("/fixed", "")).response().unwrap();
    assert_eq!(said.text(), "/fixed");
    assert!(client.ends(), "one request a connection");

    let mut client = Client::connect(edge.address);
    let said = client.send(old("/chunked", "")).response().unwrap();
    assert_eq!((said.text().as_str(), said.header("transfer-encoding")), ("hello you", None));
    assert_eq!(ask(edge.address, old("/close", "")).unwrap().text(), "hello you");

    let mut client = Client::connect(edge.address);
    let mut findings = Findings::default();
    let first = client.send(old("/interim", "")).head().unwrap();
    findings.expect("interim responses are not for HTTP/1.0", first.status == 200, || first.status.to_string());
    let mut client = Client::connect(edge.address);
    for target in ["/a", "/b"] {
        let said = client.send(old(target, "Connection: keep-alive\r\n")).response();
        let kept = said.as_ref().is_ok_and(|said| said.text() == target && !said.says_close());
        findings.expect("keep-alive", kept, || format!("{said:?}"));
    }
    findings.end();
    assert!(origin.requests().iter().all(|taken| taken.line().ends_with(" HTTP/1.1")), "we speak 1.1 to origins");
}

#[test]
fn an_old_client_may_leave_out_its_host() {
    if only_for_rhumb() {
        return;
    }
    // There is no host to route by, so it is refused like everyone without one.
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    assert_eq!(ask(edge.address, "GET / HTTP/1.0\r\n\r\n").unwrap().status, 400);
}

#[test]
fn the_version_and_connection_of_the_origin_are_not_the_client_s() {
    let origin = Origin::start(|_| vec![raw("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), Step::Close]);
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    for _ in 0..3 {
        let said = client.send(get("/")).response().unwrap();
        assert_eq!((said.version.as_str(), said.text().as_str(), said.says_close()), ("HTTP/1.1", "ok", false));
    }
}

#[test]
fn close_is_said_and_done() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    client.send("GET /a HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n".to_owned() + &get("/never"));
    let said = client.response().unwrap();
    assert!(said.says_close() && said.text() == "/a");
    assert!(client.ends());
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn connections_to_origins_are_kept_and_a_dead_one_costs_nobody_anything() {
    let origin = Origin::start(|request| match request.target().as_str() {
        // Without a word that it closes.
        "/bye" => [fixed(200, "bye"), vec![Step::Close]].concat(),
        other => fixed(200, other),
    });
    let edge = Setup::before(&origin).start();
    for n in 0..10 {
        assert_eq!(ask(edge.address, get(&format!("/{n}"))).unwrap().status, 200);
    }
    assert!(origin.connections() <= 2, "{} connections for ten requests in turn", origin.connections());
    for n in 0..10 {
        assert_eq!(ask(edge.address, get("/bye")).unwrap().status, 200);
        assert_eq!(ask(edge.address, get(&format!("/{n}"))).unwrap().status, 200);
    }
}
