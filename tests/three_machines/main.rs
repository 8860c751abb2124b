//! `examples/three-machines` as an operator runs it: a name server, an L7 node and an L4 node, each a process on a machine of its own,
//! that know of each other by probes alone. What dies behind the last is seen by one after the other, up to the answers of DNS.
//!
//! Needs root, for network namespaces, and dig and curl.

#[allow(dead_code, reason = "nobody counts here")]
#[path = "../end_to_end/application.rs"]
mod application;
#[path = "../common/mod.rs"]
mod common;
mod machines;
#[allow(dead_code, reason = "no address moves here")]
#[path = "../redundancy/network.rs"]
mod network;

use std::time::Duration;

use common::poll;
use common::program;
use common::skipped;
use machines::Host;
use machines::Lan;
use machines::Node;
use machines::routed;
use network::Space;

/// Three probes a tier, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const EU: &str = "192.0.2.10";
const US: &str = "198.51.100.10";
const NAME: &str = "www.example.com";
const URL: &str = "http://www.example.com/";
/// A client in London.
const CLIENT: &str = "81.2.69.142";

struct Site {
    dns: Node,
    l7: Node,
    l4: Node,
    applications: [Host; 2],
    _us: Host,
    client: Space,
    _lan: Lan,
    _home: tempfile::TempDir,
}

impl Site {
    /// All of it; none, and why is said, where something is absent.
    fn start() -> Option<Site> {
        for name in ["ip", "dig", "curl"] {
            if program(name).is_none() {
                skipped(&format!("{name} is not installed"));
                return None;
            }
        }
        let mut site = match Site::built() {
            Ok(site) => site,
            Err(why) => {
                skipped(&format!("network namespaces need root: {why}"));
                return None;
            }
        };
        for node in [&mut site.l4, &mut site.l7, &mut site.dns] {
            node.start();
        }
        Some(site)
    }

    fn built() -> Result<Site, String> {
        let (lan, home) = (Lan::new()?, tempfile::tempdir().unwrap());
        let node = |name, address| Ok::<_, String>(Node::new(name, lan.machine(name, address)?, home.path()));
        let space = lan.machine("dns", "192.0.2.53")?;
        routed(&space, US, "192.0.2.110")?;
        let client = lan.machine("client", "192.0.2.200")?;
        routed(&client, US, "192.0.2.110")?;
        let one = Host::start(lan.machine("app1", "192.0.2.31")?, "192.0.2.31:8080", "eu-west 1");
        let two = Host::start(lan.machine("app2", "192.0.2.32")?, "192.0.2.32:8080", "eu-west 2");
        let us = Host::start(lan.far_machine("us", "192.0.2.110", US)?, &format!("{US}:80"), "us-east");
        Ok(Site {
            dns: Node::new("dns", space, home.path()),
            l7: node("l7", EU)?,
            l4: node("l4", "192.0.2.20")?,
            applications: [one, two],
            _us: us,
            client,
            _lan: lan,
            _home: home,
        })
    }

    /// What a client in London is answered.
    fn dig(&self) -> String {
        let words = ["@192.0.2.53", "+short", "+tries=1", "+time=2", "+subnet=81.2.69.0/24", NAME, "A"];
        self.client.run("dig", &words).unwrap_or_default().trim().to_owned()
    }

    /// What it gets from there.
    fn curl(&self, address: &str) -> Result<String, String> {
        let at = format!("{NAME}:80:{address}");
        self.client.run("curl", &["-sSf", "--noproxy", "*", "--max-time", "10", "--resolve", &at, URL])
    }

    fn is_answered(&self, address: &str) {
        assert!(poll(PATIENCE, || self.dig() == address), "{} is answered, not {address}: {}", self.dig(), self.logs());
        let page = self.curl(address).unwrap_or_else(|why| panic!("{why}\n{}", self.logs()));
        assert!(page.starts_with(if address == EU { "eu-west" } else { "us-east" }), "{page}");
    }

    /// Waits until a machine says so to its operator.
    fn says(&self, node: &Node, arguments: &[&str], wanted: &str) {
        let said = || node.says(arguments).unwrap_or_default();
        let is_said = poll(PATIENCE, || said().contains(wanted));
        assert!(is_said, "{} {arguments:?} lacks {wanted:?}:\n{}\n{}", node.name, said(), self.logs());
    }

    /// The same of what turned, each after what was waited for before.
    fn turned(&self, node: &Node, wanted: &[&str]) {
        let new = || node.says(&["events"]).unwrap_or_default().split_off(node.heard.get());
        let is_told = poll(PATIENCE, || wanted.iter().all(|turn| new().contains(turn)));
        assert!(is_told, "{} events lack one of {wanted:?}:\n{}\n{}", node.name, new(), self.logs());
        node.heard.set(node.heard.get() + new().len());
    }

    /// All three believe everything to be well, and clients are served by their region.
    fn is_well(&self) {
        for node in [&self.dns, &self.l7, &self.l4] {
            self.says(node, &["status"], "all is well");
        }
        self.is_answered(EU);
        self.says(
            &self.dns,
            &["explain", NAME, "--client", CLIENT],
            "eu-west-web  1 of 1 up (min 1)   use: first choice",
        );
        self.says(&self.l7, &["explain", URL], "outcome   forwarded: goes to 192.0.2.20:8000");
    }

    fn logs(&self) -> String {
        [&self.dns, &self.l7, &self.l4].map(Node::log).concat()
    }
}

#[test]
fn what_dies_is_seen_by_the_machines_before_it_up_to_the_answers_of_dns() {
    let Some(mut site) = Site::start() else { return };
    site.is_well();

    // One application: its L4 node sees to it, and nobody else hears of it.
    site.applications[0].die();
    site.turned(&site.l4, &["endpoint=app/192.0.2.31 up -> down after=3 reason=\"L4CON connection refused\""]);
    site.says(&site.l4, &["status"], "TROUBLE: 1 of 2 endpoints down");
    site.says(&site.l7, &["status"], "all is well");
    assert_eq!(site.curl(EU).unwrap(), "eu-west 2");
    assert_eq!(site.dig(), EU);

    // The other, too: every tier finds it out by its own probes.
    site.applications[1].die();
    site.turned(&site.l4, &["endpoint=app/192.0.2.32 up -> down", "pool=app up -> down"]);
    site.turned(&site.l7, &["endpoint=l4/192.0.2.20 up -> down", "pool=l4 up -> down"]);
    site.turned(&site.dns, &["endpoint=eu-west-web/192.0.2.10 up -> down", "pool=eu-west-web up -> down"]);
    site.is_answered(US);
    site.says(&site.l4, &["get", "endpoints"], "L4CON connection refused");
    site.says(&site.l7, &["status"], "L7RSP connection reset by peer");
    site.says(&site.l7, &["explain", URL], " 8 pool      l4  use: down, and serves as it can");
    site.says(&site.l4, &["status"], "TROUBLE: 1 of 1 region down; 1 of 1 pool down; 2 of 2 endpoints down");
    site.says(&site.dns, &["status"], "TROUBLE: 1 of 2 regions down");
    site.says(&site.dns, &["explain", NAME, "--client", CLIENT], "IN A 198.51.100.10");
    site.applications.iter_mut().for_each(Host::revive);
    site.turned(&site.l4, &["pool=app down -> up"]);
    site.turned(&site.l7, &["pool=l4 down -> up"]);
    site.turned(&site.dns, &["pool=eu-west-web down -> up"]);
    site.is_well();

    // The L4 node.
    site.l4.die();
    site.turned(&site.l7, &["pool=l4 up -> down"]);
    site.turned(&site.dns, &["pool=eu-west-web up -> down"]);
    site.is_answered(US);
    site.l4.start();
    site.is_well();

    // The L7 node.
    site.l7.die();
    site.turned(&site.dns, &["pool=eu-west-web down -> up", "pool=eu-west-web up -> down"]);
    site.is_answered(US);
    site.says(&site.dns, &["get", "endpoints"], "L4CON connection refused");
    site.l7.start();
    site.is_well();
}

#[test]
fn a_region_is_drained_at_the_name_server_and_serves_those_who_come_all_the_same() {
    let Some(site) = Site::start() else { return };
    site.is_well();
    let order = |verb: &str| assert!(site.dns.says(&[verb, "region/eu-west"]).is_some(), "{}", site.logs());
    order("drain");
    site.is_answered(US);
    assert!(site.curl(EU).unwrap().starts_with("eu-west"), "an old answer is as good as it was");
    site.says(&site.l7, &["status"], "all is well");
    order("undrain");
    site.is_well();
}
