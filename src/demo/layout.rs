//! What the demo is made of: regions with their addresses, clients with their places, and the configuration that
//! says so. Text and numbers only; nothing here opens a socket.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// A region of the demo.
#[derive(Debug, Clone, Copy)]
pub struct DemoRegion {
    /// Its key in the configuration.
    pub name: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// Where it is.
    pub location: (f64, f64),
    /// The continents whose clients it serves first.
    pub continents: &'static [&'static str],
    /// The second byte of its addresses: `127.N.1.10`.
    pub net: u8,
    /// A documentation prefix that plays its clients (RFC 5737).
    pub clients: &'static str,
    /// Where those clients are.
    pub clients_geo: &'static str,
}

/// At most six regions, nearest to their clients' continents.
pub const REGIONS: [DemoRegion; 6] = [
    DemoRegion {
        name: "eu-west",
        label: "Frankfurt",
        location: (50.11, 8.68),
        continents: &["EU", "AF"],
        net: 1,
        clients: "192.0.2.0/24",
        clients_geo: "EU-DE",
    },
    DemoRegion {
        name: "us-east",
        label: "Ashburn",
        location: (39.04, -77.49),
        continents: &["NA", "SA"],
        net: 2,
        clients: "198.51.100.0/24",
        clients_geo: "NA-US",
    },
    DemoRegion {
        name: "ap-south",
        label: "Singapore",
        location: (1.35, 103.82),
        continents: &["AS", "OC"],
        net: 3,
        clients: "203.0.113.0/24",
        clients_geo: "AS-SG",
    },
    DemoRegion {
        name: "sa-east",
        label: "São Paulo",
        location: (-23.55, -46.63),
        continents: &["SA"],
        net: 4,
        clients: "2001:db8:4::/48",
        clients_geo: "SA-BR",
    },
    DemoRegion {
        name: "oc-east",
        label: "Sydney",
        location: (-33.87, 151.21),
        continents: &["OC"],
        net: 5,
        clients: "2001:db8:5::/48",
        clients_geo: "OC-AU",
    },
    DemoRegion {
        name: "af-south",
        label: "Johannesburg",
        location: (-26.2, 28.05),
        continents: &["AF"],
        net: 6,
        clients: "2001:db8:6::/48",
        clients_geo: "AF-ZA",
    },
];

impl DemoRegion {
    /// The addresses of its load balancers.
    pub fn endpoints(&self) -> [Ipv4Addr; 2] {
        [Ipv4Addr::new(127, self.net, 1, 10), Ipv4Addr::new(127, self.net, 1, 11)]
    }
}

/// The zone the demo serves, shared with the examples.
pub const ZONE: &str = include_str!("../../zones/example.com.zone");
/// The country database that ships with rhumb.
pub static COUNTRY_DATABASE: &[u8] = include_bytes!("../../geo/country.mmdb");

/// The demo's `rhumb.toml`.
pub fn configuration(regions: &[DemoRegion], listen: SocketAddr, origin_port: u16) -> String {
    let mut text = format!(
        "# The demo of rhumb: {} regions on loopback, each with two load balancers.\n\n[server]\nlisten = [\"{listen}\"]\nzones_dir = \"zones\"\nstate_dir = \"state\"\n\n\
         [admin]\nsocket = \"admin.sock\"\nlisten = \"127.0.0.1:0\"   # any free port\n\n[geo]\ndatabases = [\"country.mmdb\"]\n",
        regions.len()
    );
    for region in regions {
        let (lat, lon) = region.location;
        let _ = write!(
            text,
            "\n# Clients that play {label}'s: a documentation prefix, placed by hand.\n[[geo.network]]\nname = \"{name}-clients\"\n\
             cidr = [\"{clients}\"]\ngeo = \"{geo}\"\nlocation = [{lat}, {lon}]\n",
            label = region.label,
            name = region.name,
            clients = region.clients,
            geo = region.clients_geo,
        );
    }
    text.push_str(
        "\n[health_check.web]\ntype = \"http\"\npath = \"/healthz\"\nexpect = { status = \"200\", body = \"ok\" }\n\
         interval = \"1s\"\ntimeout = \"500ms\"\nfall = 3\nrise = 2\n",
    );
    for region in regions {
        let (lat, lon) = region.location;
        let [a, b] = region.endpoints();
        let _ = write!(
            text,
            "\n[region.{name}]\nlabel = \"{label}\"\nlocation = [{lat}, {lon}]\n\n[pool.{name}-web]\nregion = \"{name}\"\nhealth_check = \"web\"\n\
             endpoints = [\n  {{ address = \"{a}\", port = {origin_port} }},\n  {{ address = \"{b}\", port = {origin_port} }},\n]\n",
            name = region.name,
            label = region.label,
        );
    }
    let all: Vec<String> = regions.iter().map(|r| format!("{{ pool = \"{}-web\" }}", r.name)).collect();
    let members = all.join(", ");
    text.push_str("\n[vip.\"www.example.com.\"]\npolicy = \"geolocation\"\nttl = \"5s\"\nanswers = 2\nrules = [\n");
    // The later regions are the more particular ones, so their rules come first.
    for region in regions.iter().rev() {
        let geos: Vec<String> = region.continents.iter().map(|c| format!("\"{c}\"")).collect();
        let _ = writeln!(text, "  {{ geos = [{}], pool = \"{}-web\" }},", geos.join(", "), region.name);
    }
    let _ = write!(
        text,
        "  {{ pool = \"{first}-web\" }},\n]\n\n[vip.\"near.example.com.\"]\npolicy = \"geoproximity\"\nttl = \"5s\"\npools = [{members}]\n\n\
         [vip.\"cache.example.com.\"]\npolicy = \"hash\"\nttl = \"5s\"\npools = [{members}]\n\n\
         [vip.\"standby.example.com.\"]\npolicy = \"failover\"\nttl = \"5s\"\npools = [{members}]\n",
        first = regions[0].name,
    );
    if let [first, second, ..] = regions {
        let _ = write!(
            text,
            "\n[vip.\"canary.example.com.\"]\npolicy = \"weighted\"\nttl = \"5s\"\n\
             pools = [{{ pool = \"{}-web\", weight = 95 }}, {{ pool = \"{}-web\", weight = 5 }}]\n",
            first.name, second.name
        );
    }
    text
}

/// Writes the demo's configuration, zone and database into `dir`.
///
/// # Errors
/// The file that could not be written, and why.
pub fn write(dir: &Path, configuration: &str) -> Result<(), String> {
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
    };
    for inside in FOLDERS {
        let path = dir.join(inside);
        std::fs::create_dir_all(&path).map_err(|e| format!("cannot make {}: {e}", path.display()))?;
    }
    let texts = [configuration.as_bytes(), ZONE.as_bytes(), COUNTRY_DATABASE];
    FILES.iter().zip(texts).try_for_each(|(name, bytes)| put(name, bytes))
}

/// The files that [`write`] makes.
pub const FILES: [&str; 3] = ["rhumb.toml", "zones/example.com.zone", "country.mmdb"];
/// The folders that it makes for them and for the server.
pub const FOLDERS: [&str; 2] = ["zones", "state"];

/// The first address of a region's client prefix, as `dig +subnet=` takes it.
pub fn client_prefix(region: &DemoRegion) -> (IpAddr, u8) {
    let (address, prefix) = region.clients.split_once('/').expect("the table above has a slash in each");
    (address.parse().expect("the table above has addresses"), prefix.parse().expect("the table above has prefixes"))
}
