//! One listen address: wanted, bound, serving.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

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
use crate::server::counters::Tally;
use crate::server::encrypted::Encrypted;
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

    /// Opens its sockets.
    ///
    /// # Errors
    /// What the operator can do about it.
    pub fn bind(self, workers: usize) -> Result<BoundListener, Problem> {
        let address = self.address;
        let sockets = match self.kind {
            Kind::Plain => Sockets::Plain(bind::plain(address, workers)?),
            Kind::Tls => Sockets::Tls(bind::stream(address, "DNS over TLS")?),
            Kind::Https => Sockets::Https(bind::stream(address, "DNS over HTTPS")?),
            Kind::Quic => Sockets::Quic(bind::datagram(address, "DNS over QUIC")?),
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
    ) -> io::Result<Listener> {
        let (stop, stopped) = watch::channel(false);
        let counters = Arc::<Counters>::default();
        let certificate = || certificate.ok_or_else(|| io::Error::other("no certificate"));
        let stream_server =
            |tls| StreamServer { streams: streams.clone(), counters: counters.clone(), tls, stop: stopped.clone() };
        let idle = streams.limits.load().patience.idle;
        let mut udp = None;
        let task = match self.sockets {
            Sockets::Plain(sockets) => {
                let listener = tokio::net::TcpListener::from_std(sockets.tcp)?;
                udp = Some(UdpWorkers::start(sockets.udp, self.address, &streams.answer)?);
                tokio::spawn(stream_server(None).run(listener))
            }
            Sockets::Tls(listener) => {
                let tls = certificate()?.server_config(b"dot", rustls::ALL_VERSIONS);
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::spawn(stream_server(Some(TlsAcceptor::from(tls))).run(listener))
            }
            Sockets::Https(listener) => {
                let https = Encrypted::https(listener, certificate()?, idle, &streams.answer, &counters)?;
                tokio::spawn(https.run(stopped))
            }
            Sockets::Quic(socket) => {
                let quic = Encrypted::quic(socket, certificate()?, idle, &streams.answer, &counters)?;
                tokio::spawn(quic.run(stopped))
            }
        };
        Ok(Listener { wanted: self.wanted, address: self.address, counters, udp, stop, task })
    }
}

/// A listen address that is served.
pub struct Listener {
    /// As the configuration has it.
    pub wanted: Wanted,
    address: SocketAddr,
    counters: Arc<Counters>,
    udp: Option<UdpWorkers>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Where queries are taken.
    pub fn listening(&self) -> impl Iterator<Item = Listening> + use<> {
        self.wanted.listening_at(self.address)
    }

    /// Adds what was counted here to `sum`.
    pub fn add_to(&self, sum: &mut Tally) {
        self.counters.add_to(sum);
        if let Some(udp) = &self.udp {
            udp.add_to(sum);
        }
    }

    /// Has it take no more and finish what is in hand.
    pub fn tell_to_stop(&self) {
        let _ = self.stop.send(true);
        if let Some(udp) = &self.udp {
            udp.stop();
        }
    }

    /// Stops it and waits for its end.
    pub async fn stop(mut self) {
        self.tell_to_stop();
        if let Some(udp) = self.udp.take() {
            // joins threads, which takes up to a tenth of a second
            let _ = tokio::task::spawn_blocking(move || udp.join()).await;
        }
        let _ = self.task.await;
    }
}
