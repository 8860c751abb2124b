//! The demo, as somebody in front of two terminals sees it: a region fails and no request does, an operator drains one, and
//! what `--write` leaves is served without it.

mod common;

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::Running;
use common::poll;

/// Longer than anything here takes, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(60);

fn rhumb(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    for name in ["RHUMB_CONFIG", "RHUMB_SOCKET", "RHUMB_SERVER", "RHUMB_TOKEN_FILE"] {
        command.env_remove(name);
    }
    command.current_dir(folder);
    command
}

/// Runs a command that must go well; what it prints.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let out = rhumb(folder).args(arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "rhumb {}: {text}", arguments.join(" "));
    text
}

/// What happened, and when in seconds: the lines with a time before them.
fn happened(text: &str) -> Vec<(f64, &str)> {
    text.lines().filter_map(stamped).collect()
}

fn stamped(line: &str) -> Option<(f64, &str)> {
    let (time, what) = line.trim_start().split_once("s ")?;
    Some((time.parse().ok()?, what.trim()))
}

/// The place and time of the first thing from `from` on that begins and ends so.
fn find(events: &[(f64, &str)], from: usize, begins: &str, ends: &str) -> (usize, f64) {
    let fits = |what: &str| what.starts_with(begins) && what.ends_with(ends);
    let found = events.iter().enumerate().skip(from).find(|(_, (_, what))| fits(what));
    let (at, (time, _)) =
        found.unwrap_or_else(|| panic!("`{begins}…{ends}` did not happen after {from} in {events:#?}"));
    (at, *time)
}

#[test]
fn a_region_fails_and_no_request_does() {
    let folder = tempfile::tempdir().unwrap();
    let text = done(
        folder.path(),
        &["demo", "--listen", "127.0.0.1:0", "--rate", "100", "--fail-after", "4s", "--seconds", "15"],
    );
    let events = happened(&text);
    let (at, failed) = find(&events, 0, "--- Frankfurt (eu-west) fails", "");
    // Evidence climbs through the tiers, each by its own probes, and so in no strict order.
    for tier in ["L4 l4-eu-west-a: applications", "L4 l4-eu-west-b: applications", "L7 edge-eu-west: zones"] {
        let (down, _) = find(&events, at, tier, " down");
        find(&events, down, tier, " up");
    }
    let (at, _) = find(&events, at, "DNS: eu-west", " down");
    let (at, moved) = find(&events, at, "DNS sends the first of Frankfurt's clients to ", "");
    assert!(moved - failed < 5.0, "{moved}: {text}");
    let (at, _) = find(&events, at, "Frankfurt was away", "and 0 failed");
    let (at, _) = find(&events, at, "--- Frankfurt (eu-west) is back", "");
    let (at, _) = find(&events, at, "DNS: eu-west", " up");
    find(&events, at, "DNS sends the first of them back to Frankfurt", "");

    for begins in ["region    state ", "eu-west   up ", "us-east   up ", "ap-south  up "] {
        assert!(text.lines().any(|line| line.starts_with(begins)), "no line of the table begins `{begins}`: {text}");
    }
    assert!(text.contains("another region than they were sent to; no request failed\n"), "{text}");
}

/// The body of an answer of eu-west's edge; none when there is none.
fn fetched(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::new(127, 1, 1, 10), port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: www.example.com\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
}

/// Waits until eu-west's edge answers so.
fn answers(port: u16, begins: &str) {
    let mut last = None;
    let answered = poll(PATIENCE, || {
        last = fetched(port);
        last.as_ref().is_some_and(|body| body.starts_with(begins))
    });
    assert!(answered, "{last:?}, not {begins}");
}

#[test]
fn an_operator_drains_a_region_of_the_demo_and_serves_what_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = rhumb(folder.path());
    command.args(["demo", "--write", "left", "--listen", "127.0.0.1:0", "--rate", "50", "--fail-after", "10m"]);
    let mut demo = Running::start(command, "demo", folder.path());
    demo.wait_until(|| true);
    assert!(poll(PATIENCE, || demo.log().contains("Ctrl-C ends it")), "{}", demo.log());
    let config = folder.path().join("left/rhumb.toml");
    let text = fs::read_to_string(&config).unwrap();
    let port = text.split_once("--port ").unwrap().1.split_whitespace().next().unwrap().parse().unwrap();

    assert!(done(folder.path(), &["check", "-c", "left/rhumb.toml"]).contains("ok: 3 regions"));
    answers(port, "eu-west · L7 edge-eu-west 127.1.1.10:");
    done(folder.path(), &["drain", "region/eu-west", "--socket", "left/admin.sock"]);
    // Who comes nevertheless is forwarded, and the clients are sent elsewhere.
    answers(port, "us-east · L7 edge-eu-west 127.1.1.10:");
    let has_happened =
        |what: &str| poll(PATIENCE, || happened(&demo.log()).iter().any(|(_, event)| event.starts_with(what)));
    assert!(has_happened("DNS: eu-west drained"), "{}", demo.log());
    assert!(has_happened("DNS sends the first of Frankfurt's clients to Ashburn"), "{}", demo.log());
    done(folder.path(), &["undrain", "region/eu-west", "--socket", "left/admin.sock"]);
    answers(port, "eu-west · ");
    assert!(has_happened("DNS sends the first of them back to Frankfurt"), "{}", demo.log());
    demo.signal("TERM");
    assert!(poll(PATIENCE, || !demo.is_alive()));
    assert!(demo.log().contains("no request failed\n"), "{}", demo.log());

    let mut command = rhumb(folder.path());
    command.args(["demo", "--apps-only", "--regions", "3", "--port", &port.to_string()]);
    let apps = Running::start(command, "apps", folder.path());
    assert!(poll(PATIENCE, || apps.log().contains("the applications of 3 regions answer")), "{}", apps.log());
    let mut command = rhumb(folder.path());
    command.args(["serve", "-c", "left/rhumb.toml"]);
    let _server = Running::start(command, "serve", folder.path());
    answers(port, "eu-west · L7 edge-eu-west 127.1.1.10:");
}
