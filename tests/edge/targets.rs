//! What does a request ask for? One path in one form, and what is routed is what is forwarded.

use crate::kit::Findings;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::refused::refused;

#[test]
fn targets_without_an_honest_meaning_are_refused() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for (line, statuses) in [
        ("GET /a#b", &[400][..]),
        ("GET /a?b#c", &[400]),
        ("GET #", &[400]),
        ("GET /../etc/passwd", &[400]),
        ("GET /a/../../b", &[400]),
        ("GET /%2e%2e/a", &[400]),
        ("GET /a/%2E%2E/..", &[400]),
        ("GET /a/..%2fb", &[400]),
        ("GET /a/..;/b", &[400]),
        ("GET /a\\b", &[400]),
        ("GET /a/..%5cb", &[400]),
        ("GET /a%00b", &[400]),
        ("GET /a\0b", &[400]),
        ("GET /a\tb", &[400]),
        ("GET /a\x7fb", &[400]),
        ("GET /a%", &[400]),
        ("GET /a%2", &[400]),
        ("GET /a%zz", &[400]),
        ("GET a", &[400]),
        ("GET *", &[400]),
        ("POST *", &[400]),
        ("GET www.example.com:80", &[400]),
        ("OPTIONS **", &[400]),
        ("GET ?a", &[400]),
    ] {
        let bytes = format!("{line} HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
        findings.note(&line.escape_debug().to_string(), refused(&edge, &origin, bytes, statuses));
    }
    findings.end();
}

#[test]
fn a_path_has_one_form_behind_us() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    for (asked, forwarded) in [
        ("/", "/"),
        ("/a/b?c=d&e", "/a/b?c=d&e"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("//a///b", "/a/b"),
        ("/%61dmin", "/admin"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%2fb", "/a%2Fb"),
        ("/a?b=/../c", "/a?b=/../c"),
        ("/a?", "/a?"),
        ("/%3Fa", "/%3Fa"),
        ("http://www.example.com", "/"),
        ("http://www.example.com/a//b?c", "/a/b?c"),
    ] {
        assert_eq!(ask(edge.address, get(asked)).unwrap().status, 200, "{asked}");
        assert_eq!(origin.requests().last().unwrap().target(), forwarded, "{asked}");
    }
}

#[test]
fn the_asterisk_is_for_options_alone() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let said = ask(edge.address, "OPTIONS * HTTP/1.1\r\nHost: www.example.com\r\n\r\n").unwrap();
    assert!(said.status < 300, "{said:?}");
    assert_eq!(origin.only().target(), "*");
}

#[test]
fn spellings_do_not_lead_around_a_route() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let routes = "{ path_prefix = \"/admin\", respond = { status = 403 } }, { pool = \"origin\" }";
    let edge = Setup::before(&origin).routes(routes).start();
    let mut findings = Findings::default();
    for path in [
        "/admin",
        "/admin/",
        "/admin/x",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/%61dmin",
        "/%61%64%6D%69%6E",
        "http://www.example.com//admin",
        "/x/%2e%2e/admin",
        "/admin?x",
        "/admin/./x",
    ] {
        let said = ask(edge.address, get(path));
        findings.expect(path, said.as_ref().is_ok_and(|said| matches!(said.status, 403 | 400)), || format!("{said:?}"));
    }
    let seen: Vec<_> = origin.requests().iter().map(|taken| taken.line()).collect();
    findings.expect(
        "the origin",
        seen.iter().all(|line| !line.contains("dmin /") && !line.contains("/admin ")),
        || format!("{seen:?}"),
    );
    findings.end();
}

#[test]
fn too_long_is_told_by_what_is_too_long() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    let long = "a".repeat(64 << 10);
    findings.note("a long target", refused(&edge, &origin, get(&format!("/{long}")), &[414]));
    let header = format!("GET / HTTP/1.1\r\nHost: www.example.com\r\nX: {long}\r\n\r\n");
    findings.note("a long header", refused(&edge, &origin, header, &[431]));
    let many: String = (0..5000).map(|n| format!("x{n}: 1\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nHost: www.example.com\r\n{many}\r\n");
    findings.note("many headers", refused(&edge, &origin, many, &[431]));
    let name = format!("GET / HTTP/1.1\r\nHost: www.example.com\r\n{long}: x\r\n\r\n");
    findings.note("a long name", refused(&edge, &origin, name, &[431]));
    findings.end();
}
