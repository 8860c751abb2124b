//! Who changes what is believed? Only the keeper.
//!
//! It owns the [`Ledger`], reads one closed [`Event`] from a bounded channel, and is the only one that publishes a
//! [`World`]. Whatever has gathered in the channel is worked off before anything is published, so a burst becomes one
//! world; a flip is in the next answer, and what only changes a TTL waits up to [`TTL_LATE_MAX`].
//!
//! ```text
//!            jobs                    Event::Probed
//!   keeper ────────→ prober::run ───────────────────→ keeper ──→ Published ──→ queries
//!      ↑ Event::Reloaded (files), Event::Ordered (operators), Event::Ejected (proxies), Event::Stop
//! ```

mod handle;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::health::forced::Refusal;
use crate::health::journal::Turn;
use crate::health::ledger::{Ledger, Step};
use crate::health::probe::ProbeResult;
use crate::health::target::{Job, TargetId};
use crate::model::Moment;
use crate::runtime::clock::Clock;
use crate::runtime::desk::{Asked, Desk, Taken};
use crate::runtime::state::{self, StateFile};
use crate::runtime::swap::Published;
use crate::snapshot::Snapshot;
use crate::world::World;

pub use handle::{Event, Handle, Part, Question, Stopped};

/// The most events that wait; probers and operators wait in turn when it is full.
const EVENTS_MAX: usize = 4096;
/// The most events worked off before what they changed is published: a few milliseconds' worth.
const BURST_MAX: usize = 1024;
/// How long a change of nothing but TTLs may wait for others before it is published. A world costs a copy of the health
/// table; in a large outage thousands of beliefs move each second, and a TTL a tenth of a second old harms nobody.
const TTL_LATE_MAX: Duration = Duration::from_millis(100);
/// How often what needs no event is looked after: standings to save.
const ROUND: Duration = Duration::from_secs(1);
/// How often TTLs are lowered while an order is about to begin or end: no answer outlives that moment by more.
const COUNTED_DOWN: Duration = Duration::from_millis(250);

/// The one writer.
#[derive(Debug)]
pub struct Keeper {
    clock: Clock,
    ledger: Ledger,
    snapshot: Arc<Snapshot>,
    generation: u64,
    published: Arc<Published>,
    events: mpsc::Receiver<Event>,
    jobs: mpsc::UnboundedSender<Job>,
    ready: watch::Sender<bool>,
    turns: watch::Sender<u64>,
    /// When to say ready whatever is still unheard of.
    ready_at_last: Moment,
    state: Option<StateFile>,
    desk: Desk,
    saving: Option<JoinHandle<()>>,
    unsaved: bool,
    /// Set by a save that failed: the next round tries again.
    unsaved_after_all: Arc<AtomicBool>,
    /// Probes that this machine could not make since the last round, and what was wrong with the last of them.
    not_asked: (u32, String),
    part: Part,
    /// When orders last began, ended and were counted down.
    timed: Moment,
    /// When one begins or ends after that.
    next_order: Option<Moment>,
    /// Since when a change waits to be published.
    unpublished: Option<Moment>,
}

impl Keeper {
    /// A keeper of this snapshot, what others speak to it by, and the probes it wants (for `prober::run`).
    ///
    /// Last-known standings and orders are read from the snapshot's `state_dir`. Nothing is probed before
    /// [`Keeper::run`].
    pub fn new(snapshot: Arc<Snapshot>, clock: Clock) -> (Keeper, Handle, mpsc::UnboundedReceiver<Job>) {
        let now = clock.now();
        let model = snapshot.model.clone();
        let state = model.server.state_dir.as_deref().and_then(open_state);
        let recalled = state.as_ref().map(|state| state.read(now)).unwrap_or_default();
        if let Some(problem) = recalled.1 {
            warn!("{problem}");
        }
        let (mut desk, orders) = Desk::open(model.server.state_dir.as_deref(), now);
        orders.problems.iter().for_each(|problem| warn!("{problem}"));
        // The time is seed enough: all that matters is that servers started together do not probe in step.
        let mut ledger = Ledger::new(model.clone(), &recalled.0, now.0, now);
        ledger.needs(snapshot.safety.needed.clone());
        let step = ledger.recall_orders(orders.orders, now);
        if !step.turns.is_empty() {
            // Some may have ended meanwhile.
            desk.is_stale();
        }
        step.turns.iter().for_each(log);
        let next_order = ledger.next_order_change(now);
        let world = World { snapshot: snapshot.clone(), health: ledger.table().clone(), generation: 1 };
        let published = Published::new(world);
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        // Bounded by the ledger: at most one job for each target is out.
        let (jobs, jobs_out) = mpsc::unbounded_channel();
        let (ready, is_ready) = watch::channel(false);
        let (turns, turns_written) = watch::channel(ledger.journal().written());
        let handle = Handle {
            published: published.clone(),
            events: events_in,
            ready: is_ready,
            turns: turns_written,
            kept_in: model.server.state_dir.as_deref().map(Arc::from),
            leaving: Arc::default(),
        };
        let keeper = Keeper {
            clock,
            ledger,
            snapshot,
            generation: 1,
            published,
            events,
            jobs,
            ready,
            turns,
            ready_at_last: now + model.server.start_timeout,
            state,
            desk,
            saving: None,
            unsaved: true,
            unsaved_after_all: Arc::default(),
            not_asked: Default::default(),
            part: Part::Alone,
            timed: now,
            next_order,
            unpublished: None,
        };
        (keeper, handle, jobs_out)
    }

    /// Begins in this part instead of alone.
    pub fn playing(self, part: Part) -> Self {
        Keeper { part, ..self }
    }

    /// Runs until told to stop, or until nobody is left to speak to it.
    pub async fn run(mut self) {
        let mut next_round = self.clock.now() + ROUND;
        self.say_ready();
        loop {
            let wake = self.wake_at(next_round);
            let event = tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => Some(event),
                    None => break,
                },
                taken = self.desk.written() => {
                    self.take(taken);
                    None
                }
                () = tokio::time::sleep_until(wake.into()) => None,
            };
            if let Some(event) = event
                && !self.burst(event)
            {
                break;
            }
            let now = self.clock.now();
            self.work_off_orders(now);
            self.keep_time(now);
            if now >= next_round {
                next_round = now + ROUND;
                self.round(now);
            }
            self.publish_late(now);
            self.start_probes(now);
            self.say_ready();
        }
        self.save_at_last().await;
    }

    /// When something is to be done although nothing happened.
    fn wake_at(&self, next_round: Moment) -> std::time::Instant {
        let late = self.unpublished.map(|since| since + TTL_LATE_MAX);
        let ready = (!*self.ready.borrow()).then_some(self.ready_at_last);
        let counted = self.counts_down().then_some(self.timed + COUNTED_DOWN);
        let orders = self.desk.has_work().then_some(self.timed);
        let wakes = [self.ledger.next_due(), late, ready, self.next_order, counted, orders];
        let wake = wakes.into_iter().flatten().fold(next_round, Moment::min);
        self.clock.instant(wake)
    }

    /// Works off what has gathered, then publishes a flip; false: told to stop.
    fn burst(&mut self, first: Event) -> bool {
        let mut flipped = false;
        let mut next = Some(first);
        for _ in 0..BURST_MAX {
            let Some(event) = next.take().or_else(|| self.events.try_recv().ok()) else { break };
            match event {
                Event::Probed { id, result } => {
                    let step = self.probed(id, &result);
                    flipped |= self.note(&step);
                }
                Event::Ejected { endpoint, ejection } => {
                    let step = self.ledger.ejected(&endpoint, ejection, self.clock.now());
                    flipped |= self.note(&step);
                }
                Event::Readmitted { endpoint, at } => {
                    let step = self.ledger.readmitted(&endpoint, at, self.clock.now());
                    flipped |= self.note(&step);
                }
                Event::Loaded { pool, source, found } => {
                    let step = self.ledger.loaded(&pool, source, found, self.clock.now());
                    flipped |= self.note(&step);
                }
                Event::Reloaded { snapshot, reply } => {
                    self.reload(snapshot);
                    flipped = false;
                    // Nobody waits for it any more: the reload holds all the same.
                    let _ = reply.send(self.generation);
                }
                Event::Ordered { subject, change, anyway, reply } => {
                    self.order(Asked { subject, change, anyway, reply });
                }
                Event::Noted(turn) => {
                    let step = self.ledger.noted(turn);
                    self.note(&step);
                }
                Event::Asked(Question(look)) => look(&self.ledger),
                Event::Plays { part, reply } => self.play(part, reply),
                Event::Stop => return false,
            }
        }
        if flipped {
            self.publish();
        }
        true
    }

    fn probed(&mut self, id: TargetId, result: &ProbeResult) -> Step {
        if !result.reason.is_evidence() {
            self.not_asked = (self.not_asked.0 + 1, result.detail.clone());
        }
        debug!(target = id.0, passed = result.passed, took_us = result.took.as_micros() as u64, "probe: {result}");
        self.ledger.probed(id, result, self.clock.now())
    }

    fn reload(&mut self, snapshot: Arc<Snapshot>) {
        let step = self.ledger.reloaded(snapshot.model.clone(), self.clock.now());
        self.ledger.needs(snapshot.safety.needed.clone());
        self.note(&step);
        self.snapshot = snapshot;
        self.generation += 1;
        self.unsaved = true;
        self.publish();
    }

    fn order(&mut self, asked: Asked) {
        if self.part == Part::Alone {
            self.desk.put(asked);
        } else {
            // Whoever asked may have gone.
            let _ = asked.reply.send(Err(Refusal::Stopping));
        }
    }

    /// Judges and writes the orders that wait, unless others are being written. Some may be left when none of the first was
    /// worth writing: [`Keeper::wake_at`] is then at once.
    fn work_off_orders(&mut self, now: Moment) {
        if self.desk.has_work() {
            let taken = self.desk.work(&self.ledger, &self.snapshot.safety, self.part != Part::Silent, now);
            self.take(taken);
        }
    }

    /// These orders are on disk, or need not be: they hold, queries see it, and those who ordered them are told.
    fn take(&mut self, taken: Vec<Taken>) {
        if taken.is_empty() {
            return;
        }
        let now = self.clock.now();
        let mut told = Vec::with_capacity(taken.len());
        for Taken { name, change, reply } in taken {
            let step = self.ledger.order(&name, change, now);
            self.note(&step);
            told.push(reply);
        }
        self.next_order = self.ledger.next_order_change(self.timed);
        self.publish();
        // Whoever ordered may have gone: the order holds all the same.
        told.into_iter().for_each(|reply| drop(reply.send(Ok(()))));
    }

    fn counts_down(&self) -> bool {
        self.next_order.is_some_and(|change| self.ledger.counts_down_to(change, self.timed))
    }

    /// Orders begin and end on time, and TTLs count down to it.
    fn keep_time(&mut self, now: Moment) {
        let due = self.next_order.is_some_and(|change| change <= now);
        let counted = self.counts_down() && now - self.timed >= COUNTED_DOWN;
        if !due && !counted && now - self.timed < ROUND {
            return;
        }
        self.timed = now;
        let step = self.ledger.keep_time(now);
        self.next_order = self.ledger.next_order_change(now);
        if !step.turns.is_empty() {
            // An order that has ended need not be there after a restart; one that has begun does no harm.
            self.desk.is_stale();
        }
        if self.note(&step) {
            self.publish();
        }
    }

    /// Logs what turned and remembers what is to be published and saved; whether it must be published at once.
    fn note(&mut self, step: &Step) -> bool {
        step.turns.iter().for_each(log);
        if !step.turns.is_empty() {
            // Nobody may be following.
            self.turns.send_replace(self.ledger.journal().written());
        }
        self.unsaved |= !step.turns.is_empty();
        if step.changed && self.unpublished.is_none() {
            self.unpublished = Some(self.clock.now());
        }
        step.flipped
    }

    fn publish(&mut self) {
        let (snapshot, health) = (self.snapshot.clone(), self.ledger.table().clone());
        self.published.publish(World { snapshot, health, generation: self.generation });
        self.unpublished = None;
    }

    /// Publishes what changed only TTLs, when it has waited long enough.
    fn publish_late(&mut self, now: Moment) {
        if self.unpublished.is_some_and(|since| now - since >= TTL_LATE_MAX) {
            self.publish();
        }
    }

    fn start_probes(&mut self, now: Moment) {
        for job in self.ledger.due(now) {
            // An error means that the prober has ended, which it does only when we are stopping.
            let _ = self.jobs.send(job);
        }
    }

    fn say_ready(&mut self) {
        let ready = self.ledger.first_round_done() || self.clock.now() >= self.ready_at_last;
        if !ready || *self.ready.borrow() {
            return;
        }
        let (unheard, all) = self.ledger.unheard();
        let reason = match unheard {
            0 => format!("first round of {all} probes: {}", self.ledger.found()),
            _ => format!("start_timeout is over, {unheard} of {all} first probes are not: {}", self.ledger.found()),
        };
        let (at, kind, name) = (self.clock.now(), "server", "self".to_owned());
        let (from, to, effective) = ("starting".into(), "ready".into(), "ready".into());
        let step = self.ledger.noted(Turn { at, kind, name, from, to, after: 0, reason, effective });
        self.note(&step);
        self.ready.send_replace(true);
    }

    fn round(&mut self, now: Moment) {
        match std::mem::take(&mut self.not_asked) {
            (0, _) => {}
            (count, why) => warn!("{count} probes could not be made, which says nothing of endpoints; the last: {why}"),
        }
        let may_write = self.part != Part::Silent;
        let taken = self.desk.work(&self.ledger, &self.snapshot.safety, may_write, now);
        self.take(taken);
        self.save(now);
    }

    fn play(&mut self, part: Part, reply: oneshot::Sender<()>) {
        self.part = part;
        if part != Part::Alone {
            self.desk.refuse_all();
        }
        let disk = self.desk.disk();
        let former = self.saving.take();
        let state = self.state.clone().filter(|_| part != Part::Silent);
        let text = state::text(&self.ledger, self.clock.now());
        self.saving = Some(tokio::spawn(async move {
            if let Some(former) = former {
                // A write that panicked has nothing to add to this one.
                let _ = former.await;
            }
            if let Some(state) = state {
                let _ = tokio::task::spawn_blocking(move || write_state(&state, &text)).await;
            }
            // Orders that were under way are on disk by then, or refused.
            drop(disk.lock().await);
            // Whoever asked may have gone.
            let _ = reply.send(());
        }));
    }

    /// Saves what turned since the last time, off this thread: a disk may take its time. One write at a time.
    fn save(&mut self, now: Moment) {
        if self.unsaved_after_all.swap(false, Ordering::Relaxed) {
            self.unsaved = true;
        }
        let busy = self.saving.as_ref().is_some_and(|saving| !saving.is_finished());
        let Some(state) = self.state.clone().filter(|_| self.unsaved && !busy && self.part != Part::Silent) else {
            return;
        };
        let text = state::text(&self.ledger, now);
        let failed = self.unsaved_after_all.clone();
        self.saving = Some(tokio::task::spawn_blocking(move || {
            if !write_state(&state, &text) {
                failed.store(true, Ordering::Relaxed);
            }
        }));
        self.unsaved = false;
    }

    async fn save_at_last(mut self) {
        self.desk.refuse_all();
        if self.desk.is_writing() {
            let taken = self.desk.written().await;
            self.take(taken);
        }
        if let Some(saving) = self.saving.take() {
            // A write that panicked has nothing to add to the one that follows.
            let _ = saving.await;
        }
        if let Some(state) = self.state.as_ref().filter(|_| self.part != Part::Silent) {
            write_state(state, &state::text(&self.ledger, self.clock.now()));
        }
    }
}

fn open_state(dir: &std::path::Path) -> Option<StateFile> {
    let opened = StateFile::open(dir);
    opened.inspect_err(|error| warn!("state_dir {}: {error}; no standing survives a restart", dir.display())).ok()
}

/// Whether it is on disk now.
fn write_state(state: &StateFile, text: &str) -> bool {
    let written = state.write(text);
    if let Err(error) = &written {
        warn!("last-known standings are not saved: {error}");
    }
    written.is_ok()
}

/// One line for each standing that turned; one that somebody should look at is a warning.
fn log(turn: &Turn) {
    if turn.kind == "server" && turn.effective == "frozen" {
        warn!("{turn}");
    } else {
        info!("{turn}");
    }
}
