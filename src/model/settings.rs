//! Settings that are not traffic: sockets, files, databases.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{GeoCode, Location};

/// `[server]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    /// UDP and TCP sockets.
    pub listen: Vec<SocketAddr>,
    /// Every `*.zone` in it is loaded and watched.
    pub zones_dir: Option<PathBuf>,
    /// Where last-known standings and overrides survive a restart; nothing is kept without it.
    pub state_dir: Option<PathBuf>,
    /// Threads that answer UDP; 0: one for each core.
    pub udp_workers: usize,
    /// DNS over TLS sockets.
    pub dot: Vec<SocketAddr>,
    /// DNS over QUIC sockets.
    pub doq: Vec<SocketAddr>,
    /// DNS over HTTPS sockets.
    pub doh: Vec<SocketAddr>,
    /// Which `[tls.*]` the encrypted transports present: an index into `Model::tls`.
    pub tls: Option<usize>,
    /// The largest UDP response we send, whatever the client allows; 512 to 4096 bytes. Responses are never fragmented, so
    /// one larger than a link on the way is lost: 1232 fits every IPv6 path.
    pub udp_payload_max: u16,
    /// The answer to `id.server` and NSID; none is given without it.
    pub nsid: Option<String>,
    /// The answer to `version.bind` and `version.server`; refused without it.
    pub version: Option<String>,
    /// How long the first round of probes may hold back readiness.
    pub start_timeout: Duration,
    /// Whether nearly all checks failing at once make the server suspect itself, and turn nothing down for a while.
    pub suspect_itself: bool,
    /// How long a server that stops lets connections finish what they have begun.
    pub stop_timeout: Duration,
    /// TCP connections at once, over all clients.
    pub tcp_connections_max: usize,
    /// TCP connections at once from one address.
    pub tcp_connections_per_client_max: usize,
    /// How long a TCP connection may be idle.
    pub tcp_idle: Duration,
    /// Peers that are believed when they speak PROXY protocol on TCP.
    pub proxy_protocol_from: Vec<(IpAddr, u8)>,
    /// The secrets of server cookies, shared between nodes; without it each process draws one.
    pub cookie_secret_file: Option<PathBuf>,
    /// What is in that file, or was drawn; no cookies are answered before they are known.
    pub cookie_secrets: Option<CookieSecrets>,
    /// Who may ask for a zone transfer: addresses with prefix lengths; nobody unless told.
    pub transfer_to: Vec<(IpAddr, u8)>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            listen: Vec::new(),
            zones_dir: None,
            state_dir: None,
            udp_workers: 0,
            dot: Vec::new(),
            doq: Vec::new(),
            doh: Vec::new(),
            tls: None,
            udp_payload_max: 1232,
            nsid: None,
            version: None,
            start_timeout: Duration::from_secs(10),
            suspect_itself: true,
            stop_timeout: Duration::from_secs(5),
            tcp_connections_max: 4096,
            tcp_connections_per_client_max: 64,
            tcp_idle: Duration::from_secs(10),
            proxy_protocol_from: Vec::new(),
            cookie_secret_file: None,
            cookie_secrets: None,
            transfer_to: Vec::new(),
        }
    }
}

/// Keys of server cookies (RFC 9018 section 5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CookieSecrets {
    /// Makes cookies.
    pub current: [u8; 16],
    /// Is still believed while nodes change over.
    pub previous: Option<[u8; 16]>,
}

/// Secrets are not shown, wherever a configuration is.
impl fmt::Debug for CookieSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieSecrets(..)")
    }
}

/// `[geo]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GeoSettings {
    /// MaxMind-format databases; a field a former one lacks is taken from a later one.
    pub databases: Vec<PathBuf>,
    /// Measured latencies: lines of `CIDR-or-geo,region,milliseconds`.
    pub latency: Option<PathBuf>,
    /// Whether EDNS Client Subnet counts.
    pub client_subnet: ClientSubnet,
    /// `[[geo.network]]`, by [`super::NetworkId`].
    pub networks: Vec<Network>,
}

/// What is done with EDNS Client Subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientSubnet {
    /// It is the client's place.
    #[default]
    Honour,
    /// It is left unread and no scope is returned; the source address is the client's place.
    Ignore,
}

/// A custom network: beats the databases; the longest prefix wins.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Its name, which rules use.
    pub name: String,
    /// Its prefixes: address with host bits zero, prefix length.
    pub cidr: Vec<(IpAddr, u8)>,
    /// Where it counts as being.
    pub geo: Option<GeoCode>,
    /// Where it is on the globe.
    pub location: Option<Location>,
}

/// `[zone."…"]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneSettings {
    /// The apex, absolute, lower case, in presentation form.
    pub name: String,
    /// The master file, when it is not `zones_dir`'s.
    pub file: Option<PathBuf>,
}

/// `[tls.*]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsFiles {
    /// Its key in the configuration.
    pub name: String,
    /// PEM: the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM: its key.
    pub key_file: PathBuf,
}

/// `[admin]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdminSettings {
    /// The Unix socket the CLI speaks to; file permissions guard it.
    pub socket: Option<PathBuf>,
    /// Where the API is on HTTP, for dashboards and metrics.
    pub listen: Option<SocketAddr>,
    /// Which `[tls.*]` that listener presents: an index into `Model::tls`; none: plain HTTP, on loopback alone.
    pub tls: Option<usize>,
    /// Who may do what there.
    pub tokens_file: Option<PathBuf>,
    /// What is in that file.
    pub tokens: Vec<Token>,
    /// Names by which browsers and tools reach the listener, beside its address and `localhost`; lower case.
    pub hosts: Vec<String>,
}

/// Somebody who may use the admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is; what they order is said to be by this name.
    pub name: String,
    /// SHA-256 of the secret: whoever reads the file cannot use it.
    pub sha256: [u8; 32],
    /// What they may do.
    pub role: Role,
}

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Read,
    /// Look and order.
    Operate,
}
