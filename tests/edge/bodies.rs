//! Bodies, byte for byte: however they were framed, cut and paced, in both directions.

use std::time::Duration;

use crate::common::poll;
use crate::kit::Draw;
use crate::kit::Findings;
use crate::kit::PATIENCE;
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

/// A body in chunks of drawn sizes.
fn in_chunks(body: &[u8], draw: &mut Draw) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at((1 + draw.below(9_000)).min(rest.len()));
        out.extend(format!("{:x}\r\n", chunk.len()).bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
        rest = tail;
    }
    out.extend(b"0\r\n\r\n");
    out
}

#[test]
fn requests_bodies_arrive_whole() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut draw = Draw(7);
    for (n, size) in [0, 1, 5, 1_000, 16_384, 16_385, 70_000, 1_000_000].into_iter().enumerate() {
        let body = draw.bytes(size);
        let mut client = Client::connect(edge.address);
        let head = format!("POST /{n} HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: {size}\r\n\r\n");
        assert_eq!(client.send([head.as_bytes(), &body].concat()).response().unwrap().status, 200);
        assert!(origin.last().body == body, "{size} bytes with their length");
        let head = format!("POST /{n} HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(
            client.send([head.as_bytes(), &in_chunks(&body, &mut draw)].concat()).response().unwrap().status,
            200
        );
        assert!(origin.last().body == body, "{size} bytes in chunks");
    }
}

#[test]
fn responses_bodies_arrive_whole() {
    let mut draw = Draw(8);
    let body = draw.bytes(1_000_000);
    let served = body.clone();
    let origin = Origin::start(move |request| {
        let size = request.target().split('/').nth(2).unwrap().parse().unwrap();
        let body = &served[..size];
        match request.target().split('/').nth(1).unwrap() {
            "length" => fixed(200, body),
            "chunks" => chunked(&body.chunks(7_777).collect::<Vec<_>>(), ""),
            _ => until_close(body),
        }
    });
    let edge = Setup::before(&origin).start();
    for size in [0, 1, 1_000, 16_384, 65_537, 1_000_000] {
        let mut client = Client::connect(edge.address);
        for how in ["length", "chunks", "close"] {
            let said = client.send(get(&format!("/{how}/{size}"))).response().unwrap();
            assert!(said.body == body[..size], "{how} {size}");
            assert!(!said.says_close(), "the client's connection goes on after {how}");
        }
    }
}

#[test]
fn what_has_no_body_has_none() {
    let origin = Origin::start(|request| match request.target().as_str() {
        "/204" => vec![raw("HTTP/1.1 204 No Content\r\n\r\n")],
        "/304" => vec![raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"a\"\r\n\r\n")],
        "/chunked" => vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")],
        _ => vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")],
    });
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    let mut findings = Findings::default();
    for (method, target, length) in
        [("HEAD", "/", Some("500")), ("GET", "/204", None), ("GET", "/304", Some("500")), ("HEAD", "/chunked", None)]
    {
        let said =
            client.send(format!("{method} {target} HTTP/1.1\r\nHost: www.example.com\r\n\r\n")).response_to(method);
        let case = format!("{method} {target}");
        findings.expect(&case, said.is_ok(), || format!("{said:?}"));
        let Ok(said) = said else { break };
        let is_right = said.header("content-length") == length || target == "/304";
        findings.expect(&case, is_right, || format!("{:?}", said.headers));
        findings.expect(&case, client.is_quiet(Duration::from_millis(50)), || "bytes follow".to_owned());
    }
    findings.end();
}

#[test]
fn a_body_streams_while_it_is_made() {
    let origin = Origin::start(|_| {
        vec![
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"),
            Step::Wait(Duration::from_millis(600)),
            raw("6\r\nsecond\r\n0\r\n\r\n"),
        ]
    });
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    client.send(get("/"));
    client.stream.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    let mut said = client.head().unwrap();
    assert!(client.has_more(), "what is there is passed on before the rest");
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    client.body(&mut said).unwrap();
    assert_eq!(said.text(), "firstsecond");
}

#[test]
fn an_upload_streams_and_may_be_answered_early() {
    let origin = Origin::start(|request| match request.target().as_str() {
        "/early" => vec![
            raw("HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"),
            Step::Wait(Duration::from_millis(300)),
            Step::Close,
            Step::Body,
        ],
        _ => fixed(200, "whole"),
    });
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    client.send("POST /late HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert!(poll(PATIENCE, || String::from_utf8_lossy(&origin.wire()).contains("hello")), "passed on before the end");
    assert_eq!(client.send("0\r\n\r\n").response().unwrap().text(), "whole");
    let mut client = Client::connect(edge.address);
    client.send("POST /early HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1000000\r\n\r\nsome");
    let said = client.response().unwrap();
    assert_eq!((said.status, said.text().as_str()), (403, "no"));
}

#[test]
fn a_slow_reader_slows_the_origin() {
    const WHOLE: usize = 64 << 20;
    let origin = Origin::start(|_| {
        vec![raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {WHOLE}\r\n\r\n")), raw(vec![b'x'; WHOLE])]
    });
    let edge = Setup::before(&origin).start_program();
    // What is allocated at the first request is not this one's.
    assert_eq!(ask(edge.address, get("/")).unwrap().body.len(), WHOLE);
    let before = edge.resident_kib();
    let mut client = Client::connect(edge.address);
    client.send(get("/")).head().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let grown = edge.resident_kib().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB more for one response that nobody reads");
    assert_eq!(client.exactly(WHOLE).unwrap().len(), WHOLE);
}

#[test]
fn a_body_longer_than_its_bound_is_refused() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).listener("max_body = 1000").start();
    let said = |head: &str, body: &[u8]| {
        let head = format!("POST / HTTP/1.1\r\nHost: www.example.com\r\n{head}\r\n\r\n");
        ask(edge.address, [head.as_bytes(), body].concat()).unwrap().status
    };
    assert_eq!(said("Content-Length: 1000", &[0; 1000]), 200);
    assert_eq!(said("Content-Length: 1001", &[0; 1001]), 413);
    assert_eq!(said("Content-Length: 999999999999", &[]), 413, "before any of it comes");
    let mut draw = Draw(9);
    assert_eq!(said("Transfer-Encoding: chunked", &in_chunks(&[0; 1000], &mut draw)), 200);
    assert_eq!(said("Transfer-Encoding: chunked", &in_chunks(&[0; 1001], &mut draw)), 413);
    assert!(origin.requests().iter().filter(|taken| taken.is_whole).all(|taken| taken.body.len() <= 1000));
}
