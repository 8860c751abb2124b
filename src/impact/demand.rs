//! How much is asked from where, as an operator counted it.
//!
//! A text file; each line is `CIDR-or-place weight [VIP]`, `#` begins a comment, commas count as blanks. The weight is in any
//! unit (queries a second, users), the same as that of `capacity`. `*` is everywhere that no other line names. An address
//! belongs to the most specific line that holds it: the longest prefix, else subdivision, country, continent, `*`; and a line's
//! weight is spread evenly over the addresses that are its own. Nothing here knows where addresses are; see
//! [`crate::impact::load`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use crate::geo::runs::Address;
use crate::model;
use crate::model::GeoCode;
use crate::model::Problem;

/// More text than this is not a count of demand: a line for each IPv4 /24 takes half of it.
pub const DEMAND_BYTES_MAX: usize = 512 << 20;
/// More problems than this from one file help nobody.
const PROBLEMS_MAX: usize = 50;
/// Larger weights are typing errors, and sums of smaller ones are exact enough.
const WEIGHT_MAX: f64 = 1e15;

/// Where demand comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum From {
    /// A network: address with host bits zero, prefix length.
    Network(IpAddr, u8),
    /// A place.
    Geo(GeoCode),
    /// Everywhere else.
    Elsewhere,
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            From::Network(ip, prefix) => write!(f, "{ip}/{prefix}"),
            From::Geo(code) => write!(f, "{code}"),
            From::Elsewhere => write!(f, "*"),
        }
    }
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Where from.
    pub from: From,
    /// How much.
    pub weight: f64,
    /// The number of the line, from 1; 0 when no file was read.
    pub number: u32,
}

/// How much is asked from where.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Demand {
    /// What is asked of all VIPs together, divided evenly among them.
    pub of_all: Vec<Line>,
    /// What is asked of one VIP, by its name as DNS writes it: lower case, with the dot at the end.
    pub of_one: BTreeMap<String, Vec<Line>>,
}

impl Demand {
    /// So much from the whole address space.
    pub fn everywhere(weight: f64) -> Self {
        Demand { of_all: vec![Line { from: From::Elsewhere, weight, number: 0 }], of_one: BTreeMap::new() }
    }

    /// Reads a file's text; `path` is for problems.
    ///
    /// # Errors
    /// Every wrong line (E0602 to E0605).
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let mut lines: BTreeMap<(Option<String>, From), Line> = BTreeMap::new();
        let mut problems = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let reader =
                LineReader { path, number: at as u32 + 1, content: line.split('#').next().unwrap_or_default() };
            if problems.len() >= PROBLEMS_MAX {
                break;
            }
            match reader.read() {
                Ok(None) => {}
                Ok(Some((vip, line))) => {
                    if let Some(first) = lines.insert((vip, line.from), line) {
                        problems.push(reader.twice(first));
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        match problems.is_empty() {
            true => Ok(Demand::of(lines)),
            false => Err(problems),
        }
    }

    fn of(lines: BTreeMap<(Option<String>, From), Line>) -> Self {
        let mut demand = Demand::default();
        for ((vip, _), line) in lines {
            match vip {
                None => demand.of_all.push(line),
                Some(vip) => demand.of_one.entry(vip).or_default().push(line),
            }
        }
        demand
    }

    /// How much in all.
    pub fn total(&self) -> f64 {
        self.lines().map(|line| line.weight).sum()
    }

    /// Every line.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.of_all.iter().chain(self.of_one.values().flatten())
    }
}

/// As [`Demand::parse`] reads it.
impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of_all.iter().try_for_each(|line| writeln!(f, "{} {}", line.from, line.weight))?;
        let mut of_one = self.of_one.iter().flat_map(|(vip, lines)| lines.iter().map(move |line| (vip, line)));
        of_one.try_for_each(|(vip, line)| writeln!(f, "{} {} {vip}", line.from, line.weight))
    }
}

struct LineReader<'a> {
    path: &'a Path,
    number: u32,
    content: &'a str,
}

impl LineReader<'_> {
    /// What the line says: of which VIP, from where, how much; nothing when it is blank.
    fn read(&self) -> Result<Option<(Option<String>, Line)>, Problem> {
        let blank = |c: char| c.is_whitespace() || c == ',';
        let fields: Vec<&str> = self.content.split(blank).filter(|field| !field.is_empty()).collect();
        let (from, weight, vip) = match fields[..] {
            [] => return Ok(None),
            [from, weight] => (from, weight, None),
            [from, weight, vip] => (from, weight, Some(vip)),
            _ => {
                let fact = format!("a line has two or three fields, this one has {}", fields.len());
                return Err(self.wrong("E0602", 0, fact).help("write `EU-DE 1200` or `EU-DE 1200 www.example.com.`"));
            }
        };
        let line = Line { from: self.from(from)?, weight: self.weight(weight)?, number: self.number };
        Ok(Some((vip.map(vip_name), line)))
    }

    fn from(&self, text: &str) -> Result<From, Problem> {
        if text == "*" {
            return Ok(From::Elsewhere);
        }
        if let Some((ip, prefix)) = text.split_once('/') {
            return network(ip, prefix).ok_or_else(|| {
                self.wrong("E0603", self.column(text), format!("`{text}` is not a network"))
                    .help("write address/length with no bits set past the length: `192.0.2.0/24`")
            });
        }
        text.parse().map(From::Geo).map_err(|error| {
            self.wrong("E0603", self.column(text), format!("`{text}` is neither a network nor a place"))
                .help(format!("a network has a slash, `*` is everywhere else; of a place, {error}"))
        })
    }

    fn weight(&self, text: &str) -> Result<f64, Problem> {
        // Letters would let `inf`, `nan` and `1e999` in.
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let weight = text.parse::<f64>().ok().filter(|weight| plain && (0.0..=WEIGHT_MAX).contains(weight));
        weight.ok_or_else(|| {
            self.wrong("E0604", self.column(text), format!("`{text}` is not an amount of demand"))
                .help("write a number from 0, without a unit: `1200` or `0.5`")
        })
    }

    fn twice(&self, first: Line) -> Problem {
        self.wrong("E0605", 0, format!("`{}` is in line {} already", first.from, first.number))
            .help("add the two up, or name a VIP in one of them")
    }

    fn wrong(&self, code: &'static str, column: u32, fact: String) -> Problem {
        Problem::error(code, model::Place::at(self.path, self.number, column), fact)
    }

    /// The column at which a field of the line begins.
    fn column(&self, field: &str) -> u32 {
        self.content.find(field).map_or(0, |at| self.content[..at].chars().count() as u32 + 1)
    }
}

/// A VIP's name as the model has it.
pub fn vip_name(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if lower.ends_with('.') { lower } else { lower + "." }
}

fn network(ip: &str, prefix: &str) -> Option<From> {
    let ip: IpAddr = ip.parse().ok()?;
    let prefix: u8 = prefix.parse().ok()?;
    let clean = match ip {
        IpAddr::V4(ip) => prefix <= 32 && u32::from(ip).block_first(prefix) == u32::from(ip),
        IpAddr::V6(ip) => prefix <= 128 && u128::from(ip).block_first(prefix) == u128::from(ip),
    };
    clean.then_some(From::Network(ip, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Demand, Vec<String>> {
        Demand::parse(Path::new("demand.txt"), text).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_are_networks_places_or_everywhere_else_each_with_a_weight() {
        let text = "# from last week\n192.0.2.0/24 120.5\nEU-DE, 4000 # peak\n\n*\t7\nNA 3 WWW.example.com\n";
        let demand = parse(text).unwrap();
        assert_eq!(demand.of_all.len(), 3);
        assert_eq!(demand.of_one["www.example.com."][0].from, From::Geo("NA".parse().unwrap()));
        assert_eq!(demand.total(), 4130.5);
    }

    #[test]
    fn every_wrong_line_is_told_with_its_place() {
        let problems = parse("EU\nXX 5\n 192.0.2.1/24 5\nEU -5\nEU inf\nEU 5\nEU 6\nEU 5 a. b.\nEU 1e3\n").unwrap_err();
        let begin: Vec<&str> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
        let expected = ["1", "2:1", "3:2", "4:4", "5:4", "7", "8", "9:4"].map(|at| format!("demand.txt:{at}"));
        assert_eq!(begin, expected, "{problems:#?}");
    }

    fn anywhere() -> impl Strategy<Value = From> {
        prop_oneof![
            (any::<u32>(), 0u8..=32).prop_map(|(ip, prefix)| From::Network(ip.block_first(prefix).ip(), prefix)),
            (any::<u128>(), 0u8..=128).prop_map(|(ip, prefix)| From::Network(ip.block_first(prefix).ip(), prefix)),
            "(EU|AS|NA)(-[A-Z]{2}(-[A-Z0-9]{1,3})?)?".prop_map(|code| From::Geo(code.parse().unwrap())),
            Just(From::Elsewhere),
        ]
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), lines in "([0-9a-zA-Z:./*, #\t-]{0,40}\n){0,8}") {
            let _ = parse(&text);
            let _ = parse(&lines);
        }

        #[test]
        fn what_was_written_is_read_back(
            all in prop::collection::btree_map(anywhere(), 0.0..1e9, 0..8),
            one in prop::collection::btree_map(("[a-z]{1,5}\\.", anywhere()), 0.0..1e9, 0..8),
        ) {
            let line = |(from, weight)| Line { from, weight, number: 0 };
            let mut demand = Demand { of_all: all.into_iter().map(line).collect(), of_one: BTreeMap::new() };
            for ((vip, from), weight) in one {
                demand.of_one.entry(vip).or_default().push(line((from, weight)));
            }
            let mut read = parse(&demand.to_string()).unwrap();
            read.of_all.iter_mut().chain(read.of_one.values_mut().flatten()).for_each(|line| line.number = 0);
            prop_assert_eq!(read, demand);
        }
    }
}
