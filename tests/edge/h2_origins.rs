//! Origins over HTTP/2: what they do wrong stays with them, and connections to them end.

use h2::Reason;

use crate::kit::Findings;
use crate::kit::client::Client;
use crate::kit::client::get;
use crate::kit::edge::Setup;
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
