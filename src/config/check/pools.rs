//! `[region.*]` and `[pool.*]`: endpoints that are there once, and enough of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::codes;
use crate::config::fields::List;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::spec::Named;
use crate::config::spec::Spec;
use crate::config::spec::pools::ENDPOINTS_MAX;
use crate::config::spec::pools::Endpoint as EndpointSpec;
use crate::config::spec::pools::Pool as PoolSpec;
use crate::model::CheckId;
use crate::model::CheckKind;
use crate::model::Endpoint;
use crate::model::Model;
use crate::model::Pool;
use crate::model::PoolId;
use crate::model::Region;
use crate::model::RegionId;
use crate::model::usual_port;

use super::names::Names;
use super::upstream;
use super::uses::Uses;

/// `[region.*]`, in the order they were written.
pub fn regions(spec: &Spec) -> Vec<Region> {
    let region = |named: &Named<crate::config::spec::pools::Region>| Region {
        name: named.name.value.clone(),
        label: named.value.label.as_ref().map_or_else(|| named.name.value.clone(), |w| w.value.clone()),
        location: named.value.location.as_ref().map(|w| w.value),
        capacity: named.value.capacity.as_ref().map(|w| w.value),
        requests_max: named.value.max_requests.as_ref().map(|w| w.value),
    };
    spec.regions.iter().map(region).collect()
}

/// `[pool.*]` and their endpoints, in the order they were written; `fallback` is left to its own file.
pub fn pools(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>, model: &mut Model) {
    let usual = Arc::default();
    for (at, named) in spec.pools.iter().enumerate() {
        let pool = &named.value;
        let user = format!("pool `{}`", named.name.value);
        let region = pool.region.as_ref().and_then(|name| names.regions.resolve(reports, &user, name));
        let check = pool.health_check.as_ref().and_then(|name| names.checks.resolve(reports, &user, name));
        let first = model.endpoints.len() as u32;
        endpoints(reports, named, PoolId::from(at), model);
        enough(reports, pool);
        if let Some(check) = check {
            ports(reports, pool, &model.checks[check]);
        }
        let own = upstream::upstream(reports, pool);
        model.pools.push(Pool {
            name: named.name.value.clone(),
            region: RegionId::from(region.unwrap_or(0)),
            check: check.map(CheckId::from),
            balance: pool.balance.as_ref().map(|w| w.value).unwrap_or_default(),
            min_healthy: pool.min_healthy.as_ref().map_or(1, |w| w.value as u32),
            fallback: None,
            endpoints: first..model.endpoints.len() as u32,
            upstream: if own == *usual { Arc::clone(&usual) } else { Arc::new(own) },
            load: None,
        });
    }
}

fn endpoints(reports: &mut Reports<'_>, named: &Named<PoolSpec>, id: PoolId, model: &mut Model) {
    let Some(list) = &named.value.endpoints else { return };
    if list.items.is_empty() && list.complete {
        let fact = format!("pool `{}` has no endpoints", named.name.value);
        let help = "write `endpoints = [{ address = \"192.0.2.10\" }]`".to_owned();
        reports.error(codes::EMPTY, list.span, fact).help(help);
    }
    if list.items.len() > ENDPOINTS_MAX {
        let fact = format!("pool `{}` has more than {ENDPOINTS_MAX} endpoints", named.name.value);
        reports.error(codes::RANGE, list.span, fact);
    }
    unique(reports, named, list);
    for item in list.items.iter().take(ENDPOINTS_MAX) {
        let endpoint = &item.value;
        model.endpoints.push(Endpoint {
            pool: id,
            address: endpoint.address.value,
            port: endpoint.port.as_ref().map(|w| w.value as u16),
            weight: endpoint.weight.as_ref().map_or(1, |w| w.value as u32),
            backup: endpoint.backup.as_ref().is_some_and(|w| w.value),
        });
    }
    if list.items.len() > 1 && list.items.iter().all(|e| e.value.weight.as_ref().is_some_and(|w| w.value == 0)) {
        let fact = format!("every endpoint of pool `{}` has weight 0", named.name.value);
        let help = "0 means: only when every other is gone; give at least one a weight".to_owned();
        reports.warning(codes::NO_WEIGHT, list.span, fact).help(help);
    }
}

/// Backends often share an address and differ in port. One without a port has the proxy's usual one.
fn unique(reports: &mut Reports<'_>, named: &Named<PoolSpec>, list: &List<EndpointSpec>) {
    let usual = usual_port(named.value.upstream.tls.is_some());
    let mut seen: HashMap<(IpAddr, u16), Span> = HashMap::new();
    for item in list.items.iter().take(ENDPOINTS_MAX) {
        let EndpointSpec { address, port, .. } = &item.value;
        let number = port.as_ref().map_or(usual, |w| w.value as u16);
        let Some(first) = seen.insert((address.value, number), address.span) else { continue };
        let what = match port {
            Some(_) => SocketAddr::new(address.value, number).to_string(),
            None => address.value.to_string(),
        };
        let fact = format!("pool `{}` already has {what}, in {}", named.name.value, reports.place(first));
        let help = "give one endpoint a larger `weight` instead".to_owned();
        reports.error(codes::REPEATED, address.span, fact).label("second time").help(help);
    }
}

/// Endpoints of weight 0 stand behind the others and are counted apart from them; either group may be enough.
fn enough(reports: &mut Reports<'_>, pool: &PoolSpec) {
    let (Some(least), Some(list)) = (&pool.min_healthy, &pool.endpoints) else { return };
    let standby = list.items.iter().filter(|e| e.value.weight.as_ref().is_some_and(|w| w.value == 0)).count();
    let count = standby.max(list.items.len() - standby) as u64;
    if list.complete && count > 0 && least.value > count {
        let plural = if count == 1 { "" } else { "s" };
        let fact = format!("the pool can never be up: {} of {count} endpoint{plural} would have to be", least.value);
        let said = reports.error(codes::MIN_HEALTHY, least.span, fact);
        let said = if standby > 0 { said.label("endpoints of weight 0 are counted apart") } else { said };
        said.help(format!("write at most `min_healthy = {count}`"));
    }
}

/// HTTP, TLS and DNS have ports of their own; a TCP probe must be told one, and a gRPC probe without TLS.
fn ports(reports: &mut Reports<'_>, pool: &PoolSpec, check: &crate::model::HealthCheck) {
    if check.kind.default_port().is_some() || check.port.is_some() {
        return;
    }
    let Some(list) = &pool.endpoints else { return };
    let Some(without) = list.items.iter().find(|e| e.value.port.is_none()) else { return };
    let address = without.value.address.value;
    let fact = format!("health check `{}` has no port to connect to at {address}", check.name);
    let port = if check.kind == CheckKind::Tcp { 443 } else { 50051 };
    let help = format!("add `port = {port}` to [health_check.{}], or to each endpoint", check.name);
    reports.error(codes::NO_PORT, without.span, fact).label("no port").help(help);
}

/// DNS sees no connections, so what counts them cannot choose its answers; and answers carry no port.
pub fn of_answers(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>, uses: &Uses) {
    for (named, vip) in spec.pools.iter().zip(uses.answered(spec, names)) {
        let Some(vip) = vip else { continue };
        let vip = &spec.vips[vip].name.value;
        let word = named.value.balance.as_ref().map(|w| (w.value.words(), w));
        if let Some((word @ ("least_conn" | "p2c"), balance)) = word {
            let fact =
                format!("VIP `{vip}` answers from pool `{}`, and DNS cannot balance by `{word}`", named.name.value);
            reports
                .error(codes::BALANCE, balance.span, fact)
                .label("DNS sees no connections")
                .help("use `weighted`, `round_robin`, `random`, `hash` or `failover`".to_owned());
        }
        distinct(reports, named, &vip.to_string());
    }
}

fn distinct(reports: &mut Reports<'_>, named: &Named<PoolSpec>, vip: &str) {
    let mut seen: HashMap<IpAddr, Option<u64>> = HashMap::new();
    for item in named.value.endpoints.iter().flat_map(|list| &list.items) {
        let EndpointSpec { address, port, .. } = &item.value;
        let port = port.as_ref().map(|w| w.value);
        let Some(before) = seen.insert(address.value, port) else { continue };
        // The same socket twice has been told.
        if before == port {
            continue;
        }
        let fact =
            format!("pool `{}` has {} at two ports, and VIP `{vip}` answers from it", named.name.value, address.value);
        let help = "list the address once, and make another pool for the proxy".to_owned();
        reports.error(codes::REPEATED, address.span, fact).label("answers carry no port").help(help);
    }
}
