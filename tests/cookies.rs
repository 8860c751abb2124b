//! DNS cookies as `dig` sees them: it checks that its own came back, and says of the server's whether it is good.

mod common;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use common::servers;

const ZONE: &str = "$TTL 300\n@ SOA ns1 hostmaster 1 1h 15m 1w 60\n@ NS ns1\nns1 A 192.0.2.53\n";
const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const OTHER: &str = "445536bcd2513298075a5d379663c962";

/// The line about the cookie in what `dig` shows.
fn cookie(server: SocketAddr, option: &str) -> String {
    let output = Command::new("dig")
        .args(["+tries=2", "+time=2", option, &format!("@{}", server.ip()), "-p", &server.port().to_string()])
        .args(["ns1.example.com", "A"])
        .output()
        .expect("dig runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("192.0.2.53"), "the question is answered, too:\n{text}");
    text.lines().find_map(|line| line.strip_prefix("; COOKIE: ")).unwrap_or("none").to_owned()
}

/// The digits of a cookie that dig took.
fn good(line: &str) -> &str {
    let digits = line.strip_suffix(" (good)").unwrap_or_else(|| panic!("dig does not take {line}"));
    assert_eq!(digits.len(), 48, "8 bytes of the client, 16 of ours");
    digits
}

#[test]
fn dig_takes_our_cookies_and_nodes_take_each_others() {
    if common::program("dig").is_none() {
        return common::skipped("dig is not installed (bind9-dnsutils)");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("example.com.zone"), ZONE).unwrap();
    let node = |name: &str, secrets: Option<&str>| {
        let home = dir.path().join(name);
        fs::create_dir(&home).unwrap();
        let more = secrets.map_or_else(String::new, |secrets| {
            fs::write(home.join("cookie.key"), secrets).unwrap();
            format!("cookie_secret_file = \"{}\"\n", home.join("cookie.key").display())
        });
        servers::rhumb(&home, dir.path(), &more)
    };
    let first = node("first", Some(SECRET));
    let second = node("second", Some(SECRET));
    let rolling = node("rolling", Some(&format!("{OTHER}\n{SECRET}\n")));
    let alone = node("alone", None);

    let line = cookie(first.address, "+cookie");
    let known = good(&line);
    let again = format!("+cookie={known}");
    // A fresh one of a node with the same secret goes back as it came; all others make a new one.
    assert_eq!(good(&cookie(first.address, &again)), known);
    assert_eq!(good(&cookie(second.address, &again)), known);
    for node in [&rolling, &alone] {
        let line = cookie(node.address, &again);
        let new = good(&line);
        assert_eq!(new[..16], known[..16]);
        assert_ne!(new[32..], known[32..]);
    }
    assert_eq!(cookie(first.address, "+nocookie"), "none");
}

#[test]
fn a_file_that_holds_no_secrets_is_told_by_its_line_and_its_text_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (config, secrets) = (dir.path().join("rhumb.toml"), dir.path().join("cookie.key"));
    fs::write(&config, "[server]\nlisten = [\"127.0.0.1:0\"]\ncookie_secret_file = \"cookie.key\"\n").unwrap();
    let check = |text: Option<&str>| {
        match text {
            Some(text) => fs::write(&secrets, text).unwrap(),
            None => fs::remove_file(&secrets).unwrap(),
        }
        let output = Command::new(env!("CARGO_BIN_EXE_rhumb")).arg("check").arg("-c").arg(&config).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert!(check(Some(SECRET)).0);
    let (sound, said) = check(Some("# ours\ne5e973e5\n"));
    assert!(!sound && said.contains("[E0241]") && said.contains("cookie.key:2"), "{said}");
    assert!(said.contains("32 hexadecimal digits") && said.contains("openssl rand -hex 16"), "{said}");
    let (sound, said) = check(Some("\n"));
    assert!(!sound && said.contains("there is no secret"), "{said}");
    let (sound, said) = check(None);
    assert!(!sound && said.contains("[E0132]") && said.contains("file of cookie secrets"), "{said}");
}
