//! A listener's socket on one core, and the connections that came through it.

use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::proxy::client::Door;
use crate::proxy::core::Core;
use crate::proxy::core::View;
use crate::proxy::tls::ServerTls;
use crate::server::proxies::Proxies;

/// One listener's socket on one core.
#[derive(Debug)]
pub struct Listening {
    /// The listener's name.
    pub name: String,
    /// Its side of TLS.
    pub tls: Option<Arc<ServerTls>>,
    /// Who must say whom it speaks for.
    pub proxies: Proxies,
    last: RefCell<Option<(Rc<View>, Rc<Door>)>>,
    leaves: Cell<bool>,
    told: Notify,
}

impl Listening {
    /// Of that name.
    pub fn new(name: String, tls: Option<Arc<ServerTls>>, proxies: Proxies) -> Self {
        Listening { name, tls, proxies, last: RefCell::default(), leaves: Cell::default(), told: Notify::new() }
    }

    /// What it does at this moment, and the world for it; the last it did, when the configuration no longer has it.
    pub fn now(&self, core: &Core) -> Option<(Rc<View>, Rc<Door>)> {
        let view = core.view();
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((known, _)) if Rc::ptr_eq(known, &view) => return last.clone(),
            _ => {}
        }
        if let Some(door) = view.door(&self.name) {
            *last = Some((view.clone(), door.clone()));
        }
        last.clone()
    }

    /// Takes no new work: each connection ends with what it has in hand.
    pub fn leave(&self) {
        self.leaves.set(true);
        self.told.notify_waiters();
    }

    /// Whether connections are to end.
    pub fn leaves(&self) -> bool {
        self.leaves.get()
    }

    /// Until connections are to end.
    pub async fn left(&self) {
        let told = self.told.notified();
        if !self.leaves.get() {
            told.await;
        }
    }
}
