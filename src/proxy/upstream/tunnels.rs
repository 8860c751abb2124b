//! Upgraded connections through an endpoint, which might go on for days: when the endpoint is taken out they have their time, and
//! then they end.
//!
//! Each has as long as its listener says (`drain_timeout`), and up to a tenth more: clients come back at once, and shall not come
//! all together.

use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use crate::proxy::deadline::Deadline;

/// So few may have ended and still be kept.
const TIDY_MIN: usize = 32;

/// Those of one endpoint and core.
#[derive(Debug, Default)]
pub struct Tunnels {
    are_to_leave: Cell<bool>,
    were_cut: Cell<bool>,
    open: RefCell<Vec<Rc<Slot>>>,
    /// At so many, those that have ended are let go.
    tidy_at: Cell<usize>,
}

#[derive(Debug)]
struct Slot {
    deadline: Deadline,
    time: Duration,
    is_cut: Cell<bool>,
}

/// An upgraded connection, as long as this lives.
#[derive(Debug)]
pub struct Tunnel(Rc<Slot>);

impl Tunnels {
    /// One begins; it has so long when it is to end. The deadline is not set yet.
    pub fn enter(&self, deadline: Deadline, time: Duration) -> Tunnel {
        let slot = Rc::new(Slot { deadline, time, is_cut: Cell::default() });
        let mut open = self.open.borrow_mut();
        // Not each time: there may be ten thousand of them.
        if open.len() >= self.tidy_at.get() {
            open.retain(is_open);
            self.tidy_at.set((2 * open.len()).max(TIDY_MIN));
        }
        open.push(slot.clone());
        if self.are_to_leave.get() {
            slot.deadline.within(time);
        }
        Tunnel(slot)
    }

    /// Each has its time from now on, unless that was said before.
    pub fn leave(&self) {
        if !self.are_to_leave.replace(true) {
            self.open.borrow().iter().for_each(|slot| slot.deadline.within(slot.time));
        }
    }

    /// They may go on.
    pub fn stay(&self) {
        if self.are_to_leave.replace(false) {
            self.open.borrow().iter().filter(|slot| !slot.is_cut.get()).for_each(|slot| slot.deadline.clear());
        }
    }

    /// Those that are open end now: their endpoint was found down, and its pool wants them closed then. Those that begin while
    /// it is down know what they do, and stay.
    pub fn cut(&self) {
        if !self.were_cut.replace(true) {
            self.open.borrow().iter().for_each(|slot| {
                slot.is_cut.set(true);
                slot.deadline.within(Duration::ZERO);
            });
        }
    }

    /// Their endpoint is up: the next time that it is not is another.
    pub fn mend(&self) {
        self.were_cut.set(false);
    }

    /// Whether they have been told.
    pub fn are_to_leave(&self) -> bool {
        self.are_to_leave.get()
    }
}

fn is_open(slot: &Rc<Slot>) -> bool {
    Rc::strong_count(slot) > 1
}

impl Tunnel {
    /// Ready when its time is up.
    pub fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.deadline.poll_due(cx)
    }

    /// Whether that was for its endpoint being down.
    pub fn is_cut(&self) -> bool {
        self.0.is_cut.get()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::model::Moment;
    use crate::proxy::deadline::Deadlines;

    #[test]
    fn they_have_their_time_from_the_first_word_and_none_when_it_is_taken_back() {
        let (deadlines, tunnels) = (Deadlines::default(), Tunnels::default());
        let mut cx = Context::from_waker(Waker::noop());
        let mut is_over = |tunnel: &Tunnel, at| {
            deadlines.sweep(Moment::from_secs(at));
            tunnel.poll_over(&mut cx).is_ready()
        };
        let first = tunnels.enter(deadlines.another(), Duration::from_secs(30));
        assert!(!is_over(&first, 100));
        tunnels.leave();
        assert!(!is_over(&first, 120));
        tunnels.leave();
        let late = tunnels.enter(deadlines.another(), Duration::from_secs(30));
        assert!(is_over(&first, 131) && !is_over(&late, 131));
        assert!(is_over(&late, 151));
        tunnels.stay();
        assert!(!is_over(&late, 152));
    }
}
