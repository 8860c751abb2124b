//! One record of a database, in either layout, as a [`Place`].
//!
//! MaxMind nests (`country.iso_code`), ip-location-db and IPinfo are flat (`country_code`). One structure reads both:
//! a field may be a text or a map that holds a code. Numbers come as floats, integers or text.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;

use crate::geo::country::country;
use crate::geo::place::Place;
use crate::model::CONTINENTS;
use crate::model::Location;

/// The fields we use, whichever layout has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    continent: Code,
    continent_code: Code,
    country: Code,
    country_code: Code,
    registered_country: Code,
    subdivisions: First,
    location: Coordinates,
    latitude: Number,
    longitude: Number,
    autonomous_system_number: Number,
    asn: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Coordinates {
    latitude: Number,
    longitude: Number,
}

/// A short code, upper case: a text, or what a map has under `code` or `iso_code`. Longer texts (names) are no code.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Code(Option<[u8; 3]>);

/// The first of a list of codes: the widest subdivision.
#[derive(Debug, Default, Clone, Copy)]
struct First(Code);

/// A number in whatever form; `AS64500` is 64500.
#[derive(Debug, Default, Clone, Copy)]
struct Number(Option<f64>);

impl Record {
    /// What it says of a place; nonsense (coordinates off the globe, a code of the wrong length) is left out.
    pub(super) fn place(&self) -> Place {
        let code = [self.country, self.country_code, self.registered_country].into_iter().find_map(Code::two);
        let named = [self.continent, self.continent_code].into_iter().find_map(Code::two);
        let continent = named.filter(|c| CONTINENTS.iter().any(|known| known.as_bytes() == c));
        // `EU` and `AP` as countries mean "somewhere in Europe, in Asia": registries and older databases use them.
        let (continent, code) = match code {
            Some([b'E', b'U']) => (continent.or(Some(*b"EU")), None),
            Some([b'A', b'P']) => (continent.or(Some(*b"AS")), None),
            Some([b'Z', b'Z']) => (continent, None),
            other => (continent.or_else(|| Some(country(other?)?.continent)), other),
        };
        Place {
            continent,
            country: code,
            subdivision: code.and(self.subdivisions.0.0),
            location: self.coordinates(),
            asn: self.asn(),
            network: None,
        }
    }

    fn coordinates(&self) -> Option<Location> {
        let lat = self.location.latitude.0.or(self.latitude.0)?;
        let lon = self.location.longitude.0.or(self.longitude.0)?;
        ((-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon)).then_some(Location { lat, lon })
    }

    fn asn(&self) -> Option<u32> {
        let number = self.autonomous_system_number.0.or(self.asn.0)?;
        (number >= 1.0 && number <= f64::from(u32::MAX)).then_some(number as u32)
    }
}

impl Code {
    fn read(text: &str) -> Self {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > 3 || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Code(None);
        }
        let mut code = [0; 3];
        code[..bytes.len()].copy_from_slice(bytes);
        code.make_ascii_uppercase();
        Code(Some(code))
    }

    fn two(self) -> Option<[u8; 2]> {
        match self.0 {
            Some([a, b, 0]) if b != 0 && a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => Some([a, b]),
            _ => None,
        }
    }
}

macro_rules! ignored {
    ($($name:ident($from:ty)),*) => {$(
        fn $name<E>(self, _: $from) -> Result<Self::Value, E> { Ok(Self::Value::default()) }
    )*};
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Code;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a code, or a map with one")
            }
            fn visit_str<E>(self, text: &str) -> Result<Code, E> {
                Ok(Code::read(text))
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Code, M::Error> {
                let mut code = Code(None);
                while let Some(key) = map.next_key::<&str>()? {
                    match key {
                        "code" | "iso_code" => code = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(code)
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Code, S::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Code(None))
            }
            ignored!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_u128(u128));
        }
        from.deserialize_any(Reads)
    }
}

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = First;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of maps with codes")
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<First, S::Error> {
                let first = seq.next_element()?.unwrap_or_default();
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<First, M::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(First::default())
            }
            ignored!(
                visit_bool(bool),
                visit_i64(i64),
                visit_u64(u64),
                visit_f64(f64),
                visit_u128(u128),
                visit_str(&str)
            );
        }
        from.deserialize_any(Reads)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.strip_prefix("AS").unwrap_or(text).parse().ok()))
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Number, M::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Number, S::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }
            ignored!(visit_bool(bool), visit_u128(u128));
        }
        from.deserialize_any(Reads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(json: &str) -> Place {
        serde_json::from_str::<Record>(json).unwrap().place()
    }

    #[test]
    fn the_nested_layout_is_read() {
        let berlin = place(
            r#"{"city":{"names":{"en":"Berlin"}},"continent":{"code":"EU","geoname_id":1},"country":{"iso_code":"DE"},
                "location":{"latitude":52.5,"longitude":13.4,"time_zone":"x"},
                "subdivisions":[{"iso_code":"BE","names":{"en":"x"}},{"iso_code":"ZZ"}],"autonomous_system_number":64500}"#,
        );
        assert_eq!(berlin.code().unwrap().to_string(), "EU-DE-BE");
        assert_eq!(berlin.location, Some(Location { lat: 52.5, lon: 13.4 }));
        assert_eq!(berlin.asn, Some(64500));
        assert_eq!(place(r#"{"registered_country":{"iso_code":"US"}}"#).code().unwrap().to_string(), "NA-US");
    }

    #[test]
    fn the_flat_layouts_are_read() {
        let city = place(r#"{"city":"Lyon","country_code":"FR","latitude":45.75,"longitude":"4.85","state1":"Rhone"}"#);
        assert_eq!(city.code().unwrap().to_string(), "EU-FR");
        assert_eq!(city.location, Some(Location { lat: 45.75, lon: 4.85 }));
        let lite = place(
            r#"{"asn":"AS15169","continent":"North America","continent_code":"NA","country":"United States","country_code":"US"}"#,
        );
        assert_eq!((lite.code().unwrap().to_string(), lite.asn), ("NA-US".to_owned(), Some(15169)));
    }

    #[test]
    fn nonsense_is_left_out() {
        let odd = place(
            r#"{"continent":7,"country":["DE"],"latitude":400,"longitude":0,"autonomous_system_number":-1,
                "subdivisions":"none","country_code":true}"#,
        );
        assert_eq!(odd, Place::default());
        assert_eq!(place(r#"{"country_code":"EU"}"#).code().unwrap().to_string(), "EU");
        assert_eq!(place(r#"{"country_code":"ZZ"}"#), Place::default());
    }
}
