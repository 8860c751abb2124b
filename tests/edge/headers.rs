//! Lines that are no header lines, names that forge others, and what is for one hop alone.

use crate::kit::Findings;
use crate::kit::client::ask;
use crate::kit::edge::Setup;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::origin::raw;
use crate::kit::refused::refused;
use crate::kit::refused::refused_for_good;

#[test]
fn lines_that_are_no_header_lines_are_refused() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for lines in [
        "X-A : 1",
        "X-A\t: 1",
        "X A: 1",
        ": 1",
        "X-A",
        "X-A: 1\r\n folded",
        "X-A: 1\r\n\tfolded",
        "X-A: 1\nX-B: 2",
        "X-A: 1\rX-B: 2",
        "X-A: 1\r",
        "X-A: 1\0",
        "X-A: \x01",
        "X-A: \x7f",
        "X\0A: 1",
        "X\rA: 1",
        "X\x7fA: 1",
        "X(A): 1",
        "X@A: 1",
        "X/A: 1",
        "X\"A: 1",
        "caf\u{e9}: 1",
        "\x0bX-A: 1",
        " X-A: 1",
        "X-A: 1\n",
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: www.example.com\r\n{lines}\r\n\r\n");
        findings.note(&lines.escape_debug().to_string(), refused_for_good(&edge, &origin, bytes, &[400]));
    }
    // Before Host, where a fold would be the request line's.
    let folded = "GET / HTTP/1.1\r\n X: y\r\nHost: www.example.com\r\n\r\n";
    findings.note("a fold of the request line", refused_for_good(&edge, &origin, folded, &[400]));
    findings.end();
}

#[test]
fn request_lines_that_are_none_are_refused() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for (line, statuses) in [
        ("GET / HTTP/1.1 ", &[400, 505][..]),
        ("GET / HTTP/1.1 HTTP/1.1", &[400, 505]),
        ("GET  / HTTP/1.1", &[400]),
        ("GET /  HTTP/1.1", &[400, 505]),
        ("GET\t/\tHTTP/1.1", &[400]),
        ("GET\x0b/ HTTP/1.1", &[400]),
        (" GET / HTTP/1.1", &[400]),
        ("G\0T / HTTP/1.1", &[400]),
        ("G\u{e9}T / HTTP/1.1", &[400]),
        ("GET /a b HTTP/1.1", &[400, 505]),
        ("GET / http/1.1", &[400, 505]),
        ("GET / HTTP/1.2", &[400, 505]),
        ("GET / HTTP/1.01", &[400, 505]),
        ("GET / HTTP/2.0", &[400, 505]),
        ("GET / HTTP/3.0", &[400, 505]),
        ("GET / HTTP/11", &[400, 505]),
        ("GET / HTTPS/1.1", &[400, 505]),
        ("GET / SIP/2.0", &[400, 505]),
        ("GET /", &[400, 505]),
        ("GET", &[400]),
        ("CONNECT www.example.com:443 HTTP/1.1", &[400, 405]),
    ] {
        let bytes = format!("{line}\r\nHost: www.example.com\r\n\r\n");
        findings.note(&line.escape_debug().to_string(), refused(&edge, &origin, bytes, statuses));
    }
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        findings.note(&bytes.escape_ascii().to_string(), refused_for_good(&edge, &origin, bytes, &[400, 505]));
    }
    findings.end();
}

#[test]
fn names_that_others_read_as_ours_are_refused() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for name in ["X_Real_IP", "X-Forwarded_For", "Content_Length", "_", "a_b"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: www.example.com\r\n{name}: 192.0.2.9\r\n\r\n");
        findings.note(name, refused(&edge, &origin, bytes, &[400]));
    }
    for names in [
        "Host",
        "host",
        "close, Host",
        "X-Forwarded-For",
        "x-forwarded-proto",
        "X-Real-IP",
        "Forwarded",
        "Content-Length",
        "Content-Type",
        "Transfer-Encoding",
        "Cookie",
        "Authorization",
        "keep-alive,content-encoding",
        "X-Request-Id",
        "Trailer",
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: {names}\r\n\r\n");
        findings.note(&format!("Connection: {names}"), refused(&edge, &origin, bytes, &[400]));
    }
    findings.end();
}

#[test]
fn names_with_underscores_are_dropped_or_kept_where_the_listener_says_so() {
    if only_for_rhumb() {
        return;
    }
    let request = "GET / HTTP/1.1\r\nHost: www.example.com\r\nx_meta: 1\r\nX_Real_IP: 192.0.2.9\r\n\r\n";
    for (rule, kept) in [("drop", None), ("keep", Some("1"))] {
        let origin = Origin::plain();
        let edge = Setup::before(&origin).listener(&format!("underscores = \"{rule}\"")).start();
        assert_eq!(ask(edge.address, request).unwrap().status, 200);
        let taken = origin.only();
        assert_eq!(taken.header("x_meta").as_deref(), kept, "{rule}");
        assert_eq!(taken.header("x_real_ip"), None, "a CGI program would read it as ours");
        assert_eq!(taken.header("x-real-ip").as_deref(), Some("127.0.0.1"));
    }
}

#[test]
fn what_is_for_one_hop_ends_with_it() {
    let origin = Origin::start(|_| {
        let hops =
            "Connection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Kept: 1\r\n";
        vec![raw(format!("HTTP/1.1 200 OK\r\n{hops}Content-Length: 0\r\n\r\n")), crate::kit::origin::Step::Close]
    });
    let edge = Setup::before(&origin).start();
    let hops = "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip\r\nX-Kept: 1\r\n";
    let said = ask(edge.address, format!("GET / HTTP/1.1\r\nHost: www.example.com\r\n{hops}\r\n")).unwrap();
    let taken = origin.only();
    let mut findings = Findings::default();
    for name in ["x-hop", "keep-alive", "proxy-connection", "te"] {
        findings.expect("request", taken.all(name).is_empty(), || format!("{name}: {:?}", taken.all(name)));
        findings.expect("response", said.all(name).is_empty(), || format!("{name}: {:?}", said.all(name)));
    }
    findings.expect("the client's connection goes on", !said.says_close(), || format!("{:?}", said.headers));
    assert_eq!((taken.header("x-kept").as_deref(), said.header("x-kept")), (Some("1"), Some("1")));
    findings.end();
}

const FORGED: &str = "X-Forwarded-For: 192.0.2.9\r\nX-Real-IP: 192.0.2.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n\
                      Forwarded: for=192.0.2.9\r\nX-Request-Id: theirs\r\n";

#[test]
fn what_a_stranger_says_of_the_client_is_not_believed() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    ask(edge.address, format!("GET / HTTP/1.1\r\nHost: www.example.com\r\n{FORGED}\r\n")).unwrap();
    let taken = origin.only();
    let expected = [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "www.example.com"),
        ("forwarded", "for=127.0.0.1;host=\"www.example.com\";proto=http"),
    ];
    for (name, value) in expected {
        assert_eq!(taken.header(name).as_deref(), Some(value), "{name}");
    }
    assert!(taken.header("x-request-id").is_some_and(|id| id != "theirs" && id.len() >= 16));
}

#[test]
fn what_a_trusted_proxy_says_of_the_client_is_added_to() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).listener("trusted_proxies = [\"127.0.0.0/8\"]").start();
    ask(edge.address, format!("GET / HTTP/1.1\r\nHost: www.example.com\r\n{FORGED}\r\n")).unwrap();
    let taken = origin.only();
    let expected = [
        ("x-forwarded-for", "192.0.2.9, 127.0.0.1"),
        ("x-real-ip", "192.0.2.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-request-id", "theirs"),
    ];
    for (name, value) in expected {
        assert_eq!(taken.header(name).as_deref(), Some(value), "{name}");
    }
}
