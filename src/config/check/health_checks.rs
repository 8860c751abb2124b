//! `[health_check.*]`: defaults, and intervals that fit together.

use std::time::Duration;

use crate::config::codes;
use crate::config::forms::show_duration;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::config::spec::Spec;
use crate::config::spec::checks::HealthCheck as CheckSpec;
use crate::config::spec::checks::Kind;
use crate::dns::code::rtype;
use crate::dns::name::Name;
use crate::model::Body;
use crate::model::CheckKind;
use crate::model::DnsAnswer;
use crate::model::DnsCheck;
use crate::model::HealthCheck;
use crate::model::StatusRange;
use crate::model::TlsCheck;
use crate::model::TlsTrust;

const INTERVAL: Duration = Duration::from_secs(5);
const FAST: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
const FALL: u8 = 3;
const RISE: u8 = 2;
const NOERROR: u8 = 0;
/// Redirects count: an application that sends people to its login page is alive.
const STATUS: StatusRange = StatusRange { first: 200, last: 399 };

/// `[health_check.*]`, in the order they were written.
pub fn health_checks(reports: &mut Reports<'_>, spec: &Spec) -> Vec<HealthCheck> {
    spec.checks.iter().map(|check| health_check(reports, &check.name.value, &check.value)).collect()
}

fn health_check(reports: &mut Reports<'_>, name: &str, spec: &CheckSpec) -> HealthCheck {
    let interval = spec.interval.as_ref().map_or(INTERVAL, |w| w.value);
    let at_most_interval = |reports: &mut Reports<'_>, key, written: &Option<Written<Duration>>, default: Duration| {
        let Some(written) = written else { return default.min(interval) };
        let known = spec.interval.is_some() || !spec.has_interval;
        if known && written.value > interval {
            longer_than_interval(reports, key, written, interval);
        }
        written.value.min(interval)
    };
    let small = |written: &Option<Written<u64>>, default| {
        written.as_ref().map_or(default, |w| u8::try_from(w.value).expect("read in a range that fits"))
    };
    HealthCheck {
        name: name.to_owned(),
        kind: kind(reports, spec),
        port: spec.port.as_ref().map(|w| u16::try_from(w.value).expect("read in a range that fits")),
        interval,
        fast: at_most_interval(reports, "fast", &spec.fast, FAST),
        timeout: at_most_interval(reports, "timeout", &spec.timeout, TIMEOUT),
        fall: small(&spec.fall, FALL),
        rise: small(&spec.rise, RISE),
    }
}

fn longer_than_interval(reports: &mut Reports<'_>, key: &str, written: &Written<Duration>, interval: Duration) {
    let (long, interval) = (show_duration(written.value), show_duration(interval));
    let (why, help) = match key {
        "fast" => ("probes in doubt would be slower than settled ones", format!("write at most `{interval}`")),
        _ => (
            "the next probe would be due while one still waits",
            format!("write at most `{interval}`, or raise `interval`"),
        ),
    };
    reports
        .error(codes::RANGE, written.span, format!("`{key}` of {long} is longer than `interval`, {interval}"))
        .label(why)
        .help(help);
}

fn kind(reports: &mut Reports<'_>, spec: &CheckSpec) -> CheckKind {
    match spec.kind.as_ref().map(|w| w.value) {
        None | Some(Kind::None) => CheckKind::None,
        Some(Kind::Tcp) => CheckKind::Tcp,
        Some(kind @ (Kind::Http | Kind::Https)) => http(reports, spec, kind == Kind::Https),
        Some(Kind::Tls) => CheckKind::Tls(TlsCheck {
            trust: trust(reports, spec),
            host: spec.host.as_ref().map(|w| w.value.clone()),
            alpn: spec.alpn.iter().flat_map(|list| &list.items).map(|w| w.value.clone()).collect(),
            valid_for: spec.valid_for.as_ref().map(|w| w.value),
        }),
        Some(Kind::Dns) => dns(reports, spec),
        Some(Kind::Grpc) => grpc(reports, spec),
    }
}

fn http(reports: &mut Reports<'_>, spec: &CheckSpec, tls: bool) -> CheckKind {
    let method = spec.method.as_ref().map_or("GET", |w| w.value);
    if let (Some(body), "HEAD") = (&spec.expect.body, method) {
        let help = "use `method = \"GET\"`, or expect a status only".to_owned();
        reports.error(codes::MISPLACED, body.span, "the response to HEAD has no body to look into").help(help);
    }
    let trust = if tls { trust(reports, spec) } else { TlsTrust { verify: true, ca_file: None } };
    CheckKind::Http {
        tls,
        verify: trust.verify,
        ca_file: trust.ca_file,
        method: method.to_owned(),
        path: spec.path.as_ref().map_or_else(|| "/".to_owned(), |w| w.value.clone()),
        host: spec.host.as_ref().map(|w| w.value.clone()),
        status: spec.expect.status.as_ref().map_or_else(|| vec![STATUS], |w| w.value.clone()),
        body: spec.expect.body.as_ref().map(|w| Body::Contains(w.value.clone())),
    }
}

/// What a certificate must be good for, of those that speak TLS.
fn trust(reports: &mut Reports<'_>, spec: &CheckSpec) -> TlsTrust {
    let verify = spec.verify.as_ref().is_none_or(|w| w.value);
    if let (Some(ca_file), false) = (&spec.ca_file, verify) {
        let help = "remove `verify = false`, or `ca_file`".to_owned();
        reports.error(codes::MISPLACED, ca_file.span, "`ca_file` has no meaning with `verify = false`").help(help);
    }
    if verify && spec.host.is_none() {
        let fact = "without `host`, the certificate is checked against the endpoint's address";
        let help = "add `host = \"www.example.com\"`, the name that the certificate carries".to_owned();
        let span = spec.kind.as_ref().map_or(spec.span, |w| w.span);
        reports.warning(codes::NO_HOST, span, fact).help(help);
    }
    TlsTrust { verify, ca_file: spec.ca_file.as_ref().map(|w| w.value.clone()) }
}

fn dns(reports: &mut Reports<'_>, spec: &CheckSpec) -> CheckKind {
    let rcodes = spec.expect.rcode.as_ref().map_or_else(|| vec![NOERROR], |w| w.value.clone());
    if let (Some(answer), false) = (&spec.expect.answer, rcodes.contains(&NOERROR)) {
        let help = "add NOERROR to `rcode`, or leave `answer` out".to_owned();
        reports.error(codes::MISPLACED, answer.span, "only NOERROR has an answer to look into").help(help);
    }
    let answer = |text: &str| match text.parse() {
        Ok(address) => DnsAnswer::Address(address),
        Err(_) => DnsAnswer::Contains(text.to_owned()),
    };
    CheckKind::Dns(DnsCheck {
        tcp: spec.tcp.as_ref().is_some_and(|w| w.value),
        // Where it is missing, that has been reported.
        name: spec.name.as_ref().map_or_else(Name::root, |w| w.value.clone()).wire().into(),
        qtype: spec.qtype.as_ref().map_or(rtype::SOA, |w| w.value),
        rcodes,
        answer: spec.expect.answer.as_ref().map(|w| answer(&w.value)),
    })
}

fn grpc(reports: &mut Reports<'_>, spec: &CheckSpec) -> CheckKind {
    let tls = spec.tls.as_ref().is_some_and(|w| w.value);
    if !tls {
        let verify = spec.verify.as_ref().map(|w| ("verify", w.span));
        let ca_file = spec.ca_file.as_ref().map(|w| ("ca_file", w.span));
        for (key, span) in [verify, ca_file].into_iter().flatten() {
            let help = "add `tls = true`, or leave it out".to_owned();
            reports.error(codes::MISPLACED, span, format!("`{key}` has no meaning without `tls = true`")).help(help);
        }
    }
    CheckKind::Grpc {
        tls: tls.then(|| trust(reports, spec)),
        service: spec.service.as_ref().map(|w| w.value.clone()).unwrap_or_default(),
        host: spec.host.as_ref().map(|w| w.value.clone()),
    }
}
