//! One listen address: wanted, bound, serving.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::model::Problem;
use crate::model::ServerSettings;
use crate::responder::Transport;
use crate::server::Listening;
use crate::server::answer::Answer;
use crate::server::bind;
use crate::server::bind::PlainSockets;
use crate::server::counters::Counters;
use crate::server::encrypted::Encrypted;
use crate::server::given::Given;
use crate::server::pulse::Pulses;
use crate::server::tcp::StreamServer;
use crate::server::tcp::Streams;
use crate::server::tls::Certificate;
use crate::server::udp::UdpWorkers;

/// What is spoken at a listen address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UDP and TCP.
    Plain,
    /// DNS over TLS.
    Tls,
    /// DNS over HTTPS.
    Https,
    /// DNS over QUIC.
    Quic,
}

/// A listen address as the configuration has it; port 0 stands for any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// What is spoken there.
    pub kind: Kind,
    /// Where.
    pub address: SocketAddr,
}

impl Wanted {
    /// All that the settings ask for.
    pub fn all(settings: &ServerSettings) -> impl Iterator<Item = Wanted> {
        let of = |kind| move |address: &SocketAddr| Wanted { kind, address: *address };
        let plain = settings.listen.iter().map(of(Kind::Plain));
        let tls = settings.dot.iter().map(of(Kind::Tls));
        let https = settings.doh.iter().map(of(Kind::Https));
        plain.chain(tls).chain(https).chain(settings.doq.iter().map(of(Kind::Quic)))
    }

    /// Whether it cannot serve without a certificate.
    pub fn needs_certificate(&self) -> bool {
        self.kind != Kind::Plain
    }

    /// Opens its sockets, or takes those that are there already.
    ///
    /// # Errors
    /// What the operator can do about it.
    pub fn bind(self, workers: usize, given: &mut Given) -> Result<BoundListener, Problem> {
        let address = self.address;
        let sockets = match self.kind {
            Kind::Plain => Sockets::Plain(bind::plain_from(address, workers, given)?),
            Kind::Tls => Sockets::Tls(bind::stream_from(address, "DNS over TLS", given)?),
            Kind::Https => Sockets::Https(bind::stream_from(address, "DNS over HTTPS", given)?),
            Kind::Quic => Sockets::Quic(bind::datagram_from(address, "DNS over QUIC", given)?),
        };
        let address = sockets.address().unwrap_or(address);
        Ok(BoundListener { wanted: self, address, sockets })
    }

    fn listening_at(self, address: SocketAddr) -> impl Iterator<Item = Listening> {
        let transports: &[Transport] = match self.kind {
            Kind::Plain => &[Transport::Udp, Transport::Tcp],
            Kind::Tls => &[Transport::Tls],
            Kind::Https => &[Transport::Https],
            Kind::Quic => &[Transport::Quic],
        };
        transports.iter().map(move |transport| Listening { transport: *transport, address })
    }
}

enum Sockets {
    Plain(PlainSockets),
    Tls(TcpListener),
    Https(TcpListener),
    Quic(UdpSocket),
}

impl Sockets {
    /// A copy of the descriptor of the TCP or QUIC socket; UDP workers keep theirs themselves.
    fn shared(&self) -> io::Result<Option<OwnedFd>> {
        let socket = match self {
            Sockets::Plain(sockets) => sockets.tcp.as_fd(),
            Sockets::Tls(listener) | Sockets::Https(listener) => listener.as_fd(),
            Sockets::Quic(socket) => socket.as_fd(),
        };
        socket.try_clone_to_owned().map(Some)
    }

    fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Sockets::Plain(sockets) => Ok(sockets.address),
            Sockets::Tls(listener) | Sockets::Https(listener) => listener.local_addr(),
            Sockets::Quic(socket) => socket.local_addr(),
        }
    }
}

/// A listen address with its sockets open.
pub struct BoundListener {
    /// As the configuration has it.
    pub wanted: Wanted,
    address: SocketAddr,
    sockets: Sockets,
}

impl BoundListener {
    /// Where queries will be taken.
    pub fn listening(&self) -> impl Iterator<Item = Listening> + use<> {
        self.wanted.listening_at(self.address)
    }

    /// Begins to answer; inside a tokio runtime.
    ///
    /// # Errors
    /// The system's. An encrypted listener without a certificate is refused.
    pub fn serve<A: Answer>(
        self,
        streams: &Streams<A>,
        certificate: Option<&Arc<Certificate>>,
        pulses: &Pulses,
    ) -> io::Result<Listener> {
        let (stop, stopped) = watch::channel(false);
        let leaving = Arc::<AtomicBool>::default();
        let counters = Arc::<Counters>::default();
        let certificate = || certificate.ok_or_else(|| io::Error::other("no certificate"));
        let stream_server = |tls| StreamServer {
            streams: streams.clone(),
            counters: counters.clone(),
            tls,
            stop: stopped.clone(),
            leaving: leaving.clone(),
        };
        let limits = streams.limits.load_full();
        let (idle, drain) = (limits.patience.idle, limits.drain);
        let shared = self.sockets.shared()?;
        let mut udp = None;
        let task = match self.sockets {
            Sockets::Plain(sockets) => {
                let listener = tokio::net::TcpListener::from_std(sockets.tcp)?;
                udp = Some(UdpWorkers::start(sockets.udp, self.address, &streams.answer, pulses)?);
                tokio::spawn(stream_server(None).run(listener))
            }
            Sockets::Tls(listener) => {
                let tls = certificate()?.server_config(b"dot", rustls::ALL_VERSIONS);
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::spawn(stream_server(Some(TlsAcceptor::from(tls))).run(listener))
            }
            Sockets::Https(listener) => {
                let https = Encrypted::https(listener, certificate()?, idle, &streams.answer, &counters)?;
                tokio::spawn(https.run(stopped, drain))
            }
            Sockets::Quic(socket) => {
                let quic = Encrypted::quic(socket, certificate()?, idle, &streams.answer, &counters)?;
                tokio::spawn(quic.run(stopped, drain))
            }
        };
        Ok(Listener { wanted: self.wanted, address: self.address, counters, udp, shared, stop, leaving, task })
    }
}

/// A listen address that is served.
pub struct Listener {
    /// As the configuration has it.
    pub wanted: Wanted,
    address: SocketAddr,
    counters: Arc<Counters>,
    udp: Option<UdpWorkers>,
    /// Of its TCP or QUIC socket, for a successor; let go when it stops, or clients would queue at a closed door.
    shared: Option<OwnedFd>,
    stop: watch::Sender<bool>,
    leaving: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Where queries are taken.
    pub fn listening(&self) -> impl Iterator<Item = Listening> + use<> {
        self.wanted.listening_at(self.address)
    }

    /// What counts here.
    pub fn counters(&self) -> impl Iterator<Item = Arc<Counters>> {
        let workers = self.udp.iter().flat_map(UdpWorkers::counters);
        std::iter::once(&self.counters).chain(workers).cloned()
    }

    /// Starts UDP workers until there are `count`; never ends any.
    ///
    /// # Errors
    /// The system's, when it refuses a thread.
    pub fn grow_to<A: Answer>(&mut self, count: usize, answer: &Arc<A>, pulses: &Pulses) -> io::Result<()> {
        self.udp.as_mut().map_or(Ok(()), |udp| udp.grow_to(count, answer, pulses))
    }

    /// How many UDP workers it has; none when it speaks nothing over plain UDP.
    pub fn workers(&self) -> Option<usize> {
        self.udp.as_ref().map(UdpWorkers::count)
    }

    /// Copies of the descriptors of all its sockets.
    ///
    /// # Errors
    /// The system's, for want of descriptors.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let udp = self.udp.iter().flat_map(|udp| udp.sockets()).map(|socket| socket.as_fd());
        self.shared.iter().map(AsFd::as_fd).chain(udp).map(|socket| socket.try_clone_to_owned()).collect()
    }

    /// Where it was told to take any port, and the one it has.
    pub fn port_taken(&self) -> Option<(SocketAddr, SocketAddr)> {
        (self.wanted.address.port() == 0).then_some((self.wanted.address, self.address))
    }

    /// Has it take no more and finish what is in hand.
    pub fn tell_to_stop(&mut self) {
        self.shared = None;
        let _ = self.stop.send(true);
        if let Some(udp) = &mut self.udp {
            udp.stop();
        }
    }

    /// As [`Listener::tell_to_stop`], but what is queued in its sockets is for another process, which has them too.
    pub fn tell_to_leave(&mut self) {
        self.leaving.store(true, Relaxed);
        if let Some(udp) = &mut self.udp {
            udp.leave();
        }
        self.tell_to_stop();
    }

    /// Waits until its task has ended, which it does some time after it was told to.
    pub async fn closed(&mut self) {
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }

    /// Stops it and waits for its end.
    pub async fn stop(mut self) {
        self.tell_to_stop();
        if let Some(udp) = self.udp.take() {
            // joins threads, which takes up to a tenth of a second
            let _ = tokio::task::spawn_blocking(move || udp.join()).await;
        }
        self.closed().await;
    }
}
