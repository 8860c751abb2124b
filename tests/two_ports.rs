//! One address with two ports is two endpoints: probed, ordered, remembered and counted apart. In a process that has a
//! listener and no DNS at all.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use common::Running;
use common::poll;
use rhumb::config;
use rhumb::health::target::targets;

const RHUMB: &str = env!("CARGO_BIN_EXE_rhumb");
/// Longer than any of it takes on a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a configuration whose pool has two ports of 127.0.0.1: one that accepts, and one that refuses.
struct Site {
    dir: tempfile::TempDir,
    up: SocketAddr,
    down: SocketAddr,
    /// Bound and not listening: nobody else can listen there.
    _refusing: std::os::fd::OwnedFd,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let accepting = TcpListener::bind("127.0.0.1:0").unwrap();
        let up = accepting.local_addr().unwrap();
        thread::spawn(move || accepting.incoming().for_each(drop));
        let refusing = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        refusing.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let down = refusing.local_addr().unwrap().as_socket().unwrap();
        let text = format!(
            "[server]\nstate_dir = \"state\"\n[admin]\nsocket = \"admin.sock\"\n[region.eu]\n[health_check.tcp]\n\
             type = \"tcp\"\ninterval = \"200ms\"\nfast = \"50ms\"\ntimeout = \"200ms\"\nfall = 2\nrise = 1\n\
             [pool.app]\nregion = \"eu\"\nhealth_check = \"tcp\"\nendpoints = [\n\
             {{ address = \"127.0.0.1\", port = {} }},\n{{ address = \"127.0.0.1\", port = {} }},\n]\n\
             [[listener]]\nname = \"edge\"\nregion = \"eu\"\nbind = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
             routes = [{{ pool = \"app\" }}]\n",
            up.port(),
            down.port()
        );
        fs::write(dir.path().join("rhumb.toml"), text).unwrap();
        Site { dir, up, down, _refusing: refusing.into() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn start(&self) -> Running {
        let mut command = Command::new(RHUMB);
        command.arg("serve").current_dir(self.path()).env("NO_COLOR", "1");
        let mut server = Running::start(command, "rhumb", self.path());
        server.wait_until(|| self.get("/readyz").starts_with("HTTP/1.1 200"));
        server
    }

    /// What the admin socket says to a GET.
    fn get(&self, path: &str) -> String {
        let Ok(mut stream) = UnixStream::connect(self.path().join("admin.sock")) else { return String::new() };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut said = String::new();
        let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut said));
        asked.map_or_else(|_| String::new(), |_| said)
    }

    fn json(&self, path: &str) -> Value {
        let said = self.get(path);
        let body = said.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or(Value::Null)
    }

    /// Name, what probes found, and the order of each endpoint.
    fn endpoints(&self) -> Vec<(String, String, Option<String>)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let said = self.json("/v1/endpoints");
        let items = said["items"].as_array().cloned().unwrap_or_default();
        let one = |item: &Value| (text(&item["name"]).unwrap(), text(&item["observed"]).unwrap(), text(&item["order"]));
        items.iter().map(one).collect()
    }

    fn rhumb(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(RHUMB).args(args).current_dir(self.path()).env("NO_COLOR", "1").output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}

#[test]
fn two_ports_of_one_address_are_probed_ordered_remembered_and_counted_apart() {
    let site = Site::new();
    let mut server = site.start();
    let (up, down) = (format!("app/{}", site.up), format!("app/{}", site.down));
    let found = |order: Option<&str>| {
        vec![(up.clone(), "up".into(), None), (down.clone(), "down".into(), order.map(str::to_owned))]
    };
    assert!(poll(PATIENCE, || site.endpoints() == found(None)), "{:?}\n{}", site.endpoints(), server.log());

    // By the address alone it is not clear which.
    let (code, said) = site.rhumb(&["drain", "endpoint/app/127.0.0.1"]);
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains(&format!("endpoint/{up} or endpoint/{down}")), "{said}");
    let (code, said) = site.rhumb(&["drain", &format!("endpoint/{down}"), "--force"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(site.endpoints(), found(Some("drain")));
    assert_eq!(site.json(&format!("/v1/endpoints/{up}"))["order"], Value::Null);
    assert_eq!(site.json(&format!("/v1/endpoints/{down}"))["order"], "drain");

    let page = site.get("/metrics");
    let labels = |endpoint: SocketAddr| format!("{{pool=\"app\",region=\"eu\",endpoint=\"{endpoint}\"");
    for line in [
        format!("rhumb_endpoint_up{}}} 1", labels(site.up)),
        format!("rhumb_endpoint_up{}}} 0", labels(site.down)),
        format!("rhumb_endpoint_override{},state=\"drain\"}} 1", labels(site.down)),
    ] {
        assert!(page.lines().any(|known| known == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains(&format!("rhumb_endpoint_override{}", labels(site.up))), "{page}");

    // What is known and ordered survives a restart under the same names.
    server.signal("TERM");
    assert!(poll(PATIENCE, || !server.is_alive()), "{}", server.log());
    let kept = fs::read_to_string(site.path().join("state/standings.json")).unwrap();
    for endpoint in [site.up, site.down] {
        assert!(kept.contains(&format!("\"port\": {}", endpoint.port())), "{kept}");
    }
    let server = site.start();
    assert!(poll(PATIENCE, || site.endpoints() == found(Some("drain"))), "{:?}\n{}", site.endpoints(), server.log());
}

#[test]
fn probes_go_to_each_port_unless_the_check_names_one() {
    let probed = |check: &str| {
        let text = format!(
            "[region.eu]\n[health_check.web]\ntype = \"http\"\n{check}[pool.app]\nregion = \"eu\"\nhealth_check = \"web\"\n\
             endpoints = [{{ address = \"192.0.2.1\", port = 8080 }}, {{ address = \"192.0.2.1\", port = 8081 }}]\n"
        );
        let model = config::read(Path::new("rhumb.toml"), &text).unwrap().model;
        let found = targets(&model).into_iter().map(|(target, speaks_for)| (target.address.port(), speaks_for.len()));
        found.collect::<BTreeSet<(u16, usize)>>()
    };
    assert_eq!(probed(""), BTreeSet::from([(8080, 1), (8081, 1)]));
    assert_eq!(probed("port = 9000\n"), BTreeSet::from([(9000, 2)]));
}

#[test]
fn a_reload_may_add_a_port_and_keeps_what_is_known_of_the_other() {
    let site = Site::new();
    let server = site.start();
    let file = site.path().join("rhumb.toml");
    let both = fs::read_to_string(&file).unwrap();
    let first_alone = both.replace(&format!("{{ address = \"127.0.0.1\", port = {} }},\n", site.down.port()), "");
    let write = |text: &str| {
        fs::write(site.path().join("edited.tmp"), text).unwrap();
        fs::rename(site.path().join("edited.tmp"), &file).unwrap();
        site.rhumb(&["reload"])
    };
    let (code, said) = write(&first_alone);
    assert_eq!(code, Some(0), "{said}\n{}", server.log());
    // Where an address is there once, it is name enough.
    assert_eq!(site.endpoints(), [("app/127.0.0.1".to_owned(), "up".to_owned(), None)]);
    let (code, said) = site.rhumb(&["drain", "endpoint/app/127.0.0.1", "--force"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = write(&both);
    assert_eq!(code, Some(0), "{said}");
    let names_and_orders: Vec<_> = site.endpoints().into_iter().map(|(name, _, order)| (name, order)).collect();
    let expected = [(format!("app/{}", site.up), Some("drain".to_owned())), (format!("app/{}", site.down), None)];
    assert_eq!(names_and_orders, expected);
}
