//! Endpoints that are listeners of this very configuration, and the pools behind those.
//!
//! Where one process serves several tiers, an application that dies is known here before any probe of the tier above has met it:
//! its pool goes down, the L4 listener in front of that pool has nobody to send to, so the endpoint of the L7 pool that is this
//! listener cannot serve, and so on up to the answers of DNS. The table draws that conclusion at once ([`super::table`]); between
//! processes probes find the same out.
//!
//! **What is behind a listener** are the pools that it forwards to, with their fallbacks in its own region. One that is up is enough:
//! which hosts or paths matter to whom is not known here. Pools of other regions do not count: that a region could pass its clients on
//! is no reason to send it more. For the same reason an endpoint that is a listener of another region than its pool's is not followed:
//! regions may be each other's backups, and a pool that is up by such an endpoint alone counts as down here. A listener that forwards to no pool always serves.
//!
//! **Ejections do not count** either. They never take down the last healthy pool of a VIP, and what stands before a pool may be all that a
//! VIP has; the tier above sees requests fail for itself.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::SocketAddr;

use crate::health::target::check_of;
use crate::model::Action;
use crate::model::EndpointId;
use crate::model::Listener;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::Protocol;
use crate::model::usual_port;

/// A listener, by its place among those that endpoints stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrontId(u32);

impl FrontId {
    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A listener that endpoints stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// Its place in the model.
    pub listener: usize,
    /// The pools that it may send to, each once.
    pub behind: Vec<PoolId>,
    /// The endpoints that are it.
    pub endpoints: Vec<EndpointId>,
}

/// Every such listener of a model.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fronts {
    fronts: Vec<Front>,
    of_endpoints: BTreeMap<EndpointId, FrontId>,
    /// Endpoints that are listeners of another region than their pool's.
    elsewhere: BTreeSet<EndpointId>,
    of_pools: BTreeMap<PoolId, Vec<FrontId>>,
}

impl Fronts {
    /// Of a checked model.
    pub fn of(model: &Model) -> Self {
        let mut fronts = Fronts::default();
        if model.listeners.is_empty() {
            return fronts;
        }
        let places = Places::of(model);
        let mut of_listeners: BTreeMap<usize, FrontId> = BTreeMap::new();
        for id in (0..model.endpoints.len()).map(EndpointId::from) {
            let Some(listener) = places.listener_of(model, id) else { continue };
            let is_elsewhere = model.listeners[listener].region != model.pool(model.endpoint(id).pool).region;
            let behind = behind(model, &model.listeners[listener]);
            if is_elsewhere {
                fronts.elsewhere.insert(id);
            }
            if behind.is_empty() || is_elsewhere {
                continue;
            }
            let front = *of_listeners.entry(listener).or_insert_with(|| {
                fronts.fronts.push(Front { listener, behind, endpoints: Vec::new() });
                FrontId(fronts.fronts.len() as u32 - 1)
            });
            fronts.fronts[front.index()].endpoints.push(id);
            fronts.of_endpoints.insert(id, front);
        }
        for (at, front) in fronts.fronts.iter().enumerate() {
            for pool in &front.behind {
                fronts.of_pools.entry(*pool).or_default().push(FrontId(at as u32));
            }
        }
        fronts
    }

    /// Whether there are none: the usual case where tiers are machines of their own.
    pub fn is_empty(&self) -> bool {
        self.fronts.is_empty()
    }

    /// All of them, by their ids.
    pub fn all(&self) -> impl Iterator<Item = (FrontId, &Front)> {
        self.fronts.iter().enumerate().map(|(at, front)| (FrontId(at as u32), front))
    }

    /// One of them.
    pub fn front(&self, id: FrontId) -> &Front {
        &self.fronts[id.index()]
    }

    /// The listener that an endpoint is.
    pub fn of_endpoint(&self, id: EndpointId) -> Option<FrontId> {
        self.of_endpoints.get(&id).copied()
    }

    /// Whether an endpoint is a listener of another region than its pool's: it says nothing of its pool's region.
    pub fn is_elsewhere(&self, id: EndpointId) -> bool {
        self.elsewhere.contains(&id)
    }

    /// The listeners that a pool is behind.
    pub fn of_pool(&self, id: PoolId) -> &[FrontId] {
        self.of_pools.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Listeners that come back to themselves, the first such circle: a request would go round in it.
    pub fn circle(&self, model: &Model) -> Option<Vec<usize>> {
        let mut seen = vec![Seen::No; self.fronts.len()];
        (0..self.fronts.len()).find_map(|at| self.circle_from(model, FrontId(at as u32), &mut seen, &mut Vec::new()))
    }

    fn circle_from(&self, model: &Model, at: FrontId, seen: &mut [Seen], way: &mut Vec<FrontId>) -> Option<Vec<usize>> {
        match seen[at.index()] {
            Seen::Whole => return None,
            Seen::Under => {
                let begin = way.iter().position(|on| *on == at).unwrap_or_default();
                return Some(way[begin..].iter().map(|id| self.front(*id).listener).collect());
            }
            Seen::No => {}
        }
        (seen[at.index()], _) = (Seen::Under, way.push(at));
        let members = self.front(at).behind.iter().flat_map(|pool| model.members(*pool));
        let next = members.filter_map(|(id, _)| self.of_endpoint(id));
        for next in next.collect::<Vec<_>>() {
            if let Some(circle) = self.circle_from(model, next, seen, way) {
                return Some(circle);
            }
        }
        (seen[at.index()], _) = (Seen::Whole, way.pop());
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    No,
    Under,
    Whole,
}

/// Where listeners are.
struct Places {
    /// The first of each socket, TCP's before UDP's.
    exact: BTreeMap<SocketAddr, usize>,
}

impl Places {
    fn of(model: &Model) -> Self {
        let mut exact = BTreeMap::new();
        let is_udp = |listener: &Listener| matches!(listener.protocol, Protocol::Udp(_));
        for udp in [false, true] {
            let of_kind = model.listeners.iter().enumerate().filter(|(_, listener)| is_udp(listener) == udp);
            of_kind.for_each(|(at, listener)| _ = exact.entry(listener.bind).or_insert(at));
        }
        Places { exact }
    }

    fn listener_of(&self, model: &Model, id: EndpointId) -> Option<usize> {
        let endpoint = model.endpoint(id);
        let check = check_of(model, id);
        let checked = || check.and_then(|check| check.port.or(check.kind.default_port()));
        let usual = || usual_port(model.pool(endpoint.pool).upstream.tls.is_some());
        let port = endpoint.port.or_else(checked).unwrap_or_else(usual);
        let wildcard = match endpoint.address {
            IpAddr::V4(_) => IpAddr::from([0u8; 4]),
            IpAddr::V6(_) => IpAddr::from([0u16; 8]),
        };
        let at = |ip| self.exact.get(&SocketAddr::new(ip, port)).copied();
        // Of other addresses it is not known whether they are this machine's.
        at(endpoint.address).or_else(|| at(wildcard).filter(|_| endpoint.address.is_loopback()))
    }
}

fn behind(model: &Model, listener: &Listener) -> Vec<PoolId> {
    let mut named = listener.flow_pools();
    if let Protocol::Http(http) = &listener.protocol {
        for route in &http.routes {
            if let Action::Forward { arms, .. } = &route.action {
                named.extend(arms.iter().map(|arm| arm.pool));
            }
        }
    }
    let mut behind: Vec<PoolId> = Vec::new();
    for pool in named {
        let fallbacks = model.fallbacks(pool).into_iter().filter(|id| model.pool(*id).region == listener.region);
        behind.extend(std::iter::once(pool).chain(fallbacks));
    }
    behind.sort_unstable();
    behind.dedup();
    behind
}
