//! How an endpoint is probed and how probes become a belief.

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
    /// An HTTP request over TCP, or over TLS when `tls` is set.
    Http {
        /// `https`: TLS with SNI `host`; the certificate is verified unless `verify` is off.
        tls: bool,
        /// Whether the certificate must chain to a trusted root and carry the name.
        verify: bool,
        /// A PEM file of the roots to trust instead of the system's.
        ca_file: Option<std::path::PathBuf>,
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
