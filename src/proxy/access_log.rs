//! The access log: a line for each request, or for a share of them and every failure, written by a thread of its own.
//!
//! A worker makes lines in a buffer of its own, its [`Lines`], and hands that over when it is full or its first line has
//! waited for a quarter of a second: a system call, a lock and a wakeup for each line would cost more than the line. It
//! never waits. When the writer does not keep up, the lines of a buffer are counted and lost; when more requests end in a
//! second than may be written, so are those.
//!
//! Text is made by the worker, unlike the query log's: a request's parts live in its buffers, and copying all of them is
//! most of what writing them takes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::model::AccessLogFormat;
use crate::model::AccessLogSettings;
use crate::model::ClientShown;
use crate::model::Moment;
use crate::proxy::access_line::LineWriter;
use crate::proxy::record::Record;
use crate::server::log::Log;
use crate::server::log::LogCounts;
use crate::server::log::Logged;
use crate::server::log::SecondsRate;
use crate::server::log::Share;
use crate::server::log_file::LogFile;

/// A buffer of lines is handed over when it holds so much: some forty lines.
const CHUNK_BYTES: usize = 16 * 1024;
/// And what the line that fills it may take beyond, as a rule.
const LINE_BYTES: usize = 1024;
/// Buffers that wait for the writer, of all workers: four megabytes, a tenth of a second of a hundred thousand requests.
const CHUNKS_MAX: usize = 256;
/// A line waits so long for others.
const LINGER: Duration = Duration::from_millis(250);

/// The access log of a server.
pub type AccessLog = Log<Requests>;

/// What is logged there.
#[derive(Debug)]
pub struct Requests;

impl Logged for Requests {
    type Settings = AccessLogSettings;
    type Tap = Tap;
    const NAME: &'static str = "access log";

    fn file(settings: &AccessLogSettings) -> Option<&Path> {
        settings.file.as_deref()
    }

    fn tap(settings: &AccessLogSettings, file: LogFile, counts: &Arc<LogCounts>) -> io::Result<(Tap, JoinHandle<()>)> {
        let (chunks, to_write) = mpsc::sync_channel(CHUNKS_MAX);
        let writer = file.write_all(to_write, counts.clone(), |chunk: Chunk, lines| {
            lines.extend_from_slice(&chunk.lines);
            chunk.count
        })?;
        let tap = Tap {
            share: Share::of(settings.sample),
            rate: SecondsRate::of(settings.rate_max),
            format: settings.format,
            client: settings.client,
            chunks,
            counts: counts.clone(),
        };
        Ok((tap, writer))
    }
}

/// Where workers put what they have written; one for each configuration of the log.
#[derive(Debug)]
pub struct Tap {
    share: Share,
    rate: SecondsRate,
    format: AccessLogFormat,
    client: ClientShown,
    chunks: SyncSender<Chunk>,
    counts: Arc<LogCounts>,
}

/// Lines, and how many they are.
#[derive(Debug)]
struct Chunk {
    lines: Vec<u8>,
    count: u64,
}

impl Chunk {
    fn empty() -> Self {
        Chunk { lines: Vec::with_capacity(CHUNK_BYTES + LINE_BYTES), count: 0 }
    }
}

/// One worker's lines. What is in hand is handed over when it is dropped.
#[derive(Debug)]
pub struct Lines {
    log: Arc<AccessLog>,
    /// None while there is no log.
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    tap: Arc<Tap>,
    writer: LineWriter,
    chunk: Chunk,
    /// When the chunk's first line came.
    since: Moment,
}

impl Lines {
    /// For that log, as it is now.
    pub fn of(log: Arc<AccessLog>) -> Self {
        let mut lines = Lines { log, writing: None };
        lines.follow();
        lines
    }

    /// Looks whether the log was switched. For a worker that sees another world: the log is switched just before.
    pub fn follow(&mut self) {
        let tap = self.log.tap();
        let (new, old) =
            (tap.as_ref().map(Arc::as_ptr), self.writing.as_ref().map(|writing| Arc::as_ptr(&writing.tap)));
        if new != old {
            self.flush();
            self.writing = tap.map(Writing::through);
        }
    }

    /// Whether anything is written at all.
    pub fn is_on(&self) -> bool {
        self.writing.is_some()
    }

    /// Writes a request that is over down, if the random bits draw it or it has failed.
    #[inline]
    pub fn log(&mut self, record: &Record<'_>, random: u64, now: Moment) {
        if let Some(writing) = &mut self.writing
            && (writing.tap.share.draws(random) || record.must_be_told())
        {
            writing.write(record, now);
        }
    }

    /// Hands over what has waited for long enough. For a timer; between two of its calls no line waits for longer than
    /// that and a quarter of a second.
    pub fn flush_if_due(&mut self, now: Moment) {
        if let Some(writing) = &mut self.writing
            && now - writing.since >= LINGER
        {
            writing.flush();
        }
    }

    /// Hands over what there is.
    pub fn flush(&mut self) {
        if let Some(writing) = &mut self.writing {
            writing.flush();
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Writing {
    fn through(tap: Arc<Tap>) -> Self {
        let writer = LineWriter::new(tap.format, tap.client);
        Writing { tap, writer, chunk: Chunk::empty(), since: Moment::default() }
    }

    fn write(&mut self, record: &Record<'_>, now: Moment) {
        if !self.tap.rate.takes(now.secs()) {
            self.tap.counts.over_rate.fetch_add(1, Relaxed);
            return;
        }
        if self.chunk.count == 0 {
            self.since = now;
        }
        self.writer.write(record, &mut self.chunk.lines);
        self.chunk.count += 1;
        if self.chunk.lines.len() >= CHUNK_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.chunk.count == 0 {
            return;
        }
        let chunk = std::mem::replace(&mut self.chunk, Chunk::empty());
        let count = chunk.count;
        if self.tap.chunks.try_send(chunk).is_err() {
            self.tap.counts.full.fetch_add(count, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::proxy::access_line::samples::record;
    use crate::proxy::record::Cause;
    use crate::proxy::record::Ended;
    use crate::proxy::record::Stage;

    /// Longer than any of it takes on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);
    const NOW: Moment = Moment::from_secs(1_795_380_538);
    /// Random bits that a small share does not draw, and some that any does.
    const UNDRAWN: u64 = 1;

    struct Site {
        dir: tempfile::TempDir,
        log: Arc<AccessLog>,
        lines: Lines,
    }

    fn site(settings: impl FnOnce(&mut AccessLogSettings)) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let mut site = Site { dir, log: Arc::default(), lines: Lines::of(Arc::default()) };
        site.turn(settings);
        site.lines = Lines::of(site.log.clone());
        site
    }

    impl Site {
        fn turn(&self, settings: impl FnOnce(&mut AccessLogSettings)) {
            let file = Some(self.dir.path().join("access.log"));
            let mut asked = AccessLogSettings { file, ..AccessLogSettings::default() };
            settings(&mut asked);
            self.log.begin(self.log.prepare(Some(&asked)).unwrap());
        }

        /// Lets go of everything; what the files of those names hold.
        fn read(self, name: &str) -> String {
            drop(self.lines);
            assert!(self.log.end(PATIENCE), "the writer ends when the last worker lets go");
            fs::read_to_string(self.dir.path().join(name)).unwrap()
        }
    }

    #[test]
    fn a_small_share_and_every_failure_are_written() {
        let mut site = site(|settings| settings.sample = 1e-9);
        let failures = [
            Record { status: 503, ..record() },
            Record { ended: Ended(Cause::Client, Stage::Data), ..record() },
            Record { status: 0, ended: Ended(Cause::ClientTimeout, Stage::Request), ..record() },
        ];
        for _ in 0..100 {
            site.lines.log(&record(), UNDRAWN, NOW);
        }
        site.lines.log(&Record { path: "/drawn", ..record() }, 0, NOW);
        failures.iter().for_each(|failure| site.lines.log(failure, UNDRAWN, NOW));
        let text = site.read("access.log");
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains("path=/drawn") && text.contains(" ended=CD ") && text.contains(" ended=cR "), "{text}");
    }

    #[test]
    fn lines_wait_for_others_but_not_for_long() {
        let mut site = site(|_| {});
        let in_hand = |site: &Site| site.lines.writing.as_ref().unwrap().chunk.count;
        site.lines.log(&record(), 0, NOW);
        site.lines.log(&record(), 0, NOW + Duration::from_millis(200));
        site.lines.flush_if_due(NOW + Duration::from_millis(249));
        assert_eq!(in_hand(&site), 2);
        site.lines.flush_if_due(NOW + LINGER);
        assert_eq!(in_hand(&site), 0);
        let before = site.lines.writing.as_ref().unwrap().chunk.lines.capacity();
        let fits = CHUNK_BYTES / 200;
        (0..fits).for_each(|_| site.lines.log(&record(), 0, NOW));
        assert!(in_hand(&site) < fits as u64, "a full buffer goes at once");
        assert_eq!(site.lines.writing.as_ref().unwrap().chunk.lines.capacity(), before, "it did not grow");
        assert_eq!(site.read("access.log").lines().count(), 2 + fits);
    }

    #[test]
    fn what_is_beyond_the_rate_is_counted() {
        let mut site = site(|settings| settings.rate_max = 10);
        (0..25).for_each(|_| site.lines.log(&record(), 0, NOW));
        (0..5).for_each(|_| site.lines.log(&record(), 0, NOW + Duration::from_secs(1)));
        let log = site.log.clone();
        assert_eq!(site.read("access.log").lines().count(), 15);
        assert_eq!((log.counts().over_rate.load(Relaxed), log.counts().written.load(Relaxed)), (15, 15));
    }

    #[test]
    fn a_writer_that_does_not_keep_up_holds_nobody_up() {
        let (chunks, waiting) = mpsc::sync_channel(2);
        let counts = Arc::<LogCounts>::default();
        let (format, client) = (AccessLogFormat::Json, ClientShown::Full);
        let (share, rate) = (Share::of(1.0), SecondsRate::of(u32::MAX));
        let mut writing =
            Writing::through(Arc::new(Tap { share, rate, format, client, chunks, counts: counts.clone() }));
        (0..10_000).for_each(|_| writing.write(&record(), NOW));
        writing.flush();
        let sent: u64 = waiting.try_iter().map(|chunk| chunk.count).sum();
        assert_eq!(counts.full.load(Relaxed) + sent, 10_000);
        assert!(sent > 0);
    }

    #[test]
    fn a_switch_takes_what_is_in_hand_to_the_old_file() {
        let mut site = site(|_| {});
        site.lines.log(&Record { path: "/old", ..record() }, 0, NOW);
        let other = site.dir.path().join("other.log");
        site.turn(|settings| settings.file = Some(other));
        site.lines.log(&Record { path: "/old-too", ..record() }, 0, NOW);
        site.lines.follow();
        site.lines.log(&Record { path: "/new", ..record() }, 0, NOW);
        let old = site.dir.path().join("access.log");
        site.log.begin(site.log.prepare(None).unwrap());
        site.lines.follow();
        assert!(!site.lines.is_on());
        site.lines.log(&Record { path: "/nowhere", ..record() }, 0, NOW);
        let log = site.log.clone();
        assert!(log.end(PATIENCE));
        let old = fs::read_to_string(old).unwrap();
        assert!(old.contains("path=/old ") && old.contains("path=/old-too "), "{old}");
        let new = site.read("other.log");
        assert!(new.contains("path=/new ") && new.lines().count() == 1, "{new}");
    }
}
