//! From endpoints to clients.

use std::io;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use crate::proxy::flow::gate::Gate;
use crate::proxy::flow::udp::Serving;
use crate::proxy::flow::udp::table::Place;
use crate::server::batch::parcels::Outbox;

use super::onward::Sight;

impl Serving {
    /// Passes back what has come from endpoints, of some sessions; ready when there may be more.
    pub(super) fn poll_back(&mut self, sight: Sight<'_>, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(error) = ready!(self.ready.poll(cx)) {
            tracing::debug!("listener {}: waiting for endpoints failed: {error}", self.listening.name);
            return Poll::Ready(());
        }
        let post = self.post.clone();
        let outbox = &mut post.borrow_mut().outbox;
        let (mut went, mut has_all) = (0, true);
        for at in 0..self.ready.count() {
            if outbox.is_full() {
                self.flush(outbox, sight.gate);
            }
            has_all &= self.pass_back(self.ready.place(at), outbox, &mut went, sight);
        }
        self.flush(outbox, sight.gate);
        sight.gate.cell.bytes(0, went);
        self.ready.has_all(has_all, cx);
        Poll::Ready(())
    }

    /// What one session has; whether that was all. One that says more than there is room for goes on in its next turn.
    fn pass_back(&mut self, place: Place, outbox: &mut Outbox, went: &mut u64, sight: Sight<'_>) -> bool {
        let Some(session) = self.table.session(place) else { return true };
        let Some(link) = &session.link else { return true };
        let taken = match outbox.receive(&link.socket, &session.address) {
            Ok(taken) => taken,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return true,
                io::ErrorKind::Interrupted => return false,
                _ => {
                    session.refused(&self.core, &error, sight.now);
                    // Of a socket that is kept what came after the refusal is still to be read.
                    return session.link.is_none();
                }
            },
        };
        if taken.datagrams > 0 {
            if !link.has_answered || link.is_refused {
                session.answered_again(&self.core, sight.now);
            }
            session.story.bytes_out += taken.bytes as u64;
            *went += taken.bytes as u64;
            self.table.touch(place, sight.now);
        }
        !taken.has_more
    }

    fn flush(&self, outbox: &mut Outbox, gate: &Gate) {
        let unsent = outbox.send(self.socket.get_ref());
        (0..unsent).for_each(|_| gate.cell.refused("send_buffer"));
    }
}
