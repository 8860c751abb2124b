//! Where do queries come in?
//!
//! [`bind`] opens every socket or says everything that stands in the way; [`Bound::serve`] begins to answer; the
//! [`Server`] then opens and closes listeners as configurations come, and stops politely.
//!
//! UDP workers are threads of their own and wait for nothing but their sockets ([`udp`]); everything on streams runs on
//! a tokio runtime ([`tcp`], [`encrypted`]). All of them ask one [`answer::Answer`]; nothing here knows DNS beyond the
//! length in front of a message.

pub mod admission;
pub mod answer;
pub mod batch;
pub mod bind;
pub mod connection;
pub mod counters;
pub mod dice;
pub mod encrypted;
pub mod framing;
pub mod listener;
pub mod proxy_protocol;
pub mod responding;
pub mod tcp;
pub mod tls;
pub mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use crate::model::Problem;
use crate::model::ServerSettings;
use crate::model::TlsFiles;
use crate::responder::Transport;
use crate::server::admission::Admission;
use crate::server::answer::Answer;
use crate::server::counters::Tally;
use crate::server::listener::BoundListener;
use crate::server::listener::Listener;
use crate::server::listener::Wanted;
use crate::server::tcp::Limits;
use crate::server::tcp::Streams;
use crate::server::tls::Certificate;

/// Sockets that are open and not yet answered on.
pub struct Bound {
    listeners: Vec<BoundListener>,
    certificate: Option<Arc<Certificate>>,
    limits: Limits,
    workers: usize,
}

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
    let workers = workers(settings);
    let mut problems = Vec::new();
    let certificate = tls.and_then(|files| Certificate::read(files).map_err(|more| problems.extend(more)).ok());
    let mut listeners = Vec::new();
    for wanted in Wanted::all(settings) {
        match wanted.bind(workers) {
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
    Ok(Bound { listeners, certificate: certificate.map(Arc::new), limits: Limits::of(settings), workers })
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

    /// Begins to answer; streams on `runtime`.
    ///
    /// # Errors
    /// The system's, when it refuses threads.
    pub fn serve<A: Answer>(self, answer: Arc<A>, runtime: &Handle) -> io::Result<Server<A>> {
        let streams = Streams {
            answer,
            admission: Arc::<Admission>::default(),
            limits: Arc::new(ArcSwap::from_pointee(self.limits)),
        };
        let mut server = Server {
            listeners: Vec::new(),
            certificate: self.certificate,
            streams,
            workers: self.workers,
            closed: Tally::default(),
            runtime: runtime.clone(),
        };
        for bound in self.listeners {
            server.open(bound)?;
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
    closed: Tally,
    runtime: Handle,
}

impl<A: Answer> Server<A> {
    /// Where queries are taken.
    pub fn listening(&self) -> Vec<Listening> {
        self.listeners.iter().flat_map(Listener::listening).collect()
    }

    /// What was counted since the start, over all listeners, closed ones too.
    pub fn totals(&self) -> Tally {
        let mut sum = self.closed;
        self.listeners.iter().for_each(|listener| listener.add_to(&mut sum));
        sum
    }

    /// How many TCP and TLS connections are open.
    pub fn connections(&self) -> usize {
        self.streams.admission.open()
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
            match new.bind(self.workers) {
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
        if workers(settings) != self.workers {
            tracing::warn!(
                "udp_workers is {} now, and {} still answer: restart rhumb to change their number",
                workers(settings),
                self.workers
            );
        }
        Ok(())
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
        self.listeners.push(bound.serve(&self.streams, self.certificate.as_ref())?);
        Ok(())
    }

    fn close_all_but(&mut self, wanted: &[Wanted]) {
        let (stay, go): (Vec<_>, Vec<_>) =
            self.listeners.drain(..).partition(|listener| wanted.contains(&listener.wanted));
        self.listeners = stay;
        for listener in go {
            // what it counts while it drains is lost; what it counted before is not
            listener.add_to(&mut self.closed);
            self.runtime.spawn(listener.stop());
        }
    }

    /// Takes no more, answers what is in hand, and ends; within a few seconds.
    pub async fn stop(self) {
        self.listeners.iter().for_each(Listener::tell_to_stop);
        for listener in self.listeners {
            listener.stop().await;
        }
    }
}
