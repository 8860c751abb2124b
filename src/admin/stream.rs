//! `GET /v1/stream`: what changes, as it changes (server-sent events, the HTML standard's section 9.2).
//!
//! One task for each reader takes from the journal what has been written since, and waits when the reader does: what a
//! slow reader costs is one bounded queue. If the journal has moved on by then it is told `lost`, and reads everything
//! anew; if it takes nothing at all, its connection is given up (`connection`).
//!
//! `standing` events carry their number as id. A browser sends the last id it saw when it comes back, and gets what it
//! missed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::response::sse::Event;
use axum::response::sse::KeepAlive;
use axum::response::sse::Sse;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::admin::answers::events;
use crate::admin::answers::status::last_reload;
use crate::admin::dto;
use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::admin::look::Look;
use crate::admin::routes::Admin;
use crate::admin::when;
use crate::health::journal::Turn;
use crate::model::Role;

/// Streams at once; each holds a connection.
const STREAMS_MAX: usize = 64;
/// Of these, those of readers who may only look: they cannot keep out an operator's.
const READERS_MAX: usize = 48;
/// Events that wait for one reader.
const WAITING_MAX: usize = 64;
/// Turns taken from the journal in one visit.
const TURNS_MAX: usize = 256;
/// Orders in one event.
const OVERRIDES_MAX: usize = 1_000;
/// How often nothing is said, so that both sides know the other lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often shares are told.
const SHARES: Duration = Duration::from_secs(1);

/// The events of one reader.
pub(super) type Events = Sse<axum::response::sse::KeepAliveStream<ReceiverStream<Result<Event, Infallible>>>>;

/// Opens a stream for somebody of this role; `seen` is the last event that its reader saw.
///
/// # Errors
/// When there are as many as there may be.
pub(super) async fn open(admin: Arc<Admin>, role: Role, seen: Option<u64>) -> Result<Events, Failure> {
    let place = Place::take(&admin, role)?;
    let (events, waiting) = mpsc::channel(WAITING_MAX);
    let written = *admin.keeper.turns().borrow();
    let next = seen.map_or(written, |seen| seen.saturating_add(1));
    let follower = Follower { admin, events, next, overrides: None, answers: Arc::default(), _place: place };
    tokio::spawn(follower.run(written));
    Ok(Sse::new(ReceiverStream::new(waiting)).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// One of the [`STREAMS_MAX`].
struct Place(Arc<Admin>);

impl Place {
    fn take(admin: &Arc<Admin>, role: Role) -> Result<Place, Failure> {
        let most = if role == Role::Operate { STREAMS_MAX } else { READERS_MAX };
        let place = Place(admin.clone());
        match admin.streams.fetch_add(1, Ordering::Relaxed) {
            before if before < most => Ok(place),
            _ => Err(Failure::new(Kind::Busy, format!("{most} streams are open already; close one"))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The reader has gone, or the server stops.
struct Gone;

/// Follows what happens for one reader.
struct Follower {
    admin: Arc<Admin>,
    events: mpsc::Sender<Result<Event, Infallible>>,
    /// The number of the next event to tell.
    next: u64,
    /// The orders last told.
    overrides: Option<Vec<dto::Override>>,
    /// The answers counted so far, by pool.
    answers: Arc<HashMap<String, u64>>,
    _place: Place,
}

impl Follower {
    async fn run(mut self, written: u64) {
        // What ends it is no failure.
        let _ = self.follow(written).await;
    }

    async fn follow(&mut self, written: u64) -> Result<(), Gone> {
        let (mut turns, mut ordered) = (self.admin.keeper.turns(), self.admin.ordered.subscribe());
        let hello = dto::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: self.admin.keeper.published.load().generation,
            next: written,
            now: when::said(self.admin.clock.now()),
        };
        self.say("hello", None, &hello).await?;
        self.tell_overrides().await?;
        self.tell_turns().await?;
        let mut seconds = tokio::time::interval(SHARES);
        seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.count().await;
        let events = self.events.clone();
        loop {
            tokio::select! {
                turned = turns.changed() => {
                    turned.map_err(|_| Gone)?;
                    self.tell_turns().await?;
                    self.tell_overrides().await?;
                }
                changed = ordered.changed() => {
                    changed.map_err(|_| Gone)?;
                    self.tell_overrides().await?;
                }
                _ = seconds.tick(), if self.admin.counted.is_some() => self.tell_shares().await?,
                () = events.closed() => return Err(Gone),
            }
        }
    }

    async fn say<T: Serialize>(&self, name: &str, id: Option<u64>, said: &T) -> Result<(), Gone> {
        let event = Event::default().event(name).json_data(said).map_err(|_| Gone)?;
        let event = id.map_or(event.clone(), |id| event.id(id.to_string()));
        self.events.send(Ok(event)).await.map_err(|_| Gone)
    }

    /// Tells what the journal holds from `next` on.
    async fn tell_turns(&mut self) -> Result<(), Gone> {
        loop {
            let from = self.next;
            let taken = self.admin.keeper.ask(move |ledger| {
                let journal = ledger.journal();
                let turns: Vec<(u64, Turn)> =
                    journal.read(from).take(TURNS_MAX).map(|(n, turn)| (n, turn.clone())).collect();
                (turns, journal.written())
            });
            let (turns, written) = taken.await.map_err(|_| Gone)?;
            let kept = turns.first().map_or(written, |(number, _)| *number);
            // Beyond what was written: the reader saw another process.
            if kept != from {
                self.say("lost", None, &dto::Lost { from, kept }).await?;
            }
            self.next = turns.last().map_or(written, |(number, _)| number + 1);
            for (number, turn) in &turns {
                self.say("standing", Some(*number), &events::said(*number, turn)).await?;
                if turn.kind == "config"
                    && let Some(reload) = last_reload(&self.admin)
                {
                    self.say("config", None, &reload).await?;
                }
            }
            if self.next >= written {
                return Ok(());
            }
        }
    }

    async fn tell_overrides(&mut self) -> Result<(), Gone> {
        let (look, ()) = Look::take(&self.admin, |_, _| ()).await.map_err(|_| Gone)?;
        let more = look.overrides().len().saturating_sub(OVERRIDES_MAX);
        let items: Vec<dto::Override> = look.overrides().take(OVERRIDES_MAX).collect();
        if self.overrides.as_ref() == Some(&items) {
            return Ok(());
        }
        self.overrides = Some(items.clone());
        self.say("overrides", None, &dto::OverridesNow { items, more }).await
    }

    /// Counts what was answered by now; what is new of it, by pool.
    async fn count(&mut self) -> Vec<dto::ShareSaid> {
        let sums = match &self.admin.counted {
            Some(counted) => self.admin.by_pool.at(self.admin.clock.now(), counted).await,
            None => Arc::default(),
        };
        let before = std::mem::replace(&mut self.answers, sums);
        let new = self.answers.iter().map(|(pool, sum)| {
            let answers = sum.saturating_sub(before.get(pool).copied().unwrap_or(0));
            dto::ShareSaid { name: pool.clone(), answers }
        });
        let mut new: Vec<_> = new.filter(|share| share.answers > 0).collect();
        new.sort_by(|a, b| a.name.cmp(&b.name));
        new
    }

    async fn tell_shares(&mut self) -> Result<(), Gone> {
        let pools = self.count().await;
        let model = self.admin.keeper.published.load().snapshot.model.clone();
        let region_of: HashMap<&str, &str> =
            model.pools.iter().map(|pool| (pool.name.as_str(), model.region(pool.region).name.as_str())).collect();
        let mut regions: Vec<dto::ShareSaid> = Vec::new();
        for pool in &pools {
            let Some(name) = region_of.get(pool.name.as_str()) else { continue };
            match regions.iter_mut().find(|region| region.name == *name) {
                Some(region) => region.answers += pool.answers,
                None => regions.push(dto::ShareSaid { name: (*name).to_owned(), answers: pool.answers }),
            }
        }
        let at = when::said(self.admin.clock.now());
        self.say("shares", None, &dto::SharesSaid { at, regions, pools }).await
    }
}
