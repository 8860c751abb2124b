//! How proxies treat a pool: what was left out filled in, and keys that have no effect.

use crate::balance::panic;
use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::spec::Spec;
use crate::config::spec::pools::Pool as PoolSpec;
use crate::config::spec::upstream::Tls;
use crate::model::Balance;
use crate::model::Model;
use crate::model::Upstream;
use crate::model::UpstreamTls;

use super::names::Names;
use super::uses::Uses;

use std::sync::Arc;

/// The proxy's settings of a pool.
pub fn upstream(reports: &mut Reports<'_>, pool: &PoolSpec) -> Upstream {
    keyed(reports, pool);
    backups(reports, pool);
    let spec = &pool.upstream;
    let default = Upstream::default();
    Upstream {
        speaks: spec.protocol.as_ref().map_or(default.speaks, |w| w.value),
        tls: spec.tls.as_ref().map(|tls| self::tls(reports, &tls.value, tls.span)),
        keyed_on: spec.hash_on.as_ref().map_or(default.keyed_on, |w| w.value.clone()),
        bound_percent: spec.bounded_load.as_ref().map(|w| w.value),
        slow_start: spec.slow_start.as_ref().map_or(default.slow_start, |w| w.value),
        panic_percent: spec.panic.as_ref().map_or(default.panic_percent, |w| w.value),
        connect_timeout: spec.connect_timeout.as_ref().map_or(default.connect_timeout, |w| w.value),
        idle_timeout: spec.idle_timeout.as_ref().map_or(default.idle_timeout, |w| w.value),
        connections_max: spec.max_connections.as_ref().map_or(default.connections_max, |w| w.value as u32),
        flows_max: spec.max_connections.as_ref().map_or(default.flows_max, |w| w.value as u32),
        requests_max: spec.max_requests.as_ref().map_or(default.requests_max, |w| w.value as u32),
        retry_percent: spec.retry_budget.as_ref().map_or(default.retry_percent, |w| w.value),
        closes_when_down: spec.on_down.as_ref().is_some_and(|w| w.value),
    }
}

fn tls(reports: &mut Reports<'_>, tls: &Tls, span: Span) -> UpstreamTls {
    if tls.verify && tls.server_name.is_none() {
        let fact = "without `server_name`, the certificate is checked against the endpoint's address";
        let help = "write `tls = { server_name = \"app.internal\" }`, the name that the certificate carries".to_owned();
        reports.warning(codes::NO_HOST, span, fact).help(help);
    }
    UpstreamTls {
        server_name: tls.server_name.clone(),
        verify: tls.verify,
        ca_file: tls.ca_file.as_ref().map(|w| w.value.clone()),
    }
}

/// What only hashed ways of choosing go by.
fn keyed(reports: &mut Reports<'_>, pool: &PoolSpec) {
    let balance = pool.balance.as_ref().map(|w| w.value).unwrap_or_default();
    if matches!(balance, Balance::Hash | Balance::RingHash | Balance::Maglev) {
        return;
    }
    let spans = [
        ("hash_on", pool.upstream.hash_on.as_ref().map(|w| w.span)),
        ("bounded_load", pool.upstream.bounded_load.as_ref().map(|w| w.span)),
    ];
    for (key, span) in spans {
        let Some(span) = span else { continue };
        let fact = format!("`{key}` has no effect with `balance = \"{}\"`", balance.words());
        let help = "use `balance = \"hash\"`, `\"ring_hash\"` or `\"maglev\"`, or leave it out".to_owned();
        reports.warning(codes::NO_EFFECT, span, fact).help(help);
    }
}

fn backups(reports: &mut Reports<'_>, pool: &PoolSpec) {
    let Some(list) = &pool.endpoints else { return };
    let is_backup = |backup: bool| backup;
    let all = list.items.iter().all(|e| e.value.backup.as_ref().is_some_and(|w| is_backup(w.value)));
    if all && !list.items.is_empty() && list.complete {
        let help = "leave `backup` out of those that carry the traffic".to_owned();
        reports.warning(codes::ALL_BACKUPS, list.span, "every endpoint here is a backup, of nothing").help(help);
    }
}

/// Where DNS and a proxy send clients to one pool, the proxy must not balance over the dead while DNS calls the pool well:
/// with `min_healthy` up, it still answers with all that are. Who wrote no `panic` gets one that agrees.
///
/// A pool of one tier alone has no such contradiction: of a proxy's own pools, `min_healthy` only says when `fallback`
/// takes over.
pub fn panics(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>, uses: &Uses, model: &mut Model) {
    let both = uses.answered(spec, names).into_iter().zip(uses.forwarded(spec, names));
    for (at, users) in both.enumerate() {
        let (Some(vip), Some(listener)) = users else { continue };
        let pool = &mut model.pools[at];
        let all = pool.endpoints.len() as u32;
        let percent = pool.upstream.panic_percent;
        if !panic::contradicts_min_healthy(pool.min_healthy, all, percent) {
            continue;
        }
        let agrees = pool.min_healthy * 100 / all;
        let Some(written) = &spec.pools[at].value.upstream.panic else {
            Arc::make_mut(&mut pool.upstream).panic_percent = agrees;
            continue;
        };
        let (vip, listener) = (&spec.vips[vip].name.value, spec.listeners[listener].called());
        let fact = format!(
            "{listener} would send requests to all of pool `{}` below {percent}% up, while VIP `{vip}` still answers \
             from it with {} of {all}",
            pool.name, pool.min_healthy
        );
        let least = (all * percent).div_ceil(100);
        let help = format!("write at most `panic = \"{agrees}%\"`, or `min_healthy = {least}`");
        reports.error(codes::PANIC, written.span, fact).help(help);
    }
}

/// Keys that only proxies read, in a pool that none uses.
pub fn unread(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>, uses: &Uses) {
    for (named, listener) in spec.pools.iter().zip(uses.forwarded(spec, names)) {
        let Some((key, span)) = named.value.upstream.first.filter(|_| listener.is_none()) else { continue };
        let fact = format!("`{key}` has no effect: no listener uses pool `{}`", named.name.value);
        let help = "leave it out, or send a route to the pool".to_owned();
        reports.warning(codes::NO_EFFECT, span, fact).help(help);
    }
}
