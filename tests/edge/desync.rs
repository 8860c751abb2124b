//! Requests that others have classified: no severe one reaches an origin. The table of what becomes of each tier is printed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kit::Findings;
use crate::kit::client::Client;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::origin::Origin;
use crate::kit::refused::nothing_came;
use crate::kit::shown;

const CASES: &str = include_str!("desync/cases.toml");

struct Case {
    name: String,
    tier: String,
    reason: String,
    bytes: Vec<u8>,
}

fn text<'a>(case: &'a toml::Value, key: &str) -> &'a str {
    case[key].as_str().unwrap()
}

/// One byte for what is one in Latin-1.
fn bytes(text: &str) -> Vec<u8> {
    let byte = |c: char| u8::try_from(u32::from(c)).map_or_else(|_| c.to_string().into_bytes(), |byte| vec![byte]);
    text.chars().flat_map(byte).collect()
}

fn cases() -> Vec<Case> {
    let all: toml::Table = CASES.parse().unwrap();
    let case = |case: &toml::Value| Case {
        name: text(case, "name").to_owned(),
        tier: text(case, "tier").to_owned(),
        reason: text(case, "reason").to_owned(),
        bytes: request(case),
    };
    all["case"].as_array().unwrap().iter().map(case).collect()
}

fn request(case: &toml::Value) -> Vec<u8> {
    let mut line = vec![bytes(text(case, "method")), bytes(text(case, "uri"))];
    if !text(case, "version").is_empty() {
        line.push(bytes(text(case, "version")));
    }
    let mut out = line.join(&b' ');
    out.extend(b"\r\n");
    let mut body = Vec::new();
    let mut has_host = false;
    for header in case["headers"].as_array().unwrap() {
        let (name, value) = (header[0].as_str().unwrap(), header[1].as_str().unwrap());
        has_host |= name.trim().eq_ignore_ascii_case("host");
        match (name.trim().to_ascii_lowercase().as_str(), value.trim().parse::<usize>()) {
            ("content-length", Ok(length)) => body = vec![b'x'; length.min(100_000)],
            ("transfer-encoding", _) => body = b"0\r\n\r\n".to_vec(),
            _ => {}
        }
        out.extend([bytes(name), b": ".to_vec(), bytes(value), b"\r\n".to_vec()].concat());
    }
    if !has_host {
        out.extend(b"Host: www.example.com\r\n");
    }
    [out, b"\r\n".to_vec(), body].concat()
}

/// What became of a request: whether the origin saw it, and what the client was told (0: nothing).
fn fate(edge: &Edge, origin: &Origin, case: &Case) -> (bool, u16) {
    let before = origin.requests().len();
    let mut client = Client::connect(edge.address);
    client.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let said = client.send(&case.bytes).response_to(if case.bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" });
    let came = nothing_came(edge, origin, before);
    let reached = match came {
        Ok(()) => false,
        Err(why) if why.contains("REACHED") => true,
        Err(why) => panic!("after {}: {why}", case.name),
    };
    (reached, said.map_or(0, |said| said.status))
}

#[test]
fn no_severe_request_reaches_an_origin() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    let mut table: BTreeMap<(String, String), [usize; 2]> = BTreeMap::new();
    for case in cases() {
        let (reached, status) = fate(&edge, &origin, &case);
        table.entry((case.tier.clone(), case.reason.clone())).or_default()[usize::from(reached)] += 1;
        if case.tier == "Compliant" && !reached {
            eprintln!("a compliant request is refused ({status}): {}", shown(&case.bytes));
        }
        if case.tier == "Severe" {
            let is_told = !reached && matches!(status, 400..=599);
            let why = || format!("{} ({status}) {}", if reached { "REACHED" } else { "refused" }, shown(&case.bytes));
            findings.expect(&format!("{} ({})", case.name, case.reason), is_told, why);
        }
    }
    eprintln!("{:<12}{:<36}{:>8}{:>8}", "tier", "reason", "refused", "passed");
    for ((tier, reason), [refused, passed]) in &table {
        eprintln!("{tier:<12}{reason:<36}{refused:>8}{passed:>8}");
    }
    let passed =
        |tier: &str| table.iter().filter(|((of, _), _)| of == tier).map(|(_, [_, passed])| passed).sum::<usize>();
    eprintln!(
        "passed: {} severe, {} ambiguous, {} acceptable, {} compliant",
        passed("Severe"),
        passed("Ambiguous"),
        passed("Acceptable"),
        passed("Compliant")
    );
    findings
        .expect("compliant requests", passed("Compliant") >= COMPLIANT_MIN, || format!("{} pass", passed("Compliant")));
    findings.end();
}

/// Of 28: several encodings, names of unusual characters and bytes above ASCII in paths are refused on purpose. HAProxy lets 18 pass.
const COMPLIANT_MIN: usize = 14;
