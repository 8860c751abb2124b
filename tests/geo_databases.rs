//! Databases of both layouts, and those that are no databases; written by the test itself.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use mmdb_writer::{IpVersion, Ipv4Aliasing, Value, Writer};
use proptest::prelude::*;
use rhumb::geo::atlas::{Atlas, Located};
use rhumb::geo::convert::country_database;
use rhumb::geo::database::Database;
use rhumb::geo::place::{Origin, Places};
use rhumb::model::{GeoSettings, Location, Network, NetworkId};

fn writer(kind: &str, version: IpVersion) -> Writer {
    let epoch = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_780_000_000);
    let described = Writer::builder(kind).ip_version(version).description(&[("en", "a test")]);
    described.ipv4_aliasing(Ipv4Aliasing::Disabled).build_epoch(epoch).build()
}

fn put(writer: &mut Writer, network: &str, value: Value) {
    writer.insert_value(network.parse::<IpNet>().unwrap(), value).unwrap();
}

fn code(key: &str, value: &str) -> Value {
    Value::map([(key, value)])
}

/// MaxMind's nested layout, both families.
fn city() -> Vec<u8> {
    let mut writer = writer("GeoIP2-City", IpVersion::V6);
    let berlin = Value::map([
        ("continent", code("code", "EU")),
        ("country", code("iso_code", "DE")),
        ("subdivisions", Value::array([code("iso_code", "BE")])),
        ("location", Value::map([("latitude", Value::from(52.5)), ("longitude", Value::from(13.4))])),
    ]);
    put(&mut writer, "192.0.2.0/25", berlin.clone());
    put(&mut writer, "2001:db8:1::/48", berlin);
    put(&mut writer, "192.0.2.128/25", Value::map([("registered_country", code("iso_code", "JP"))]));
    writer.to_bytes().unwrap()
}

/// A flat layout, IPv4 alone.
fn numbers() -> Vec<u8> {
    let mut writer = writer("asn", IpVersion::V4);
    let number = Value::map([("autonomous_system_number", Value::from(64_500_u32))]);
    put(&mut writer, "192.0.2.0/24", number);
    let brazil = Value::map([
        ("country_code", Value::from("BR")),
        ("latitude", Value::from(-23.5_f32)),
        ("longitude", Value::from("-46.6")),
    ]);
    put(&mut writer, "198.51.100.0/24", brazil);
    writer.to_bytes().unwrap()
}

fn files(dir: &Path, databases: &[(&str, Vec<u8>)]) -> Vec<PathBuf> {
    let write = |(name, bytes): &(&str, Vec<u8>)| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    databases.iter().map(write).collect()
}

fn at(atlas: &Atlas, address: &str) -> Located {
    atlas.locate(address.parse::<IpAddr>().unwrap())
}

fn geo(located: Located) -> String {
    located.place.code().map(|code| code.to_string()).unwrap_or_default()
}

#[test]
fn later_databases_fill_what_earlier_ones_lack_and_networks_beat_both() {
    let dir = tempfile::tempdir().unwrap();
    let databases = files(dir.path(), &[("city.mmdb", city()), ("asn.mmdb", numbers())]);
    let office = Network {
        name: "office".into(),
        cidr: vec![("192.0.2.64".parse().unwrap(), 26), ("2001:db8:1:2::".parse().unwrap(), 64)],
        geo: Some("EU-FR".parse().unwrap()),
        location: None,
    };
    let settings = GeoSettings { databases, networks: vec![office], ..GeoSettings::default() };
    let atlas = Atlas::read(&settings).unwrap();
    let berlin = at(&atlas, "192.0.2.7");
    assert_eq!((geo(berlin), berlin.place.asn, berlin.origin), ("EU-DE-BE".into(), Some(64_500), Origin::Database(0)));
    assert_eq!((berlin.network, berlin.prefix), ("192.0.2.0".parse().unwrap(), 26));
    assert_eq!(berlin.place.location, Some(Location { lat: 52.5, lon: 13.4 }));
    let office = at(&atlas, "192.0.2.70");
    assert_eq!((geo(office), office.place.asn, office.prefix), ("EU-FR".into(), Some(64_500), 26));
    assert_eq!(office.place.location, None, "Berlin's coordinates are not put beside France");
    assert_eq!(office.origin, Origin::Network(NetworkId(0)));
    assert_eq!(geo(at(&atlas, "192.0.2.200")), "AS-JP", "the registered country where there is no other");
    let brazil = at(&atlas, "198.51.100.9");
    assert_eq!((geo(brazil), brazil.origin), ("SA-BR".into(), Origin::Database(1)));
    assert!((brazil.place.point().unwrap().lon + 46.6).abs() < 1e-9);
    assert_eq!(geo(at(&atlas, "2001:db8:1::7")), "EU-DE-BE");
    assert_eq!(geo(at(&atlas, "2001:db8:1:2::7")), "EU-FR");
    assert_eq!(at(&atlas, "203.0.113.1").origin, Origin::Nowhere);
}

#[test]
fn an_empty_description_is_no_damage() {
    let mut writer = Writer::builder("flat").build();
    put(&mut writer, "192.0.2.0/24", code("country_code", "DE"));
    let mut places = Places::default();
    let database = Database::from_bytes(Path::new("flat.mmdb"), &writer.to_bytes().unwrap(), 0, &mut places).unwrap();
    assert_eq!((database.info.networks, places.count()), (1, 2));
}

#[test]
fn what_is_no_database_is_said_with_its_file_and_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut torn = city();
    let middle = torn.len() / 2;
    torn.drain(middle..middle + 40);
    let mut databases = files(dir.path(), &[("text.mmdb", b"# not a database".to_vec()), ("torn.mmdb", torn)]);
    databases.push(dir.path().join("missing.mmdb"));
    let problems = Atlas::read(&GeoSettings { databases, ..GeoSettings::default() }).unwrap_err();
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["E0302", "E0303", "E0301"]);
    for (problem, name) in problems.iter().zip(["text.mmdb", "torn.mmdb", "missing.mmdb"]) {
        assert!(problem.place.as_ref().unwrap().file.ends_with(name));
        assert!(problem.help.is_some());
    }
}

#[test]
fn a_country_database_is_built_alike_every_time_and_says_the_same() {
    let path = Path::new("city.mmdb");
    let (built, _) = country_database(path, &city(), "from a test").unwrap();
    assert_eq!(built, country_database(path, &city(), "from a test").unwrap().0);
    let mut places = Places::default();
    let database = Database::from_bytes(Path::new("built.mmdb"), &built, 0, &mut places).unwrap();
    assert_eq!((database.info.build_epoch, database.info.description.as_str()), (1_780_000_000, "from a test"));
    let atlas = Atlas::new(places, vec![database], &[]);
    assert_eq!(geo(at(&atlas, "192.0.2.7")), "EU-DE");
    assert_eq!(geo(at(&atlas, "192.0.2.200")), "AS-JP");
    assert_eq!(geo(at(&atlas, "2001:db8:1::7")), "EU-DE");
    assert_eq!(at(&atlas, "192.0.2.7").place.location, None);
    let mut none = writer("asn", IpVersion::V4);
    put(&mut none, "192.0.2.0/24", Value::map([("autonomous_system_number", Value::from(1_u32))]));
    assert_eq!(country_database(path, &none.to_bytes().unwrap(), "x").unwrap_err().code, "E0304");
}

proptest! {
    #[test]
    fn no_bytes_panic(cut in 0usize..4_000, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20)) {
        let mut bytes = city();
        bytes.truncate(bytes.len().saturating_sub(cut % 7 * cut));
        for (at, value) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        let _ = Database::from_bytes(Path::new("x.mmdb"), &bytes, 0, &mut Places::default());
    }
}
