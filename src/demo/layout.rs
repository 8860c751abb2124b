//! What the demo is made of: regions, and in each the addresses of its tiers.
//!
//! Region N is 127.N.0.0/16: one edge at L7 (127.N.1.10), two zones of one listener at L4 each (127.N.2.1 and .2), two
//! applications behind each of those (127.N.3.x and 127.N.4.x). All on one port: an answer of DNS says none, and so one
//! number fits every `curl` line. Nothing here opens a socket.

use std::net::{IpAddr, Ipv4Addr};

use crate::geo::distance::great_circle_km;
use crate::model::Location;

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
    /// The second byte of its addresses: N of `127.N.1.10`.
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

/// The zones of each region.
pub const ZONES: [Zone; 2] = [Zone { letter: 'a', number: 1 }, Zone { letter: 'b', number: 2 }];

/// A part of a region that has a listener at L4 and applications of its own.
#[derive(Debug, Clone, Copy)]
pub struct Zone {
    /// As it stands in names: `l4-eu-west-a`.
    pub letter: char,
    number: u8,
}

impl DemoRegion {
    /// The address of its edge at L7, which DNS answers with.
    pub fn edge(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net, 1, 10)
    }

    /// The address of a zone's listener at L4.
    pub fn flow(&self, zone: Zone) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net, 2, zone.number)
    }

    /// What that listener is called.
    pub fn flow_name(&self, zone: Zone) -> String {
        format!("l4-{}-{}", self.name, zone.letter)
    }

    /// The addresses of a zone's applications.
    pub fn zone_apps(&self, zone: Zone) -> [Ipv4Addr; 2] {
        [1, 2].map(|app| Ipv4Addr::new(127, self.net, 2 + zone.number, app))
    }

    /// The addresses of all its applications.
    pub fn apps(&self) -> impl Iterator<Item = Ipv4Addr> {
        let region = *self;
        ZONES.into_iter().flat_map(move |zone| region.zone_apps(zone))
    }

    /// The addresses of its listeners.
    pub fn listeners(&self) -> impl Iterator<Item = Ipv4Addr> {
        let region = *self;
        std::iter::once(self.edge()).chain(ZONES.into_iter().map(move |zone| region.flow(zone)))
    }

    /// The pools of its tiers.
    pub fn pools(&self) -> Pools {
        let named = |what: &str| format!("{}-{what}", self.name);
        Pools {
            edge: named("web"),
            zones: named("zones"),
            own: named("own"),
            apps: ZONES.map(|zone| format!("{}-{}", self.name, zone.letter)),
        }
    }

    /// The prefix of its documentation clients, as `dig +subnet=` takes it.
    pub fn client_prefix(&self) -> (IpAddr, u8) {
        let (address, prefix) = self.clients.split_once('/').expect("the table above has a slash in each");
        (address.parse().expect("the table above has addresses"), prefix.parse().expect("the table above has prefixes"))
    }

    /// The nearest of the others: where its edge forwards to when its own applications are gone.
    pub fn nearest<'r>(&self, regions: &'r [DemoRegion]) -> Option<&'r DemoRegion> {
        let at = |region: &DemoRegion| Location { lat: region.location.0, lon: region.location.1 };
        let far = |other: &&DemoRegion| great_circle_km(at(self), at(other));
        regions.iter().filter(|other| other.net != self.net).min_by(|a, b| far(a).total_cmp(&far(b)))
    }
}

/// The pools of a region's tiers by name, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pools {
    /// What VIPs answer with: the edge.
    pub edge: String,
    /// What the edge sends requests to: the zones, and the nearest region's edge behind them.
    pub zones: String,
    /// The zones alone: for health checks, and for what another region forwards.
    pub own: String,
    /// What each zone's listener sends connections to.
    pub apps: [String; 2],
}

/// The region whose edge this is, by its place in the list.
pub fn region_of(regions: &[DemoRegion], address: IpAddr) -> Option<usize> {
    regions.iter().position(|region| IpAddr::V4(region.edge()) == address)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_address_is_there_once_and_in_its_region() {
        let mut seen = BTreeSet::new();
        for region in REGIONS {
            for address in region.listeners().chain(region.apps()) {
                assert_eq!(address.octets()[..2], [127, region.net]);
                assert!(seen.insert(address), "{address} twice");
            }
        }
        assert_eq!(seen.len(), REGIONS.len() * 7);
    }

    #[test]
    fn a_region_is_helped_by_its_nearest() {
        let nearest = |name: &str, count: usize| {
            let region = REGIONS.iter().find(|region| region.name == name).unwrap();
            region.nearest(&REGIONS[..count]).unwrap().name
        };
        assert_eq!(nearest("eu-west", 3), "us-east");
        assert_eq!(nearest("ap-south", 3), "eu-west");
        assert_eq!(nearest("ap-south", 6), "oc-east");
        assert_eq!(REGIONS[0].nearest(&REGIONS[..1]).map(|region| region.name), None);
    }
}
