//! `rhumb geo`: looks into geo databases, or builds one.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use crate::cmd::Exit;
use crate::cmd::check;
use crate::cmd::terminal::print;
use crate::cmd::terminal::tell;
use crate::config;
use crate::config::Sources;
use crate::geo::atlas::Atlas;
use crate::geo::atlas::Located;
use crate::geo::convert::country_database;
use crate::geo::database::Database;
use crate::geo::place::Origin;
use crate::geo::place::Place;
use crate::geo::place::Places;
use crate::model::GeoSettings;
use crate::model::Problem;
use crate::model::plain_words;
use crate::runtime::config_files::ConfigFiles;
use crate::steering::Client;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say where addresses are, how far around them the same holds, and who says so
    Lookup(Lookup),
    /// Say what databases hold: type, age, networks, countries
    Info(Info),
    /// Write a small country database in MaxMind's layout from any other
    Build(Build),
}

#[derive(Debug, clap::Args)]
struct Lookup {
    /// The addresses
    #[arg(required = true, value_name = "IP", value_parser = address)]
    addresses: Vec<IpAddr>,
    /// Databases to look in, instead of the configuration's
    #[arg(long, value_name = "FILE", num_args = 1..)]
    db: Vec<PathBuf>,
    /// The configuration whose databases and custom networks count
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = "rhumb.toml", conflicts_with = "db")]
    config: PathBuf,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Info {
    /// The databases
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Build {
    /// The database to take countries from: any country or city database in .mmdb form
    #[arg(long, value_name = "FILE")]
    country: PathBuf,
    /// Where to write; replaced only when all is well
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the database says of itself
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "Country by address, from ip-location-db geo-whois-asn-country; RIR data by NRO (nro.net), CC BY 4.0"
    )]
    description: String,
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "write an address, as in 192.0.2.1 or 2001:db8::1; names are not looked up".to_owned())
}

/// Runs it.
pub fn run(args: Args) -> Exit {
    let done = match args.verb {
        Verb::Lookup(args) => lookup(args),
        Verb::Info(args) => info(args),
        Verb::Build(args) => build(args),
    };
    done.unwrap_or_else(|failure| failure.tell())
}

/// Why a verb did not come to its end.
enum Failure {
    /// Problems of databases or of the configuration, with the lines to draw them under.
    Problems(Vec<Problem>, Sources),
    /// The result could not be written.
    Write(PathBuf, std::io::Error),
}

impl Failure {
    fn tell(self) -> Exit {
        match self {
            Failure::Problems(problems, sources) => {
                check::print_refusal(&problems, &sources);
                Exit::Invalid
            }
            Failure::Write(path, error) => {
                tell(format!("error: cannot write {}: {}", path.display(), plain_words(&error)));
                Exit::Failed
            }
        }
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Failure::Problems(problems, Sources::default())
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        vec![problem].into()
    }
}

fn lookup(args: Lookup) -> Result<Exit, Failure> {
    let settings = if args.db.is_empty() {
        let loaded = config::load(&args.config, &mut ConfigFiles);
        loaded.map_err(|refused| Failure::Problems(refused.problems, refused.sources))?.model.geo
    } else {
        GeoSettings { databases: args.db, ..GeoSettings::default() }
    };
    let atlas = Atlas::read(&settings)?;
    let found: Vec<(IpAddr, Located)> =
        args.addresses.iter().map(|address| (*address, atlas.locate(Client::from_source(*address).address))).collect();
    let source = |located: &Located| match located.origin {
        Origin::Nowhere => None,
        Origin::Database(index) => Some(file_name(&atlas.databases()[usize::from(index)].path)),
        Origin::Network(id) => Some(format!("network {}", settings.networks[id.index()].name)),
    };
    if args.json {
        let objects = found.iter().map(|(address, located)| located_json(*address, located, source(located)));
        print(&format!("{:#}\n", serde_json::Value::from_iter(objects)));
    } else {
        print(&lookup_text(&found, source));
    }
    Ok(Exit::Done)
}

fn lookup_text(found: &[(IpAddr, Located)], source: impl Fn(&Located) -> Option<String>) -> String {
    let mut text = String::new();
    for (address, located) in found {
        let _ = write!(text, "{address:<15}  {:<9}", place_text(&located.place));
        let _ = write!(text, "  {}/{}", located.network, located.prefix);
        if let Some(point) = located.place.location {
            let _ = write!(text, "  {:.2},{:.2}", point.lat, point.lon);
        }
        if let Some(asn) = located.place.asn {
            let _ = write!(text, "  AS{asn}");
        }
        let _ = writeln!(text, "  {}", source(located).unwrap_or_else(|| "in no database".to_owned()));
    }
    text
}

fn place_text(place: &Place) -> String {
    place.code().map_or_else(|| "unknown".to_owned(), |code| code.to_string())
}

fn located_json(address: IpAddr, located: &Located, source: Option<String>) -> serde_json::Value {
    json!({
        "address": address,
        "geo": located.place.code().map(|code| code.to_string()),
        "network": format!("{}/{}", located.network, located.prefix),
        "location": located.place.location.map(|point| [point.lat, point.lon]),
        "asn": located.place.asn,
        "source": source,
    })
}

fn info(args: Info) -> Result<Exit, Failure> {
    let (mut problems, mut objects, mut text) = (Vec::new(), Vec::new(), String::new());
    for path in &args.files {
        let mut places = Places::default();
        match Database::read(path, 0, &mut places) {
            Ok(database) => {
                let summary = Summary::of(&database, &places);
                objects.push(summary.json());
                text.push_str(&summary.text());
            }
            Err(problem) => problems.push(problem),
        }
    }
    print(&if args.json { format!("{:#}\n", serde_json::Value::from(objects)) } else { text });
    if problems.is_empty() { Ok(Exit::Done) } else { Err(problems.into()) }
}

/// What `info` says of one database.
struct Summary<'a> {
    database: &'a Database,
    places: usize,
    countries: BTreeMap<String, BTreeSet<String>>,
    fields: Vec<&'static str>,
}

impl<'a> Summary<'a> {
    fn of(database: &'a Database, places: &Places) -> Self {
        let mut countries: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for code in places.iter().filter_map(Place::code) {
            let continent = String::from_utf8_lossy(&code.continent).into_owned();
            let known = countries.entry(continent).or_default();
            known.extend(code.country.map(|country| String::from_utf8_lossy(&country).into_owned()));
        }
        let has = |field: fn(&Place) -> bool| places.iter().any(field);
        let fields = [
            ("continent", has(|p| p.continent.is_some())),
            ("country", has(|p| p.country.is_some())),
            ("subdivision", has(|p| p.subdivision.is_some())),
            ("location", has(|p| p.location.is_some())),
            ("asn", has(|p| p.asn.is_some())),
        ];
        let fields = fields.into_iter().filter(|(_, has)| *has).map(|(field, _)| field).collect();
        Summary { database, places: places.count() - 1, countries, fields }
    }

    fn country_count(&self) -> usize {
        self.countries.values().map(BTreeSet::len).sum()
    }

    fn text(&self) -> String {
        let info = &self.database.info;
        let mut text = format!("{}\n", info.path.display());
        let mut line = |key: &str, value: String| {
            let _ = writeln!(text, "  {key:<12} {value}");
        };
        line("type", info.kind.clone());
        line("description", info.description.clone());
        line("built", date(info.build_epoch));
        line("addresses", if info.ip_version == 4 { "IPv4" } else { "IPv4 and IPv6" }.to_owned());
        line("networks", info.networks.to_string());
        line("places", format!("{} distinct, from {} records", self.places, info.records));
        line("fields", self.fields.join(" "));
        line("countries", self.country_count().to_string());
        for (continent, countries) in &self.countries {
            let list: Vec<&str> = countries.iter().map(String::as_str).collect();
            line(&format!("  {continent} {:>3}", countries.len()), list.join(" "));
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let info = &self.database.info;
        json!({
            "file": info.path,
            "type": info.kind,
            "description": info.description,
            "built": date(info.build_epoch),
            "build_epoch": info.build_epoch,
            "ip_version": info.ip_version,
            "networks": info.networks,
            "records": info.records,
            "places": self.places,
            "fields": self.fields,
            "countries": self.countries,
        })
    }
}

fn build(args: Build) -> Result<Exit, Failure> {
    let read = std::fs::read(&args.country);
    let bytes = read.map_err(|error| crate::geo::database::unreadable(&args.country, &error))?;
    let (built, from) = country_database(&args.country, &bytes, &args.description)?;
    replace(&args.out, &built).map_err(|error| Failure::Write(args.out.clone(), error))?;
    let size = built.len();
    let (out, networks, built) = (args.out.display(), from.networks, date(from.build_epoch));
    print(&format!("{out}: {size} bytes from {networks} networks, built {built}\n"));
    Ok(Exit::Done)
}

/// Writes beside the file and renames, so that a server that watches it never sees half a database.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, bytes)?;
    std::fs::rename(&beside, path)
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The UTC date of a moment in seconds since the epoch, by Howard Hinnant's `civil_from_days`.
pub fn date(epoch_seconds: u64) -> String {
    let days = epoch_seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_795_392_000), "2026-11-23");
        assert_eq!(date(4_107_542_400), "2100-03-01");
    }
}
