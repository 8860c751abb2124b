//! `examples/redundancy` as an operator runs it: two nodes with keepalived in a network of their own, and what clients notice
//! when one of them dies, hangs, leaves, or is cut off.
//!
//! Needs root, for network namespaces.

#![allow(clippy::disallowed_methods, reason = "what a client waits is measured by the wall clock")]

#[path = "../common/mod.rs"]
mod common;
mod clients;
mod network;

use std::fs;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use clients::Asking;
use clients::application;
use common::Running;
use common::poll;
use common::program;
use common::skipped;
use network::Space;

const RHUMB: &str = env!("CARGO_BIN_EXE_rhumb");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/redundancy");
/// What moves.
const SHARED: &str = "192.0.2.10";
/// After so long the address answers again, whatever happened.
const OUTAGE_MAX: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);

/// One of the two.
struct Node {
    name: &'static str,
    rhumb: Running,
    keepalived: Running,
    dir: PathBuf,
    // Last: its processes end before it.
    space: Space,
}

impl Node {
    /// Its machine, with what the example says, in the network of `lan`.
    fn start(name: &'static str, address: &str, lan: &Space, home: &Path) -> Result<Node, String> {
        let space = Space::new(name)?;
        space.join(lan, &format!("port-{name}"), address)?;
        let dir = home.join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        // Two nodes on one machine: only where they keep their files differs.
        for file in ["rhumb.toml", "keepalived.conf", "sysctl.conf"] {
            let text = fs::read_to_string(Path::new(EXAMPLE).join(file)).unwrap();
            let text = text.replace("/run/rhumb", &dir.display().to_string());
            fs::write(dir.join(file), text.replace("/var/lib/rhumb", &dir.join("state").display().to_string()))
                .unwrap();
        }
        space.run("sysctl", &["-q", "-p", &dir.join("sysctl.conf").display().to_string()])?;
        let rhumb = rhumb(&space, &dir);
        let mut command = space.command(program("keepalived").unwrap().to_str().unwrap());
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file"]);
        command.arg(dir.join("keepalived.conf"));
        command.arg("--pid").arg(dir.join("keepalived.pid")).arg("--vrrp_pid").arg(dir.join("vrrp.pid"));
        let keepalived = Running::start(command, "keepalived", &dir);
        Ok(Node { name, rhumb, keepalived, dir, space })
    }

    fn restart_rhumb(&mut self) {
        self.rhumb = rhumb(&self.space, &self.dir);
    }

    fn is_active(&self) -> bool {
        self.space.has(SHARED)
    }

    /// Waits until its scripts have found rhumb well, after what its log said before.
    fn is_wanted_again(&self, before: usize) {
        let log = || self.keepalived.log()[before..].to_owned();
        let is_wanted = poll(PATIENCE, || log().contains(" to 100\n"));
        assert!(is_wanted, "{}: {}", self.name, log());
    }

    fn is_ready(&self) -> bool {
        poll(PATIENCE, || ready(&self.dir.join("admin.sock")).is_some_and(|said| said.starts_with("HTTP/1.1 200")))
    }
}

fn rhumb(space: &Space, dir: &Path) -> Running {
    let mut command = space.command(RHUMB);
    command.arg("serve").arg("-c").arg(dir.join("rhumb.toml"));
    Running::start(command, "rhumb", dir)
}

fn ready(socket: &Path) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said)
}

/// Both nodes, the applications, and a client that asks all the time.
struct Pair {
    asking: Asking,
    nodes: [Node; 2],
    home: tempfile::TempDir,
    lan: Space,
}

impl Pair {
    /// None, loudly, where it cannot be built.
    fn start() -> Option<Pair> {
        for name in ["keepalived", "ip", "sysctl", "curl"] {
            if program(name).is_none() {
                skipped(&format!("{name} is not installed"));
                return None;
            }
        }
        let home = tempfile::tempdir().unwrap();
        let (lan, nodes) = match built(home.path()) {
            Ok(built) => built,
            Err(why) => {
                skipped(&format!("network namespaces need root: {why}"));
                return None;
            }
        };
        let asking = Asking::start(&lan, format!("{SHARED}:80").parse().unwrap());
        let pair = Pair { asking, nodes, home, lan };
        assert!(pair.nodes.iter().all(Node::is_ready), "{}", pair.logs());
        assert!(pair.asking.is_answered(), "{}", pair.logs());
        Some(pair)
    }

    /// Which of them has the address.
    fn active(&self) -> usize {
        let is_one = || self.nodes.iter().filter(|node| node.is_active()).count() == 1;
        assert!(poll(PATIENCE, is_one), "not one node has the address: {}", self.logs());
        self.nodes.iter().position(Node::is_active).unwrap()
    }

    /// The address answers again soon enough after `then`, from the other node.
    fn moved(&self, then: Instant, to: usize) {
        assert!(self.asking.is_answered(), "it never answered again: {}", self.logs());
        let (count, outage) = self.asking.failures_since(then);
        println!("{count} requests failed, the last {outage:?} after");
        assert!(outage < OUTAGE_MAX, "{outage:?}: {}", self.logs());
        assert_eq!(self.active(), to, "{}", self.logs());
    }

    fn logs(&self) -> String {
        let log = |node: &Node| format!("--- {}\n{}\n{}", node.name, node.keepalived.log(), node.rhumb.log());
        self.nodes.iter().map(log).collect()
    }
}

/// The network, the applications and the nodes.
fn built(home: &Path) -> Result<(Space, [Node; 2]), String> {
    let lan = Space::new("lan")?;
    // An address of its own, or the bridge takes another when a port comes or goes, and the nodes know it no longer.
    lan.ip("link add lan address 02:00:00:00:00:01 type bridge")?;
    for address in ["192.0.2.100/24", "192.0.2.21/24", "192.0.2.22/24"] {
        lan.ip(&format!("address add {address} dev lan"))?;
    }
    lan.ip("link set lan up")?;
    application(&lan, "192.0.2.21:8080".parse().unwrap());
    application(&lan, "192.0.2.22:8080".parse().unwrap());
    let nodes = [Node::start("a", "192.0.2.2/24", &lan, home)?, Node::start("b", "192.0.2.3/24", &lan, home)?];
    Ok((lan, nodes))
}

#[test]
fn the_other_node_answers_when_rhumb_dies_or_hangs_and_keeps_the_address() {
    let Some(mut pair) = Pair::start() else { return };
    let (first, second) = (pair.active(), 1 - pair.active());
    let then = Instant::now();
    pair.nodes[first].rhumb.signal("KILL");
    pair.moved(then, second);

    let (back, said) = (Instant::now(), pair.nodes[first].keepalived.log().len());
    pair.nodes[first].restart_rhumb();
    pair.nodes[first].is_wanted_again(said);
    assert!(pair.asking.is_answered());
    assert_eq!(pair.active(), second, "nobody takes it from an equal: {}", pair.logs());
    assert_eq!(pair.asking.failures_since(back).0, 0, "its return goes unnoticed: {}", pair.logs());

    let then = Instant::now();
    pair.nodes[second].rhumb.signal("STOP");
    pair.moved(then, first);
}

#[test]
fn the_other_node_answers_when_a_whole_node_is_gone_and_its_return_goes_unnoticed() {
    let Some(mut pair) = Pair::start() else { return };
    let (first, second) = (pair.active(), 1 - pair.active());
    let then = Instant::now();
    pair.lan.ip(&format!("link set port-{} down", pair.nodes[first].name)).unwrap();
    pair.nodes[first].keepalived.signal("KILL");
    pair.nodes[first].rhumb.signal("KILL");
    assert!(pair.asking.is_answered(), "it never answered again: {}", pair.logs());
    let (count, outage) = pair.asking.failures_since(then);
    println!("{count} requests failed, the last {outage:?} after");
    assert!(outage < OUTAGE_MAX, "{outage:?}: {}", pair.logs());
    assert!(pair.nodes[second].is_active());

    // It starts again, from nothing.
    let back = Instant::now();
    let (name, address) = [("a", "192.0.2.2/24"), ("b", "192.0.2.3/24")][first];
    pair.lan.ip(&format!("link delete port-{name}")).unwrap();
    pair.nodes[first] = Node::start(name, address, &pair.lan, pair.home.path()).unwrap();
    pair.nodes[first].is_wanted_again(0);
    assert!(pair.asking.is_answered());
    assert_eq!(pair.active(), second, "{}", pair.logs());
    assert_eq!(pair.asking.failures_since(back).0, 0, "{}", pair.logs());
}

#[test]
fn an_operator_moves_the_address_by_a_drain_of_one_node() {
    let Some(pair) = Pair::start() else { return };
    let (first, second) = (pair.active(), 1 - pair.active());
    let socket = pair.nodes[first].dir.join("admin.sock");
    let order = |verb: &str, socket: &Path| {
        let mut command = std::process::Command::new(RHUMB);
        let output = command.args([verb, "region/eu-west", "--socket"]).arg(socket).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let then = Instant::now();
    order("drain", &socket);
    assert!(poll(PATIENCE, || pair.nodes[second].is_active() && !pair.nodes[first].is_active()), "{}", pair.logs());
    pair.moved(then, second);
    let (count, _) = pair.asking.failures_since(then);
    assert!(count <= 1, "at most what was under way when the address moved: {count}");

    // Drained on both nodes, the region still has to serve those who come with an old answer.
    let then = Instant::now();
    let said = pair.nodes[second].keepalived.log().len();
    order("drain", &pair.nodes[second].dir.join("admin.sock"));
    assert!(poll(PATIENCE, || pair.nodes[second].keepalived.log()[said..].contains("priority from 100 to 80")));
    assert!(pair.asking.is_answered());
    assert_eq!(pair.active(), second);
    assert_eq!(pair.asking.failures_since(then).0, 0);
}
