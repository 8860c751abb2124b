//! Reloads are all or nothing, and bad files are refused with their place: at start, and while serving.

mod common;

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::time::Duration;

use common::dns::Question;
use common::dns::ask;
use common::dns::rtype;
use common::poll;
use common::servers::Server;
use common::servers::rhumb_at;

const RHUMB: &str = env!("CARGO_BIN_EXE_rhumb");
const COUNTRIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/geo/country.mmdb");
/// Longer than any of it takes on a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

fn zone(address: &str) -> String {
    format!("$TTL 60\n@ SOA ns h 1 1h 15m 1w 60\n@ NS ns\nns A 192.0.2.53\nstatic A {address}\n")
}

fn vip(address: &str) -> String {
    format!(
        "[admin]\nsocket = \"admin.sock\"\n[geo]\ndatabases = [\"country.mmdb\"]\n[region.one]\n[pool.one]\nregion = \"one\"\n\
         endpoints = [{{ address = \"{address}\" }}]\n[vip.\"www.example.com.\"]\npolicy = \"failover\"\npools = [{{ pool = \"one\" }}]\n"
    )
}

/// A server on loopback whose files can be changed.
struct Site {
    dir: tempfile::TempDir,
    server: Server,
}

impl Site {
    fn start() -> Site {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::write(dir.path().join("zones/example.com.zone"), zone("192.0.2.1")).unwrap();
        fs::copy(COUNTRIES, dir.path().join("country.mmdb")).unwrap();
        let server = rhumb_at(common::free_address(), dir.path(), &dir.path().join("zones"), &vip("192.0.2.10"));
        Site { dir, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        // As editors do: a new file, renamed into place.
        let beside = self.path("edited.tmp");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, self.path(name)).unwrap();
    }

    fn config(&self, more: &str) {
        let listen = format!("[server]\nlisten = [\"{}\"]\nzones_dir = \"zones\"\n{more}", self.server.address);
        self.write("rhumb.toml", listen);
    }

    fn answer(&self, name: &str) -> String {
        let reply = ask(self.server.address, &Question::new(name, rtype::A));
        reply.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    fn reload(&self) -> Output {
        rhumb(self.dir.path(), &["reload"])
    }

    fn answers_soon(&self, name: &str, address: &str) -> bool {
        poll(PATIENCE, || self.answer(name) == address)
    }
}

fn rhumb(dir: &Path, args: &[&str]) -> Output {
    Command::new(RHUMB).args(args).current_dir(dir).env("NO_COLOR", "1").output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_reload_that_can_be_served_is_served_when_the_command_ends() {
    let site = Site::start();
    assert_eq!(site.answer("static.example.com."), "192.0.2.1");
    assert_eq!(site.answer("www.example.com."), "192.0.2.10");

    site.write("zones/example.com.zone", zone("192.0.2.2"));
    site.config(&vip("192.0.2.20"));
    let output = site.reload();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(site.answer("static.example.com."), "192.0.2.2");
    assert_eq!(site.answer("www.example.com."), "192.0.2.20");
}

#[test]
fn what_cannot_be_served_changes_nothing_and_says_where_it_is_wrong() {
    let site = Site::start();
    let broken: [(&str, Vec<u8>, &str); 4] = [
        ("zones/example.com.zone", zone("192.0.2.999").into_bytes(), "example.com.zone:5:"),
        ("zones/example.com.zone", b"$TTL 60\n@ A 192.0.2.1\n".to_vec(), "example.com.zone"),
        ("rhumb.toml", b"[server]\nlisten = [\"127.0.0.1:1\"\nzones_dir = 5\n".to_vec(), "rhumb.toml:"),
        ("country.mmdb", b"no database".to_vec(), "country.mmdb"),
    ];
    for (file, bytes, place) in broken {
        let good = fs::read(site.path(file)).unwrap();
        site.write(file, &bytes);
        let output = rhumb(site.dir.path(), &["reload", "--socket", "admin.sock"]);
        assert_eq!(output.status.code(), Some(3), "{file}: {}", text(&output));
        assert!(text(&output).contains(place), "{file}: {}", text(&output));
        assert!(text(&output).contains("the running configuration is unchanged"), "{}", text(&output));
        assert_eq!(site.answer("static.example.com."), "192.0.2.1", "{file}");
        assert_eq!(site.answer("www.example.com."), "192.0.2.10", "{file}");
        let said = |log: &str| log.contains(place) && log.contains("reload refused");
        assert!(poll(PATIENCE, || said(&site.server.process.log())), "{file}: {}", site.server.process.log());
        site.write(file, &good);
    }
    let output = site.reload();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn a_changed_file_and_a_hangup_reload_by_themselves() {
    let site = Site::start();
    site.write("zones/example.com.zone", zone("192.0.2.3"));
    assert!(site.answers_soon("static.example.com.", "192.0.2.3"), "{}", site.server.process.log());

    fs::write(site.path("zones/more.test.zone"), zone("192.0.2.4")).unwrap();
    assert!(site.answers_soon("static.more.test.", "192.0.2.4"), "{}", site.server.process.log());

    site.server.process.signal("HUP");
    assert!(poll(PATIENCE, || site.server.process.log().contains("SIGHUP")), "{}", site.server.process.log());
    assert_eq!(site.answer("static.more.test."), "192.0.2.4");
}

#[test]
fn every_way_in_which_files_are_replaced_is_seen() {
    let site = Site::start();
    let zone_file = site.path("zones/example.com.zone");
    let soon = |address: &str, how: &str| {
        assert!(site.answers_soon("static.example.com.", address), "{how}: {}", site.server.process.log());
    };

    // As vim does: the old one is renamed to a backup, and a new one written under the name.
    fs::rename(&zone_file, site.path("zones/example.com.zone~")).unwrap();
    fs::write(&zone_file, zone("192.0.2.31")).unwrap();
    soon("192.0.2.31", "renamed away and written anew");

    fs::write(&zone_file, zone("192.0.2.32")).unwrap();
    soon("192.0.2.32", "truncated and written");

    fs::write(site.path("elsewhere"), zone("192.0.2.33")).unwrap();
    assert!(Command::new("mv").arg(site.path("elsewhere")).arg(&zone_file).status().unwrap().success());
    soon("192.0.2.33", "moved over");

    // The whole folder, as a checkout of another commit by a link or a rename has it.
    fs::create_dir(site.path("zones.new")).unwrap();
    fs::write(site.path("zones.new/example.com.zone"), zone("192.0.2.34")).unwrap();
    fs::write(site.path("zones.new/more.test.zone"), zone("192.0.2.35")).unwrap();
    fs::rename(site.path("zones"), site.path("zones.old")).unwrap();
    fs::rename(site.path("zones.new"), site.path("zones")).unwrap();
    soon("192.0.2.34", "the folder was replaced");
    assert_eq!(site.answer("static.more.test."), "192.0.2.35");

    fs::remove_file(site.path("zones/more.test.zone")).unwrap();
    assert!(site.answers_soon("static.more.test.", ""), "a zone that is gone is not served any more");

    let reloads = || site.server.process.log().matches("reloaded generation").count();
    let before = reloads();
    let bytes = fs::read(COUNTRIES).unwrap();
    fs::write(site.path("country.mmdb"), bytes).unwrap();
    assert!(poll(PATIENCE, || reloads() > before), "a database was written in place: {}", site.server.process.log());
}

#[test]
fn kubernetes_swaps_of_a_mounted_volume_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let address = common::free_address();
    let config = |pool: &str| format!("[server]\nlisten = [\"{address}\"]\nzones_dir = \"zones\"\n{}", vip(pool));
    fs::create_dir(path("zones")).unwrap();
    fs::write(path("zones/example.com.zone"), zone("192.0.2.1")).unwrap();
    // As AtomicWriter lays it out: rhumb.toml -> ..data/rhumb.toml, ..data -> ..2026_11_22, swapped by a rename.
    let version = |name: &str, pool: &str| {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("rhumb.toml"), config(pool)).unwrap();
        fs::copy(COUNTRIES, path(name).join("country.mmdb")).unwrap();
        std::os::unix::fs::symlink(name, path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
    };
    version("..2026_11_22_one", "192.0.2.10");
    for name in ["rhumb.toml", "country.mmdb"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), path(name)).unwrap();
    }
    let mut command = Command::new(RHUMB);
    command.args(["serve", "-c"]).arg(path("rhumb.toml"));
    let mut server = common::Running::start(command, "rhumb", dir.path());
    let answer = || {
        let question = Question::new("www.example.com.", rtype::A).to_bytes();
        let reply = common::dns::udp_within(address, &question, Duration::from_millis(200))?;
        let reply = common::dns::Reply::parse(&reply).ok()?;
        reply.addresses().first().map(ToString::to_string)
    };
    server.wait_until(|| answer().as_deref() == Some("192.0.2.10"));
    for (name, former, pool) in [
        ("..2026_11_22_two", "..2026_11_22_one", "192.0.2.20"),
        ("..2026_11_22_three", "..2026_11_22_two", "192.0.2.30"),
    ] {
        version(name, pool);
        // Kubernetes removes the former version at once.
        fs::remove_dir_all(path(former)).unwrap();
        server.wait_until(|| answer().as_deref() == Some(pool));
    }
}

#[test]
fn a_burst_of_changes_is_few_reloads() {
    let site = Site::start();
    let reloads = || site.server.process.log().matches("reloaded generation").count();
    for n in 0..40 {
        fs::write(site.path(&format!("zones/burst{n}.test.zone")), zone("192.0.2.40")).unwrap();
    }
    assert!(site.answers_soon("static.burst39.test.", "192.0.2.40"), "{}", site.server.process.log());
    assert!(reloads() <= 4, "{}", site.server.process.log());
}

#[test]
fn a_listener_that_is_added_answers_and_one_that_is_gone_does_not() {
    let site = Site::start();
    let other = common::free_address();
    let listen = format!("[server]\nlisten = [\"{other}\"]\nzones_dir = \"zones\"\n{}", vip("192.0.2.10"));
    site.write("rhumb.toml", listen);
    let output = site.reload();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(ask(other, &Question::new("static.example.com.", rtype::A)).addresses().len(), 1);
    let question = Question::new("static.example.com.", rtype::A).to_bytes();
    let gone = || common::dns::udp_within(site.server.address, &question, Duration::from_millis(100)).is_none();
    assert!(poll(PATIENCE, gone), "the former address still answers");
}

#[test]
fn bad_files_at_start_are_refused_with_their_place() {
    let broken: [(&str, &[u8], &str); 3] = [
        ("zones/example.com.zone", b"@ SOA ns h 1 1h 15m 1w 60\n@ NS ns\nns A not-an-address\n", "example.com.zone:3:"),
        ("country.mmdb", b"no database", "country.mmdb"),
        ("rhumb.toml", b"[server]\nlistn = []\n", "rhumb.toml:2:"),
    ];
    for (file, bytes, place) in broken {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::write(dir.path().join("zones/example.com.zone"), zone("192.0.2.1")).unwrap();
        fs::copy(COUNTRIES, dir.path().join("country.mmdb")).unwrap();
        let listen = common::free_address();
        let config = format!("[server]\nlisten = [\"{listen}\"]\nzones_dir = \"zones\"\n{}", vip("192.0.2.10"));
        fs::write(dir.path().join("rhumb.toml"), config).unwrap();
        fs::write(dir.path().join(file), bytes).unwrap();
        for command in ["serve", "check"] {
            let output = rhumb(dir.path(), &[command]);
            assert_eq!(output.status.code(), Some(3), "{command} {file}: {}", text(&output));
            assert!(text(&output).contains(place), "{command} {file}: {}", text(&output));
        }
    }
}

#[test]
fn a_pipe_among_the_files_does_not_hold_up_the_server() {
    let site = Site::start();
    for name in ["zones/pipe.test.zone", "pipe.mmdb", "pipe.csv", "pipe.secret"] {
        let made = Command::new("mkfifo").arg(site.path(name)).status().unwrap();
        assert!(made.success());
    }
    let config = vip("192.0.2.10").replace("[\"country.mmdb\"]", "[\"pipe.mmdb\"]\nlatency = \"pipe.csv\"");
    site.config(&format!("cookie_secret_file = \"pipe.secret\"\n{config}"));
    let output = rhumb(site.dir.path(), &["reload", "--socket", "admin.sock"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    for name in ["pipe.test.zone", "pipe.mmdb", "pipe.csv", "pipe.secret"] {
        assert!(text(&output).contains(&format!("{name}: error")), "{}", text(&output));
    }
    assert!(text(&output).contains("not a regular file"), "{}", text(&output));
    assert_eq!(site.answer("static.example.com."), "192.0.2.1");
}

#[test]
fn a_zone_file_that_is_named_takes_the_place_of_the_folder_s() {
    let site = Site::start();
    site.write("elsewhere.txt", zone("192.0.2.77"));
    site.config(&format!("{}[zone.\"example.com.\"]\nfile = \"elsewhere.txt\"\n", vip("192.0.2.10")));
    let output = site.reload();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(site.answer("static.example.com."), "192.0.2.77");
}

#[test]
fn a_socket_that_cannot_be_had_is_told_with_the_way_out() {
    let site = Site::start();
    let output = rhumb(site.dir.path(), &["serve"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains(&site.server.address.to_string()), "{}", text(&output));
    assert_eq!(site.answer("static.example.com."), "192.0.2.1", "the first server is not disturbed");
}

#[test]
fn without_a_server_the_command_says_so() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rhumb.toml"), "[admin]\nsocket = \"admin.sock\"\n").unwrap();
    for args in [&["reload"][..], &["explain", "www.example.com"]] {
        let output = rhumb(dir.path(), args);
        assert_eq!(output.status.code(), Some(5), "{}", text(&output));
        assert!(text(&output).contains("no server answers at"), "{}", text(&output));
    }
}
