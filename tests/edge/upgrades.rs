//! Will a connection go on as something else? Only when the request is wholly an upgrade, and the origin has agreed.

use std::time::Duration;

use crate::kit::Findings;
use crate::kit::client::Client;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::fixed;
use crate::kit::origin::raw;
use crate::kit::refused::refused;

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Agrees, and echoes.
fn echoing() -> Origin {
    Origin::start(|request| match request.target().as_str() {
        "/chat" => vec![
            raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
            Step::Echo,
        ],
        other => fixed(200, other),
    })
}

#[test]
fn half_an_upgrade_is_refused() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for (case, line, lines) in [
        ("POST", "POST / HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"),
        ("HTTP/1.0", "GET / HTTP/1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        ("no Connection", "GET / HTTP/1.1", "Upgrade: websocket\r\n"),
        ("another Connection", "GET / HTTP/1.1", "Connection: keep-alive\r\nUpgrade: websocket\r\n"),
        ("another protocol", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: tls/1.0\r\n"),
        ("two protocols", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n"),
        ("two lines", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"),
        ("a length", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n"),
        ("chunks", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n"),
    ] {
        let bytes = format!("{line}\r\nHost: www.example.com\r\n{lines}\r\n");
        findings.note(case, refused(&edge, &origin, bytes, &[400]));
    }
    findings.end();
}

#[test]
fn after_a_101_the_bytes_belong_to_the_two_ends() {
    let origin = echoing();
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    let said = client.send(UPGRADE).response().unwrap();
    assert_eq!(said.status, 101);
    assert_eq!(said.header("upgrade"), Some("websocket"));
    assert!(said.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
    let taken = origin.only();
    assert_eq!(taken.header("upgrade").as_deref(), Some("websocket"));
    assert_eq!(taken.header("sec-websocket-key").as_deref(), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    let junk = [b"\0\xff\r\n\r\nGET / HTTP/9.9\r\n\r\n".as_slice(), &[7; 100_000]].concat();
    let echoed = std::thread::scope(|scope| {
        let mut half = client.stream.try_clone().unwrap();
        let sent = junk.clone();
        scope.spawn(move || std::io::Write::write_all(&mut half, &sent).unwrap());
        client.exactly(junk.len()).unwrap()
    });
    assert!(echoed == junk);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.ends(), "the end is passed on, and comes back");
}

#[test]
fn bytes_that_come_with_the_upgrade_are_not_lost() {
    let origin = echoing();
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    client.send([UPGRADE, "early"].concat());
    assert_eq!(client.response().unwrap().status, 101);
    client.send(" late");
    assert_eq!(client.exactly(10).unwrap(), b"early late");
}

#[test]
fn without_the_origin_s_101_it_stays_http() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    // What a smuggler hopes goes through a tunnel.
    client.send([UPGRADE, &get("/next"), "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"].concat());
    assert_eq!(client.response().unwrap().text(), "/chat");
    let next = client.response();
    let last = client.response();
    let mut findings = Findings::default();
    findings.expect("the next", next.as_ref().is_ok_and(|said| said.text() == "/next"), || format!("{next:?}"));
    findings.expect("a bad one", last.as_ref().is_ok_and(|said| said.status == 400), || format!("{last:?}"));
    findings.expect("the origin", origin.requests().len() == 2, || format!("{:?}", origin.requests()));
    findings.end();
}

#[test]
fn a_101_that_nobody_asked_for_is_a_bad_response() {
    let mut findings = Findings::default();
    for (case, request, answer) in [
        (
            "not asked",
            get("/"),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        (
            "something else",
            UPGRADE.to_owned(),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        ),
        ("nothing", UPGRADE.to_owned(), "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ] {
        let origin = Origin::start(move |_| vec![raw(answer), Step::Echo]);
        let edge = Setup::before(&origin).start();
        let mut client = Client::connect(edge.address);
        let said = client.send(request).response();
        findings.expect(case, said.as_ref().is_ok_and(|said| said.status == 502), || format!("{said:?}"));
    }
    findings.end();
}

#[test]
fn an_offer_of_h2c_is_left_unheard() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    let lines = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
    client.send(format!("GET /offer HTTP/1.1\r\nHost: www.example.com\r\n{lines}\r\n"));
    assert_eq!(client.response().unwrap().text(), "/offer");
    let taken = origin.only();
    let mut findings = Findings::default();
    for name in ["upgrade", "http2-settings"] {
        findings.expect(name, taken.all(name).is_empty(), || "it reaches the origin".to_owned());
    }
    findings.end();
}

#[test]
fn a_tunnel_that_is_silent_ends_at_its_deadline() {
    if only_for_rhumb() {
        return;
    }
    let origin = echoing();
    let edge = Setup::before(&origin).listener("timeouts = { upgraded_idle = \"1s\" }").start();
    let mut client = Client::connect(edge.address);
    assert_eq!(client.send(UPGRADE).response().unwrap().status, 101);
    for _ in 0..4 {
        // Alive for longer than the deadline, since bytes pass.
        std::thread::sleep(Duration::from_millis(400));
        client.send("x");
        assert_eq!(client.exactly(1).unwrap(), b"x");
    }
    assert!(client.ends());
}

#[test]
fn a_tunnel_in_which_both_are_silent_is_not_the_origin_s_failure() {
    if only_for_rhumb() {
        return;
    }
    let origin = echoing();
    let edge = Setup { sections: "[access_log]\nfile = \"access.log\"\n".to_owned(), ..Setup::before(&origin) }
        .listener("timeouts = { upgraded_idle = \"500ms\" }")
        .start();
    let mut client = Client::connect(edge.address);
    assert_eq!(client.send(UPGRADE).response().unwrap().status, 101);
    assert!(client.ends());
    let log = || std::fs::read_to_string(edge.dir().join("access.log")).unwrap_or_default();
    assert!(crate::common::poll(crate::kit::PATIENCE, || !log().is_empty()));
    assert!(log().contains("cD"), "HAProxy's word for a client that was silent: {}", log());
}
