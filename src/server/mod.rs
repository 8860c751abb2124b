//! Where do queries come in?
//!
//! [`bind`] opens every socket or says everything that stands in the way; [`Bound::serve`] begins to answer; the
//! [`Server`] then opens and closes listeners as configurations come, and stops politely. [`bind_with`] takes sockets that
//! are open already, and [`Server::leave`] lets go of them without a query lost: a process is succeeded by another so.
//!
//! UDP workers are threads of their own and wait for nothing but their sockets ([`udp`]); everything on streams runs on
//! a tokio runtime ([`tcp`], [`encrypted`]). All of them ask one [`answer::Answer`]; nothing here knows DNS beyond the
//! length in front of a message.

pub mod admission;
pub mod answer;
pub mod answered;
pub mod batch;
pub mod bind;
pub mod connection;
pub mod counters;
pub mod counts;
pub mod dice;
pub mod encrypted;
pub mod framing;
pub mod given;
pub mod listener;
pub mod log;
pub mod log_file;
pub mod log_words;
pub mod meter;
pub mod proxies;
pub mod proxy_protocol;
pub mod pulse;
pub mod query_line;
pub mod query_log;
pub mod responding;
pub mod tcp;
pub mod tls;
pub mod udp;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use crate::model::Problem;
use crate::model::ServerSettings;
use crate::model::TlsFiles;
use crate::responder::Transport;
use crate::server::admission::Admission;
use crate::server::answer::Answer;
use crate::server::counters::Tally;
use crate::server::given::Given;
use crate::server::listener::BoundListener;
use crate::server::listener::Kind;
use crate::server::listener::Listener;
use crate::server::listener::Wanted;
use crate::server::meter::Meter;
use crate::server::pulse::Pulses;
use crate::server::tcp::Limits;
use crate::server::tcp::Streams;
use crate::server::tls::Certificate;

/// Sockets that are open and not yet answered on.
pub struct Bound {
    listeners: Vec<BoundListener>,
    certificate: Option<Arc<Certificate>>,
    limits: Limits,
    workers: usize,
    answered_elsewhere: bool,
}

/// How long a successor waits for us to close QUIC connections; its clients begin anew all the same.
const QUIC_CLOSES: Duration = Duration::from_millis(500);

/// A socket that takes queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// What is spoken there.
    pub transport: Transport,
    /// Where, with the real port.
    pub address: SocketAddr,
}

/// Opens every socket the settings ask for; `tls` are the files of the `[tls.*]` they name.
///
/// # Errors
/// Every problem at once: sockets that cannot be had, certificates that cannot be used.
pub fn bind(settings: &ServerSettings, tls: Option<&TlsFiles>) -> Result<Bound, Vec<Problem>> {
    bind_with(settings, tls, &mut Given::default())
}

/// As [`bind`], but takes what it wants from `given` before it opens anything; what it leaves there is not wanted.
///
/// # Errors
/// As [`bind`]'s.
pub fn bind_with(settings: &ServerSettings, tls: Option<&TlsFiles>, given: &mut Given) -> Result<Bound, Vec<Problem>> {
    let workers = workers(settings);
    let mut problems = Vec::new();
    let certificate = tls.and_then(|files| Certificate::read(files).map_err(|more| problems.extend(more)).ok());
    let mut listeners = Vec::new();
    for wanted in Wanted::all(settings) {
        match wanted.bind(workers, given) {
            Ok(listener) => listeners.push(listener),
            Err(problem) => problems.push(problem),
        }
    }
    if tls.is_none() {
        problems.extend(Wanted::all(settings).find(Wanted::needs_certificate).map(|_| no_certificate()));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let (certificate, limits) = (certificate.map(Arc::new), Limits::of(settings));
    Ok(Bound { listeners, certificate, limits, workers, answered_elsewhere: given.answered_elsewhere() })
}

fn workers(settings: &ServerSettings) -> usize {
    match settings.udp_workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

fn no_certificate() -> Problem {
    Problem::error("E0403", None, "encrypted listeners need a certificate")
        .help("set server.tls to the name of a [tls.*]")
}

impl Bound {
    /// Where queries will be taken.
    pub fn listening(&self) -> Vec<Listening> {
        self.listeners.iter().flat_map(BoundListener::listening).collect()
    }

    /// Begins to answer; streams on `runtime`. With sockets that another process still answers on, [`Server::alone`] is
    /// to be called when it has ended.
    ///
    /// # Errors
    /// The system's, when it refuses threads.
    pub fn serve<A: Answer>(self, answer: Arc<A>, runtime: &Handle) -> io::Result<Server<A>> {
        self.serve_watched(answer, runtime, Arc::default())
    }

    /// As [`Bound::serve`], with the pulses that somebody watches already.
    ///
    /// # Errors
    /// As [`Bound::serve`]'s.
    pub fn serve_watched<A: Answer>(
        self,
        answer: Arc<A>,
        runtime: &Handle,
        pulses: Arc<Pulses>,
    ) -> io::Result<Server<A>> {
        let streams = Streams {
            answer,
            admission: Arc::<Admission>::default(),
            limits: Arc::new(ArcSwap::from_pointee(self.limits)),
        };
        let meter = Meter::new(streams.admission.clone());
        let mut server = Server {
            listeners: Vec::new(),
            certificate: self.certificate,
            streams,
            workers: self.workers,
            meter,
            runtime: runtime.clone(),
            pulses,
            waiting: Vec::new(),
        };
        for bound in self.listeners {
            if self.answered_elsewhere && bound.wanted.kind == Kind::Quic {
                server.waiting.push(bound);
            } else {
                server.open(bound)?;
            }
        }
        if !self.answered_elsewhere {
            server.alone()?;
        }
        Ok(server)
    }
}

/// Takes queries and answers them until it is stopped.
pub struct Server<A> {
    listeners: Vec<Listener>,
    certificate: Option<Arc<Certificate>>,
    streams: Streams<A>,
    workers: usize,
    meter: Meter,
    runtime: Handle,
    pulses: Arc<Pulses>,
    /// What another process has to let go of before we may read it.
    waiting: Vec<BoundListener>,
}

impl<A: Answer> Server<A> {
    /// Where queries are taken.
    pub fn listening(&self) -> Vec<Listening> {
        self.listeners.iter().flat_map(Listener::listening).collect()
    }

    /// Nobody else reads our sockets any more: opens what had to wait for that, and as many UDP workers as are wanted.
    ///
    /// # Errors
    /// The system's, when it refuses threads; everything that could be opened answers then.
    pub fn alone(&mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        for bound in std::mem::take(&mut self.waiting) {
            outcome = outcome.and(self.open(bound));
        }
        outcome.and(self.grow())
    }

    fn grow(&mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        for listener in &mut self.listeners {
            outcome = outcome.and(listener.grow_to(self.workers, &self.streams.answer, &self.pulses));
            self.meter.watch(listener.counters());
        }
        outcome
    }

    /// Whether every UDP worker turns.
    pub fn pulses(&self) -> &Arc<Pulses> {
        &self.pulses
    }

    /// Copies of the descriptors of all sockets, for a successor, and where port 0 led.
    ///
    /// # Errors
    /// The system's, for want of descriptors.
    #[expect(clippy::type_complexity, reason = "two lists, taken apart where they are sent")]
    pub fn descriptors(&self) -> io::Result<(Vec<OwnedFd>, Vec<(SocketAddr, SocketAddr)>)> {
        let mut all = Vec::new();
        for listener in &self.listeners {
            all.extend(listener.descriptors()?);
        }
        Ok((all, self.listeners.iter().filter_map(Listener::port_taken).collect()))
    }

    /// What was counted since the start, over all listeners, closed ones too.
    pub fn totals(&self) -> Tally {
        self.meter.totals()
    }

    /// A view of what is counted, for others to keep.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// How many TCP and TLS connections are open.
    pub fn connections(&self) -> usize {
        self.meter.connections()
    }

    /// Takes over new settings: opens what is new, reads the certificate again, then closes what is no longer wanted.
    /// Listeners that stay keep their sockets, and with them the queries queued there.
    ///
    /// # Errors
    /// Every problem at once; nothing has changed then.
    pub fn reload(&mut self, settings: &ServerSettings, tls: Option<&TlsFiles>) -> Result<(), Vec<Problem>> {
        let wanted: Vec<Wanted> = Wanted::all(settings).collect();
        let mut problems = Vec::new();
        let mut opened = Vec::new();
        for new in wanted.iter().filter(|wanted| !self.listeners.iter().any(|open| open.wanted == **wanted)) {
            match new.bind(self.workers, &mut Given::default()) {
                Ok(bound) => opened.push(bound),
                Err(problem) => problems.push(problem),
            }
        }
        if tls.is_none() && wanted.iter().any(Wanted::needs_certificate) {
            problems.push(no_certificate());
        }
        let certificate = tls.and_then(|files| Certificate::read(files).map_err(|more| problems.extend(more)).ok());
        if !problems.is_empty() {
            return Err(problems);
        }
        self.present(certificate);
        self.streams.limits.store(Arc::new(Limits::of(settings)));
        for bound in opened {
            let wanted = bound.wanted;
            self.open(bound).map_err(|error| {
                vec![Problem::error("E0404", None, format!("cannot serve on {}: {error}", wanted.address))]
            })?;
        }
        self.close_all_but(&wanted);
        self.workers = self.workers.max(workers(settings));
        if let Err(error) = self.grow() {
            tracing::warn!("not all of {} UDP workers could be started: {error}", self.workers);
        }
        self.tell_of_too_many(workers(settings));
        Ok(())
    }

    /// More workers begin at once; fewer do not end, since the kernel goes on to deal queries out to their sockets.
    fn tell_of_too_many(&self, wanted: usize) {
        let most = self.listeners.iter().filter_map(Listener::workers).max().unwrap_or(0);
        if wanted < most {
            tracing::warn!("udp_workers is {wanted} now, and {most} still answer: restart rhumb to have fewer");
        }
    }

    fn present(&mut self, certificate: Option<Certificate>) {
        match (&self.certificate, certificate) {
            (Some(current), Some(new)) => current.replace_by(&new),
            (None, Some(new)) => self.certificate = Some(Arc::new(new)),
            // it may still be in use by listeners that are about to close
            (_, None) => {}
        }
    }

    fn open(&mut self, bound: BoundListener) -> io::Result<()> {
        let _inside = self.runtime.enter();
        let listener = bound.serve(&self.streams, self.certificate.as_ref(), &self.pulses)?;
        self.meter.watch(listener.counters());
        self.listeners.push(listener);
        Ok(())
    }

    fn close_all_but(&mut self, wanted: &[Wanted]) {
        let (stay, go): (Vec<_>, Vec<_>) =
            self.listeners.drain(..).partition(|listener| wanted.contains(&listener.wanted));
        self.listeners = stay;
        for listener in go {
            self.runtime.spawn(listener.stop());
        }
    }

    /// Takes no more, answers what is in hand, and ends; within a few seconds.
    pub async fn stop(mut self) {
        self.listeners.iter_mut().for_each(Listener::tell_to_stop);
        self.ended().await;
    }

    /// Takes no more: another process reads the same sockets, and answers what is queued there. [`Server::stop`] then
    /// finishes what is in hand. Returns when QUIC, whose connections are ours alone, has closed them, or has been given
    /// long enough to.
    pub async fn leave(&mut self) {
        self.listeners.iter_mut().for_each(Listener::tell_to_leave);
        let quic = self.listeners.iter_mut().filter(|listener| listener.wanted.kind == Kind::Quic);
        for listener in quic {
            let _ = tokio::time::timeout(QUIC_CLOSES, listener.closed()).await;
        }
    }

    async fn ended(self) {
        for listener in self.listeners {
            listener.stop().await;
        }
    }
}
