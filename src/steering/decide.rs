//! One decision: rank, drop what cannot serve, pick.
//!
//! Groups of the ranking first, then its tail, then what the VIP says of the day when all is down. When everything is down
//! and the VIP says nothing else, all pools that no operator took out count as up: a guess is better than no address, and
//! most often it is the probes that are wrong.

use crate::balance::key::ClientKey;
use crate::balance::key::next_draw;
use crate::balance::rendezvous::score;
use crate::geo::latency::LatencyTable;
use crate::geo::place::Place;
use crate::health::shedding::WHOLE;
use crate::health::table::HealthTable;
use crate::health::table::PoolHealth;
use crate::model::ANSWERS_MAX;
use crate::model::EndpointId;
use crate::model::Family;
use crate::model::FamilyRule;
use crate::model::PoolId;
use crate::model::RegionId;
use crate::model::VipId;
use crate::model::WhenAllDown;
use crate::steering::client::Client;
use crate::steering::detour::LINE;
use crate::steering::detour::Stretch;
use crate::steering::pick::Allowed;
use crate::steering::pick::Keying;
use crate::steering::pick::Keys;
use crate::steering::pick::pick;
use crate::steering::plan::Plan;
use crate::steering::plan::VipPlan;
use crate::steering::rank;
use crate::steering::rank::Group;
use crate::steering::rank::Ranking;
use crate::steering::trace::Obstacle;
use crate::steering::trace::Silent;
use crate::steering::trace::Tracer;

/// What chance and the time of day contribute to a decision; the same draw gives the same decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Draw {
    /// Uniform random bits, new for each query.
    pub random: u64,
    /// Seconds since the epoch: which TTL's time a weighted draw belongs to.
    pub seconds: u64,
}

/// What a decision comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer with the endpoints; none of the family asked for: NODATA.
    Answer,
    /// NODATA because no pool is left and the VIP says so.
    NoData,
    /// SERVFAIL because no pool is left and the VIP says so.
    ServFail,
}

/// Why this pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reason {
    /// The policy's first choice.
    #[default]
    Preferred,
    /// A later choice of the policy.
    NextRanked,
    /// A fallback of a pool that is down.
    Fallback,
    /// The nearest of the VIP's other pools.
    Nearest,
    /// No pool is left: as `when_all_down` says.
    AllDown,
    /// A pool before it is up, but so loaded that it sends this client elsewhere.
    Shed,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Reason; 6] =
        [Reason::Preferred, Reason::NextRanked, Reason::Fallback, Reason::Nearest, Reason::AllDown, Reason::Shed];

    /// As metrics and logs write it.
    pub const fn words(self) -> &'static str {
        match self {
            Reason::Preferred => "preferred",
            Reason::NextRanked => "next_ranked",
            Reason::Fallback => "fallback",
            Reason::Nearest => "nearest",
            Reason::AllDown => "all_down",
            Reason::Shed => "shed",
        }
    }
}

/// The outcome for one client.
#[derive(Debug, Clone, Copy)]
pub struct Decision {
    picks: [EndpointId; ANSWERS_MAX],
    count: u8,
    /// What to answer.
    pub verdict: Verdict,
    /// The pool the endpoints come from.
    pub pool: Option<PoolId>,
    /// Why that pool.
    pub reason: Reason,
    /// Seconds.
    pub ttl: u32,
    /// The prefix length, in the family of the client's address, within which every client gets this decision; 0 when
    /// it does not depend on the client. [`Client::reply_scope`] makes it the reply's.
    pub scope: u8,
}

impl Decision {
    /// The endpoints to answer, in order; all of the family asked for.
    pub fn endpoints(&self) -> &[EndpointId] {
        &self.picks[..self.count as usize]
    }
}

/// Decides for one client.
pub fn decide<T: Tracer>(
    plan: &Plan,
    health: &HealthTable,
    vip: VipId,
    family: Family,
    client: &Client,
    draw: Draw,
    tracer: &mut T,
) -> Decision {
    let vip_plan = &plan.vips[vip.index()];
    let leaf = plan.leaf(vip_plan, client);
    let ranking = plan.ranking(vip_plan, leaf.class);
    tracer.located(client, leaf.depth);
    let stretch = if health.any_sheds() { plan.stretch(vip_plan, leaf.class) } else { Stretch::ANYWHERE };
    let decision =
        Walk::new(plan, health, vip_plan, family, client, draw, tracer).decision(ranking, stretch, leaf.depth);
    tracer.settled(&decision);
    decision
}

/// Decides for a client that would be at this place, whatever its address: `explain --geo` and `--at`.
///
/// What is keyed on the client's address is keyed on 0.0.0.0/0, and the scope means nothing.
pub fn decide_at<T: Tracer>(
    plan: &Plan,
    health: &HealthTable,
    vip: VipId,
    family: Family,
    place: &Place,
    draw: Draw,
    tracer: &mut T,
) -> Decision {
    let client = Client::from_subnet([0, 0, 0, 0].into(), 0);
    let latency: &LatencyTable = plan.latency();
    let ranking = rank::ranking_of(plan.model(), plan.model().vip(vip), latency, 0, place);
    tracer.placed(place);
    let vip_plan = &plan.vips[vip.index()];
    let decision =
        Walk::new(plan, health, vip_plan, family, &client, draw, tracer).decision(&ranking, Stretch::ANYWHERE, 0);
    tracer.settled(&decision);
    decision
}

/// Decides as if that region were not: for a client that has come there and cannot be served.
pub fn decide_beyond(
    region: RegionId,
    plan: &Plan,
    health: &HealthTable,
    vip: VipId,
    family: Family,
    client: &Client,
    draw: Draw,
) -> Decision {
    let vip_plan = &plan.vips[vip.index()];
    let leaf = plan.leaf(vip_plan, client);
    let ranking = plan.ranking(vip_plan, leaf.class);
    let mut silent = Silent;
    let mut walk = Walk::new(plan, health, vip_plan, family, client, draw, &mut silent);
    walk.without = Some(region);
    let stretch = if health.any_sheds() { plan.stretch(vip_plan, leaf.class) } else { Stretch::ANYWHERE };
    walk.decision(ranking, stretch, leaf.depth)
}

/// A decision under way.
struct Walk<'a, T> {
    plan: &'a Plan,
    health: &'a HealthTable,
    vip: &'a VipPlan,
    family: Family,
    client: &'a Client,
    draw: Draw,
    tracer: &'a mut T,
    /// What may serve: usable pools, or a guess when all are down.
    allowed: Allowed,
    /// How long every belief consulted holds, in seconds.
    holds_for: u32,
    /// Whether anything was chosen by the client's prefix.
    keyed: bool,
    /// The first pool that is up but has no address of the family asked for (`family = "any-region"`).
    without_family: Option<PoolId>,
    /// Whether pools that are loaded may send this client elsewhere.
    shedding: bool,
    /// Where it stands among those who would be.
    stretch: Stretch,
    /// Whether one did.
    shed: bool,
    /// Pools of this region are no choice.
    without: Option<RegionId>,
}

impl<'a, T: Tracer> Walk<'a, T> {
    fn new(
        plan: &'a Plan,
        health: &'a HealthTable,
        vip: &'a VipPlan,
        family: Family,
        client: &'a Client,
        draw: Draw,
        tracer: &'a mut T,
    ) -> Self {
        let (allowed, holds_for, keyed) = (Allowed::Usable, u32::MAX, false);
        let (without_family, without) = (None, None);
        let (shedding, stretch, shed) = (false, Stretch::ANYWHERE, false);
        Walk {
            plan,
            health,
            vip,
            family,
            client,
            draw,
            tracer,
            allowed,
            holds_for,
            keyed,
            without_family,
            shedding,
            stretch,
            shed,
            without,
        }
    }

    fn decision(mut self, ranking: &Ranking, stretch: Stretch, depth: u8) -> Decision {
        self.tracer.ranked(ranking);
        let with_room = match self.health.any_sheds() && !self.tracer.ignores_load() {
            true => self.with_room(ranking, stretch),
            false => None,
        };
        match with_room.or_else(|| self.pool(ranking)) {
            Some((pool, reason)) => self.answer(Some(pool), reason, depth),
            None => match self.without_family {
                Some(pool) => self.finish(Some(pool), Reason::NextRanked, Verdict::Answer, depth),
                None => self.all_down(ranking, depth),
            },
        }
    }

    /// The first pool of a ranking that may serve and does not send this client elsewhere for its load. When all do,
    /// nobody has room, and it is sent where it would be without any of this.
    #[cold]
    fn with_room(&mut self, ranking: &Ranking, stretch: Stretch) -> Option<(PoolId, Reason)> {
        (self.shedding, self.stretch) = (true, stretch);
        let found = self.pool(ranking);
        self.shedding = false;
        match (found, self.shed) {
            (Some((pool, _)), true) => return Some((pool, Reason::Shed)),
            (None, true) => self.tracer.nobody_has_room(),
            (_, false) => {}
        }
        found
    }

    /// The first pool of a ranking that may serve.
    #[inline]
    fn pool(&mut self, ranking: &Ranking) -> Option<(PoolId, Reason)> {
        for (at, group) in ranking.groups.iter().enumerate() {
            if let Some((pool, favourite)) = self.of_group(group) {
                let preferred = at == 0 && favourite;
                return Some((pool, if preferred { Reason::Preferred } else { Reason::NextRanked }));
            }
        }
        for (at, pool) in ranking.tail.iter().enumerate() {
            if self.may_serve(*pool) {
                return Some((*pool, if at < ranking.fallbacks { Reason::Fallback } else { Reason::Nearest }));
            }
        }
        None
    }

    /// The pool of a group that this client is sent to, and whether it would be if all were up.
    #[inline]
    fn of_group(&mut self, group: &Group) -> Option<(PoolId, bool)> {
        if self.shedding && group.weighted == 0 {
            // They serve when every other is gone, not when it is busy.
            return None;
        }
        if let [(pool, _)] = group.members[..] {
            return self.may_serve(pool).then_some((pool, true));
        }
        let (weighted, spare) = group.members.split_at(group.weighted);
        match self.drawn(weighted) {
            Some(found) => Some(found),
            None if self.shedding => None,
            None => self.drawn(spare).map(|(pool, favourite)| (pool, favourite && weighted.is_empty())),
        }
    }

    /// One of several by weight, keyed on the client.
    fn drawn(&mut self, members: &[(PoolId, u32)]) -> Option<(PoolId, bool)> {
        if let [(pool, _)] = members {
            return self.may_serve(*pool).then_some((*pool, true));
        }
        let key = self.group_key();
        let shed_before = self.shed;
        let (mut favourite, mut best) = (None, None);
        for (pool, weight) in members {
            let drawn = score(key, self.plan.pools[pool.index()].identity, *weight);
            let smaller = |than: &Option<(f64, PoolId)>| than.is_none_or(|(least, _)| drawn < least);
            if smaller(&favourite) {
                favourite = Some((drawn, *pool));
            }
            if self.may_serve(*pool) {
                self.tracer.competes(*pool, *weight);
                if smaller(&best) {
                    best = Some((drawn, *pool));
                }
            }
        }
        if members.is_empty() {
            return None;
        }
        self.keyed = true;
        let (_, pool) = best?;
        if favourite.is_some_and(|(_, first)| first == pool) {
            // Those that would send it elsewhere would not have had it.
            self.shed = shed_before;
        }
        self.tracer.drawn(members, pool, self.vip.redrawn.then_some(self.vip.ttl));
        Some((pool, favourite.is_some_and(|(_, first)| first == pool)))
    }

    /// The key by which a group is drawn: for as long as a cache would hold the answer, or for good (`hash`).
    fn group_key(&self) -> u64 {
        let client = self.client_key();
        match self.vip.redrawn {
            true => client.in_period(self.draw.seconds, u64::from(self.vip.ttl)),
            false => client.constant(),
        }
    }

    fn client_key(&self) -> ClientKey {
        ClientKey::new(self.vip.identity, self.client.address, self.granularity())
    }

    fn granularity(&self) -> u8 {
        if self.client.address.is_ipv4() { self.vip.hash.v4.min(32) } else { self.vip.hash.v6.min(128) }
    }

    /// Whether a pool may be answered; what is believed of it shortens the TTL either way.
    #[inline]
    fn may_serve(&mut self, pool: PoolId) -> bool {
        if self.without.is_some_and(|region| self.plan.model().pool(pool).region == region) {
            return false;
        }
        let health = self.health.pool(pool);
        self.hold(health.holds_for, || Some(pool));
        if let Some(why) = self.obstacle(pool, health) {
            self.tracer.dropped(pool, why);
            return false;
        }
        if self.vip.family == FamilyRule::AnyRegion && !self.has_family(pool) {
            self.without_family = self.without_family.or(Some(pool));
            self.tracer.dropped(pool, Obstacle::NoAddress);
            return false;
        }
        if self.shedding && self.sheds(pool) {
            self.shed = true;
            self.tracer.dropped(pool, Obstacle::Loaded);
            return false;
        }
        true
    }

    #[inline]
    /// Whether a pool sends this client elsewhere for its load.
    fn sheds(&mut self, pool: PoolId) -> bool {
        let Some(load) = self.health.load(pool).filter(|load| load.sheds > 0) else { return false };
        let stretch = if self.stretch.pool == pool { self.stretch } else { Stretch::ANYWHERE };
        let mut keyed = false;
        let goes = stretch.comes_before(u32::from(load.sheds) * (LINE / u32::from(WHOLE)), || {
            keyed = true;
            next_draw(self.client_key().constant() ^ self.plan.pools[pool.index()].identity)
        });
        self.keyed |= keyed;
        self.tracer.loaded(pool, load, goes);
        goes
    }

    fn obstacle(&self, pool: PoolId, health: PoolHealth) -> Option<Obstacle> {
        let serves = match self.allowed {
            Allowed::Usable => health.usable,
            Allowed::NotWithdrawn => !health.withdrawn && self.has_endpoint_left(pool),
            Allowed::Any => true,
        };
        match (serves, health.withdrawn) {
            (true, _) => None,
            (false, true) => Some(Obstacle::Withdrawn),
            (false, false) => Some(Obstacle::Down),
        }
    }

    fn has_endpoint_left(&self, pool: PoolId) -> bool {
        self.plan.model().members(pool).any(|(id, _)| !self.health.endpoint(id).withdrawn)
    }

    /// Whether a pool has an address of the family asked for that may be answered.
    fn has_family(&mut self, pool: PoolId) -> bool {
        let side = self.plan.pools[pool.index()].side(self.family);
        let members = &self.plan.members[side.first as usize..][..side.count as usize];
        let mut any = false;
        for member in members {
            let health = self.health.endpoint(member.id);
            self.holds_for = self.holds_for.min(health.holds_for);
            any |= self.allowed.allows(health);
        }
        any
    }

    #[inline]
    fn hold(&mut self, seconds: u32, pool: impl FnOnce() -> Option<PoolId>) {
        if seconds < self.holds_for {
            self.holds_for = seconds;
            self.tracer.holds(seconds, pool());
        }
    }

    /// What the VIP says of the day when no pool is left.
    #[cold]
    fn all_down(mut self, ranking: &Ranking, depth: u8) -> Decision {
        self.tracer.all_down(self.vip.when_all_down);
        match self.vip.when_all_down {
            WhenAllDown::NoData => self.finish(None, Reason::AllDown, Verdict::NoData, depth),
            WhenAllDown::ServFail => self.finish(None, Reason::AllDown, Verdict::ServFail, depth),
            // A fence is kept even then.
            WhenAllDown::Pool(pool) if ranking.fenced && !ranking.ranked().any(|ranked| ranked == pool) => {
                self.finish(None, Reason::AllDown, Verdict::NoData, depth)
            }
            WhenAllDown::Pool(pool) => {
                self.allowed = self.least_bad(pool);
                self.answer(Some(pool), Reason::AllDown, depth)
            }
            WhenAllDown::All => {
                for allowed in [Allowed::NotWithdrawn, Allowed::Any] {
                    self.allowed = allowed;
                    if let Some((pool, _)) = self.pool(ranking) {
                        return self.answer(Some(pool), Reason::AllDown, depth);
                    }
                }
                let pool = self.without_family;
                self.finish(pool, Reason::AllDown, Verdict::Answer, depth)
            }
        }
    }

    /// Which endpoints of a pool to answer from, up or not: those that are up, else those not taken out, else any.
    fn least_bad(&self, pool: PoolId) -> Allowed {
        let allowed = [Allowed::Usable, Allowed::NotWithdrawn]
            .into_iter()
            .find(|allowed| self.plan.model().members(pool).any(|(id, _)| allowed.allows(self.health.endpoint(id))));
        allowed.unwrap_or(Allowed::Any)
    }

    /// Picks in the pool and ends the decision.
    #[inline]
    fn answer(mut self, pool: Option<PoolId>, reason: Reason, depth: u8) -> Decision {
        let Some(chosen) = pool else { return self.finish(None, reason, Verdict::Answer, depth) };
        let client = || self.client_key().constant();
        let keys = Keys { random: self.draw.random, client };
        let picks = pick(self.plan, self.health, chosen, self.family, self.allowed, self.vip.answers, keys);
        self.keyed |= picks.keying == Keying::Client;
        self.hold(picks.holds_for, || None);
        self.tracer.picked(picks.keying);
        let mut decision = self.finish(pool, reason, Verdict::Answer, depth);
        decision.picks = picks.ids;
        decision.count = picks.count;
        decision
    }

    #[inline]
    fn finish(self, pool: Option<PoolId>, reason: Reason, verdict: Verdict, depth: u8) -> Decision {
        let ttl = self.holds_for.min(self.vip.ttl).max(self.vip.min_ttl.min(self.vip.ttl));
        let scope = if self.keyed { depth.max(self.granularity()) } else { depth };
        Decision { picks: [EndpointId(0); ANSWERS_MAX], count: 0, verdict, pool, reason, ttl, scope }
    }
}
