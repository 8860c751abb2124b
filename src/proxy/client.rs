//! Who is at the other end of a client's connection, and where it came in.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::balance::key::ClientKey;
use crate::balance::rate::Rates;
use crate::model::Moment;
use crate::model::PoolId;
use crate::proxy::cells::ListenerCell;
use crate::proxy::cells::RouteCell;
use crate::proxy::core::Core;
use crate::proxy::decide::Caller;
use crate::proxy::story::Story;
use crate::proxy::tls::Presented;
use crate::regional::front::Front;
use crate::route::client::is_in;
use crate::route::forwarded::Words;

/// The other end of a connection, as all requests on it see it.
#[derive(Debug)]
pub struct Client {
    /// Who it is: the peer, or whom the peer's PROXY header speaks for.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// Whether it is one of `trusted_proxies`.
    pub is_trusted: bool,
    /// What backends are told of all its requests.
    pub words: Words,
    /// What was shown to it.
    pub tls: Option<Secured>,
    /// Where it came in.
    pub door: Rc<Door>,
}

/// A client's TLS.
#[derive(Debug, Clone)]
pub struct Secured {
    /// Which certificate it was shown.
    pub presented: Presented,
    /// `TLSv1.3`.
    pub version: &'static str,
}

impl Client {
    /// Of a connection from there.
    pub fn new(peer: SocketAddr, local: SocketAddr, tls: Option<Secured>, door: Rc<Door>) -> Self {
        let is_trusted = is_in(&door.front.http().trusted_proxies, peer.ip());
        Client { peer, local, is_trusted, words: Words::of(peer.ip()), tls, door }
    }

    /// As far as requests are decided by it.
    #[inline]
    pub fn caller(&self) -> Caller<'_> {
        let presented = self.tls.as_ref().map(|tls| &tls.presented);
        Caller { peer: self.peer.ip(), is_trusted: self.is_trusted, words: &self.words, presented }
    }

    /// The same by another configuration.
    pub fn at(&self, door: Rc<Door>) -> Self {
        Client::new(self.peer, self.local, self.tls.clone(), door)
    }
}

/// A route by its place, and a pool: requests are counted by both.
pub type Counted = (Option<usize>, Option<PoolId>);

/// A listener as one core serves it, by one snapshot.
#[derive(Debug)]
pub struct Door {
    /// What it does.
    pub front: Arc<Front>,
    /// What is counted of it.
    pub cell: Arc<ListenerCell>,
    /// What all cores bear together.
    pub bounds: Arc<Bounds>,
    /// What is counted of its routes, by route and pool.
    pub routes: RefCell<HashMap<Counted, Arc<RouteCell>>>,
}

/// What a listener bears, over all cores.
#[derive(Debug, Default)]
pub struct Bounds {
    requests: AtomicU32,
    connections: AtomicU32,
    /// Locked for some nanoseconds, and only where a rate was asked for.
    rates: Option<Mutex<Rates>>,
}

/// One of what is bounded; gone when it is dropped.
#[derive(Debug)]
pub struct Held(Arc<Bounds>, fn(&Bounds) -> &AtomicU32);

impl Bounds {
    /// Of a listener that lets each client ask so often.
    pub fn new(client_rate: Option<u32>) -> Self {
        // A client may ask for a page and all that is on it at once.
        let rates = client_rate.map(|rate| Mutex::new(Rates::new(rate, rate)));
        Bounds { rates, ..Bounds::default() }
    }

    /// A connection, unless there are so many.
    pub fn connection(self: &Arc<Self>, most: u32) -> Option<Held> {
        self.hold(|bounds| &bounds.connections, most)
    }

    /// How long that client should wait, when it asks too often.
    #[inline]
    pub fn asks_too_often(&self, client: IpAddr, now: Moment) -> Option<Duration> {
        let rates = self.rates.as_ref()?;
        let key = ClientKey::new(0, client, if client.is_ipv4() { 32 } else { 64 }).constant();
        rates.lock().unwrap_or_else(PoisonError::into_inner).ask(key, now).err()
    }

    fn hold(self: &Arc<Self>, which: fn(&Bounds) -> &AtomicU32, most: u32) -> Option<Held> {
        let was = which(self).fetch_add(1, Ordering::Relaxed);
        let held = Held(self.clone(), which);
        (was < most).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Door {
    /// A request in hand, unless there are too many.
    #[inline]
    pub fn enter(&self) -> Option<Held> {
        self.bounds.hold(|bounds| &bounds.requests, self.front.listener.limits.requests_max)
    }

    /// A request is over.
    ///
    /// Its pool is the one that it was sent to: by now its id may be another pool's, in another configuration.
    pub fn count(&self, core: &Core, story: &Story) {
        let (route, pool) = (story.route(), story.pool());
        let counted: Counted = (route, pool.map(|pool| pool.id));
        let add = |cell: &RouteCell| {
            cell.add(story.status());
            if story.is_sent_on() {
                cell.sent_on();
            }
        };
        if let Some(cell) = self.routes.borrow().get(&counted) {
            return add(cell);
        }
        let pool_name = pool.map(|pool| &*pool.name);
        let route_name = route.and_then(|route| self.front.plan.routes().get(route)).map(|route| route.name.as_str());
        let worker = core.number as usize;
        let cell = core.shared.counts.route(worker, &self.front.listener.name, route_name, pool_name);
        add(&cell);
        self.routes.borrow_mut().insert(counted, cell);
    }

    /// How long that client should wait, when it asks too often.
    #[inline]
    pub fn asks_too_often(&self, client: IpAddr, now: Moment) -> Option<Duration> {
        self.bounds.asks_too_often(client, now)
    }
}
