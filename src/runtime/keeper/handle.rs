//! How everybody else speaks to the keeper: the events it reads, and the handle that sends them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use crate::health::ejection::Ejection;
use crate::health::forced::{Change, Refusal};
use crate::health::journal::Turn;
use crate::health::ledger::Ledger;
use crate::health::names::EndpointKey;
use crate::health::probe::ProbeResult;
use crate::health::shedding::Reading;
use crate::health::target::TargetId;
use crate::model::Moment;
use crate::runtime::swap::Published;
use crate::snapshot::Snapshot;

/// What the keeper is told.
#[derive(Debug)]
pub enum Event {
    /// A probe ended.
    Probed {
        /// The job's id.
        id: TargetId,
        /// What it found.
        result: ProbeResult,
    },
    /// Requests to an endpoint fail: a proxy sends it none for a while, for the first time or once more.
    Ejected {
        /// By name: whoever sends requests may still do so by another snapshot.
        endpoint: EndpointKey,
        /// Until when, and why.
        ejection: Ejection,
    },
    /// The request that tried an ejected endpoint passed.
    Readmitted {
        /// By name.
        endpoint: EndpointKey,
        /// When it passed.
        at: Moment,
    },
    /// The load of a pool was read, or could not be.
    Loaded {
        /// The pool's name: whoever reads may still do so by another snapshot.
        pool: String,
        /// The place of the source among the pool's.
        source: usize,
        /// What it said, or why it did not.
        found: Result<Reading, String>,
    },
    /// A new snapshot is ready; the reply is the generation that now serves it.
    Reloaded {
        /// It is served from now on.
        snapshot: Arc<Snapshot>,
        /// Told when queries see it.
        reply: oneshot::Sender<u64>,
    },
    /// An operator orders something of a region, pool or endpoint, or takes an order back.
    Ordered {
        /// `region/X`, `pool/X` or `endpoint/POOL/ADDRESS`.
        subject: String,
        /// What is to change.
        change: Change,
        /// Even if it leaves a VIP without a healthy pool.
        anyway: bool,
        /// Told when it is on disk and queries see it, or why not.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Something that is to stand among the turns: a reload, what the server finds of itself.
    Noted(Turn),
    /// Somebody wants to look at what is believed; the closure must be quick.
    Asked(Question),
    /// Another process takes over from this one, or the other way round.
    Plays {
        /// The part from now on.
        part: Part,
        /// Told when it is played, and when what is known has been saved by whoever saves.
        reply: oneshot::Sender<()>,
    },
    /// Save what is known and end.
    Stop,
}

/// Which part a process plays for what outlives it. When one takes over from another, at any time only one of them
/// writes `state_dir`, and none takes an order that the other would not hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The only one: it takes orders and saves.
    Alone,
    /// A successor has read what is known: orders are refused, since it would not hear of them; saving goes on.
    Succeeded,
    /// It saves nothing and takes no orders: it has not taken over yet, or another has taken over from it.
    Silent,
}

/// A look at what is believed.
pub struct Question(pub(super) Box<dyn FnOnce(&Ledger) + Send>);

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question")
    }
}

/// The keeper has ended; the process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the server is stopping")
    }
}

impl std::error::Error for Stopped {}

/// How everybody else speaks to the keeper.
#[derive(Debug, Clone)]
pub struct Handle {
    /// What queries read.
    pub published: Arc<Published>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) ready: watch::Receiver<bool>,
    pub(super) turns: watch::Receiver<u64>,
    pub(super) kept_in: Option<Arc<Path>>,
    pub(super) leaving: Arc<AtomicBool>,
}

impl Handle {
    /// Where events go.
    pub fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    /// Serves another snapshot; returns its generation when queries see it.
    ///
    /// # Errors
    /// When the keeper has ended.
    pub async fn reload(&self, snapshot: Arc<Snapshot>) -> Result<u64, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Reloaded { snapshot, reply }).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Looks at what is believed.
    ///
    /// # Errors
    /// When the keeper has ended.
    pub async fn ask<T: Send + 'static>(&self, look: impl FnOnce(&Ledger) -> T + Send + 'static) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        let asked = Event::Asked(Question(Box::new(move |ledger| drop(reply.send(look(ledger))))));
        self.events.send(asked).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Orders something of a region, pool or endpoint, or takes an order back; returns when it is on disk and queries
    /// see it. `anyway`: even if it leaves a VIP without a healthy pool.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub async fn order(&self, subject: &str, change: Change, anyway: bool) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        let event = Event::Ordered { subject: subject.to_owned(), change, anyway, reply };
        self.events.send(event).await.map_err(|_| Refusal::Stopping)?;
        answer.await.map_err(|_| Refusal::Stopping)?
    }

    /// A proxy sends an endpoint no requests for a while, because they fail.
    pub async fn ejected(&self, endpoint: EndpointKey, ejection: Ejection) {
        // An error means that the keeper has ended: the process is stopping.
        let _ = self.events.send(Event::Ejected { endpoint, ejection }).await;
    }

    /// The request that tried an ejected endpoint passed at that moment.
    pub async fn readmitted(&self, endpoint: EndpointKey, at: Moment) {
        // An error means that the keeper has ended: the process is stopping.
        let _ = self.events.send(Event::Readmitted { endpoint, at }).await;
    }

    /// Puts something among the turns.
    pub async fn note(&self, turn: Turn) {
        // An error means that the keeper has ended: nobody will read it.
        let _ = self.events.send(Event::Noted(turn)).await;
    }

    /// How many turns were ever written ([`crate::health::journal::Journal::written`]); wakes whoever follows them.
    pub fn turns(&self) -> watch::Receiver<u64> {
        self.turns.clone()
    }

    /// The `state_dir` in which orders are kept; without one they end with the process.
    pub fn orders_kept_in(&self) -> Option<&Path> {
        self.kept_in.as_deref()
    }

    /// Whether the first round of probes is over, or was waited for long enough, and the server is not about to stop.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow() && !self.leaving.load(Ordering::Relaxed)
    }

    /// Says that the server is about to stop: it is not ready from now on.
    pub fn is_leaving(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Plays another part; returns when it does, and when what is known has been saved by whoever saves.
    ///
    /// # Errors
    /// When the keeper has ended.
    pub async fn play(&self, part: Part) -> Result<(), Stopped> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Plays { part, reply }).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Waits until [`Handle::is_ready`].
    pub async fn ready(&self) {
        // An error means that the keeper has ended: there is nothing left to wait for.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Asks the keeper to save what is known and end.
    pub async fn stop(&self) {
        // An error means that it has ended already.
        let _ = self.events.send(Event::Stop).await;
    }
}
