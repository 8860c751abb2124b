//! Listeners at L4: pools that are there and can be balanced by what L4 sees, a pool for each server name.

use std::cmp::Reverse;
use std::time::Duration;

use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::config::spec::Spec;
use crate::config::spec::listeners::Listener as ListenerSpec;
use crate::config::spec::listeners::ProtocolWord;
use crate::config::spec::listeners::Timeouts;
use crate::model::FlowTimeouts;
use crate::model::Forward;
use crate::model::HostMatch;
use crate::model::KeyedOn;
use crate::model::Passthrough;
use crate::model::PoolId;
use crate::model::Protocol;

use super::names::Names;
use super::uses::Uses;

/// Reads what a listener at L4 does.
pub struct Reader<'a, 's> {
    /// The listener.
    pub listener: &'s ListenerSpec,
    /// Its place in the specification.
    pub at: usize,
    /// The whole specification.
    pub all: &'s Spec,
    /// Every name.
    pub names: &'a Names<'s>,
    /// Who uses what.
    pub uses: &'a mut Uses,
}

impl Reader<'_, '_> {
    /// What is spoken there, and where it goes.
    pub fn protocol(&mut self, reports: &mut Reports<'_>, word: ProtocolWord) -> Protocol {
        let usual = if word == ProtocolWord::Udp { FlowTimeouts::UDP } else { FlowTimeouts::TCP };
        let timeouts = timeouts(&self.listener.timeouts, usual);
        if word == ProtocolWord::TlsPassthrough {
            return Protocol::TlsPassthrough(Box::new(Passthrough { routes: self.routes(reports), timeouts }));
        }
        let pool = self.listener.flows.pool.as_ref().and_then(|name| self.pool(reports, name, word));
        // That there is none has been told.
        let forward = Forward { pool: pool.unwrap_or(PoolId(0)), timeouts };
        if word == ProtocolWord::Udp { Protocol::Udp(forward) } else { Protocol::Tcp(forward) }
    }

    fn routes(&mut self, reports: &mut Reports<'_>) -> Vec<(HostMatch, PoolId)> {
        let Some(list) = &self.listener.flows.routes else { return Vec::new() };
        if list.items.is_empty() && list.complete {
            let help = "write `routes = [{ host = \"*\", pool = \"POOL\" }]`".to_owned();
            reports.error(codes::EMPTY, list.span, format!("{} has no routes", self.listener.called())).help(help);
        }
        let mut routes: Vec<(HostMatch, PoolId)> = Vec::new();
        for item in &list.items {
            let route = &item.value;
            let pool = route.pool.as_ref().and_then(|name| self.pool(reports, name, ProtocolWord::TlsPassthrough));
            let (Some(host), Some(pool)) = (&route.host, pool) else { continue };
            if routes.iter().any(|(before, _)| *before == host.value) {
                let fact = format!("{} has a route for that name already", self.listener.called());
                reports
                    .error(codes::REPEATED, host.span, fact)
                    .label("second time")
                    .help("keep one of them".to_owned());
                continue;
            }
            routes.push((host.value.clone(), pool));
        }
        routes.sort_by_key(|(host, _)| match host {
            HostMatch::Exact(_) => (0, Reverse(0)),
            HostMatch::Under(name) => (1, Reverse(name.len())),
            HostMatch::Any => (2, Reverse(0)),
        });
        routes
    }

    fn pool(&mut self, reports: &mut Reports<'_>, name: &Written<String>, word: ProtocolWord) -> Option<PoolId> {
        let user = self.listener.called();
        let at = self.names.pools.resolve(reports, &user, name)?;
        self.uses.by_listener(at, self.at);
        let upstream = &self.all.pools[at].value.upstream;
        let called = format!("pool `{}`", name.value);
        if let Some(on) = upstream.hash_on.as_ref().filter(|on| !matches!(on.value, KeyedOn::Client { .. })) {
            let fact = format!("{user} sends flows to {called}, and L4 sees nothing of that but the client");
            let help = "write `hash_on = \"client\"`, or make another pool for L4".to_owned();
            reports.error(codes::MISPLACED, on.span, fact).help(help);
        }
        if let Some(tls) = upstream.tls.as_ref().filter(|_| word != ProtocolWord::Tcp) {
            let fact = format!("{user} sends flows to {called}, where `tls` has no meaning for `{}`", word.word());
            let help = "leave it out, or make another pool for this listener".to_owned();
            reports.error(codes::MISPLACED, tls.span, fact).help(help);
        }
        Some(PoolId::from(at))
    }
}

fn timeouts(spec: &Timeouts, usual: FlowTimeouts) -> FlowTimeouts {
    let time = |written: &Option<Written<Duration>>, usual| written.as_ref().map_or(usual, |w| w.value);
    FlowTimeouts {
        hello: time(&spec.hello, usual.hello),
        idle: time(&spec.idle, usual.idle),
        half_closed: time(&spec.half_closed, usual.half_closed),
    }
}
