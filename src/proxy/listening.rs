//! A listener's socket on one core, and the connections that came through it.

use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::model::Protocol;
use crate::proxy::client::Door;
use crate::proxy::core::Core;
use crate::proxy::core::View;
use crate::proxy::flow::gate::Gate;
use crate::proxy::tls::ServerTls;
use crate::server::proxies::Proxies;

/// Whether connections may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Open,
    /// No new ones; those that wait are taken.
    Closing,
    /// None at all: another takes those that wait.
    Succeeded,
    /// Nobody waits any more.
    Closed,
}

/// What is spoken at a listener, as far as its socket and the first step with a connection go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// HTTP over TCP.
    Requests,
    /// Whatever goes over TCP.
    Connections,
    /// Whatever goes over UDP.
    Datagrams,
}

impl Serves {
    /// What that is.
    pub fn of(protocol: &Protocol) -> Self {
        match protocol {
            Protocol::Http(_) => Serves::Requests,
            Protocol::Tcp(_) | Protocol::TlsPassthrough(_) => Serves::Connections,
            Protocol::Udp(_) => Serves::Datagrams,
        }
    }
}

/// What a listener did when it was looked at last, and the world for it.
#[derive(Debug)]
struct Last<D>(RefCell<Option<(Rc<View>, Rc<D>)>>);

impl<D> Default for Last<D> {
    fn default() -> Self {
        Last(RefCell::default())
    }
}

impl<D> Last<D> {
    fn now(&self, core: &Core, find: impl Fn(&View) -> Option<&Rc<D>>) -> Option<(Rc<View>, Rc<D>)> {
        let view = core.view();
        let mut last = self.0.borrow_mut();
        match &*last {
            Some((known, _)) if Rc::ptr_eq(known, &view) => return last.clone(),
            _ => {}
        }
        if let Some(found) = find(&view) {
            *last = Some((view.clone(), found.clone()));
        }
        last.clone()
    }
}

/// One listener's socket on one core.
#[derive(Debug)]
pub struct Listening {
    /// The listener's name.
    pub name: String,
    /// Its side of TLS.
    pub tls: Option<Arc<ServerTls>>,
    /// Who must say whom it speaks for.
    pub proxies: Proxies,
    /// What is spoken there.
    pub serves: Serves,
    door: Last<Door>,
    gate: Last<Gate>,
    stage: Cell<Stage>,
    /// An operator took its region out: who comes is served, and told to go.
    sends_away: Cell<bool>,
    told: Notify,
}

impl Listening {
    /// Of that name.
    pub fn new(name: String, serves: Serves, tls: Option<Arc<ServerTls>>, proxies: Proxies) -> Self {
        Listening {
            name,
            serves,
            tls,
            proxies,
            door: Last::default(),
            gate: Last::default(),
            stage: Cell::default(),
            sends_away: Cell::default(),
            told: Notify::new(),
        }
    }

    /// What it does at this moment, and the world for it; the last it did, when the configuration no longer has it. None of
    /// a listener at L4.
    pub fn now(&self, core: &Core) -> Option<(Rc<View>, Rc<Door>)> {
        self.door.now(core, |view| view.door(&self.name))
    }

    /// The same of a listener at L4.
    pub fn gate(&self, core: &Core) -> Option<(Rc<View>, Rc<Gate>)> {
        self.gate.now(core, |view| view.gate(&self.name))
    }

    /// Looks at the world, for those who come after its listener has left the configuration, and for those who wait here: the
    /// region may have been taken out, or be back.
    pub fn look(&self, core: &Core) {
        let seen = match self.serves {
            Serves::Requests => self.now(core).map(|(view, door)| (view, door.front.listener.region)),
            Serves::Connections | Serves::Datagrams => {
                self.gate(core).map(|(view, gate)| (view, gate.plan.listener.region))
            }
        };
        let Some((view, region)) = seen else { return };
        let sends_away = view.world.health.is_withdrawn(region);
        if self.sends_away.replace(sends_away) != sends_away {
            self.told.notify_waiters();
        }
    }

    /// Takes no new connections: each that is open ends with what it has in hand. Those that wait are left to another who
    /// goes on with the socket, if there is one.
    pub fn close(&self, is_succeeded: bool) {
        self.stage.set(if is_succeeded { Stage::Succeeded } else { Stage::Closing });
        self.told.notify_waiters();
    }

    /// Whether another goes on with the socket.
    pub fn is_succeeded(&self) -> bool {
        self.stage.get() == Stage::Succeeded
    }

    /// Nobody comes in any more.
    pub fn accepted_all(&self) {
        self.stage.set(Stage::Closed);
    }

    /// Whether nobody comes in any more.
    pub fn has_accepted_all(&self) -> bool {
        self.stage.get() == Stage::Closed
    }

    fn is_closed(&self) -> bool {
        self.stage.get() != Stage::Open
    }

    /// Whether connections are to end.
    pub fn leaves(&self) -> bool {
        self.is_closed() || self.sends_away.get()
    }

    /// Until nobody may come in any more.
    pub async fn closed(&self) {
        while let Some(told) = (!self.is_closed()).then(|| self.told.notified()) {
            told.await;
        }
    }

    /// Until connections are to end. One that has asked nothing yet may ask first where others may still come in: it would only
    /// come again.
    pub async fn left(&self, has_asked: bool) {
        let is_to_leave = || self.is_closed() || has_asked && self.sends_away.get();
        while let Some(told) = (!is_to_leave()).then(|| self.told.notified()) {
            told.await;
        }
    }
}
