//! What probes over TLS are made with: one set-up for each way of trusting a certificate, not one for each endpoint.
//!
//! A set-up holds all the roots it trusts, and an HTTP client with it a connector, so one for each of thirty thousand
//! endpoints is out of the question. One client reaches every endpoint because the address comes from the probe (see
//! `progress`), and every probe gets a connection and a handshake of its own because nothing idle and no session is kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::sync::Mutex;

use crate::prober::progress::{ConnectedLayer, EndpointResolver, NoSessions};

/// What a certificate must chain to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// Nothing: any certificate will do.
    Anything,
    /// The system's roots.
    System,
    /// The roots in this PEM file.
    File(PathBuf),
}

impl Trust {
    /// What `verify` and `ca_file` come to.
    pub(super) fn of(verify: bool, ca_file: Option<&PathBuf>) -> Trust {
        match ca_file {
            _ if !verify => Trust::Anything,
            Some(file) => Trust::File(file.clone()),
            None => Trust::System,
        }
    }
}

/// What probes call themselves.
pub(super) const AGENT: &str = concat!("rhumb/", env!("CARGO_PKG_VERSION"), " (health probe)");

/// The set-ups made so far.
#[derive(Debug, Default)]
pub(super) struct Clients {
    made: Mutex<HashMap<Trust, Made>>,
}

#[derive(Debug, Clone)]
struct Made {
    http: Client,
    tls: Arc<ClientConfig>,
    /// When the file of the roots was last written: a new one is read without a restart.
    written: Option<SystemTime>,
}

impl Clients {
    /// The HTTP client that trusts this.
    ///
    /// # Errors
    /// In words, when the roots can not be had; they are tried again at the next probe.
    pub(super) async fn http(&self, trust: &Trust) -> Result<Client, String> {
        self.made(trust).await.map(|made| made.http)
    }

    /// The TLS set-up that trusts this; errors as for [`Clients::http`].
    pub(super) async fn tls(&self, trust: &Trust) -> Result<Arc<ClientConfig>, String> {
        self.made(trust).await.map(|made| made.tls)
    }

    async fn made(&self, trust: &Trust) -> Result<Made, String> {
        let written = match trust {
            Trust::File(path) => std::fs::metadata(path).and_then(|meta| meta.modified()).ok(),
            _ => None,
        };
        let mut known = self.made.lock().await;
        if let Some(made) = known.get(trust).filter(|made| made.written == written) {
            return Ok(made.clone());
        }
        let wanted = trust.clone();
        // Reading the system's roots takes tens of milliseconds.
        let built = tokio::task::spawn_blocking(move || build(&wanted)).await;
        let (http, tls) =
            built.unwrap_or_else(|_| Err("the TLS set-up panicked; this is a bug of rhumb".to_owned()))?;
        let made = Made { http, tls, written };
        known.insert(trust.clone(), made.clone());
        Ok(made)
    }
}

fn build(trust: &Trust) -> Result<(Client, Arc<ClientConfig>), String> {
    let tls = tls(trust)?;
    let client = Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .dns_resolver(EndpointResolver)
        .connector_layer(ConnectedLayer)
        .no_proxy()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .http1_only()
        .pool_max_idle_per_host(0)
        .user_agent(AGENT);
    Ok((client.build().map_err(|error| error.to_string())?, Arc::new(tls)))
}

fn tls(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = match trust {
        Trust::Anything => {
            let verifier = Arc::new(AnyCertificate::new(&provider));
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        Trust::System => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
        Trust::File(path) => builder.with_root_certificates(roots_in(path)?).with_no_client_auth(),
    };
    config.resumption = Resumption::store(Arc::new(NoSessions));
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        true => Err("this system has no root certificates; install ca-certificates or set ca_file".to_owned()),
        false => Ok(roots),
    }
}

fn roots_in(path: &Path) -> Result<RootCertStore, String> {
    let failed = |why: String| format!("ca_file {}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() { Err(failed("no certificate in it".to_owned())) } else { Ok(roots) }
}

/// Takes any certificate (`verify = false`); the handshake's signatures are still checked.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl AnyCertificate {
    fn new(provider: &CryptoProvider) -> Self {
        AnyCertificate(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
