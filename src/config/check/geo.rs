//! `[geo]`: networks that can be told apart.

use std::collections::HashMap;

use crate::config::codes;
use crate::config::forms::Prefix;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::spec::Spec;
use crate::config::spec::geo::Network as NetworkSpec;
use crate::model::GeoSettings;
use crate::model::Network;

/// `[geo]` and `[[geo.network]]`.
pub fn geo(reports: &mut Reports<'_>, spec: &Spec) -> GeoSettings {
    let geo = &spec.geo;
    let mut prefixes: HashMap<Prefix, Span> = HashMap::new();
    let mut names: HashMap<&str, Span> = HashMap::new();
    for network in &geo.networks {
        unique(reports, network, &mut names, &mut prefixes);
    }
    GeoSettings {
        databases: geo.databases.iter().flat_map(|list| &list.items).map(|item| item.value.clone()).collect(),
        latency: geo.latency.as_ref().map(|w| w.value.clone()),
        client_subnet: geo.client_subnet.as_ref().map(|w| w.value).unwrap_or_default(),
        networks: geo.networks.iter().map(network).collect(),
    }
}

fn network(spec: &NetworkSpec) -> Network {
    Network {
        name: spec.name.as_ref().map_or_else(String::new, |n| n.value.clone()),
        cidr: spec.cidr.iter().flat_map(|list| &list.items).map(|item| item.value).collect(),
        geo: spec.geo.as_ref().map(|w| w.value),
        location: spec.location.as_ref().map(|w| w.value),
    }
}

fn unique<'s>(
    reports: &mut Reports<'_>,
    network: &'s NetworkSpec,
    names: &mut HashMap<&'s str, Span>,
    prefixes: &mut HashMap<Prefix, Span>,
) {
    if let Some(name) = &network.name
        && let Some(first) = names.insert(&name.value, name.span)
    {
        let fact = format!("a network named `{}` is already in {}", name.value, reports.place(first));
        reports.error(codes::REPEATED, name.span, fact).help("give one of them another name".to_owned());
    }
    let Some(cidr) = &network.cidr else { return };
    if cidr.items.is_empty() && cidr.complete {
        let help = "write `cidr = [\"10.0.0.0/8\"]`".to_owned();
        reports.error(codes::EMPTY, cidr.span, "the network has no prefixes").help(help);
    }
    for prefix in &cidr.items {
        if let Some(first) = prefixes.insert(prefix.value, prefix.span) {
            let (address, length) = prefix.value;
            let fact = format!("`{address}/{length}` is already in {}", reports.place(first));
            let help = "the longest prefix wins, so each prefix belongs to one network".to_owned();
            reports.error(codes::REPEATED, prefix.span, fact).help(help);
        }
    }
}
