//! What is known of where a client is.

use std::collections::HashMap;

use crate::geo::country::continent_location;
use crate::geo::country::country;
use crate::model::GeoCode;
use crate::model::Location;
use crate::model::NetworkId;

/// A place as databases and custom networks describe it; whatever is not known is absent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Place {
    /// One of [`crate::model::CONTINENTS`].
    pub continent: Option<[u8; 2]>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<[u8; 2]>,
    /// ISO 3166-2 without the country, padded with zero bytes.
    pub subdivision: Option<[u8; 3]>,
    /// Coordinates, when a database or custom network gave them.
    pub location: Option<Location>,
    /// The autonomous system that announces the address.
    pub asn: Option<u32>,
    /// The custom network the address is in: the innermost one.
    pub network: Option<NetworkId>,
}

impl Place {
    /// The place that a code names.
    pub fn of(code: GeoCode) -> Self {
        Place {
            continent: Some(code.continent),
            country: code.country,
            subdivision: code.subdivision,
            ..Place::default()
        }
    }

    /// Its code, as rules match it; none when not even the continent is known.
    pub fn code(&self) -> Option<GeoCode> {
        let known = self.country.and_then(country).map(|row| row.continent);
        let continent = self.continent.or(known)?;
        Some(GeoCode { continent, country: self.country, subdivision: self.subdivision })
    }

    /// Where it is on the globe: its coordinates, else its country's, else its continent's.
    pub fn point(&self) -> Option<Location> {
        let by_country = || self.country.and_then(country).map(|row| row.location);
        let by_continent = || self.continent.and_then(continent_location);
        self.location.or_else(by_country).or_else(by_continent)
    }

    /// This place with what it lacks taken from `other`, as far as that speaks of the same country.
    ///
    /// A custom network that names a code or coordinates keeps those together: a database's coordinates are not put
    /// beside a network's country.
    pub fn or(mut self, other: &Place) -> Self {
        let same = match (self.country, other.country) {
            (Some(a), Some(b)) => a == b,
            _ => self.continent.is_none() || self.continent == other.continent,
        };
        if same {
            self.continent = self.continent.or(other.continent);
            self.country = self.country.or(other.country);
            self.subdivision = self.subdivision.or(other.subdivision);
            self.location = self.location.or(other.location);
        }
        self.asn = self.asn.or(other.asn);
        self.network = self.network.or(other.network);
        self
    }
}

/// Who says where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Origin {
    /// Nobody.
    #[default]
    Nowhere,
    /// A database, by its place in the configuration's list.
    Database(u16),
    /// A custom network.
    Network(NetworkId),
}

/// Index into [`Places`]; 0 is the place of which nothing is known.
pub type PlaceId = u32;

/// The id of the place of which nothing is known.
pub const NOWHERE: PlaceId = 0;

/// Every distinct place, once.
#[derive(Debug)]
pub struct Places {
    list: Vec<(Place, Origin)>,
    index: HashMap<(Key, Origin), PlaceId>,
}

/// A place as something that can be hashed: coordinates by their bits.
type Key = (Option<[u8; 2]>, Option<[u8; 2]>, Option<[u8; 3]>, Option<(u64, u64)>, Option<u32>, Option<NetworkId>);

impl Default for Places {
    fn default() -> Self {
        let mut places = Places { list: Vec::new(), index: HashMap::new() };
        places.intern(Place::default(), Origin::Nowhere);
        places
    }
}

impl Places {
    /// The id of a place; a place of which nothing is known is [`NOWHERE`] whoever says so.
    pub fn intern(&mut self, place: Place, origin: Origin) -> PlaceId {
        let origin = if place == Place::default() { Origin::Nowhere } else { origin };
        let bits = place.location.map(|l| (l.lat.to_bits(), l.lon.to_bits()));
        let key = (place.continent, place.country, place.subdivision, bits, place.asn, place.network);
        *self.index.entry((key, origin)).or_insert_with(|| {
            self.list.push((place, origin));
            (self.list.len() - 1) as PlaceId
        })
    }

    /// The place of that id.
    pub fn place(&self, id: PlaceId) -> &Place {
        &self.list[id as usize].0
    }

    /// Who says so.
    pub fn origin(&self, id: PlaceId) -> Origin {
        self.list[id as usize].1
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Place> {
        self.list.iter().map(|(place, _)| place)
    }

    /// How many there are; at least one.
    pub fn count(&self) -> usize {
        self.list.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Place {
        Place::of(text.parse().unwrap())
    }

    #[test]
    fn a_country_without_continent_is_on_its_continent() {
        let place = Place { country: Some(*b"BR"), ..Place::default() };
        assert_eq!(place.code().unwrap().to_string(), "SA-BR");
        assert!(place.point().is_some());
        assert_eq!(Place::default().code(), None);
        assert_eq!(Place::default().point(), None);
    }

    #[test]
    fn what_is_lacking_is_taken_only_from_the_same_country() {
        let berlin = Place { location: Some(Location { lat: 52.5, lon: 13.4 }), asn: Some(64500), ..code("EU-DE-BE") };
        let germany = code("EU-DE").or(&berlin);
        assert_eq!(germany.location, berlin.location);
        assert_eq!(germany.code().unwrap().to_string(), "EU-DE-BE");
        let france = code("EU-FR").or(&berlin);
        assert_eq!((france.location, france.subdivision), (None, None));
        assert_eq!(france.asn, Some(64500));
    }

    #[test]
    fn equal_places_are_one() {
        let mut places = Places::default();
        let a = places.intern(code("EU-DE"), Origin::Database(0));
        assert_eq!(a, places.intern(code("EU-DE"), Origin::Database(0)));
        assert_ne!(a, places.intern(code("EU-DE"), Origin::Database(1)));
        assert_eq!(places.intern(Place::default(), Origin::Database(3)), NOWHERE);
    }
}
