//! The whole server, assembled: load, bind, announce, serve, reload, drain.
//!
//! `rhumb serve` and the demo run the same [`Daemon`]. One task, the [`steward`], owns what a reload changes (the sockets
//! and the files they come from) and takes one order at a time, so two reloads never overlap. It also hands the sockets
//! to a successor, and [`predecessor`] is how one gets them. [`service`] tells the service manager how we are. Nothing
//! here decides anything about answers or health.

mod knocks;
mod predecessor;
mod service;
mod steward;

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::admin::counted::Counted;
use crate::admin::doors::Doors;
use crate::admin::routes::Admin;
use crate::admin::routes::ReloadOutcome;
use crate::config::Sources;
use crate::daemon::knocks::Knocks;
use crate::daemon::predecessor::Predecessor;
use crate::daemon::service::Service;
use crate::daemon::steward::Steward;
use crate::health::belief::Standing;
use crate::metrics::Metrics;
use crate::model::Listener;
use crate::model::Problem;
use crate::model::ProxySettings;
use crate::model::ServerSettings;
use crate::model::TlsFiles;
use crate::prober;
use crate::proxy::access_log::AccessLog;
use crate::proxy::core::Shared;
use crate::proxy::counts::ProxyCounts;
use crate::proxy::service::Proxy;
use crate::responder::Transport;
use crate::runtime::clock::Clock;
use crate::runtime::keeper;
use crate::runtime::keeper::Keeper;
use crate::runtime::keeper::Part;
use crate::runtime::load;
use crate::runtime::load::Loaded;
use crate::runtime::load::load;
use crate::runtime::reloads;
use crate::runtime::reloads::AskedBy;
use crate::runtime::signals::Repeated;
use crate::runtime::swap::Published;
use crate::server;
use crate::server::Listening;
use crate::server::given::Given;
use crate::server::responding::Responding;

/// Why a daemon did not start.
#[derive(Debug)]
pub enum StartError {
    /// The files cannot be served.
    Refused(Box<load::Refused>),
    /// Sockets or certificates cannot be had; the sources are for drawing.
    Sockets(Vec<Problem>, Sources),
    /// The system refused something else, in a sentence.
    System(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = match self {
            StartError::Refused(refused) => &refused.problems,
            StartError::Sockets(problems, _) => problems,
            StartError::System(sentence) => return f.write_str(sentence),
        };
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for StartError {}

/// Why a reload changed nothing.
#[derive(Debug, Clone)]
pub enum ReloadError {
    /// The files or sockets cannot be had; every problem, and the texts for drawing them.
    Refused(Vec<Problem>, Sources),
    /// The server is stopping.
    Stopping,
}

/// A server that runs.
pub struct Daemon {
    keeper: keeper::Handle,
    listening: Vec<Listening>,
    listeners: Vec<(String, SocketAddr)>,
    admin_http: Option<SocketAddr>,
    orders: mpsc::Sender<Order>,
    reloads: Arc<reloads::Reloads>,
    steward: JoinHandle<()>,
    keeping: JoinHandle<()>,
    probing: JoinHandle<()>,
    reading: JoinHandle<()>,
    succeeded: watch::Receiver<bool>,
    service: JoinHandle<()>,
}

/// Where the sockets come from.
#[derive(Debug, Default)]
pub enum Sockets {
    /// They are opened.
    #[default]
    Opened,
    /// The service manager has opened these; what is missing among them is opened.
    Given(Vec<OwnedFd>),
    /// A process that runs hands them over. It listens beside the configuration's admin socket, or there.
    TakenOver(Option<PathBuf>),
}

/// What the steward is told.
enum Order {
    Reload(AskedBy, Option<oneshot::Sender<Result<u64, ReloadError>>>),
    Stop,
}

/// Lets others ask for a reload and wait for it.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<Order>);

impl Reloads {
    /// Reads all files again and serves them; returns the generation that queries see now.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub async fn reload(&self, by: AskedBy) -> Result<u64, ReloadError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Order::Reload(by, Some(reply))).await.map_err(|_| ReloadError::Stopping)?;
        answer.await.map_err(|_| ReloadError::Stopping)?
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::Reload(..) => "Reload",
            Order::Stop => "Stop",
        })
    }
}

impl Daemon {
    /// Loads, binds every socket, probes everything once, then answers.
    ///
    /// With last-known standings for every endpoint it answers at once, and corrects itself as probes come in.
    ///
    /// # Errors
    /// Everything that stands in the way.
    pub async fn start(config: &Path) -> Result<Daemon, StartError> {
        Daemon::start_with(config, Sockets::Opened).await
    }

    /// As [`Daemon::start`], with sockets that are open already, or those of a process that runs. That one goes on as if
    /// nothing had happened unless we answer.
    ///
    /// # Errors
    /// Everything that stands in the way.
    pub async fn start_with(config: &Path, sockets: Sockets) -> Result<Daemon, StartError> {
        // From the beginning: a SIGHUP before the first round of probes is over must not end the process.
        let (hangups, replacements) = (Repeated::hangups(), Repeated::user_signals());
        let path = config.to_owned();
        let loaded = tokio::task::spawn_blocking(move || load(&path, None))
            .await
            .map_err(|e| StartError::System(format!("reading the configuration failed: {e}")))?
            .map_err(StartError::Refused)?;
        loaded.warnings.iter().for_each(|problem| warn!("{problem}"));
        let model = loaded.snapshot.model.clone();

        let (mut given, mut predecessor) = (Given::default(), None);
        match sockets {
            Sockets::Opened => {}
            Sockets::Given(descriptors) => given = Given::by_the_service_manager(descriptors),
            Sockets::TakenOver(path) => {
                let found = Predecessor::call(path, model.admin.socket.as_deref());
                let (who, theirs) = found.await.map_err(StartError::System)?;
                (given, predecessor) = (theirs, Some(who));
            }
        }
        let problems = |problems| StartError::Sockets(problems, loaded.sources.clone());
        let tls = certificate(&model.server, &model.tls);
        let bound = server::bind_with(&model.server, tls, &mut given).map_err(problems)?;
        let clock = Clock::start();
        let (keeper, handle, jobs) = Keeper::new(loaded.snapshot.clone(), clock);
        let (counts, access_log) = (Arc::new(ProxyCounts::default()), Arc::new(AccessLog::default()));
        let cores = proxy_workers(&model.proxy);
        let shared = Arc::new(Shared::new(clock, handle.clone(), cores, counts.clone(), access_log.clone()));
        let mut proxy = Proxy::new(shared.clone());
        let proxied = proxy.prepare(&model, &mut given).map_err(problems)?;
        let mut doors = Doors::bind(&model.admin, &model.tls, predecessor.is_some()).map_err(problems)?;
        let mut knocks = model.admin.socket.as_deref().map(Knocks::prepare).transpose().map_err(StartError::System)?;

        tell_of_the_rest(&given, predecessor.is_some());
        let part = if predecessor.is_some() { Part::Silent } else { Part::Alone };
        let keeping = tokio::spawn(keeper.playing(part).run());
        let probing = tokio::spawn(prober::run(jobs, handle.events(), clock));
        let (orders, orders_in) = mpsc::channel(16);
        let reloads = reloads::Reloads::started(clock.now(), loaded.warnings.clone());
        let answer = Arc::new(Responding::new(handle.published.clone(), clock));
        let metrics = Metrics::new(handle.clone(), &answer, reloads.clone(), clock);
        metrics.proxying(counts, access_log.clone());
        let in_hand = {
            let metrics = metrics.clone();
            Arc::new(move || metrics.headroom())
        };
        let reading = tokio::spawn(prober::headroom::run(handle.published.clone(), in_hand, handle.events()));
        let sockets_now = Arc::new(ArcSwap::<Vec<Listening>>::default());
        let admin = Admin::new(handle.clone(), clock, reload_for(Reloads(orders.clone())))
            .serving(config.to_owned(), reloads.clone())
            .listening(sockets_now.clone())
            .proxying(shared)
            .counting(metrics.clone());
        let admin = Arc::new(admin);
        if predecessor.is_none() {
            doors.serve(admin.clone());
        }

        let is_known = every_standing_is_known(&handle).await;
        if !is_known {
            others_are_heard(&handle).await;
        }
        let log = answer.query_log();
        let prepared = log.prepare(model.query_log.as_ref());
        let refused = |problem| StartError::Sockets(vec![problem], loaded.sources.clone());
        log.begin(prepared.map_err(refused)?);
        let prepared = access_log.prepare(model.access_log.as_ref());
        let refused = |problem| StartError::Sockets(vec![problem], loaded.sources.clone());
        access_log.begin(prepared.map_err(refused)?);
        let cannot = |e| StartError::System(format!("cannot start the threads that answer: {e}"));
        proxy.announce(&proxied);
        // Listeners of ours that are endpoints, too, are asked already, and answer now: the rest of the round is theirs. Those of a
        // predecessor are served by it until we are ready.
        let mut proxied = Some(proxied);
        if predecessor.is_none() {
            proxied.take().map_or(Ok(()), |proxied| proxy.apply(proxied)).map_err(cannot)?;
        }
        if !is_known {
            handle.ready().await;
        }
        proxied.take().map_or(Ok(()), |proxied| proxy.apply(proxied)).map_err(cannot)?;
        let mut serving = bound.serve(answer.clone(), &tokio::runtime::Handle::current()).map_err(cannot)?;
        if let Some(mut predecessor) = predecessor {
            if let Err(why) = predecessor.release().await {
                serving.leave().await;
                serving.stop().await;
                proxy.stop(model.server.stop_timeout).await;
                return Err(StartError::System(why));
            }
            serving.alone().unwrap_or_else(|error| error!("not every socket could be opened: {error}"));
            // An error means that the keeper has ended, which it does only when it is told to.
            let _ = handle.play(Part::Alone).await;
            doors.serve(admin);
            doors.put_in_place().unwrap_or_else(|error| error!("the admin socket stays shut: {error}"));
            put_in_place(&mut knocks);
            predecessor.taken().await;
        } else {
            put_in_place(&mut knocks);
        }

        metrics.serving(serving.meter());
        let listening = serving.listening();
        sockets_now.store(Arc::new(listening.clone()));
        let admin_http = doors.http();
        let listeners = proxy.listeners();
        announce(&listening, &listeners, &loaded);
        let (service, telling) = Service::start(&handle, &reloads, serving.pulses());
        let (has_succeeded, succeeded) = watch::channel(false);
        let steward = Steward {
            config: config.to_owned(),
            answer,
            metrics,
            access_log,
            serving,
            proxy,
            sockets_now,
            doors,
            loaded,
            keeper: handle.clone(),
            clock,
            reloads: reloads.clone(),
            orders: orders_in,
            hangups,
            replacements,
            knocks,
            service,
            succeeded: has_succeeded,
        };
        let steward = tokio::spawn(steward.run());
        Ok(Daemon {
            keeper: handle,
            listening,
            listeners,
            admin_http,
            orders,
            reloads,
            steward,
            keeping,
            probing,
            reading,
            succeeded,
            service: telling,
        })
    }

    /// Where queries are taken, over every transport.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Where plain DNS is answered, with the real ports.
    pub fn dns(&self) -> Vec<SocketAddr> {
        self.listening.iter().filter(|l| l.transport == Transport::Udp).map(|l| l.address).collect()
    }

    /// The listeners of the regional tier by name, with their real addresses.
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// Where the admin API is on HTTP, with the real port.
    pub fn admin_http(&self) -> Option<SocketAddr> {
        self.admin_http
    }

    /// Where the world is found that answers queries and requests.
    pub fn published(&self) -> &Arc<Published> {
        &self.keeper.published
    }

    /// Waits for the end of the first round of probes.
    pub async fn ready(&self) {
        self.keeper.ready().await;
    }

    /// How to ask for a reload.
    pub fn reloads(&self) -> Reloads {
        Reloads(self.orders.clone())
    }

    /// How the last reload ended, and how many there were.
    pub fn reload_record(&self) -> &Arc<reloads::Reloads> {
        &self.reloads
    }

    /// Waits until another process has taken over; [`Daemon::stop`] then finishes what is in hand.
    pub async fn succeeded(&self) {
        let mut succeeded = self.succeeded.clone();
        if succeeded.wait_for(|succeeded| *succeeded).await.is_err() {
            // The steward has ended for another reason.
            std::future::pending().await
        }
    }

    /// Takes no more queries, answers those in hand, saves what is known, and ends.
    pub async fn stop(self) {
        self.keeper.is_leaving();
        self.service.abort();
        if !*self.succeeded.borrow() {
            service::stopping();
        }
        // Errors mean that a task has ended already, which is what is wanted.
        let _ = self.orders.send(Order::Stop).await;
        let _ = self.steward.await;
        self.keeper.stop().await;
        let _ = self.keeping.await;
        self.probing.abort();
        self.reading.abort();
    }
}

fn certificate<'a>(settings: &ServerSettings, tls: &'a [TlsFiles]) -> Option<&'a TlsFiles> {
    settings.tls.and_then(|index| tls.get(index))
}

/// What nobody wants, of a predecessor's sockets or those the service manager opened.
fn tell_of_the_rest(given: &Given, predecessor: bool) {
    for socket in given.left() {
        match predecessor {
            true => info!("{socket} is not taken over: the configuration does not listen there any more"),
            false => warn!(
                "the service manager opened {socket}, and no listener wants it: see `listen`, `dot`, `doh`, `doq`, and `bind` of \
                 listeners"
            ),
        }
    }
}

fn put_in_place(knocks: &mut Option<Knocks>) {
    let in_place = knocks.iter_mut().try_for_each(Knocks::put_in_place);
    in_place.unwrap_or_else(|error| error!("no other process can take over: {error}"));
}

/// Waits for the first probe of everything but our own listeners, and not after the round is said to be over.
async fn others_are_heard(keeper: &keeper::Handle) {
    /// Probes take longer.
    const LOOK: std::time::Duration = std::time::Duration::from_millis(10);
    let heard = async {
        // An error means that the keeper has ended, which is found out below.
        while keeper.ask(|ledger| ledger.others_are_heard()).await.is_ok_and(|heard| !heard) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = heard => {}
        () = keeper.ready() => {}
    }
}

async fn every_standing_is_known(keeper: &keeper::Handle) -> bool {
    let known = keeper.ask(|ledger| {
        let model = ledger.model();
        let ids = model.pools.iter().flat_map(|pool| pool.endpoints.clone());
        ids.into_iter().all(|id| ledger.belief(crate::model::EndpointId(id)).counted() != Standing::Unknown)
    });
    known.await.unwrap_or(false)
}

/// Reloads for whoever asks at the admin API.
fn reload_for(reloads: Reloads) -> impl Fn(String) -> ReloadOutcome + Send + Sync + 'static {
    move |name| {
        let reloads = reloads.clone();
        Box::pin(async move { reloads.reload(AskedBy::Name(name)).await.map_err(ReloadError::problems) })
    }
}

impl ReloadError {
    /// What is wrong, as problems.
    pub fn problems(self) -> Vec<Problem> {
        match self {
            ReloadError::Refused(problems, _) => problems,
            ReloadError::Stopping => vec![Problem::error("E0405", None, "the server is stopping")],
        }
    }
}

/// How many threads serve listeners.
fn proxy_workers(settings: &ProxySettings) -> u32 {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    (if settings.workers == 0 { cores() } else { settings.workers }) as u32
}

fn announce(listening: &[Listening], listeners: &[(String, SocketAddr)], loaded: &Loaded) {
    for socket in listening {
        info!("answering DNS over {} on {}", socket.transport.words(), socket.address);
    }
    for (name, address) in listeners {
        let of_it = loaded.snapshot.model.listeners.iter().find(|listener| listener.name == *name);
        info!("listener {name} on {} {address}", of_it.map_or("", Listener::protocol_word));
    }
    info!("serving {}", loaded.snapshot.inventory());
}
