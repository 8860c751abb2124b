//! How a proxy treats a pool: what DNS never asks of it.

use std::path::PathBuf;
use std::time::Duration;

use super::KeyedOn;

/// The proxy's settings of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// What is spoken to the endpoints.
    pub speaks: Speaks,
    /// TLS to the endpoints; plaintext without it.
    pub tls: Option<UpstreamTls>,
    /// What `hash`, `ring_hash` and `maglev` go by.
    pub keyed_on: KeyedOn,
    /// Hashed ways of choosing: an endpoint carries at most so many per cent of its share; no bound when absent.
    pub bound_percent: Option<u32>,
    /// An endpoint that comes back grows into its weight over this; zero: at once.
    pub slow_start: Duration,
    /// Fewer than so many per cent of the endpoints up: balance over all. 0: never.
    pub panic_percent: u32,
    /// How long a connection may take to be made, TLS included.
    pub connect_timeout: Duration,
    /// How long a connection is kept without requests.
    pub idle_timeout: Duration,
    /// Connections to one endpoint.
    pub connections_max: u32,
    /// Requests in hand at one endpoint.
    pub requests_max: u32,
    /// The same of flows at L4, which are connections: as `max_connections` says, and without a bound of their own where nobody wrote
    /// it, for they last, and the listener has one.
    pub flows_max: u32,
    /// Retries are at most so many per cent of the requests of ten seconds.
    pub retry_percent: u32,
    /// Whether flows that are open end when their endpoint is found down: at L4, and WebSockets. Otherwise they are left to find
    /// out themselves, since what made a probe fail need not concern them.
    pub closes_when_down: bool,
}

/// The port of an endpoint that names none, where a proxy connects to it.
pub const fn usual_port(has_tls: bool) -> u16 {
    if has_tls { 443 } else { 80 }
}

impl Default for Upstream {
    fn default() -> Self {
        Upstream {
            speaks: Speaks::default(),
            tls: None,
            keyed_on: KeyedOn::default(),
            bound_percent: None,
            slow_start: Duration::ZERO,
            panic_percent: 50,
            connect_timeout: Duration::from_secs(3),
            // Less than what common servers give (nginx 75 s, Node.js 5 s is the notorious exception), so that we close first.
            idle_timeout: Duration::from_secs(60),
            connections_max: 1_024,
            requests_max: 1_024,
            flows_max: u32::MAX,
            retry_percent: 20,
            closes_when_down: false,
        }
    }
}

/// What is spoken to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speaks {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 from the first byte; gRPC needs it.
    Http2,
    /// What the endpoint chooses by ALPN; HTTP/1.1 without TLS.
    Either,
}

/// TLS to endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name that is asked for and must be in the certificate; the endpoint's address when absent.
    pub server_name: Option<String>,
    /// Whether the certificate must chain to a trusted root and carry the name.
    pub verify: bool,
    /// A PEM file of the roots to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}
