//! `[health_check.*]` as they were written.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::fields::Words;
use crate::config::fields::wrong_type;
use crate::config::forms;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::model::StatusRange;

/// What a probe does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    None,
    /// A TCP connection.
    Tcp,
    /// An HTTP request.
    Http,
    /// An HTTP request over TLS.
    Https,
}

/// `[health_check.*]`.
#[derive(Debug)]
pub struct HealthCheck {
    /// Where it begins.
    pub span: Span,
    /// What it does.
    pub kind: Option<Written<Kind>>,
    /// The port.
    pub port: Option<Written<u64>>,
    /// Whether an interval was written, readable or not.
    pub has_interval: bool,
    /// Time between probes when settled.
    pub interval: Option<Written<Duration>>,
    /// Time between probes in doubt.
    pub fast: Option<Written<Duration>>,
    /// How long a probe may take.
    pub timeout: Option<Written<Duration>>,
    /// Failures in a row before down.
    pub fall: Option<Written<u64>>,
    /// Passes in a row before up.
    pub rise: Option<Written<u64>>,
    /// The request's method.
    pub method: Option<Written<&'static str>>,
    /// The request's path.
    pub path: Option<Written<String>>,
    /// The Host header and SNI.
    pub host: Option<Written<String>>,
    /// The status codes that pass.
    pub status: Option<Written<Vec<StatusRange>>>,
    /// What the body must hold.
    pub body: Option<Written<String>>,
    /// Whether the certificate is verified.
    pub verify: Option<Written<bool>>,
    /// The roots to trust.
    pub ca_file: Option<Written<PathBuf>>,
}

const KINDS: Words<Kind> = Words {
    words: &[("http", Kind::Http), ("https", Kind::Https), ("tcp", Kind::Tcp), ("none", Kind::None)],
    later: &["tls", "dns", "grpc"],
};
const METHODS: Words<&str> = Words { words: &[("GET", "GET"), ("HEAD", "HEAD"), ("OPTIONS", "OPTIONS")], later: &[] };

/// Probes closer together than this are an attack on the endpoint.
const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Probes further apart say nothing about now.
const INTERVAL_MAX: Duration = Duration::from_secs(86_400);
/// `rise + fall` must fit the belief's counter; a hundred of each is already slower than anyone waits.
const IN_A_ROW_MAX: u64 = 100;

impl HealthCheck {
    /// Reads one health check.
    pub fn read(reports: &mut Reports<'_>, mut fields: Fields) -> HealthCheck {
        fields.require("type", "\"https\"");
        let span = fields.span;
        let kind = fields.word(reports, "type", &KINDS);
        if let Some(kind) = &kind {
            misplaced(reports, &mut fields, kind.value);
        }
        let millis = Duration::from_millis(1);
        let has_interval = fields.has("interval");
        let (status, body) = expect(reports, &mut fields);
        let check = HealthCheck {
            span,
            kind,
            has_interval,
            port: fields.integer(reports, "port", 1..=65535),
            interval: fields.duration(reports, "interval", INTERVAL_MIN..=INTERVAL_MAX),
            fast: fields.duration(reports, "fast", INTERVAL_MIN..=INTERVAL_MAX),
            timeout: fields.duration(reports, "timeout", millis..=INTERVAL_MAX),
            fall: fields.integer(reports, "fall", 1..=IN_A_ROW_MAX),
            rise: fields.integer(reports, "rise", 1..=IN_A_ROW_MAX),
            method: fields.word(reports, "method", &METHODS),
            path: fields.form(reports, "path", &forms::HTTP_PATH),
            host: fields.form(reports, "host", &forms::HTTP_HOST),
            status,
            body,
            verify: fields.flag(reports, "verify"),
            ca_file: fields.path(reports, "ca_file"),
        };
        fields.finish(reports, &[]);
        check
    }
}

const HTTP_KEYS: [&str; 4] = ["method", "path", "host", "expect"];
const TLS_KEYS: [&str; 2] = ["verify", "ca_file"];

fn misplaced(reports: &mut Reports<'_>, fields: &mut Fields, kind: Kind) {
    match kind {
        Kind::Https => {}
        Kind::Http => {
            fields.misplaced(reports, &TLS_KEYS, "for `type = \"http\"`", "use `type = \"https\"`, or leave it out")
        }
        Kind::Tcp => {
            fields.misplaced(reports, &HTTP_KEYS, "for `type = \"tcp\"`", "use `type = \"http\"`, or leave it out");
            fields.misplaced(reports, &TLS_KEYS, "for `type = \"tcp\"`", "use `type = \"https\"`, or leave it out");
        }
        Kind::None => {
            let all = ["port", "interval", "fast", "timeout", "fall", "rise"];
            let why = "for `type = \"none\"`, which probes nothing";
            for keys in [&all[..], &HTTP_KEYS, &TLS_KEYS] {
                fields.misplaced(reports, keys, why, "leave it out");
            }
        }
    }
}

fn expect(
    reports: &mut Reports<'_>,
    fields: &mut Fields,
) -> (Option<Written<Vec<StatusRange>>>, Option<Written<String>>) {
    let takes = "a table, as in `{ status = \"200-399\", body = \"ok\" }`";
    let Some(mut expect) = fields.table(reports, "expect", takes) else { return (None, None) };
    let status = expect.any("status").and_then(|value| read_status(reports, value));
    let body = expect.form(reports, "body", &forms::TEXT);
    expect.finish(reports, &[]);
    (status, body)
}

/// A text, or one code as an integer, which everyone tries first.
fn read_status(reports: &mut Reports<'_>, value: Written<Value>) -> Option<Written<Vec<StatusRange>>> {
    let text = match &value.value {
        Value::Text(text) => text.clone(),
        Value::Integer(code) => code.to_string(),
        other => {
            wrong_type(reports, value.span, "`status`", "codes, as in `\"200-399\"` or `\"200,204\"`", other, None);
            return None;
        }
    };
    match (forms::STATUS.read)(&text) {
        Ok(ranges) => Some(Written { value: ranges, span: value.span }),
        Err(wrong) => {
            let fact = format!("`{}` is not {}", text.escape_debug(), forms::STATUS.what);
            reports.error(forms::STATUS.code, value.span, fact).label(wrong.why).help(wrong.help);
            None
        }
    }
}
