//! How requests end, as the access log and the metrics tell it, and the deadlines that end them.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::poll;
use crate::kit::Findings;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::fleet::refusing;
use crate::kit::only_for_rhumb;
use crate::kit::operator::ADMIN;
use crate::kit::operator::LOG;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::Taken;
use crate::kit::origin::fixed;
use crate::kit::origin::raw;

const WHOLE: usize = 8 << 20;

fn answers(request: &Taken) -> Vec<Step> {
    let head = raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {WHOLE}\r\n\r\n"));
    match request.target().as_str() {
        "/cut" => vec![Step::Close],
        "/slow" | "/goes" => vec![Step::Body, Step::Silence],
        "/half" => vec![head, raw("half"), Step::Wait(Duration::from_millis(100)), Step::Reset],
        "/gone" | "/stuck" => vec![head, raw(vec![b'x'; WHOLE])],
        "/none" => vec![raw("nonsense\r\n\r\n"), Step::Close],
        "/holds" => vec![Step::Body, Step::Wait(Duration::from_millis(1_500)), raw("HTTP/1.1 204 No Content\r\n\r\n")],
        other => fixed(200, other),
    }
}

/// Pools of one: a good one, one where nobody listens, one whose only place is soon taken; and one of both.
fn start(origin: &Origin, nobody: SocketAddr) -> Edge {
    let at = |address: SocketAddr| format!("{{ address = \"{}\", port = {} }}", address.ip(), address.port());
    let pool = |name: &str, lines: &str, endpoints: String| {
        format!("[pool.{name}]\nregion = \"here\"\nbalance = \"failover\"\n{lines}endpoints = [{endpoints}]\n")
    };
    let pools = pool("dead", "", at(nobody))
        + &pool("narrow", "max_requests = 1\n", at(origin.address))
        + &pool("either", "", format!("{}, {}", at(nobody), at(origin.address)));
    let routes = "{ host = \"www.example.com\", path_prefix = \"/dead\", pool = \"dead\" }, { host = \"www.example.com\", path_prefix = \"/holds\", pool = \"narrow\" }, \
                  { host = \"www.example.com\", path_prefix = \"/waits\", pool = \"narrow\" }, { host = \"www.example.com\", path_prefix = \"/either\", pool = \"either\" }, \
                  { host = \"www.example.com\", path = \"/moved\", redirect = { to = \"/ok\", status = 308 } }, \
                  { host = \"www.example.com\", path = \"/slow\", pool = \"origin\", timeout = \"300ms\" }, \
                  { host = \"www.example.com\", pool = \"origin\" }";
    let listener = "max_body = 1000\nmax_queue = 1\nqueue_timeout = \"400ms\"";
    let setup = Setup { body: Some(Duration::from_millis(600)), ..Setup::before(origin) };
    setup.listener(listener).routes(routes).section(&format!("{ADMIN}{LOG}{pools}")).start()
}

/// Sends a request and goes, once the origin has it, or once so much of the response has come.
fn go(edge: &Edge, origin: &Origin, target: &str, after: usize) {
    let before = origin.requests().len();
    let mut client = Client::connect(edge.address);
    client.send(get(target));
    assert!(poll(PATIENCE, || origin.requests().len() > before));
    if after > 0 {
        client.exactly(after).unwrap();
    }
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn each_request_says_in_the_log_how_it_ended() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::start(answers);
    let (_socket, nobody) = refusing();
    let edge = start(&origin, nobody);
    let told = |request: String| ask(edge.address, request).map_or(0, |said| said.status);
    let post = |target: &str, length: usize, body: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let mut statuses: Vec<u16> =
        ["/ok", "/dead", "/cut", "/slow", "/none", "/either", "/moved"].map(|t| told(get(t))).into();
    statuses.push(told("GET /nowhere HTTP/1.1\r\nHost: other.example\r\n\r\n".to_owned()));
    statuses.push(told(post("/big", 2_000, "")));
    statuses.push(told(post("/idle", 100, "some")));
    assert_eq!(statuses, [200, 502, 502, 504, 502, 200, 308, 404, 413, 408]);
    told(get("/half"));
    go(&edge, &origin, "/goes", 0);
    go(&edge, &origin, "/gone", 1_000);
    let mut stuck = Client::connect(edge.address);
    stuck.send(get("/stuck"));
    let mut holds = Client::connect(edge.address);
    holds.send(get("/holds"));
    assert!(poll(PATIENCE, || origin.requests().iter().any(|taken| taken.target() == "/holds")));
    let mut waits = Client::connect(edge.address);
    waits.send(get("/waits"));
    assert!(poll(PATIENCE, || edge.metric(r#"rhumb_proxy_queue{pool="narrow"}"#) == 1.0));
    assert_eq!(told(get("/waits/in-vain")), 503);
    assert_eq!(waits.response().unwrap().status, 503);
    assert_eq!(holds.response().unwrap().status, 204);

    let mut findings = Findings::default();
    for (path, ended, status, attempts, refusal) in [
        ("/ok", "--", "200", "1", None),
        ("/dead", "SC", "502", "1", None),
        ("/cut", "SH", "502", "1", None),
        ("/none", "SH", "502", "1", None),
        ("/slow", "sH", "504", "1", None),
        ("/half", "SD", "200", "1", None),
        ("/either", "--", "200", "2", None),
        ("/moved", "LR", "308", "0", None),
        ("/nowhere", "PR", "404", "0", Some("no_route")),
        ("/big", "PR", "413", "0", Some("body_too_long")),
        ("/idle", "cH", "408", "1", None),
        ("/goes", "CH", "0", "1", None),
        ("/gone", "CD", "200", "1", None),
        ("/stuck", "cD", "200", "1", None),
        ("/holds", "--", "204", "1", None),
        ("/waits", "sQ", "503", "0", None),
        ("/waits/in-vain", "RQ", "503", "0", Some("queue_full")),
    ] {
        let line = edge.line_of(path);
        let found = ["ended", "status", "attempts"].map(|name| line.field(name).unwrap_or("nothing"));
        findings
            .expect(path, found == [ended, status, attempts] && line.field("refusal") == refusal, || line.0.clone());
        let times = (line.field("queue_ms") != Some("-1"), line.field("connect_ms") != Some("-1"));
        let expected = (path == "/waits", attempts != "0" && path != "/dead");
        findings.expect(path, times == expected, || format!("times {times:?}: {}", line.0));
    }
    for (series, value) in [
        (r#"rhumb_proxy_upstream_failures_total{pool="dead",reason="connect"}"#, 1.0),
        (r#"rhumb_proxy_upstream_failures_total{pool="origin",reason="reset"}"#, 2.0),
        (r#"rhumb_proxy_upstream_failures_total{pool="origin",reason="malformed"}"#, 1.0),
        (r#"rhumb_proxy_upstream_failures_total{pool="origin",reason="response_timeout"}"#, 1.0),
        (r#"rhumb_proxy_retries_total{pool="either"}"#, 1.0),
        (r#"rhumb_proxy_retries_total{pool="dead"}"#, 0.0),
        (r#"rhumb_proxy_queue_timeouts_total{pool="narrow"}"#, 1.0),
        (r#"rhumb_proxy_refused_total{listener="edge",reason="queue_full"}"#, 1.0),
        (r#"rhumb_proxy_refused_total{listener="edge",reason="body_too_long"}"#, 1.0),
        (r#"rhumb_proxy_refused_total{listener="edge",reason="no_route"}"#, 1.0),
        (r#"rhumb_proxy_endpoint_requests_in_flight{pool="origin",endpoint="127.0.0.1"}"#, 0.0),
    ] {
        findings.expect(series, edge.metric(series) == value, || edge.metric(series).to_string());
    }
    findings.end();
}

#[test]
fn a_call_may_take_as_long_as_it_says() {
    if only_for_rhumb() {
        return;
    }
    let origin =
        Origin::start(|_| [vec![Step::Body, Step::Wait(Duration::from_millis(900))], fixed(200, "late")].concat());
    let edge = Setup::before(&origin).routes("{ pool = \"origin\", timeout = \"300ms\" }").section(ADMIN).start();
    let call = |lines: &str| {
        let head = "POST /s/m HTTP/1.1\r\nHost: www.example.com\r\nTE: trailers\r\nContent-Length: 0\r\n";
        ask(edge.address, format!("{head}{lines}\r\n")).unwrap()
    };
    assert_eq!(call("").status, 504);
    let patient = call("Content-Type: application/grpc\r\nGrpc-Timeout: 5S\r\n");
    assert_eq!((patient.status, patient.text().as_str()), (200, "late"));
    assert_eq!(origin.last().header("grpc-timeout").as_deref(), Some("5S"));
    let hasty = call("Content-Type: application/grpc\r\nGrpc-Timeout: 10m\r\n");
    assert_eq!((hasty.status, hasty.header("grpc-status")), (200, Some("14")), "the route's own time at least");
    assert_eq!(edge.metric(r#"rhumb_proxy_upstream_failures_total{pool="origin",reason="response_timeout"}"#), 2.0);
}
