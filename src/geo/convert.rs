//! Any country database in MaxMind's nested layout, as small as it can be: how `geo/country.mmdb` is made.
//!
//! Only continent and country are kept, neighbouring networks of one country become one, and the time of building is the
//! input's, so that the same input always gives the same bytes.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use std::time::UNIX_EPOCH;

use ipnet::IpNet;
use mmdb_writer::Ipv4Aliasing;
use mmdb_writer::Value;
use mmdb_writer::Writer;

use crate::geo::database::Database;
use crate::geo::database::DatabaseInfo;
use crate::geo::place::NOWHERE;
use crate::geo::place::Place;
use crate::geo::place::Places;
use crate::geo::runs::Address;
use crate::geo::runs::Runs;
use crate::model;
use crate::model::Problem;

/// Its type; client libraries look for `Country` in it.
const KIND: &str = "ip-location-db-Country";

/// A database of continents and countries from another in any layout; `description` says where it comes from.
///
/// # Errors
/// The input is no database (E0302) or damaged (E0303), or has no countries (E0304).
pub fn country_database(path: &Path, bytes: &[u8], description: &str) -> Result<(Vec<u8>, DatabaseInfo), Problem> {
    let mut places = Places::default();
    let database = Database::from_bytes(path, bytes, 0, &mut places)?;
    let mut countries = Places::default();
    let kept: Vec<u32> = places.iter().map(|place| countries.intern(country_of(place), Default::default())).collect();
    if countries.count() == 1 {
        let fact = "the database has no countries";
        return Err(Problem::error("E0304", model::Place::file(path), fact)
            .help("give a country or city database: its records need country.iso_code or country_code"));
    }
    let records: Vec<Value> = countries.iter().map(record).collect();
    // Other readers look 6to4 and mapped addresses up through aliases; ours turns them into IPv4 first, and without
    // aliases the file has no part that the input does not say.
    let mut writer = Writer::builder(KIND)
        .description(&[("en", description)])
        .ipv4_aliasing(Ipv4Aliasing::Disabled)
        .build_epoch(UNIX_EPOCH + Duration::from_secs(database.info.build_epoch))
        .build();
    // IPv6 first: a block over ::/96 must not cover IPv4, which lives there.
    let v6 = insert(&mut writer, &database.v6.map(|id| kept[id as usize]), &records);
    let v4 = insert(&mut writer, &database.v4.map(|id| kept[id as usize]), &records);
    let written = v6.and(v4).and_then(|()| writer.to_bytes());
    let bytes = written.map_err(|error| {
        Problem::error("E0305", model::Place::file(path), format!("the database cannot be written: {error}"))
            .help("this is a defect of rhumb: please report it with the database's name and version")
    })?;
    Ok((bytes, database.info))
}

fn country_of(place: &Place) -> Place {
    Place { continent: place.continent, country: place.country, ..Place::default() }
}

fn record(place: &Place) -> Value {
    let text = |code: [u8; 2]| code.iter().map(|b| char::from(*b)).collect::<String>();
    let continent = place.continent.map(|code| ("continent", Value::map([("code", text(code))])));
    let country = place.country.map(|code| ("country", Value::map([("iso_code", text(code))])));
    Value::map(continent.into_iter().chain(country))
}

fn insert<A: Address>(writer: &mut Writer, runs: &Runs<A>, records: &[Value]) -> Result<(), mmdb_writer::Error> {
    for block in runs.blocks().filter(|block| block.value != NOWHERE) {
        let network = IpNet::new(block.first.ip(), block.prefix).expect("blocks are prefixes of their family");
        debug_assert!(!matches!(network.addr(), IpAddr::V6(ip) if u128::from(ip) >> 32 == 0 && block.prefix > 96));
        writer.insert_value(network, records[block.value as usize].clone())?;
    }
    Ok(())
}
