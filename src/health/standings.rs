//! Every belief and every order of one moment, by dense id: what the keeper owns and [`HealthTable`] is made from.
//!
//! Ids are those of one [`Model`]; [`Standings::carried_over`] takes what is known from one model to the next, so that
//! a reload forgets nothing it need not forget.
//!
//! [`HealthTable`]: crate::health::table::HealthTable

use std::collections::HashMap;
use std::net::IpAddr;

use crate::health::belief::{Belief, Standing};
use crate::health::forced::{Forced, Order};
use crate::health::target::check_of;
use crate::model::{EndpointId, HealthCheck, Model, Moment, Pool, PoolId, RegionId};

/// What an order is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One endpoint.
    Endpoint(EndpointId),
    /// One pool.
    Pool(PoolId),
    /// One region: every pool in it.
    Region(RegionId),
}

impl Subject {
    /// The subject of a name as operators write it: `region/eu-west`, `pool/eu-web`, `endpoint/eu-web/192.0.2.10`.
    pub fn named(model: &Model, text: &str) -> Option<Subject> {
        let (kind, name) = text.split_once('/')?;
        match kind {
            "region" => model.regions.iter().position(|r| r.name == name).map(|i| Subject::Region(RegionId::from(i))),
            "pool" => pool_named(model, name).map(Subject::Pool),
            "endpoint" => {
                let (pool, address) = name.rsplit_once('/')?;
                let address: IpAddr = address.parse().ok()?;
                let mut members = model.members(pool_named(model, pool)?);
                members.find(|(_, endpoint)| endpoint.address == address).map(|(id, _)| Subject::Endpoint(id))
            }
            _ => None,
        }
    }
}

fn pool_named(model: &Model, name: &str) -> Option<PoolId> {
    model.pools.iter().position(|pool| pool.name == name).map(PoolId::from)
}

/// What an endpoint is known by from one model to the next, and from one run to the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointKey {
    /// The pool's name.
    pub pool: String,
    /// The endpoint's address.
    pub address: IpAddr,
    /// The endpoint's own port.
    pub port: Option<u16>,
}

impl EndpointKey {
    /// The key of an endpoint.
    pub fn of(model: &Model, id: EndpointId) -> Self {
        let endpoint = model.endpoint(id);
        EndpointKey { pool: model.pool(endpoint.pool).name.clone(), address: endpoint.address, port: endpoint.port }
    }
}

/// Every belief and every order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standings {
    /// By [`EndpointId`].
    pub endpoints: Vec<Belief>,
    /// What was ordered of whole pools, by [`PoolId`].
    pub pools: Vec<Option<Box<Forced>>>,
    /// What was ordered of whole regions, by [`RegionId`].
    pub regions: Vec<Option<Box<Forced>>>,
}

impl Standings {
    /// Nothing known and nothing ordered; endpoints that nothing probes are up.
    pub fn unknown(model: &Model, now: Moment) -> Self {
        Standings::recalled(model, &HashMap::new(), now)
    }

    /// Nothing known but what is recalled from before a restart, which counts until the first probes have ended.
    pub fn recalled(model: &Model, known: &HashMap<EndpointKey, Standing>, now: Moment) -> Self {
        let endpoints = (0..model.endpoints.len()).map(EndpointId::from).map(|id| match check_of(model, id) {
            None => Belief::unprobed(now),
            Some(_) if known.is_empty() => Belief::unknown(None, now),
            Some(_) => Belief::unknown(known.get(&EndpointKey::of(model, id)).copied(), now),
        });
        Standings {
            endpoints: endpoints.collect(),
            pools: vec![None; model.pools.len()],
            regions: vec![None; model.regions.len()],
        }
    }

    /// The same for the next model.
    ///
    /// An endpoint of the same pool, address, port and check keeps its belief; one whose check has changed is asked
    /// anew and keeps its standing until the first answer; others start unknown. Orders go by name.
    pub fn carried_over(&self, old: &Model, new: &Model, now: Moment) -> Self {
        let keys = (0..old.endpoints.len()).map(EndpointId::from);
        let before: HashMap<EndpointKey, EndpointId> = keys.map(|id| (EndpointKey::of(old, id), id)).collect();
        let endpoints = (0..new.endpoints.len()).map(EndpointId::from).map(|id| {
            let check = check_of(new, id);
            let Some(former) = before.get(&EndpointKey::of(new, id)) else { return fresh(check, now) };
            let belief = self.endpoints[former.index()].clone();
            match (check_of(old, *former), check) {
                (None, None) => belief,
                (Some(was), Some(is)) if asks_the_same(was, is) => belief,
                (_, Some(_)) => belief.asked_anew(now),
                (Some(_), None) => Belief::unprobed(now).under(belief.forced),
            }
        });
        let old_pools: HashMap<&str, _> = old.pools.iter().map(|p| p.name.as_str()).zip(&self.pools).collect();
        let old_regions: HashMap<&str, _> = old.regions.iter().map(|r| r.name.as_str()).zip(&self.regions).collect();
        let order =
            |known: &HashMap<&str, &Option<Box<Forced>>>, name: &str| known.get(name).and_then(|f| (*f).clone());
        Standings {
            endpoints: endpoints.collect(),
            pools: new.pools.iter().map(|p| order(&old_pools, &p.name)).collect(),
            regions: new.regions.iter().map(|r| order(&old_regions, &r.name)).collect(),
        }
    }

    /// What was ordered of a subject.
    pub fn forced(&self, subject: Subject) -> Option<&Forced> {
        match subject {
            Subject::Endpoint(id) => self.endpoints[id.index()].forced.as_deref(),
            Subject::Pool(id) => self.pools[id.index()].as_deref(),
            Subject::Region(id) => self.regions[id.index()].as_deref(),
        }
    }

    /// Orders something of a subject, or nothing any more.
    pub fn force(&mut self, subject: Subject, forced: Option<Forced>) {
        let forced = forced.map(Box::new);
        match subject {
            Subject::Endpoint(id) => self.endpoints[id.index()].forced = forced,
            Subject::Pool(id) => self.pools[id.index()] = forced,
            Subject::Region(id) => self.regions[id.index()] = forced,
        }
    }

    /// Every order with its subject.
    pub fn orders(&self) -> impl Iterator<Item = (Subject, &Forced)> {
        let endpoints = self.endpoints.iter().enumerate();
        let endpoints =
            endpoints.filter_map(|(i, b)| Some((Subject::Endpoint(EndpointId::from(i)), b.forced.as_deref()?)));
        let pools = self.pools.iter().enumerate();
        let pools = pools.filter_map(|(i, f)| Some((Subject::Pool(PoolId::from(i)), f.as_deref()?)));
        let regions = self.regions.iter().enumerate();
        let regions = regions.filter_map(|(i, f)| Some((Subject::Region(RegionId::from(i)), f.as_deref()?)));
        endpoints.chain(pools).chain(regions)
    }

    /// The order that counts for a pool: its own or its region's, the harsher one.
    pub fn order_for(&self, id: PoolId, pool: &Pool) -> Option<&Forced> {
        let harshness = |forced: &&Forced| match forced.order {
            Order::Maint => 3,
            Order::Drain => 2,
            Order::Down => 1,
            Order::Up | Order::Weight(_) => 0,
        };
        let own = self.pools[id.index()].as_deref();
        own.into_iter().chain(self.regions[pool.region.index()].as_deref()).max_by_key(harshness)
    }
}

fn fresh(check: Option<&HealthCheck>, now: Moment) -> Belief {
    check.map_or_else(|| Belief::unprobed(now), |_| Belief::unknown(None, now))
}

/// Whether two checks ask the same question in the same rhythm; their names may differ.
pub fn asks_the_same(a: &HealthCheck, b: &HealthCheck) -> bool {
    let rhythm = |c: &HealthCheck| (c.interval, c.fast, c.timeout, c.fall, c.rise, c.port);
    rhythm(a) == rhythm(b) && a.kind == b.kind
}
