//! `dig` as resolvers near real networks would ask: the region is the one that the rules say for the network's place in the
//! database that ships, and the ECS scope is the largest prefix that is sure of the same answer.

mod common;
mod real_prefixes;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::process::Command;

use maxminddb::Reader;
use maxminddb::WithinOptions;
use real_prefixes::REAL_PREFIXES;

const COUNTRIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/geo/country.mmdb");
const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1h 15m 1w 60\n@ NS ns\nns A 192.0.2.53\n";
/// A rule and the region it sends to; what none of them holds goes to the last.
const RULES: [(&str, &str); 6] = [
    ("EU-GB", "192.0.2.1"),
    ("EU", "192.0.2.2"),
    ("NA", "192.0.2.3"),
    ("AS", "192.0.2.4"),
    ("OC", "192.0.2.5"),
    ("", "192.0.2.6"),
];

fn config() -> String {
    let mut text = format!("[geo]\ndatabases = [\"{COUNTRIES}\"]\n");
    let mut rules = String::new();
    for (at, (geo, address)) in RULES.iter().enumerate() {
        text +=
            &format!("[region.r{at}]\n[pool.p{at}]\nregion = \"r{at}\"\nendpoints = [{{ address = \"{address}\" }}]\n");
        let condition = if geo.is_empty() { String::new() } else { format!("geos = [\"{geo}\"], ") };
        rules += &format!("{{ {condition}pool = \"p{at}\" }},\n");
    }
    text + &format!("[vip.\"www.example.com.\"]\npolicy = \"geolocation\"\nttl = \"60s\"\nrules = [\n{rules}]\n")
}

/// The rule that holds a place, as a plain reading of the text has it.
fn rule_of(geo: &str) -> usize {
    RULES.iter().position(|(rule, _)| rule.is_empty() || geo == *rule || geo.starts_with(&format!("{rule}-"))).unwrap()
}

/// What `dig +subnet` says: the addresses, the TTL, and the scope.
fn dig(server: SocketAddr, prefix: &str) -> (Vec<String>, u8) {
    let output = Command::new("dig")
        .args([&format!("@{}", server.ip()), "-p", &server.port().to_string(), "www.example.com", "A"])
        .args([&format!("+subnet={prefix}"), "+norecurse", "+tries=3", "+time=5"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let scope = text.lines().find_map(|line| line.strip_prefix("; CLIENT-SUBNET: ")?.rsplit('/').next());
    let answer = text.lines().filter(|line| line.starts_with("www.example.com.") && line.contains("\tA\t"));
    let addresses = answer.filter_map(|line| Some(line.split_whitespace().next_back()?.to_owned())).collect();
    (addresses, scope.unwrap_or_else(|| panic!("no CLIENT-SUBNET in\n{text}")).parse().unwrap())
}

/// The database read naively: nothing of rhumb is used.
struct Oracle(Reader<Vec<u8>>);

#[derive(serde::Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    continent: Option<Continent<'a>>,
    #[serde(borrow)]
    country: Option<Country<'a>>,
}
#[derive(serde::Deserialize)]
struct Continent<'a> {
    code: &'a str,
}
#[derive(serde::Deserialize)]
struct Country<'a> {
    iso_code: &'a str,
}

impl Oracle {
    /// The rules that hold somewhere in a block.
    fn rules_in(&self, block: &str) -> BTreeSet<usize> {
        let options = WithinOptions::default().include_networks_without_data();
        let networks = self.0.within(block.parse().unwrap(), options).unwrap();
        let rule = |record: Option<Record<'_>>| {
            let part = |text: Option<&str>| text.map_or(String::new(), |text| format!("-{text}"));
            let Some(record) = record else { return rule_of("") };
            let continent = record.continent.map_or("", |c| c.code);
            rule_of(&format!("{continent}{}", part(record.country.map(|c| c.iso_code))))
        };
        networks.map(|found| rule(found.unwrap().decode().unwrap())).collect()
    }

    /// The length of the largest prefix around an address in which one rule holds.
    fn scope(&self, address: IpAddr) -> u8 {
        let (bits, number) = match address {
            IpAddr::V4(ip) => (32, u128::from(u32::from(ip))),
            IpAddr::V6(ip) => (128, u128::from(ip)),
        };
        let block = |number: u128, length: u32| {
            let first = if length == 0 { 0 } else { number >> (bits - length) << (bits - length) };
            match address {
                IpAddr::V4(_) => format!("{}/{length}", IpAddr::from((first as u32).to_be_bytes())),
                IpAddr::V6(_) => format!("{}/{length}", IpAddr::from(first.to_be_bytes())),
            }
        };
        let own = self.rules_in(&block(number, bits));
        let mut length = bits;
        while length > 0 {
            let sibling = number ^ (1 << (bits - length));
            if self.rules_in(&block(sibling, length)) != own {
                break;
            }
            length -= 1;
        }
        length as u8
    }
}

#[test]
fn dig_gets_the_region_of_its_place_and_the_exact_scope() {
    if common::program("dig").is_none() {
        return common::skipped("dig is not installed (bind9-dnsutils)");
    }
    let countries: BTreeSet<&str> = REAL_PREFIXES.iter().map(|(_, geo)| *geo).collect();
    let continents: BTreeSet<&str> = REAL_PREFIXES.iter().map(|(_, geo)| &geo[..2]).collect();
    assert!(countries.len() >= 12 && continents.len() >= 5, "{countries:?}");
    let dir = tempfile::tempdir().unwrap();
    let zones = dir.path().join("zones");
    fs::create_dir(&zones).unwrap();
    fs::write(zones.join("example.com.zone"), ZONE).unwrap();
    let server = common::servers::rhumb(dir.path(), &zones, &config());
    let oracle = Oracle(Reader::open_readfile(COUNTRIES).unwrap());
    for (prefix, geo) in REAL_PREFIXES {
        let (addresses, scope) = dig(server.address, prefix);
        assert_eq!(addresses, [RULES[rule_of(geo)].1], "{prefix} in {geo}");
        let address: IpAddr = prefix.split('/').next().unwrap().parse().unwrap();
        assert_eq!(scope, oracle.scope(address), "the scope for {prefix} in {geo}");
    }
}
