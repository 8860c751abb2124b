//! A listener for UDP on one core: what clients say goes to the endpoint of their flow, and what it says goes back.
//!
//! ```text
//!  clients ⇄ one socket ──recvmmsg──→ table of sessions ──send──→ a connected socket for each session ⇄ endpoint
//!               ▲                                                          │
//!               └─────────sendmmsg, answers of many sessions───────────────┘ epoll
//! ```
//!
//! **A flow is a 4-tuple**: client and local address. The kernel keeps it at one of the sockets of a listener, so it is always the
//! same core's. It stays at its endpoint for its life, which ends when nothing has come for `timeouts.idle`, whatever becomes of the
//! endpoint's health; unless the pool has `on_down = "close"`, or the endpoint was drained and its time is over.
//!
//! **When the listener leaves** no new flow begins. Those that go on have until they are idle or the drain is over; a question and
//! its answer are not waited for longer than [`LEAVING_IDLE`]. Where a successor goes on with the socket (a new process, a listener
//! of another name) it reads what clients say, and its sessions are new: what endpoints still answer to ours in [`LEAVING_IDLE`] is
//! passed back. Hashed pools send the flow to the same endpoint then, from another port.
//!
//! One task serves all of it: a session is a place in a table, a socket and no task.

mod back;
mod onward;
mod ready;
mod session;
mod stays;
mod table;

use std::cell::RefCell;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::net::UdpSocket;
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use crate::model::Moment;
use crate::proxy::core::Core;
use crate::proxy::deadline::Deadline;
use crate::proxy::flow::gate::Gate;
use crate::proxy::flow::story::End;
use crate::proxy::listening::Listening;
use crate::server::batch::parcels;
use crate::server::batch::parcels::Inbox;
use crate::server::batch::parcels::Outbox;
use crate::server::batch::parcels::PARCELS;

use onward::Sight;
use ready::Ready;
use session::Session;
use stays::Stays;
use table::Place;
use table::Table;

/// Where datagrams lie while they are passed on: one for each core.
#[derive(Debug, Default)]
pub struct Post {
    inbox: Inbox,
    outbox: Outbox,
}

/// How often somebody looks who is idle, and which endpoints are to be left.
const LOOK: Duration = Duration::from_millis(200);
/// How long answers are waited for when the listener leaves: after that DNS clients ask again.
const LEAVING_IDLE: Duration = Duration::from_secs(5);
/// Nobody who refuses within this is taken for well; after a rest an endpoint that never answers (a log) is trusted then.
const SILENT_TRIAL: Duration = Duration::from_secs(1);
/// Batches in a row, each way, before others of the core have their turn.
const ROUNDS: usize = 8;
/// Sessions that are ended in one go: a millisecond or less.
const ENDED_AT_ONCE: usize = 256;
/// Sessions that are looked at in one go for endpoints that are left.
const LOOKED_AT_ONCE: usize = 4_096;

/// Serves it until it has left and its last session has ended.
pub async fn serve(core: Rc<Core>, listening: Rc<Listening>, socket: UdpSocket, post: Rc<RefCell<Post>>) {
    let mut serving = match Serving::new(core, listening.clone(), socket, post) {
        Ok(serving) => serving,
        Err(error) => {
            listening.accepted_all();
            return tracing::error!("listener {}: its socket cannot be used: {error}", listening.name);
        }
    };
    let mut closed = pin!(listening.closed());
    poll_fn(|cx| {
        if serving.leaving.is_none() && closed.as_mut().poll(cx).is_ready() {
            serving.leave();
        }
        serving.poll(cx)
    })
    .await;
}

/// A listener on one core.
struct Serving {
    core: Rc<Core>,
    listening: Rc<Listening>,
    socket: AsyncFd<UdpSocket>,
    ready: Ready,
    post: Rc<RefCell<Post>>,
    table: Table<Session>,
    stays: Stays,
    /// Sessions that show whether an endpoint is well after a rest, and since when.
    trials: Vec<(Place, Moment)>,
    /// When to look next; set while there is anything to look at.
    deadline: Deadline,
    is_looking: bool,
    /// How far sessions were looked at for endpoints that are left.
    looked: Option<usize>,
    /// No new flows since then.
    leaving: Option<Leaving>,
    told_of_shortage: Option<Moment>,
}

/// A listener that leaves.
#[derive(Clone, Copy)]
struct Leaving {
    since: Moment,
    /// Another reads the socket.
    is_succeeded: bool,
}

impl Serving {
    fn new(core: Rc<Core>, listening: Rc<Listening>, socket: UdpSocket, post: Rc<RefCell<Post>>) -> io::Result<Self> {
        parcels::may_fragment(&socket, socket.local_addr()?.is_ipv6())?;
        Ok(Serving {
            socket: ready::watched(socket)?,
            ready: Ready::new()?,
            deadline: core.deadlines.another(),
            core,
            listening,
            post,
            table: Table::default(),
            stays: Stays::default(),
            trials: Vec::new(),
            is_looking: false,
            looked: None,
            leaving: None,
            told_of_shortage: None,
        })
    }

    fn leave(&mut self) {
        self.leaving = Some(Leaving { since: self.core.now(), is_succeeded: self.listening.is_succeeded() });
        self.listening.accepted_all();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A listener is served when its snapshot is published, and remembers it.
        let Some((view, gate)) = self.listening.gate(&self.core) else { return self.wait(cx) };
        let sight = |core: &Core| Sight { view: &view, gate: &gate, now: core.now() };
        let mut rounds = 0;
        while rounds < ROUNDS {
            let came = self.poll_onward(sight(&self.core), cx).is_ready();
            let went = self.poll_back(sight(&self.core), cx).is_ready();
            if !came && !went {
                break;
            }
            rounds += 1;
        }
        if !self.look(&gate, cx) || rounds == ROUNDS {
            // There is more to do, when others have had their turn.
            cx.waker().wake_by_ref();
        }
        self.wait(cx)
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.table.is_empty() {
            self.is_looking = false;
            self.deadline.clear();
            self.stays.clear();
            if self.leaving.is_some() {
                return Poll::Ready(());
            }
        } else if !self.is_looking {
            self.is_looking = true;
            self.deadline.within(LOOK);
        }
        _ = self.deadline.poll_due(cx);
        Poll::Pending
    }

    /// Takes a batch of what clients say; ready when there may be more.
    fn poll_onward(&mut self, sight: Sight<'_>, cx: &mut Context<'_>) -> Poll<()> {
        if self.leaving.is_some_and(|leaving| leaving.is_succeeded) {
            return Poll::Pending;
        }
        let post = self.post.clone();
        let inbox = &mut post.borrow_mut().inbox;
        let received = {
            let Ok(mut guard) = ready!(self.socket.poll_read_ready(cx)) else { return Poll::Pending };
            let received = inbox.receive(self.socket.get_ref());
            if !matches!(received, Ok(PARCELS)) {
                // What comes from now on is told of.
                guard.clear_ready();
            }
            received
        };
        match received {
            Ok(count) => self.send_on(inbox, count, sight),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => tracing::debug!("listener {}: receiving failed: {error}", self.listening.name),
        }
        Poll::Ready(())
    }

    /// Ends who is idle or has to leave; whether all are done.
    fn look(&mut self, gate: &Gate, cx: &mut Context<'_>) -> bool {
        if !self.is_looking || self.deadline.poll_due(cx).is_pending() {
            return true;
        }
        let now = self.core.now();
        self.look_at_trials(now);
        if self.stays.look() {
            self.looked = Some(0);
        }
        let is_done = self.end_of_left(gate) & self.end_idle(gate, now);
        if is_done {
            self.deadline.within(LOOK);
        }
        is_done
    }

    /// Nothing was said against it for a while, and of some endpoints that is all that there ever is.
    fn look_at_trials(&mut self, now: Moment) {
        let (table, core) = (&mut self.table, &self.core);
        self.trials.retain(|(place, began)| {
            if now.since(*began) < SILENT_TRIAL {
                return true;
            }
            let link = table.session(*place).and_then(|session| session.link.as_ref());
            if let Some(link) = link.filter(|link| !link.has_answered && link.began == *began) {
                core.passed((&link.pool, link.at), link.began);
            }
            false
        });
    }

    /// Ends sessions at endpoints that are left.
    fn end_of_left(&mut self, gate: &Gate) -> bool {
        let Some(mut from) = self.looked else { return true };
        let mut most = LOOKED_AT_ONCE;
        for _ in 0..ENDED_AT_ONCE {
            let Some(session) = self.table.take_over(&mut from, &mut most, |session| session.over().is_some()) else {
                break;
            };
            let end = session.over().unwrap_or(End::Drained);
            self.account(session, end, gate);
        }
        self.looked = (!self.table.is_behind(from)).then_some(from);
        self.looked.is_none()
    }

    fn end_idle(&mut self, gate: &Gate, now: Moment) -> bool {
        let idle = gate.plan.timeouts.idle;
        let (passing, settled) = match self.leaving {
            None => (idle, idle),
            Some(Leaving { since, is_succeeded: true }) if now.since(since) >= LEAVING_IDLE => {
                (Duration::ZERO, Duration::ZERO)
            }
            Some(_) => (idle.min(LEAVING_IDLE), idle),
        };
        for _ in 0..ENDED_AT_ONCE {
            let Some(session) = self.table.take_idle(passing, settled, now) else { return true };
            let end = if settled.is_zero() { End::Stopped } else { session.idle_end() };
            self.account(session, end, gate);
        }
        false
    }

    fn end(&mut self, place: Place, end: End, gate: &Gate) {
        if let Some(session) = self.table.remove(place) {
            self.account(session, end, gate);
        }
    }

    /// It is over: counted and logged.
    fn account(&self, mut session: Session, end: End, gate: &Gate) {
        session.story.ends(end);
        self.core.account_flow(gate, &session.story);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let Some((_, gate)) = self.listening.gate(&self.core) else { return };
        while let Some(session) = self.table.take_any() {
            self.account(session, End::Stopped, &gate);
        }
    }
}
