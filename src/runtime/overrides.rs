//! `state_dir/overrides.json`: what operators ordered, kept over restarts.
//!
//! One order a line, by the name of its subject, so that a person can read it and one bad line spoils no other. It is
//! written before an order counts (see `desk`). A file that is not as we write it is reported line by line and kept under
//! another name; what can be read of it holds.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::health::forced::{Forced, Order};
use crate::health::names::SubjectName;
use crate::health::orders::ORDERS_MAX;
use crate::model::{Moment, Place, Problem, WEIGHT_MAX};
use crate::runtime::kept_file::KeptFile;

/// The layout of the file; a file of another version is set aside.
const VERSION: u32 = 1;
/// The most problems of one file that are told; a file with more is not ours.
const PROBLEMS_MAX: usize = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved<'a> {
    version: u32,
    #[serde(borrow)]
    orders: Vec<&'a RawValue>,
}

/// Times are microseconds since the epoch, as the server has them: what is read is what was written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedOrder {
    subject: String,
    order: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    by: String,
    since_us: u64,
    begins_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_us: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Drain,
    Maint,
    Up,
    Down,
    Weight,
}

/// What was found in the file.
#[derive(Debug, Default)]
pub struct Recalled {
    /// The orders that can be read, those whose time is over among them.
    pub orders: Vec<(SubjectName, Forced)>,
    /// What is wrong with the file, to be told.
    pub problems: Vec<Problem>,
    /// Whether the file must be written anew.
    pub stale: bool,
}

/// The file of orders.
#[derive(Debug)]
pub struct OverridesFile {
    file: KeptFile,
    /// Why it must not be written: it could neither be read nor set aside.
    spoilt: Option<String>,
}

impl OverridesFile {
    /// In `dir`; nothing is touched.
    pub fn new(dir: &Path) -> Self {
        OverridesFile { file: KeptFile::new(dir, "overrides.json"), spoilt: None }
    }

    /// The orders in it. What cannot be read is reported and kept beside it as `overrides.json.bad-<seconds>`.
    pub fn read(&mut self, now: Moment) -> Recalled {
        let text = match self.file.read() {
            Ok(None) => return Recalled::default(),
            Ok(Some(text)) => text,
            Err(error) => {
                let problem = self.warning(0, &error.to_string());
                let (aside, stale) = self.put_aside(self.file.set_aside(now));
                let problem = problem.help(format!("{aside}; no order is in force"));
                return Recalled { orders: Vec::new(), problems: vec![problem], stale };
            }
        };
        let (orders, bad) = parse(&text);
        if bad.is_empty() {
            return Recalled { orders, problems: Vec::new(), stale: false };
        }
        let (aside, stale) = self.put_aside(self.file.copy_aside(now));
        let count = orders.len();
        let mut problems: Vec<Problem> = bad.iter().map(|(line, fact)| self.warning(*line, fact)).collect();
        if let Some(last) = problems.pop() {
            let kept = format!("{count} order{} could be read and hold", if count == 1 { "" } else { "s" });
            problems.push(last.help(format!("{aside}; {kept}")));
        }
        Recalled { orders, problems, stale }
    }

    /// Replaces what is in it; returns when it is on disk.
    ///
    /// # Errors
    /// The file system's; and when what is there could neither be read nor set aside.
    pub fn write(&self, text: &str) -> io::Result<()> {
        match &self.spoilt {
            Some(why) => Err(io::Error::other(why.clone())),
            None => self.file.write(text),
        }
    }

    /// What became of a bad file, in words, and whether a new one may take its place.
    fn put_aside(&mut self, outcome: io::Result<std::path::PathBuf>) -> (String, bool) {
        match outcome {
            Ok(aside) => (format!("it is kept as {}", aside.display()), true),
            Err(error) => {
                let why = format!("{} cannot be read, nor set aside: {error}", self.file.path().display());
                self.spoilt = Some(format!("{why}; move it away and restart rhumb"));
                (format!("it cannot be set aside: {error}; no order will be taken before a restart without it"), false)
            }
        }
    }

    fn warning(&self, line: u32, fact: &str) -> Problem {
        let place = Place { file: self.file.path().to_owned(), line, column: 0, width: 0 };
        Problem::warning("W0502", place, format!("an order cannot be read: {fact}"))
    }
}

/// These orders as the file has them.
pub fn text<'a>(orders: impl Iterator<Item = (SubjectName, &'a Forced)>) -> String {
    let lines: Vec<String> = orders.map(|(name, forced)| line(&name, forced)).collect();
    format!("{{\"version\":{VERSION},\"orders\":[\n{}\n]}}\n", lines.join(",\n"))
}

fn line(name: &SubjectName, forced: &Forced) -> String {
    let saved = SavedOrder {
        subject: name.to_string(),
        order: match forced.order {
            Order::Drain => Word::Drain,
            Order::Maint => Word::Maint,
            Order::Up => Word::Up,
            Order::Down => Word::Down,
            Order::Weight(_) => Word::Weight,
        },
        weight: forced.order.weight(),
        reason: forced.reason.clone(),
        by: forced.by.clone(),
        since_us: forced.since.0,
        begins_us: forced.begins.0,
        until_us: forced.until.map(|until| until.0),
    };
    serde_json::to_string(&saved).expect("plain strings and numbers have a JSON form")
}

type Parsed = (Vec<(SubjectName, Forced)>, Vec<(u32, String)>);

/// The orders in the text, and the first lines that are none.
pub fn parse(text: &str) -> Parsed {
    let (mut orders, mut bad) = (Vec::new(), Vec::new());
    let mut take = |part: &str, at: usize| {
        let fact = match order(part) {
            Ok(order) if orders.len() < ORDERS_MAX => return orders.push(order),
            Ok(_) => format!("more than {ORDERS_MAX} orders"),
            Err(fact) => fact,
        };
        // Counting lines takes time, and nobody is told of more.
        if bad.len() < PROBLEMS_MAX {
            bad.push((line_at(text, at), fact));
        }
    };
    match serde_json::from_str::<Saved<'_>>(text) {
        Ok(saved) if saved.version != VERSION => {
            bad.push((1, format!("the file is of version {}, not {VERSION}", saved.version)));
        }
        Ok(saved) => {
            // Borrowed from `text`, so where it stands is the difference.
            saved.orders.iter().for_each(|raw| take(raw.get(), raw.get().as_ptr().addr() - text.as_ptr().addr()));
        }
        Err(error) => {
            let whole = (error.line() as u32, format!("the file is not as rhumb writes it: {error}"));
            bad.push(whole);
            (orders, _) = salvaged(text);
        }
    }
    (orders, bad)
}

/// What stands on lines of its own in a file that is broken elsewhere: half a file is better than no drain.
fn salvaged(text: &str) -> Parsed {
    if !text.starts_with(&format!("{{\"version\":{VERSION},")) {
        return Parsed::default();
    }
    let lines = text.lines().map(|line| line.trim_end_matches(','));
    (lines.filter_map(|line| order(line).ok()).take(ORDERS_MAX).collect(), Vec::new())
}

fn order(text: &str) -> Result<(SubjectName, Forced), String> {
    let saved: SavedOrder = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let name = SubjectName::parse(&saved.subject).ok_or(format!("`{}` names nothing", saved.subject))?;
    let order = match (saved.order, saved.weight) {
        (Word::Drain, None) => Order::Drain,
        (Word::Maint, None) => Order::Maint,
        (Word::Up, None) => Order::Up,
        (Word::Down, None) => Order::Down,
        (Word::Weight, Some(weight)) if weight <= WEIGHT_MAX && name.kind() == "endpoint" => Order::Weight(weight),
        _ => return Err("its weight does not fit the order".to_owned()),
    };
    let SavedOrder { reason, by, since_us, begins_us, until_us, .. } = saved;
    let (since, begins, until) = (Moment(since_us), Moment(begins_us), until_us.map(Moment));
    Ok((name, Forced { order, reason, by, since, begins, until }))
}

fn line_at(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count() as u32
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::health::names::EndpointKey;

    fn forced() -> impl Strategy<Value = Forced> {
        let order = prop_oneof![
            Just(Order::Drain),
            Just(Order::Maint),
            Just(Order::Up),
            Just(Order::Down),
            (0..=WEIGHT_MAX).prop_map(Order::Weight)
        ];
        let times = (any::<u64>(), any::<u64>(), any::<Option<u64>>());
        (order, ".{0,30}", "\\PC{0,20}", times).prop_map(|(order, reason, by, (since, begins, until))| {
            let (since, begins, until) = (Moment(since), Moment(begins), until.map(Moment));
            Forced { order, reason, by, since, begins, until }
        })
    }

    fn name(weight: bool) -> impl Strategy<Value = SubjectName> {
        let endpoint = ("[a-z]{1,9}", any::<u128>(), any::<bool>(), any::<Option<u16>>());
        let endpoint = endpoint.prop_map(|(pool, bits, v4, port)| {
            let address = if v4 { IpAddr::from((bits as u32).to_be_bytes()) } else { IpAddr::from(bits.to_be_bytes()) };
            SubjectName::Endpoint(EndpointKey { pool, address, port })
        });
        let of = (any::<bool>(), "\\PC{1,9}");
        let others = of.prop_map(|(pool, n)| if pool { SubjectName::Pool(n) } else { SubjectName::Region(n) });
        (endpoint, others, any::<bool>()).prop_map(move |(e, o, endpoint)| if weight || endpoint { e } else { o })
    }

    fn orders() -> impl Strategy<Value = Vec<(SubjectName, Forced)>> {
        let one = forced().prop_flat_map(|f| (name(f.order.weight().is_some()), Just(f)));
        proptest::collection::vec(one, 0..8)
    }

    fn written(orders: &[(SubjectName, Forced)]) -> String {
        text(orders.iter().map(|(name, forced)| (name.clone(), forced)))
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(orders in orders()) {
            let (read, bad) = parse(&written(&orders));
            prop_assert_eq!(bad, vec![]);
            prop_assert_eq!(read, orders);
        }

        /// A line that is spoilt takes no other along.
        #[test]
        fn one_bad_order_spoils_no_other(orders in orders(), which: u8, junk in "[a-z{}\\[\\]:,\"]{1,12}") {
            prop_assume!(!orders.is_empty());
            let bad_one = usize::from(which) % orders.len();
            let text = written(&orders);
            let mut lines: Vec<&str> = text.lines().collect();
            lines[bad_one + 1] = &junk;
            let (read, bad) = parse(&lines.join("\n"));
            prop_assert!(!bad.is_empty());
            let mut left = orders.clone();
            left.remove(bad_one);
            prop_assert_eq!(read, left);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, orders in orders(), cut: u16) {
            parse(&String::from_utf8_lossy(&bytes));
            let text = written(&orders);
            let cut = usize::from(cut) % (text.len() + 1);
            parse(&String::from_utf8_lossy(&text.as_bytes()[..cut]));
        }
    }

    const NOW: Moment = Moment::from_secs(1_700_000_000);
    const GOOD: &str =
        r#"{"subject":"pool/web","order":"drain","reason":"kernel","by":"ada","since_us":1,"begins_us":1}"#;

    fn read(text: &[u8]) -> (Recalled, tempfile::TempDir, OverridesFile) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("overrides.json"), text).unwrap();
        let mut file = OverridesFile::new(dir.path());
        (file.read(NOW), dir, file)
    }

    #[test]
    fn a_bad_order_is_told_with_its_line_and_the_file_kept() {
        let bad = GOOD.replace("drain", "drian");
        let text = format!("{{\"version\":1,\"orders\":[\n{GOOD},\n{bad},\n{}\n]}}", GOOD.replace("web", "app"));
        let (recalled, dir, _) = read(text.as_bytes());
        assert_eq!(recalled.orders.len(), 2);
        assert!(recalled.stale);
        let said = recalled.problems[0].to_string();
        assert!(said.contains("overrides.json:3") && said.contains("unknown variant `drian`"), "{said}");
        assert!(said.contains("overrides.json.bad-1700000000; 2 orders could be read"), "{said}");
        assert_eq!(fs::read_to_string(dir.path().join("overrides.json.bad-1700000000")).unwrap(), text);
    }

    #[test]
    fn of_a_file_full_of_bad_orders_the_first_are_told() {
        let lines = vec!["{}"; 300_000].join(",\n");
        let (orders, bad) = parse(&format!("{{\"version\":1,\"orders\":[\n{lines},\n{GOOD}\n]}}"));
        assert_eq!((orders.len(), bad.len(), bad[9].0), (1, PROBLEMS_MAX, 11));
    }

    #[test]
    fn files_that_are_not_ours_are_set_aside_whole() {
        for bad in [&b""[..], b"{", b"[]", b"{\"version\":2,\"orders\":[]}", b"\xff\xfe", b"{\"version\":1}", b"\0\0"] {
            let (recalled, dir, file) = read(bad);
            assert!(recalled.orders.is_empty() && recalled.stale);
            assert_eq!(recalled.problems.len(), 1);
            assert_eq!(fs::read(dir.path().join("overrides.json.bad-1700000000")).unwrap(), bad);
            file.write(&written(&[])).unwrap();
            assert!(OverridesFile::new(dir.path()).read(NOW).problems.is_empty());
        }
    }

    #[test]
    fn what_can_neither_be_read_nor_moved_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("overrides.json")).unwrap();
        let mut file = OverridesFile::new(dir.path());
        let recalled = file.read(NOW);
        // A folder can be renamed, and is.
        assert!(recalled.stale && file.write("").is_ok());
        for count in 1..=200 {
            let suffix = if count == 1 { String::new() } else { format!("-{count}") };
            let _ = fs::write(dir.path().join(format!("overrides.json.bad-1700000001{suffix}")), "");
        }
        fs::write(dir.path().join("overrides.json"), "mine").unwrap();
        let recalled = file.read(Moment::from_secs(1_700_000_001));
        assert!(!recalled.stale);
        assert!(file.write("new").unwrap_err().to_string().contains("move it away"));
        assert_eq!(fs::read_to_string(dir.path().join("overrides.json")).unwrap(), "mine");
    }
}
