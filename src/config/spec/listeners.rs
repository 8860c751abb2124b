//! `[[listener]]` and `[proxy]` as they were written. Routes of HTTP are in `routes`, what L4 alone has in `flows`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use crate::config::codes;
use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::fields::List;
use crate::config::fields::Words;
use crate::config::fields::read_form;
use crate::config::fields::read_list;
use crate::config::fields::wrong_type;
use crate::config::forms;
use crate::config::forms::Prefix;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::flows::Flows;
use crate::config::spec::http_forms::HEADER;
use crate::config::spec::http_forms::UPGRADE;
use crate::config::spec::quantities::bytes;
use crate::config::spec::routes::Route;
use crate::model::EncodedSlash;
use crate::model::ProxyProtocol;
use crate::model::Underscores;

/// One `[[listener]]`.
#[derive(Debug)]
pub struct Listener {
    /// Where it begins.
    pub span: Span,
    /// What it is called.
    pub name: Option<Written<String>>,
    /// The name of its region.
    pub region: Option<Written<String>>,
    /// Its socket.
    pub bind: Option<Written<SocketAddr>>,
    /// What is spoken.
    pub protocol: Option<Written<ProtocolWord>>,
    /// Whether `tls` was written at all, readable or not.
    pub has_tls: bool,
    /// Names of `[tls.*]`, the default first.
    pub tls: Option<List<String>>,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Option<List<Prefix>>,
    /// Who speaks PROXY protocol to us.
    pub accept_from: Option<List<Prefix>>,
    /// Which PROXY protocol we speak to endpoints.
    pub send: Option<Written<ProxyProtocol>>,
    /// How much at once.
    pub limits: Limits,
    /// How long connections may stay when we leave.
    pub drain_timeout: Option<Written<Duration>>,
    /// Whether clients with an old answer are sent on.
    pub misdirected: Option<Written<bool>>,
    /// The largest body.
    pub max_body: Option<Written<u64>>,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// What `%2F` is.
    pub encoded_slash: Option<Written<EncodedSlash>>,
    /// Whether `//` is `/`.
    pub merge_slashes: Option<Written<bool>>,
    /// What becomes of names with `_`.
    pub underscores: Option<Written<Underscores>>,
    /// What may be upgraded to.
    pub upgrades: Option<List<String>>,
    /// Which trailers pass.
    pub trailers: Option<List<HeaderName>>,
    /// `routes` of HTTP.
    pub routes: Option<List<Route>>,
    /// What a listener at L4 has instead of all that.
    pub flows: Flows,
}

/// What is spoken at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolWord {
    /// Plaintext.
    Http,
    /// Over TLS.
    Https,
    /// Whatever goes over TCP.
    Tcp,
    /// Whatever goes over UDP.
    Udp,
    /// TLS that the endpoints end.
    TlsPassthrough,
}

impl ProtocolWord {
    /// As it is written.
    pub fn word(self) -> &'static str {
        PROTOCOLS.words.iter().find(|(_, word)| *word == self).map_or("", |(text, _)| text)
    }

    /// Whether requests are read at all.
    pub fn is_http(self) -> bool {
        matches!(self, ProtocolWord::Http | ProtocolWord::Https)
    }
}

/// How much at once.
#[derive(Debug, Default)]
pub struct Limits {
    /// Connections of clients.
    pub max_connections: Option<Written<u64>>,
    /// Requests in hand.
    pub max_requests: Option<Written<u64>>,
    /// Requests that wait.
    pub max_queue: Option<Written<u64>>,
    /// How long they wait.
    pub queue_timeout: Option<Written<Duration>>,
    /// Requests a second from one client.
    pub client_rate: Option<Written<u64>>,
}

/// `timeouts`.
#[derive(Debug, Default)]
pub struct Timeouts {
    /// For the TLS handshake.
    pub handshake: Option<Written<Duration>>,
    /// For a request's head.
    pub header: Option<Written<Duration>>,
    /// Without progress of a body.
    pub body: Option<Written<Duration>>,
    /// Between two requests.
    pub idle: Option<Written<Duration>>,
    /// Without a byte after an upgrade.
    pub upgraded_idle: Option<Written<Duration>>,
    /// Of a connection as a whole.
    pub age: Option<Written<Duration>>,
    /// Of a flow, for the client's first message.
    pub hello: Option<Written<Duration>>,
    /// Of a flow, without a byte once one side has said its last.
    pub half_closed: Option<Written<Duration>>,
}

const PROTOCOLS: Words<ProtocolWord> = Words {
    words: &[
        ("http", ProtocolWord::Http),
        ("https", ProtocolWord::Https),
        ("tcp", ProtocolWord::Tcp),
        ("udp", ProtocolWord::Udp),
        ("tls-passthrough", ProtocolWord::TlsPassthrough),
    ],
};
const VERSIONS: Words<ProxyProtocol> = Words { words: &[("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)] };
const SLASHES: Words<EncodedSlash> = Words {
    words: &[("keep", EncodedSlash::Keep), ("decode", EncodedSlash::Decode), ("refuse", EncodedSlash::Refuse)],
};
const UNDERSCORES: Words<Underscores> =
    Words { words: &[("refuse", Underscores::Refuse), ("drop", Underscores::Drop), ("keep", Underscores::Keep)] };

/// What becomes of a client that came with an old answer and cannot be served; whether it is sent on.
const MISDIRECTED: Words<bool> = Words { words: &[("forward", true), ("serve", false)] };

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// File descriptors and memory are the real bounds; these catch typing errors.
const AT_ONCE_MAX: u64 = 10_000_000;
/// More threads than this serve no more requests on any machine there is.
const WORKERS_MAX: u64 = 1_024;

impl Listener {
    /// Reads one listener.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Listener {
        fields.require("name", "\"edge\"");
        fields.require("region", "\"REGION\"");
        fields.require("bind", "\"0.0.0.0:443\"");
        fields.require("protocol", "\"https\"");
        let span = fields.span;
        let name = name(reports, &mut fields, "a listener");
        if let Some(name) = &name {
            fields.what = format!("listener `{}`", name.value);
        }
        let has_protocol = fields.has("protocol");
        let region = fields.name(reports, "region");
        let bind = fields.form(reports, "bind", &forms::BIND);
        let protocol = fields.word(reports, "protocol", &PROTOCOLS);
        let word = protocol.as_ref().map(|w| w.value);
        let flows = match word {
            Some(word) if !word.is_http() => Flows::read(reports, &mut fields, word),
            // Of a protocol that cannot be read only that is told.
            None if has_protocol => Flows::left_out(&mut fields),
            _ => {
                fields.require("routes", "[{ pool = \"POOL\" }]");
                let help = "write `routes = [{ pool = \"POOL\" }]`";
                fields.knows(&["pool"]);
                fields.misplaced(reports, &["pool", "pools"], "for `http` and `https`, whose routes name pools", help);
                Flows::default()
            }
        };
        let has_tls = fields.has("tls");
        let tls = certificates(reports, &mut fields);
        let trusted_proxies = fields.forms(reports, "trusted_proxies", &forms::PREFIX);
        let (accept_from, send) = proxy_protocol(reports, &mut fields);
        let limits = Limits::read(reports, &mut fields);
        let drain_timeout = fields.duration(reports, "drain_timeout", Duration::ZERO..=DAY);
        let misdirected = fields.word(reports, "misdirected", &MISDIRECTED);
        let max_body = bytes(reports, &mut fields, "max_body");
        let timeouts = Timeouts::read(reports, &mut fields, word);
        let (encoded_slash, merge_slashes) = paths(reports, &mut fields);
        let listener = Listener {
            span,
            name,
            region,
            bind,
            protocol,
            has_tls,
            tls,
            trusted_proxies,
            accept_from,
            send,
            limits,
            drain_timeout,
            misdirected,
            max_body,
            timeouts,
            encoded_slash,
            merge_slashes,
            underscores: fields.word(reports, "underscores", &UNDERSCORES),
            upgrades: fields.forms(reports, "upgrades", &UPGRADE),
            trailers: fields.forms(reports, "trailers", &HEADER),
            routes: routes(reports, &mut fields),
            flows,
        };
        fields.finish(reports);
        listener
    }

    /// What it is called in problems.
    pub fn called(&self) -> String {
        self.name.as_ref().map_or_else(|| "a listener".to_owned(), |name| format!("listener `{}`", name.value))
    }
}

/// A name of the operator's choice, of what is no section of its own.
pub fn name(reports: &mut Reports<'_>, fields: &mut Fields, of: &str) -> Option<Written<String>> {
    let name = fields.name(reports, "name")?;
    if let Err(wrong) = forms::given_name(&name.value) {
        let fact = format!("`{}` cannot be the name of {of}", name.value.escape_debug());
        reports.error(codes::NAME, name.span, fact).label(wrong.why).help(wrong.help);
    }
    Some(name)
}

/// One name, or several with the default first.
fn certificates(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<List<String>> {
    let value = fields.any("tls")?;
    let span = value.span;
    match value.value {
        Value::Text(_) => {
            let name = read_form(reports, "`tls`", &forms::TEXT, value)?;
            Some(List { items: vec![name], span, complete: true })
        }
        Value::List(items) => {
            Some(read_list(span, items, |item| read_form(reports, "an item of `tls`", &forms::TEXT, item)))
        }
        other => {
            let takes = "the name of a certificate, or several, as in `[\"www\", \"api\"]`";
            wrong_type(reports, span, "`tls`", takes, &other, None);
            None
        }
    }
}

type FromAndTo = (Option<List<Prefix>>, Option<Written<ProxyProtocol>>);

fn proxy_protocol(reports: &mut Reports<'_>, fields: &mut Fields) -> FromAndTo {
    let takes = "a table, as in `{ accept_from = [\"10.0.0.0/8\"], send = \"v2\" }`";
    let Some(mut table) = fields.table(reports, "proxy_protocol", takes) else { return (None, None) };
    let both = (table.forms(reports, "accept_from", &forms::PREFIX), table.word(reports, "send", &VERSIONS));
    table.finish(reports);
    both
}

type PathKeys = (Option<Written<EncodedSlash>>, Option<Written<bool>>);

fn paths(reports: &mut Reports<'_>, fields: &mut Fields) -> PathKeys {
    let takes = "a table, as in `{ encoded_slash = \"keep\", merge_slashes = true }`";
    let Some(mut table) = fields.table(reports, "paths", takes) else { return (None, None) };
    let both = (table.word(reports, "encoded_slash", &SLASHES), table.flag(reports, "merge_slashes"));
    table.finish(reports);
    both
}

fn routes(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<List<Route>> {
    let list = fields.tables(reports, "routes", "a route", "{ host = \"*\", pool = \"POOL\" }")?;
    let items = list.items.into_iter();
    let items = items.map(|item| Written { span: item.span, value: Route::read(reports, item.value) }).collect();
    Some(List { items, span: list.span, complete: list.complete })
}

impl Limits {
    fn read(reports: &mut Reports<'_>, fields: &mut Fields) -> Limits {
        Limits {
            max_connections: fields.integer(reports, "max_connections", 1..=AT_ONCE_MAX),
            max_requests: fields.integer(reports, "max_requests", 1..=AT_ONCE_MAX),
            max_queue: fields.integer(reports, "max_queue", 0..=AT_ONCE_MAX),
            queue_timeout: fields.duration(reports, "queue_timeout", MILLISECOND..=HOUR),
            client_rate: fields.integer(reports, "client_rate", 1..=AT_ONCE_MAX),
        }
    }
}

impl Timeouts {
    fn read(reports: &mut Reports<'_>, fields: &mut Fields, protocol: Option<ProtocolWord>) -> Timeouts {
        const OF_REQUESTS: [&str; 5] = ["handshake", "header", "body", "upgraded_idle", "age"];
        let takes = "a table, as in `{ header = \"15s\", idle = \"60s\" }`";
        let Some(mut table) = fields.table(reports, "timeouts", takes) else { return Timeouts::default() };
        if let Some(protocol) = protocol {
            let others: &[&str] = match protocol {
                ProtocolWord::Http | ProtocolWord::Https => &["hello", "half_closed"],
                ProtocolWord::Udp => &["hello", "half_closed"],
                ProtocolWord::Tcp => &["hello"],
                ProtocolWord::TlsPassthrough => &[],
            };
            let why = format!("for `{}`", protocol.word());
            table.misplaced(reports, others, &why, "leave it out");
            if !protocol.is_http() {
                table.misplaced(reports, &OF_REQUESTS, &why, "leave it out");
            }
        }
        let timeouts = Timeouts {
            handshake: table.duration(reports, "handshake", MILLISECOND..=HOUR),
            header: table.duration(reports, "header", MILLISECOND..=HOUR),
            body: table.duration(reports, "body", MILLISECOND..=DAY),
            idle: table.duration(reports, "idle", MILLISECOND..=DAY * 7),
            upgraded_idle: table.duration(reports, "upgraded_idle", MILLISECOND..=DAY * 7),
            age: table.duration(reports, "age", MILLISECOND..=DAY * 7),
            hello: table.duration(reports, "hello", MILLISECOND..=HOUR),
            half_closed: table.duration(reports, "half_closed", MILLISECOND..=DAY * 7),
        };
        table.finish(reports);
        timeouts
    }
}

/// `[proxy]`.
#[derive(Debug, Default)]
pub struct Proxy {
    /// Threads; 0: one for each core.
    pub workers: Option<Written<u64>>,
    /// The secrets of sticky cookies.
    pub sticky_secret_file: Option<Written<PathBuf>>,
}

impl Proxy {
    /// Reads `[proxy]`.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> Proxy {
        let proxy = Proxy {
            workers: fields.integer(reports, "workers", 0..=WORKERS_MAX),
            sticky_secret_file: fields.path(reports, "sticky_secret_file"),
        };
        fields.finish(reports);
        proxy
    }
}
