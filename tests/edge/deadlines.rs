//! Who takes too long is let go; who makes progress is not.

use std::time::Duration;
use std::time::Instant;

use crate::kit::Findings;
use crate::kit::client::Client;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::h2::Fate;
use crate::kit::h2::GOAWAY;
use crate::kit::h2::H2;
use crate::kit::now;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::raw;

const SHORT: Duration = Duration::from_millis(500);
/// Later than this is not at the deadline, even on a busy machine.
const LATE: Duration = Duration::from_secs(6);

/// 408 or nothing, and the end, when the deadline has come.
fn is_let_go(mut client: Client, begin: Instant) -> Result<(), String> {
    let said = client.response();
    let took = begin.elapsed();
    if !(SHORT - Duration::from_millis(50)..LATE).contains(&took) {
        return Err(format!("after {took:?}: {said:?}"));
    }
    match said {
        Ok(said) if said.status != 408 => Err(format!("{said:?}")),
        Ok(_) if !client.ends() => Err("the connection goes on".to_owned()),
        Err(why) if !why.contains("end of the connection") && !why.contains("reset") => Err(why),
        _ => Ok(()),
    }
}

#[test]
fn a_head_must_come_in_time() {
    let origin = Origin::plain();
    let edge = Setup { header: Some(SHORT), ..Setup::before(&origin) }.start();
    let mut findings = Findings::default();
    let begin = now();
    let mut half = Client::connect(edge.address);
    half.send("GET / HTTP/1.1\r\nHost: www.exam");
    let silent = Client::connect(edge.address);
    findings.note("half a head", is_let_go(half, begin));
    findings.note("nothing", is_let_go(silent, begin));
    // A byte now and then does not help.
    let begin = now();
    let mut slow = Client::connect(edge.address);
    slow.send("GET / HTTP/1.1\r\n");
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(100));
        slow.send("X: y\r\n");
    }
    findings.note("a line now and then", is_let_go(slow, begin));
    findings.expect("the origin", origin.requests().is_empty(), || format!("{:?}", origin.requests()));
    findings.end();
}

#[test]
fn a_body_must_make_progress() {
    let origin = Origin::plain();
    let edge = Setup { body: Some(SHORT), ..Setup::before(&origin) }.start();
    let mut findings = Findings::default();
    for lines in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let begin = now();
        let mut client = Client::connect(edge.address);
        client.send(format!("POST / HTTP/1.1\r\nHost: www.example.com\r\n{lines}\r\n\r\n10"));
        findings.note(lines, is_let_go(client, begin));
    }
    // Slowly, but for longer than the deadline.
    let mut client = Client::connect(edge.address);
    client.send("POST /slow HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 10\r\n\r\n");
    for byte in b"0123456789" {
        std::thread::sleep(Duration::from_millis(100));
        client.send([*byte]);
    }
    let said = client.response();
    findings.expect("progress", said.as_ref().is_ok_and(|said| said.status == 200), || format!("{said:?}"));
    findings.end();
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    if only_for_rhumb() {
        return;
    }
    let whole = 64 << 20;
    let origin = Origin::start(move |_| {
        vec![raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {whole}\r\n\r\n")), raw(vec![b'x'; whole])]
    });
    let edge = Setup { body: Some(SHORT), ..Setup::before(&origin) }.start();
    let mut client = Client::connect(edge.address);
    client.send(get("/")).head().unwrap();
    assert!(crate::common::poll(LATE, || origin.ended() == 1), "the origin is not kept waiting");
    assert!(client.exactly(whole).is_err(), "what was cut off does not look whole");
}

#[test]
fn an_idle_connection_ends_and_a_busy_one_does_not() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::start(|request| match request.target().as_str() {
        "/slow" => vec![Step::Body, Step::Wait(SHORT * 2), raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")],
        _ => vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")],
    });
    let edge = Setup::before(&origin).listener("timeouts = { idle = \"500ms\" }").start();
    let mut client = Client::connect(edge.address);
    for target in ["/", "/slow", "/"] {
        assert_eq!(client.send(get(target)).response().unwrap().status, 200);
    }
    let begin = now();
    assert!(client.ends());
    assert!((SHORT - Duration::from_millis(50)..LATE).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

#[test]
fn an_old_connection_ends_with_a_response() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).listener("timeouts = { age = \"500ms\" }").start();
    let mut client = Client::connect(edge.address);
    assert!(!client.send(get("/young")).response().unwrap().says_close());
    std::thread::sleep(SHORT);
    let said = client.send(get("/old")).response().unwrap();
    assert!(said.says_close(), "{said:?}");
    assert!(client.ends());
}

#[test]
fn an_idle_connection_over_http_2_ends_whenever_its_last_request_was() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).listener("timeouts = { idle = \"500ms\" }").start();
    let mut client = H2::connect(edge.address);
    client.request(1, &crate::kit::h2::get("/"));
    assert_eq!(client.fate(1), Fate::Status(200));
    let begin = now();
    while client.next().expect("it says so").kind != GOAWAY {}
    assert!(begin.elapsed() < LATE, "{:?}", begin.elapsed());
}
