//! The query log of a running server: what is in a line, where lines go when the file is renamed, what a reload changes.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::dns::Question;
use common::dns::ask;
use common::dns::rtype;
use common::poll;
use common::servers::Server;
use common::servers::rhumb_at;

const RHUMB: &str = env!("CARGO_BIN_EXE_rhumb");
/// Longer than any of it takes on a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

struct Site {
    dir: tempfile::TempDir,
    server: Server,
}

fn config(log: &str) -> String {
    format!(
        "{log}[admin]\nsocket = \"admin.sock\"\n[region.east]\n[pool.one]\nregion = \"east\"\n\
         endpoints = [{{ address = \"192.0.2.10\" }}]\n\
         [vip.\"www.example.com.\"]\npolicy = \"hash\"\nttl = \"20s\"\npools = [{{ pool = \"one\" }}]\n"
    )
}

impl Site {
    fn start(log: &str) -> Site {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        let zone = "$TTL 60\n@ SOA ns h 1 1h 15m 1w 60\n@ NS ns\nns A 192.0.2.53\n";
        fs::write(dir.path().join("zones/example.com.zone"), zone).unwrap();
        let server = rhumb_at(common::free_address(), dir.path(), &dir.path().join("zones"), &config(log));
        Site { dir, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ask(&self, name: &str, rtype: u16) {
        ask(self.server.address, &Question::new(name, rtype));
    }

    fn reload_with(&self, log: &str) -> (Option<i32>, String) {
        let listen = format!("[server]\nlisten = [\"{}\"]\nzones_dir = \"zones\"\n", self.server.address);
        fs::write(self.path("edited.tmp"), listen + &config(log)).unwrap();
        fs::rename(self.path("edited.tmp"), self.path("rhumb.toml")).unwrap();
        let output = Command::new(RHUMB).arg("reload").current_dir(self.dir.path()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The first line of a file that holds this, as soon as there is one.
    fn line(&self, file: &str, holding: &str) -> String {
        let find = || {
            let text = fs::read_to_string(self.path(file)).unwrap_or_default();
            text.lines().find(|line| line.contains(holding)).map(str::to_owned)
        };
        assert!(poll(PATIENCE, || find().is_some()), "no line with {holding} in {file}");
        find().unwrap()
    }
}

#[test]
fn a_line_says_who_asked_what_and_why_it_was_answered_so() {
    let site = Site::start("[query_log]\nfile = \"queries.log\"\nsample = 1\nformat = \"json\"\n");
    site.ask("wWw.example.com.", rtype::A);
    let line: serde_json::Value = serde_json::from_str(&site.line("queries.log", "www.example.com.")).unwrap();
    for (field, value) in [
        ("proto", "UDP"),
        ("client", "127.0.0.0/24"),
        ("name", "www.example.com."),
        ("type", "A"),
        ("rcode", "NOERROR"),
        ("zone", "example.com."),
        ("vip", "www.example.com."),
        ("pool", "one"),
        ("region", "east"),
        ("reason", "preferred"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!((line["ttl"].as_u64(), &line["answers"]), (Some(20), &serde_json::json!(["192.0.2.10"])), "{line}");
    assert!(
        line["time"].as_str().is_some_and(|time| time.ends_with('Z')) && line["bytes"].as_u64() > Some(40),
        "{line}"
    );

    site.ask("missing.example.com.", rtype::AAAA);
    let line: serde_json::Value = serde_json::from_str(&site.line("queries.log", "missing")).unwrap();
    assert_eq!((&line["rcode"], &line["vip"]), (&"NXDOMAIN".into(), &serde_json::Value::Null), "{line}");
}

#[test]
fn a_renamed_file_is_followed_by_a_new_one_and_no_line_is_lost() {
    let site = Site::start("[query_log]\nfile = \"queries.log\"\nsample = \"100%\"\n");
    site.ask("before.example.com.", rtype::A);
    site.line("queries.log", "name=before.example.com. type=A rcode=NXDOMAIN");
    fs::rename(site.path("queries.log"), site.path("queries.log.1")).unwrap();
    assert!(poll(PATIENCE, || site.path("queries.log").exists()), "a new file");
    site.ask("after.example.com.", rtype::A);
    site.line("queries.log", "name=after.example.com.");
    assert!(fs::read_to_string(site.path("queries.log.1")).unwrap().contains("before.example.com."));
}

#[test]
fn a_reload_turns_it_on_changes_it_and_turns_it_off() {
    let site = Site::start("");
    site.ask("quiet.example.com.", rtype::A);
    let (code, said) = site.reload_with("[query_log]\nfile = \"missing/queries.log\"\nsample = 1\n");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("cannot write the query log"), "{said}");
    assert!(said.contains("E0406"), "{said}");

    assert_eq!(site.reload_with("[query_log]\nfile = \"queries.log\"\nsample = 1\nclient = \"none\"\n").0, Some(0));
    site.ask("loud.example.com.", rtype::A);
    let line = site.line("queries.log", "loud.example.com.");
    assert!(!line.contains("client=") && !line.contains("127.0.0"), "{line}");
    assert!(!fs::read_to_string(site.path("queries.log")).unwrap().contains("quiet"));

    assert_eq!(site.reload_with("").0, Some(0));
    site.ask("silent.example.com.", rtype::A);
    assert_eq!(site.reload_with("[query_log]\nfile = \"queries.log\"\nsample = 1\nclient = \"full\"\n").0, Some(0));
    site.ask("again.example.com.", rtype::A);
    assert!(site.line("queries.log", "again.example.com.").contains("client=127.0.0.1 "));
    assert!(!fs::read_to_string(site.path("queries.log")).unwrap().contains("silent"));
}
