//! Measured latencies from networks and places to our regions.
//!
//! A text file: each line is `CIDR-or-geo,region,milliseconds`, `#` begins a comment. For each region the most specific
//! line counts: the longest prefix, then subdivision, country, continent.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use crate::geo::place::Place;
use crate::geo::runs::Address;
use crate::geo::runs::Block;
use crate::geo::runs::Runs;
use crate::model;
use crate::model::GeoCode;
use crate::model::Problem;
use crate::model::Region;
use crate::model::RegionId;

/// Ten minutes; a larger figure is a typing error.
const MILLISECONDS_MAX: f64 = 600_000.0;
/// More problems than this from one file help nobody.
const PROBLEMS_MAX: usize = 50;

/// Microseconds to each region that has a figure.
pub type Row = BTreeMap<RegionId, u32>;

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyTable {
    /// The first is empty: no line for this network.
    rows: Vec<Row>,
    v4: Runs<u32>,
    v6: Runs<u128>,
    geos: HashMap<GeoCode, Row>,
}

impl Default for LatencyTable {
    fn default() -> Self {
        LatencyTable { rows: vec![Row::new()], v4: Runs::uniform(0), v6: Runs::uniform(0), geos: HashMap::new() }
    }
}

/// What the first field of a line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    Network(IpAddr, u8),
    Geo(GeoCode),
}

impl LatencyTable {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read (E0311), or lines of it are wrong (E0312 to E0315), all at once.
    pub fn read(path: &Path, regions: &[Region]) -> Result<Self, Vec<Problem>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let fact = format!("cannot read the latency table: {}", crate::model::plain_words(&error));
            vec![Problem::error("E0311", model::Place::file(path), fact).help("check `latency` in [geo]")]
        })?;
        LatencyTable::parse(path, &text, regions)
    }

    /// The same from text; `path` is for problems.
    ///
    /// # Errors
    /// Every wrong line.
    pub fn parse(path: &Path, text: &str, regions: &[Region]) -> Result<Self, Vec<Problem>> {
        let mut lines: BTreeMap<From, Row> = BTreeMap::new();
        let mut problems = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            if content.trim().is_empty() || problems.len() >= PROBLEMS_MAX {
                continue;
            }
            let reader = LineReader { path, line: number as u32 + 1, content, regions };
            match reader.read() {
                Ok((from, region, figure)) => match lines.entry(from).or_default().insert(region, figure) {
                    None => {}
                    Some(_) => problems.push(reader.twice()),
                },
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(LatencyTable::of(lines)) } else { Err(problems) }
    }

    fn of(lines: BTreeMap<From, Row>) -> Self {
        let mut table = LatencyTable::default();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (from, row) in lines {
            let value = table.rows.len() as u32;
            match from {
                From::Geo(code) => drop(table.geos.insert(code, row)),
                From::Network(ip, prefix) => {
                    table.rows.push(row);
                    match ip {
                        IpAddr::V4(ip) => v4.push(Block { first: u32::from(ip), prefix, value }),
                        IpAddr::V6(ip) => v6.push(Block { first: u128::from(ip), prefix, value }),
                    }
                }
            }
        }
        let LatencyTable { rows, .. } = &mut table;
        let v4 = Runs::from_nested(v4, |outer, inner| inherit(rows, outer, inner));
        let v6 = Runs::from_nested(v6, |outer, inner| inherit(rows, outer, inner));
        LatencyTable { v4, v6, ..table }
    }

    /// Which row each IPv4 address has; 0 is none.
    pub fn v4(&self) -> &Runs<u32> {
        &self.v4
    }

    /// Which row each IPv6 address has; 0 is none.
    pub fn v6(&self) -> &Runs<u128> {
        &self.v6
    }

    /// The row of an address.
    pub fn row_at(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(ip) => self.v4.block_at(ip.into()).value,
            IpAddr::V6(ip) => self.v6.block_at(ip.into()).value,
        }
    }

    /// Microseconds to a region for a client of this row and place; none when no line says.
    pub fn figure(&self, row: u32, place: &Place, region: RegionId) -> Option<u32> {
        self.rows[row as usize].get(&region).copied().or_else(|| self.by_place(place, region))
    }

    fn by_place(&self, place: &Place, region: RegionId) -> Option<u32> {
        let code = place.code()?;
        let country = GeoCode { subdivision: None, ..code };
        let continent = GeoCode { country: None, ..country };
        [code, country, continent].iter().find_map(|code| self.geos.get(code)?.get(&region).copied())
    }
}

/// The row of a network in another: what it does not say, the outer one says.
fn inherit(rows: &mut Vec<Row>, outer: u32, inner: u32) -> u32 {
    if outer == 0 {
        return inner;
    }
    let mut row = rows[outer as usize].clone();
    row.extend(rows[inner as usize].iter().map(|(region, figure)| (*region, *figure)));
    rows.push(row);
    (rows.len() - 1) as u32
}

struct LineReader<'a> {
    path: &'a Path,
    line: u32,
    content: &'a str,
    regions: &'a [Region],
}

impl LineReader<'_> {
    fn read(&self) -> Result<(From, RegionId, u32), Problem> {
        let fields: Vec<&str> = self.content.split(',').map(str::trim).collect();
        let [from, region, figure] = fields[..] else {
            return Err(self
                .wrong("E0312", 0, format!("a line has three fields, this one has {}", fields.len()))
                .help("write CIDR-or-geo,region,milliseconds: `EU-DE,eu-west,12.5`"));
        };
        Ok((self.from(from)?, self.region(region)?, self.figure(figure)?))
    }

    fn from(&self, text: &str) -> Result<From, Problem> {
        if let Some((ip, prefix)) = text.split_once('/') {
            return self.network(ip, prefix).ok_or_else(|| {
                self.wrong("E0313", self.column(text), format!("`{text}` is not a network"))
                    .help("write address/length with no bits set past the length: `192.0.2.0/24`")
            });
        }
        text.parse().map(From::Geo).map_err(|error| {
            self.wrong("E0313", self.column(text), format!("`{text}` is neither a network nor a place"))
                .help(format!("a network has a slash; of a place, {error}"))
        })
    }

    fn network(&self, ip: &str, prefix: &str) -> Option<From> {
        let ip: IpAddr = ip.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        let clean = match ip {
            IpAddr::V4(ip) => prefix <= 32 && u32::from(ip).block_first(prefix) == u32::from(ip),
            IpAddr::V6(ip) => prefix <= 128 && u128::from(ip).block_first(prefix) == u128::from(ip),
        };
        clean.then_some(From::Network(ip, prefix))
    }

    fn region(&self, name: &str) -> Result<RegionId, Problem> {
        self.regions.iter().position(|r| r.name == name).map(RegionId::from).ok_or_else(|| {
            let near = self.regions.iter().map(|r| (strsim::jaro_winkler(&r.name, name), &r.name));
            let near = near.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
            let problem = self.wrong("E0314", self.column(name), format!("region `{name}` is not defined"));
            match near {
                Some((_, near)) => problem.help(format!("a region with a similar name exists: `{near}`")),
                None => problem.help("regions are defined in [region.NAME]"),
            }
        })
    }

    fn figure(&self, text: &str) -> Result<u32, Problem> {
        let milliseconds = text.parse::<f64>().ok().filter(|ms| (0.0..=MILLISECONDS_MAX).contains(ms));
        milliseconds.map(|ms| (ms * 1000.0).round() as u32).ok_or_else(|| {
            self.wrong("E0315", self.column(text), format!("`{text}` is not a latency"))
                .help("write milliseconds from 0 to 600000, without a unit")
        })
    }

    fn twice(&self) -> Problem {
        self.wrong("E0312", 0, "this network or place has a figure for this region already".to_owned())
            .help("remove one of the two lines")
    }

    fn wrong(&self, code: &'static str, column: u32, fact: String) -> Problem {
        Problem::error(code, model::Place::at(self.path, self.line, column), fact)
    }

    /// The column at which a field of the line begins.
    fn column(&self, field: &str) -> u32 {
        self.content.find(field).map_or(0, |at| self.content[..at].chars().count() as u32 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn regions() -> Vec<Region> {
        let region = |name: &str| Region {
            name: name.to_owned(),
            label: name.to_owned(),
            location: None,
            capacity: None,
            requests_max: None,
        };
        vec![region("eu-west"), region("us-east")]
    }

    fn parse(text: &str) -> Result<LatencyTable, Vec<Problem>> {
        LatencyTable::parse(Path::new("latency.csv"), text, &regions())
    }

    #[test]
    fn the_most_specific_line_counts_for_each_region() {
        let table = parse(
            "# measured\n EU,eu-west,20\nEU,us-east,90\nEU-DE,eu-west,8.5\n\
             10.0.0.0/8,us-east,3\n10.20.0.0/16,eu-west,1\n",
        )
        .unwrap();
        let germany = Place::of("EU-DE-BE".parse().unwrap());
        let at = |ip: &str, region| table.figure(table.row_at(ip.parse().unwrap()), &germany, RegionId(region));
        assert_eq!((at("192.0.2.1", 0), at("192.0.2.1", 1)), (Some(8_500), Some(90_000)));
        assert_eq!((at("10.1.0.1", 0), at("10.1.0.1", 1)), (Some(8_500), Some(3_000)));
        assert_eq!((at("10.20.0.1", 0), at("10.20.0.1", 1)), (Some(1_000), Some(3_000)));
        assert_eq!(table.figure(0, &Place::default(), RegionId(0)), None);
    }

    #[test]
    fn every_wrong_line_is_named_with_its_place() {
        let problems =
            parse("EU,eu-west\nXX,eu-west,1\n10.0.0.1/8,eu-west,1\nEU,eu-wset,1\nEU,us-east,fast\nEU,us-east,-1\n")
                .unwrap_err();
        let shown: Vec<String> = problems.iter().map(|p| p.to_string()).collect();
        assert_eq!(
            problems.iter().map(|p| p.code).collect::<Vec<_>>(),
            ["E0312", "E0313", "E0313", "E0314", "E0315", "E0315"]
        );
        assert!(shown[3].starts_with("latency.csv:4:4: error[E0314]: region `eu-wset` is not defined"), "{}", shown[3]);
        assert!(shown[3].ends_with("`eu-west`"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n]{0,200}") {
            let _ = parse(&text);
        }
    }
}
