//! Sessions by who talks to whom, and which of them goes first.
//!
//! UDP has no end: a session is over when nothing has come for a while, or when its room is needed. Two queues, in the order of
//! last use, so that both are found without looking at the others, and a datagram costs the same whatever there are:
//!
//! ```text
//!  a new one ──→ PASSING ──it goes on after an answer──→ SETTLED
//!                  │  ╲                                     │
//!                  │   idle too long ──→ taken ←── idle too long
//!                  └── room is needed: the one that was used longest ago
//! ```
//!
//! **What is settled keeps its place.** Somebody who floods us from forged addresses gets nothing but passing sessions, and those
//! push out each other: a question that was answered, or one that nobody answered, and never a game or a call. (Linux' connection
//! tracking has the same rule, and calls it assured.) Nothing here knows sockets or endpoints.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::Moment;

/// Who talks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The client.
    pub client: SocketAddr,
    /// Which of our addresses it asked, where there are several at the socket.
    pub local: Option<IpAddr>,
}

/// A session's place, and which of those that had it: a place that is let to another is not the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    index: u32,
    turn: u32,
}

impl Place {
    /// As one number.
    pub fn number(self) -> u64 {
        u64::from(self.turn) << 32 | u64::from(self.index)
    }

    /// Of that number.
    pub fn of(number: u64) -> Self {
        Place { index: number as u32, turn: (number >> 32) as u32 }
    }
}

/// Sessions of one core.
#[derive(Debug)]
pub struct Table<S> {
    places: HashMap<Flow, u32>,
    slots: Vec<Slot<S>>,
    /// Slots without a session.
    free: Vec<u32>,
    passing: Queue,
    settled: Queue,
    /// Slots that are made begin with this turn: those that were given back came no further.
    fresh: u32,
}

#[derive(Debug)]
struct Slot<S> {
    turn: u32,
    flow: Flow,
    used: Moment,
    is_settled: bool,
    before: u32,
    after: u32,
    session: Option<S>,
}

/// Used longest ago first.
#[derive(Debug, Clone, Copy)]
struct Queue {
    first: u32,
    last: u32,
}

const NONE: u32 = u32::MAX;

impl<S> Default for Table<S> {
    fn default() -> Self {
        let queue = Queue { first: NONE, last: NONE };
        Table {
            places: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            passing: queue,
            settled: queue,
            fresh: 0,
        }
    }
}

impl<S> Table<S> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Where that flow's is.
    #[inline]
    pub fn find(&self, flow: &Flow) -> Option<Place> {
        let index = *self.places.get(flow)?;
        Some(Place { index, turn: self.slots[index as usize].turn })
    }

    /// The session there, if it is still the same.
    #[inline]
    pub fn session(&mut self, place: Place) -> Option<&mut S> {
        let slot = self.slots.get_mut(place.index as usize).filter(|slot| slot.turn == place.turn)?;
        slot.session.as_mut()
    }

    /// A new one; the flow has none.
    pub fn insert(&mut self, flow: Flow, session: S, now: Moment) -> Place {
        let index = self.free.pop().unwrap_or_else(|| {
            let blank =
                Slot { turn: self.fresh, flow, used: now, is_settled: false, before: NONE, after: NONE, session: None };
            self.slots.push(blank);
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        (slot.flow, slot.used, slot.is_settled, slot.session) = (flow, now, false, Some(session));
        let turn = slot.turn;
        let former = self.places.insert(flow, index);
        debug_assert!(former.is_none(), "the flow has none");
        self.join(index);
        Place { index, turn }
    }

    /// It was used; times do not go back.
    #[inline]
    pub fn touch(&mut self, place: Place, now: Moment) {
        if self.session(place).is_none() {
            return;
        }
        self.slots[place.index as usize].used = now;
        self.leave(place.index);
        self.join(place.index);
    }

    /// It was used, and goes on after it was answered.
    pub fn settle(&mut self, place: Place, now: Moment) {
        if self.session(place).is_none() {
            return;
        }
        self.leave(place.index);
        let slot = &mut self.slots[place.index as usize];
        (slot.is_settled, slot.used) = (true, now);
        self.join(place.index);
    }

    /// Takes it out.
    pub fn remove(&mut self, place: Place) -> Option<S> {
        self.session(place)?;
        Some(self.take(place.index))
    }

    /// Takes out one that was not used for so long: `passing` of passing sessions, `settled` of those that are settled.
    pub fn take_idle(&mut self, passing: Duration, settled: Duration, now: Moment) -> Option<S> {
        let is_idle = |first: u32, length: Duration| {
            self.slots.get(first as usize).is_some_and(|slot| now.since(slot.used) >= length)
        };
        if is_idle(self.passing.first, passing) {
            return Some(self.take(self.passing.first));
        }
        is_idle(self.settled.first, settled).then(|| self.take(self.settled.first))
    }

    /// Takes out the passing one that was used longest ago: its room is needed.
    pub fn displace(&mut self) -> Option<S> {
        (self.passing.first != NONE).then(|| self.take(self.passing.first))
    }

    /// Takes out the next one, from `from` on, that is over; looks at no more than so many, and has `from` behind the last.
    pub fn take_over(&mut self, from: &mut usize, most: &mut usize, is_over: impl Fn(&S) -> bool) -> Option<S> {
        while *most > 0 && *from < self.slots.len() {
            let index = *from;
            (*from, *most) = (index + 1, *most - 1);
            if self.slots[index].session.as_ref().is_some_and(&is_over) {
                return Some(self.take(index as u32));
            }
        }
        None
    }

    /// Whether that is behind the last.
    pub fn is_behind(&self, from: usize) -> bool {
        from >= self.slots.len()
    }

    /// Takes out any.
    pub fn take_any(&mut self) -> Option<S> {
        let first = if self.passing.first == NONE { self.settled.first } else { self.passing.first };
        (first != NONE).then(|| self.take(first))
    }

    fn take(&mut self, index: u32) -> S {
        self.leave(index);
        let slot = &mut self.slots[index as usize];
        slot.turn = slot.turn.wrapping_add(1);
        let session = slot.session.take().expect("who is in a queue is there");
        self.places.remove(&slot.flow);
        self.free.push(index);
        if self.places.is_empty() {
            self.shrink();
        }
        session
    }

    /// After a flood its room is given back. No place of then is valid again.
    fn shrink(&mut self) {
        const KEPT: usize = 1_024;
        if self.slots.len() <= KEPT {
            return;
        }
        self.fresh = self.slots.drain(KEPT..).map(|slot| slot.turn).max().unwrap_or_default().max(self.fresh);
        self.slots.shrink_to_fit();
        self.free.retain(|index| (*index as usize) < KEPT);
        self.free.shrink_to_fit();
        self.places.shrink_to(KEPT);
    }

    fn queue(&mut self, is_settled: bool) -> &mut Queue {
        if is_settled { &mut self.settled } else { &mut self.passing }
    }

    /// Goes to the end of its queue.
    #[inline]
    fn join(&mut self, index: u32) {
        let is_settled = self.slots[index as usize].is_settled;
        let last = std::mem::replace(&mut self.queue(is_settled).last, index);
        let slot = &mut self.slots[index as usize];
        (slot.before, slot.after) = (last, NONE);
        match self.slots.get_mut(last as usize) {
            Some(last) => last.after = index,
            None => self.queue(is_settled).first = index,
        }
    }

    /// Leaves its queue.
    #[inline]
    fn leave(&mut self, index: u32) {
        let Slot { before, after, is_settled, .. } = self.slots[index as usize];
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.after = after,
            None => self.queue(is_settled).first = after,
        }
        match self.slots.get_mut(after as usize) {
            Some(slot) => slot.before = before,
            None => self.queue(is_settled).last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const T0: Moment = Moment::from_secs(1_000);

    fn flow(client: u16) -> Flow {
        Flow { client: ([192, 0, 2, 1], client).into(), local: None }
    }

    fn at(seconds: u64) -> Moment {
        T0 + Duration::from_secs(seconds)
    }

    #[test]
    fn whoever_was_not_used_for_a_minute_is_taken_and_nobody_sooner() {
        let mut table = Table::default();
        let first = table.insert(flow(1), "first", at(0));
        table.insert(flow(2), "second", at(10));
        table.touch(first, at(30));
        assert_eq!(table.take_idle(MINUTE, MINUTE, at(69)), None);
        assert_eq!(table.take_idle(MINUTE, MINUTE, at(70)), Some("second"));
        assert_eq!(table.take_idle(MINUTE, MINUTE, at(89)), None);
        assert_eq!(table.take_idle(MINUTE, MINUTE, at(90)), Some("first"));
        assert!(table.is_empty());
    }

    #[test]
    fn room_is_made_by_the_oldest_that_passes_and_never_by_one_that_is_settled() {
        let mut table = Table::default();
        let game = table.insert(flow(1), "game", at(0));
        (2..5).for_each(|client| _ = table.insert(flow(client), "question", at(u64::from(client))));
        table.settle(game, at(1));
        (0..3).for_each(|_| assert_eq!(table.displace(), Some("question")));
        assert_eq!(table.displace(), None);
        assert_eq!(table.find(&flow(1)), Some(game));
    }

    #[test]
    fn a_place_that_was_let_again_is_another() {
        let mut table = Table::default();
        let old = table.insert(flow(1), "old", at(0));
        assert_eq!(Place::of(old.number()), old);
        assert_eq!(table.remove(old), Some("old"));
        let new = table.insert(flow(2), "new", at(0));
        assert_eq!(table.session(old), None);
        assert_eq!(table.session(new), Some(&mut "new"));
        table.touch(old, at(1));
        table.settle(old, at(1));
        assert_eq!(table.remove(old), None);
        assert_eq!(table.displace(), Some("new"), "it has not been settled in the other's name");
    }

    #[test]
    fn the_room_of_a_flood_is_given_back() {
        let mut table = Table::default();
        (0..10_000).for_each(|client| _ = table.insert(flow(client), (), at(0)));
        while table.take_idle(MINUTE, MINUTE, at(60)).is_some() {}
        assert!(table.slots.capacity() <= 1_024 && table.free.len() == 1_024);
        (0..2_000).for_each(|client| _ = table.insert(flow(client), (), at(0)));
        assert_eq!(table.len(), 2_000);
    }

    /// What happens to a table.
    #[derive(Debug, Clone)]
    enum Step {
        Datagram(u16),
        Settle(u16),
        Remove(u16),
        Displace,
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..12u16).prop_map(Step::Datagram),
            2 => (0..12u16).prop_map(Step::Settle),
            1 => (0..12u16).prop_map(Step::Remove),
            1 => Just(Step::Displace),
            2 => (0..30u64).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against a list that is searched for everything: client, last use, whether it is settled.
        #[test]
        fn it_does_as_a_list_would(steps in steps()) {
            let (mut table, mut list, mut now) = (Table::default(), Vec::<(u16, Moment, bool)>::new(), T0);
            for step in steps {
                match step {
                    Step::Datagram(client) | Step::Settle(client) => {
                        let settles = matches!(step, Step::Settle(_));
                        match table.find(&flow(client)) {
                            Some(place) if settles => table.settle(place, now),
                            Some(place) => table.touch(place, now),
                            None => _ = table.insert(flow(client), client, now),
                        }
                        let known = list.iter().position(|(known, ..)| *known == client);
                        let was = known.map(|at| list.remove(at));
                        list.push((client, now, was.is_some_and(|was| settles || was.2)));
                    }
                    Step::Remove(client) => {
                        let removed = table.find(&flow(client)).and_then(|place| table.remove(place));
                        let known = list.iter().position(|(known, ..)| *known == client);
                        prop_assert_eq!(removed, known.map(|at| list.remove(at).0));
                    }
                    Step::Displace => {
                        let oldest = list.iter().position(|(.., is_settled)| !is_settled);
                        prop_assert_eq!(table.displace(), oldest.map(|at| list.remove(at).0));
                    }
                    Step::Wait(seconds) => {
                        now = now + Duration::from_secs(seconds);
                        let limit = |is_settled| if is_settled { MINUTE } else { MINUTE / 2 };
                        while let Some(client) = table.take_idle(MINUTE / 2, MINUTE, now) {
                            let at = list.iter().position(|(known, ..)| *known == client).unwrap();
                            let (_, used, is_settled) = list.remove(at);
                            prop_assert!(now.since(used) >= limit(is_settled));
                        }
                        prop_assert!(list.iter().all(|(_, used, is_settled)| now.since(*used) < limit(*is_settled)));
                    }
                }
                prop_assert_eq!(table.len(), list.len());
                for (client, ..) in &list {
                    let place = table.find(&flow(*client));
                    prop_assert_eq!(place.and_then(|place| table.session(place).copied()), Some(*client));
                }
            }
        }
    }
}
