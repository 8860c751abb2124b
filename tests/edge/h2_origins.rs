//! Origins over HTTP/2: what they do wrong stays with them, and connections to them end.

use h2::Reason;

use crate::common::poll;
use crate::kit::Findings;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::h2::CONTINUATION;
use crate::kit::h2::END_HEADERS;
use crate::kit::h2::END_STREAM;
use crate::kit::h2::Fate;
use crate::kit::h2::Frame;
use crate::kit::h2::H2;
use crate::kit::h2::HEADERS;
use crate::kit::h2::block;
use crate::kit::h2_origin::End;
use crate::kit::h2_origin::H2Origin;
use crate::kit::h2_origin::Says;
use crate::kit::h2_origin::says;
use crate::kit::only_for_rhumb;

const SPLIT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsplit";

fn before(origin: &H2Origin) -> Setup {
    Setup { h2_origins: true, ..Setup::to(&[origin.address]) }
}

#[test]
fn a_body_where_none_may_be_is_nobody_s_response() {
    if only_for_rhumb() {
        return;
    }
    let origin = H2Origin::start(0, |_, path| match path {
        "/204" => says(204, SPLIT),
        "/304" => says(304, SPLIT),
        path => says(200, path),
    });
    let edge = before(&origin).start();
    for target in ["/204", "/304"] {
        let mut client = Client::connect(edge.address);
        let said = client.send(get(target)).response();
        assert!(said.as_ref().is_ok_and(|said| matches!(said.status, 204 | 304 | 502)), "{said:?}");
        let next = client.send(get("/next")).response();
        assert!(next.as_ref().map_or(true, |next| next.text() == "/next"), "after {target}: {next:?}");
    }
}

#[test]
fn a_response_that_is_taken_back_does_not_look_whole() {
    if only_for_rhumb() {
        return;
    }
    let mut findings = Findings::default();
    for (case, length, reason) in [
        ("a length", Some(10), Reason::NO_ERROR),
        ("no length", None, Reason::NO_ERROR),
        ("a length, an error", Some(10), Reason::INTERNAL_ERROR),
    ] {
        let origin = H2Origin::start(0, move |_, _| Says { length, end: End::Reset(reason), ..says(200, "half") });
        let edge = before(&origin).routes("{ pool = \"origin\", retries = 0 }").start();
        let said = Client::connect(edge.address).send(get("/")).response();
        let is_told = match &said {
            Ok(said) => said.status == 502,
            Err(why) => !why.contains("no more"),
        };
        findings.expect(case, is_told, || format!("{said:?}"));
    }
    findings.end();
}

#[test]
fn a_connection_that_speaks_for_one_client_ends_with_its_request() {
    if only_for_rhumb() {
        return;
    }
    // PROXY v2 of IPv4.
    let origin = H2Origin::start(28, |_, path| says(200, path));
    let edge = before(&origin).listener("proxy_protocol = { send = \"v2\" }").start();
    for n in 1..=3 {
        assert_eq!(ask(edge.address, get("/a")).unwrap().text(), "/a");
        assert_eq!(origin.connections(), n, "one for each");
    }
    assert!(poll(PATIENCE, || origin.ended() == 3), "{} of 3 have ended", origin.ended());
}

#[test]
fn a_connection_on_which_nothing_comes_back_gets_no_more_requests() {
    if only_for_rhumb() {
        return;
    }
    let origin = H2Origin::start(0, |number, path| match (number, path) {
        (0, "/lost") => Says { end: End::Silence, ..says(200, "") },
        _ => says(200, format!("{number}")),
    });
    let edge = before(&origin).routes("{ pool = \"origin\", timeout = \"300ms\", retries = 0 }").start();
    assert_eq!(ask(edge.address, get("/a")).unwrap().text(), "0");
    assert_eq!(ask(edge.address, get("/lost")).unwrap().status, 504);
    assert_eq!(ask(edge.address, get("/b")).unwrap().text(), "1", "another connection");
}

#[test]
fn a_connection_without_requests_ends_after_the_pool_s_idle_timeout() {
    if only_for_rhumb() {
        return;
    }
    let origin = H2Origin::start(0, |_, path| says(200, path));
    let edge = Setup { pool: "idle_timeout = \"1s\"\n".to_owned(), ..before(&origin) }.start();
    assert_eq!(ask(edge.address, get("/a")).unwrap().text(), "/a");
    assert!(poll(PATIENCE, || origin.ended() == 1), "it goes on");
}

#[test]
fn a_target_that_grows_beyond_what_can_be_sent_is_the_client_s_doing() {
    if only_for_rhumb() {
        return;
    }
    let origin = H2Origin::start(0, |_, path| says(200, path));
    let edge = before(&origin).start();
    // Each becomes three bytes in the one form of a path.
    let path = format!("/{}", "{".repeat(22_000));
    let mut client = H2::connect(edge.address);
    let block = block(&crate::kit::h2::get(&path));
    let (first, rest) = block.split_at(16_000);
    client.send(&Frame::new(HEADERS, END_STREAM, 1, first));
    client.send(&Frame::new(CONTINUATION, END_HEADERS, 1, rest));
    assert_eq!(client.fate(1), Fate::Status(414));
}
