//! The query log: a sample of the queries, written by a thread of its own.
//!
//! What a worker does for a query that is not drawn is one multiplication and one comparison; for one that is, it copies
//! the query and the beginning of its answer into a slot of a bounded channel and goes on. It never waits: when the
//! channel is full, or more were drawn this second than may be written, the query is counted and not logged. Names are
//! looked up and text is made by the writer, who looks for records a hundred times a second, so that nobody has to wake
//! it; see [`crate::server::log_file`].

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use crate::model::Moment;
use crate::model::QueryLogSettings;
use crate::responder::Outcome;
use crate::responder::Transport;
use crate::server::log::Log;
use crate::server::log::LogCounts;
use crate::server::log::Logged;
use crate::server::log::SecondsRate;
use crate::server::log::Share;
use crate::server::log_file::LogFile;
use crate::server::query_line::QueryLine;
use crate::snapshot::Snapshot;

/// Records that wait for the writer: what a burst of a hundredth of a second may bring, in two and a half megabytes.
const RECORDS_MAX: usize = 2048;
/// Queries are kept up to this length; names end at 255 bytes, and options that matter to us stand first.
pub const QUERY_KEPT: usize = 512;
/// Answers are kept up to this length: the addresses of a VIP fit.
pub const RESPONSE_KEPT: usize = 640;

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

/// Where workers put the queries that are drawn; one for each configuration of the log.
#[derive(Debug)]
pub struct Tap {
    share: Share,
    rate: SecondsRate,
    records: SyncSender<Record>,
    counts: Arc<LogCounts>,
}

impl Tap {
    /// Whether a query is drawn.
    #[inline]
    pub fn draws(&self, random: u64) -> bool {
        self.share.draws(random)
    }

    /// Takes a query that is drawn; never waits.
    #[inline(never)]
    pub fn take(&self, record: Record) {
        if !self.rate.takes(record.at.secs()) {
            self.counts.over_rate.fetch_add(1, Relaxed);
        } else if self.records.try_send(record).is_err() {
            self.counts.full.fetch_add(1, Relaxed);
        }
    }
}

/// The query log of a server.
pub type QueryLog = Log<Queries>;

/// What is logged there.
#[derive(Debug)]
pub struct Queries;

impl Logged for Queries {
    type Settings = QueryLogSettings;
    type Tap = Tap;
    const NAME: &'static str = "query log";

    fn file(settings: &QueryLogSettings) -> Option<&Path> {
        settings.file.as_deref()
    }

    fn tap(settings: &QueryLogSettings, file: LogFile, counts: &Arc<LogCounts>) -> io::Result<(Tap, JoinHandle<()>)> {
        let (records, to_write) = mpsc::sync_channel(RECORDS_MAX);
        let (client, format) = (settings.client, settings.format);
        let writer = file.write_all(to_write, counts.clone(), move |record: Record, lines| {
            // Writing into memory does not fail.
            let _ = QueryLine::of(&record, client).write(format, lines);
            1
        })?;
        let (share, rate) = (Share::of(settings.sample), SecondsRate::of(settings.rate_max));
        Ok((Tap { share, rate, records, counts: counts.clone() }, writer))
    }
}
