//! Where operators' orders wait until they are on disk.
//!
//! An order that was confirmed must hold after a crash, so it is written and synced before it counts and before its
//! operator is told. A sync may take a tenth of a second and more, in which probes still turn standings, so it is done on
//! another thread; orders are taken one after the other all the same: what comes while a file is being written waits, and
//! is then judged and written together. Nothing here changes what is believed; see `keeper`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::health::forced::{Change, Forced, Refusal};
use crate::health::ledger::Ledger;
use crate::health::names::SubjectName;
use crate::health::orders::{Orders, Place};
use crate::model::Moment;
use crate::runtime::overrides::{self, OverridesFile, Recalled};
use crate::steering::{Judged, Safety};

/// The most orders that wait for the disk; a script that sends more faster than they are written is told so.
const WAITING_MAX: usize = 1024;
/// So many orders are judged and written at once; those behind them wait for the next write. Judging one takes up to a few
/// milliseconds where ten thousand hold already, and probes wait meanwhile.
const BATCH_MAX: usize = 16;
/// So many VIPs are named that an order would leave without a healthy pool; the others are counted.
const VIPS_NAMED_MAX: usize = 5;

/// Told how an order ended.
pub type Reply = oneshot::Sender<Result<(), Refusal>>;

/// An order as it came in.
#[derive(Debug)]
pub struct Asked {
    /// `region/X`, `pool/X` or `endpoint/POOL/ADDRESS`.
    pub subject: String,
    /// What is to change.
    pub change: Change,
    /// Even if it leaves a VIP without a healthy pool.
    pub anyway: bool,
    /// Told when it counts, or why not.
    pub reply: Reply,
}

/// An order that was judged good.
#[derive(Debug)]
pub struct Taken {
    /// What it is about.
    pub name: SubjectName,
    /// What is to change.
    pub change: Change,
    /// Told when it counts.
    pub reply: Reply,
}

/// What is being written.
#[derive(Debug)]
struct Writing {
    taken: Vec<Taken>,
    outcome: JoinHandle<Result<(), String>>,
}

/// Orders on their way to the disk.
#[derive(Debug)]
pub struct Desk {
    file: Option<Arc<OverridesFile>>,
    waiting: VecDeque<Asked>,
    writing: Option<Writing>,
    /// Held while the file is written.
    disk: Arc<Mutex<()>>,
    /// Whether the file says something else than what holds.
    stale: bool,
}

impl Desk {
    /// A desk whose file is in `dir`, and what is in it; without a directory nothing is kept.
    pub fn open(dir: Option<&Path>, now: Moment) -> (Self, Recalled) {
        let mut file = dir.map(OverridesFile::new);
        let recalled = file.as_mut().map(|file| file.read(now)).unwrap_or_default();
        let stale = recalled.stale;
        let file = file.map(Arc::new);
        (Desk { file, waiting: VecDeque::new(), writing: None, disk: Arc::default(), stale }, recalled)
    }

    /// Puts an order in the queue.
    pub fn put(&mut self, asked: Asked) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(asked);
        } else {
            let why = format!("{WAITING_MAX} orders wait for the disk already");
            // Whoever asked may have gone; so below.
            let _ = asked.reply.send(Err(Refusal::NotSaved(why)));
        }
    }

    /// Refuses everything that waits.
    pub fn refuse_all(&mut self) {
        for asked in self.waiting.drain(..) {
            let _ = asked.reply.send(Err(Refusal::Stopping));
        }
    }

    /// The file is to be written anew, for orders have ended by themselves.
    pub fn is_stale(&mut self) {
        self.stale = true;
    }

    /// Whether there is something to do that could begin at once.
    pub fn has_work(&self) -> bool {
        self.writing.is_none() && !self.waiting.is_empty()
    }

    /// Judges what waits and begins to write it. What is good and need not be written is given back at once.
    ///
    /// `may_write` tells whether the file may be written although nobody ordered anything.
    pub fn work(&mut self, ledger: &Ledger, safety: &Safety, may_write: bool, now: Moment) -> Vec<Taken> {
        if self.writing.is_some() || self.waiting.is_empty() && !(self.stale && may_write) {
            return Vec::new();
        }
        // Held for a moment by whoever waits for the last write: the next round comes soon.
        let Ok(disk) = self.disk.clone().try_lock_owned() else { return Vec::new() };
        let (taken, orders) = self.judge(ledger, safety, now);
        let Some(file) = self.file.clone() else { return taken };
        if taken.is_empty() && !(self.stale && may_write) {
            return taken;
        }
        let text = overrides::text(orders.named(ledger.model()));
        let outcome = tokio::task::spawn_blocking(move || {
            let _held = disk;
            file.write(&text).map_err(|error| error.to_string())
        });
        self.stale = false;
        self.writing = Some(Writing { taken, outcome });
        Vec::new()
    }

    /// Waits until what is being written is on disk: the orders that hold from now on. Those that could not be written
    /// have been refused. Waits forever while nothing is being written.
    pub async fn written(&mut self) -> Vec<Taken> {
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        let outcome = (&mut writing.outcome).await.unwrap_or_else(|error| Err(error.to_string()));
        let taken = self.writing.take().map(|writing| writing.taken).unwrap_or_default();
        match outcome {
            Ok(()) => taken,
            Err(error) => {
                warn!("orders are not saved: {error}");
                // It may be on disk although the last step failed: what is there must say what holds.
                self.stale = true;
                for taken in taken {
                    let _ = taken.reply.send(Err(Refusal::NotSaved(error.clone())));
                }
                Vec::new()
            }
        }
    }

    /// Whether something is being written.
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Held while the file is written: whoever has it knows that the file is whole and will stay so.
    pub fn disk(&self) -> Arc<Mutex<()>> {
        self.disk.clone()
    }

    /// Each order is judged beside those before it, as if they held already.
    fn judge(&mut self, ledger: &Ledger, safety: &Safety, now: Moment) -> (Vec<Taken>, Orders) {
        let mut orders = ledger.standings().orders.clone();
        let mut taken = Vec::new();
        for Asked { subject, change, anyway, reply } in self.waiting.drain(..self.waiting.len().min(BATCH_MAX)) {
            match judged(ledger, safety, &orders, &subject, &change, anyway, now) {
                Ok(name) => {
                    let place = ledger.place(&name);
                    match &change {
                        Change::Set(forced) => orders.set(place, forced.clone()),
                        Change::End { aspect, .. } => drop(orders.end(&place, *aspect)),
                    }
                    taken.push(Taken { name, change, reply });
                }
                Err(refusal) => drop(reply.send(Err(refusal))),
            }
        }
        (taken, orders)
    }
}

fn judged(
    ledger: &Ledger,
    safety: &Safety,
    orders: &Orders,
    subject: &str,
    change: &Change,
    anyway: bool,
    now: Moment,
) -> Result<SubjectName, Refusal> {
    let name = ledger.subject(subject)?;
    if let Change::Set(forced) = change {
        ledger.checked(orders, &name, forced, now)?;
        if !anyway {
            is_safe(ledger, safety, orders, &name, forced, now)?;
        }
    }
    Ok(name)
}

fn is_safe(
    ledger: &Ledger,
    safety: &Safety,
    orders: &Orders,
    name: &SubjectName,
    forced: &Forced,
    now: Moment,
) -> Result<(), Refusal> {
    let Place::Live(subject) = ledger.place(name) else { return Ok(()) };
    let (standings, table) = (ledger.standings(), ledger.table());
    let judged = Judged { standings, table, orders, subject, forced };
    let stranded = safety.stranded(ledger.model(), judged, now);
    if stranded.is_empty() {
        return Ok(());
    }
    let named = stranded.iter().take(VIPS_NAMED_MAX).map(|vip| ledger.model().vip(*vip).name.clone());
    Err(Refusal::Unsafe { vips: named.collect(), more: stranded.len().saturating_sub(VIPS_NAMED_MAX) })
}
