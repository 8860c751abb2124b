//! `rhumb geo`, as an operator runs it.

use std::path::Path;
use std::process::{Command, Output};

const COUNTRY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/geo/country.mmdb");

fn geo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rhumb")).arg("geo").args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn lookup_says_where_addresses_are() {
    let found = geo(&["lookup", "133.11.0.1", "2001:638::1", "10.0.0.1", "--db", COUNTRY]);
    assert_eq!(found.status.code(), Some(0), "{}", err(&found));
    let lines: Vec<String> = out(&found).lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "133.11.0.1 AS-JP 133.0.0.0/8 country.mmdb",
            "2001:638::1 EU-DE 2001:638::/30 country.mmdb",
            "10.0.0.1 unknown 10.0.0.0/8 in no database",
        ]
    );
    let json = geo(&["lookup", "133.11.0.1", "--json", "--db", COUNTRY]);
    let json: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!((&json[0]["geo"], &json[0]["source"]), (&"AS-JP".into(), &"country.mmdb".into()));
}

#[test]
fn wrong_input_is_refused_with_its_own_exit_code() {
    assert_eq!(geo(&["lookup", "133.11.0", "--db", COUNTRY]).status.code(), Some(2));
    let no_database = geo(&["info", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    assert_eq!(no_database.status.code(), Some(3));
    assert!(err(&no_database).contains("error[E0302]"), "{}", err(&no_database));
    assert_eq!(geo(&["lookup", "192.0.2.1", "-c", "/nonexistent/rhumb.toml"]).status.code(), Some(3));
    let nowhere = geo(&["build", "--country", COUNTRY, "--out", "/nonexistent/country.mmdb"]);
    assert_eq!(nowhere.status.code(), Some(1), "{}", err(&nowhere));
}

#[test]
fn building_from_what_was_built_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let again = dir.path().join("again.mmdb");
    let built = geo(&["build", "--country", COUNTRY, "--out", again.to_str().unwrap()]);
    assert_eq!(built.status.code(), Some(0), "{}", err(&built));
    assert!(std::fs::read(&again).unwrap() == std::fs::read(Path::new(COUNTRY)).unwrap());
    let info = out(&geo(&["info", again.to_str().unwrap()]));
    assert!(info.contains("countries    250") && info.contains("built        2026-06-17"), "{info}");
}
