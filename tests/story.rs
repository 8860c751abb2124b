//! A day with rhumb, told by its command line: an endpoint breaks, a region is drained across a crash, a state is forced,
//! a reload fails. At every step what `explain` says is what `dig` is answered, and whoever watches sees it happen.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;

use rhumb::admin::dto;
use rhumb::admin::when;

use common::Running;
use common::dns::Question;
use common::dns::Reply;
use common::dns::rtype;
use common::dns::udp_within;
use common::free_port;
use common::poll;
use common::program;
use common::skipped;

/// Longer than anything here takes, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(30);

/// Europe and America, as addresses.
const EU: &str = "127.0.0.11";
const US: &str = "127.0.0.12";

/// A server with two regions of one endpoint each.
struct Stage {
    folder: tempfile::TempDir,
    dns: SocketAddr,
    port: u16,
    server: Option<Running>,
    lives: usize,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let dns = ([127, 0, 0, 1], free_port()).into();
        let stage = Stage { folder, dns, port: free_port(), server: None, lives: 0 };
        fs::create_dir(stage.path().join("zones")).unwrap();
        fs::copy("zones/example.com.zone", stage.path().join("zones/example.com.zone")).unwrap();
        stage.write_config("");
        stage
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join("rhumb.toml")
    }

    fn write_config(&self, more: &str) {
        let (dns, port) = (self.dns, self.port);
        let text = format!(
            "[server]\nlisten = [\"{dns}\"]\nzones_dir = \"zones\"\nstate_dir = \"state\"\n[admin]\nsocket = \"admin.sock\"\n\
             [region.eu-west]\nlabel = \"Frankfurt\"\nlocation = [50.11, 8.68]\n\
             [region.us-east]\nlabel = \"Ashburn\"\nlocation = [39.04, -77.49]\n\
             [health_check.connect]\ntype = \"tcp\"\nport = {port}\ninterval = \"200ms\"\nfast = \"100ms\"\ntimeout = \"200ms\"\nfall = 2\nrise = 1\n\
             [pool.eu-web]\nregion = \"eu-west\"\nhealth_check = \"connect\"\nendpoints = [{{ address = \"{EU}\" }}]\n\
             [pool.us-web]\nregion = \"us-east\"\nhealth_check = \"connect\"\nendpoints = [{{ address = \"{US}\" }}]\n\
             [vip.\"www.example.com.\"]\npolicy = \"failover\"\nttl = \"5s\"\npools = [{{ pool = \"eu-web\" }}, {{ pool = \"us-web\" }}]\n{more}"
        );
        fs::write(self.config(), text).unwrap();
    }

    /// An origin that accepts connections until it is dropped.
    fn origin(&self, address: &str) -> TcpListener {
        TcpListener::bind((address, self.port)).unwrap()
    }

    fn start(&mut self) {
        self.lives += 1;
        let mut command = rhumb(self.path());
        command.arg("serve").env("RHUMB_LOG", "info");
        let mut server = Running::start(command, &format!("serve-{}", self.lives), self.path());
        server.wait_until(|| {
            let (code, out, _) = self.try_run(&["status", "--json"]);
            code == 0 && serde_json::from_str::<dto::Status>(&out).is_ok_and(|status| status.ready)
        });
        self.server = Some(server);
    }

    /// As by `kill -9`.
    fn crash(&mut self) {
        let mut server = self.server.take().unwrap();
        server.signal("KILL");
        assert!(poll(PATIENCE, || !server.is_alive()));
    }

    fn try_run(&self, arguments: &[&str]) -> (i32, String, String) {
        let out = rhumb(self.path()).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    }

    /// Runs a command that must go well; what it prints.
    fn run(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.try_run(arguments);
        assert_eq!(code, 0, "rhumb {}: {out}{err}", arguments.join(" "));
        out
    }

    /// Runs a command with `--json`.
    fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let out = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("rhumb {}: {e}: {out}", arguments.join(" ")))
    }

    fn answer(&self) -> Option<BTreeSet<IpAddr>> {
        let query = Question::new("www.example.com.", rtype::A).to_bytes();
        let reply = udp_within(self.dns, &query, Duration::from_secs(1))?;
        Some(Reply::parse(&reply).unwrap().addresses())
    }

    /// Waits until DNS answers with this address alone, and sees that `explain` agrees.
    fn answers(&self, address: &str) {
        let wanted = BTreeSet::from([address.parse().unwrap()]);
        assert!(
            poll(PATIENCE, || self.answer() == Some(wanted.clone())),
            "{:?}, not {address}\n{}",
            self.answer(),
            self.run(&["status"])
        );
        let explained: dto::Explanation = self.json(&["explain", "www.example.com"]);
        assert_eq!(explained.decision.unwrap().endpoints, [address], "explain and DNS agree");
        if let Some(dug) = self.dug() {
            assert_eq!(dug, format!("{address}\n"), "dig and explain agree");
        }
    }

    /// What `dig` prints; none when it is not installed.
    fn dug(&self) -> Option<String> {
        let Some(dig) = program("dig") else {
            skipped("dig is not installed: its answers are not compared");
            return None;
        };
        let (server, port) = (format!("@{}", self.dns.ip()), self.dns.port().to_string());
        let dug = Command::new(dig).args([&server, "-p", &port, "www.example.com", "A", "+short"]).output().unwrap();
        Some(String::from_utf8(dug.stdout).unwrap())
    }

    /// Waits until `status` holds this.
    fn status_says(&self, words: &str) -> String {
        let mut status = String::new();
        let seen = poll(PATIENCE, || {
            status = self.run(&["status"]);
            status.contains(words)
        });
        assert!(seen, "status does not say `{words}`:\n{status}");
        assert!(status.lines().all(|line| line.chars().count() <= 80), "{status}");
        status
    }
}

fn rhumb(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    for name in ["RHUMB_CONFIG", "RHUMB_SOCKET", "RHUMB_SERVER", "RHUMB_TOKEN_FILE", "COLUMNS"] {
        command.env_remove(name);
    }
    command.current_dir(folder);
    command
}

/// `rhumb …` that goes on, with its output in a file.
fn watcher(stage: &Stage, arguments: &[&str], name: &str) -> Running {
    let mut command = rhumb(stage.path());
    command.args(arguments);
    Running::start(command, name, stage.path())
}

#[test]
fn a_day_with_rhumb() {
    let mut stage = Stage::new();
    let europe = stage.origin(EU);
    let _america = stage.origin(US);
    stage.start();

    // All is well, and two colleagues watch.
    let status = stage.status_says("all is well: 2 regions, 2 pools, 2 endpoints; 1 VIP in 1 zone\n");
    assert!(status.contains("Frankfurt"), "{status}");
    stage.answers(EU);
    let mut follower = watcher(&stage, &["events", "-f"], "follower");
    let mut screen = watcher(&stage, &["status", "--watch"], "screen");
    screen.wait_until(|| fs::read_to_string(stage.path().join("screen.log")).unwrap().contains("all is well"));

    // An endpoint breaks.
    drop(europe);
    let status = stage.status_says("PROBES FAIL");
    assert!(status.starts_with("TROUBLE: 1 of 2 regions down; 1 of 2 pools down; 1 of 2 endpoints down\n"), "{status}");
    assert!(status.contains("eu-web/127.0.0.11") && status.contains("L4CON connection refused"), "{status}");
    stage.answers(US);
    let events = stage.run(&["events"]);
    let broke = events.lines().find(|line| line.contains("endpoint=eu-web/127.0.0.11 up -> down"));
    assert!(broke.is_some_and(|line| line.contains("L4CON connection refused")), "{events}");
    let down: Vec<dto::Endpoint> = stage.json(&["get", "endpoints", "--standing", "down"]);
    assert_eq!(down.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["eu-web/127.0.0.11"]);

    // Now America is all there is: draining it is refused.
    let (code, _, said) = stage.try_run(&["drain", "region/us-east"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("www.example.com.") && said.contains("--force orders it all the same"), "{said}");

    // It comes back.
    let _europe = stage.origin(EU);
    stage.status_says("all is well");
    stage.answers(EU);

    // A region is drained for a while; the server crashes in the middle, and the drain holds and ends on time.
    let drained = stage.run(&["drain", "region/eu-west", "--for", "12s", "--reason", "kernel update"]);
    assert!(drained.starts_with("region/eu-west: drain from now, until "), "{drained}");
    assert!(drained.contains("(12s left)") && drained.trim_end().ends_with(": kernel update"), "{drained}");
    stage.answers(US);
    let orders: Vec<dto::Override> = stage.json(&["get", "overrides"]);
    let until = when::read(orders[0].until.as_deref().unwrap()).unwrap();
    stage.crash();
    assert!(poll(PATIENCE, || screen.log().contains("NO ANSWER since")), "{}", screen.log());
    stage.start();
    let status = stage.status_says("region/eu-west  drain");
    assert!(status.contains("kernel update"), "{status}");
    stage.answers(US);
    stage.answers(EU);
    let ended: dto::Status = stage.json(&["status"]);
    assert!(when::read(&ended.now).unwrap() >= until, "it did not end before its time: {}", ended.now);
    assert!(ended.overrides.is_empty());
    stage.status_says("all is well");
    assert!(poll(PATIENCE, || screen.log().contains("the server is back after")), "{}", screen.log());

    // A state is forced, and let go.
    stage.run(&["force", "endpoint/eu-web/127.0.0.11", "down", "--reason", "rehearsal"]);
    stage.answers(US);
    let forced: dto::Endpoint = stage.json(&["get", "endpoint", "eu-web/127.0.0.11"]);
    assert_eq!((forced.observed.as_str(), forced.effective.as_str()), ("up", "forced-down"), "both are shown");
    stage.run(&["force", "endpoint/eu-web/127.0.0.11", "auto"]);
    stage.answers(EU);

    // A reload fails loudly, then one succeeds.
    stage.write_config("[vip.\"bad.example.com.\"]\npolicy = \"failover\"\npools = [{ pool = \"eu-wbe\" }]\n");
    let (code, _, said) = stage.try_run(&["reload"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("E0101") && said.contains("eu-web"), "{said}");
    let status = stage.status_says("RELOAD FAILED");
    assert!(status.contains("E0101"), "{status}");
    stage.answers(EU);
    stage.write_config("[vip.\"good.example.com.\"]\npolicy = \"failover\"\npools = [{ pool = \"us-web\" }]\n");
    let reloaded = stage.run(&["reload", "--wait", "20s"]);
    assert!(reloaded.starts_with("reloaded: generation "), "{reloaded}");
    stage.status_says("all is well: 2 regions, 2 pools, 2 endpoints; 2 VIPs in 1 zone\n");
    stage.answers(EU);

    // Whoever followed saw everything once, before the crash and after it.
    let seen = |words: &str| follower.log().lines().filter(|line| line.contains(words)).count();
    assert!(poll(PATIENCE, || seen("forced-down") > 0), "{}", follower.log());
    assert!(seen("endpoint=eu-web/127.0.0.11 up -> down") == 1, "{}", follower.log());
    assert!(follower.log().contains("trying again every second"), "{}", follower.log());
    let lines: Vec<String> = follower.log().lines().filter(|l| l.contains("effective=")).map(str::to_owned).collect();
    let distinct: BTreeSet<&String> = lines.iter().collect();
    assert_eq!(distinct.len(), lines.len(), "nothing is told twice:\n{}", follower.log());
    let all = stage.run(&["events"]);
    assert!(poll(PATIENCE, || all.lines().all(|line| follower.log().contains(line))), "{all}\n---\n{}", follower.log());

    // Ctrl-C ends both quietly.
    for watching in [&mut follower, &mut screen] {
        watching.signal("INT");
        assert!(poll(PATIENCE, || !watching.is_alive()));
    }
    assert!(!screen.log().contains("panicked") && !follower.log().contains("panicked"));
}

#[test]
fn what_is_asked_for_as_json_is_as_the_api_says() {
    let mut stage = Stage::new();
    let _origins = [stage.origin(EU), stage.origin(US)];
    stage.start();
    let subject = "endpoint/eu-web/127.0.0.11";
    let taken: dto::OverrideTaken = stage.json(&["weight", subject, "5", "--reason", "less"]);
    assert_eq!((taken.taken.state, taken.taken.weight), (dto::OrderState::Weight, Some(5)));
    let taken: dto::OverrideTaken = stage.json(&["maint", subject, "--in", "1h", "--for", "10m"]);
    assert_eq!(taken.taken.phase, dto::Phase::Planned);
    let taken: dto::OverrideTaken = stage.json(&["drain", "pool/us-web", "--for", "5m"]);
    assert_eq!(taken.taken.kind, "pool");
    let status: dto::Status = stage.json(&["status"]);
    assert_eq!(status.overrides.len(), 3);
    let vips: Vec<dto::Vip> = stage.json(&["get", "vips"]);
    assert_eq!(vips[0].name, "www.example.com.");
    let pools: Vec<dto::Pool> = stage.json(&["get", "pools", "--region", "us-east"]);
    assert_eq!(pools.len(), 1);
    let pool: dto::Pool = stage.json(&["get", "pool", "us-web"]);
    assert_eq!(pool.members.unwrap().len(), 1);
    let endpoints: Vec<dto::Endpoint> = stage.json(&["get", "endpoints"]);
    assert_eq!(endpoints.len(), 2);
    let regions: Vec<dto::Region> = stage.json(&["get", "regions"]);
    assert_eq!(regions.len(), 2);
    let zones: Vec<dto::Zone> = stage.json(&["get", "zones"]);
    assert_eq!(zones[0].name, "example.com.");
    let orders: Vec<dto::Override> = stage.json(&["get", "overrides"]);
    assert_eq!(orders.len(), 3);
    let sockets: Vec<dto::Listener> = stage.json(&["get", "listeners"]);
    assert!(sockets.iter().any(|socket| socket.address == stage.dns.to_string()), "{sockets:?}");
    let ended: dto::OverrideEnded = stage.json(&["undrain", "pool/us-web"]);
    assert_eq!(ended.ended.len(), 1);
    let ended: dto::OverrideEnded = stage.json(&["undrain", "pool/us-web"]);
    assert_eq!(ended.ended.len(), 0, "it is no mistake to end what is not ordered");
    let ended: dto::OverrideEnded = stage.json(&["weight", subject, "auto"]);
    assert_eq!(ended.ended.len(), 1);
    let _: dto::Reloaded = stage.json(&["reload"]);
    let _: dto::Explanation = stage.json(&["explain", "www.example.com"]);
    let _: dto::ConfigDiff = stage.json(&["diff"]);
    let _: dto::Simulated = stage.json(&["simulate", "--live"]);
    let events = stage.run(&["events", "--json"]);
    let events: Vec<dto::EventSaid> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!events.is_empty() && events.windows(2).all(|two| two[0].number + 1 == two[1].number));
    let document: serde_json::Value = serde_json::from_str(&stage.run(&["schema", "api"])).unwrap();
    assert!(document["paths"]["/v1/status"].is_object());
}

#[test]
fn a_reader_that_goes_away_ends_every_command_quietly() {
    let mut stage = Stage::new();
    let _origins = [stage.origin(EU), stage.origin(US)];
    stage.start();
    let commands: [&[&str]; 20] = [
        &["--help"],
        &["status"],
        &["status", "--watch"],
        &["status", "--json"],
        &["get", "vips"],
        &["get", "pools", "--json"],
        &["get", "pool", "eu-web"],
        &["get", "endpoints"],
        &["events"],
        &["events", "--json"],
        &["explain", "www.example.com"],
        &["check"],
        &["reload"],
        &["drain", "pool/us-web"],
        &["undrain", "pool/us-web"],
        &["completions", "bash"],
        &["man"],
        &["schema"],
        &["schema", "api"],
        &["diff"],
    ];
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    for arguments in commands {
        let mut command = rhumb(stage.path());
        command.args(arguments).stdout(writer.try_clone().unwrap()).stderr(Stdio::piped());
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(0), "rhumb {}: {said}", arguments.join(" "));
        assert!(!said.contains("panicked"), "rhumb {}: {said}", arguments.join(" "));
    }
    // Nor does it matter when errors are not read.
    let out = rhumb(stage.path()).args(["drain", "pool/none"]).stderr(writer).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
}
