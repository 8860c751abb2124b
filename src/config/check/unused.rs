//! What is defined and never used: probably a name that was changed in one place only.

use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::spec::Named;
use crate::config::spec::Spec;

use super::names::Index;
use super::names::Names;
use super::uses::Uses;

/// Warns of regions, checks, pools, networks and certificates that nothing uses.
pub fn unused(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>, uses: &Uses) {
    let pools = || spec.pools.iter().map(|p| &p.value);
    let pools_regions = pools().filter_map(|p| p.region.as_ref());
    let regions = pools_regions.chain(spec.listeners.iter().filter_map(|listener| listener.region.as_ref()));
    let regions = used(&names.regions, spec.regions.len(), regions.map(|w| &*w.value));
    warn(reports, "region", "pool", &spec.regions, &regions);
    let checks =
        used(&names.checks, spec.checks.len(), pools().filter_map(|p| p.health_check.as_ref()).map(|w| &*w.value));
    warn(reports, "health check", "pool", &spec.checks, &checks);
    let users = uses.answered(spec, names).into_iter().zip(uses.forwarded(spec, names));
    let reached: Vec<bool> = users.map(|(vip, listener)| vip.is_some() || listener.is_some()).collect();
    warn(reports, "pool", "VIP and no listener", &spec.pools, &reached);
    let listeners = spec.listeners.iter().flat_map(|listener| &listener.tls).flat_map(|list| &list.items);
    let tls = spec.server.tls.iter().chain(&spec.admin.tls).chain(listeners);
    let tls = used(&names.tls, spec.tls.len(), tls.map(|w| &*w.value));
    warn(reports, "certificate", "transport and no listener", &spec.tls, &tls);
    networks(reports, spec, uses);
}

fn used<'a>(index: &Index<'_>, count: usize, names: impl Iterator<Item = &'a str>) -> Vec<bool> {
    let mut used = vec![false; count];
    names.filter_map(|name| index.find(name)).for_each(|at| used[at] = true);
    used
}

fn warn<T>(reports: &mut Reports<'_>, kind: &str, user: &str, named: &[Named<T>], used: &[bool]) {
    for (thing, _) in named.iter().zip(used).filter(|(_, used)| !**used) {
        let fact = format!("{kind} `{}` is used by no {user}", thing.name.value);
        reports.warning(codes::UNUSED, thing.name.span, fact).label("never used");
    }
}

/// A network that moves its clients or that a rule names has an effect.
fn networks(reports: &mut Reports<'_>, spec: &Spec, uses: &Uses) {
    for (network, used) in spec.geo.networks.iter().zip(&uses.networks) {
        let Some(name) = &network.name else { continue };
        if !used && network.geo.is_none() && network.location.is_none() {
            let fact = format!("network `{}` has no effect: no rule names it, and it has no place", name.value);
            let help = "name it in a rule's `networks`, or give it `geo` or `location`".to_owned();
            reports.warning(codes::UNUSED, name.span, fact).help(help);
        }
    }
}
