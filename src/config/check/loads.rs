//! `load` of a `[pool.*]`: watermarks in order, somewhere to read from, no token in plaintext.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::spec::Spec;
use crate::config::spec::loads::Load;
use crate::config::spec::loads::URLS_MAX;
use crate::model::LoadFeedback;
use crate::model::LoadOf;
use crate::model::Model;

use super::names::Names;
use super::uses::Uses;

/// Up to here everyone is served where they belong.
const LOW_PERCENT: u32 = 70;
/// From here on everyone who can be is sent elsewhere.
const HIGH_PERCENT: u32 = 90;
/// Between readings, where no health check says otherwise.
const INTERVAL: Duration = Duration::from_secs(5);

/// Fills in `load` of every pool.
pub fn loads(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>, uses: &Uses, model: &mut Model) {
    let forwarded = uses.forwarded(spec, names);
    for (at, named) in spec.pools.iter().enumerate() {
        let Some(load) = &named.value.load else { continue };
        let feedback = feedback(reports, load, at, model);
        if load.urls.is_none() {
            local(reports, load, &feedback.of, names, &forwarded, model);
        }
        model.pools[at].load = Some(Arc::new(feedback));
    }
}

/// Watermarks of a pool that no VIP is answered from.
pub fn unread(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>, uses: &Uses) {
    for (named, vip) in spec.pools.iter().zip(uses.answered(spec, names)) {
        let Some(load) = named.value.load.as_ref().filter(|_| vip.is_none()) else { continue };
        let fact = format!("`load` has no effect: no VIP is answered from pool `{}`", named.name.value);
        let help = "clients are sent elsewhere by DNS; leave it out, or name the pool in a VIP".to_owned();
        reports.warning(codes::NO_EFFECT, load.span, fact).help(help);
    }
}

fn feedback(reports: &mut Reports<'_>, load: &Load, pool: usize, model: &Model) -> LoadFeedback {
    let (low, high) = (load.low.as_ref(), load.high.as_ref());
    let (low_percent, high_percent) = (low.map_or(LOW_PERCENT, |w| w.value), high.map_or(HIGH_PERCENT, |w| w.value));
    if low_percent >= high_percent {
        let span = high.or(low).map_or(load.span, |w| w.span);
        let fact = format!("`low` is {low_percent}% and `high` {high_percent}%: nothing is between");
        let help =
            "below `low` nobody is sent elsewhere, above `high` everybody; write `low = 0.7, high = 0.9`".to_owned();
        reports.error(codes::RANGE, span, fact).help(help);
    }
    let pool = &model.pools[pool];
    let usual = || {
        pool.check.map_or(INTERVAL, |check| model.checks.get(check.index()).map_or(INTERVAL, |check| check.interval))
    };
    // A region that is not defined has been reported.
    let region = model.regions.get(pool.region.index()).map_or("", |region| &region.name);
    let of = || LoadOf::Region(region.to_owned());
    let urls: Vec<String> = load.urls.iter().flat_map(|list| &list.items).map(|item| item.value.clone()).collect();
    if let Some(list) = &load.urls {
        if urls.len() > URLS_MAX {
            reports.error(codes::RANGE, list.span, format!("`urls` has more than {URLS_MAX} places"));
        }
        if urls.is_empty() && list.complete {
            let help = "leave `urls` out for what this process's own listeners have in hand".to_owned();
            reports.error(codes::EMPTY, list.span, "`urls` has no places").help(help);
        }
    }
    trust(reports, load, &urls);
    LoadFeedback {
        of: load.of.as_ref().map_or_else(of, |w| w.value.clone()),
        low_percent,
        high_percent,
        interval: load.interval.as_ref().map_or_else(usual, |w| w.value).max(Duration::from_secs(1)),
        token_file: load.token_file.as_ref().map(|w| w.value.clone()),
        verify: load.verify.as_ref().is_none_or(|w| w.value),
        ca_file: load.ca_file.as_ref().map(|w| w.value.clone()),
        urls,
    }
}

fn trust(reports: &mut Reports<'_>, load: &Load, urls: &[String]) {
    if let Some(token) = &load.token_file
        && let Some(url) = urls.iter().find(|url| url.starts_with("http://") && !is_loopback(url))
    {
        let fact = format!("the token would go to {url} in plaintext");
        let help = "use `https://`".to_owned();
        reports.error(codes::OPEN_DOOR, token.span, fact).label("readable on the way").help(help);
    }
    if let (Some(ca_file), Some(false)) = (&load.ca_file, load.verify.as_ref().map(|w| w.value)) {
        let help = "remove `verify = false`, or `ca_file`".to_owned();
        let fact = "`ca_file` has no meaning with `verify = false`";
        reports.error(codes::MISPLACED, ca_file.span, fact).help(help);
    }
    if urls.is_empty() {
        let spans = [
            ("token_file", load.token_file.as_ref().map(|w| w.span)),
            ("ca_file", load.ca_file.as_ref().map(|w| w.span)),
            ("verify", load.verify.as_ref().map(|w| w.span)),
        ];
        for (key, span) in spans.into_iter().filter_map(|(key, span)| Some((key, span?))) {
            let help = "leave it out, or say in `urls` where the load is read".to_owned();
            reports.warning(codes::NO_EFFECT, span, format!("`{key}` has no effect without `urls`")).help(help);
        }
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Without `urls` it is this process's own listeners whose load counts: they must be there.
fn local(
    reports: &mut Reports<'_>,
    load: &Load,
    of: &LoadOf,
    names: &Names<'_>,
    forwarded: &[Option<usize>],
    model: &Model,
) {
    let (known, serves) = match of {
        LoadOf::Region(name) => {
            let region = names.regions.find(name);
            let here = |at: usize| model.pools[at].region.index();
            (
                region.is_some(),
                region.is_some_and(|id| (0..forwarded.len()).any(|at| forwarded[at].is_some() && here(at) == id)),
            )
        }
        LoadOf::Pool(name) => {
            let pool = names.pools.find(name);
            (pool.is_some(), pool.is_some_and(|at| forwarded[at].is_some()))
        }
    };
    if serves {
        return;
    }
    let span = load.of.as_ref().map_or(load.span, |w| w.span);
    let fact = match known {
        true => format!("nothing says where the load is read: no listener here sends requests to {of}"),
        false => format!("nothing says where the load is read: there is no {of} here"),
    };
    let help =
        "add `urls = [\"https://ADDRESS:PORT/v1/headroom\"]`, where the admin API of the region's load balancer is"
            .to_owned();
    reports.error(codes::UNDEFINED, span, fact).help(help);
}
