//! `rhumb zone check`: what an operator sees, and the exit code a script sees.

use std::fs;
use std::process::{Command, Output};

const BAD: &str =
    "$TTL 1h\n@ SOA ns1 h 1 1h 1h 1h 1h\n@ NS ns1\nns1 A 192.0.2\nwww CNMAE ns1\nwww A 192.0.2.1 ; fine\n";

fn check(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rhumb")).args(["zone", "check"]).args(args).output().unwrap()
}

#[test]
fn every_problem_has_its_place_and_its_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("example.net.zone");
    fs::write(&file, BAD).unwrap();
    let path = file.to_str().unwrap();
    let short = check(&[path, "--format", "short"]);
    assert_eq!(short.status.code(), Some(3));
    let expected = format!(
        "{path}:4:7: error[E0203]: `192.0.2` is not an IPv4 address\n\
         {path}:5:5: error[E0202]: `CNMAE` is no type of record; did you mean `CNAME`?\n2 errors\n"
    );
    assert_eq!(String::from_utf8_lossy(&short.stdout), expected);
    let text = String::from_utf8(check(&[path]).stdout).unwrap();
    assert!(text.contains("5 | www CNMAE ns1\n  |     ^^^^^"), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&check(&[path, "--format", "json"]).stdout).unwrap();
    assert_eq!((&json["errors"], &json["problems"][0]["line"]), (&2.into(), &4.into()));
}

#[test]
fn a_good_zone_is_named_with_its_serial() {
    let good = check(&["zones/example.com.zone", "--origin", "example.com"]);
    assert_eq!(good.status.code(), Some(0));
    let text = String::from_utf8(good.stdout).unwrap();
    assert!(text.starts_with("zones/example.com.zone: ok: example.com. serial "), "{text}");
    // All its names are relative, so it can be any zone.
    assert_eq!(check(&["zones/example.com.zone", "--origin", "example.org"]).status.code(), Some(0));
    assert_eq!(check(&["zones/nothere.zone"]).status.code(), Some(3));
}
