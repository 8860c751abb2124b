//! Fields after a request's body: those of gRPC, and those that client and operator both know of. Responses' pass.

use crate::kit::Findings;
use crate::kit::client::Client;
use crate::kit::client::ask;
use crate::kit::edge::Setup;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::chunked;

fn with_trailer(head: &str, trailers: &str) -> String {
    format!(
        "POST /t HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n{head}\r\n5\r\nhello\r\n0\r\n{trailers}\r\n\r\n"
    )
}

#[test]
fn trailers_that_decide_anything_never_arrive() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Authorization",
        "X-Forwarded-For",
        "Cookie",
        "X-Unknown",
        "Trailer",
        "Connection",
    ] {
        for declared in ["", "Trailer: "] {
            let head = if declared.is_empty() { String::new() } else { format!("{declared}{name}\r\n") };
            let mut client = Client::connect(edge.address);
            let said = client.send(with_trailer(&head, &format!("{name}: 1"))).response();
            let case = format!("{name} ({})", if declared.is_empty() { "not declared" } else { "declared" });
            findings.expect(&case, said.as_ref().is_ok_and(|said| said.status == 400), || format!("{said:?}"));
            let arrived = origin.requests().iter().any(|taken| !taken.trailers.is_empty());
            findings.expect(&case, !arrived, || "it reaches the origin".to_owned());
        }
    }
    findings.end();
}

#[test]
fn declared_and_allowed_trailers_arrive() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).listener("trailers = [\"x-checksum\"]").start();
    let said = ask(edge.address, with_trailer("Trailer: X-Checksum\r\n", "X-Checksum: 7")).unwrap();
    assert_eq!(said.status, 200);
    let taken = origin.last();
    assert_eq!(taken.body, b"hello");
    assert_eq!(String::from_utf8_lossy(&taken.trailers).to_ascii_lowercase(), "x-checksum: 7\r\n");
    assert_eq!(taken.header("trailer").map(|value| value.to_ascii_lowercase()).as_deref(), Some("x-checksum"));
    let refused = ask(edge.address, with_trailer("", "X-Checksum: 7")).unwrap();
    assert_eq!(refused.status, 400, "not declared");
}

#[test]
fn trailers_that_are_no_fields_are_refused() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    let long = format!("grpc-x: {}", "a".repeat(100_000));
    let many: String = (0..2000).map(|n| format!("grpc-x{n}: 1\r\n")).collect();
    for (case, trailers) in [
        ("no colon", "junk"),
        ("spaces before the colon", "grpc-x : 1"),
        ("a fold", "grpc-x: 1\r\n 2"),
        ("a bare line feed", "grpc-x: 1\ngrpc-y: 2"),
        ("a NUL", "grpc-x: \0"),
        ("a request", "GET / HTTP/1.1\r\nHost: x"),
        ("long", &long),
        ("many", many.trim_end()),
    ] {
        let said = ask(edge.address, with_trailer("", trailers));
        findings.expect(case, said.as_ref().is_ok_and(|said| matches!(said.status, 400 | 431)), || format!("{said:?}"));
    }
    let whole = origin.requests().iter().filter(|taken| taken.is_whole).count();
    findings.expect("the origin", whole == 0, || format!("{whole} whole requests"));
    findings.end();
}

#[test]
fn trailers_of_responses_pass_to_who_wants_them() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::start(|_| chunked(&[b"hello"], "X-Sum: 7\r\n"));
    let edge = Setup::before(&origin).start();
    let wants = "GET / HTTP/1.1\r\nHost: www.example.com\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
    let said = ask(edge.address, wants).unwrap();
    assert_eq!(said.text(), "hello");
    let found: Vec<_> = said.trailers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
    assert_eq!(found, [("x-sum".to_owned(), "7")]);
    let said = ask(edge.address, "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n").unwrap();
    assert_eq!((said.text().as_str(), said.trailers.len()), ("hello", 0), "not asked for");
}

#[test]
fn trailers_arrive_with_a_request_that_is_sent_again() {
    if only_for_rhumb() {
        return;
    }
    let (bad, good) = (Origin::start(|_| vec![Step::Body, Step::Reset]), Origin::plain());
    let edge = Setup::to(&[bad.address, good.address]).listener("trailers = [\"x-checksum\"]").start();
    for n in 1..=2 {
        let request = with_trailer("Trailer: X-Checksum\r\n", "X-Checksum: 7").replace("POST", "PUT");
        assert_eq!(ask(edge.address, request).unwrap().status, 200);
        let taken = good.last();
        assert_eq!(String::from_utf8_lossy(&taken.trailers).to_ascii_lowercase(), "x-checksum: 7\r\n", "{n}");
    }
}
