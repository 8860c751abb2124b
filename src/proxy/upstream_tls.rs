//! TLS to endpoints: whom do we trust there, what is spoken, and what is remembered of former sessions?
//!
//! [`ClientTls`] is a pool's; [`EndpointTls`] one endpoint's. Sessions are remembered for each endpoint: the endpoints of a
//! pool often share a name and not the keys of their tickets, and a ticket that its maker cannot read costs a round of
//! bytes for nothing. A reload makes all of it anew, so that no session outlives the trust it was made in.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientConfig, Resumption};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::model::Place;
use crate::model::Problem;
use crate::model::Speaks;
use crate::model::UpstreamTls;
use crate::model::plain_words;
use crate::proxy::tls::crypto;
use crate::proxy::tls::{H2, HTTP_1_1};
use crate::runtime::trust;
use crate::runtime::trust::Trust;

/// Tickets of one endpoint that are kept; rustls counts in eights.
const TICKETS_MAX: usize = 8;

/// Roots that were read, one set for all the pools that trust the same: the system's take tens of milliseconds.
#[derive(Debug, Default)]
pub struct Roots(HashMap<Trust, Result<Arc<dyn ServerCertVerifier>, String>>);

impl Roots {
    fn verifier(&mut self, trust: Trust) -> Result<Arc<dyn ServerCertVerifier>, String> {
        self.0.entry(trust).or_insert_with_key(Trust::verifier).clone()
    }
}

/// A pool's side of TLS.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
    speaks: Speaks,
}

impl ClientTls {
    /// What these settings come to. One `roots` for all the pools of a load; another for the next, which reads them again.
    ///
    /// # Errors
    /// A name that no certificate can carry, or roots that cannot be had.
    pub fn of(settings: &UpstreamTls, speaks: Speaks, roots: &mut Roots) -> Result<Self, Problem> {
        let name = settings.server_name.as_deref().map(server_name).transpose()?;
        let verifier = roots
            .verifier(Trust::of(settings.verify, settings.ca_file.as_ref()))
            .map_err(|fact| no_roots(settings.ca_file.as_ref(), fact))?;
        let mut config = ClientConfig::builder_with_provider(crypto::provider())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .expect("the provider supports TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = offered(speaks).iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = Resumption::disabled();
        Ok(ClientTls { config: Arc::new(config), name, speaks })
    }

    /// Whom an endpoint at this address must be: who was named, else the address itself.
    pub fn server_name(&self, address: IpAddr) -> ServerName<'static> {
        self.name.clone().unwrap_or_else(|| address.into())
    }

    /// For the endpoint at this address, with no session to resume yet. Keep it for as long as the endpoint is one.
    pub fn endpoint(&self, address: IpAddr) -> EndpointTls {
        // A copy is a few counted references.
        let mut config = (*self.config).clone();
        config.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
        let mut unread = config.clone();
        unread.alpn_protocols.clear();
        let (config, unread) = (Arc::new(config), Arc::new(unread));
        EndpointTls { config, unread, name: self.server_name(address), speaks: self.speaks }
    }
}

/// An endpoint's side of TLS; clones share its sessions.
#[derive(Debug, Clone)]
pub struct EndpointTls {
    config: Arc<ClientConfig>,
    /// For bytes that nobody here reads: offers no protocol.
    unread: Arc<ClientConfig>,
    name: ServerName<'static>,
    speaks: Speaks,
}

/// A handshake that came about.
#[derive(Debug)]
pub struct Connected<S> {
    /// What follows.
    pub stream: TlsStream<S>,
    /// Whether HTTP/2 is spoken; HTTP/1.1 else.
    pub is_h2: bool,
}

impl EndpointTls {
    /// A handshake over a connection to the endpoint. How long it may take is for the caller.
    ///
    /// # Errors
    /// Whatever became of it instead, for [`words`]. An endpoint that is to speak HTTP/2 and does not agree to it is
    /// `InvalidData`.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<Connected<S>> {
        let stream = TlsConnector::from(self.config.clone()).connect(self.name.clone(), stream).await?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        match self.speaks {
            Speaks::Http2 if !is_h2 => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the endpoint does not take HTTP/2 (ALPN h2)"))
            }
            _ => Ok(Connected { stream, is_h2 }),
        }
    }

    /// The same for bytes that are carried unread, of which nobody knows whether they are HTTP: a server of another protocol would
    /// refuse whoever offers that (RFC 7301 section 3.2).
    ///
    /// # Errors
    /// As of [`EndpointTls::connect`].
    pub async fn connect_unread<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        TlsConnector::from(self.unread.clone()).connect(self.name.clone(), stream).await
    }
}

/// Why a handshake failed.
pub fn words(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => trust::words(tls),
        None => plain_words(error),
    }
}

fn offered(speaks: Speaks) -> &'static [&'static [u8]] {
    match speaks {
        Speaks::Http1 => &[HTTP_1_1],
        Speaks::Http2 => &[H2],
        Speaks::Either => &[H2, HTTP_1_1],
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, Problem> {
    // SNI has no dot at the end (RFC 6066 section 3).
    let name = text.strip_suffix('.').unwrap_or(text);
    ServerName::try_from(name.to_owned()).map_err(|_| {
        Problem::error("E0410", None, format!("{text:?} cannot be the name of a TLS server"))
            .help("give the pool's tls a server_name that is in its endpoints' certificate, as \"app.internal\"")
    })
}

fn no_roots(ca_file: Option<&PathBuf>, fact: String) -> Problem {
    let problem = Problem::error("E0410", ca_file.map(Place::file), fact);
    match ca_file {
        Some(_) => problem.help("a PEM file with the CERTIFICATE of each authority that signs for the endpoints"),
        None => problem.help("or, where nobody else can answer in the endpoints' place, set verify = false"),
    }
}
