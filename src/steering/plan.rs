//! The model compiled for deciding: prefix to class to ranking, and each pool's endpoints as picks need them.
//!
//! Compiling is where we pay: names, weights, distances and prefixes are worked out once for each snapshot; a query reads
//! tables. Equal maps and equal rankings are stored once, however many VIPs have them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::balance::key::identity;
use crate::geo::atlas::Atlas;
use crate::geo::latency::LatencyTable;
use crate::geo::runs::Runs;
use crate::geo::table::Leaf;
use crate::geo::table::PrefixTable;
use crate::model::Balance;
use crate::model::EndpointId;
use crate::model::Family;
use crate::model::FamilyRule;
use crate::model::HashGranularity;
use crate::model::Model;
use crate::model::Policy;
use crate::model::PoolId;
use crate::model::Vip;
use crate::model::VipId;
use crate::model::WhenAllDown;
use crate::steering::client::Client;
use crate::steering::detour;
use crate::steering::detour::Stretch;
use crate::steering::rank::Ranking;
use crate::steering::steering_map::Maps;
use crate::steering::steering_map::SteeringMap;
use crate::steering::steering_map::ranking_of_choice;
use crate::steering::uses::Uses;

/// With more steering maps than this nobody knows ahead which of them a query is for; reading in all would cost more than
/// it spares.
const MAPS_AHEAD_MAX: usize = 2;

/// Of VIPs whose pools shed nobody.
const NO_STRETCHES: u32 = u32::MAX;

/// Everything `decide` reads that configuration fixes: VIPs, pools and prefix tables, compiled.
#[derive(Debug)]
pub struct Plan {
    model: Arc<Model>,
    latency: LatencyTable,
    pub(super) vips: Vec<VipPlan>,
    pub(super) pools: Vec<PoolPlan>,
    pub(super) members: Vec<MemberPlan>,
    maps: Vec<SteeringMap>,
    /// The ranking of each class, VIP after VIP.
    classes: Vec<u32>,
    rankings: Vec<Ranking>,
    /// The stretch of each class, of those VIPs for which load matters, one after the other.
    stretches: Vec<Stretch>,
    addresses: Vec<IpAddr>,
    uses: Uses,
}

/// How large a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanFigures {
    /// Distinct steering maps.
    pub maps: usize,
    /// Distinct rankings.
    pub rankings: usize,
    /// Bytes of all prefix tables.
    pub table_bytes: usize,
}

/// A VIP as `decide` reads it.
#[derive(Debug)]
pub(super) struct VipPlan {
    map: u32,
    /// Where its classes begin in `Plan::classes`.
    classes: u32,
    /// Where the stretches of its classes begin in `Plan::stretches`; [`NO_STRETCHES`]: no pool of it sheds.
    stretches: u32,
    /// Its identity in keys, from its name.
    pub(super) identity: u64,
    pub(super) ttl: u32,
    pub(super) min_ttl: u32,
    pub(super) answers: u8,
    pub(super) hash: HashGranularity,
    /// Whether a draw within a group is made anew for each TTL's time.
    pub(super) redrawn: bool,
    pub(super) when_all_down: WhenAllDown,
    pub(super) family: FamilyRule,
}

/// A pool's endpoints by family.
#[derive(Debug)]
pub(super) struct PoolPlan {
    pub(super) identity: u64,
    pub(super) balance: Balance,
    pub(super) v4: Side,
    pub(super) v6: Side,
}

/// The endpoints of one family: a stretch of `Plan::members`, those without weight at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    pub(super) first: u32,
    pub(super) weighted: u32,
    pub(super) count: u32,
    /// Whether those with a weight all have the same.
    pub(super) equal: bool,
}

/// An endpoint as picks see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberPlan {
    pub(super) identity: u64,
    pub(super) id: EndpointId,
    pub(super) weight: u32,
}

impl Plan {
    /// Compiles a model.
    pub fn build(model: Arc<Model>, atlas: &Atlas, latency: &LatencyTable) -> Self {
        let mut members = Vec::with_capacity(model.endpoints.len());
        let pools = (0..model.pools.len()).map(|at| pool_plan(&model, PoolId::from(at), &mut members)).collect();
        let mut maps = Maps::new(&model, atlas, latency);
        let mut rankings = Rankings::default();
        let (mut classes, mut stretches, mut vips) = (Vec::new(), Vec::new(), Vec::with_capacity(model.vips.len()));
        for vip in &model.vips {
            let map = maps.map_of(vip);
            let mut planned = vip_plan(vip, map, classes.len() as u32);
            let map = &maps.maps[map as usize];
            classes.extend(map.choices.iter().map(|choice| rankings.intern(ranking_of_choice(&model, vip, choice))));
            if detour::matters(&model, vip) {
                let own = &classes[planned.classes as usize..];
                let first = |class: usize| detour::hop(&rankings.list[own[class] as usize]).map(|(first, _)| first);
                let of = |class| (first(class), map.detours[class], map.addresses[class]);
                planned.stretches = stretches.len() as u32;
                stretches.extend(detour::stretches(&(0..own.len()).map(of).collect::<Vec<_>>()));
            }
            vips.push(planned);
        }
        let maps = maps.maps;
        let addresses = model.endpoints.iter().map(|endpoint| endpoint.address).collect();
        let (latency, rankings, uses) = (latency.clone(), rankings.list, Uses::of(&model));
        Plan { latency, vips, pools, members, maps, classes, rankings, stretches, addresses, uses, model }
    }

    /// The address of an endpoint.
    #[inline]
    pub fn address(&self, id: EndpointId) -> IpAddr {
        self.addresses[id.index()]
    }

    /// The model it was compiled from.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The latencies it was compiled with.
    pub fn latency(&self) -> &LatencyTable {
        &self.latency
    }

    /// Which pools each VIP can be answered from.
    #[inline]
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// How large it is.
    pub fn figures(&self) -> PlanFigures {
        let table_bytes = self.maps.iter().map(|map| map.v4.bytes() + map.v6.bytes()).sum();
        PlanFigures { maps: self.maps.len(), rankings: self.rankings.len(), table_bytes }
    }

    /// The class of a client and the depth of its leaf.
    #[inline]
    pub(super) fn leaf(&self, vip: &VipPlan, client: &Client) -> Leaf {
        let map = &self.maps[vip.map as usize];
        match client.address {
            IpAddr::V4(ip) => map.v4.find(&ip.octets()),
            IpAddr::V6(ip) => map.v6.find(&ip.octets()),
        }
    }

    /// Which steering map a VIP has; VIPs that cut the world alike have one.
    pub fn map_of(&self, vip: VipId) -> u32 {
        self.vips[vip.index()].map
    }

    /// The classes of a steering map over all IPv4 addresses.
    pub fn classes_v4(&self, map: u32) -> Runs<u32> {
        self.maps[map as usize].v4.runs()
    }

    /// The classes of a steering map over all IPv6 addresses.
    pub fn classes_v6(&self, map: u32) -> Runs<u128> {
        self.maps[map as usize].v6.runs()
    }

    /// What a VIP's clients of a class choose.
    #[inline]
    pub(super) fn ranking(&self, vip: &VipPlan, class: u32) -> &Ranking {
        &self.rankings[self.classes[(vip.classes + class) as usize] as usize]
    }

    /// Where a VIP's clients of a class stand when a pool sends some elsewhere.
    #[inline]
    pub(super) fn stretch(&self, vip: &VipPlan, class: u32) -> Stretch {
        match vip.stretches {
            NO_STRETCHES => Stretch::ANYWHERE,
            first => self.stretches[(first + class) as usize],
        }
    }

    /// Whether reading ahead may spare anything: places count at all, and it is known in which tables.
    pub fn reads_ahead(&self) -> bool {
        self.maps.len() <= MAPS_AHEAD_MAX && self.maps.iter().any(|map| !map.v4.is_uniform() || !map.v6.is_uniform())
    }

    /// The prefix tables that clients of one family may be looked up in, when they are few enough to read ahead in.
    fn tables_ahead(&self, client: IpAddr) -> impl Iterator<Item = &PrefixTable> {
        let maps = if self.maps.len() <= MAPS_AHEAD_MAX { &self.maps[..] } else { &[] };
        maps.iter().map(move |map| if client.is_ipv4() { &map.v4 } else { &map.v6 })
    }

    /// Has what a lookup of this client reads first brought into the cache; waits for nothing.
    #[inline]
    pub fn prefetch_first(&self, client: IpAddr) {
        for table in self.tables_ahead(client) {
            match client {
                IpAddr::V4(ip) => table.prefetch_entry(&ip.octets()),
                IpAddr::V6(ip) => table.prefetch_entry(&ip.octets()),
            }
        }
    }

    /// The same for what it reads second.
    #[inline]
    pub fn prefetch_second(&self, client: IpAddr) {
        for table in self.tables_ahead(client) {
            match client {
                IpAddr::V4(ip) => table.prefetch_chunk(&ip.octets()),
                IpAddr::V6(ip) => table.prefetch_chunk(&ip.octets()),
            }
        }
    }

    /// The ranking of a client of this VIP.
    pub fn ranking_for(&self, vip: VipId, client: &Client) -> &Ranking {
        let vip = &self.vips[vip.index()];
        self.ranking(vip, self.leaf(vip, client).class)
    }
}

impl PoolPlan {
    #[inline]
    pub(super) fn side(&self, family: Family) -> Side {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// Every ranking once.
#[derive(Debug, Default)]
struct Rankings {
    list: Vec<Ranking>,
    index: HashMap<Ranking, u32>,
}

impl Rankings {
    fn intern(&mut self, ranking: Ranking) -> u32 {
        if let Some(known) = self.index.get(&ranking) {
            return *known;
        }
        let id = self.list.len() as u32;
        self.list.push(ranking.clone());
        self.index.insert(ranking, id);
        id
    }
}

fn vip_plan(vip: &Vip, map: u32, classes: u32) -> VipPlan {
    let seconds = |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1);
    VipPlan {
        map,
        classes,
        stretches: NO_STRETCHES,
        identity: identity(vip.name.as_bytes()),
        ttl: seconds(vip.ttl),
        min_ttl: seconds(vip.min_ttl),
        answers: vip.answers,
        hash: vip.hash,
        redrawn: !matches!(vip.policy, Policy::Hash(_)),
        when_all_down: vip.when_all_down,
        family: vip.family,
    }
}

fn pool_plan(model: &Model, id: PoolId, members: &mut Vec<MemberPlan>) -> PoolPlan {
    let pool = model.pool(id);
    let v4 = side(model, id, Family::V4, members);
    let v6 = side(model, id, Family::V6, members);
    PoolPlan { identity: identity(pool.name.as_bytes()), balance: pool.balance, v4, v6 }
}

fn side(model: &Model, pool: PoolId, family: Family, members: &mut Vec<MemberPlan>) -> Side {
    let first = members.len();
    let of_family = |address: &IpAddr| address.is_ipv4() == (family == Family::V4);
    for weighted in [true, false] {
        for (id, endpoint) in model.members(pool) {
            if of_family(&endpoint.address) && (endpoint.weight > 0) == weighted {
                let identity = match endpoint.address {
                    IpAddr::V4(ip) => identity(&ip.octets()),
                    IpAddr::V6(ip) => identity(&ip.octets()),
                };
                members.push(MemberPlan { identity, id, weight: endpoint.weight });
            }
        }
    }
    let all = &members[first..];
    let weighted = all.iter().take_while(|m| m.weight > 0).count();
    let equal = all[..weighted].windows(2).all(|w| w[0].weight == w[1].weight);
    Side { first: first as u32, weighted: weighted as u32, count: all.len() as u32, equal }
}
