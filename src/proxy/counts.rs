//! What was proxied since the start, over all workers and reloads.
//!
//! Workers ask here for the cells of what they serve when a configuration comes, by name, and count in those from then
//! on; see [`crate::proxy::cells`]. A name that stays keeps its cells, so nothing counts backwards by a reload. What no
//! configuration names is forgotten when no worker holds its cells any more: names that come and go for years take no
//! memory, and a listener that is gone is seen for as long as it drains.
//!
//! Whatever a configuration names is there from the beginning, at zero, whether a worker has asked for it or not: the
//! first failure must be seen as an increase.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::health::names::member_names;
use crate::model::Action;
use crate::model::Listener;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::Protocol;
use crate::proxy::cells::EndpointCell;
use crate::proxy::cells::EndpointSums;
use crate::proxy::cells::FlowCell;
use crate::proxy::cells::ListenerCell;
use crate::proxy::cells::ListenerSums;
use crate::proxy::cells::PoolCell;
use crate::proxy::cells::PoolSums;
use crate::proxy::cells::RouteCell;
use crate::proxy::cells::RouteSums;
use crate::proxy::cells::Summed;

/// How flows end, that are there before they happen.
const FLOW_ENDS_EXPECTED: &[&str] = &["closed", "connect_failed", "endpoint_reset", "no_endpoint"];
/// What we may answer in an endpoint's place.
const OUR_CODES: [u16; 4] = [200, 502, 503, 504];
/// What we answer to what is for no route.
const NO_ROUTE_CODES: [u16; 2] = [400, 404];

/// Which requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteName {
    /// The listener's name.
    pub listener: String,
    /// The route's name; none when there was no route for it.
    pub route: Option<String>,
    /// The pool's name; none when it was to go to none.
    pub pool: Option<String>,
}

/// An L4 listener, and the pool its flows went to; none when there was none.
pub type FlowName = (String, Option<String>);

/// An endpoint's pool, and what the endpoint is called there.
pub type EndpointName = (String, String);

/// Each worker's cell.
type OfWorkers<C> = BTreeMap<usize, Arc<C>>;

/// Every worker's cells, by name.
#[derive(Debug, Default)]
pub struct ProxyCounts {
    cells: Mutex<Cells>,
}

#[derive(Debug, Default)]
struct Cells {
    listeners: BTreeMap<String, OfWorkers<ListenerCell>>,
    routes: BTreeMap<RouteName, OfWorkers<RouteCell>>,
    flows: BTreeMap<FlowName, OfWorkers<FlowCell>>,
    pools: BTreeMap<String, OfWorkers<PoolCell>>,
    endpoints: BTreeMap<EndpointName, OfWorkers<EndpointCell>>,
}

impl ProxyCounts {
    /// Where the worker of that number counts what becomes of a listener. Two workers that run have two numbers.
    pub fn listener(&self, worker: usize, name: &str) -> Arc<ListenerCell> {
        cell(&mut self.held().listeners, name.to_owned(), worker)
    }

    /// Where it counts the responses to a route's requests, for one pool that it may send them to.
    pub fn route(&self, worker: usize, listener: &str, route: Option<&str>, pool: Option<&str>) -> Arc<RouteCell> {
        let (route, pool) = (route.map(str::to_owned), pool.map(str::to_owned));
        cell(&mut self.held().routes, RouteName { listener: listener.to_owned(), route, pool }, worker)
    }

    /// Where it counts how flows of an L4 listener end, for one pool that they may go to.
    pub fn flow(&self, worker: usize, listener: &str, pool: Option<&str>) -> Arc<FlowCell> {
        cell(&mut self.held().flows, (listener.to_owned(), pool.map(str::to_owned)), worker)
    }

    /// Where it counts what becomes of a pool.
    pub fn pool(&self, worker: usize, name: &str) -> Arc<PoolCell> {
        cell(&mut self.held().pools, name.to_owned(), worker)
    }

    /// Where it counts what becomes of an endpoint, which is called as [`member_names`] says.
    pub fn endpoint(&self, worker: usize, pool: &str, endpoint: &str) -> Arc<EndpointCell> {
        cell(&mut self.held().endpoints, (pool.to_owned(), endpoint.to_owned()), worker)
    }

    /// How many requests came late to a listener.
    pub fn late(&self, listener: &str) -> u64 {
        let mut sums = ListenerSums::default();
        self.held().listeners.get(listener).into_iter().flatten().for_each(|(_, cell)| cell.add_to(&mut sums));
        sums.late
    }

    /// What was counted since the start, of all that the configuration names and all that is still in use.
    pub fn totals(&self, model: &Model) -> ProxyTotals {
        let names = Names::of(model);
        let mut cells = self.held();
        let mut routes = totals(&mut cells.routes, names.routes.keys());
        for (name, codes) in names.routes {
            let sums = routes.entry(name).or_default();
            codes.iter().for_each(|code| _ = sums.codes.entry(Some(*code)).or_default());
        }
        let mut flows = totals(&mut cells.flows, names.flows.iter());
        for (name, sums) in flows.iter_mut().filter(|(name, _)| names.flows.contains(name)) {
            let expected = if name.1.is_some() { FLOW_ENDS_EXPECTED } else { &[] };
            expected.iter().for_each(|end| _ = sums.entry(Some(end)).or_default());
        }
        ProxyTotals {
            flows,
            listeners: totals(&mut cells.listeners, &names.listeners),
            routes,
            pools: totals(&mut cells.pools, &names.pools),
            endpoints: totals(&mut cells.endpoints, &names.endpoints),
        }
    }

    /// A panic while adding up leaves a name too few at worst.
    fn held(&self) -> MutexGuard<'_, Cells> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cell<K: Ord, C: Default>(cells: &mut BTreeMap<K, OfWorkers<C>>, name: K, worker: usize) -> Arc<C> {
    cells.entry(name).or_default().entry(worker).or_default().clone()
}

/// Adds up; forgets what neither has one of these names nor is in use.
fn totals<'n, K: Ord + Clone + 'n, C: Summed>(
    cells: &mut BTreeMap<K, OfWorkers<C>>,
    names: impl IntoIterator<Item = &'n K>,
) -> BTreeMap<K, C::Sums> {
    let mut sums: BTreeMap<K, C::Sums> = names.into_iter().map(|name| (name.clone(), C::Sums::default())).collect();
    let in_use = |workers: &OfWorkers<C>| workers.values().any(|cell| Arc::strong_count(cell) > 1);
    cells.retain(|name, workers| sums.contains_key(name) || in_use(workers));
    for (name, workers) in cells {
        let sum = sums.entry(name.clone()).or_default();
        workers.values().for_each(|cell| cell.add_to(sum));
    }
    sums
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct ProxyTotals {
    /// By the listener's name.
    pub listeners: BTreeMap<String, ListenerSums>,
    /// By listener, route and pool.
    pub routes: BTreeMap<RouteName, RouteSums>,
    /// By L4 listener and pool, then by how they ended.
    pub flows: BTreeMap<FlowName, BTreeMap<Option<&'static str>, u64>>,
    /// By the pool's name.
    pub pools: BTreeMap<String, PoolSums>,
    /// By the pool's name and the endpoint's.
    pub endpoints: BTreeMap<EndpointName, EndpointSums>,
}

/// What a configuration names.
#[derive(Default)]
struct Names {
    listeners: BTreeSet<String>,
    /// With the codes that may be expected.
    routes: BTreeMap<RouteName, Vec<u16>>,
    flows: BTreeSet<FlowName>,
    pools: BTreeSet<String>,
    endpoints: BTreeSet<EndpointName>,
}

impl Names {
    fn of(model: &Model) -> Self {
        let mut names = Names::default();
        model.listeners.iter().for_each(|listener| names.take_listener(model, listener));
        names
    }

    fn take_listener(&mut self, model: &Model, listener: &Listener) {
        self.listeners.insert(listener.name.clone());
        match &listener.protocol {
            Protocol::Http(http) => {
                self.take_route(listener, None, None, &NO_ROUTE_CODES);
                for route in &http.routes {
                    match &route.action {
                        Action::Forward { arms, .. } => arms.iter().for_each(|arm| {
                            let pool = &model.pool(arm.pool).name;
                            self.take_route(listener, Some(&route.name), Some(pool), &OUR_CODES);
                            self.take_pool(model, arm.pool);
                        }),
                        Action::Redirect { status, .. } | Action::Respond { status, .. } => {
                            self.take_route(listener, Some(&route.name), None, &[status.as_u16()]);
                        }
                    }
                }
            }
            _ => listener.flow_pools().into_iter().for_each(|pool| {
                self.flows.insert((listener.name.clone(), Some(model.pool(pool).name.clone())));
                self.take_pool(model, pool);
            }),
        }
    }

    fn take_route(&mut self, listener: &Listener, route: Option<&String>, pool: Option<&String>, codes: &[u16]) {
        let name = RouteName { listener: listener.name.clone(), route: route.cloned(), pool: pool.cloned() };
        self.routes.entry(name).or_default().extend_from_slice(codes);
    }

    /// A pool, and those that stand in for it.
    fn take_pool(&mut self, model: &Model, pool: PoolId) {
        let mut next = Some(pool);
        while let Some(pool) = next {
            let name = &model.pool(pool).name;
            if !self.pools.insert(name.clone()) {
                return;
            }
            self.endpoints.extend(member_names(model, pool).map(|(_, member)| (name.clone(), member.to_string())));
            next = model.pool(pool).fallback;
        }
    }
}

/// A configuration as tests have it.
#[cfg(test)]
pub(crate) mod samples {
    use std::sync::Arc;
    use std::time::Duration;

    use http::StatusCode;

    use crate::model::*;

    fn route(name: &str, action: Action) -> Route {
        Route {
            name: name.to_owned(),
            matches: RequestMatch::default(),
            action,
            rewrite: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            expires: None,
            timeout: Duration::from_secs(30),
            retries: 1,
            sticky: None,
        }
    }

    fn pool(name: &str, endpoint: u32, fallback: Option<PoolId>) -> Pool {
        Pool {
            name: name.to_owned(),
            region: RegionId(0),
            check: None,
            balance: Balance::default(),
            min_healthy: 1,
            fallback,
            endpoints: endpoint..endpoint + 1,
            upstream: Arc::default(),
            load: None,
        }
    }

    fn listener(name: &str) -> Listener {
        let forward = Action::Forward { arms: vec![Arm { pool: PoolId(0), weight: 1 }], keyed_on: KeyedOn::default() };
        let redirect = Action::Redirect { status: StatusCode::PERMANENT_REDIRECT, to: "https://{host}{uri}".into() };
        let http = Http {
            tls: Vec::new(),
            routes: vec![route("app", forward), route("moved", redirect)],
            trusted_proxies: Vec::new(),
            paths: PathRules::default(),
            underscores: Underscores::default(),
            upgrades: Vec::new(),
            trailers: Vec::new(),
            body_bytes_max: None,
            timeouts: HttpTimeouts::default(),
        };
        Listener {
            name: name.to_owned(),
            region: RegionId(0),
            bind: "192.0.2.10:80".parse().unwrap(),
            protocol: Protocol::Http(Box::new(http)),
            proxy_protocol_from: Vec::new(),
            proxy_protocol_to: None,
            limits: Limits::default(),
            drain_timeout: Duration::from_secs(300),
            sends_on: true,
        }
    }

    /// Listeners of these names, each with a route `app` to the pool `eu`, for which `us` stands in, and one, `moved`, that
    /// redirects.
    pub(crate) fn model(listeners: &[&str]) -> Model {
        let endpoint = |pool, address: &str| Endpoint {
            pool: PoolId(pool),
            address: address.parse().unwrap(),
            port: Some(8080),
            weight: 1,
            backup: false,
        };
        Model {
            regions: vec![Region {
                name: "here".into(),
                label: "Here".into(),
                location: None,
                capacity: None,
                requests_max: None,
            }],
            pools: vec![pool("eu", 0, Some(PoolId(1))), pool("us", 1, None)],
            endpoints: vec![endpoint(0, "192.0.2.10"), endpoint(1, "198.51.100.10")],
            listeners: listeners.iter().map(|name| listener(name)).collect(),
            ..Model::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::samples::model;
    use super::*;
    use crate::proxy::cells::Failure;
    use crate::proxy::cells::Stays;

    fn route(listener: &str, route: Option<&str>, pool: Option<&str>) -> RouteName {
        RouteName { listener: listener.into(), route: route.map(Into::into), pool: pool.map(Into::into) }
    }

    #[test]
    fn what_is_configured_is_there_before_anything_happens() {
        let totals = ProxyCounts::default().totals(&model(&["edge"]));
        assert_eq!(totals.listeners["edge"], ListenerSums::default());
        assert_eq!(totals.routes[&route("edge", Some("app"), Some("eu"))].codes[&Some(503)], 0);
        assert_eq!(totals.routes[&route("edge", Some("moved"), None)].codes, BTreeMap::from([(Some(308), 0)]));
        assert_eq!(totals.routes[&route("edge", None, None)].codes[&Some(404)], 0);
        let pools: Vec<&String> = totals.pools.keys().collect();
        assert_eq!(pools, ["eu", "us"], "us stands in for eu");
        assert!(totals.endpoints.contains_key(&("us".into(), "198.51.100.10".into())));
    }

    #[test]
    fn workers_are_added_up() {
        let counts = ProxyCounts::default();
        for worker in 0..3 {
            let (listener, pool) = (counts.listener(worker, "edge"), counts.pool(worker, "eu"));
            (0..=worker).for_each(|_| listener.connection_opened());
            listener.request_begun();
            listener.request_ended(Duration::from_millis(3));
            listener.refused("host_missing");
            listener.bytes(10, 100);
            counts.route(worker, "edge", Some("app"), Some("eu")).add(200);
            pool.failed(Failure::Tls);
            pool.panics(worker == 1);
            (0..2).for_each(|_| pool.queued());
            pool.left_queue();
        }
        counts.listener(1, "edge").connection_closed();
        let totals = counts.totals(&model(&["edge"]));
        let edge = &totals.listeners["edge"];
        assert_eq!((edge.connections, edge.requests), (Stays { begun: 6, now: 5 }, Stays { begun: 3, now: 0 }));
        assert_eq!((edge.bytes_in, edge.bytes_out, edge.micros, edge.durations[3]), (30, 300, 9_000, 3));
        assert_eq!(edge.refused[&Some("host_missing")], 3);
        assert_eq!(totals.routes[&route("edge", Some("app"), Some("eu"))].codes[&Some(200)], 3);
        let eu = &totals.pools["eu"];
        assert_eq!((eu.failures[Failure::Tls as usize], eu.panicking, eu.queue.now), (3, 1, 3));
    }

    #[test]
    fn a_name_that_stays_goes_on_and_one_that_is_gone_is_forgotten_when_it_is_let_go() {
        let counts = ProxyCounts::default();
        let (stays, goes) = (counts.listener(0, "edge"), counts.listener(0, "old"));
        stays.connection_opened();
        goes.connection_opened();
        let now = |model: &Model| {
            let totals = counts.totals(model);
            totals.listeners.into_iter().map(|(name, sums)| (name, sums.connections.now)).collect::<Vec<_>>()
        };
        let (both, one) = (model(&["edge", "old"]), model(&["edge"]));
        assert_eq!(now(&both), [("edge".to_owned(), 1), ("old".to_owned(), 1)]);
        drop(stays);
        assert_eq!(now(&one), [("edge".to_owned(), 1), ("old".to_owned(), 1)], "it drains");
        drop(goes);
        assert_eq!(now(&one), [("edge".to_owned(), 1)]);
        counts.listener(0, "edge").connection_opened();
        assert_eq!(now(&both), [("edge".to_owned(), 2), ("old".to_owned(), 0)]);
    }
}
