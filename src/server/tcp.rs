//! Who accepts TCP connections, and how many?
//!
//! One task for each listener accepts; one task for each connection answers. Caps over all and for each client hold over
//! all listeners, TLS ones too. DNS over TLS is the same conversation inside TLS, so it has the same caps, the same
//! patience and zone transfers (RFC 9103); hickory-server has none of these for it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::model::ServerSettings;
use crate::responder::Transport;
use crate::server::admission::Admission;
use crate::server::admission::Slot;
use crate::server::answer::Answer;
use crate::server::connection::Conversation;
use crate::server::connection::Ending;
use crate::server::connection::Patience;
use crate::server::connection::concerns_one_connection;
use crate::server::counters::Counters;
use crate::server::counters::Tally;
use crate::server::proxies::Proxies;

/// From the connection to its first query, TLS handshake and PROXY header each apart: clients connect because they have
/// a query at hand (RFC 7766 section 6.2.3 lets a server be short with those that do not).
const FIRST_QUERY_TIME: Duration = Duration::from_secs(3);
/// To take one write; a client whose window stays shut this long is gone or hostile.
const WRITE_TIME: Duration = Duration::from_secs(5);
/// First and longest rest when accepting fails, most often for want of file descriptors.
const ACCEPT_REST: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What connections are allowed; read anew for each, so a reload reaches the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one client.
    pub connections_per_client: usize,
    /// How long clients may take.
    pub patience: Patience,
    /// Peers that must send a PROXY header and are believed.
    pub proxies: Proxies,
    /// How long connections may finish what they began when the server stops.
    pub drain: Duration,
}

impl Limits {
    /// What `[server]` says.
    pub fn of(settings: &ServerSettings) -> Self {
        Limits {
            connections: settings.tcp_connections_max,
            connections_per_client: settings.tcp_connections_per_client_max,
            patience: Patience {
                first_query: FIRST_QUERY_TIME.min(settings.tcp_idle),
                idle: settings.tcp_idle,
                write: WRITE_TIME,
            },
            proxies: Proxies::of(&settings.proxy_protocol_from),
            drain: settings.stop_timeout,
        }
    }
}

/// What all listeners of a server share.
#[derive(Debug)]
pub struct Streams<A> {
    /// Answers.
    pub answer: Arc<A>,
    /// Counts connections.
    pub admission: Arc<Admission>,
    /// What connections are allowed.
    pub limits: Arc<ArcSwap<Limits>>,
}

impl<A> Clone for Streams<A> {
    fn clone(&self) -> Self {
        Streams { answer: self.answer.clone(), admission: self.admission.clone(), limits: self.limits.clone() }
    }
}

/// One listener and its connections.
pub struct StreamServer<A> {
    /// What it shares with the others.
    pub streams: Streams<A>,
    /// Of this listener.
    pub counters: Arc<Counters>,
    /// DNS over TLS, when there is one.
    pub tls: Option<TlsAcceptor>,
    /// Becomes true when this listener shall end.
    pub stop: watch::Receiver<bool>,
    /// Set before `stop`: another process has the same listening socket, and takes what is queued there.
    pub leaving: Arc<AtomicBool>,
}

impl<A> Clone for StreamServer<A> {
    fn clone(&self) -> Self {
        StreamServer {
            streams: self.streams.clone(),
            counters: self.counters.clone(),
            tls: self.tls.clone(),
            stop: self.stop.clone(),
            leaving: self.leaving.clone(),
        }
    }
}

impl<A: Answer> StreamServer<A> {
    /// Accepts until told to stop, then lets connections finish the queries they began, for a while.
    pub async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        let address = listener.local_addr().ok();
        self.accept(&listener, &mut connections).await;
        if !self.leaving.load(Relaxed) {
            self.accept_queued(listener, &mut connections);
        }
        let drain = self.streams.limits.load().drain;
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(drain, drained).await.is_err() {
            let count = connections.len();
            tracing::warn!(listener = ?address, "stop_timeout ({drain:?}) is over: {count} connections are cut off");
            connections.shutdown().await;
        }
    }

    /// Takes the connections that were complete when the door closed: their clients may have asked already.
    fn accept_queued(&self, listener: TcpListener, connections: &mut JoinSet<()>) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..super::bind::BACKLOG {
            let Ok((stream, peer)) = listener.accept() else { return };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.admit(stream, peer, connections);
            }
        }
    }

    async fn accept(&self, listener: &TcpListener, connections: &mut JoinSet<()>) {
        let mut stop = self.stop.clone();
        let mut rest = ACCEPT_REST.0;
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                Some(_ended) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    rest = ACCEPT_REST.0;
                    self.admit(stream, peer, connections);
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    if rest == ACCEPT_REST.0 {
                        tracing::warn!(listener = ?listener.local_addr().ok(), "cannot accept connections: {error}");
                    }
                    sleep(rest).await;
                    rest = (rest * 2).min(ACCEPT_REST.1);
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
        let limits = self.streams.limits.load_full();
        let Some(slot) = self.streams.admission.enter(limits.connections) else {
            return self.counters.add(&Tally { refused_connections: 1, ..Tally::default() });
        };
        // answers are whole when they are written; waiting to fill a segment would only delay them
        let _ = stream.set_nodelay(true);
        connections.spawn(self.clone().serve(stream, peer, limits, slot));
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr, limits: Arc<Limits>, slot: Slot) {
        let tally = match self.converse(stream, peer, &limits).await {
            Ok(Ending::Done | Ending::Broken) => Tally { connections: 1, ..Tally::default() },
            Ok(Ending::TooSlow) => Tally { connections: 1, timed_out_connections: 1, ..Tally::default() },
            Err(Refusal::TooMany) => Tally { refused_connections: 1, ..Tally::default() },
            Err(Refusal::NoClient(error)) => {
                tracing::debug!(%peer, "connection dropped: {error}");
                Tally { connections: 1, ..Tally::default() }
            }
        };
        self.counters.add(&tally);
        drop(slot);
    }

    async fn converse(&self, mut stream: TcpStream, peer: SocketAddr, limits: &Limits) -> Result<Ending, Refusal> {
        let patience = limits.patience;
        let client = limits.proxies.client(&mut stream, peer, patience.first_query).await?;
        let admission = &self.streams.admission;
        let _slot = admission.enter_as(client.ip(), limits.connections_per_client).ok_or(Refusal::TooMany)?;
        let conversation = Conversation {
            answer: &*self.streams.answer,
            source: client.ip(),
            transport: if self.tls.is_some() { Transport::Tls } else { Transport::Tcp },
            patience,
            counters: &self.counters,
            stop: self.stop.clone(),
        };
        let Some(tls) = &self.tls else {
            return Ok(conversation.run(stream).await);
        };
        let handshake = timeout(patience.first_query, tls.accept(stream)).await;
        let stream = handshake.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time"))??;
        Ok(conversation.run(stream).await)
    }
}

/// Why a connection came to no conversation.
enum Refusal {
    /// Its client has enough of them.
    TooMany,
    /// No PROXY header, no handshake, or it went away.
    NoClient(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::NoClient(error)
    }
}
