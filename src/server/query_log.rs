//! The query log: a sample of the queries, written by a thread of its own.
//!
//! What a worker does for a query that is not drawn is one multiplication and one comparison; for one that is, it copies
//! the query and the beginning of its answer into a slot of a bounded channel and goes on. It never waits: when the
//! channel is full, or more were drawn this second than may be written, the query is counted and not logged. Names are
//! looked up and text is made by the writer, who looks for records a hundred times a second, so that nobody has to wake
//! it.
//!
//! The writer looks once a second whether its file was renamed or removed, and begins another one: logrotate needs no
//! signal.

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TryRecvError;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::model::Moment;
use crate::model::Place;
use crate::model::Problem;
use crate::model::QueryLogSettings;
use crate::responder::Outcome;
use crate::responder::Transport;
use crate::server::query_line::QueryLine;
use crate::snapshot::Snapshot;

/// Records that wait for the writer: what a burst of a hundredth of a second may bring, in two and a half megabytes.
const RECORDS_MAX: usize = 2048;
/// Queries are kept up to this length; names end at 255 bytes, and options that matter to us stand first.
pub const QUERY_KEPT: usize = 512;
/// Answers are kept up to this length: the addresses of a VIP fit.
pub const RESPONSE_KEPT: usize = 640;
/// Between two looks for records.
const NAP: Duration = Duration::from_millis(10);
/// Looks for records between two looks at the file's name.
const NAPS_A_LOOK: u32 = 100;

/// A query and what became of it.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it was answered.
    pub at: Moment,
    /// How it came.
    pub transport: Transport,
    /// From whom.
    pub source: IpAddr,
    /// What became of it.
    pub outcome: Outcome,
    /// What the outcome's numbers mean.
    pub snapshot: Arc<Snapshot>,
    query: [u8; QUERY_KEPT],
    query_bytes: u16,
    response: [u8; RESPONSE_KEPT],
    response_bytes: u16,
}

impl Record {
    /// Copies a query and its answer, as much as is kept of them.
    pub fn new(
        at: Moment,
        (transport, source): (Transport, IpAddr),
        query: &[u8],
        response: &[u8],
        outcome: &Outcome,
        snapshot: &Arc<Snapshot>,
    ) -> Self {
        let (query_bytes, response_bytes) = (query.len().min(QUERY_KEPT), response.len().min(RESPONSE_KEPT));
        let (snapshot, outcome) = (snapshot.clone(), *outcome);
        let mut record = Record {
            at,
            transport,
            source,
            outcome,
            snapshot,
            query: [0; QUERY_KEPT],
            query_bytes: query_bytes as u16,
            response: [0; RESPONSE_KEPT],
            response_bytes: response_bytes as u16,
        };
        record.query[..query_bytes].copy_from_slice(&query[..query_bytes]);
        record.response[..response_bytes].copy_from_slice(&response[..response_bytes]);
        record
    }

    /// The query, or its beginning.
    pub fn query(&self) -> &[u8] {
        &self.query[..usize::from(self.query_bytes)]
    }

    /// The response, or its beginning.
    pub fn response(&self) -> &[u8] {
        &self.response[..usize::from(self.response_bytes)]
    }
}

/// What became of the queries that were drawn.
#[derive(Debug, Default)]
pub struct LogCounts {
    /// Written.
    pub written: AtomicU64,
    /// Not written: more were drawn in one second than may be.
    pub over_rate: AtomicU64,
    /// Not written: the writer did not keep up.
    pub full: AtomicU64,
    /// Not written: the file took no more.
    pub failed: AtomicU64,
}

/// Where workers put the queries that are drawn; one for each configuration of the log.
#[derive(Debug)]
pub struct Tap {
    /// A query is drawn when its mixed random bits are not above this.
    threshold: u64,
    rate_max: u32,
    /// The second that is being counted in the upper half, how many were taken in it in the lower.
    window: AtomicU64,
    records: SyncSender<Record>,
    counts: Arc<LogCounts>,
}

impl Tap {
    /// Whether a query is drawn. Its random bits chose its answer, too, so they are mixed: what is logged must not be
    /// what got one of the answers.
    #[inline]
    pub fn draws(&self, random: u64) -> bool {
        (random ^ (random >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) <= self.threshold
    }

    /// Takes a query that is drawn; never waits.
    #[inline(never)]
    pub fn take(&self, record: Record) {
        if !self.within_rate(record.at.secs()) {
            self.counts.over_rate.fetch_add(1, Relaxed);
        } else if self.records.try_send(record).is_err() {
            self.counts.full.fetch_add(1, Relaxed);
        }
    }

    /// Counts one for this second. Workers that meet at the turn of a second may count a few twice or not at all.
    fn within_rate(&self, second: u64) -> bool {
        let window = self.window.load(Relaxed);
        let taken = if window >> 32 == second & 0xffff_ffff { window & 0xffff_ffff } else { 0 };
        if taken >= u64::from(self.rate_max) {
            return false;
        }
        self.window.store(second << 32 | (taken + 1), Relaxed);
        true
    }
}

/// The query log of a server.
#[derive(Debug, Default)]
pub struct QueryLog {
    tap: ArcSwapOption<Tap>,
    settings: ArcSwapOption<QueryLogSettings>,
    counts: Arc<LogCounts>,
}

/// A query log that could be begun.
#[derive(Debug)]
pub enum Prepared {
    /// As it is now.
    Unchanged,
    /// None.
    Off,
    /// With these settings, at its end.
    To(Box<(QueryLogSettings, Output)>),
}

impl QueryLog {
    /// What workers use from the next world on.
    pub fn tap(&self) -> Option<Arc<Tap>> {
        self.tap.load_full()
    }

    /// What became of the queries that were drawn since the start.
    pub fn counts(&self) -> &LogCounts {
        &self.counts
    }

    /// Opens what a configuration asks for; nothing changes yet.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn prepare(&self, settings: Option<&QueryLogSettings>) -> Result<Prepared, Problem> {
        match settings {
            settings if self.settings.load().as_deref() == settings => Ok(Prepared::Unchanged),
            None => Ok(Prepared::Off),
            Some(settings) => Ok(Prepared::To(Box::new((settings.clone(), Output::open(settings.file.as_deref())?)))),
        }
    }

    /// Logs as prepared from now on.
    pub fn begin(&self, prepared: Prepared) {
        let (settings, output) = match prepared {
            Prepared::Unchanged => return,
            Prepared::Off => {
                self.settings.store(None);
                return self.tap.store(None);
            }
            Prepared::To(to) => *to,
        };
        let (records, to_write) = mpsc::sync_channel(RECORDS_MAX);
        let tap = Tap {
            threshold: threshold(settings.sample),
            rate_max: settings.rate_max,
            window: AtomicU64::new(0),
            records,
            counts: self.counts.clone(),
        };
        let writer = Writer { settings: settings.clone(), output, counts: self.counts.clone(), complained: false };
        match thread::Builder::new().name("query-log".into()).spawn(move || writer.run(&to_write)) {
            Ok(_) => {
                self.settings.store(Some(Arc::new(settings)));
                self.tap.store(Some(Arc::new(tap)));
            }
            Err(error) => tracing::error!("no query log: the system gives no thread: {error}"),
        }
    }
}

/// The largest mixed number that is drawn.
fn threshold(share: f64) -> u64 {
    if share >= 1.0 { u64::MAX } else { (share * u64::MAX as f64) as u64 }
}

/// Where lines go.
#[derive(Debug)]
pub enum Output {
    /// Standard error.
    Stderr,
    /// A file; not open while it cannot be.
    File(Option<File>),
}

impl Output {
    fn open(file: Option<&Path>) -> Result<Self, Problem> {
        let Some(path) = file else { return Ok(Output::Stderr) };
        let problem = |error: io::Error| {
            Problem::error("E0406", Place::file(path), format!("cannot write the query log: {error}"))
                .help("make its folder, and let the user that rhumb runs as write there")
        };
        append(path).map(|file| Output::File(Some(file))).map_err(problem)
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Output::Stderr => io::stderr().lock().write_all(lines),
            Output::File(Some(file)) => file.write_all(lines),
            Output::File(None) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Who asked what is nobody else's business: the owner writes, the group reads.
fn append(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o640).open(path)
}

struct Writer {
    settings: QueryLogSettings,
    output: Output,
    counts: Arc<LogCounts>,
    complained: bool,
}

impl Writer {
    /// Writes until nobody can send any more.
    fn run(mut self, records: &Receiver<Record>) {
        for nap in 0_u32.. {
            if !self.write_waiting(records) {
                return;
            }
            thread::sleep(NAP);
            if nap % NAPS_A_LOOK == 0 {
                self.follow_name();
            }
        }
    }

    /// Writes what waits; whether more may come.
    fn write_waiting(&mut self, records: &Receiver<Record>) -> bool {
        let mut lines = BufWriter::new(Vec::new());
        let mut count = 0;
        let more = loop {
            match records.try_recv() {
                Ok(record) => {
                    // Writing into memory does not fail.
                    let _ = QueryLine::of(&record, self.settings.client).write(self.settings.format, &mut lines);
                    count += 1;
                    if count >= RECORDS_MAX as u64 {
                        break true;
                    }
                }
                Err(TryRecvError::Empty) => break true,
                Err(TryRecvError::Disconnected) => break false,
            }
        };
        let lines = lines.into_inner().unwrap_or_default();
        if count > 0 {
            match self.output.write(&lines) {
                Ok(()) => self.counts.written.fetch_add(count, Relaxed),
                Err(error) => {
                    self.complain(&error);
                    self.counts.failed.fetch_add(count, Relaxed)
                }
            };
        }
        more
    }

    /// Begins a new file when the name no longer leads to the one that is open.
    fn follow_name(&mut self) {
        let (Output::File(open), Some(path)) = (&mut self.output, &self.settings.file) else { return };
        let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let is_open = open.as_ref().and_then(|file| file.metadata().ok()).map(identity);
        if is_open.is_some() && fs::metadata(path).ok().map(identity) == is_open {
            return;
        }
        match append(path) {
            Ok(file) => (*open, self.complained) = (Some(file), false),
            Err(error) => {
                *open = None;
                self.complain(&error);
            }
        }
    }

    /// Once for each trouble.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            let file = self.settings.file.as_deref().map_or("standard error".into(), |path| path.display().to_string());
            tracing::warn!("the query log is not written to {file}: {error} (tried again; see the counters)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(share: f64, rate_max: u32) -> Tap {
        let (records, _) = mpsc::sync_channel(1);
        Tap { threshold: threshold(share), rate_max, window: AtomicU64::new(0), records, counts: Arc::default() }
    }

    #[test]
    fn the_share_that_is_drawn_is_the_share_that_was_asked_for() {
        let mut dice = crate::server::dice::Dice::new();
        for share in [0.01, 0.25, 1.0] {
            let tap = tap(share, 1);
            let drawn = (0..200_000).filter(|_| tap.draws(dice.roll())).count() as f64 / 200_000.0;
            assert!((drawn - share).abs() < 0.01, "{share}: {drawn}");
        }
    }

    #[test]
    fn what_is_drawn_does_not_depend_on_the_bits_that_choose_answers() {
        let mut dice = crate::server::dice::Dice::new();
        let tap = tap(0.1, 1);
        // Rotations take the upper bits, weighted draws all of them.
        let upper: Vec<u64> = (0..400_000).map(|_| dice.roll()).filter(|r| tap.draws(*r)).map(|r| r >> 63).collect();
        let half = upper.iter().sum::<u64>() as f64 / upper.len() as f64;
        assert!((half - 0.5).abs() < 0.02, "{half}");
    }

    #[test]
    fn no_more_than_the_rate_in_a_second() {
        let tap = tap(1.0, 3);
        let taken = |second| (0..10).filter(|_| tap.within_rate(second)).count();
        assert_eq!((taken(100), taken(100), taken(101)), (3, 0, 3));
    }
}
