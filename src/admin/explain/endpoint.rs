//! Which endpoint of the pool gets the request, and how do the others stand?
//!
//! Chosen by [`choose`], as the proxy does. Where a key, a cookie or an order decides, the answer is exact. Where turns, load or
//! chance decide, each core goes its own way: then it is told who may be chosen, and what part of the requests each gets.

use std::net::IpAddr;
use std::time::Duration;

use crate::admin::dto::EndpointStep;
use crate::admin::dto::MemberStep;
use crate::balance::ask::Load;
use crate::balance::balancer::Balancer;
use crate::balance::live_pools::LivePool;
use crate::balance::slow_start::GRAIN;
use crate::balance::standing::MemberNow;
use crate::balance::standing::Standing;
use crate::balance::tiers::WHOLE;
use crate::config::forms::show_duration;
use crate::health::table::HealthTable;
use crate::model::Balance;
use crate::model::Moment;
use crate::proxy::decide::Forwarded;
use crate::regional::choice::Admission;
use crate::regional::choice::Choice;
use crate::regional::choice::Wish;
use crate::regional::choice::choose;
use crate::regional::flow;
use crate::regional::flow::FlowPlan;
use crate::regional::front::Front;
use crate::regional::members;
use crate::regional::members::Seen;
use crate::regional::pool::PoolPlan;
use crate::route::head::Head;
use crate::route::keyed;
use crate::route::plan::RoutePlan;

/// A pool at this moment.
pub(super) struct PoolNow<'a> {
    pub(super) plan: &'a PoolPlan,
    pub(super) health: &'a HealthTable,
    /// What its requests tell; nothing when no proxy was asked.
    pub(super) live: Option<&'a LivePool>,
    pub(super) now: Moment,
    /// So many at an endpoint, and it is full.
    pub(super) most: u32,
    /// Whether the secret of sticky cookies is the one that served them.
    pub(super) knows_cookies: bool,
}

/// What members carry, over all cores. How long they take to answer each core knows for itself.
struct InHand<'a>(Option<&'a LivePool>);

impl Load for InHand<'_> {
    fn in_flight(&self, member: usize) -> u32 {
        self.0.and_then(|live| live.members().get(member)).map_or(0, |live| live.in_flight())
    }
    fn latency(&self, _: usize, _: Moment) -> f64 {
        0.0
    }
}

/// Who may be chosen, and with what part of the requests.
struct Candidates {
    /// By place; 0 for those who may not be.
    parts: Vec<f64>,
}

impl PoolNow<'_> {
    /// The step, and what became of the choice.
    pub(super) fn step(
        &self,
        (front, route): (&Front, &RoutePlan),
        forwarded: &Forwarded,
        head: &Head<'_>,
        draw: u64,
    ) -> (EndpointStep, Choice) {
        let plan = self.plan;
        let members = members::now(plan, self.health, |at| self.seen(at));
        let standing = members::standing(plan, &members, self.now);
        let named = forwarded.sticky.as_deref().and_then(|value| plan.sticky.as_ref()?.endpoint(value));
        let choice = self.choice(&standing, Wish { key: forwarded.key, draw, sticky: named });
        let candidates = self.candidates(&standing);
        let stays = named.filter(|at| standing.may_stay(*at) && choice == Choice::Member(*at));
        let wait = front.listener.limits.queue_timeout;
        let (chosen, because) = self.outcome(choice, stays.is_some(), &candidates, wait);
        let member = |(at, member): (usize, &MemberNow)| self.member(at, member, &standing, &candidates);
        let step = EndpointStep {
            method: plan.method.name().to_owned(),
            key: plan.method.is_keyed().then(|| keyed::words(&plan.upstream.keyed_on, head, forwarded.known.client)),
            sticky: route
                .sticky
                .as_deref()
                .filter(|_| !forwarded.serves.is_sent_on())
                .map(|cookie| self.sticky(cookie, forwarded, named, stays.is_some())),
            panics: standing.panics(),
            chosen: chosen.map(|at| plan.members[at].address.to_string()),
            because,
            members: members.iter().enumerate().map(member).collect(),
        };
        (step, choice)
    }

    /// The step of a connection that is carried unread; its client is known where the one before tells.
    pub(super) fn flow_step(&self, flow: &FlowPlan, client: Option<IpAddr>, draw: u64) -> EndpointStep {
        let plan = self.plan;
        let members = members::now(plan, self.health, |at| self.seen(at));
        let standing = members::standing(plan, &members, self.now);
        let key = client.map_or(0, |client| flow::key(plan, client));
        let choice = self.choice(&standing, Wish { key, draw, sticky: None });
        let candidates = self.candidates(&standing);
        let wait = flow.listener.limits.queue_timeout;
        let (mut chosen, mut because) = self.outcome(choice, false, &candidates, wait);
        let is_keyed = plan.method.is_keyed();
        if is_keyed && client.is_none() && candidates.count() > 1 && chosen.is_some() {
            chosen = None;
            because = "the key is of the address that the connection comes from".to_owned();
        }
        let member = |(at, member): (usize, &MemberNow)| self.member(at, member, &standing, &candidates);
        EndpointStep {
            method: plan.method.name().to_owned(),
            key: client.filter(|_| is_keyed).map(|client| format!("client {client}")),
            sticky: None,
            panics: standing.panics(),
            chosen: chosen.map(|at| plan.members[at].address.to_string()),
            because,
            members: members.iter().enumerate().map(member).collect(),
        }
    }

    fn seen(&self, at: usize) -> Seen {
        match self.live {
            Some(live) => members::seen(self.plan, self.health, live, at, self.now),
            None => Seen { is_admitting: true, risen: self.health.risen(self.plan.members[at].id) },
        }
    }

    fn choice(&self, standing: &Standing, wish: Wish) -> Choice {
        let is_reweighed = self.plan.method.is_keyed() && self.health.pool(self.plan.id).reweighed;
        let method = if is_reweighed { members::reweighed(self.plan, self.health) } else { self.plan.method.clone() };
        let load = (&InHand(self.live), self.now);
        choose(standing, &mut Balancer::new(method, 0), &[], wish, load, |at| self.admits(at, standing))
    }

    /// As the proxy asks it, without becoming a trial.
    fn admits(&self, at: usize, standing: &Standing) -> Admission {
        if self.is_full(at) {
            Admission::Full
        } else if standing.spares() || self.seen(at).is_admitting {
            Admission::Yes
        } else {
            Admission::No
        }
    }

    fn is_full(&self, at: usize) -> bool {
        InHand(self.live).in_flight(at) >= self.most
    }

    fn candidates(&self, standing: &Standing) -> Candidates {
        let mut parts = vec![0.0; self.plan.members.len()];
        let last_resort = standing.tiers().last_resort();
        let mut left = WHOLE;
        let mut share = |part: u32, usable: &crate::balance::set::Set| {
            let usable = if usable.is_empty() { last_resort } else { usable };
            let able: Vec<usize> = usable.iter().filter(|at| self.admits(*at, standing) == Admission::Yes).collect();
            // Weights are at least one where nobody has any.
            let weight = |at: usize| f64::from(standing.weight(at).max(1));
            let sum: f64 = able.iter().map(|at| weight(*at)).sum();
            able.iter().for_each(|at| parts[*at] += f64::from(part) / f64::from(WHOLE) * weight(*at) / sum);
        };
        for (part, usable) in standing.tiers().parts().filter(|(part, _)| *part > 0) {
            share(part, usable);
            left -= part;
        }
        if left > 0 {
            share(left, last_resort);
        }
        Candidates { parts }
    }

    /// The endpoint, where one can be told, and what decides.
    fn outcome(&self, choice: Choice, stays: bool, candidates: &Candidates, wait: Duration) -> (Option<usize>, String) {
        let at = match choice {
            Choice::Member(at) => at,
            Choice::AllFull => {
                let wait = show_duration(wait);
                return (None, format!("all who may be chosen are full: it waits for one, for {wait} at most"));
            }
            Choice::Nobody => return (None, "nobody may be chosen".to_owned()),
        };
        if stays {
            return (Some(at), "its cookie names it".to_owned());
        }
        if candidates.count() == 1 {
            return (Some(at), "the only one that may be chosen".to_owned());
        }
        match self.plan.balance {
            Balance::Hash | Balance::RingHash | Balance::Maglev => {
                let bound = self.plan.upstream.bound_percent;
                let bound = bound.map(|percent| format!(", while it carries no more than {percent} % of its share"));
                (Some(at), format!("the key is its own{}", bound.unwrap_or_default()))
            }
            // With backups that take a part, chance decides which of the two are meant.
            Balance::Failover if candidates.parts[at] > 0.0 && candidates.are_one_tier(self.plan) => {
                (Some(at), "the first in order that may be chosen".to_owned())
            }
            Balance::Failover => (None, "the first in order, of the members or of the backups by chance".to_owned()),
            Balance::LeastConn => (None, "whoever has the fewest requests in hand for its weight gets it".to_owned()),
            Balance::P2c => (None, "of two drawn by chance the quicker one gets it".to_owned()),
            Balance::Random => (None, "chance decides, by weight".to_owned()),
            Balance::Weighted | Balance::RoundRobin => {
                (None, "whose turn it is gets it; each core takes turns of its own".to_owned())
            }
        }
    }

    fn sticky(&self, cookie: &str, forwarded: &Forwarded, named: Option<usize>, stays: bool) -> String {
        let Some(values) = &self.plan.sticky else {
            return format!("cookie {cookie}: its secret is not known here, so nobody stays");
        };
        let Some(value) = &forwarded.sticky else {
            return format!("cookie {cookie} is not there; the response sets it");
        };
        let address = |at: usize| self.plan.members[at].address;
        match named {
            None if !self.knows_cookies => {
                format!(
                    "cookie {cookie} is of the server's own secret (there is no sticky_secret_file); ask the server"
                )
            }
            None => format!("cookie {cookie} names no endpoint of this pool; the response sets it anew"),
            Some(at) if !stays => {
                format!("cookie {cookie} names {}, which may not be chosen now; the response sets it anew", address(at))
            }
            Some(at) if values.is_outdated(value) => {
                format!("cookie {cookie} names {}, by the former secret; the response sets it anew", address(at))
            }
            Some(at) => format!("cookie {cookie} names {}, where the client stays", address(at)),
        }
    }

    fn member(&self, at: usize, member: &MemberNow, standing: &Standing, candidates: &Candidates) -> MemberStep {
        let part = candidates.parts[at];
        let by_part = matches!(self.plan.balance, Balance::Weighted | Balance::RoundRobin | Balance::Random);
        MemberStep {
            address: self.plan.members[at].address.to_string(),
            weight: member.weight,
            backup: member.tier > 0,
            candidate: part > 0.0,
            percent: (by_part && part > 0.0).then(|| (part * 1_000.0).round() / 10.0),
            in_flight: self.live.map(|_| InHand(self.live).in_flight(at)),
            standing: self.standing_of(at, member, standing),
        }
    }

    fn standing_of(&self, at: usize, member: &MemberNow, standing: &Standing) -> String {
        let grown = u64::from(standing.weight(at)) * 100 / (u64::from(member.weight) * u64::from(GRAIN)).max(1);
        if member.is_withdrawn {
            "taken out by an operator".to_owned()
        } else if self.health.endpoint(self.plan.members[at].id).blocked {
            "blocked: a listener of ours that has nobody to send to".to_owned()
        } else if !member.is_up {
            "down".to_owned()
        } else if !member.is_admitting && standing.spares() {
            "ejected: its requests fail; asked all the same, for nobody else is up".to_owned()
        } else if !member.is_admitting {
            "ejected: its requests fail".to_owned()
        } else if self.is_full(at) {
            "full".to_owned()
        } else if member.weight == 0 {
            "up, and without weight: when every other is gone".to_owned()
        } else if grown < 100 {
            format!("up, with {grown} % of its weight: it grows")
        } else {
            "up".to_owned()
        }
    }
}

impl Candidates {
    fn count(&self) -> usize {
        self.parts.iter().filter(|part| **part > 0.0).count()
    }

    fn are_one_tier(&self, plan: &PoolPlan) -> bool {
        let mut tiers = self.parts.iter().zip(&plan.members).filter(|(part, _)| **part > 0.0).map(|(_, m)| m.tier);
        let first = tiers.next();
        tiers.all(|tier| Some(tier) == first)
    }
}
