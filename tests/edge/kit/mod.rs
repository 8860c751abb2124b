//! The proxy from outside: an origin that tells what it got, clients that send any bytes, and the proxy between them.
//!
//! `RHUMB_EDGE_PEER=haproxy` (or `nginx`) puts that in rhumb's place, with a configuration as near as it gets: what tests find
//! is then printed instead of asserted, since nobody here can mend it. It shows what operators are used to, and that the tests
//! themselves are right.

pub mod client;
pub mod edge;
pub mod fleet;
pub mod h2;
pub mod h2_origin;
pub mod load;
pub mod operator;
pub mod origin;
pub mod peers;
pub mod refused;
pub mod site;

use std::time::Duration;
use std::time::Instant;

/// Longer than anything takes on a busy machine; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The time, since deadlines are measured.
#[expect(clippy::disallowed_methods, reason = "tests have no clock of their own")]
pub fn now() -> Instant {
    Instant::now()
}

/// What is tested in rhumb's place.
pub fn peer() -> Option<String> {
    std::env::var("RHUMB_EDGE_PEER").ok().filter(|name| !name.is_empty() && name != "rhumb")
}

/// Whether a test has no meaning for what is tested in the place of rhumb; says so.
pub fn only_for_rhumb() -> bool {
    let other = peer();
    if let Some(name) = &other {
        crate::common::skipped(&format!("{name} has no such setting"));
    }
    other.is_some()
}

/// What was found wrong in a row of cases, so that one run tells all of it.
#[derive(Debug, Default)]
pub struct Findings(Vec<String>);

impl Findings {
    /// Notes what is wrong with a case.
    pub fn note(&mut self, case: &str, found: Result<(), String>) {
        if let Err(why) = found {
            self.0.push(format!("{case}: {why}"));
        }
    }

    /// Notes a case that must be so.
    pub fn expect(&mut self, case: &str, is_so: bool, why: impl FnOnce() -> String) {
        self.note(case, if is_so { Ok(()) } else { Err(why()) });
    }

    /// Fails with all that was noted.
    #[track_caller]
    pub fn end(self) {
        let Findings(found) = self;
        match peer() {
            _ if found.is_empty() => {}
            Some(name) => eprintln!("{name} differs:\n  {}", found.join("\n  ")),
            None => panic!("{} found:\n  {}", found.len(), found.join("\n  ")),
        }
    }
}

/// Bytes for people.
pub fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    if text.len() > 400 { format!("{}... ({} bytes)", &text[..400], bytes.len()) } else { text }
}

/// splitmix64: small, and the same everywhere.
pub struct Draw(pub u64);

impl Draw {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
