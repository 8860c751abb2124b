//! TLS with clients: which certificate, which protocol, and what a connection may be used for.
//!
//! ```text
//! names         whom a certificate speaks for
//! certificates  which of several a client gets
//! presented     whether a request is for whom the connection is for
//! crypto        with which algorithms
//! ```
//!
//! TLS 1.2 and 1.3, by ALPN HTTP/2 before HTTP/1.1. A client that comes back resumes its session by a ticket, so that nothing
//! is kept here for it. Keys of tickets are drawn for each listener and changed every six hours: a session of one listener
//! opens no other, whose certificates and routes may be for others. They outlive a reload, not the process.
//!
//! An idle connection holds 7 KiB (`tests/proxy_tls/memory.rs`) and what the library of the algorithms takes for keys,
//! together 8 KiB of resident memory: 4 KiB are the buffer that rustls reads into and never gives back. That holds for one that
//! waits for its client, which is when rustls shrinks this buffer to 4 KiB: before, it may be 32.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::model::Problem;
use crate::model::TlsFiles;
use crate::proxy::tls::certificates::Certificates;

mod certificates;
pub(crate) mod crypto;
mod names;
mod presented;

pub use presented::Presented;

/// ALPN's name of HTTP/2.
pub const H2: &[u8] = b"h2";
/// ALPN's name of HTTP/1.1.
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// Sessions kept for clients of TLS 1.2 that take no tickets, a rarity; half a kilobyte each.
const SESSIONS_MAX: usize = 1_024;

/// What a client that reads slowly can make us hold in encrypted form: two full records.
const UNSENT_BYTES_MAX: usize = 32 * 1024;

/// A listener's side of TLS, shared by all workers.
#[derive(Debug)]
pub struct ServerTls {
    certificates: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// A handshake that came about.
#[derive(Debug)]
pub struct Accepted<S> {
    /// What follows.
    pub stream: TlsStream<S>,
    /// Which requests may come over it.
    pub presented: Presented,
    /// Whether HTTP/2 is spoken; HTTP/1.1 else.
    pub is_h2: bool,
}

impl ServerTls {
    /// With the certificates in these files; the first serves clients that ask for no name, or for one that none carries.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn of(files: &[&TlsFiles]) -> Result<Self, Vec<Problem>> {
        let certificates = Arc::new(Current(ArcSwap::from_pointee(Certificates::read(files)?)));
        let mut config = ServerConfig::builder_with_provider(crypto::provider())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .expect("the provider supports TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        config.ignore_client_order = true;
        config.ticketer = Ticketer::new().expect("the system has random numbers");
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        Ok(ServerTls { certificates, config: Arc::new(config) })
    }

    /// How to speak with clients; the same one after [`ServerTls::replace_by`].
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Presents the other's certificates from now on. Connections that are open keep theirs, and so do sessions: a client
    /// that resumes one is shown no certificate.
    pub fn replace_by(&self, new: &ServerTls) {
        self.certificates.0.store(new.certificates.0.load_full());
    }

    /// A handshake with a client. How long it may take is for the caller.
    ///
    /// # Errors
    /// Whatever became of it instead; the client has been told.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<Accepted<S>> {
        let acceptor = TlsAcceptor::from(self.config());
        let stream = acceptor.accept_with(stream, |session| session.set_buffer_limit(Some(UNSENT_BYTES_MAX))).await?;
        let session = stream.get_ref().1;
        let (presented, is_h2) = (self.presented(session.server_name()), session.alpn_protocol() == Some(H2));
        Ok(Accepted { stream, presented, is_h2 })
    }

    /// What a client is shown that asks for this name (as rustls has it: lower case).
    pub fn presented(&self, sni: Option<&str>) -> Presented {
        let sni = sni.map(without_dot);
        Presented::new(sni, self.certificates.0.load().of(sni))
    }

    /// Whether a request for this host may come over a connection that was made for this name: see [`Presented::covers`].
    pub fn covers(&self, sni: Option<&str>, host: &str) -> bool {
        self.presented(sni).covers(host)
    }
}

/// The certificates of the moment.
#[derive(Debug)]
struct Current(ArcSwap<Certificates>);

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        let alike = certificates.of(hello.server_name().map(without_dot));
        Some(certificates::usable(alike, hello.signature_schemes()))
    }
}

/// Names in SNI have no dot at the end (RFC 6066 section 3); some clients send it all the same.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests;
