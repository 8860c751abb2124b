//! Which VIPs would an order leave without a healthy pool?
//!
//! For each VIP, and for each rule of it, the pools that may answer in good order are known ([`NeededPools`]). An order is
//! unsafe when one of these sets has a usable pool now, would have one at the time of the order without it, and has none with
//! it. Orders that begin later count where they hold at the same time; `when_all_down` does not count, for it is what an
//! operator wants to be spared.
//!
//! An order looks at the sets its pools are in: the drain of a region under a hundred thousand VIPs takes a few milliseconds.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::health::forced::Forced;
use crate::health::forced::Order;
use crate::health::names::Subject;
use crate::health::needed::NeededPools;
use crate::health::needed::SetId;
use crate::health::orders::Orders;
use crate::health::standings::Standings;
use crate::health::table::HealthTable;
use crate::model::Model;
use crate::model::Moment;
use crate::model::PoolId;
use crate::model::VipId;

/// So many moments of an order's time are looked at one by one: its begin, and what three others have. Each takes up to a few
/// milliseconds with a hundred thousand VIPs.
const MOMENTS_MAX: usize = 8;

/// What orders are judged by.
#[derive(Debug, Default)]
pub struct Safety {
    /// Shared with the ledger, which keeps ejections from what orders are kept from.
    pub needed: Arc<NeededPools>,
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
    /// Of a model.
    pub fn of(model: &Model) -> Self {
        Safety { needed: Arc::new(NeededPools::of(model)) }
    }

    /// The VIPs that the order would leave without a healthy pool, in the order of the model.
    pub fn stranded(&self, model: &Model, judged: Judged<'_>, now: Moment) -> Vec<VipId> {
        if judged.forced.order == Order::Up {
            return Vec::new();
        }
        let cases = held_meanwhile(judged.orders, judged.forced, now);
        let mut sets: Vec<SetId> = match cases {
            Cases::Moments(held) => held.into_iter().flat_map(|held| self.lost(model, judged, held, false)).collect(),
            Cases::Together(held) => self.lost(model, judged, held, true),
        };
        sets.sort_unstable();
        sets.dedup();
        let mut vips: Vec<VipId> = sets.iter().flat_map(|set| self.needed.needed_by(*set)).copied().collect();
        vips.sort_unstable();
        vips.dedup();
        vips
    }

    /// The sets that lose their last pool by the order while those orders of state hold; or, when these do not hold at one
    /// moment (`together`), have none with it then.
    fn lost(&self, model: &Model, judged: Judged<'_>, mut supposed: Held, together: bool) -> Vec<SetId> {
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
        let any = |table: &HealthTable, set: SetId| self.needed.set(set).iter().any(|pool| table.pool(*pool).usable);
        let lost = pools_under(model, judged.subject).filter(|pool| !with.pool(*pool).usable);
        let mut sets: Vec<SetId> = lost.flat_map(|pool| self.needed.sets_of(pool)).copied().collect();
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
