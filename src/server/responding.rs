//! The [`Answer`] of the running server: the responder over the published world, and its counts.

use std::net::IpAddr;
use std::sync::Arc;

use crate::responder::Outcome;
use crate::responder::Transport;
use crate::responder::ahead::read_ahead;
use crate::responder::respond;
use crate::responder::transfer::Transfer;
use crate::runtime::clock::Clock;
use crate::runtime::swap::Published;
use crate::runtime::swap::Reader;
use crate::server::answer::Answer;
use crate::server::answer::Messages;
use crate::server::answered::Answered;
use crate::server::counts::Counts;
use crate::server::query_log::QueryLog;
use crate::server::query_log::Record;
use crate::server::query_log::Tap;
use crate::snapshot::Snapshot;
use crate::steering::Draw;
use crate::world::World;

/// Answers from the published world.
#[derive(Debug)]
pub struct Responding {
    published: Arc<Published>,
    clock: Clock,
    answered: Arc<Answered>,
    log: Arc<QueryLog>,
}

impl Responding {
    /// From that world, at that clock's time.
    pub fn new(published: Arc<Published>, clock: Clock) -> Self {
        let answered = Answered::new(published.clone());
        Responding { published, clock, answered, log: Arc::default() }
    }

    /// What is counted of queries and answers.
    pub fn answered(&self) -> &Arc<Answered> {
        &self.answered
    }

    /// The query log.
    pub fn query_log(&self) -> &Arc<QueryLog> {
        &self.log
    }

    fn seen(&self, counts: impl FnOnce(&Arc<Snapshot>) -> Arc<Counts>) -> View {
        let mut reader = self.published.reader();
        let world = reader.world().clone();
        let counts = counts(&world.snapshot);
        View { reader, world, counts, tap: self.log.tap(), seconds: self.clock.now().secs() }
    }
}

/// The world and the second a batch is answered in.
#[derive(Debug)]
pub struct View {
    reader: Reader,
    world: Arc<World>,
    /// Of the world's snapshot.
    counts: Arc<Counts>,
    /// The query log, if there is one.
    tap: Option<Arc<Tap>>,
    seconds: u64,
}

impl Answer for Responding {
    type View = View;

    fn view(&self) -> View {
        self.seen(|snapshot| self.answered.shared(snapshot))
    }

    fn worker_view(&self) -> View {
        self.seen(|snapshot| self.answered.alone(snapshot))
    }

    fn refresh(&self, view: &mut View) {
        let world = view.reader.world();
        if !Arc::ptr_eq(world, &view.world) {
            view.world = world.clone();
            view.tap = self.log.tap();
            if !Arc::ptr_eq(&view.world.snapshot, view.counts.snapshot()) {
                view.counts = match view.counts.is_alone() {
                    true => self.answered.alone(&view.world.snapshot),
                    false => self.answered.shared(&view.world.snapshot),
                };
            }
        }
        view.seconds = self.clock.now().secs();
    }

    fn read_ahead<'q>(&self, view: &View, queries: impl Iterator<Item = &'q [u8]>) {
        read_ahead(&view.world, queries);
    }

    #[inline]
    fn answer(
        &self,
        view: &View,
        query: &[u8],
        source: IpAddr,
        transport: Transport,
        random: u64,
        out: &mut [u8],
    ) -> Outcome {
        let outcome = respond(query, source, transport, &view.world, Draw { random, seconds: view.seconds }, out);
        view.counts.count(transport, &outcome);
        if let Some(tap) = &view.tap
            && tap.draws(random)
        {
            let (snapshot, response) = (&view.world.snapshot, out.get(..outcome.bytes).unwrap_or_default());
            tap.take(Record::new(self.clock.now(), (transport, source), query, response, &outcome, snapshot));
        }
        outcome
    }

    fn transfer(&self, view: &View, query: &[u8], zone: usize) -> Option<Box<dyn Messages>> {
        let zone = view.world.snapshot.zones.zone(zone)?.clone();
        Some(Box::new(Transferring(Transfer::new(query, zone)?)))
    }
}

/// A zone on its way to a client.
struct Transferring(Transfer);

impl Messages for Transferring {
    fn next_message(&mut self, out: &mut [u8]) -> usize {
        self.0.next(out)
    }
}
