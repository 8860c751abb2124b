//! `[server]`, `[zone.*]`, `[tls.*]` and `[admin]` as they were written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::fields::Fields;
use crate::config::fields::List;
use crate::config::forms;
use crate::config::forms::Prefix;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::dns::name::Name;

/// `[server]`.
#[derive(Debug, Default)]
pub struct Server {
    /// UDP and TCP sockets.
    pub listen: Option<List<SocketAddr>>,
    /// The directory of the zone files.
    pub zones_dir: Option<Written<PathBuf>>,
    /// The directory of what survives a restart.
    pub state_dir: Option<Written<PathBuf>>,
    /// Threads for UDP; 0: one for each core.
    pub udp_workers: Option<Written<u64>>,
    /// DNS over TLS sockets.
    pub dot: Option<List<SocketAddr>>,
    /// DNS over QUIC sockets.
    pub doq: Option<List<SocketAddr>>,
    /// DNS over HTTPS sockets.
    pub doh: Option<List<SocketAddr>>,
    /// The name of a `[tls.*]`.
    pub tls: Option<Written<String>>,
    /// Bytes.
    pub udp_payload_max: Option<Written<u64>>,
    /// The answer to NSID and `id.server`.
    pub nsid: Option<Written<String>>,
    /// The answer to `version.bind`.
    pub version: Option<Written<String>>,
    /// How long the first round of probes may hold back readiness.
    pub start_timeout: Option<Written<Duration>>,
    /// Whether nearly all checks failing at once make the server suspect itself.
    pub suspect_itself: Option<Written<bool>>,
    /// `stop_timeout`.
    pub stop_timeout: Option<Written<Duration>>,
    /// Over all clients.
    pub tcp_connections_max: Option<Written<u64>>,
    /// From one address.
    pub tcp_connections_per_client_max: Option<Written<u64>>,
    /// How long a connection may be idle.
    pub tcp_idle: Option<Written<Duration>>,
    /// Who is believed when it speaks PROXY protocol.
    pub proxy_protocol_from: Option<List<Prefix>>,
    /// The secrets of server cookies.
    pub cookie_secret_file: Option<Written<PathBuf>>,
    /// Who may ask for a zone transfer.
    pub transfer_to: Option<List<Prefix>>,
}

/// More threads than this answer no more queries on any machine there is.
const UDP_WORKERS_MAX: u64 = 1024;
/// File descriptors are the real bound; this one catches typing errors.
const TCP_CONNECTIONS_MAX: u64 = 1_000_000;

impl Server {
    /// Reads `[server]`.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Server {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        let server = Server {
            listen: fields.forms(reports, "listen", &forms::SOCKET),
            zones_dir: fields.path(reports, "zones_dir"),
            state_dir: fields.path(reports, "state_dir"),
            udp_workers: fields.integer(reports, "udp_workers", 0..=UDP_WORKERS_MAX),
            dot: fields.forms(reports, "dot", &forms::SOCKET),
            doq: fields.forms(reports, "doq", &forms::SOCKET),
            doh: fields.forms(reports, "doh", &forms::SOCKET),
            tls: fields.name(reports, "tls"),
            udp_payload_max: fields.integer(reports, "udp_payload_max", 512..=4096),
            nsid: fields.form(reports, "nsid", &forms::SHORT_TEXT),
            version: fields.form(reports, "version", &forms::SHORT_TEXT),
            start_timeout: fields.duration(reports, "start_timeout", Duration::ZERO..=hour),
            suspect_itself: fields.flag(reports, "suspect_itself"),
            stop_timeout: fields.duration(reports, "stop_timeout", Duration::ZERO..=hour),
            tcp_connections_max: fields.integer(reports, "tcp_connections_max", 1..=TCP_CONNECTIONS_MAX),
            tcp_connections_per_client_max: fields.integer(
                reports,
                "tcp_connections_per_client_max",
                1..=TCP_CONNECTIONS_MAX,
            ),
            tcp_idle: fields.duration(reports, "tcp_idle", second..=hour),
            proxy_protocol_from: fields.forms(reports, "proxy_protocol_from", &forms::PREFIX),
            cookie_secret_file: fields.path(reports, "cookie_secret_file"),
            transfer_to: fields.forms(reports, "transfer_to", &forms::PREFIX),
        };
        fields.finish(reports);
        server
    }
}

/// `[zone.*]`.
#[derive(Debug)]
pub struct Zone {
    /// The apex.
    pub name: Written<Name>,
    /// The master file.
    pub file: Option<Written<PathBuf>>,
}

impl Zone {
    /// Reads one zone.
    pub fn read(reports: &mut Reports<'_>, name: Written<Name>, mut fields: Fields) -> Zone {
        let file = fields.path(reports, "file");
        fields.finish(reports);
        Zone { name, file }
    }
}

/// `[tls.*]`.
#[derive(Debug)]
pub struct Tls {
    /// Where it begins.
    pub span: Span,
    /// PEM.
    pub certificate: Option<Written<PathBuf>>,
    /// PEM.
    pub key_file: Option<Written<PathBuf>>,
}

impl Tls {
    /// Reads one certificate.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Tls {
        fields.require("certificate", "\"tls/www.pem\"");
        fields.require("key_file", "\"tls/www.key\"");
        let span = fields.span;
        let tls =
            Tls { span, certificate: fields.path(reports, "certificate"), key_file: fields.path(reports, "key_file") };
        fields.finish(reports);
        tls
    }
}

/// `[admin]`.
#[derive(Debug, Default)]
pub struct Admin {
    /// The Unix socket.
    pub socket: Option<Written<PathBuf>>,
    /// The HTTP listener.
    pub listen: Option<Written<SocketAddr>>,
    /// The name of a `[tls.*]`.
    pub tls: Option<Written<String>>,
    /// Who may do what.
    pub tokens_file: Option<Written<PathBuf>>,
    /// Names by which the listener is reached.
    pub hosts: Option<List<String>>,
}

impl Admin {
    /// Reads `[admin]`.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Admin {
        if !fields.has("listen") {
            let help = "add `listen = \"127.0.0.1:8853\"`, or leave it out: the socket's guard is its file permissions";
            fields.misplaced(reports, &["tls", "tokens_file", "hosts"], "without `listen` in [admin]", help);
        }
        let admin = Admin {
            socket: fields.path(reports, "socket"),
            listen: fields.form(reports, "listen", &forms::SOCKET),
            tls: fields.name(reports, "tls"),
            tokens_file: fields.path(reports, "tokens_file"),
            hosts: fields.forms(reports, "hosts", &forms::HTTP_HOST),
        };
        fields.finish(reports);
        admin
    }
}
