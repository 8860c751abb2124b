//! The regional tiers without their sockets: which pool, which member, what its failure comes to, by the code that serves requests.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;

use rhumb::balance::ask::Idle;
use rhumb::balance::balancer::Balancer;
use rhumb::balance::breaker::Outcome;
use rhumb::balance::live::Failure;
use rhumb::balance::live::Live;
use rhumb::balance::live::Turned;
use rhumb::balance::live_pools::Believed;
use rhumb::balance::live_pools::LivePool;
use rhumb::balance::live_pools::LivePools;
use rhumb::balance::standing::Standing;
use rhumb::health::ejection::Ejection;
use rhumb::model::Moment;
use rhumb::model::PoolId;
use rhumb::model::Protocol;
use rhumb::regional::Regional;
use rhumb::regional::choice::Admission;
use rhumb::regional::choice::Choice;
use rhumb::regional::choice::Wish;
use rhumb::regional::choice::choose;
use rhumb::regional::elsewhere::Visitor;
use rhumb::regional::members;
use rhumb::regional::pool::PoolPlan;
use rhumb::regional::which;

use crate::dice::Dice;
use crate::layout::HOST;
use crate::layout::RETRIES;
use crate::layout::region_of;
use crate::play::Mood;
use crate::play::Play;

/// As many connections as the L4 tier tries for one flow.
const FLOW_ATTEMPTS: usize = 4;
/// Between regions. One process has one belief of each, so not even the mark on what was sent on is needed for it.
const HOPS_MAX: usize = 1;

/// What listeners do, and what they know of their endpoints.
pub struct Tiers {
    regional: Regional,
    live: LivePools,
    balancers: HashMap<PoolId, Balancer>,
    listeners: HashMap<SocketAddr, usize>,
    /// Applications that pass their probes and refuse clients.
    pub grey: BTreeSet<IpAddr>,
}

/// Why a request was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or one that broke off: whoever sent it may try another.
    Unreachable,
    /// 502 or 503: somebody was there, and nobody to send to.
    Refused,
}

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Request {
    pub client: IpAddr,
    /// Whether another region has sent it on.
    is_sent_on: bool,
    /// How often it went on to another region.
    pub hops: usize,
    /// Everywhere it was.
    pub way: Vec<IpAddr>,
}

impl Request {
    pub fn of(client: IpAddr) -> Self {
        Request { client, is_sent_on: false, hops: 0, way: Vec::new() }
    }
}

impl Tiers {
    /// Of the configuration that is served now; what was known of endpoints stays known.
    pub fn of(play: &Play, former: Option<Tiers>) -> Self {
        let model = play.ledger.model();
        let regional = Regional::compile(model);
        let (former, grey) = former.map(|former| (former.live, former.grey)).unwrap_or_default();
        let live = LivePools::of(model, |id| regional.pool(id).is_some(), &former);
        let balancers = regional.pools().map(|(id, plan)| (id, Balancer::new(plan.method.clone(), 0))).collect();
        let listeners = model.listeners.iter().enumerate().map(|(at, listener)| (listener.bind, at)).collect();
        Tiers { regional, live, balancers, listeners, grey }
    }

    /// Once a second.
    pub fn tick(&self, play: &Play) {
        self.live.tick(play.now);
    }

    /// How many endpoints rest.
    pub fn ejected(&self) -> usize {
        self.live.iter().map(|(_, pool)| pool.ejected()).sum()
    }

    /// A client's request, from its connection to a listener on.
    ///
    /// # Errors
    /// Why it was not served.
    pub fn serve(
        &mut self,
        play: &mut Play,
        at: SocketAddr,
        request: &mut Request,
        dice: &mut Dice,
    ) -> Result<IpAddr, Fault> {
        request.way.push(at.ip());
        if play.mood(at.ip()) != Mood::Passes {
            return Err(Fault::Unreachable);
        }
        let Some(listener) = self.listeners.get(&at).copied() else { return self.application(at.ip()) };
        match play.ledger.model().listeners[listener].protocol {
            Protocol::Http(_) => self.http(play, listener, request, dice),
            _ => self.flow(play, listener, request, dice),
        }
    }

    /// Whether everybody would be sent a request; pools that nobody came to for long may have some whose rest is over.
    pub fn is_admitting(&self, now: Moment) -> bool {
        self.live.iter().flat_map(|(_, pool)| pool.members()).all(|live| live.might_admit(now))
    }

    /// Whether somebody of a region rests.
    pub fn rests_in(&self, region: usize) -> bool {
        let members = self.live.iter().flat_map(|(_, pool)| pool.members());
        members.into_iter().any(|live| !live.is_admitting() && region_of(live.key().address) == region)
    }

    /// Every pool that has requests, as its tier sees it; for the case that a law is broken.
    pub fn pools(&self, play: &Play) -> String {
        let table = play.ledger.table();
        let pools = self.live.iter().map(|(id, pool)| {
            let member = |(at, live): (usize, &std::sync::Arc<Live>)| {
                let plan = &self.regional.pool(id).expect("it is reached").members[at];
                let (rests, mood) = (!live.is_admitting(), play.mood(plan.address.ip()));
                format!("  {} {mood:?} {:?} rests={rests} {:?}\n", plan.name, table.endpoint(plan.id), live.wakes_at())
            };
            let members: String = pool.members().iter().enumerate().map(member).collect();
            format!("{} {:?}\n{members}", play.ledger.model().pool(id).name, table.pool(id))
        });
        pools.collect()
    }

    /// Whether a client that comes to an address finds a listener of ours.
    pub fn listens(&self, at: SocketAddr) -> bool {
        self.listeners.contains_key(&at)
    }

    fn application(&self, at: IpAddr) -> Result<IpAddr, Fault> {
        if self.grey.contains(&at) { Err(Fault::Unreachable) } else { Ok(at) }
    }

    fn http(
        &mut self,
        play: &mut Play,
        listener: usize,
        request: &mut Request,
        dice: &mut Dice,
    ) -> Result<IpAddr, Fault> {
        let front = self.regional.fronts[listener].clone().expect("it is HTTP");
        let own = front.pools().next().expect("its route has one");
        let was_sent_on = request.is_sent_on;
        let visitor =
            || Visitor { host: Some(HOST), client: request.client, now: play.now, was_sent_on, is_probe: false };
        let serves = self.regional.serves(&front.site, (&play.plan, play.ledger.table()), own, visitor);
        if serves.is_sent_on() {
            request.hops += 1;
            assert!(request.hops <= HOPS_MAX, "sent on for ever: {:?}", request.way);
        }
        request.is_sent_on = serves.is_sent_on();
        // Whoever has tried them all says 502 and who has found nobody 503; neither is tried again.
        self.forward(play, serves.pool, 1 + RETRIES, request, dice).map_err(|_| Fault::Refused)
    }

    fn flow(
        &mut self,
        play: &mut Play,
        listener: usize,
        request: &mut Request,
        dice: &mut Dice,
    ) -> Result<IpAddr, Fault> {
        let flow = self.regional.flows[listener].clone().expect("it is L4");
        let own = flow.pool(None).expect("it has one pool");
        let pool = which::pool(play.ledger.model(), play.ledger.table(), own);
        self.forward(play, pool, FLOW_ATTEMPTS, request, dice).map_err(|_| Fault::Unreachable)
    }

    /// Sends it to a member of a pool, and to others while that is allowed.
    fn forward(
        &mut self,
        play: &mut Play,
        pool: PoolId,
        attempts: usize,
        request: &mut Request,
        dice: &mut Dice,
    ) -> Result<IpAddr, Fault> {
        let plan = self.regional.pool(pool).expect("whoever names it reaches it").clone();
        let live = self.live.pool(pool).expect("it is reached").clone();
        let wish = Wish { key: dice.draw(), draw: dice.draw(), sticky: None };
        let (mut tried, began) = (Vec::new(), request.clone());
        loop {
            let members = members::now(&plan, play.ledger.table(), |at| {
                members::seen(&plan, play.ledger.table(), &live, at, play.now)
            });
            let standing = members::standing(&plan, &members, play.now);
            let last = tried.last().map(|_| Fault::Unreachable);
            if last.is_some() && (tried.len() >= attempts || !standing.has_another(&tried)) {
                return Err(Fault::Unreachable);
            }
            let asks = |at: usize| live.members()[at].ask(play.now) || standing.spares();
            let admits = |at: usize| if asks(at) { Admission::Yes } else { Admission::No };
            let balancer = self.balancers.get_mut(&pool).expect("it is reached");
            let Choice::Member(at) = choose(&standing, balancer, &tried, wish, (&Idle, play.now), admits) else {
                return Err(last.unwrap_or(Fault::Refused));
            };
            was_well_chosen(play, &plan, &standing, &tried, at);
            let (then, address) = (play.now, plan.members[at].address);
            let mut attempt = Request { way: std::mem::take(&mut request.way), ..began.clone() };
            let outcome = self.serve(play, address, &mut attempt, dice);
            (request.way, request.hops) = (attempt.way, request.hops.max(attempt.hops));
            let turned = match outcome {
                Ok(_) => live.members()[at].passed(then, play.now),
                Err(fault) => {
                    let failure = Failure { outcome: Outcome::Failed, met: &format!("{fault:?}"), began: then };
                    live.failed(at, &failure, play.now, dice.draw(), |at| believed(play, &plan, at))
                }
            };
            turned.into_iter().for_each(|turned| tell(play, &plan, &live, at, turned));
            match outcome {
                Err(Fault::Unreachable) => tried.push(at as u32),
                other => return other,
            }
        }
    }
}

/// The laws of a choice.
fn was_well_chosen(play: &Play, plan: &PoolPlan, standing: &Standing, tried: &[u32], at: usize) {
    let table = play.ledger.table();
    let chosen = table.endpoint(plan.members[at].id);
    let name = format!("{} of {}", plan.members[at].address, plan.name);
    assert!(!chosen.withdrawn, "{name} was ordered out and is asked");
    let is_well = |at: usize| table.endpoint(plan.members[at].id).is_up_without_ejection() && standing.may_stay(at);
    let is_another = (0..plan.members.len()).any(|at| is_well(at) && !tried.contains(&(at as u32)));
    let is_good = chosen.is_up_without_ejection();
    assert!(is_good || !is_another || standing.panics(), "{name} is {chosen:?} and is asked, while another is well");
}

fn believed(play: &Play, plan: &PoolPlan, at: usize) -> Believed {
    let health = play.ledger.table().endpoint(plan.members[at].id);
    match (health.withdrawn, health.is_up_without_ejection()) {
        (true, _) => Believed::Withdrawn,
        (_, true) => Believed::Up,
        _ => Believed::Down,
    }
}

/// The keeper hears of it; and the law of an ejection.
fn tell(play: &mut Play, plan: &PoolPlan, live: &LivePool, at: usize, turned: Turned) {
    let key = live.members()[at].key();
    let step = match turned {
        Turned::Ejected { until, reason } => {
            let others = (0..plan.members.len()).filter(|other| *other != at);
            let is_well =
                |other: usize| live.members()[other].is_admitting() && believed(play, plan, other) == Believed::Up;
            // A trial that fails goes on resting; nobody else is out for it.
            let is_trial = reason.starts_with("its trial failed");
            let is_another = others.into_iter().any(is_well);
            assert!(is_trial || is_another, "the last of {} rests: {reason}", plan.name);
            play.ledger.ejected(key, Ejection { since: play.now, until, reason }, play.now)
        }
        Turned::Readmitted => play.ledger.readmitted(key, play.now, play.now),
    };
    drop(step);
}
