//! One MaxMind-format file, read into runs of addresses.
//!
//! The file is checked whole (`verify`) before anything of it is believed, read once, and let go: queries never touch
//! it. Each distinct record is decoded once, however many networks share it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;

use maxminddb::Reader;

use crate::geo::place::Origin;
use crate::geo::place::PlaceId;
use crate::geo::place::Places;
use crate::geo::record::Record;
use crate::geo::runs::Address;
use crate::geo::runs::Block;
use crate::geo::runs::InOrder;
use crate::geo::runs::Runs;
use crate::model;
use crate::model::Problem;

/// Metadata stands in the last 128 KiB of a file (MaxMind DB file format, "Database Metadata").
const METADATA_BYTES_MAX: usize = 128 * 1024;

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// The file as the operator named it.
    pub path: PathBuf,
    /// Its type, `GeoLite2-Country`.
    pub kind: String,
    /// Its description in English, or in whatever language it has one.
    pub description: String,
    /// When it was built, in seconds since the epoch.
    pub build_epoch: u64,
    /// 4: IPv4 alone; 6: both.
    pub ip_version: u16,
    /// How many networks it has, of either family.
    pub networks: u64,
    /// How many distinct records it has.
    pub records: u64,
}

/// A database whose networks have been read.
#[derive(Debug)]
pub struct Database {
    /// What it says of itself.
    pub info: DatabaseInfo,
    /// IPv4 addresses.
    pub v4: Runs<u32>,
    /// IPv6 addresses.
    pub v6: Runs<u128>,
}

impl Database {
    /// Reads the file at `path`; its places go into `places` as coming from the database of that index.
    ///
    /// # Errors
    /// The file cannot be read (E0301), is no such database (E0302), or is damaged (E0303).
    pub fn read(path: &Path, index: u16, places: &mut Places) -> Result<Self, Problem> {
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        Database::from_bytes(path, &bytes, index, places)
    }

    /// The same from bytes; `path` is for problems and traces.
    ///
    /// # Errors
    /// The bytes are no such database (E0302), or it is damaged (E0303).
    pub fn from_bytes(path: &Path, bytes: &[u8], index: u16, places: &mut Places) -> Result<Self, Problem> {
        let described = with_description(bytes);
        let reader = Reader::from_source(&described[..]).map_err(|error| no_database(path, &error))?;
        reader.verify().map_err(|error| damaged(path, &error))?;
        let mut ids = PlaceIds { known: HashMap::default(), origin: Origin::Database(index), places };
        let (v4, v6) = blocks(&reader, &mut ids).map_err(|error| damaged(path, &error))?;
        let about = reader.metadata();
        let info = DatabaseInfo {
            path: path.to_owned(),
            kind: about.database_type.clone(),
            description: about.description.get("en").or(about.description.values().next()).cloned().unwrap_or_default(),
            build_epoch: about.build_epoch,
            ip_version: about.ip_version,
            networks: v4.count + v6.count,
            records: ids.known.len() as u64,
        };
        Ok(Database { info, v4: v4.finish(), v6: v6.finish() })
    }
}

/// The bytes with a description put in where the database has an empty one: ip-location-db's files do, which harms nobody,
/// but `verify` refuses them. Should the metadata hold pointers, which the insertion would turn elsewhere, `verify` says so.
fn with_description(bytes: &[u8]) -> Cow<'_, [u8]> {
    /// The key as the format writes it, then a map of no entries.
    const EMPTY: &[u8] = b"\x4bdescription\xe0";
    /// The same with a map of one entry.
    const GIVEN: &[u8] = b"\x4bdescription\xe1\x42en\x40";
    let tail = bytes.len().saturating_sub(METADATA_BYTES_MAX);
    match bytes[tail..].windows(EMPTY.len()).rposition(|window| window == EMPTY) {
        None => Cow::Borrowed(bytes),
        Some(at) => Cow::Owned([&bytes[..tail + at], GIVEN, &bytes[tail + at + EMPTY.len()..]].concat()),
    }
}

/// Places by the offset of their record.
struct PlaceIds<'a> {
    known: HashMap<usize, PlaceId, OffsetHash>,
    origin: Origin,
    places: &'a mut Places,
}

/// Offsets are spread by one multiplication; six million look-ups would be felt with the standard hash. Nobody gains by
/// making them collide: the file is the operator's.
#[derive(Default, Clone, Copy)]
struct OffsetHash;

impl std::hash::BuildHasher for OffsetHash {
    type Hasher = Spread;
    fn build_hasher(&self) -> Spread {
        Spread(0)
    }
}

#[derive(Default)]
struct Spread(u64);

impl std::hash::Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64(u64::from(*b)));
    }
    fn write_u64(&mut self, number: u64) {
        let spread = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ (spread >> 32);
    }
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

type BothFamilies = (InOrder<u32>, InOrder<u128>);

/// The networks of both families, in order.
fn blocks(reader: &Reader<&[u8]>, ids: &mut PlaceIds<'_>) -> Result<BothFamilies, maxminddb::MaxMindDbError> {
    let (mut v4, mut v6) = (InOrder::default(), InOrder::default());
    for found in reader.networks(Default::default())? {
        let found = found?;
        let Some(offset) = found.offset() else { continue };
        let value = match ids.known.get(&offset) {
            Some(id) => *id,
            None => {
                let record = found.decode::<Record>()?.unwrap_or_default();
                let id = ids.places.intern(record.place(), ids.origin);
                ids.known.insert(offset, id);
                id
            }
        };
        let network = found.network()?;
        match network.ip() {
            IpAddr::V4(ip) => v4.add(Block { first: u32::from(ip), prefix: network.prefix(), value }),
            IpAddr::V6(ip) => {
                let first = u128::from(ip);
                // A record above ::/96, where IPv4 addresses are looked for, speaks for all of them.
                if first == 0 && network.prefix() <= 96 {
                    v4.add(Block { first: 0, prefix: 0, value });
                }
                v6.add(Block { first: first.block_first(network.prefix()), prefix: network.prefix(), value });
            }
        }
    }
    Ok((v4, v6))
}

/// A file that could not be read (E0301).
pub fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::error(
        "E0301",
        model::Place::file(path),
        format!("cannot read the geo database: {}", model::plain_words(error)),
    )
    .help("check `databases` in [geo] and the file's permissions")
}

fn no_database(path: &Path, error: &maxminddb::MaxMindDbError) -> Problem {
    Problem::error("E0302", model::Place::file(path), format!("not a MaxMind-format database: {error}"))
        .help("it must be an unpacked .mmdb file: not .gz, .zip or .tgz, and not the CSV edition")
}

fn damaged(path: &Path, error: &maxminddb::MaxMindDbError) -> Problem {
    Problem::error("E0303", model::Place::file(path), format!("the geo database is damaged: {error}"))
        .help("fetch it again; replace files by renaming a complete one into place")
}
