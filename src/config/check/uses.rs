//! Who uses which pool: VIPs and listeners, by name and over fallbacks.

use crate::config::spec::Spec;

use super::names::Names;

/// What VIPs and listeners use of the other sections. Users are their places in the specification.
pub struct Uses {
    /// For each pool, a VIP that names it.
    vips: Vec<Option<usize>>,
    /// For each pool, a listener that names it.
    listeners: Vec<Option<usize>>,
    /// For each network, whether a rule names it.
    pub networks: Vec<bool>,
}

impl Uses {
    /// None so far.
    pub fn none(spec: &Spec) -> Self {
        let none = vec![None; spec.pools.len()];
        Uses { vips: none.clone(), listeners: none, networks: vec![false; spec.geo.networks.len()] }
    }

    /// Notes that a VIP names a pool.
    pub fn by_vip(&mut self, pool: usize, vip: usize) {
        self.vips[pool].get_or_insert(vip);
    }

    /// Notes that a listener names a pool.
    pub fn by_listener(&mut self, pool: usize, listener: usize) {
        self.listeners[pool].get_or_insert(listener);
    }

    /// For each pool, a VIP that may be answered from it, by name or over fallbacks.
    pub fn answered(&self, spec: &Spec, names: &Names<'_>) -> Vec<Option<usize>> {
        over_fallbacks(&self.vips, spec, names)
    }

    /// For each pool, a listener that may forward to it, by name or over fallbacks.
    pub fn forwarded(&self, spec: &Spec, names: &Names<'_>) -> Vec<Option<usize>> {
        over_fallbacks(&self.listeners, spec, names)
    }
}

fn over_fallbacks(named: &[Option<usize>], spec: &Spec, names: &Names<'_>) -> Vec<Option<usize>> {
    let mut reached = named.to_vec();
    for (start, user) in named.iter().enumerate().filter(|(_, user)| user.is_some()) {
        let mut at = start;
        // Ends at a pool already reached, so also in a circle.
        while let Some(fallback) = &spec.pools[at].value.fallback {
            match names.pools.find(&fallback.value) {
                Some(next) if reached[next].is_none() => {
                    reached[next] = *user;
                    at = next;
                }
                _ => break,
            }
        }
    }
    reached
}
