//! Three regions in one process, the root above them, and the resolver of their clients.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::application::Application;
use crate::application::HEALTH;
use crate::common::Running;
use crate::common::delegation;
use crate::common::delegation::PORT;
use crate::common::poll;
use crate::common::servers::Server;
use crate::common::servers::rhumb_at;
use crate::common::skipped;

/// Each with the prefix of its clients; the one named after it is the nearest to those.
pub const REGIONS: [Region; 3] = [
    Region { name: "eu", clients: "10.1.7.0/24", location: "[50.11, 8.68]" },
    Region { name: "us", clients: "10.2.7.0/24", location: "[39.04, -77.49]" },
    Region { name: "ap", clients: "10.3.7.0/24", location: "[1.35, 103.82]" },
];
const ZONE: &str = "$TTL 3600\n@ SOA ns hostmaster 1 2h 15m 2w 30\n NS ns\nplain A 192.0.2.99\n";
/// Addresses of each world, and of each region in it.
const HOSTS: u8 = 60;
const HOSTS_OF_REGION: u8 = 15;
/// Worlds of one process beside each other.
static NUMBER: AtomicU8 = AtomicU8::new(0);

#[derive(Debug, Clone, Copy)]
pub struct Region {
    pub name: &'static str,
    pub clients: &'static str,
    pub location: &'static str,
}

/// Everything between a client's resolver and the applications.
pub struct World {
    pub resolver: SocketAddr,
    pub rhumb: Server,
    /// By region, then the two behind each of two L4 listeners.
    pub applications: [[Application; 4]; 3],
    unbound: Running,
    _root: Server,
    base: u8,
    dir: tempfile::TempDir,
}

impl World {
    /// Starts it; none, and why is said, where something that it needs is absent.
    pub fn start() -> Option<World> {
        let base = NUMBER.fetch_add(1, Ordering::Relaxed) * HOSTS + 1;
        let [root, authority] = [base, base + 1].map(delegation::own_address);
        if let Some(why) = delegation::missing(root, &["unbound", "nsd", "dig", "curl"]) {
            skipped(&why);
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let zones = dir.path().join("zones");
        fs::create_dir(&zones).unwrap();
        fs::write(zones.join("example.zone"), format!("{ZONE}ns A {authority}\n")).unwrap();
        let applications = [0, 1, 2].map(|region| {
            [0, 1, 2, 3].map(|at| {
                let (zone, number) = (["a", "b"][at / 2], at % 2 + 1);
                Application::start(application(base, region, at), format!("{} {zone} {number}", REGIONS[region].name))
            })
        });
        let sections = "[admin]\nsocket = \"admin.sock\"\n".to_owned() + &configuration(base);
        let rhumb = rhumb_at((authority, PORT).into(), dir.path(), &zones, &sections);
        let _root = delegation::root(root, authority, dir.path());
        let (resolver, unbound) = delegation::unbound(dir.path(), root, authority, "plain.example.");
        let world = World { resolver, rhumb, applications, unbound, _root, base, dir };
        let is_well = || world.order(&["status"]).contains("all is well");
        assert!(poll(Duration::from_secs(20), is_well), "{}", world.logs());
        let events = world.order(&["events"]);
        assert!(!events.contains("-> down"), "its own listeners are not found down at the start: {events}");
        Some(world)
    }

    /// The address of a region's L7 listener, which is what DNS answers.
    pub fn l7(&self, region: usize) -> Ipv4Addr {
        delegation::own_address(l7(self.base, region))
    }

    /// How many requests the applications of a region had, by the L4 listener in front of them.
    pub fn requests(&self, region: usize) -> [u64; 2] {
        let of = |zone: usize| self.applications[region][2 * zone..][..2].iter().map(Application::requests).sum();
        [of(0), of(1)]
    }

    /// A command of the operator's.
    pub fn order(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        let output = command.args(arguments).arg("--socket").arg(self.dir.path().join("admin.sock")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The sum of the series of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let mut stream = UnixStream::connect(self.dir.path().join("admin.sock")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let series = said.lines().filter(|line| line.starts_with(name));
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// What everybody said, for the case that something is not as it should be.
    pub fn logs(&self) -> String {
        let unbound = self.unbound.log();
        let tail: Vec<&str> = unbound.lines().rev().take(20).collect();
        format!("--- rhumb\n{}\n--- unbound, last first\n{}", self.rhumb.process.log(), tail.join("\n"))
    }
}

fn l7(base: u8, region: usize) -> u8 {
    base + 2 + region as u8 * HOSTS_OF_REGION
}

fn l4(base: u8, region: usize, zone: usize) -> SocketAddr {
    (delegation::own_address(l7(base, region) + 1 + zone as u8), 8000).into()
}

fn application(base: u8, region: usize, at: usize) -> SocketAddr {
    (delegation::own_address(l7(base, region) + 3 + at as u8), 9000).into()
}

/// What rhumb serves beside the zone.
fn configuration(base: u8) -> String {
    let mut text = format!(
        "[geo]\nclient_subnet = \"honour\"\n\
         [health_check.app]\ntype = \"http\"\npath = \"{HEALTH}\"\ninterval = \"1s\"\nfast = \"200ms\"\ntimeout = \"1s\"\nfall = 2\nrise = 2\n"
    );
    for (at, Region { name, clients, location }) in REGIONS.into_iter().enumerate() {
        let site = delegation::own_address(l7(base, at));
        text += &format!("[[geo.network]]\nname = \"{name}-clients\"\ncidr = [\"{clients}\"]\nlocation = {location}\n");
        text += &format!("[region.{name}]\nlocation = {location}\n");
        text += &pool(&format!("{name}-web"), name, &[(site, 80).into()]);
        text += &pool(&format!("{name}-l4"), name, &[l4(base, at, 0), l4(base, at, 1)]);
        text += &format!(
            "[[listener]]\nname = \"{name}-l7\"\nregion = \"{name}\"\nbind = \"{site}:80\"\nprotocol = \"http\"\n\
             routes = [{{ pool = \"{name}-l4\", response_headers = {{ add = {{ x-region = \"{name}\" }} }} }}]\n"
        );
        for zone in [0, 1] {
            let (bind, letter) = (l4(base, at, zone), ["a", "b"][zone]);
            text += &pool(&format!("{name}-{letter}"), name, &[0, 1].map(|n| application(base, at, 2 * zone + n)));
            text += &format!(
                "[[listener]]\nname = \"{name}-l4-{letter}\"\nregion = \"{name}\"\nbind = \"{bind}\"\nprotocol = \"tcp\"\n\
                 pool = \"{name}-{letter}\"\n"
            );
        }
    }
    let pools: Vec<String> = REGIONS.map(|region| format!("{{ pool = \"{}-web\" }}", region.name)).into();
    text + &format!("[vip.\"www.example.\"]\npolicy = \"geoproximity\"\nttl = \"2s\"\npools = [{}]\n", pools.join(", "))
}

fn pool(name: &str, region: &str, endpoints: &[SocketAddr]) -> String {
    let endpoint = |at: &SocketAddr| format!("{{ address = \"{}\", port = {} }}", at.ip(), at.port());
    let endpoints: Vec<String> = endpoints.iter().map(endpoint).collect();
    format!("[pool.{name}]\nregion = \"{region}\"\nhealth_check = \"app\"\nendpoints = [{}]\n", endpoints.join(", "))
}
