//! gRPC with its own client and servers: all kinds of calls, trailers, deadlines, and each stream to an endpoint of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::common::Running;
use crate::common::poll;
use crate::common::skipped;
use crate::kit::PATIENCE;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::edge::port;
use crate::kit::h2;
use crate::kit::h2::Fate;
use crate::kit::h2::H2;
use crate::kit::peer;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/edge");

/// Debian's own Python: another one in the PATH has other packages.
fn python() -> Option<PathBuf> {
    let python = PathBuf::from("/usr/bin/python3");
    let import = Command::new(&python).args(["-c", "import grpc"]).output();
    if import.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skipped("python3-grpcio is not installed");
    None
}

fn server(python: &Path, name: &str, dir: &Path) -> (SocketAddr, Running) {
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let mut command = Command::new(python);
    command.arg(format!("{HERE}/grpc_server.py")).args([&address.port().to_string(), name]);
    let mut running = Running::start(command, name, dir);
    let log = dir.join(format!("{name}.log"));
    running.wait_until(|| std::fs::read_to_string(&log).is_ok_and(|said| said.contains("ready")));
    (address, running)
}

/// Three servers, the proxy before them, and a client's way to it.
struct Site {
    python: PathBuf,
    edge: Edge,
    tls: bool,
    servers: Vec<Running>,
    _dir: tempfile::TempDir,
}

impl Site {
    fn start(tls: bool) -> Option<Site> {
        let python = python()?;
        let dir = tempfile::tempdir().unwrap();
        let (addresses, servers): (Vec<_>, Vec<_>) =
            ["a", "b", "c"].iter().map(|name| server(&python, name, dir.path())).unzip();
        let edge = Setup { h2_origins: true, tls, ..Setup::to(&addresses) }.start();
        Some(Site { python, edge, tls, servers, _dir: dir })
    }

    /// What a client says that does `what`.
    fn client(&self, what: &str) -> String {
        client(&self.python, &self.edge, self.tls, what)
    }
}

fn client(python: &Path, edge: &Edge, tls: bool, what: &str) -> String {
    let mut command = Command::new("timeout");
    command.arg("60").arg(python).arg(format!("{HERE}/grpc_client.py")).args([&edge.address.to_string(), what]);
    if tls {
        command.arg(edge.certificate());
    }
    let output = command.output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // gRPC's library may complain about what it then makes the best of.
    if output.status.success() { said.into_owned() } else { format!("{said}{complained}") }
}

#[test]
fn calls_of_all_kinds() {
    let Some(site) = Site::start(false) else { return };
    for what in ["calls", "bidi", "errors"] {
        assert_eq!(site.client(what), "done\n", "{what}");
    }
}

#[test]
fn calls_over_tls() {
    let Some(site) = Site::start(true) else { return };
    for what in ["calls", "bidi"] {
        assert_eq!(site.client(what), "done\n", "{what}");
    }
}

#[test]
fn a_deadline_and_a_cancel_reach_the_server() {
    let Some(site) = Site::start(false) else { return };
    let heard = |what: &str| site.servers.iter().any(|server| server.log().contains(what));
    assert_eq!(site.client("deadline"), "done\n");
    assert!(poll(PATIENCE, || heard("slow ended, active: False")), "the server stops working for nobody");
    assert_eq!(site.client("cancel"), "done\n");
    assert!(poll(PATIENCE, || heard("hold ended")));
}

#[test]
fn streams_of_one_connection_are_spread_over_all_endpoints() {
    let Some(site) = Site::start(false) else { return };
    let said = site.client("spread");
    eprintln!("{said}");
    let is_spread = said.lines().filter(|line| line.contains(" instead of ")).count() == 0 && said.ends_with("done\n");
    assert!(is_spread || peer().is_some(), "{said}");
}

#[test]
fn without_an_endpoint_the_status_is_unavailable() {
    let Some(python) = python() else { return };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let edge = Setup { h2_origins: true, ..Setup::to(&[nobody]) }.start();
    assert_eq!(client(&python, &edge, false, "unavailable"), "done\n");
    // As gRPC wants it: a 200 whose trailers say it.
    let mut raw = H2::connect(edge.address);
    raw.request(
        1,
        &[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "www.example.com"),
            (":path", "/t.S/Unary"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ],
    );
    assert!(raw.fate(1) == Fate::Status(200) || peer().is_some());
    let mut plain = H2::connect(edge.address);
    plain.request(1, &h2::get("/"));
    assert!(matches!(plain.fate(1), Fate::Status(502 | 503)), "everyone else gets a status of HTTP");
}
