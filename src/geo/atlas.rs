//! All databases and custom networks in one: address to place.
//!
//! A custom network beats the databases, the innermost first; what it does not say, the databases say. A field that an
//! earlier database lacks is taken from a later one. Queries do not look here: steering compiles it into tables.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::geo::database::Database;
use crate::geo::database::DatabaseInfo;
use crate::geo::place::NOWHERE;
use crate::geo::place::Origin;
use crate::geo::place::Place;
use crate::geo::place::PlaceId;
use crate::geo::place::Places;
use crate::geo::runs::Address;
use crate::geo::runs::Block;
use crate::geo::runs::Runs;
use crate::model::GeoSettings;
use crate::model::Network;
use crate::model::NetworkId;
use crate::model::Problem;

/// Where every address is.
#[derive(Debug)]
pub struct Atlas {
    places: Places,
    v4: Runs<u32>,
    v6: Runs<u128>,
    databases: Vec<DatabaseInfo>,
}

/// What is known of one address, and how far around it the same holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Located {
    /// The first address of the largest prefix around it that is in the same place.
    pub network: IpAddr,
    /// Its length.
    pub prefix: u8,
    /// Where it is.
    pub place: Place,
    /// Who says so; with several databases, the first that knew anything.
    pub origin: Origin,
}

impl Atlas {
    /// Reads every database of `settings` and lays the custom networks over them.
    ///
    /// # Errors
    /// All databases that cannot be read.
    pub fn read(settings: &GeoSettings) -> Result<Self, Vec<Problem>> {
        let mut places = Places::default();
        let (mut databases, mut problems) = (Vec::new(), Vec::new());
        for (index, path) in settings.databases.iter().enumerate() {
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            match Database::read(path, index, &mut places) {
                Ok(database) => databases.push(database),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Atlas::new(places, databases, &settings.networks)) } else { Err(problems) }
    }

    /// Custom networks alone.
    pub fn of_networks(networks: &[Network]) -> Self {
        Atlas::new(Places::default(), Vec::new(), networks)
    }

    /// Databases, whose places are in `places`, with custom networks over them.
    pub fn new(mut places: Places, databases: Vec<Database>, networks: &[Network]) -> Self {
        let ids: Vec<PlaceId> = networks
            .iter()
            .enumerate()
            .map(|(index, network)| {
                let id = NetworkId::from(index);
                places.intern(place_of(network, id), Origin::Network(id))
            })
            .collect();
        let mut v4 = Runs::from_nested(custom(networks, &ids, v4_number), |_, inner| inner);
        let mut v6 = Runs::from_nested(custom(networks, &ids, v6_number), |_, inner| inner);
        let mut filled = HashMap::new();
        let mut infos = Vec::new();
        for database in databases {
            v4 = v4.merge(&database.v4, |over, under| fill(&mut places, &mut filled, over, under));
            v6 = v6.merge(&database.v6, |over, under| fill(&mut places, &mut filled, over, under));
            infos.push(database.info);
        }
        Atlas { places, v4, v6, databases: infos }
    }

    /// Where an address is.
    pub fn locate(&self, address: IpAddr) -> Located {
        match address {
            IpAddr::V4(ip) => self.located(self.v4.block_at(ip.into())),
            IpAddr::V6(ip) => self.located(self.v6.block_at(ip.into())),
        }
    }

    fn located<A: Address>(&self, block: Block<A>) -> Located {
        let place = *self.places.place(block.value);
        Located { network: block.first.ip(), prefix: block.prefix, place, origin: self.places.origin(block.value) }
    }

    /// Every distinct place.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The place of every IPv4 address, as ids of [`Atlas::places`].
    pub fn v4(&self) -> &Runs<u32> {
        &self.v4
    }

    /// The place of every IPv6 address, as ids of [`Atlas::places`].
    pub fn v6(&self) -> &Runs<u128> {
        &self.v6
    }

    /// The databases it was made of, in the order of the configuration.
    pub fn databases(&self) -> &[DatabaseInfo] {
        &self.databases
    }
}

/// What a custom network says of where it is.
fn place_of(network: &Network, id: NetworkId) -> Place {
    let named = network.geo.map(Place::of).unwrap_or_default();
    Place { location: network.location, network: Some(id), ..named }
}

/// The place of `over` with what it lacks from `under`.
fn fill(
    places: &mut Places,
    filled: &mut HashMap<(PlaceId, PlaceId), PlaceId>,
    over: PlaceId,
    under: PlaceId,
) -> PlaceId {
    if over == NOWHERE || under == NOWHERE {
        return over.max(under);
    }
    *filled.entry((over, under)).or_insert_with(|| {
        let (upper, lower) = (*places.place(over), *places.place(under));
        let origin = places.origin(over);
        places.intern(merged(upper, &lower), origin)
    })
}

/// A custom network that names its country keeps a database's coordinates out, which may be of another town.
fn merged(upper: Place, lower: &Place) -> Place {
    let mut place = upper.or(lower);
    if upper.network.is_some() && upper.continent.is_some() {
        place = Place { location: upper.location, subdivision: upper.subdivision, country: upper.country, ..place };
    }
    place
}

fn v4_number(ip: IpAddr) -> Option<u32> {
    if let IpAddr::V4(ip) = ip { Some(ip.into()) } else { None }
}

fn v6_number(ip: IpAddr) -> Option<u128> {
    if let IpAddr::V6(ip) = ip { Some(ip.into()) } else { None }
}

/// The prefixes of custom networks of one family.
fn custom<A: Address>(networks: &[Network], ids: &[PlaceId], number: impl Fn(IpAddr) -> Option<A>) -> Vec<Block<A>> {
    let each = networks.iter().zip(ids).flat_map(|(network, id)| network.cidr.iter().map(move |cidr| (cidr, *id)));
    each.filter_map(|((ip, prefix), value)| {
        let prefix = (*prefix).min(A::BITS);
        Some(Block { first: number(*ip)?.block_first(prefix), prefix, value })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, cidr: &[(&str, u8)], geo: Option<&str>) -> Network {
        Network {
            name: name.to_owned(),
            cidr: cidr.iter().map(|(ip, p)| (ip.parse().unwrap(), *p)).collect(),
            geo: geo.map(|g| g.parse().unwrap()),
            location: None,
        }
    }

    #[test]
    fn the_innermost_network_says_where_an_address_is() {
        let atlas = Atlas::of_networks(&[
            network("wide", &[("10.0.0.0", 8), ("2001:db8::", 32)], Some("EU")),
            network("inner", &[("10.20.0.0", 16)], Some("AS-JP")),
        ]);
        let at = |ip: &str| atlas.locate(ip.parse().unwrap());
        assert_eq!(at("10.20.1.1").place.code().unwrap().to_string(), "AS-JP");
        assert_eq!(at("10.20.1.1").origin, Origin::Network(NetworkId(1)));
        assert_eq!((at("10.20.1.1").network, at("10.20.1.1").prefix), ("10.20.0.0".parse().unwrap(), 16));
        assert_eq!(at("10.21.1.1").place.code().unwrap().to_string(), "EU");
        assert_eq!(at("2001:db8:1::1").place.network, Some(NetworkId(0)));
        assert_eq!(at("192.0.2.1").origin, Origin::Nowhere);
    }
}
