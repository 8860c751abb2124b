//! Which endpoint of a pool gets this request? One core's answer.
//!
//! Who may be chosen ([`Standing`]) is worked out when something has changed: a new world, a breaker, the end of a rest, a weight
//! that grows. Requests only read it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::ask::Load;
use crate::balance::balancer::Balancer;
use crate::balance::live_pools::LivePool;
use crate::balance::retry_budget::LEAST_PER_SECOND;
use crate::balance::retry_budget::RetryBudget;
use crate::balance::standing::Standing;
use crate::balance::window::BUCKETS;
use crate::health::table::HealthTable;
use crate::model::Moment;
use crate::proxy::cells::PoolCell;
use crate::proxy::upstream::endpoint::Endpoint;
use crate::proxy::upstream::endpoint::InFlight;
use crate::proxy::upstream::queue::Queue;
use crate::regional::choice::Admission;
use crate::regional::choice::Choice;
use crate::regional::choice::Wish;
use crate::regional::choice::choose;
use crate::regional::members;
use crate::regional::pool::PoolPlan;

/// How often weights that grow are worked out anew.
const GROWING: Duration = Duration::from_millis(250);

/// A pool as one core knows it.
#[derive(Debug)]
pub struct Pool {
    /// What was meant.
    pub plan: Arc<PoolPlan>,
    /// In the plan's order.
    pub endpoints: Box<[Rc<Endpoint>]>,
    /// What all cores know of them.
    pub live: Arc<LivePool>,
    /// Those who wait.
    pub queue: Arc<Queue>,
    /// What is counted of it.
    pub cell: Arc<PoolCell>,
    balancer: RefCell<Balancer>,
    budget: RefCell<RetryBudget>,
    fresh: RefCell<Option<Fresh>>,
    core: u32,
}

/// Who may be chosen, and how long that holds.
#[derive(Debug)]
struct Fresh {
    standing: Standing,
    /// The look at the world it was made with.
    look: u64,
    epoch: u64,
    until: Moment,
    /// Weights that an operator ordered, of hashed methods.
    reweighed: bool,
}

/// What became of a wish.
#[derive(Debug)]
pub enum Chosen {
    /// It goes there: the place in the pool.
    Endpoint(usize, InFlight),
    /// Everyone who may be chosen is full.
    AllFull,
    /// Nobody may be chosen.
    Nobody,
}

/// A look at the world: which one it is, and what is believed there.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// Counts the worlds this core has seen.
    pub number: u64,
    /// What is believed.
    pub health: &'a HealthTable,
}

/// What members carry.
struct Carried<'a>(&'a [Rc<Endpoint>]);

impl Load for Carried<'_> {
    #[inline]
    fn in_flight(&self, member: usize) -> u32 {
        self.0.get(member).map_or(0, |endpoint| endpoint.live.in_flight())
    }
    #[inline]
    fn latency(&self, member: usize, now: Moment) -> f64 {
        self.0.get(member).map_or(0.0, |endpoint| endpoint.latency_micros(now))
    }
}

impl Pool {
    /// For one of so many cores.
    pub fn new(
        plan: Arc<PoolPlan>,
        endpoints: Box<[Rc<Endpoint>]>,
        live: Arc<LivePool>,
        (queue, cell): (Arc<Queue>, Arc<PoolCell>),
        (core, cores): (u32, u32),
    ) -> Self {
        let balancer = Balancer::new(plan.method.clone(), core);
        let least = (LEAST_PER_SECOND * BUCKETS as u32 / cores.max(1)).max(1);
        let budget = RetryBudget::new(plan.upstream.retry_percent, least);
        Pool {
            endpoints,
            live,
            queue,
            cell,
            balancer: RefCell::new(balancer),
            budget: RefCell::new(budget),
            fresh: RefCell::default(),
            plan,
            core,
        }
    }

    /// Tells endpoints that were taken out to let go of their connections, and those that are back to keep them; `is_left` when
    /// the whole pool was, and others serve in its place.
    pub fn look_at_endpoints(&self, health: &HealthTable, is_left: bool) {
        for (member, endpoint) in self.plan.members.iter().zip(&self.endpoints) {
            let believed = health.endpoint(member.id);
            if is_left || believed.withdrawn {
                endpoint.leave();
            } else {
                endpoint.tunnels.stay();
            }
            if believed.is_up_without_ejection() {
                endpoint.tunnels.mend();
            } else if self.plan.upstream.closes_when_down {
                endpoint.tunnels.cut();
            }
        }
    }

    /// Whether choices go by a key.
    pub fn is_keyed(&self) -> bool {
        self.plan.method.is_keyed()
    }

    /// A request came.
    pub fn request(&self, now: Moment) {
        self.budget.borrow_mut().request(now);
    }

    /// Whether one more may be tried again.
    pub fn take_retry(&self, now: Moment) -> bool {
        self.budget.borrow_mut().take(now)
    }

    /// Whether it balances over all because too few are up.
    pub fn panics(&self, look: Look<'_>, now: Moment) -> bool {
        self.with_standing(look, now, Standing::panics)
    }

    /// Chooses; `tried` are those that had this request before.
    pub fn choose(&self, look: Look<'_>, tried: &[u32], wish: Wish, now: Moment) -> Chosen {
        let most = self.plan.upstream.requests_max;
        self.with_standing(look, now, |standing| self.choose_of(standing, tried, wish, (most, now)))
    }

    /// The same for a flow.
    pub fn choose_for_flow(&self, look: Look<'_>, tried: &[u32], wish: Wish, now: Moment) -> Chosen {
        let most = self.plan.upstream.flows_max;
        self.with_standing(look, now, |standing| self.choose_of(standing, tried, wish, (most, now)))
    }

    /// Whether somebody is left who was not tried.
    pub fn has_another(&self, look: Look<'_>, tried: &[u32], now: Moment) -> bool {
        self.with_standing(look, now, |standing| standing.has_another(tried))
    }

    fn choose_of(&self, standing: &Standing, tried: &[u32], wish: Wish, (most, now): (u32, Moment)) -> Chosen {
        let mut begun = None;
        let admits = |at: usize| match InFlight::begin(&self.endpoints[at], most, standing.spares(), now) {
            Ok(in_flight) => {
                begun = Some(in_flight);
                Admission::Yes
            }
            Err(admission) => admission,
        };
        let load = (&Carried(&self.endpoints), now);
        match choose(standing, &mut self.balancer.borrow_mut(), tried, wish, load, admits) {
            Choice::Member(at) => Chosen::Endpoint(at, begun.expect("who admits has begun")),
            Choice::AllFull => Chosen::AllFull,
            Choice::Nobody => Chosen::Nobody,
        }
    }

    fn with_standing<T>(&self, look: Look<'_>, now: Moment, then: impl FnOnce(&Standing) -> T) -> T {
        let mut fresh = self.fresh.borrow_mut();
        let epoch = self.live.epoch();
        let holds = |fresh: &Fresh| fresh.look == look.number && fresh.epoch == epoch && now < fresh.until;
        match &mut *fresh {
            Some(fresh) if holds(fresh) => then(&fresh.standing),
            fresh => {
                let was_reweighed = fresh.as_ref().is_some_and(|fresh| fresh.reweighed);
                then(&fresh.insert(self.look_again(look, epoch, was_reweighed, now)).standing)
            }
        }
    }

    #[cold]
    fn look_again(&self, look: Look<'_>, epoch: u64, was_reweighed: bool, now: Moment) -> Fresh {
        let plan = &self.plan;
        let members = members::now(plan, look.health, |at| members::seen(plan, look.health, &self.live, at, now));
        let reweighed = look.health.pool(plan.id).reweighed;
        if self.is_keyed() && (reweighed || was_reweighed) {
            *self.balancer.borrow_mut() = Balancer::new(members::reweighed(plan, look.health), self.core);
        }
        let standing = members::standing(plan, &members, now);
        self.cell.panics(standing.panics());
        let wakes = self.live.wakes_at().filter(|at| *at > now).unwrap_or(Moment(u64::MAX));
        let until = if standing.is_growing() { wakes.min(now + GROWING) } else { wakes };
        Fresh { standing, look: look.number, epoch, until, reweighed }
    }
}
