//! One endpoint as one core knows it. It outlives snapshots: a reload closes no connection that is still wanted.

use std::cell::Cell;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use bytes::BytesMut;

use crate::balance::live::Live;
use crate::balance::peak_ewma::PeakEwma;
use crate::model::Moment;
use crate::model::Upstream;
use crate::proxy::cells::EndpointCell;
use crate::proxy::stream::Stream;
use crate::proxy::upstream::connect::Way;
use crate::proxy::upstream::h2_connections::Connections;
use crate::proxy::upstream::queue::Queue;
use crate::proxy::upstream::tunnels::Tunnels;
use crate::regional::choice::Admission;

/// An endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: SocketAddr,
    /// What all cores know of it.
    pub live: Arc<Live>,
    /// How connections to it are made.
    pub way: Way,
    /// Connections over HTTP/2.
    pub connections: Connections,
    /// Whether it speaks HTTP/2, once that was found out.
    pub speaks_h2: Cell<Option<bool>>,
    /// Those who wait for its pool.
    pub queue: Arc<Queue>,
    /// What is counted of it.
    pub cell: Arc<EndpointCell>,
    /// Requests that wait for the HTTP/2 connection that is being made.
    pub opening: Rc<tokio::sync::Semaphore>,
    /// Upgraded connections, and flows at L4.
    pub tunnels: Rc<Tunnels>,
    idle: RefCell<Vec<Idle>>,
    latency: Cell<PeakEwma>,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Moment,
}

impl Endpoint {
    /// One that nothing is known of yet.
    pub fn new(address: SocketAddr, live: Arc<Live>, way: Way, (queue, cell): (Arc<Queue>, Arc<EndpointCell>)) -> Self {
        Endpoint {
            address,
            live,
            way,
            queue,
            cell,
            connections: Connections::default(),
            speaks_h2: Cell::default(),
            opening: Rc::new(tokio::sync::Semaphore::new(1)),
            tunnels: Rc::default(),
            idle: RefCell::default(),
            latency: Cell::default(),
        }
    }

    /// The same endpoint reached in another way: what goes on through the former one has its end with this one's.
    pub fn instead_of(self, former: &Endpoint) -> Self {
        Endpoint { tunnels: former.tunnels.clone(), ..self }
    }

    /// A connection that waits for a request, the one that was used last: the others age and are closed.
    pub fn take_idle(&self) -> Option<Stream> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            if is_alive(&mut idle.stream) {
                return Some(idle.stream);
            }
        }
    }

    /// A connection that has served a request.
    pub fn keep(&self, stream: Stream, upstream: &Upstream, now: Moment) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < upstream.connections_max as usize && !self.tunnels.are_to_leave() {
            idle.push(Idle { stream, since: now });
        }
    }

    /// Closes connections that wait longer than that, and those the endpoint has closed.
    pub fn close_idle(&self, longest: Duration, now: Moment) {
        self.idle.borrow_mut().retain_mut(|idle| now.since(idle.since) < longest && is_alive(&mut idle.stream));
        self.connections.close_idle(longest, now);
    }

    /// Closes whatever waits: connections to the endpoint are not to be used for anything new.
    pub fn retire(&self) {
        self.idle.borrow_mut().clear();
        self.connections.retire();
    }

    /// It is no longer wanted, or was taken out: what waits is closed, requests in hand come to their end, and what might never
    /// end has its time.
    pub fn leave(&self) {
        self.retire();
        self.tunnels.leave();
    }

    /// How many connections wait.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// What it takes to answer, in microseconds.
    #[inline]
    pub fn latency_micros(&self, now: Moment) -> f64 {
        self.latency.get().micros(now)
    }

    /// A response came after so long, or none did.
    #[inline]
    pub fn took(&self, length: Duration, passed: bool, now: Moment) {
        let latency = self.latency.get();
        self.latency.set(if passed { latency.after(length, now) } else { latency.after_failure(length, now) });
    }
}

/// Whether nothing has come, not even the end: costs a call only when something has.
fn is_alive(stream: &mut Stream) -> bool {
    let mut room = BytesMut::with_capacity(64);
    matches!(stream.poll_fill(&mut room, &mut Context::from_waker(Waker::noop())), Poll::Pending)
}

/// A request at an endpoint; it is in flight until this is dropped.
#[derive(Debug)]
pub struct InFlight {
    /// Where it is.
    pub endpoint: Rc<Endpoint>,
}

impl InFlight {
    /// It begins, where there is room for it below `most`; of one that is spared the breaker is told, and not heard.
    ///
    /// # Errors
    /// What the endpoint says instead.
    #[inline]
    pub fn begin(endpoint: &Rc<Endpoint>, most: u32, is_spared: bool, now: Moment) -> Result<Self, Admission> {
        if !endpoint.live.begins(most) {
            return Err(Admission::Full);
        }
        // Asked last: the one who is let in after a rest is its trial.
        if !endpoint.live.ask(now) && !is_spared {
            endpoint.live.ends();
            return Err(Admission::No);
        }
        endpoint.cell.request_begun();
        Ok(InFlight { endpoint: endpoint.clone() })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.cell.request_ended();
        self.endpoint.live.ends();
        self.endpoint.queue.freed();
    }
}
