//! `state_dir/standings.json`: what was believed when the process last ran.
//!
//! Without it every endpoint is unknown at start until its first probe has ended; with it, the standing of before
//! counts that long. It is written whole to a file beside it, synced and renamed, so a crash leaves the old or the new
//! one. A file we can not read is reported and set aside, never silently dropped or overwritten.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::health::belief::Standing;
use crate::health::ledger::Ledger;
use crate::health::standings::EndpointKey;
use crate::model::{EndpointId, Moment, Place, Problem};
use crate::runtime::kept_file::KeptFile;

/// The layout of the file; another number is set aside like any other file we do not understand.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    version: u32,
    /// Seconds since the epoch.
    written: u64,
    endpoints: Vec<SavedEndpoint>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedEndpoint {
    pool: String,
    address: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    up: bool,
    /// Seconds since the epoch.
    since: u64,
}

/// The file and where it stands.
#[derive(Debug, Clone)]
pub struct StateFile {
    file: KeptFile,
}

impl StateFile {
    /// In `dir`, which is made when it is not there.
    ///
    /// # Errors
    /// When the directory can not be made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(StateFile { file: KeptFile::new(dir, "standings.json") })
    }

    /// What is in it: nothing when there is no file, and nothing with a warning when it can not be read (it is then
    /// renamed to `standings.json.bad-<seconds>`).
    pub fn read(&self, now: Moment) -> (HashMap<EndpointKey, Standing>, Option<Problem>) {
        let text = match self.file.read() {
            Ok(Some(text)) => text,
            Ok(None) => return (HashMap::new(), None),
            Err(error) => return (HashMap::new(), Some(self.set_aside(&error.to_string(), None, now))),
        };
        match parse(&text) {
            Ok(known) => (known, None),
            Err((line, fact)) => (HashMap::new(), Some(self.set_aside(&fact, Some(line), now))),
        }
    }

    /// Replaces what is in it; returns when it is on disk.
    ///
    /// # Errors
    /// The file system's; the former file is then still there.
    pub fn write(&self, text: &str) -> io::Result<()> {
        self.file.write(text)
    }

    fn set_aside(&self, fact: &str, line: Option<u32>, now: Moment) -> Problem {
        let outcome = match self.file.set_aside(now) {
            Ok(aside) => format!("it is kept as {}", aside.display()),
            Err(error) => format!("it can not be set aside: {error}"),
        };
        let place = Place { file: self.file.path().to_owned(), line: line.unwrap_or(0), column: 0, width: 0 };
        let fact = format!("last-known standings can not be read: {fact}");
        Problem::warning("W0501", place, fact).help(format!("every endpoint starts unknown; {outcome}"))
    }
}

/// What a ledger believes, as the file has it.
pub fn text(ledger: &Ledger, now: Moment) -> String {
    let model = ledger.model();
    let endpoints = (0..model.endpoints.len()).map(EndpointId::from).filter_map(|id| {
        let belief = ledger.belief(id);
        let up = match belief.counted() {
            Standing::Unknown => return None,
            standing => standing == Standing::Up,
        };
        let EndpointKey { pool, address, port } = EndpointKey::of(model, id);
        Some(SavedEndpoint { pool, address, port, up, since: belief.since().secs() })
    });
    let saved = Saved { version: VERSION, written: now.secs(), endpoints: endpoints.collect() };
    serde_json::to_string_pretty(&saved).expect("plain strings and numbers have a JSON form") + "\n"
}

/// The standings in the text, or the line and the fact.
fn parse(text: &str) -> Result<HashMap<EndpointKey, Standing>, (u32, String)> {
    let saved: Saved = serde_json::from_str(text).map_err(|e| (e.line() as u32, e.to_string()))?;
    if saved.version != VERSION {
        return Err((1, format!("version {} is not {VERSION}", saved.version)));
    }
    let known = saved.endpoints.into_iter().map(|saved| {
        let standing = if saved.up { Standing::Up } else { Standing::Down };
        (EndpointKey { pool: saved.pool, address: saved.address, port: saved.port }, standing)
    });
    Ok(known.collect())
}
