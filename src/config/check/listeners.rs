//! `[[listener]]` and `[proxy]`: names that are there once, certificates where they are needed, what was left out filled in.
//! Routes are in `routes`, sockets in `sockets`.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::codes;
use crate::config::fields::List;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::Spec;
use crate::config::spec::listeners::Listener as ListenerSpec;
use crate::config::spec::listeners::ProtocolWord;
use crate::health::fronts::Fronts;
use crate::model::Http;
use crate::model::HttpTimeouts;
use crate::model::Limits;
use crate::model::Listener;
use crate::model::Model;
use crate::model::PathRules;
use crate::model::Protocol;
use crate::model::ProxySettings;
use crate::model::RegionId;
use crate::regional::elsewhere::reached;

use super::flows;
use super::names::Names;
use super::routes;
use super::uses::Uses;

/// Long downloads and WebSockets get five minutes; most have ended by then, and a deployment still gets done.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(300);
/// What clients may upgrade to unless told.
const UPGRADE: &str = "websocket";

/// `[proxy]`.
pub fn proxy(spec: &Spec) -> ProxySettings {
    ProxySettings {
        workers: spec.proxy.workers.as_ref().map_or(0, |w| w.value as usize),
        sticky_secret_file: spec.proxy.sticky_secret_file.as_ref().map(|w| w.value.clone()),
        sticky_secrets: None,
    }
}

/// `[[listener]]`, in the order they were written.
pub fn listeners(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>, uses: &mut Uses, model: &mut Model) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for (at, listener) in spec.listeners.iter().enumerate() {
        if let Some(name) = &listener.name
            && let Some(first) = seen.insert(&name.value, name.span)
        {
            let fact = format!("a listener named `{}` is already in {}", name.value, reports.place(first));
            let help = "give one of them another name".to_owned();
            reports.error(codes::REPEATED, name.span, fact).label("second time").help(help);
        }
        let read = self::listener(reports, (listener, at, spec), names, uses, model);
        model.listeners.push(read);
    }
}

/// Listeners whose endpoints are listeners that come back to them: what comes in would go round for ever.
pub fn circles(reports: &mut Reports<'_>, spec: &Spec, model: &Model) {
    let Some(circle) = Fronts::of(model).circle(model) else { return };
    let Some(bind) = circle.first().and_then(|at| spec.listeners.get(*at)?.bind.as_ref()) else { return };
    let named: Vec<String> = circle.iter().map(|at| format!("`{}`", model.listeners[*at].name)).collect();
    let fact = match named.as_slice() {
        [one] => format!("listener {one} sends to itself"),
        several => format!("listeners {} send to each other in a circle", several.join(", ")),
    };
    let help =
        "an endpoint of a pool that it uses is this very socket: give the endpoint the port of a server".to_owned();
    reports.error(codes::CIRCLE, bind.span, fact).label("comes back to here").help(help);
}

fn listener(
    reports: &mut Reports<'_>,
    (spec, at, whole): (&ListenerSpec, usize, &Spec),
    names: &Names<'_>,
    uses: &mut Uses,
    model: &Model,
) -> Listener {
    let user = spec.called();
    let region = spec.region.as_ref().and_then(|name| names.regions.resolve(reports, &user, name));
    // Where it is missing, that has been reported.
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Listener {
        name: spec.name.as_ref().map_or_else(String::new, |w| w.value.clone()),
        region: RegionId::from(region.unwrap_or(0)),
        bind: spec.bind.as_ref().map_or(nowhere, |w| w.value),
        protocol: match spec.protocol.as_ref().map(|w| w.value) {
            Some(word) if !word.is_http() => {
                flows::Reader { listener: spec, at, all: whole, names, uses }.protocol(reports, word)
            }
            _ => Protocol::Http(Box::new(http(reports, spec, at, names, uses, model))),
        },
        proxy_protocol_from: values(&spec.accept_from),
        proxy_protocol_to: spec.send.as_ref().map(|w| w.value),
        limits: limits(spec),
        drain_timeout: spec.drain_timeout.as_ref().map_or(DRAIN_TIMEOUT, |w| w.value),
        sends_on: spec.misdirected.as_ref().is_none_or(|w| w.value),
    }
}

/// Notes the pools of other regions to which listeners send clients on that DNS would send there now. Of a model without errors.
pub fn sent_on(uses: &mut Uses, model: &Model) {
    if model.listeners.is_empty() {
        return;
    }
    let answered = crate::steering::Uses::of(model);
    for (at, listener) in model.listeners.iter().enumerate() {
        reached(model, &answered, listener).for_each(|pool| uses.by_listener(pool.index(), at));
    }
}

fn values<T: Clone>(list: &Option<List<T>>) -> Vec<T> {
    list.iter().flat_map(|list| &list.items).map(|item| item.value.clone()).collect()
}

fn limits(spec: &ListenerSpec) -> Limits {
    let (limits, default) = (&spec.limits, Limits::default());
    let number = |written: &Option<Written<u64>>, default| written.as_ref().map_or(default, |w| w.value as u32);
    Limits {
        connections_max: number(&limits.max_connections, default.connections_max),
        requests_max: number(&limits.max_requests, default.requests_max),
        queue_max: number(&limits.max_queue, default.queue_max),
        queue_timeout: limits.queue_timeout.as_ref().map_or(default.queue_timeout, |w| w.value),
        client_rate: limits.client_rate.as_ref().map(|w| w.value as u32),
    }
}

fn http(
    reports: &mut Reports<'_>,
    spec: &ListenerSpec,
    at: usize,
    names: &Names<'_>,
    uses: &mut Uses,
    model: &Model,
) -> Http {
    let default = PathRules::default();
    let paths = PathRules {
        encoded_slash: spec.encoded_slash.as_ref().map_or(default.encoded_slash, |w| w.value),
        merge_slashes: spec.merge_slashes.as_ref().map_or(default.merge_slashes, |w| w.value),
    };
    Http {
        tls: certificates(reports, spec, names),
        routes: routes::Reader { listener: spec, at, names, uses, pools: &model.pools, paths }.routes(reports),
        trusted_proxies: values(&spec.trusted_proxies),
        paths,
        underscores: spec.underscores.as_ref().map(|w| w.value).unwrap_or_default(),
        upgrades: spec.upgrades.as_ref().map_or_else(|| vec![UPGRADE.to_owned()], |_| values(&spec.upgrades)),
        trailers: values(&spec.trailers),
        body_bytes_max: spec.max_body.as_ref().map(|w| w.value),
        timeouts: timeouts(spec),
    }
}

fn timeouts(spec: &ListenerSpec) -> HttpTimeouts {
    let (timeouts, default) = (&spec.timeouts, HttpTimeouts::default());
    let time = |written: &Option<Written<Duration>>, default| written.as_ref().map_or(default, |w| w.value);
    HttpTimeouts {
        handshake: time(&timeouts.handshake, default.handshake),
        header: time(&timeouts.header, default.header),
        body: time(&timeouts.body, default.body),
        idle: time(&timeouts.idle, default.idle),
        upgraded_idle: time(&timeouts.upgraded_idle, default.upgraded_idle),
        age: timeouts.age.as_ref().map(|w| w.value),
    }
}

/// `https` has certificates, `http` has none.
fn certificates(reports: &mut Reports<'_>, spec: &ListenerSpec, names: &Names<'_>) -> Vec<usize> {
    let user = spec.called();
    let protocol = spec.protocol.as_ref().map(|w| (w.value, w.span));
    match (protocol, &spec.tls) {
        (Some((ProtocolWord::Https, span)), None) if !spec.has_tls => {
            let fact = format!("{user} speaks https and has no `tls`");
            let help = "add `tls = \"NAME\"`, and a section [tls.NAME]; or write `protocol = \"http\"`".to_owned();
            reports.error(codes::NO_CERTIFICATE, span, fact).help(help);
        }
        (Some((ProtocolWord::Http, _)), Some(list)) => {
            let fact = format!("`tls` has no meaning for {user}, which speaks http");
            let help = "write `protocol = \"https\"`, or leave `tls` out".to_owned();
            reports.error(codes::MISPLACED, list.span, fact).help(help);
        }
        (Some((ProtocolWord::Https, _)), Some(list)) if list.items.is_empty() && list.complete => {
            let help = "write `tls = \"NAME\"`, and a section [tls.NAME]".to_owned();
            reports.error(codes::EMPTY, list.span, format!("{user} has no certificate")).help(help);
        }
        _ => {}
    }
    let mut found = Vec::new();
    for name in spec.tls.iter().flat_map(|list| &list.items) {
        let Some(at) = names.tls.resolve(reports, &user, name) else { continue };
        if found.contains(&at) {
            let fact = format!("{user} lists certificate `{}` twice", name.value);
            reports.error(codes::REPEATED, name.span, fact).label("second time").help("list it once".to_owned());
            continue;
        }
        found.push(at);
    }
    found
}
