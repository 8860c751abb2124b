//! Which names are defined, and what is said where one is not.

use std::collections::HashMap;

use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::config::spec::Named;
use crate::config::spec::Spec;

/// The names of one kind, each with its place in the model's array.
pub struct Index<'s> {
    /// What they name: `pool`.
    kind: &'static str,
    /// The heading that would define one, as `[pool.NAME]`.
    heading: fn(&str) -> String,
    at: HashMap<&'s str, usize>,
    /// In the order they were written.
    listed: Vec<&'s str>,
}

/// Every name there is.
pub struct Names<'s> {
    /// `[region.*]`.
    pub regions: Index<'s>,
    /// `[health_check.*]`.
    pub checks: Index<'s>,
    /// `[pool.*]`.
    pub pools: Index<'s>,
    /// `[[geo.network]]`.
    pub networks: Index<'s>,
    /// `[tls.*]`.
    pub tls: Index<'s>,
}

impl<'s> Names<'s> {
    /// The names that a configuration defines.
    pub fn of(spec: &'s Spec) -> Self {
        Names {
            regions: Index::new("region", |n| format!("[region.{n}]"), keys(&spec.regions)),
            checks: Index::new("health check", |n| format!("[health_check.{n}]"), keys(&spec.checks)),
            pools: Index::new("pool", |n| format!("[pool.{n}]"), keys(&spec.pools)),
            networks: Index::new("network", |n| format!("[[geo.network]] with `name = \"{n}\"`"), networks(spec)),
            tls: Index::new("certificate", |n| format!("[tls.{n}]"), keys(&spec.tls)),
        }
    }
}

fn keys<T>(named: &[Named<T>]) -> Vec<&str> {
    named.iter().map(|n| n.name.value.as_str()).collect()
}

/// A network without a readable name keeps its place, so that ids count all of them.
fn networks(spec: &Spec) -> Vec<&str> {
    spec.geo.networks.iter().map(|n| n.name.as_ref().map_or("", |n| n.value.as_str())).collect()
}

impl<'s> Index<'s> {
    fn new(kind: &'static str, heading: fn(&str) -> String, in_order: Vec<&'s str>) -> Self {
        let at = in_order.iter().enumerate().rev().map(|(at, name)| (*name, at)).collect();
        let listed = in_order.into_iter().filter(|name| !name.is_empty()).collect();
        Index { kind, heading, at, listed }
    }

    /// Where a name is, without a word when it is not.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.at.get(name).copied()
    }

    /// Where a name is; `user` uses it ("VIP `www.example.com.`") and is named when it is not defined.
    pub fn resolve(&self, reports: &mut Reports<'_>, user: &str, name: &Written<String>) -> Option<usize> {
        let found = self.find(&name.value);
        if found.is_none() {
            self.undefined(reports, user, name);
        }
        found
    }

    fn undefined(&self, reports: &mut Reports<'_>, user: &str, name: &Written<String>) {
        let help = reports.instead_of(self.kind, &name.value, &self.listed);
        let fact = format!("{user} uses {} `{}`, which is not defined", self.kind, name.value.escape_debug());
        let label = format!("no {}", (self.heading)(&name.value));
        reports.error(codes::UNDEFINED, name.span, fact).label(label).help(help);
    }
}
