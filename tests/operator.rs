//! What an operator does at awkward moments: signals before the server is ready, a reader that goes away.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::net::TcpListener;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use rhumb::runtime::clock::Clock;

fn rhumb() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rhumb"))
}

fn tell(child: &Child, signal: &str) {
    let told = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(told.success());
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let clock = Clock::start();
    let began = clock.now();
    while !holds() {
        assert!(clock.now() - began < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn files_in(folder: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(folder).unwrap().flatten().collect()
}

#[test]
fn explain_whose_reader_has_gone_does_not_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let explain =
        ["explain", "-c", "examples/minimal.toml", "--offline", "www.example.com", "--client", "192.0.2.1", "--json"];
    for arguments in [&explain[..7], &explain[..]] {
        let out = rhumb().args(arguments).stdout(writer.try_clone().unwrap()).output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn a_demo_told_to_stop_before_it_is_ready_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = rhumb();
    demo.args(["demo", "--listen", "127.0.0.1:0"]).env("TMPDIR", temporary.path()).stdout(Stdio::null());
    let mut demo = demo.spawn().unwrap();
    wait_until("the demo writes its files", || {
        files_in(temporary.path()).first().is_some_and(|folder| folder.path().join("rhumb.toml").exists())
    });
    tell(&demo, "-TERM");
    assert_eq!(demo.wait().unwrap().code(), Some(0), "it ended by itself, not by the signal");
    assert!(files_in(temporary.path()).is_empty(), "its folder is gone");
}

#[test]
fn a_hangup_before_the_first_round_of_probes_is_over_does_not_end_the_server() {
    // It takes connections and never answers, so that the server waits for its first probe.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("rhumb.toml");
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nzones_dir = \"zones\"\nstart_timeout = \"2s\"\n\n[admin]\nsocket = \"admin.sock\"\n\n\
         [region.r]\nlocation = [0, 0]\n\n[health_check.web]\ntype = \"http\"\ntimeout = \"4s\"\ninterval = \"5s\"\n\n\
         [pool.p]\nregion = \"r\"\nhealth_check = \"web\"\nendpoints = [{{ address = \"127.0.0.1\", port = {port} }}]\n\n\
         [vip.\"www.example.com.\"]\npolicy = \"failover\"\npools = [{{ pool = \"p\" }}]\n"
    );
    fs::write(&config, text).unwrap();
    fs::create_dir(folder.path().join("zones")).unwrap();
    fs::copy("zones/example.com.zone", folder.path().join("zones/example.com.zone")).unwrap();

    let mut server = rhumb();
    server.args(["serve", "-c"]).arg(&config).env("RHUMB_LOG", "info").stderr(Stdio::piped());
    let mut server = server.spawn().unwrap();
    wait_until("the server opens its admin socket", || folder.path().join("admin.sock").exists());
    tell(&server, "-HUP");
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("reloaded")), "it goes on, and then reloads");
    tell(&server, "-TERM");
    // Whoever writes a log wants it read.
    log.for_each(drop);
    assert_eq!(server.wait().unwrap().code(), Some(0));
}
