//! The keys of `[pool.*]` that only proxies read, as they were written. DNS knows none of them.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::codes;
use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::fields::Words;
use crate::config::fields::into_table;
use crate::config::fields::wrong_type;
use crate::config::forms;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::http_forms::read_keyed_on;
use crate::config::spec::quantities::percent;
use crate::model::KeyedOn;
use crate::model::Speaks;

/// How proxies treat a pool.
#[derive(Debug)]
pub struct Upstream {
    /// The first of these keys that is there, for whoever finds that they have no effect.
    pub first: Option<(&'static str, Span)>,
    /// What is spoken to the endpoints.
    pub protocol: Option<Written<Speaks>>,
    /// TLS to the endpoints; `tls = false` is the same as none.
    pub tls: Option<Written<Tls>>,
    /// What hashed ways of choosing go by.
    pub hash_on: Option<Written<KeyedOn>>,
    /// Per cent of its share that an endpoint carries at most.
    pub bounded_load: Option<Written<u32>>,
    /// How long an endpoint that comes back grows.
    pub slow_start: Option<Written<Duration>>,
    /// Fewer per cent up than this: balance over all.
    pub panic: Option<Written<u32>>,
    /// For a connection to be made.
    pub connect_timeout: Option<Written<Duration>>,
    /// Without requests.
    pub idle_timeout: Option<Written<Duration>>,
    /// To one endpoint.
    pub max_connections: Option<Written<u64>>,
    /// At one endpoint.
    pub max_requests: Option<Written<u64>>,
    /// Per cent of the requests.
    pub retry_budget: Option<Written<u32>>,
    /// Whether flows end when their endpoint is found down.
    pub on_down: Option<Written<bool>>,
}

/// `tls`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// The name in the certificate.
    pub server_name: Option<String>,
    /// Whether it is verified.
    pub verify: bool,
    /// The roots to trust.
    pub ca_file: Option<Written<PathBuf>>,
}

const KEYS: [&str; 12] = [
    "protocol",
    "tls",
    "hash_on",
    "bounded_load",
    "slow_start",
    "panic",
    "connect_timeout",
    "idle_timeout",
    "max_connections",
    "max_requests",
    "retry_budget",
    "on_down",
];

const PROTOCOLS: Words<Speaks> =
    Words { words: &[("http1", Speaks::Http1), ("http2", Speaks::Http2), ("either", Speaks::Either)] };

const ON_DOWN: Words<bool> = Words { words: &[("keep", false), ("close", true)] };

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Nobody connects to one endpoint more often; the bound catches typing errors.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// An endpoint that may carry ten times its share is not bounded.
const BOUND_PERCENT_MAX: u32 = 1_000;

impl Upstream {
    /// Takes its keys out of those of a pool.
    pub fn read(reports: &mut Reports<'_>, fields: &mut Fields) -> Upstream {
        Upstream {
            first: fields.first_of(&KEYS),
            protocol: fields.word(reports, "protocol", &PROTOCOLS),
            tls: tls(reports, fields),
            hash_on: read_keyed_on(reports, fields, "hash_on"),
            bounded_load: percent(reports, fields, "bounded_load", 100..=BOUND_PERCENT_MAX),
            slow_start: fields.duration(reports, "slow_start", Duration::ZERO..=HOUR),
            panic: percent(reports, fields, "panic", 0..=100),
            connect_timeout: fields.duration(reports, "connect_timeout", MILLISECOND..=HOUR),
            idle_timeout: fields.duration(reports, "idle_timeout", MILLISECOND..=DAY),
            max_connections: fields.integer(reports, "max_connections", 1..=CONNECTIONS_MAX),
            max_requests: fields.integer(reports, "max_requests", 1..=CONNECTIONS_MAX),
            retry_budget: percent(reports, fields, "retry_budget", 0..=100),
            on_down: fields.word(reports, "on_down", &ON_DOWN),
        }
    }
}

/// `true`, or a table for what differs from the usual.
fn tls(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<Written<Tls>> {
    let value = fields.any("tls")?;
    let span = value.span;
    match value.value {
        Value::Flag(false) => None,
        Value::Flag(true) => Some(Written { value: Tls { server_name: None, verify: true, ca_file: None }, span }),
        Value::Table(_) => {
            let mut table = into_table(reports, "`tls`", "a table", value)?;
            let tls = Tls {
                server_name: table.form(reports, "server_name", &forms::HTTP_HOST).map(|w| w.value),
                verify: table.flag(reports, "verify").is_none_or(|w| w.value),
                ca_file: table.path(reports, "ca_file"),
            };
            if let (Some(ca_file), false) = (&tls.ca_file, tls.verify) {
                let help = "remove `verify = false`, or `ca_file`".to_owned();
                let fact = "`ca_file` has no meaning with `verify = false`";
                reports.error(codes::MISPLACED, ca_file.span, fact).help(help);
            }
            table.finish(reports);
            Some(Written { value: tls, span })
        }
        other => {
            let takes = "`true`, or a table, as in `{ server_name = \"app.internal\", ca_file = \"ca.pem\" }`";
            let help = matches!(other, Value::Text(_))
                .then(|| "a pool needs no certificate of its own; `[tls.*]` is for listeners".to_owned());
            wrong_type(reports, span, "`tls`", takes, &other, help);
            None
        }
    }
}
