//! Both directions of a connection at once, until both have ended or something ends them.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use crate::balance::breaker::Outcome;
use crate::balance::live::Failure;
use crate::model::Moment;
use crate::proxy::cells;
use crate::proxy::core::Core;
use crate::proxy::deadline::Deadline;
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

/// A connection that is carried.
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
}

/// Carries it to its end.
pub async fn carry(core: &Rc<Core>, gate: &Gate, mut carried: Carried, story: &mut FlowStory) -> End {
    let deadline = core.deadlines.another();
    deadline.within(gate.plan.timeouts.idle);
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
    carried.judge(core, end, has_passed);
    if end != End::Closed {
        // What is closed with something unsaid is broken off.
        reset(carried.client.socket());
        reset(carried.server.socket());
    }
    end
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
        let up = self.up.poll(&mut self.client, &mut self.server, core, cx);
        let down = self.down.poll(&mut self.server, &mut self.client, core, cx);
        let (came, went) = (self.up.moved() - story.bytes_in, self.down.moved() - story.bytes_out);
        if came + went > 0 || self.up.has_ended() != self.down.has_ended() {
            (story.bytes_in, story.bytes_out) = (self.up.moved(), self.down.moved());
            gate.cell.bytes(came, went);
        }
        match (up, down) {
            (Poll::Ready(Err(Broken::From(_))), _) | (_, Poll::Ready(Err(Broken::To(_)))) => {
                return Poll::Ready(End::ClientReset);
            }
            (Poll::Ready(Err(Broken::To(_))), _) | (_, Poll::Ready(Err(Broken::From(_)))) => {
                return Poll::Ready(End::EndpointReset);
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Closed),
            (Poll::Pending, Poll::Pending) if came + went > 0 => deadline.within(gate.plan.timeouts.idle),
            (Poll::Pending, Poll::Pending) => {}
            // Also when one side has just said its last.
            _ if came + went > 0 || !story.is_half_closed => {
                story.is_half_closed = true;
                deadline.within(gate.plan.timeouts.half_closed.min(gate.plan.timeouts.idle));
            }
            _ => {}
        }
        if self.tunnel.poll_over(cx).is_ready() {
            return Poll::Ready(if self.tunnel.is_cut() { End::EndpointDown } else { End::Drained });
        }
        deadline.poll_due(cx).map(|()| End::Idle)
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
