//! Which sessions have something to say, of tens of thousands.
//!
//! An epoll(7) of our own inside the runtime's: one wait tells of up to [`READY_MAX`] sessions, and a session costs neither a task
//! nor a place with the runtime. It tells of a session for as long as something waits there, so that nothing is lost when a
//! session that says much is left for the next round.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use rustix::event::Timespec;
use rustix::event::epoll;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::proxy::flow::udp::table::Place;

/// Sessions of one round.
pub const READY_MAX: usize = 64;

/// Has the runtime tell when there is something to read; safe, since what owns its descriptor keeps it.
///
/// # Errors
/// When the system bears no more of them.
#[expect(deprecated, reason = "for types that do not own their descriptor; its successor is unsafe for all")]
pub fn watched<T: AsRawFd + Into<OwnedFd>>(owner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, Interest::READABLE)
}

/// The sockets of all sessions.
pub struct Ready {
    epoll: AsyncFd<OwnedFd>,
    events: Vec<epoll::Event>,
}

impl Ready {
    /// Of none.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let epoll = watched(epoll::create(epoll::CreateFlags::CLOEXEC)?)?;
        Ok(Ready { epoll, events: Vec::with_capacity(READY_MAX) })
    }

    /// Tells of that socket from now on, until it is closed.
    ///
    /// # Errors
    /// When the system has no memory, or bears no more (`fs.epoll.max_user_watches`).
    pub fn add(&self, socket: impl AsFd, place: Place) -> io::Result<()> {
        let data = epoll::EventData::new_u64(place.number());
        Ok(epoll::add(self.epoll.get_ref(), socket, data, epoll::EventFlags::IN)?)
    }

    /// The sessions that have something; then [`Ready::has_all`] is to be told.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.epoll.poll_read_ready(cx))?;
        self.events.clear();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let room = rustix::buffer::spare_capacity(&mut self.events);
        let waited = epoll::wait(self.epoll.get_ref(), room, Some(&at_once));
        if let Ok(0) = waited {
            guard.clear_ready();
            // Also asks to be woken.
            return self.epoll.poll_read_ready(cx).map_ok(|_| ());
        }
        Poll::Ready(waited.map(|_| ()).map_err(io::Error::from))
    }

    /// How many were told of.
    pub fn count(&self) -> usize {
        self.events.len()
    }

    /// One of them.
    pub fn place(&self, at: usize) -> Place {
        Place::of(self.events[at].data.u64())
    }

    /// Whether all that they had was taken; where it was, and there was room for more sessions than there were, the next wait
    /// is for something new.
    pub fn has_all(&mut self, was_taken: bool, cx: &mut Context<'_>) {
        if was_taken
            && self.events.len() < READY_MAX
            && let Poll::Ready(Ok(mut guard)) = self.epoll.poll_read_ready(cx)
        {
            guard.clear_ready();
        }
    }
}
