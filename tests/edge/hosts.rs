//! Whom does a request ask for? One host, named once and well, or nobody.

use crate::kit::Findings;
use crate::kit::client::ask;
use crate::kit::edge::Setup;
use crate::kit::origin::Origin;
use crate::kit::refused::refused;

#[test]
fn a_host_that_is_missing_repeated_or_no_host_is_refused() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for (case, target, hosts) in [
        ("none", "/", ""),
        ("two", "/", "Host: a.example\r\nHost: b.example\r\n"),
        ("the same twice", "/", "Host: a.example\r\nHost: a.example\r\n"),
        ("empty", "/", "Host:\r\n"),
        ("two in one", "/", "Host: a.example, b.example\r\n"),
        ("spaces", "/", "Host: a.example b.example\r\n"),
        ("a tab", "/", "Host: a.example\tb\r\n"),
        ("userinfo", "/", "Host: user@a.example\r\n"),
        ("a path", "/", "Host: a.example/admin\r\n"),
        ("a scheme", "/", "Host: http://a.example\r\n"),
        ("a query", "/", "Host: a.example?x\r\n"),
        ("a fragment", "/", "Host: a.example#x\r\n"),
        ("a backslash", "/", "Host: a.example\\b\r\n"),
        ("a port that is none", "/", "Host: a.example:http\r\n"),
        ("a port too large", "/", "Host: a.example:65536\r\n"),
        ("a signed port", "/", "Host: a.example:+80\r\n"),
        ("two ports", "/", "Host: a.example:80:80\r\n"),
        ("a bare IPv6 address", "/", "Host: 2001:db8::1\r\n"),
        ("half a bracket", "/", "Host: [2001:db8::1\r\n"),
        ("no address in brackets", "/", "Host: [a.example]\r\n"),
        ("bytes above ASCII", "/", "Host: caf\u{e9}.example\r\n"),
        ("absolute, another host", "http://a.example/", "Host: b.example\r\n"),
        ("absolute, another port", "http://a.example:81/", "Host: a.example\r\n"),
        ("absolute, no Host", "http://a.example/", ""),
        ("absolute, userinfo", "http://user@a.example/", "Host: a.example\r\n"),
        ("absolute, another scheme", "ftp://a.example/", "Host: a.example\r\n"),
        ("absolute, no host", "http:///path", "Host: a.example\r\n"),
    ] {
        findings.note(case, refused(&edge, &origin, format!("GET {target} HTTP/1.1\r\n{hosts}\r\n"), &[400]));
    }
    findings.end();
}

#[test]
fn a_good_host_is_passed_on_as_it_is() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for (target, host, forwarded) in [
        ("/", "www.example.com", "www.example.com"),
        ("/", "www.example.com:8080", "www.example.com:8080"),
        ("/", "[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("/", "192.0.2.1", "192.0.2.1"),
        ("http://www.example.com/", "www.example.com", "www.example.com"),
        ("http://WWW.example.com/", "www.EXAMPLE.com", ""),
        ("http://www.example.com:80/", "www.example.com", ""),
    ] {
        let case = format!("{target} at {host}");
        let said = ask(edge.address, format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let taken = origin.requests().pop();
        findings.note(&case, said.and_then(|said| (said.status == 200).then_some(()).ok_or(said.status.to_string())));
        let Some(taken) = taken else { continue };
        findings.expect(&case, taken.target() == "/" || crate::kit::peer().is_some(), || taken.line());
        let hosts = taken.all("host");
        let is_right = hosts.len() == 1 && (forwarded.is_empty() || hosts[0] == forwarded);
        findings.expect(&case, is_right, || format!("{hosts:?}"));
    }
    findings.end();
}
