//! Which VIPs would an order leave without a healthy pool?
//!
//! For each VIP, and for each rule of it, the pools that may answer in good order are known: its own, their fallbacks,
//! and inside a fence its own alone. An order is unsafe when one of these sets has a usable pool now, would have one at
//! the time of the order without it, and has none with it. Orders that begin later count where they hold
//! at the same time; `when_all_down` does not count, for it is what an operator wants to be spared.
//!
//! Sets are stored once, however many VIPs have them, and an order looks at those its pools are in: the drain of a region
//! under a hundred thousand VIPs takes a few milliseconds.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

use crate::health::forced::Forced;
use crate::health::forced::Order;
use crate::health::names::Subject;
use crate::health::orders::Orders;
use crate::health::standings::Standings;
use crate::health::table::HealthTable;
use crate::model::Model;
use crate::model::Moment;
use crate::model::Policy;
use crate::model::PoolId;
use crate::model::Vip;
use crate::model::VipId;
use crate::steering::rank::fallback_chain;
use crate::steering::rank::pools_of;

/// So many moments of an order's time are looked at one by one: its begin, and what three others have. Each takes up to a few
/// milliseconds with a hundred thousand VIPs.
const MOMENTS_MAX: usize = 8;

/// The sets of pools of which each VIP needs one.
#[derive(Debug, Default)]
pub struct Safety {
    /// The pools of the sets, one set after the other.
    pools: Vec<PoolId>,
    /// Where each set begins in `pools`, and the end of the last.
    begins: Vec<u32>,
    /// Which VIPs need a pool of each set.
    needed_by: Vec<Vec<VipId>>,
    /// In which sets each pool is, by [`PoolId`].
    sets_of: Vec<Vec<u32>>,
}

/// What is to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// What is believed.
    pub standings: &'a Standings,
    /// What queries read.
    pub table: &'a HealthTable,
    /// The orders there are, those about to be taken among them.
    pub orders: &'a Orders,
    /// What the order is about.
    pub subject: Subject,
    /// The order.
    pub forced: &'a Forced,
}

impl Safety {
    /// The sets of a model.
    pub fn of(model: &Model) -> Self {
        let mut safety = Safety { begins: vec![0], sets_of: vec![Vec::new(); model.pools.len()], ..Safety::default() };
        let mut known: HashMap<Vec<PoolId>, u32> = HashMap::new();
        for (vip, settings) in model.vips.iter().enumerate() {
            for set in sets(model, settings) {
                let at = *known.entry(set).or_insert_with_key(|set| safety.add(set));
                let needed_by = &mut safety.needed_by[at as usize];
                // Rules that come to the same set stand behind each other.
                if needed_by.last() != Some(&VipId::from(vip)) {
                    needed_by.push(VipId::from(vip));
                }
            }
        }
        safety
    }

    fn add(&mut self, set: &[PoolId]) -> u32 {
        let at = self.needed_by.len() as u32;
        self.pools.extend_from_slice(set);
        self.begins.push(self.pools.len() as u32);
        self.needed_by.push(Vec::new());
        set.iter().for_each(|pool| self.sets_of[pool.index()].push(at));
        at
    }

    fn set(&self, at: u32) -> &[PoolId] {
        &self.pools[self.begins[at as usize] as usize..self.begins[at as usize + 1] as usize]
    }

    /// The VIPs that the order would leave without a healthy pool, in the order of the model.
    pub fn stranded(&self, model: &Model, judged: Judged<'_>, now: Moment) -> Vec<VipId> {
        if judged.forced.order == Order::Up {
            return Vec::new();
        }
        let cases = held_meanwhile(judged.orders, judged.forced, now);
        let mut sets: Vec<u32> = match cases {
            Cases::Moments(held) => held.into_iter().flat_map(|held| self.lost(model, judged, held, false)).collect(),
            Cases::Together(held) => self.lost(model, judged, held, true),
        };
        sets.sort_unstable();
        sets.dedup();
        let mut vips: Vec<VipId> = sets.iter().flat_map(|set| self.needed_by[*set as usize].iter().copied()).collect();
        vips.sort_unstable();
        vips.dedup();
        vips
    }

    /// The sets that lose their last pool by the order while those orders of state hold; or, when these do not hold at one
    /// moment (`together`), have none with it then.
    fn lost(&self, model: &Model, judged: Judged<'_>, mut supposed: Held, together: bool) -> Vec<u32> {
        let weight = judged.forced.order.weight();
        if weight.is_none()
            && let Some(former) = supposed.get_mut(&judged.subject)
        {
            // The order takes the place of this one: what that takes out is no excuse for what this one does.
            *former = former.filter(|order| *order == Order::Up);
        }
        let without = judged.table.supposing(model, judged.standings, &supposed);
        let with = match (judged.subject, weight) {
            // It makes a standby of an endpoint, or the reverse: a pool that needs more than one may lack them then.
            (Subject::Endpoint(id), Some(weight)) => {
                let ordered = || judged.standings.forced(judged.subject).map(|forced| forced.order);
                supposed.entry(judged.subject).or_insert_with(ordered);
                without.weighing(id, weight).supposing(model, judged.standings, &supposed)
            }
            (_, Some(_)) => return Vec::new(),
            (subject, None) => {
                supposed.insert(subject, Some(judged.forced.order));
                without.supposing(model, judged.standings, &supposed)
            }
        };
        let any = |table: &HealthTable, set: u32| self.set(set).iter().any(|pool| table.pool(*pool).usable);
        let lost = pools_under(model, judged.subject).filter(|pool| !with.pool(*pool).usable);
        let mut sets: Vec<u32> = lost.flat_map(|pool| self.sets_of[pool.index()].iter().copied()).collect();
        sets.sort_unstable();
        sets.dedup();
        sets.retain(|set| !any(&with, *set) && any(judged.table, *set) && (together || any(&without, *set)));
        sets
    }
}

/// Which order of state each subject is under; `None` for one whose orders all hold at other times.
type Held = BTreeMap<Subject, Option<Order>>;

/// What holds beside an order.
enum Cases {
    /// At each moment that matters.
    Moments(Vec<Held>),
    /// At any time of it.
    Together(Held),
}

/// The orders of state that hold beside this one, at its begin and at each moment at which another begins or ends while it
/// holds. Where there are more of these moments than [`MOMENTS_MAX`], all count as if they held together: that refuses what
/// does no harm rather than the reverse.
fn held_meanwhile(orders: &Orders, forced: &Forced, now: Moment) -> Cases {
    let begins = forced.begins.max(now);
    let stated = || orders.live().filter_map(|(subject, given)| Some((subject, given.state.as_ref()?)));
    let held = |holds: &dyn Fn(&Forced) -> bool| -> Held {
        stated().map(|(subject, other)| (subject, holds(other).then_some(other.order))).collect()
    };
    let inside = |moment: &Moment| *moment > begins && forced.holds_at(*moment);
    let changes = stated().flat_map(|(_, other)| [Some(other.begins), other.until]).flatten().filter(inside);
    let moments: BTreeSet<Moment> = std::iter::once(begins).chain(changes).collect();
    match moments.len() > MOMENTS_MAX {
        true => Cases::Together(held(&|other| other.overlaps(begins, forced.until))),
        false => Cases::Moments(moments.into_iter().map(|moment| held(&|other| other.in_force_at(moment))).collect()),
    }
}

fn pools_under(model: &Model, subject: Subject) -> Box<dyn Iterator<Item = PoolId> + '_> {
    let pools = model.pools.iter().enumerate();
    match subject {
        Subject::Endpoint(id) => Box::new(std::iter::once(model.endpoint(id).pool)),
        Subject::Pool(id) => Box::new(std::iter::once(id)),
        Subject::Region(region) => {
            Box::new(pools.filter(move |(_, pool)| pool.region == region).map(|(at, _)| PoolId::from(at)))
        }
    }
}

/// The sets of a VIP: for each rule what a client of it may be answered from before all counts as down.
fn sets(model: &Model, vip: &Vip) -> Vec<Vec<PoolId>> {
    let own = pools_of(vip);
    let Policy::Geolocation(rules) = &vip.policy else { return vec![with_fallbacks(model, own.clone(), &own)] };
    let set = |rule: &crate::model::Rule| {
        let ranked: Vec<PoolId> = rule.members.iter().map(|member| member.pool).collect();
        if rule.geofence { tidy(ranked) } else { with_fallbacks(model, own.clone(), &ranked) }
    };
    rules.iter().map(set).collect()
}

fn with_fallbacks(model: &Model, mut pools: Vec<PoolId>, of: &[PoolId]) -> Vec<PoolId> {
    of.iter().for_each(|pool| pools.extend(fallback_chain(model, *pool)));
    tidy(pools)
}

fn tidy(mut pools: Vec<PoolId>) -> Vec<PoolId> {
    pools.sort_unstable();
    pools.dedup();
    pools
}
