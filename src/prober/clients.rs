//! What probes over TLS are made with: one set-up for each way of trusting a certificate, not one for each endpoint.
//!
//! A set-up holds all the roots it trusts, and an HTTP client with it a connector, so one for each of thirty thousand
//! endpoints is out of the question. One client reaches every endpoint because the address comes from the probe (see
//! `progress`), and every probe gets a connection and a handshake of its own because nothing idle and no session is kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::aws_lc_rs;
use tokio::sync::Mutex;

use crate::prober::progress::{ConnectedLayer, EndpointResolver, NoSessions};
use crate::runtime::trust::Trust;

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

pub(super) fn tls(trust: &Trust) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(trust.verifier()?).with_no_client_auth();
    config.resumption = Resumption::store(Arc::new(NoSessions));
    Ok(config)
}
