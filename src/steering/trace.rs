//! The same decision, told step by step.
//!
//! `decide` tells a [`Tracer`] what it does; [`Silent`] is compiled to nothing, [`Recorder`] keeps it all. What a recorder
//! adds (which database spoke, which rules were tried, how far each region is) it works out itself from the atlas and the model,
//! so that queries do not pay for it. Rendering is for `cmd` and `admin`.

use std::net::IpAddr;

use crate::geo::atlas::Atlas;
use crate::geo::atlas::Located;
use crate::geo::distance::great_circle_km;
use crate::geo::place::Place;
use crate::health::table::HealthTable;
use crate::health::table::PoolLoad;
use crate::model;
use crate::model::Family;
use crate::model::Member;
use crate::model::Policy;
use crate::model::PoolId;
use crate::model::Rule;
use crate::model::Vip;
use crate::model::VipId;
use crate::model::WhenAllDown;
use crate::steering::client::Client;
use crate::steering::decide::Decision;
use crate::steering::decide::Draw;
use crate::steering::decide::Reason;
use crate::steering::decide::decide;
use crate::steering::decide::decide_at;
use crate::steering::pick::Keying;
use crate::steering::plan::Plan;
use crate::steering::rank;
use crate::steering::rank::Ranking;

/// Why a pool cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Fewer endpoints are up than its `min_healthy`.
    Down,
    /// An operator took it or its region out.
    Withdrawn,
    /// It has no address of the family asked for (`family = "any-region"`).
    NoAddress,
    /// It is loaded and sends this client elsewhere.
    Loaded,
}

/// Is told each step of a decision, in order. [`Silent`] is compiled to nothing.
pub trait Tracer {
    /// The client's leaf has this depth.
    fn located(&mut self, _client: &Client, _depth: u8) {}
    /// The client was placed by hand.
    fn placed(&mut self, _place: &Place) {}
    /// The order of pools for its class.
    fn ranked(&mut self, _ranking: &Ranking) {}
    /// A pool was passed over.
    fn dropped(&mut self, _pool: PoolId, _why: Obstacle) {}
    /// A pool is loaded so much that it sends some of its clients elsewhere, and whether this one is among them.
    fn loaded(&mut self, _pool: PoolId, _load: PoolLoad, _goes: bool) {}
    /// Every pool that may serve sends this client elsewhere: none does, then.
    fn nobody_has_room(&mut self) {}
    /// Whether load shall not matter.
    fn ignores_load(&self) -> bool {
        false
    }
    /// A pool that may serve takes part in the draw that is told next, with this weight.
    fn competes(&mut self, _pool: PoolId, _weight: u32) {}
    /// One of several was drawn by weight; anew every `period` seconds, or for good.
    fn drawn(&mut self, _members: &[(PoolId, u32)], _chosen: PoolId, _period: Option<u32>) {}
    /// What is believed of a pool (of the picked endpoints when none is named) holds no longer than this, in seconds; told
    /// only when it is the shortest so far.
    fn holds(&mut self, _seconds: u32, _pool: Option<PoolId>) {}
    /// No pool is left.
    fn all_down(&mut self, _rule: WhenAllDown) {}
    /// How the endpoints were chosen.
    fn picked(&mut self, _keying: Keying) {}
    /// What it came to.
    fn settled(&mut self, _decision: &Decision) {}
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;
impl Tracer for Silent {}

/// A whole decision with its reasons. Ids are those of [`Plan::model`].
#[derive(Debug, Clone)]
pub struct Trace {
    /// Which VIP was asked for.
    pub vip: VipId,
    /// Which addresses were asked for.
    pub family: Family,
    /// The client; none when it was placed by hand.
    pub client: Option<Client>,
    /// What the atlas knows of its address, from whom; none when it was placed by hand.
    pub located: Option<Located>,
    /// Where it is taken to be.
    pub place: Place,
    /// The rules tried, the last of which matched unless none did (geolocation).
    pub rules: Vec<RuleStep>,
    /// The members as the place orders them (geoproximity and latency).
    pub order: Vec<OrderStep>,
    /// The ranking of its class.
    pub ranking: Ranking,
    /// The pools looked at, in order; the one used is the last, if any.
    pub pools: Vec<PoolStep>,
    /// The pools looked at that send some of their clients elsewhere.
    pub loads: Vec<LoadStep>,
    /// Whether all of them would have sent this client elsewhere, so that none did.
    pub nobody_has_room: bool,
    /// The draw that chose the pool, when several shared.
    pub drawn: Option<DrawStep>,
    /// What the VIP said when no pool was left.
    pub all_down: Option<WhenAllDown>,
    /// How the endpoints were chosen.
    pub keying: Keying,
    /// The endpoints of the pool used whose weight is another than the configuration's.
    pub reweighed: Vec<Reweighed>,
    /// The prefix that choices keyed on the client see: address and length.
    pub key_prefix: (IpAddr, u8),
    /// The outcome.
    pub decision: Decision,
    /// The addresses answered, in order.
    pub addresses: Vec<IpAddr>,
    /// What bounds the TTL.
    pub ttl_cause: TtlCause,
    /// The depth of the leaf in the prefix table; the scope is larger when something was keyed on a longer prefix.
    pub leaf_depth: u8,
    /// What would be answered if the pool used went down.
    pub next: Option<Next>,
}

/// A pool that sends some of its clients elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadStep {
    /// The pool.
    pub pool: PoolId,
    /// How loaded it is, and how many it sends elsewhere.
    pub load: PoolLoad,
    /// Whether this client is among them.
    pub goes: bool,
}

/// An endpoint under an operator's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reweighed {
    /// Its address.
    pub address: IpAddr,
    /// The weight that counts.
    pub weight: u32,
    /// The configuration's.
    pub configured: u32,
}

/// A rule that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleStep {
    /// Its number, from 1.
    pub number: usize,
    /// Its conditions; none for the catch-all.
    pub conditions: Vec<Condition>,
    /// Whether it matched.
    pub matched: bool,
    /// What of it matched: `EU`, `office-berlin`, `AS64500`; empty for the catch-all.
    pub by: String,
    /// Where it was written.
    pub place: Option<model::Place>,
}

/// One condition of a rule, in the words of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `networks`, `geos` or `asns`.
    pub key: &'static str,
    /// What it lists.
    pub values: Vec<String>,
}

/// A member as the place orders it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrderStep {
    /// The pool.
    pub pool: PoolId,
    /// How far its region is; unknown when region or client is nowhere.
    pub km: Option<f64>,
    /// The same after its bias (geoproximity).
    pub biased_km: Option<f64>,
    /// The figure of the latency table.
    pub milliseconds: Option<f64>,
}

/// A pool that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStep {
    /// The pool.
    pub pool: PoolId,
    /// How many of its endpoints are usable.
    pub healthy: u32,
    /// How many it has.
    pub endpoints: u32,
    /// How many it needs.
    pub min_healthy: u32,
    /// What became of it.
    pub used: PoolUse,
}

/// What became of a pool that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolUse {
    /// The answer comes from it.
    Used(Reason),
    /// It cannot be answered.
    Dropped(Obstacle),
}

/// A draw among the members of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawStep {
    /// Pools and weights.
    pub members: Vec<(PoolId, u32)>,
    /// The one drawn.
    pub chosen: PoolId,
    /// How many seconds a client keeps what it drew; for good when none.
    pub period: Option<u32>,
}

/// What bounds a TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TtlCause {
    /// The VIP's `ttl`.
    Vip,
    /// The VIP's `min_ttl`: a belief could turn sooner.
    Floor,
    /// What is believed of this pool could turn then.
    Pool(PoolId),
    /// What is believed of an endpoint of the pool used could turn then.
    Endpoint,
}

/// What would be answered if the pool used went down.
#[derive(Debug, Clone)]
pub struct Next {
    /// The decision then.
    pub decision: Decision,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Decides for a client and tells why.
pub fn explain(
    plan: &Plan,
    atlas: &Atlas,
    health: &HealthTable,
    vip: VipId,
    family: Family,
    client: &Client,
    draw: Draw,
) -> Trace {
    let mut recorder = Recorder::default();
    let decision = decide(plan, health, vip, family, client, draw, &mut recorder);
    let located = atlas.locate(client.address);
    let without = |health: &HealthTable| decide(plan, health, vip, family, client, draw, &mut Silent);
    let next = next(plan, health, &decision, without);
    let told = Told { vip, family, client: Some(*client), located: Some(located), place: located.place, next };
    recorder.trace(plan, health, told, decision)
}

/// Decides for a client that would be at this place and tells why.
pub fn explain_at(plan: &Plan, health: &HealthTable, vip: VipId, family: Family, place: &Place, draw: Draw) -> Trace {
    let mut recorder = Recorder::default();
    let decision = decide_at(plan, health, vip, family, place, draw, &mut recorder);
    let without = |health: &HealthTable| decide_at(plan, health, vip, family, place, draw, &mut Silent);
    let next = next(plan, health, &decision, without);
    let told = Told { vip, family, client: None, located: None, place: *place, next };
    recorder.trace(plan, health, told, decision)
}

fn next(
    plan: &Plan,
    health: &HealthTable,
    decision: &Decision,
    decide: impl FnOnce(&HealthTable) -> Decision,
) -> Option<Next> {
    let down = health.with_down(plan.model(), &[], &[decision.pool?]);
    let decision = decide(&down);
    Some(Next { addresses: addresses(plan, &decision), decision })
}

fn addresses(plan: &Plan, decision: &Decision) -> Vec<IpAddr> {
    decision.endpoints().iter().map(|id| plan.address(*id)).collect()
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub struct Recorder {
    ranking: Option<Ranking>,
    dropped: Vec<(PoolId, Obstacle)>,
    loads: Vec<LoadStep>,
    nobody_has_room: bool,
    drawn: Option<DrawStep>,
    held: Option<(u32, Option<PoolId>)>,
    all_down: Option<WhenAllDown>,
    keying: Option<Keying>,
    depth: u8,
}

impl Tracer for Recorder {
    fn located(&mut self, _client: &Client, depth: u8) {
        self.depth = depth;
    }
    fn ranked(&mut self, ranking: &Ranking) {
        self.ranking = Some(ranking.clone());
    }
    fn dropped(&mut self, pool: PoolId, why: Obstacle) {
        // When all is down pools are looked at again; the first reason is the true one.
        if !self.dropped.iter().any(|(dropped, _)| *dropped == pool) {
            self.dropped.push((pool, why));
        }
    }
    fn loaded(&mut self, pool: PoolId, load: PoolLoad, goes: bool) {
        self.loads.push(LoadStep { pool, load, goes });
    }
    fn nobody_has_room(&mut self) {
        self.nobody_has_room = true;
        self.dropped.retain(|(_, why)| *why != Obstacle::Loaded);
    }
    fn drawn(&mut self, members: &[(PoolId, u32)], chosen: PoolId, period: Option<u32>) {
        self.drawn = Some(DrawStep { members: members.to_vec(), chosen, period });
    }
    fn holds(&mut self, seconds: u32, pool: Option<PoolId>) {
        self.held = Some((seconds, pool));
    }
    fn all_down(&mut self, rule: WhenAllDown) {
        self.all_down = Some(rule);
    }
    fn picked(&mut self, keying: Keying) {
        self.keying = Some(keying);
    }
}

/// What a trace has beside what the recorder heard.
struct Told {
    vip: VipId,
    family: Family,
    client: Option<Client>,
    located: Option<Located>,
    place: Place,
    next: Option<Next>,
}

impl Recorder {
    fn trace(self, plan: &Plan, health: &HealthTable, told: Told, decision: Decision) -> Trace {
        let vip = plan.model().vip(told.vip);
        let address = told.client.map_or(IpAddr::from([0, 0, 0, 0]), |client| client.address);
        Trace {
            vip: told.vip,
            family: told.family,
            client: told.client,
            located: told.located,
            place: told.place,
            rules: rules_tried(plan, vip, &told.place),
            order: order(plan, vip, &told.place, told.client.map(|client| client.address)),
            pools: self.pools(plan, health, &decision),
            loads: self.loads.clone(),
            nobody_has_room: self.nobody_has_room,
            ttl_cause: self.ttl_cause(vip, &decision),
            key_prefix: key_prefix(vip, address),
            addresses: addresses(plan, &decision),
            ranking: self.ranking.expect("every decision begins with a ranking"),
            drawn: self.drawn.filter(|drawn| Some(drawn.chosen) == decision.pool),
            all_down: self.all_down,
            keying: self.keying.unwrap_or(Keying::None),
            reweighed: reweighed(plan, health, &decision),
            leaf_depth: self.depth,
            next: told.next,
            decision,
        }
    }

    fn pools(&self, plan: &Plan, health: &HealthTable, decision: &Decision) -> Vec<PoolStep> {
        let dropped = self.dropped.iter().map(|(pool, why)| (*pool, PoolUse::Dropped(*why)));
        let used = decision.pool.map(|pool| (pool, PoolUse::Used(decision.reason)));
        let step = |(id, used): (PoolId, PoolUse)| {
            let pool = plan.model().pool(id);
            let (healthy, endpoints) = (health.pool(id).healthy, pool.endpoints.len() as u32);
            PoolStep { pool: id, healthy, endpoints, min_healthy: pool.min_healthy, used }
        };
        dropped.chain(used).map(step).collect()
    }

    fn ttl_cause(&self, vip: &Vip, decision: &Decision) -> TtlCause {
        match self.held {
            Some((seconds, _)) if u64::from(seconds) >= vip.ttl.as_secs() => TtlCause::Vip,
            Some((seconds, _)) if seconds < decision.ttl => TtlCause::Floor,
            Some((_, Some(pool))) => TtlCause::Pool(pool),
            Some((_, None)) => TtlCause::Endpoint,
            None => TtlCause::Vip,
        }
    }
}

fn reweighed(plan: &Plan, health: &HealthTable, decision: &Decision) -> Vec<Reweighed> {
    let pool = decision.pool.filter(|pool| health.pool(*pool).reweighed);
    let members = pool.into_iter().flat_map(|pool| plan.model().members(pool));
    let reweighed = members.filter_map(|(id, endpoint)| {
        let weight = health.weight_ordered(id)?;
        Some(Reweighed { address: endpoint.address, weight, configured: endpoint.weight })
    });
    reweighed.collect()
}

fn key_prefix(vip: &Vip, address: IpAddr) -> (IpAddr, u8) {
    let bits = if address.is_ipv4() { vip.hash.v4.min(32) } else { vip.hash.v6.min(128) };
    let cut = Client::from_subnet(address, bits);
    (cut.address, cut.prefix)
}

/// The rules of a geolocation policy up to the one that matches.
fn rules_tried(plan: &Plan, vip: &Vip, place: &Place) -> Vec<RuleStep> {
    let Policy::Geolocation(rules) = &vip.policy else { return Vec::new() };
    let upto = rank::first_match(rules, place).map_or(rules.len(), |at| at + 1);
    rules[..upto].iter().enumerate().map(|(at, rule)| rule_step(plan, at + 1, rule, place)).collect()
}

fn rule_step(plan: &Plan, number: usize, rule: &Rule, place: &Place) -> RuleStep {
    let network = |id: &model::NetworkId| plan.model().geo.networks[id.index()].name.clone();
    let asn = |number: &u32| format!("AS{number}");
    let lists = [
        ("networks", rule.networks.iter().map(network).collect::<Vec<_>>()),
        ("geos", rule.geos.iter().map(ToString::to_string).collect()),
        ("asns", rule.asns.iter().map(asn).collect()),
    ];
    let conditions = lists.into_iter().filter(|(_, values)| !values.is_empty());
    let by_network = || rule.networks.iter().find(|id| place.network == Some(**id)).map(network);
    let by_geo = || {
        let code = place.code()?;
        rule.geos.iter().find(|geo| geo.holds(&code)).map(ToString::to_string)
    };
    let by_asn = || rule.asns.iter().find(|number| place.asn == Some(**number)).map(asn);
    RuleStep {
        number,
        conditions: conditions.map(|(key, values)| Condition { key, values }).collect(),
        matched: rank::matches(rule, place),
        by: by_network().or_else(by_geo).or_else(by_asn).unwrap_or_default(),
        place: rule.place.clone(),
    }
}

/// The members of a geoproximity or latency policy in the order of the place, with their figures.
fn order(plan: &Plan, vip: &Vip, place: &Place, address: Option<IpAddr>) -> Vec<OrderStep> {
    let row = address.map_or(0, |address| plan.latency().row_at(address));
    let (members, order) = match &vip.policy {
        Policy::Geoproximity(members) => (members, rank::by_distance(plan.model(), members, place.point())),
        Policy::Latency(members) => (members, rank::by_latency(plan.model(), members, plan.latency(), row, place)),
        _ => return Vec::new(),
    };
    let step = |member: &Member| {
        let region = plan.model().pool(member.pool).region;
        let at = plan.model().region(region).location.zip(place.point());
        let km = at.map(|(region, client)| great_circle_km(region, client));
        let figure = plan.latency().figure(row, place, region).map(|us| f64::from(us) / 1_000.0);
        match vip.policy {
            Policy::Latency(_) => OrderStep { pool: member.pool, km, biased_km: None, milliseconds: figure },
            _ => {
                let biased_km = km.map(|km| rank::biased_km(km, member.bias));
                OrderStep { pool: member.pool, km, biased_km, milliseconds: None }
            }
        }
    };
    order.iter().map(|at| step(&members[usize::from(*at)])).collect()
}
