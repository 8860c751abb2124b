//! Deadlines of connections, cheap to move.
//!
//! A connection has a deadline at any moment, and moves it with every request and every piece of a body: tens of thousands of
//! times a second, while hardly one of them ever comes. A timer for each would cost more than what it guards. So a deadline is a
//! number in a cell, and one sweep over all of a core's cells every [`SWEEP`] wakes those that are due; to be late by that much
//! hurts nobody where the shortest deadline that is worth having is a second.

use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use crate::model::Moment;

/// How late a deadline may be noticed. A sweep costs some nanoseconds for each connection.
pub const SWEEP: Duration = Duration::from_millis(50);

const NEVER: Moment = Moment(u64::MAX);

/// All deadlines of one core.
#[derive(Debug, Default)]
pub struct Deadlines {
    slots: RefCell<Vec<Rc<Slot>>>,
    /// As of the last sweep.
    now: Rc<Cell<Moment>>,
}

#[derive(Debug)]
struct Slot {
    due: Cell<Moment>,
    waker: RefCell<Option<Waker>>,
}

/// One deadline; it may be set, moved and cleared any number of times.
#[derive(Debug)]
pub struct Deadline {
    slot: Rc<Slot>,
    now: Rc<Cell<Moment>>,
}

impl Deadlines {
    /// Another one, not set.
    pub fn another(&self) -> Deadline {
        let slot = Rc::new(Slot { due: Cell::new(NEVER), waker: RefCell::default() });
        self.slots.borrow_mut().push(slot.clone());
        Deadline { slot, now: self.now.clone() }
    }

    /// Wakes whoever is due, and lets go of deadlines that nobody has any more.
    pub fn sweep(&self, now: Moment) {
        self.now.set(now);
        let mut slots = self.slots.borrow_mut();
        slots.retain(|slot| Rc::strong_count(slot) > 1);
        let due = slots.iter().filter(|slot| slot.due.get() <= now);
        due.for_each(|slot| slot.waker.take().into_iter().for_each(Waker::wake));
        // After a flood of connections their room is given back.
        if slots.capacity() > 1_024 && slots.len() < slots.capacity() / 4 {
            slots.shrink_to_fit();
        }
    }

    /// The time of the last sweep: good enough for deadlines.
    pub fn now(&self) -> Moment {
        self.now.get()
    }
}

impl Deadline {
    /// That long from now.
    pub fn within(&self, length: Duration) {
        // The clock of sweeps may be behind by one of them: never too early.
        self.slot.due.set(self.now.get() + SWEEP + length);
    }

    /// At that moment.
    pub fn at(&self, due: Moment) {
        self.slot.due.set(due);
    }

    /// Not any more.
    pub fn clear(&self) {
        self.slot.due.set(NEVER);
    }

    /// Not any more, and whoever waited for it is forgotten: it is kept for somebody else.
    pub fn rest(&self) {
        self.clear();
        self.slot.waker.take();
    }

    /// Ready when it has passed.
    pub fn poll_due(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.slot.due.get() <= self.now.get() {
            return Poll::Ready(());
        }
        let mut waker = self.slot.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_is_due_is_woken_once_and_moving_is_free() {
        let (deadlines, woken) = (Deadlines::default(), Arc::new(Woken::default()));
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        deadlines.sweep(Moment::from_secs(10));
        let deadline = deadlines.another();
        assert!(deadline.poll_due(&mut cx).is_pending());
        deadline.within(Duration::from_secs(1));
        deadlines.sweep(Moment::from_secs(11));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0, "a sweep may be behind the clock");
        deadline.within(Duration::from_secs(1));
        deadlines.sweep(Moment::from_secs(13));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(deadline.poll_due(&mut cx).is_ready());
        deadline.clear();
        assert!(deadline.poll_due(&mut cx).is_pending());
        drop(deadline);
        deadlines.sweep(Moment::from_secs(14));
        assert!(deadlines.slots.borrow().is_empty());
    }
}
