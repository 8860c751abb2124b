//! The listeners of a process: opened, served by worker threads, changed by reloads, drained at the end.
//!
//! What a new configuration needs is prepared first (sockets, certificates, roots), so that nothing is changed when something
//! cannot be had; then the snapshot is published, and then [`Proxy::apply`] opens and closes. A socket belongs to its address: a
//! listener that is renamed keeps it, and with it the connections that wait there.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::model::Listener;
use crate::model::Model;
use crate::model::Problem;
use crate::model::Protocol;
use crate::model::TlsFiles;
use crate::proxy::core::Shared;
use crate::proxy::drain;
use crate::proxy::listening::Serves;
use crate::proxy::tls::ServerTls;
use crate::proxy::upstream_tls::ClientTls;
use crate::proxy::upstream_tls::Roots;
use crate::proxy::worker;
use crate::proxy::worker::Bound;
use crate::proxy::worker::Command;
use crate::server::bind;
use crate::server::given::Given;
use crate::server::proxies::Proxies;

/// Sockets for a successor, and where port 0 led.
pub type Descriptors = (Vec<OwnedFd>, Vec<(SocketAddr, SocketAddr)>);

/// Served listeners.
pub struct Proxy {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    sockets: BTreeMap<Place, Sockets>,
    served: Vec<Served>,
    /// Addresses of UDP that a reload left, where flows may still go on: who comes back there finds nobody but us.
    left: BTreeSet<SocketAddr>,
}

/// An address as it is configured, whether it is UDP's, and which of the listeners there: several may ask for any port.
type Place = (SocketAddr, bool, usize);

struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

/// The sockets of one address, one for each worker.
struct Sockets {
    address: SocketAddr,
    list: Vec<Bound>,
}

/// A listener as it is served; another one when any of this changes.
#[derive(Clone)]
struct Served {
    name: String,
    serves: Serves,
    place: Place,
    proxies: Proxies,
    tls: Option<Arc<ServerTls>>,
    drain: Duration,
}

/// All that a configuration needs, had.
pub struct Prepared {
    sockets: BTreeMap<Place, Sockets>,
    listeners: Vec<Served>,
    tls: HashMap<Arc<str>, Arc<ClientTls>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({} listeners, {} workers)", self.served.len(), self.workers.len())
    }
}

impl Proxy {
    /// One that serves nothing yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Proxy { shared, workers: Vec::new(), sockets: BTreeMap::new(), served: Vec::new(), left: BTreeSet::new() }
    }

    /// Opens and reads what the model needs, and changes nothing.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn prepare(&self, model: &Model, given: &mut Given) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut prepared = Prepared { sockets: BTreeMap::new(), listeners: Vec::new(), tls: HashMap::new() };
        for listener in &model.listeners {
            let is_udp = Serves::of(&listener.protocol) == Serves::Datagrams;
            let is_there = |served: &&Served| (served.place.0, served.place.1) == (listener.bind, is_udp);
            let place = (listener.bind, is_udp, prepared.listeners.iter().filter(is_there).count());
            match self.sockets_for(listener, place, given) {
                Ok(sockets) => prepared.sockets.extend(sockets.map(|sockets| (place, sockets))),
                Err(problem) => problems.push(problem),
            }
            let certificates = match &listener.protocol {
                Protocol::Http(http) => http.tls.as_slice(),
                _ => &[],
            };
            let files: Vec<&TlsFiles> = certificates.iter().filter_map(|at| model.tls.get(*at)).collect();
            let tls = if files.is_empty() { Ok(None) } else { ServerTls::of(&files).map(|tls| Some(Arc::new(tls))) };
            match tls {
                Ok(tls) => prepared.listeners.push(Served::of(listener, place, tls)),
                Err(more) => problems.extend(more),
            }
        }
        let mut roots = Roots::default();
        for pool in &model.pools {
            let Some(tls) = &pool.upstream.tls else { continue };
            match ClientTls::of(tls, pool.upstream.speaks, &mut roots) {
                Ok(tls) => _ = prepared.tls.insert(pool.name.as_str().into(), Arc::new(tls)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(prepared) } else { Err(problems) }
    }

    /// Sockets that are not open yet.
    fn sockets_for(&self, listener: &Listener, place: Place, given: &mut Given) -> Result<Option<Sockets>, Problem> {
        if self.sockets.contains_key(&place) {
            return Ok(None);
        }
        let what = format!("listener {}", listener.name);
        let (bind, cores) = (listener.bind, self.shared.cores as usize);
        let list: Vec<Bound> = match place.1 {
            false => bind::streams_from(bind, cores, &what, given)?.into_iter().map(Bound::Stream).collect(),
            true => {
                let is_ours = self.left.contains(&bind);
                bind::datagrams_from(bind, cores, &what, given, is_ours)?.into_iter().map(Bound::Datagrams).collect()
            }
        };
        let address = list.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(listener.bind);
        Ok(Some(Sockets { address, list }))
    }

    /// How pools are spoken to in TLS: known before the snapshot that needs it is published.
    pub fn announce(&self, prepared: &Prepared) {
        self.shared.tls.store(Arc::new(prepared.tls.clone()));
    }

    /// Serves what was prepared, once its snapshot is published. What can be served is, whatever becomes of the rest.
    ///
    /// # Errors
    /// The first, when the system has no threads or descriptors for some of it.
    pub fn apply(&mut self, prepared: Prepared) -> io::Result<()> {
        let mut all = if prepared.listeners.is_empty() { Ok(()) } else { self.start_workers() };
        self.sockets.extend(prepared.sockets);
        // Workers have copies, and close them when they have taken who waits there: after that nobody shall come in.
        self.sockets.retain(|place, _| prepared.listeners.iter().any(|new| new.place == *place));
        let former = std::mem::take(&mut self.served);
        let (kept, closed): (Vec<Served>, Vec<Served>) =
            former.into_iter().partition(|old| prepared.listeners.iter().any(|new| new.is_served_by(old)));
        for old in &closed {
            let is_succeeded = prepared.listeners.iter().any(|new| new.place == old.place);
            if !is_succeeded && old.serves == Serves::Datagrams {
                self.left.insert(old.place.0);
            }
            self.close(old, is_succeeded);
        }
        for new in prepared.listeners {
            match kept.iter().find(|old| new.is_served_by(old)) {
                Some(old) => {
                    if let (Some(old), Some(new)) = (&old.tls, &new.tls) {
                        old.replace_by(new);
                    }
                    self.served.push(Served { tls: old.tls.clone(), ..new });
                }
                None => {
                    all = all.and(self.open(&new));
                    self.served.push(new);
                }
            }
        }
        all
    }

    fn start_workers(&mut self) -> io::Result<()> {
        for number in self.workers.len() as u32..self.shared.cores {
            let (commands, told) = mpsc::unbounded_channel();
            let thread = worker::start(number, self.shared.clone(), told)?;
            self.workers.push(Worker { commands, thread });
        }
        Ok(())
    }

    /// Every socket has a worker, and every worker one; two workers that read one socket for datagrams would divide flows.
    fn open(&self, served: &Served) -> io::Result<()> {
        let Some(sockets) = self.sockets.get(&served.place).filter(|_| !self.workers.is_empty()) else { return Ok(()) };
        let workers = if served.serves == Serves::Datagrams { 0 } else { self.workers.len() };
        for at in 0..sockets.list.len().max(workers) {
            let socket = sockets.list[at % sockets.list.len()].try_clone()?;
            let (name, serves) = (served.name.clone(), served.serves);
            let (tls, proxies) = (served.tls.clone(), served.proxies.clone());
            let worker = &self.workers[at % self.workers.len()];
            // A worker that has ended is found out when the process ends.
            _ = worker.commands.send(Command::Open { name, serves, socket, tls, proxies });
        }
        Ok(())
    }

    /// No new connections there; those that are open end in their time.
    fn close(&self, served: &Served, is_succeeded: bool) {
        for worker in &self.workers {
            let (name, drain) = (served.name.clone(), served.drain);
            _ = worker.commands.send(Command::Close { name, drain, is_succeeded });
        }
    }

    /// Each listener by name, with its real address.
    pub fn listeners(&self) -> Vec<(String, SocketAddr)> {
        let real = |served: &Served| self.sockets.get(&served.place).map_or(served.place.0, |sockets| sockets.address);
        self.served.iter().map(|served| (served.name.clone(), real(served))).collect()
    }

    /// Copies of all sockets for a successor, and where port 0 led.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn descriptors(&self) -> io::Result<Descriptors> {
        let all = self.sockets.values().flat_map(|sockets| &sockets.list);
        let copies = all.map(|socket| socket.try_clone().map(OwnedFd::from)).collect::<io::Result<_>>()?;
        let ports = self
            .sockets
            .iter()
            .filter(|((bind, ..), _)| bind.port() == 0)
            .map(|((bind, ..), sockets)| (*bind, sockets.address));
        Ok((copies, ports.collect()))
    }

    /// Takes no new connections: a successor does, on the same sockets. What is open ends in its time.
    pub fn leave(&mut self) {
        self.served.iter().for_each(|served| self.close(served, true));
    }

    /// Takes connections again: the successor has gone.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn come_back(&mut self) -> io::Result<()> {
        self.served.iter().try_for_each(|served| self.open(served))
    }

    /// Takes no new connections, lets those that are open end, for so long, and ends.
    pub async fn stop(self, drain: Duration) {
        // As in `apply`: who came in now would wait in vain.
        drop(self.sockets);
        let mut ends = Vec::new();
        for worker in &self.workers {
            let (ended, end) = oneshot::channel();
            if worker.commands.send(Command::Stop { drain, ended }).is_ok() {
                ends.push(end);
            }
        }
        for end in ends {
            // An error means that the worker has ended already.
            _ = end.await;
        }
        let threads = self.workers.into_iter().map(|worker| worker.thread);
        let joined = tokio::task::spawn_blocking(move || threads.for_each(|thread| _ = thread.join()));
        _ = joined.await;
    }

    /// After that the last connection of any listener has ended.
    pub fn drain_timeout(&self) -> Duration {
        self.served.iter().map(|served| served.drain + drain::spread(served.drain)).max().unwrap_or_default()
    }
}

impl Served {
    fn of(listener: &Listener, place: Place, tls: Option<Arc<ServerTls>>) -> Self {
        Served {
            name: listener.name.clone(),
            serves: Serves::of(&listener.protocol),
            place,
            proxies: Proxies::of(&listener.proxy_protocol_from),
            tls,
            drain: listener.drain_timeout,
        }
    }

    /// Whether what is open serves it as well: all the rest comes with the snapshot.
    fn is_served_by(&self, open: &Served) -> bool {
        (&self.name, self.serves, self.place, &self.proxies, self.tls.is_some())
            == (&open.name, open.serves, open.place, &open.proxies, open.tls.is_some())
    }
}
