//! Do we answer as NSD, Knot and BIND do?
//!
//! The same zones are loaded into all of them, the same few thousand questions are asked, and the replies are compared
//! after sorting. A difference that stays is listed in `compare::ALLOWANCES` with the RFC that allows it, and counted;
//! any other fails the test.

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod questions;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use common::dns::{Reply, tcp, udp};
use common::servers::{Server, Zone, bind, knot, nsd, rhumb, zones_of};
use compare::{ALLOWANCES, Case, Part, Said, differences};
use questions::{Asked, Draw, about};
use rhumb::runtime::zone_files::read_zone;

/// Which questions are asked; `RHUMB_SEED` asks others.
const SEED: u64 = 20_261_122;
/// Zones that a judge of Debian 12 cannot read: types without a text form there, and `$GENERATE`.
const UNREADABLE: &[(&str, &str)] = &[("nsd", "newer.test."), ("knot", "newer.test."), ("knot", "old.test.")];
/// The class of `version.bind`.
const CHAOS: u16 = 3;
/// Unlisted differences that are printed in full, for each judge and part.
const SHOWN_MAX: usize = 6;

/// The zones of the tests, copied to `dir`, and one that is made here.
fn zones(dir: &Path) -> Vec<Zone> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zones");
    for zone in zones_of(&from) {
        fs::copy(&zone.file, dir.join(zone.file.file_name().unwrap())).unwrap();
    }
    fs::write(dir.join("big.test.zone"), big_zone()).unwrap();
    zones_of(dir)
}

/// RRsets too large for a datagram.
fn big_zone() -> String {
    let mut text =
        "$TTL 3600\n@ SOA ns1 hostmaster 1 2h 15m 2w 1d\n@ NS ns1\nns1 A 192.0.2.1\nalias CNAME a\n".to_owned();
    // BIND refuses more than 100 records of one name and type.
    for n in 1..=100 {
        writeln!(text, "a A 10.0.0.{n}").unwrap();
    }
    for n in 1..=60 {
        writeln!(text, "aaaa AAAA 2001:db8::{n}").unwrap();
        writeln!(text, "txt TXT \"text {n}, long enough to fill a datagram with only a few records of this kind\"")
            .unwrap();
    }
    for n in 1..=30 {
        writeln!(text, "ns-{n} A 10.0.1.{n}\nns-{n} AAAA 2001:db8:1::{n}\ncut NS ns-{n}").unwrap();
        writeln!(text, "mx MX {n} ns-{n}\nsrv SRV {n} 0 80 ns-{n}").unwrap();
    }
    // Their glue fits into 1232 bytes and not into 512, however well it is compressed.
    for n in 1..=20 {
        writeln!(text, "inner NS ns-{n}.inner\nns-{n}.inner A 10.0.2.{n}").unwrap();
    }
    text
}

fn ask(server: &Server, asked: &Asked) -> Said {
    let message = asked.question.to_bytes();
    let reply = if asked.over_tcp { tcp(server.address, &message) } else { udp(server.address, &message) };
    let reply = Reply::parse(&reply.ok_or("nothing")?)?;
    if reply.id == asked.question.id { Ok(reply) } else { Err("another id".to_owned()) }
}

/// What was found, over all questions.
#[derive(Default)]
struct Findings {
    questions: usize,
    comparisons: usize,
    equal: usize,
    allowed: BTreeMap<(&'static str, &'static str), usize>,
    unlisted: BTreeMap<(&'static str, Part), Vec<String>>,
}

impl Findings {
    fn compare(&mut self, asked: &Asked, ours: &Said, judge: &'static str, theirs: &Said) {
        self.comparisons += 1;
        let parts = differences(ours, theirs);
        self.equal += usize::from(parts.is_empty());
        for part in parts {
            let allowance = match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => {
                    let case = Case { asked, part, ours, theirs, judge };
                    ALLOWANCES.iter().find(|allowance| (allowance.applies)(&case))
                }
                _ => None,
            };
            match allowance {
                Some(allowance) => *self.allowed.entry((allowance.name, judge)).or_default() += 1,
                None => self.unlisted.entry((judge, part)).or_default().push(show(asked, ours, judge, theirs)),
            }
        }
    }

    fn report(&self) -> String {
        let mut text = format!(
            "{} questions, {} comparisons, {} equal in every part\n",
            self.questions, self.comparisons, self.equal
        );
        for ((name, judge), count) in &self.allowed {
            writeln!(text, "{count:6} × {judge}: {name}").unwrap();
        }
        for allowance in ALLOWANCES {
            writeln!(text, "allowed: {}: {}", allowance.name, allowance.because).unwrap();
        }
        for ((judge, part), shown) in &self.unlisted {
            writeln!(text, "\nUNLISTED: {} × {judge} differs in {part:?}", shown.len()).unwrap();
            shown.iter().take(SHOWN_MAX).for_each(|s| text.push_str(s));
        }
        text
    }
}

fn show(asked: &Asked, ours: &Said, judge: &str, theirs: &Said) -> String {
    let q = &asked.question;
    let mnemonic = rhumb::zone::read::type_mnemonic(q.qtype);
    let edns = q.edns.map_or("no EDNS".to_owned(), |n| format!("EDNS {n}"));
    let over = if asked.over_tcp { "TCP" } else { "UDP" };
    let mut text = format!("  {} {mnemonic} class {} {over} {edns} DO={}\n", q.name, q.qclass, q.dnssec_ok);
    for (who, said) in [("rhumb", ours), (judge, theirs)] {
        match said {
            Err(why) => writeln!(text, "    {who}: {why}").unwrap(),
            Ok(reply) => {
                writeln!(text, "    {who}: rcode {} flags {:04x} {} bytes", reply.rcode, reply.flags, reply.bytes)
                    .unwrap();
                for (section, records) in [("an", &reply.answer), ("au", &reply.authority), ("ad", &reply.additional)] {
                    records.iter().take(6).for_each(|rr| writeln!(text, "      {section} {}", rr.show()).unwrap());
                    if records.len() > 6 {
                        writeln!(text, "      {section} … {} in all", records.len()).unwrap();
                    }
                }
            }
        }
    }
    text
}

/// Whether a judge can be asked: BIND limits the rate of CHAOS answers and cannot be told not to.
fn may_judge(judge: &str, zone: &str, asked: &Asked) -> bool {
    match judge {
        "bind" => asked.question.qclass != CHAOS,
        _ => !UNREADABLE.contains(&(judge, zone)),
    }
}

#[test]
fn we_answer_as_nsd_knot_and_bind_do() {
    let dir = tempfile::tempdir().unwrap();
    let zones_dir: PathBuf = dir.path().join("zones");
    fs::create_dir(&zones_dir).unwrap();
    let all = zones(&zones_dir);
    let readable = |judge: &str| -> Vec<Zone> {
        all.iter().filter(|zone| !UNREADABLE.contains(&(judge, zone.name.as_str()))).cloned().collect()
    };
    let judges: Vec<Server> =
        [nsd(dir.path(), &readable("nsd")), knot(dir.path(), &readable("knot")), bind(dir.path(), &all)]
            .into_iter()
            .flatten()
            .collect();
    for name in ["nsd", "knot", "bind"] {
        if judges.iter().all(|j| j.name != name) {
            common::skipped(&format!("{name} is not installed; nothing is compared with it"));
        }
    }
    if judges.is_empty() {
        return;
    }
    let us = rhumb(dir.path(), &zones_dir, "");
    let mut findings = Findings::default();
    let seed = std::env::var("RHUMB_SEED").map_or(SEED, |seed| seed.parse().expect("RHUMB_SEED is a number"));
    println!("seed {seed}");
    let mut draw = Draw(seed);
    for zone in &all {
        let file = read_zone(&zone.file, None).expect("the zones of the tests are good");
        for asked in about(&file, &mut draw) {
            findings.questions += 1;
            let ours = ask(&us, &asked);
            for judge in judges.iter().filter(|j| may_judge(j.name, &zone.name, &asked)) {
                findings.compare(&asked, &ours, judge.name, &ask(judge, &asked));
            }
        }
    }
    println!("{}", findings.report());
    assert!(findings.questions > 3_000, "only {} questions", findings.questions);
    assert!(findings.unlisted.is_empty(), "{}", findings.report());
}
