//! Operators' orders in the ledger: taken, begun and ended on time, put to sleep and woken by reloads.
//!
//! Whether an order may be taken at all is said by [`Ledger::checked`]; whether it would leave a VIP without a healthy
//! pool by `steering::safety`; that it is on disk before it counts is `runtime::keeper`'s business.

use std::time::Duration;

use crate::health::forced::{Aspect, Change, Forced, Order, Phase, Refusal};
use crate::health::journal::Turn;
use crate::health::ledger::{Ledger, Step, TURNS_TOLD_MAX};
use crate::health::names::{Subject, SubjectName, resolve};
use crate::health::orders::{Given, ORDERS_MAX, OrderListed, Orders, Place};
use crate::model::{Moment, WEIGHT_MAX};

/// The longest reason, in bytes: it is shown in one line, kept in a file and sent to every follower of events.
pub const REASON_BYTES_MAX: usize = 500;
/// The longest name of who ordered something, in bytes.
pub const BY_BYTES_MAX: usize = 100;

impl Ledger {
    /// Every order, in force or not: by region, pool and endpoint, those of names that are not configured last.
    pub fn orders(&self) -> Vec<OrderListed> {
        let live = self.standings.orders.live().flat_map(|(subject, given)| {
            given.each().map(move |forced| {
                let phase = if self.is_in_force(subject, forced.order) { Phase::InForce } else { Phase::Planned };
                (subject.kind(), subject.name(&self.model), forced.clone(), phase)
            })
        });
        let dormant = self.standings.orders.dormant().flat_map(|(name, given)| {
            given.each().map(move |forced| (name.kind(), name.name(), forced.clone(), Phase::Dormant))
        });
        let listed =
            |(kind, name, forced, phase)| OrderListed { subject: format!("{kind}/{name}"), kind, name, forced, phase };
        live.chain(dormant).map(listed).collect()
    }

    /// What an operator means by `region/X`, `pool/X` or `endpoint/POOL/ADDRESS[:PORT]`: something configured, or
    /// something that is not but has orders.
    ///
    /// # Errors
    /// When it is neither, with what there is.
    pub fn subject(&self, text: &str) -> Result<SubjectName, Refusal> {
        let refusal = match resolve(&self.model, text) {
            Ok(subject) => return Ok(SubjectName::of(&self.model, subject)),
            Err(refusal) => refusal,
        };
        let Some(meant) = SubjectName::parse(text) else { return Err(refusal) };
        let same = |name: &SubjectName| match (name, &meant) {
            (SubjectName::Endpoint(is), SubjectName::Endpoint(meant)) if meant.port.is_none() => {
                (&is.pool, is.address) == (&meant.pool, meant.address)
            }
            _ => *name == meant,
        };
        let mut known = self.standings.orders.dormant().map(|(name, _)| name).filter(|name| same(name));
        match (known.next(), known.next()) {
            (Some(name), None) => Ok(name.clone()),
            (Some(one), Some(other)) => Err(Refusal::Invalid(format!("`{text}` is ambiguous: write {one} or {other}"))),
            _ => Err(refusal),
        }
    }

    /// Where the orders of a subject are kept.
    pub fn place(&self, name: &SubjectName) -> Place {
        name.find(&self.model).map_or_else(|| Place::Dormant(name.clone()), Place::Live)
    }

    /// Whether an order makes sense beside those that `orders` holds.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub fn checked(&self, orders: &Orders, name: &SubjectName, forced: &Forced, now: Moment) -> Result<(), Refusal> {
        let invalid = |sentence: String| Err(Refusal::Invalid(sentence));
        let Place::Live(subject) = self.place(name) else {
            let fact = format!("there is no {} `{}` now", name.kind(), name.name());
            return Err(Refusal::Unknown(format!("{fact}; what was ordered of it sleeps, and can only be ended")));
        };
        match (forced.order, subject) {
            (Order::Weight(_), Subject::Region(_) | Subject::Pool(_)) => {
                return invalid(format!("{name} has no weight of its own: order one of an endpoint"));
            }
            (Order::Weight(weight), _) if weight > WEIGHT_MAX => {
                return invalid(format!("a weight is at most {WEIGHT_MAX}, not {weight}"));
            }
            (Order::Up, Subject::Region(_)) => {
                let fact = "a region is not forced up: its pools and endpoints say what is up in it";
                return invalid(format!("{fact}; to end a drain, end the order"));
            }
            _ => {}
        }
        if forced.reason.len() > REASON_BYTES_MAX {
            return invalid(format!("the reason is longer than {REASON_BYTES_MAX} bytes"));
        }
        if forced.by.len() > BY_BYTES_MAX {
            return invalid(format!("the name of who orders it is longer than {BY_BYTES_MAX} bytes"));
        }
        if !forced.holds_at(now) {
            return invalid("its end has passed already".into());
        }
        if !forced.holds_at(forced.begins) {
            return invalid("it would end before it begins".into());
        }
        let place = Place::Live(subject);
        let former = orders.at(&place).and_then(|given| given.of(forced.order.aspect()));
        match former {
            Some(former) if forced.begins > now && former.in_force_at(now) => {
                let fact = format!("{name} is under {} now ({})", words_of(former.order), former.papers());
                return invalid(format!(
                    "{fact}, which an order that begins later would end: end it first, or order at once"
                ));
            }
            None if orders.len() >= ORDERS_MAX => {
                return invalid(format!("there are {ORDERS_MAX} orders already; order something of pools or regions"));
            }
            _ => {}
        }
        Ok(())
    }

    /// An operator orders something of a subject, or ends orders. Nothing is checked here.
    pub fn order(&mut self, name: &SubjectName, change: Change, now: Moment) -> Step {
        let place = self.place(name);
        match change {
            Change::Set(forced) => self.set(place, forced, now),
            Change::End { aspect, by } => {
                let ended = self.standings.orders.end(&place, aspect);
                self.ended(&place, &ended, &format!("ended by {by}"), now)
            }
        }
    }

    /// Takes back the orders of before a restart. What ended meanwhile is told, what is still in force counts at once.
    pub fn recall_orders(&mut self, orders: Vec<(SubjectName, Forced)>, now: Moment) -> Step {
        let mut told = Step::default();
        for (name, forced) in orders {
            let place = self.place(&name);
            if forced.holds_at(now) {
                told = told.and(self.recalled(place, forced, now));
            } else {
                told = told.and(self.ended(&place, &[forced], "expired while the server was not running", now));
            }
        }
        told
    }

    /// Ends the orders whose time is over, begins those whose time has come, and counts down the others; the same of
    /// ejections. A suspicion may have lasted too long.
    pub fn keep_time(&mut self, now: Moment) -> Step {
        let mut step = self.reconsider(now).and(self.keep_ejections(now)).and(self.keep_loads(now));
        self.table.forget_grown(&self.model, now);
        for (place, aspect) in self.standings.orders.over(now) {
            let ended = self.standings.orders.end(&place, Some(aspect));
            step = step.and(self.ended(&place, &ended, "expired", now));
        }
        let timed = |given: &Given| given.each().any(|f| f.until.is_some() || f.begins > f.since);
        let timed = self.standings.orders.live().filter(|(_, given)| timed(given));
        let timed: Vec<Subject> = timed.map(|(subject, _)| subject).collect();
        timed.into_iter().fold(step, |step, subject| step.and(self.begun(subject, now)))
    }

    /// When [`Ledger::keep_time`] next has an order to begin or to end.
    pub fn next_order_change(&self, now: Moment) -> Option<Moment> {
        self.standings.orders.changes_after(now)
    }

    /// Whether a moment is so near that TTLs count down to it.
    pub fn counts_down_to(&self, change: Moment, now: Moment) -> bool {
        change.since(now) <= self.ttl_max
    }

    /// What a reload did to orders: those that sleep from now on, and those that it woke.
    pub(super) fn slept_and_woken(&self, before: &Orders, now: Moment) -> Vec<Turn> {
        let turn = |name: &SubjectName, given: &Given, sleeps: bool| {
            let papers = given.each().map(Forced::papers).collect::<Vec<_>>().join("; ");
            let orders = given.each().map(|f| f.order.words()).collect::<Vec<_>>().join(" and ");
            let kind = name.kind();
            let (from, to, reason) = match sleeps {
                true => (orders, "dormant".to_owned(), format!("{papers}; there is no such {kind} any more")),
                false => ("dormant".to_owned(), orders, format!("{papers}; the {kind} is back")),
            };
            let effective = to.clone().into();
            Turn { at: now, kind, name: name.name(), from: from.into(), to: to.into(), after: 0, reason, effective }
        };
        let after = &self.standings.orders;
        let slept = after.dormant().filter(|(name, _)| before.at(&Place::Dormant((*name).clone())).is_none());
        let slept = slept.map(|(name, given)| turn(name, given, true));
        let woken = before.dormant().filter(|(name, _)| after.at(&Place::Dormant((*name).clone())).is_none());
        let woken = woken.map(|(name, given)| turn(name, given, false));
        slept.chain(woken).collect()
    }

    fn is_in_force(&self, subject: Subject, order: Order) -> bool {
        match (order.aspect(), subject) {
            (Aspect::State, _) => self.standings.forced(subject).is_some(),
            (Aspect::Weight, Subject::Endpoint(id)) => self.belief(id).weight.is_some(),
            (Aspect::Weight, _) => false,
        }
    }

    fn set(&mut self, place: Place, forced: Forced, now: Moment) -> Step {
        let (order, papers) = (forced.order, forced.papers());
        let planned = (!forced.in_force_at(now)).then(|| forced.begins.since(now));
        let former = self.standings.orders.at(&place).and_then(|given| given.of(order.aspect()));
        let papers = match former.filter(|former| former.begins > now) {
            // It has not turned anything, so nothing else would tell that it will not.
            Some(former) => format!("{papers}; the planned {} ({}) is off", words_of(former.order), former.papers()),
            None => papers,
        };
        self.standings.orders.set(place.clone(), forced);
        let Place::Live(subject) = place else { return Step::default() };
        let from = self.words(subject, order.aspect());
        let mut step = self.brought_in_force(subject, now);
        let effective = self.words(subject, order.aspect());
        let (to, reason) = match planned {
            None => (effective.clone(), papers),
            Some(wait) => (format!("{} planned", words_of(order)), format!("{papers}, begins in {}", span(wait))),
        };
        self.lead(&mut step, subject, [from, to, effective], reason, now);
        step
    }

    fn recalled(&mut self, place: Place, forced: Forced, now: Moment) -> Step {
        let (order, papers, in_force) = (forced.order, forced.papers(), forced.in_force_at(now));
        self.standings.orders.set(place.clone(), forced);
        let Place::Live(subject) = place else { return Step::default() };
        let from = self.words(subject, order.aspect());
        let mut step = self.brought_in_force(subject, now);
        if in_force {
            let to = self.words(subject, order.aspect());
            let reason = format!("{papers}, kept over a restart");
            self.lead(&mut step, subject, [from, to.clone(), to], reason, now);
        }
        step
    }

    /// Lets what has begun count, and counts down what has not.
    fn begun(&mut self, subject: Subject, now: Moment) -> Step {
        let begins = |forced: &&Forced| forced.in_force_at(now) && !self.is_in_force(subject, forced.order);
        let given = self.standings.orders.of(subject);
        let begun: Vec<Forced> = given.into_iter().flat_map(Given::each).filter(begins).cloned().collect();
        let from: Vec<String> = begun.iter().map(|forced| self.words(subject, forced.order.aspect())).collect();
        let mut step = self.brought_in_force(subject, now);
        for (forced, from) in begun.iter().zip(from).rev() {
            let to = self.words(subject, forced.order.aspect());
            self.lead(&mut step, subject, [from, to.clone(), to], forced.papers(), now);
        }
        step
    }

    fn ended(&mut self, place: &Place, ended: &[Forced], how: &str, now: Moment) -> Step {
        let reason = |forced: &Forced| format!("{} {how} ({})", words_of(forced.order), forced.papers());
        let subject = match place {
            Place::Live(subject) => *subject,
            Place::Dormant(name) => return self.ended_asleep(name, ended, reason, now),
        };
        let from: Vec<String> = ended.iter().map(|forced| self.words(subject, forced.order.aspect())).collect();
        let mut step = self.brought_in_force(subject, now);
        for (forced, from) in ended.iter().zip(from).rev() {
            let to = self.words(subject, forced.order.aspect());
            self.lead(&mut step, subject, [from, to.clone(), to], reason(forced), now);
        }
        step
    }

    fn ended_asleep(
        &mut self,
        name: &SubjectName,
        ended: &[Forced],
        reason: impl Fn(&Forced) -> String,
        now: Moment,
    ) -> Step {
        let turn = |forced: &Forced| Turn {
            at: now,
            kind: name.kind(),
            name: name.name(),
            from: "dormant".into(),
            to: "ended".into(),
            after: 0,
            reason: reason(forced),
            effective: "ended".into(),
        };
        let step = Step { turns: ended.iter().map(turn).collect(), ..Step::default() };
        self.write(&step);
        step
    }

    /// What now counts of a subject's orders reaches the table. The turns are not written yet.
    fn brought_in_force(&mut self, subject: Subject, now: Moment) -> Step {
        let brought = self.standings.bring_in_force(subject, now);
        let step = self.refresh(subject, now);
        Step { changed: step.changed | brought, flipped: step.flipped | brought, turns: step.turns }
    }

    /// Puts the turn that an order is before those that came of it, and writes them.
    fn lead(
        &mut self,
        step: &mut Step,
        subject: Subject,
        [from, to, effective]: [String; 3],
        mut reason: String,
        now: Moment,
    ) {
        let (kind, name) = (subject.kind(), subject.name(&self.model));
        // Its own turn is the one that is led with.
        let mut turns = std::mem::take(&mut step.turns);
        turns.retain(|turn| (turn.kind, &turn.name) != (kind, &name));
        if turns.len() > TURNS_TOLD_MAX {
            reason = format!("{reason}; {} pools turn with it", turns.len());
            turns.clear();
        }
        let (from, to, effective) = (from.into(), to.into(), effective.into());
        turns.insert(0, Turn { at: now, kind, name, from, to, after: 0, reason, effective });
        step.turns = turns;
        self.write(step);
    }

    /// What counts for a subject, in operators' words.
    fn words(&self, subject: Subject, aspect: Aspect) -> String {
        match (subject, aspect) {
            (Subject::Endpoint(id), Aspect::Weight) => format!("weight {}", self.table.weight(&self.model, id)),
            (Subject::Endpoint(id), _) => self.belief(id).effective().to_owned(),
            (Subject::Pool(id), _) => {
                let observed = super::pool_words(self.table.pool(id));
                self.standings.forced(subject).map_or(observed, |forced| forced.order.words()).to_owned()
            }
            (Subject::Region(_), _) => {
                self.standings.forced(subject).map_or("up", |forced| forced.order.words()).to_owned()
            }
        }
    }
}

fn words_of(order: Order) -> String {
    match order {
        Order::Weight(weight) => format!("weight {weight}"),
        state => state.words().to_owned(),
    }
}

/// `90 s`, `12 min`, `3 h`.
fn span(wait: Duration) -> String {
    match wait.as_secs() {
        seconds @ 0..=599 => format!("{seconds} s"),
        seconds @ 600..=35_999 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
