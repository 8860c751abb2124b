//! Name servers under test: rhumb, and its judges from Debian.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::dns::{Question, Reply, rtype, udp_within};
use super::{Running, free_address, program};

/// A name server that answers.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    pub process: Running,
}

/// A zone to serve: its name and its master file.
#[derive(Debug, Clone)]
pub struct Zone {
    pub name: String,
    pub file: std::path::PathBuf,
}

/// The `*.zone` files of a folder.
pub fn zones_of(dir: &Path) -> Vec<Zone> {
    let mut zones: Vec<Zone> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|file| {
            let name = file.file_name()?.to_str()?.strip_suffix(".zone")?.to_owned() + ".";
            Some(Zone { name, file })
        })
        .collect();
    zones.sort_by(|a, b| a.name.cmp(&b.name));
    zones
}

/// Waits until a server answers for all its zones; with none, anything at all.
fn ready(name: &'static str, address: SocketAddr, zones: &[Zone], mut process: Running) -> Server {
    let patience = Duration::from_millis(200);
    let says = |zone: &str| {
        let reply = udp_within(address, &Question::new(zone, rtype::SOA).to_bytes(), patience)?;
        Reply::parse(&reply).ok()
    };
    process.wait_until(|| match zones {
        [] => says(".").is_some(),
        zones => zones.iter().all(|zone| says(&zone.name).is_some_and(|reply| reply.is_authoritative())),
    });
    Server { name, address, process }
}

/// rhumb itself: `serve` with `listen` and `zones_dir` set, and `more` after them.
pub fn rhumb(dir: &Path, zones_dir: &Path, more: &str) -> Server {
    rhumb_at(free_address(), dir, zones_dir, more)
}

/// As [`rhumb`], at an address of the test's choice.
pub fn rhumb_at(address: SocketAddr, dir: &Path, zones_dir: &Path, more: &str) -> Server {
    let config = format!("[server]\nlisten = [\"{address}\"]\nzones_dir = \"{}\"\n{more}\n", zones_dir.display());
    let file = dir.join("rhumb.toml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    command.arg("serve").arg("-c").arg(&file);
    ready("rhumb", address, &zones_of(zones_dir), Running::start(command, "rhumb", dir))
}

/// NSD, without rate limits; none when it is not installed.
pub fn nsd(dir: &Path, zones: &[Zone]) -> Option<Server> {
    nsd_at(free_address(), dir, zones)
}

/// As [`nsd`], at an address of the test's choice.
pub fn nsd_at(address: SocketAddr, dir: &Path, zones: &[Zone]) -> Option<Server> {
    let nsd = program("nsd")?;
    let home = dir.join(format!("nsd-{}", address.ip()));
    fs::create_dir_all(&home).unwrap();
    let home = home.display();
    let mut config = format!(
        "server:\n ip-address: {}@{}\n do-ip6: no\n username: \"\"\n chroot: \"\"\n zonesdir: \"{home}\"\n pidfile: \"\"\n \
         xfrdfile: \"{home}/xfrd.state\"\n zonelistfile: \"{home}/zone.list\"\n xfrdir: \"{home}\"\n database: \"\"\n \
         server-count: 1\n rrl-ratelimit: 0\n rrl-whitelist-ratelimit: 0\n ipv4-edns-size: 1232\n minimal-responses: no\n hide-version: yes\n\
         remote-control:\n control-enable: no\n",
        address.ip(),
        address.port()
    );
    for zone in zones {
        write!(config, "zone:\n name: \"{}\"\n zonefile: \"{}\"\n", zone.name, zone.file.display()).unwrap();
    }
    let file = dir.join(format!("nsd-{}.conf", address.ip()));
    fs::write(&file, config).unwrap();
    let mut command = Command::new(nsd);
    command.arg("-d").arg("-c").arg(&file);
    Some(ready("nsd", address, zones, Running::start(command, "nsd", dir)))
}

/// Knot DNS; none when it is not installed.
pub fn knot(dir: &Path, zones: &[Zone]) -> Option<Server> {
    let knotd = program("knotd")?;
    let home = dir.join("knot");
    fs::create_dir_all(&home).unwrap();
    let address = free_address();
    let home = home.display();
    let mut config = format!(
        "server:\n  listen: {}@{}\n  rundir: \"{home}\"\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n  udp-max-payload: 1232\n\
         log:\n  - target: stdout\n    any: warning\ndatabase:\n  storage: \"{home}\"\n\
         template:\n  - id: default\n    storage: \"{home}\"\n    semantic-checks: off\n    journal-content: none\n    \
         zonefile-load: whole\n    zonefile-sync: -1\nzone:\n",
        address.ip(),
        address.port()
    );
    for zone in zones {
        write!(config, "  - domain: \"{}\"\n    file: \"{}\"\n", zone.name, zone.file.display()).unwrap();
    }
    let file = dir.join("knot.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(knotd);
    command.arg("-c").arg(&file);
    Some(ready("knot", address, zones, Running::start(command, "knot", dir)))
}

/// BIND; none when it is not installed.
pub fn bind(dir: &Path, zones: &[Zone]) -> Option<Server> {
    let named = program("named")?;
    let home = dir.join("bind");
    fs::create_dir_all(&home).unwrap();
    let address = free_address();
    let home = home.display();
    let mut config = format!(
        "options {{\n directory \"{home}\";\n listen-on port {} {{ {}; }};\n listen-on-v6 {{ none; }};\n recursion no;\n \
         pid-file none;\n session-keyfile none;\n managed-keys-directory \"{home}\";\n dnssec-validation no;\n \
         check-names primary ignore;\n check-integrity no;\n minimal-responses no;\n max-udp-size 1232;\n zero-no-soa-ttl no;\n \
         notify no;\n empty-zones-enable no;\n version none;\n minimal-any yes;\n answer-cookie no;\n}};\ncontrols {{ }};\n",
        address.port(),
        address.ip()
    );
    for zone in zones {
        let (name, file) = (&zone.name, zone.file.display());
        writeln!(config, "zone \"{name}\" {{ type primary; file \"{file}\"; }};").unwrap();
    }
    let file = dir.join("named.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(named);
    command.arg("-g").arg("-n1").arg("-c").arg(&file);
    Some(ready("bind", address, zones, Running::start(command, "bind", dir)))
}
