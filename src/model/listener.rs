//! Sockets of the regional tier: what is spoken there, and how much of it at once.

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::HostMatch;
use super::PoolId;
use super::RegionId;
use super::route::Route;

/// `[[listener]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// What metrics, overrides and `explain` call it.
    pub name: String,
    /// Where it stands.
    pub region: RegionId,
    /// Its socket.
    pub bind: SocketAddr,
    /// What is spoken there, and what becomes of it.
    pub protocol: Protocol,
    /// PROXY protocol before anything else, from these peers; none when empty.
    pub proxy_protocol_from: Vec<(IpAddr, u8)>,
    /// PROXY protocol to the endpoints.
    pub proxy_protocol_to: Option<ProxyProtocol>,
    /// How much at once.
    pub limits: Limits,
    /// How long connections may stay when we leave.
    pub drain_timeout: Duration,
    /// Whether clients that it cannot serve are sent on to the region to which DNS would send them now.
    pub sends_on: bool,
}

/// What is spoken at a listener.
#[derive(Debug, Clone, PartialEq)]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2.
    Http(Box<Http>),
    /// TCP, byte for byte.
    Tcp(Forward),
    /// UDP, by flow.
    Udp(Forward),
    /// TLS that is not ended here: the server's name chooses the pool.
    TlsPassthrough(Box<Passthrough>),
}

/// An `http` or `https` listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// `https`: which `[tls.*]` it presents, by server name; indexes into `Model::tls`. Plaintext when empty.
    pub tls: Vec<usize>,
    /// In the order they were written.
    pub routes: Vec<Route>,
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted_proxies: Vec<(IpAddr, u8)>,
    /// How paths are normalised.
    pub paths: PathRules,
    /// What becomes of header names with `_`.
    pub underscores: Underscores,
    /// What `Upgrade` may ask for, lower case; `websocket` by default.
    pub upgrades: Vec<String>,
    /// Trailers of requests that are passed on when the client declared them, beside `grpc-*`.
    pub trailers: Vec<HeaderName>,
    /// A longer request body is refused with 413; no bound when absent.
    pub body_bytes_max: Option<u64>,
    /// Deadlines of its connections.
    pub timeouts: HttpTimeouts,
}

/// Deadlines of the clients' connections of an HTTP listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For a request's head, from its first byte; on a fresh connection from its begin.
    pub header: Duration,
    /// Without progress of a body, in either direction.
    pub body: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// Without a byte in either direction once a connection was upgraded.
    pub upgraded_idle: Duration,
    /// A connection older than this is told to end with its next response; no bound when absent.
    pub age: Option<Duration>,
}

impl Default for HttpTimeouts {
    fn default() -> Self {
        HttpTimeouts {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(15),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            upgraded_idle: Duration::from_secs(3_600),
            age: None,
        }
    }
}

/// `[proxy]`: what all listeners share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProxySettings {
    /// Threads that serve listeners; 0: one for each core.
    pub workers: usize,
    /// The secrets of sticky cookies, shared between nodes; without it each process draws one.
    pub sticky_secret_file: Option<PathBuf>,
    /// What is in that file, or was drawn.
    pub sticky_secrets: Option<StickySecrets>,
}

/// Keys of sticky cookies.
#[derive(Clone, PartialEq, Eq)]
pub struct StickySecrets {
    /// Makes values.
    pub current: Vec<u8>,
    /// Is still believed while nodes change over.
    pub previous: Option<Vec<u8>>,
}

/// Secrets are not shown, wherever a configuration is.
impl fmt::Debug for StickySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StickySecrets(..)")
    }
}

/// Where a `tcp` or `udp` listener sends its flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// The pool.
    pub pool: PoolId,
    /// Deadlines of its flows.
    pub timeouts: FlowTimeouts,
}

/// A `tls-passthrough` listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passthrough {
    /// Which pool for which server name; an exact name before one under a wildcard, the longest of those first, `*` last.
    pub routes: Vec<(HostMatch, PoolId)>,
    /// Deadlines of its flows.
    pub timeouts: FlowTimeouts,
}

/// Deadlines of what an L4 listener carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowTimeouts {
    /// `tls-passthrough`: for the client's first message.
    pub hello: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
    /// The same once one side has said its last.
    pub half_closed: Duration,
}

impl FlowTimeouts {
    /// Of `tcp` and `tls-passthrough`. Idle as long as AWS's network load balancer has it, which is what people set their
    /// keep-alives by; half-closed as long as Linux waits itself (`tcp_fin_timeout`).
    pub const TCP: FlowTimeouts = FlowTimeouts {
        hello: Duration::from_secs(10),
        idle: Duration::from_secs(350),
        half_closed: Duration::from_secs(60),
    };
    /// Of `udp`: what home routers and firewalls keep a flow for, or longer.
    pub const UDP: FlowTimeouts = FlowTimeouts { idle: Duration::from_secs(60), ..FlowTimeouts::TCP };
}

/// Versions of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// How paths are normalised, once, before they are routed and forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathRules {
    /// What `%2F` is.
    pub encoded_slash: EncodedSlash,
    /// Whether `//` is `/`.
    pub merge_slashes: bool,
}

impl Default for PathRules {
    fn default() -> Self {
        PathRules { encoded_slash: EncodedSlash::Keep, merge_slashes: true }
    }
}

/// What becomes of header names with `_`: a CGI program reads `x_real_ip` as `X-Real-IP`, so a client could forge what we set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Underscores {
    /// The request is refused.
    #[default]
    Refuse,
    /// The headers are left out (nginx).
    Drop,
    /// They are passed on: object stores keep metadata under such names.
    Keep,
}

/// What an escaped slash is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EncodedSlash {
    /// A character of its segment, not a separator; forwarded escaped.
    #[default]
    Keep,
    /// A separator.
    Decode,
    /// Not accepted: 400.
    Refuse,
}

/// How much at once, over all cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections of clients; flows of a `udp` listener.
    pub connections_max: u32,
    /// Requests in hand.
    pub requests_max: u32,
    /// Requests that wait for an endpoint; more get 503 at once.
    pub queue_max: u32,
    /// How long one waits there before its 503.
    pub queue_timeout: Duration,
    /// Requests a second from one client address, at L4 new flows; no bound when absent.
    pub client_rate: Option<u32>,
}

impl Listener {
    /// The pools that an L4 listener names; none of an HTTP listener, whose routes do.
    pub fn flow_pools(&self) -> Vec<PoolId> {
        match &self.protocol {
            Protocol::Http(_) => Vec::new(),
            Protocol::Tcp(forward) | Protocol::Udp(forward) => vec![forward.pool],
            Protocol::TlsPassthrough(through) => through.routes.iter().map(|(_, pool)| *pool).collect(),
        }
    }

    /// The word of the configuration.
    pub fn protocol_word(&self) -> &'static str {
        match &self.protocol {
            Protocol::Http(http) if http.tls.is_empty() => "http",
            Protocol::Http(_) => "https",
            Protocol::Tcp(_) => "tcp",
            Protocol::Udp(_) => "udp",
            Protocol::TlsPassthrough(_) => "tls-passthrough",
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 50_000,
            requests_max: 50_000,
            queue_max: 1_024,
            queue_timeout: Duration::from_secs(5),
            client_rate: None,
        }
    }
}
