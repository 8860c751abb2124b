//! Both directions of a connection at once, until both have ended or something ends them.
//!
//! **Each side hears of the other's end as it was.** A close is passed on as one when all before it has been, and a reset as a
//! reset. A side that takes nothing any more may have said something before: that is still brought over, and then the other side
//! is reset. A side that nobody reads from, since what it said last is still held here, is looked at once a second
//! ([`LOOK`]): its reset would not be noticed otherwise, and whoever is at the other end would wait for the deadline.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use crate::balance::breaker::Outcome;
use crate::balance::live::Failure;
use crate::model::Moment;
use crate::proxy::cells;
use crate::proxy::core::Core;
use crate::proxy::deadline::Deadline;
use crate::proxy::deadline::SWEEP;
use crate::proxy::flow::gate::Gate;
use crate::proxy::flow::half::Broken;
use crate::proxy::flow::half::Half;
use crate::proxy::flow::serve::reset;
use crate::proxy::flow::story::End;
use crate::proxy::flow::story::FlowStory;
use crate::proxy::stream::Stream;
use crate::proxy::upstream::endpoint::InFlight;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::tunnels::Tunnel;

/// Between two looks at a side that is not read from.
const LOOK: Duration = Duration::from_secs(1);
/// While both sides are read from.
const NEVER: Moment = Moment(u64::MAX);

/// A connection that is carried. When this is dropped, a side that was not told of an end by then is reset; one that was has still
/// to take what the system keeps for it.
#[derive(Debug)]
pub struct Carried {
    /// The client's side.
    pub client: Stream,
    /// The endpoint's.
    pub server: Stream,
    /// To the endpoint.
    pub up: Half,
    /// To the client.
    pub down: Half,
    /// Its pool.
    pub pool: Rc<Pool>,
    /// Its endpoint's place there.
    pub at: usize,
    /// Its place at the endpoint.
    pub in_flight: InFlight,
    /// Ends it when its endpoint was taken out.
    pub tunnel: Tunnel,
    /// When it was sent there.
    pub began: Moment,
    /// When it ends.
    pub ends: Ends,
}

/// When a connection ends on which nothing moves.
#[derive(Debug, Default)]
pub struct Ends {
    /// What had moved when that was said.
    progress: u64,
    due: Moment,
    /// When sides that nobody reads from are looked at next.
    look: Moment,
    is_half_closed: bool,
    /// One side has broken off, and the other shall know.
    is_reset: bool,
}

/// Carries it to its end.
pub async fn carry(core: &Rc<Core>, gate: &Gate, mut carried: Carried, story: &mut FlowStory) -> End {
    let deadline = core.deadlines.another();
    carried.ends.look = NEVER;
    carried.ends.due = core.deadlines.now() + SWEEP + gate.plan.timeouts.idle;
    let mut has_passed = false;
    let end = poll_fn(|cx| {
        let end = carried.poll(core, gate, &deadline, story, cx);
        if !has_passed && carried.down.moved() > 0 {
            has_passed = true;
            core.passed((&carried.pool, carried.at), carried.began);
        }
        end
    })
    .await;
    carried.ends.is_reset = matches!(end, End::ClientReset | End::EndpointReset);
    carried.judge(core, end, has_passed);
    end
}

impl Drop for Carried {
    fn drop(&mut self) {
        if self.ends.is_reset || !self.down.has_ended() {
            reset(self.client.socket());
        }
        if self.ends.is_reset || !self.up.has_ended() {
            reset(self.server.socket());
        }
    }
}

impl Carried {
    fn poll(
        &mut self,
        core: &Core,
        gate: &Gate,
        deadline: &Deadline,
        story: &mut FlowStory,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        let up = self.up.poll((&mut self.client, &mut self.server), self.down.is_over(), core, cx);
        let down = self.down.poll((&mut self.server, &mut self.client), self.up.is_over(), core, cx);
        let (came, went) = (self.up.moved() - story.bytes_in, self.down.moved() - story.bytes_out);
        if came + went > 0 {
            (story.bytes_in, story.bytes_out) = (self.up.moved(), self.down.moved());
            gate.cell.bytes(came, went);
        }
        match (&up, &down) {
            (Poll::Ready(Err(Broken::From(_))), _) => return Poll::Ready(End::ClientReset),
            (_, Poll::Ready(Err(Broken::From(_)))) => return Poll::Ready(End::EndpointReset),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Closed),
            // What the one that takes nothing had said before has been brought over.
            (Poll::Ready(Err(Broken::To(_))), Poll::Ready(_)) => return Poll::Ready(End::EndpointReset),
            (Poll::Ready(_), Poll::Ready(Err(Broken::To(_)))) => return Poll::Ready(End::ClientReset),
            _ => {}
        }
        self.move_deadline(core, gate, up.is_ready() || down.is_ready());
        if self.tunnel.poll_over(cx).is_ready() {
            return Poll::Ready(if self.tunnel.is_cut() { End::EndpointDown } else { End::Drained });
        }
        self.poll_idle(core, deadline, cx)
    }

    fn move_deadline(&mut self, core: &Core, gate: &Gate, is_half_closed: bool) {
        let progress = self.up.progress() + self.down.progress();
        if progress == self.ends.progress && is_half_closed == self.ends.is_half_closed {
            return;
        }
        let timeouts = &gate.plan.timeouts;
        let time = if is_half_closed { timeouts.half_closed.min(timeouts.idle) } else { timeouts.idle };
        (self.ends.progress, self.ends.is_half_closed) = (progress, is_half_closed);
        self.ends.due = core.deadlines.now() + SWEEP + time;
    }

    fn poll_idle(&mut self, core: &Core, deadline: &Deadline, cx: &mut Context<'_>) -> Poll<End> {
        let now = core.deadlines.now();
        if self.up.listens() && self.down.listens() {
            self.ends.look = NEVER;
        } else if self.ends.look == NEVER {
            // Most are read from again before that.
            self.ends.look = now + LOOK;
        }
        loop {
            if self.ends.due <= now {
                return Poll::Ready(End::Idle);
            }
            deadline.at(self.ends.due.min(self.ends.look));
            if deadline.poll_due(cx).is_pending() {
                return Poll::Pending;
            }
            if let Some(end) = self.unheard() {
                return Poll::Ready(end);
            }
            self.ends.look = now + LOOK;
        }
    }

    /// Whether a side has broken off that nobody reads from.
    fn unheard(&self) -> Option<End> {
        let has_broken = |side: &Stream| !matches!(side.socket().take_error(), Ok(None));
        if !self.up.listens() && has_broken(&self.client) {
            return Some(End::ClientReset);
        }
        (!self.down.listens() && has_broken(&self.server)).then_some(End::EndpointReset)
    }

    /// An endpoint that breaks off before it has said a word has failed; one that was asked and said its last has not.
    fn judge(&self, core: &Rc<Core>, end: End, has_passed: bool) {
        if has_passed {
            return;
        }
        match end {
            End::EndpointReset => {
                self.pool.cell.failed(cells::Failure::Reset);
                let view = core.view();
                // Of a pool that a reload has changed nobody would know what that place is.
                if view.pool(self.pool.plan.id).is_some_and(|now| Rc::ptr_eq(now, &self.pool)) {
                    let failure = Failure { outcome: Outcome::Failed, met: &"connection reset", began: self.began };
                    core.failed(&view, (&self.pool, self.at), &failure, core.now());
                }
            }
            End::Closed => core.passed((&self.pool, self.at), self.began),
            _ => {}
        }
    }
}
