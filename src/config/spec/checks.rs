//! `[health_check.*]` as they were written.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::fields::List;
use crate::config::fields::Words;
use crate::config::fields::wrong_type;
use crate::config::forms;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::check_forms::ALPN;
use crate::config::spec::check_forms::QTYPE;
use crate::config::spec::check_forms::RCODES;
use crate::config::spec::check_forms::SERVICE;
use crate::dns::name::Name;
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
    /// A TLS handshake.
    Tls,
    /// A DNS query.
    Dns,
    /// A call of gRPC's health service.
    Grpc,
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
    /// What is expected.
    pub expect: Expect,
    /// Whether the certificate is verified.
    pub verify: Option<Written<bool>>,
    /// The roots to trust.
    pub ca_file: Option<Written<PathBuf>>,
    /// The protocols offered in the handshake.
    pub alpn: Option<List<String>>,
    /// How much longer the certificate must be valid.
    pub valid_for: Option<Written<Duration>>,
    /// The name that DNS is asked for.
    pub name: Option<Written<Name>>,
    /// The type that DNS is asked for.
    pub qtype: Option<Written<u16>>,
    /// Whether DNS is asked over TCP.
    pub tcp: Option<Written<bool>>,
    /// The gRPC service.
    pub service: Option<Written<String>>,
    /// Whether gRPC is spoken over TLS.
    pub tls: Option<Written<bool>>,
}

/// `expect`.
#[derive(Debug, Default)]
pub struct Expect {
    /// The HTTP status codes that pass.
    pub status: Option<Written<Vec<StatusRange>>>,
    /// What the body must hold.
    pub body: Option<Written<String>>,
    /// The DNS response codes that pass.
    pub rcode: Option<Written<Vec<u8>>>,
    /// What a record of the DNS answer must hold.
    pub answer: Option<Written<String>>,
}

const KINDS: Words<Kind> = Words {
    words: &[
        ("http", Kind::Http),
        ("https", Kind::Https),
        ("tcp", Kind::Tcp),
        ("tls", Kind::Tls),
        ("dns", Kind::Dns),
        ("grpc", Kind::Grpc),
        ("none", Kind::None),
    ],
};
const PROTOCOLS: Words<bool> = Words { words: &[("udp", false), ("tcp", true)] };
const METHODS: Words<&str> = Words { words: &[("GET", "GET"), ("HEAD", "HEAD"), ("OPTIONS", "OPTIONS")] };

/// Probes closer together than this are an attack on the endpoint.
const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Probes further apart say nothing about now.
const INTERVAL_MAX: Duration = Duration::from_secs(86_400);
/// Certificates are valid for 398 days at most (CA/Browser Forum, ballot SC-31), private ones a few years.
const VALID_FOR_MAX: Duration = Duration::from_secs(3650 * 86_400);
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
        if kind.as_ref().is_some_and(|kind| kind.value == Kind::Dns) {
            fields.require("name", "\"example.com.\"");
        }
        let expect = Expect::read(reports, &mut fields, kind.as_ref().map(|kind| kind.value));
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
            expect,
            verify: fields.flag(reports, "verify"),
            ca_file: fields.path(reports, "ca_file"),
            alpn: fields.forms(reports, "alpn", &ALPN),
            valid_for: fields.duration(reports, "valid_for", millis..=VALID_FOR_MAX),
            name: fields.form(reports, "name", &forms::DOMAIN),
            qtype: fields.form(reports, "qtype", &QTYPE),
            tcp: fields.word(reports, "protocol", &PROTOCOLS),
            service: fields.form(reports, "service", &SERVICE),
            tls: fields.flag(reports, "tls"),
        };
        fields.finish(reports);
        check
    }
}

/// The keys that only some types have, and those types; the first is the one to send people to.
const KEYS: [(&str, &[Kind]); 13] = [
    ("method", &[Kind::Http, Kind::Https]),
    ("path", &[Kind::Http, Kind::Https]),
    ("host", &[Kind::Http, Kind::Https, Kind::Tls, Kind::Grpc]),
    ("expect", &[Kind::Http, Kind::Https, Kind::Dns]),
    ("verify", &[Kind::Https, Kind::Tls, Kind::Grpc]),
    ("ca_file", &[Kind::Https, Kind::Tls, Kind::Grpc]),
    ("alpn", &[Kind::Tls]),
    ("valid_for", &[Kind::Tls]),
    ("name", &[Kind::Dns]),
    ("qtype", &[Kind::Dns]),
    ("protocol", &[Kind::Dns]),
    ("service", &[Kind::Grpc]),
    ("tls", &[Kind::Grpc]),
];

fn word(kind: Kind) -> &'static str {
    KINDS.words.iter().find(|(_, of)| *of == kind).map_or("", |(word, _)| word)
}

fn misplaced(reports: &mut Reports<'_>, fields: &mut Fields, kind: Kind) {
    if kind == Kind::None {
        let why = "for `type = \"none\"`, which probes nothing";
        fields.misplaced(reports, &["port", "interval", "fast", "timeout", "fall", "rise"], why, "leave it out");
        fields.misplaced(reports, &KEYS.map(|(key, _)| key), why, "leave it out");
        return;
    }
    let why = format!("for `type = \"{}\"`", word(kind));
    for (key, kinds) in KEYS {
        if kinds.contains(&kind) {
            continue;
        }
        let help = match (key, kind) {
            ("tls", Kind::Https | Kind::Tls) => "leave it out: it speaks TLS as it is".to_owned(),
            ("tls", Kind::Http) => "use `type = \"https\"`, or leave it out".to_owned(),
            _ => format!("use `type = \"{}\"`, or leave it out", word(kinds[0])),
        };
        fields.misplaced(reports, &[key], &why, &help);
    }
}

impl Expect {
    fn read(reports: &mut Reports<'_>, fields: &mut Fields, kind: Option<Kind>) -> Expect {
        let takes = match kind {
            Some(Kind::Dns) => "a table, as in `{ rcode = \"NOERROR\", answer = \"192.0.2.10\" }`",
            _ => "a table, as in `{ status = \"200-399\", body = \"ok\" }`",
        };
        let Some(mut expect) = fields.table(reports, "expect", takes) else { return Expect::default() };
        let (of_others, help): (&[&'static str], _) = match kind {
            Some(Kind::Dns) => (&["status", "body"], "DNS has `rcode` and `answer`"),
            Some(_) => (&["rcode", "answer"], "HTTP has `status` and `body`"),
            None => (&[], ""),
        };
        let why = kind.map(|kind| format!("for `type = \"{}\"`", word(kind))).unwrap_or_default();
        expect.misplaced(reports, of_others, &why, help);
        let dns = kind == Some(Kind::Dns);
        // A key that is read is proposed to those who misspell one: only those of this type.
        let read = Expect {
            status: if dns { None } else { expect.any("status").and_then(|value| read_status(reports, value)) },
            body: if dns { None } else { expect.form(reports, "body", &forms::TEXT) },
            rcode: if dns || kind.is_none() { expect.form(reports, "rcode", &RCODES) } else { None },
            answer: if dns || kind.is_none() { expect.form(reports, "answer", &forms::TEXT) } else { None },
        };
        expect.finish(reports);
        read
    }
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
