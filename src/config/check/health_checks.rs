//! `[health_check.*]`: defaults, and intervals that fit together.

use std::time::Duration;

use crate::config::codes;
use crate::config::forms::show_duration;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::config::spec::Spec;
use crate::config::spec::checks::HealthCheck as CheckSpec;
use crate::config::spec::checks::Kind;
use crate::model::Body;
use crate::model::CheckKind;
use crate::model::HealthCheck;
use crate::model::StatusRange;

const INTERVAL: Duration = Duration::from_secs(5);
const FAST: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
const FALL: u8 = 3;
const RISE: u8 = 2;
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
    }
}

fn http(reports: &mut Reports<'_>, spec: &CheckSpec, tls: bool) -> CheckKind {
    let method = spec.method.as_ref().map_or("GET", |w| w.value);
    let verify = spec.verify.as_ref().is_none_or(|w| w.value);
    if let (Some(body), "HEAD") = (&spec.body, method) {
        let help = "use `method = \"GET\"`, or expect a status only".to_owned();
        reports.error(codes::MISPLACED, body.span, "the response to HEAD has no body to look into").help(help);
    }
    if let (Some(ca_file), false) = (&spec.ca_file, verify) {
        let help = "remove `verify = false`, or `ca_file`".to_owned();
        reports.error(codes::MISPLACED, ca_file.span, "`ca_file` has no meaning with `verify = false`").help(help);
    }
    if tls && verify && spec.host.is_none() {
        let fact = "without `host`, the certificate is checked against the endpoint's address";
        let help = "add `host = \"www.example.com\"`, the name that the certificate carries".to_owned();
        let span = spec.kind.as_ref().map_or(spec.span, |w| w.span);
        reports.warning(codes::NO_HOST, span, fact).help(help);
    }
    CheckKind::Http {
        tls,
        verify,
        ca_file: spec.ca_file.as_ref().map(|w| w.value.clone()),
        method: method.to_owned(),
        path: spec.path.as_ref().map_or_else(|| "/".to_owned(), |w| w.value.clone()),
        host: spec.host.as_ref().map(|w| w.value.clone()),
        status: spec.status.as_ref().map_or_else(|| vec![STATUS], |w| w.value.clone()),
        body: spec.body.as_ref().map(|w| Body::Contains(w.value.clone())),
    }
}
