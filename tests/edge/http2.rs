//! HTTP/2 with prior knowledge: what a request may not be, and what it becomes for an origin of HTTP/1.1.

use crate::kit::Findings;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::h2;
use crate::kit::h2::CONTINUATION;
use crate::kit::h2::DATA;
use crate::kit::h2::END_HEADERS;
use crate::kit::h2::END_STREAM;
use crate::kit::h2::Fate;
use crate::kit::h2::Frame;
use crate::kit::h2::H2;
use crate::kit::h2::HEADERS;
use crate::kit::h2::PING;
use crate::kit::h2::SETTINGS;
use crate::kit::h2::WINDOW_UPDATE;
use crate::kit::h2::block;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::refused::nothing_came;

fn is_refused(edge: &Edge, origin: &Origin, fields: &[(&str, &str)]) -> Result<(), String> {
    let before = origin.requests().len();
    let mut client = H2::connect(edge.address);
    client.request(1, fields);
    let fate = client.fate(1);
    nothing_came(edge, origin, before)?;
    if fate.is_refusal() { Ok(()) } else { Err(format!("{fate:?}")) }
}

#[test]
fn requests_that_http_1_could_misread_are_refused() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    let (method, scheme, authority, path) =
        ((":method", "GET"), (":scheme", "http"), (":authority", "www.example.com"), (":path", "/"));
    let good = [method, scheme, authority, path];
    for (case, fields) in [
        ("no authority", vec![method, scheme, path]),
        ("an empty authority", vec![method, scheme, (":authority", ""), path]),
        ("userinfo", vec![method, scheme, (":authority", "user@www.example.com"), path]),
        ("a path in the authority", vec![method, scheme, (":authority", "www.example.com/x"), path]),
        ("two authorities", vec![method, scheme, authority, authority, path]),
        ("no path", vec![method, scheme, authority]),
        ("an empty path", vec![method, scheme, authority, (":path", "")]),
        ("no scheme", vec![method, authority, path]),
        ("no method", vec![scheme, authority, path]),
        ("a request in the method", vec![(":method", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"), scheme, authority, path]),
        ("a request in the path", vec![method, scheme, authority, (":path", "/ HTTP/1.1\r\nHost: x\r\n\r\nGET /")]),
        ("a space in the path", vec![method, scheme, authority, (":path", "/a b")]),
        ("above the root", vec![method, scheme, authority, (":path", "/../a")]),
        ("an asterisk", vec![method, scheme, authority, (":path", "*")]),
        ("an absolute path", vec![method, scheme, authority, (":path", "http://x/")]),
        ("an unknown pseudo-header", vec![method, scheme, authority, path, (":x", "y")]),
    ] {
        findings.note(case, is_refused(&edge, &origin, &fields));
    }
    for (name, value) in [
        ("host", "other.example"),
        ("connection", "close"),
        ("keep-alive", "5"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("content-length", "5"),
        ("content-length", "+0"),
        ("content-length", "0, 0"),
        ("X-Upper", "y"),
        ("x y", "z"),
        ("x:y", "z"),
        ("x_y", "z"),
        ("", "z"),
        ("x\r\ny", "z"),
        ("x", "a\r\nTransfer-Encoding: chunked"),
        ("x", "a\nb"),
        ("x", "a\0b"),
        ("x", " a"),
        ("x", "a "),
        ("x", "\ta"),
        (":path", "/late"),
    ] {
        let fields = [&good[..], &[(name, value)]].concat();
        findings
            .note(&format!("{} = {}", name.escape_debug(), value.escape_debug()), is_refused(&edge, &origin, &fields));
    }
    findings.end();
}

#[test]
fn a_request_becomes_one_of_http_1() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut client = H2::connect(edge.address);
    let crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("x-kept", "1")];
    client.request(1, &[&h2::get("/a?b=c")[..], &crumbs].concat());
    assert_eq!(client.fate(1), Fate::Status(200));
    let taken = origin.only();
    assert_eq!(taken.line(), "GET /a?b=c HTTP/1.1");
    assert_eq!(taken.header("host").as_deref(), Some("www.example.com"));
    assert_eq!(taken.header("cookie").as_deref(), Some("a=1; b=2"));
    assert_eq!(taken.header("x-kept").as_deref(), Some("1"));
    assert!(taken.all("transfer-encoding").is_empty() && taken.all("content-length").is_empty(), "no body");
    client.request(3, &[&h2::get("/same")[..], &[("host", "www.example.com")]].concat());
    assert_eq!(client.fate(3), Fate::Status(200), "a Host that says the same");
    assert_eq!(origin.last().all("host").len(), 1);
}

#[test]
fn a_fragment_is_refused_or_cut_off() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut client = H2::connect(edge.address);
    client.request(1, &h2::get("/a?b#c"));
    let fate = client.fate(1);
    let forwarded: Vec<_> = origin.requests().iter().map(|taken| taken.target()).collect();
    assert!((fate.is_refusal() && forwarded.is_empty()) || forwarded == ["/a?b"], "{fate:?} {forwarded:?}");
}

#[test]
fn a_body_without_a_length_goes_on_in_chunks_and_one_with_it_keeps_it() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut client = H2::connect(edge.address);
    let post = |path| [(":method", "POST"), (":scheme", "http"), (":authority", "www.example.com"), (":path", path)];
    client.send(&Frame::new(HEADERS, END_HEADERS, 1, block(&post("/chunked"))));
    client.send(&Frame::new(DATA, 0, 1, "hello "));
    client.send(&Frame::new(DATA, END_STREAM, 1, "you"));
    assert_eq!(client.fate(1), Fate::Status(200));
    let taken = origin.last();
    assert_eq!(
        (taken.body.as_slice(), taken.header("transfer-encoding").as_deref()),
        (&b"hello you"[..], Some("chunked"))
    );
    client.send(&Frame::new(
        HEADERS,
        END_HEADERS,
        3,
        block(&[&post("/length")[..], &[("content-length", "5")]].concat()),
    ));
    client.send(&Frame::new(DATA, END_STREAM, 3, "hello"));
    assert_eq!(client.fate(3), Fate::Status(200));
    let taken = origin.last();
    assert_eq!((taken.body.as_slice(), taken.header("content-length").as_deref()), (&b"hello"[..], Some("5")));
}

#[test]
fn who_is_answered_early_gets_the_whole_answer() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).routes("{ respond = { status = 403, body = \"no\" } }").start();
    let mut client = H2::connect(edge.address);
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "www.example.com"), (":path", "/")];
    client.send(&Frame::new(HEADERS, END_HEADERS, 1, block(&fields)));
    client.send(&Frame::new(DATA, 0, 1, "the beginning of a body that nobody reads"));
    assert_eq!(client.fate(1), Fate::Status(403), "not a reset, which would take the answer with it");
    let body: Vec<u8> = std::iter::from_fn(|| client.next())
        .take_while(|frame| frame.kind == DATA)
        .flat_map(|frame| frame.payload)
        .take(2)
        .collect();
    assert_eq!(body, b"no");
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_is_no_request() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for (length, body) in [("5", "hell"), ("5", "hello!"), ("0", "x")] {
        let mut client = H2::connect(edge.address);
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "www.example.com"),
            (":path", "/"),
            ("content-length", length),
        ];
        client.send(&Frame::new(HEADERS, END_HEADERS, 1, block(&fields)));
        client.send(&Frame::new(DATA, END_STREAM, 1, body));
        let fate = client.fate(1);
        findings.expect(&format!("{length} and {body}"), fate.is_refusal(), || format!("{fate:?}"));
    }
    let whole = origin.requests().iter().filter(|taken| taken.is_whole).count();
    findings.expect("the origin", whole == 0, || format!("{whole} whole requests"));
    findings.end();
}

#[test]
fn frames_that_break_the_protocol_end_the_connection() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    let headers = block(&h2::get("/x"));
    for (case, frames) in [
        ("DATA of an idle stream", vec![Frame::new(DATA, 0, 1, "x")]),
        ("an even stream", vec![Frame::new(HEADERS, END_STREAM | END_HEADERS, 2, headers.clone())]),
        ("HEADERS of stream 0", vec![Frame::new(HEADERS, END_STREAM | END_HEADERS, 0, headers.clone())]),
        ("CONTINUATION of nothing", vec![Frame::new(CONTINUATION, END_HEADERS, 1, headers.clone())]),
        ("PING of 7 bytes", vec![Frame::new(PING, 0, 0, [0; 7])]),
        ("SETTINGS of 5 bytes", vec![Frame::new(SETTINGS, 0, 0, [0; 5])]),
        ("SETTINGS of a stream", vec![Frame::new(SETTINGS, 0, 1, [])]),
        ("a window of 2^31", vec![Frame::new(WINDOW_UPDATE, 0, 0, 0x7fff_ffff_u32.to_be_bytes())]),
        ("a frame of 20,000 bytes", vec![Frame::new(DATA, 0, 1, vec![0; 20_000])]),
        ("a block that is none", vec![Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, [0xff; 40])]),
        (
            "another frame inside a block",
            vec![Frame::new(HEADERS, END_STREAM, 1, headers.clone()), Frame::new(PING, 0, 0, [0; 8])],
        ),
    ] {
        let mut client = H2::connect(edge.address);
        frames.iter().for_each(|frame| _ = client.send(frame));
        let fate = client.fate(u32::MAX >> 1);
        findings.expect(case, matches!(fate, Fate::GoneAway(1..) | Fate::Ended), || format!("{fate:?}"));
    }
    findings.expect("the origin", origin.requests().is_empty(), || format!("{:?}", origin.requests()));
    findings.end();
}

#[test]
fn streams_are_independent() {
    let origin = Origin::start(|request| {
        let wait = if request.target() == "/slow" { 400 } else { 0 };
        [
            vec![
                crate::kit::origin::Step::Body,
                crate::kit::origin::Step::Wait(std::time::Duration::from_millis(wait)),
            ],
            crate::kit::origin::fixed(200, "ok"),
        ]
        .concat()
    });
    let edge = Setup::before(&origin).start();
    let mut client = H2::connect(edge.address);
    client.request(1, &h2::get("/slow"));
    for stream in (3..43).step_by(2) {
        client.request(stream, &h2::get("/quick"));
    }
    let mut order = Vec::new();
    while order.len() < 21 {
        let Some(frame) = client.next() else { break };
        match frame.kind {
            HEADERS => order.push(frame.stream),
            SETTINGS if frame.flags == 0 => _ = client.send(&Frame::new(SETTINGS, 1, 0, [])),
            _ => {}
        }
    }
    assert_eq!(order.len(), 21);
    assert_eq!(order.last(), Some(&1), "nobody waits for the slow one: {order:?}");
}
