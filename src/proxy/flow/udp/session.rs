//! One flow over UDP: a client, and a socket to the endpoint that it was given to.
//!
//! ```text
//!  UNLINKED ──an endpoint is chosen──→ LINKED ──it answers──→ ANSWERED
//!     ▲                                  │
//!     └──────── refused ─────────────────┘
//! ```
//!
//! A connected socket of its own tells whom an answer is for, and hears when nobody listens there (ICMP). As long as nothing has
//! come back the flow is nobody's yet: the next datagram chooses again, and not the same. After that the endpoint keeps it, through
//! restarts, too.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::net::SocketFlags;
use rustix::net::SocketType;

use crate::balance::breaker::Outcome;
use crate::balance::live::Failure;
use crate::model::Moment;
use crate::proxy::accept::Counted;
use crate::proxy::cells;
use crate::proxy::client::Held;
use crate::proxy::core::Core;
use crate::proxy::flow::story::End;
use crate::proxy::flow::story::FlowStory;
use crate::proxy::flow::udp::stays::Stay;
use crate::proxy::upstream::endpoint::InFlight;
use crate::proxy::upstream::pool::Pool;
use crate::server::batch::parcels::Address;

/// Endpoints that are tried for a flow before the first is tried again.
pub const ATTEMPTS_MAX: usize = 4;

/// A flow.
#[derive(Debug)]
pub struct Session {
    /// Where answers go.
    pub address: Address,
    /// Its client.
    pub client: SocketAddr,
    /// Its endpoint.
    pub link: Option<Link>,
    /// For the log.
    pub story: FlowStory,
    /// It goes on after it was answered.
    pub is_settled: bool,
    tried: [u32; ATTEMPTS_MAX],
    tries: usize,
    /// The pool of which these are places.
    tried_of: Option<Rc<Pool>>,
    _held: Held,
    _counted: Counted,
}

/// A flow's place at an endpoint.
#[derive(Debug)]
pub struct Link {
    /// Connected to it.
    pub socket: OwnedFd,
    /// The pool.
    pub pool: Rc<Pool>,
    /// The endpoint's place there.
    pub at: usize,
    /// Counts there.
    pub in_flight: InFlight,
    /// How long it may stay.
    pub stay: Rc<Stay>,
    /// Since when.
    pub began: Moment,
    /// Something came back.
    pub has_answered: bool,
    /// Nothing came back since it was refused.
    pub is_refused: bool,
}

impl Session {
    /// Of that client.
    pub fn new(address: Address, client: SocketAddr, held: Held, counted: Counted, now: Moment) -> Self {
        Session {
            address,
            client,
            link: None,
            story: FlowStory::begin("udp", client, now),
            is_settled: false,
            tried: [0; ATTEMPTS_MAX],
            tries: 0,
            tried_of: None,
            _held: held,
            _counted: counted,
        }
    }

    /// Those of the pool that refused it.
    pub fn tried(&self, pool: &Rc<Pool>) -> &[u32] {
        let is_same = self.tried_of.as_ref().is_some_and(|of| Rc::ptr_eq(of, pool));
        if is_same { &self.tried[..self.tries] } else { &[] }
    }

    /// They may be asked again.
    pub fn forgets_tried(&mut self) {
        self.tries = 0;
    }

    /// Something came back, for the first time or for the first time since it was refused.
    #[cold]
    pub fn answered_again(&mut self, core: &Core, now: Moment) {
        let Some(link) = &mut self.link else { return };
        if !link.has_answered {
            link.in_flight.endpoint.took(now.since(link.began), true, now);
        }
        // What began before a rest tells nothing of what is after it.
        let began = if link.is_refused { now } else { link.began };
        (link.has_answered, link.is_refused) = (true, false);
        core.passed((&link.pool, link.at), began);
        self.forgets_tried();
    }

    /// Nobody listens at its endpoint: told once for each time that it is so. Whether another may be chosen.
    #[cold]
    pub fn refused(&mut self, core: &Core, why: &io::Error, now: Moment) -> bool {
        let Some(link) = &mut self.link else { return true };
        if !std::mem::replace(&mut link.is_refused, true) {
            let began = if link.has_answered { now } else { link.began };
            not_reached(core, (&link.pool, link.at), why, began, now);
            link.in_flight.endpoint.took(now.since(began), false, now);
        }
        if !link.has_answered {
            let (pool, at) = (link.pool.clone(), link.at);
            self.link = None;
            self.was_tried(pool, at);
        }
        self.link.is_none()
    }

    /// The endpoint at that place will not do.
    pub fn was_tried(&mut self, pool: Rc<Pool>, at: usize) {
        if self.tried(&pool).len() == ATTEMPTS_MAX || self.tried(&pool).is_empty() {
            self.tries = 0;
        }
        self.tried[self.tries] = at as u32;
        self.tries += 1;
        self.tried_of = Some(pool);
    }

    /// Why it must end now, if it must.
    pub fn over(&self) -> Option<End> {
        self.link.as_ref().and_then(|link| link.stay.over())
    }

    /// How it has ended when nothing more came.
    pub fn idle_end(&self) -> End {
        if self.link.is_some() { End::Closed } else { End::NotConnected { too_late: false } }
    }
}

/// An endpoint could not be reached, or said that nobody is there.
pub fn not_reached(core: &Core, (pool, at): (&Rc<Pool>, usize), why: &io::Error, began: Moment, now: Moment) {
    pool.cell.failed(cells::Failure::Connect);
    let view = core.view();
    // Of a pool that a reload has changed nobody would know what that place is.
    if view.pool(pool.plan.id).is_some_and(|now| Rc::ptr_eq(now, pool)) {
        let met: &dyn std::fmt::Display = match why.kind() {
            io::ErrorKind::ConnectionRefused => &"port unreachable",
            _ => why,
        };
        core.failed(&view, (pool, at), &Failure { outcome: Outcome::Failed, met, began }, now);
    }
}

/// Why there is no socket to an endpoint.
#[derive(Debug)]
pub enum NoSocket {
    /// The system has none left: descriptors, ports, memory.
    Shortage(io::Error),
    /// There is no way there.
    NoWay(io::Error),
}

/// A socket that is connected to an endpoint.
pub fn connect(address: SocketAddr) -> Result<OwnedFd, NoSocket> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let open = || {
        let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
        rustix::net::connect(&socket, &address)?;
        Ok(socket)
    };
    open().map_err(|error: Errno| match error {
        // EAGAIN: every port of net.ipv4.ip_local_port_range is taken.
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::AGAIN | Errno::ADDRNOTAVAIL => {
            NoSocket::Shortage(error.into())
        }
        _ => NoSocket::NoWay(error.into()),
    })
}
