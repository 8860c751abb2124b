//! Who are the demo's clients? Networks drawn from the whole of IPv4, each in the country where the server's own database has
//! it, and the documentation prefix of each region. No country has more than its share, or half of them would be American.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::demo::layout::DemoRegion;
use crate::geo::atlas::Atlas;
use crate::server::dice::Dice;

/// How many there are: each sends a request a second or so, as a household does.
pub const CLIENTS: usize = 240;
/// No more than so many are in one country.
const OF_A_COUNTRY_MAX: usize = 8;
/// A database that places hardly anything does not keep us drawing.
const DRAWS_MAX: usize = 100_000;
/// Every so many-th client's resolver keeps answers for longer than it should.
const STALE_EVERY: usize = 12;
/// For so much longer.
pub const STALE_FOR: Duration = Duration::from_secs(15);

/// A client, behind a resolver of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Where it is, as its resolver says (EDNS Client Subnet).
    pub network: (IpAddr, u8),
    /// Its country (ISO 3166-1), if the database knows.
    pub country: Option<[u8; 2]>,
    /// How much longer than the TTL its resolver keeps an answer.
    pub keeps_for: Duration,
}

/// The clients of these regions.
pub fn draw(regions: &[DemoRegion], atlas: &Atlas, dice: &mut Dice) -> Vec<Client> {
    let mut clients: Vec<Client> = regions.iter().map(|region| at(region.client_prefix(), atlas)).collect();
    let (mut drawn, mut in_country) = (BTreeSet::new(), BTreeMap::<[u8; 2], usize>::new());
    for _ in 0..DRAWS_MAX {
        if clients.len() == CLIENTS {
            break;
        }
        let network = Ipv4Addr::from((dice.roll() >> 32) as u32 & 0xffff_ff00);
        let client = at((network.into(), 24), atlas);
        let Some(country) = client.country.filter(|_| is_unicast(network)) else { continue };
        let count = in_country.entry(country).or_default();
        if *count < OF_A_COUNTRY_MAX && drawn.insert(network) {
            *count += 1;
            clients.push(client);
        }
    }
    let stale = clients.iter_mut().skip(regions.len()).step_by(STALE_EVERY);
    stale.for_each(|client| client.keeps_for = STALE_FOR);
    clients
}

/// In how many countries they are.
pub fn countries(clients: &[Client]) -> usize {
    clients.iter().filter_map(|client| client.country).collect::<BTreeSet<_>>().len()
}

fn at(network: (IpAddr, u8), atlas: &Atlas) -> Client {
    Client { network, country: atlas.locate(network.0).place.country, keeps_for: Duration::ZERO }
}

fn is_unicast(network: Ipv4Addr) -> bool {
    !(network.is_private() || network.is_loopback() || network.is_link_local() || network.is_documentation())
        && (1..=223).contains(&network.octets()[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::layout::REGIONS;
    use crate::geo::place::Places;
    use crate::model::Network;

    fn network(cidr: &str, prefix: u8, geo: &str) -> Network {
        let cidr = vec![(cidr.parse().unwrap(), prefix)];
        Network { name: geo.to_owned(), cidr, geo: Some(geo.parse().unwrap()), location: None }
    }

    #[test]
    fn no_country_has_more_than_its_share_and_drawing_ends() {
        let networks = [network("0.0.0.0", 1, "EU-DE"), network("128.0.0.0", 2, "NA-US")];
        let atlas = Atlas::new(Places::default(), Vec::new(), &networks);
        let clients = draw(&REGIONS[..3], &atlas, &mut Dice::new());
        assert_eq!(clients.len(), 3 + 2 * OF_A_COUNTRY_MAX);
        assert_eq!(clients[0].network, REGIONS[0].client_prefix());
        assert_eq!(clients[0].keeps_for, Duration::ZERO, "those that people ask for keep to the TTL");
        assert_eq!(countries(&clients), 2);
        assert!(clients.iter().any(|client| client.keeps_for == STALE_FOR));
        let networks: BTreeSet<_> = clients.iter().map(|client| client.network).collect();
        assert_eq!(networks.len(), clients.len(), "each once");
    }
}
