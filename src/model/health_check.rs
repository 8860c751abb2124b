//! How an endpoint is probed and how probes become a belief.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `[health_check.*]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    /// Its key in the configuration.
    pub name: String,
    /// What is done to the endpoint.
    pub kind: CheckKind,
    /// The port, when it is not the endpoint's own.
    pub port: Option<u16>,
    /// Time between probes when the standing is settled (twice that when it is settled down).
    pub interval: Duration,
    /// Time between probes while the standing is in doubt or unknown; at most `interval`.
    pub fast: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Failures in a row before down; at least 1.
    pub fall: u8,
    /// Passes in a row before up; at least 1.
    pub rise: u8,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// Nothing: the endpoint counts as up.
    None,
    /// A TCP connection that is accepted.
    Tcp,
    /// A TCP connection and a whole TLS handshake on it, nothing asked after.
    Tls(TlsCheck),
    /// A DNS query.
    Dns(DnsCheck),
    /// A call of `grpc.health.v1.Health/Check`.
    Grpc {
        /// Over TLS with these settings; none: over cleartext HTTP/2.
        tls: Option<TlsTrust>,
        /// The service asked about; empty for the server as a whole.
        service: String,
        /// The `:authority` and SNI; the endpoint's address when absent.
        host: Option<String>,
    },
    /// An HTTP request over TCP, or over TLS when `tls` is set.
    Http {
        /// `https`: TLS with SNI `host`; the certificate is verified unless `verify` is off.
        tls: bool,
        /// Whether the certificate must chain to a trusted root and carry the name.
        verify: bool,
        /// A PEM file of the roots to trust instead of the system's.
        ca_file: Option<PathBuf>,
        /// `GET`, `HEAD` or `OPTIONS`.
        method: String,
        /// The path with its query, starting with `/`.
        path: String,
        /// The `Host` header and SNI; the endpoint's address when absent.
        host: Option<String>,
        /// The status codes that pass; any one range suffices.
        status: Vec<StatusRange>,
        /// What the body must hold.
        body: Option<Body>,
    },
}

impl CheckKind {
    /// The port that such a service has by custom; none where it has no port of its own.
    pub fn default_port(&self) -> Option<u16> {
        match self {
            CheckKind::None | CheckKind::Http { tls: false, .. } => Some(80),
            CheckKind::Http { tls: true, .. } | CheckKind::Tls(_) | CheckKind::Grpc { tls: Some(_), .. } => Some(443),
            CheckKind::Dns(_) => Some(53),
            CheckKind::Tcp | CheckKind::Grpc { tls: None, .. } => None,
        }
    }
}

/// What a certificate must be good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsTrust {
    /// Whether the certificate must chain to a trusted root and carry the name.
    pub verify: bool,
    /// A PEM file of the roots to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// `type = "tls"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsCheck {
    /// What the certificate must be good for.
    pub trust: TlsTrust,
    /// SNI and the name that the certificate must carry; the endpoint's address when absent.
    pub host: Option<String>,
    /// The protocols offered by ALPN (RFC 7301); the server must take one when any is offered.
    pub alpn: Vec<String>,
    /// How much longer the server's own certificate must be valid.
    pub valid_for: Option<Duration>,
}

/// `type = "dns"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsCheck {
    /// Over TCP at once; else over UDP, and over TCP where an answer does not fit.
    pub tcp: bool,
    /// The name asked for, in wire form (RFC 1035 section 3.1).
    pub name: Box<[u8]>,
    /// The type asked for.
    pub qtype: u16,
    /// The response codes that pass.
    pub rcodes: Vec<u8>,
    /// What one of the records of the answer must hold.
    pub answer: Option<DnsAnswer>,
}

/// What one of the records of an answer must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DnsAnswer {
    /// An A or AAAA record with this address.
    Address(IpAddr),
    /// This text somewhere in its data as master files write it, in whatever case.
    Contains(String),
}

/// Status codes from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusRange {
    /// The lowest that passes.
    pub first: u16,
    /// The highest that passes.
    pub last: u16,
}

/// What must be found in the first 64 KiB of a probe's response body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Body {
    /// This text, anywhere.
    Contains(String),
}
