//! What is configured: regions of L7 listeners before L4 listeners before applications, all in one process, drawn anew at a reload.

use std::fmt::Write;
use std::net::IpAddr;

use crate::dice::Dice;

/// A region.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    pub name: &'static str,
    /// Where it is, and where its clients are.
    location: &'static str,
    /// The documentation prefix of its clients.
    clients: [u8; 3],
}

pub const REGIONS: [Region; 3] = [
    Region { name: "eu", location: "[50.11, 8.68]", clients: [192, 0, 2] },
    Region { name: "us", location: "[39.04, -77.49]", clients: [198, 51, 100] },
    Region { name: "ap", location: "[1.35, 103.82]", clients: [203, 0, 113] },
];
/// The name that clients ask for.
pub const HOST: &str = "www.example.org";
/// How often a request is tried again by the L7 tier: as often as there are L4 listeners to try.
pub const RETRIES: usize = 2;

impl Region {
    /// One of its clients.
    pub fn client(&self, number: u8) -> IpAddr {
        let [a, b, c] = self.clients;
        IpAddr::from([a, b, c, number])
    }
}

/// The region of an address of ours.
pub fn region_of(address: IpAddr) -> usize {
    let IpAddr::V4(address) = address else { unreachable!("all of ours are IPv4") };
    usize::from(address.octets()[1])
}

/// A configuration. Probes come often, so that a day is short.
pub fn configuration(dice: &mut Dice) -> String {
    let mut text = "[server]\nlisten = [\"127.0.0.1:5300\"]\nsuspect_itself = false\n\
                    [health_check.up]\ntype = \"tcp\"\ninterval = \"1s\"\nfast = \"200ms\"\ntimeout = \"300ms\"\nfall = 2\nrise = 2\n"
        .to_owned();
    for (number, region) in REGIONS.iter().enumerate() {
        section(&mut text, number, region, dice);
    }
    let pools: Vec<String> = REGIONS.iter().map(|region| format!("{{ pool = \"web-{}\" }}", region.name)).collect();
    let ttl = dice.pick(&["2s", "5s", "8s"]);
    let (host, pools) = (HOST, pools.join(", "));
    write!(text, "[vip.\"{host}.\"]\npolicy = \"geoproximity\"\nttl = \"{ttl}\"\npools = [{pools}]\n").unwrap();
    text
}

fn section(text: &mut String, number: usize, region: &Region, dice: &mut Dice) {
    let Region { name, location, clients: [a, b, c] } = region;
    write!(
        text,
        "[[geo.network]]\nname = \"{name}\"\ncidr = [\"{a}.{b}.{c}.0/24\"]\nlocation = {location}\n\
         [region.{name}]\nlocation = {location}\n"
    )
    .unwrap();
    let fronts = addresses(dice, number, 1, 2);
    pool(text, &format!("web-{name}"), name, &fronts, 80, "weighted");
    let balance = *dice.pick(&["weighted", "p2c", "least_conn", "maglev", "hash"]);
    let flows = addresses(dice, number, 2, RETRIES as u64 + 1);
    pool(text, &format!("l4-{name}"), name, &flows, 8000, balance);
    for front in &fronts {
        let route = format!("{{ pool = \"l4-{name}\", retries = {RETRIES} }}");
        listener(text, front, "l7", name, 80, &format!("protocol = \"http\"\nroutes = [{route}]"));
    }
    for (zone, flow) in flows.iter().enumerate() {
        let balance = *dice.pick(&["weighted", "p2c", "least_conn", "ring_hash", "random"]);
        let apps = addresses(dice, number, 3 + zone, 3);
        pool(text, &format!("app-{name}-{zone}"), name, &apps, 9000, balance);
        listener(text, flow, "l4", name, 8000, &format!("protocol = \"tcp\"\npool = \"app-{name}-{zone}\""));
    }
}

/// Up to so many in a row; a reload replaces some and adds or leaves out others.
fn addresses(dice: &mut Dice, region: usize, tier: usize, most: u64) -> Vec<String> {
    let count = 1 + dice.roll(most);
    (1..=count).map(|at| format!("10.{region}.{tier}.{}", at + 10 * u64::from(dice.roll(4) == 0))).collect()
}

fn pool(text: &mut String, name: &str, region: &str, addresses: &[String], port: u16, balance: &str) {
    let endpoint = |address: &String| format!("{{ address = \"{address}\", port = {port} }}");
    let endpoints: Vec<String> = addresses.iter().map(endpoint).collect();
    let endpoints = endpoints.join(", ");
    write!(
        text,
        "[pool.{name}]\nregion = \"{region}\"\nhealth_check = \"up\"\nbalance = \"{balance}\"\nendpoints = [{endpoints}]\n"
    )
    .unwrap();
}

fn listener(text: &mut String, address: &str, kind: &str, region: &str, port: u16, more: &str) {
    let name = format!("{kind}-{}", address.replace('.', "-"));
    write!(text, "[[listener]]\nname = \"{name}\"\nregion = \"{region}\"\nbind = \"{address}:{port}\"\n{more}\n")
        .unwrap();
}
