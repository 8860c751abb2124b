//! The whole server, assembled: load, bind, announce, serve, reload, drain.
//!
//! `rhumb serve` and the demo run the same [`Daemon`]. One task, the *steward*, owns what a reload changes (the sockets
//! and the files they come from) and takes one order at a time, so two reloads never overlap. Nothing here decides
//! anything about answers or health.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::admin::doors::Doors;
use crate::admin::routes::Admin;
use crate::admin::routes::ReloadOutcome;
use crate::config::Sources;
use crate::health::belief::Standing;
use crate::health::journal::Turn;
use crate::metrics::Metrics;
use crate::model::Problem;
use crate::model::ServerSettings;
use crate::model::Severity;
use crate::model::TlsFiles;
use crate::prober;
use crate::responder::Transport;
use crate::runtime::clock::Clock;
use crate::runtime::keeper;
use crate::runtime::keeper::Keeper;
use crate::runtime::load;
use crate::runtime::load::Loaded;
use crate::runtime::load::load;
use crate::runtime::reloads;
use crate::runtime::reloads::AskedBy;
use crate::runtime::signals::Hangups;
use crate::runtime::watch::Stamps;
use crate::runtime::watch::Watch;
use crate::server;
use crate::server::Listening;
use crate::server::Server;
use crate::server::answered::Answered;
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
    admin_http: Option<SocketAddr>,
    orders: mpsc::Sender<Order>,
    reloads: Arc<reloads::Reloads>,
    steward: JoinHandle<()>,
    keeping: JoinHandle<()>,
    probing: JoinHandle<()>,
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
        // From the beginning: a SIGHUP before the first round of probes is over must not end the process.
        let hangups = Hangups::listen();
        let path = config.to_owned();
        let loaded = tokio::task::spawn_blocking(move || load(&path, None))
            .await
            .map_err(|e| StartError::System(format!("reading the configuration failed: {e}")))?
            .map_err(StartError::Refused)?;
        loaded.warnings.iter().for_each(|problem| warn!("{problem}"));
        let model = loaded.snapshot.model.clone();
        let sockets = |problems| StartError::Sockets(problems, loaded.sources.clone());
        let bound = server::bind(&model.server, certificate(&model.server, &model.tls)).map_err(sockets)?;
        let mut doors = Doors::bind(&model.admin, &model.tls, false).map_err(sockets)?;

        let clock = Clock::start();
        let (keeper, handle, jobs) = Keeper::new(loaded.snapshot.clone(), clock);
        let keeping = tokio::spawn(keeper.run());
        let probing = tokio::spawn(prober::run(jobs, handle.events(), clock));
        let (orders, orders_in) = mpsc::channel(16);
        let reloads = reloads::Reloads::started(clock.now(), loaded.warnings.clone());
        let answer = Arc::new(Responding::new(handle.published.clone(), clock));
        let metrics = Metrics::new(handle.clone(), answer.answered().clone(), reloads.clone(), clock);
        let sockets_now = Arc::new(ArcSwap::<Vec<Listening>>::default());
        let admin = Admin::new(handle.clone(), clock, reload_for(Reloads(orders.clone())))
            .serving(config.to_owned(), reloads.clone())
            .listening(sockets_now.clone())
            .counting(metrics.clone());
        doors.serve(Arc::new(admin));

        if !every_standing_is_known(&handle).await {
            handle.ready().await;
        }
        let serving = bound
            .serve(answer.clone(), &tokio::runtime::Handle::current())
            .map_err(|e| StartError::System(format!("cannot start the threads that answer: {e}")))?;
        metrics.serving(serving.meter());
        let listening = serving.listening();
        sockets_now.store(Arc::new(listening.clone()));
        announce(&listening, &loaded);
        let admin_http = doors.http();
        let config = config.to_owned();
        let (keeper, record) = (handle.clone(), reloads.clone());
        let steward = Steward {
            config,
            serving,
            answered: answer.answered().clone(),
            sockets_now,
            doors,
            loaded,
            keeper,
            clock,
            reloads: record,
            orders: orders_in,
            hangups,
        };
        let steward = tokio::spawn(steward.run());
        Ok(Daemon { keeper: handle, listening, admin_http, orders, reloads, steward, keeping, probing })
    }

    /// Where queries are taken, over every transport.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Where plain DNS is answered, with the real ports.
    pub fn dns(&self) -> Vec<SocketAddr> {
        self.listening.iter().filter(|l| l.transport == Transport::Udp).map(|l| l.address).collect()
    }

    /// Where the admin API is on HTTP, with the real port.
    pub fn admin_http(&self) -> Option<SocketAddr> {
        self.admin_http
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

    /// Takes no more queries, answers those in hand, saves what is known, and ends.
    pub async fn stop(self) {
        // Errors mean that a task has ended already, which is what is wanted.
        let _ = self.orders.send(Order::Stop).await;
        let _ = self.steward.await;
        self.keeper.stop().await;
        let _ = self.keeping.await;
        self.probing.abort();
    }
}

fn certificate<'a>(settings: &ServerSettings, tls: &'a [TlsFiles]) -> Option<&'a TlsFiles> {
    settings.tls.and_then(|index| tls.get(index))
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

fn announce(listening: &[Listening], loaded: &Loaded) {
    for socket in listening {
        info!("answering DNS over {} on {}", socket.transport.words(), socket.address);
    }
    info!("serving {}", loaded.snapshot.inventory());
}

/// Owns what a reload changes, and takes one order at a time.
struct Steward {
    config: PathBuf,
    serving: Server<Responding>,
    answered: Arc<Answered>,
    /// What `serving` listens on, for those who ask.
    sockets_now: Arc<ArcSwap<Vec<Listening>>>,
    doors: Doors,
    loaded: Loaded,
    keeper: keeper::Handle,
    clock: Clock,
    reloads: Arc<reloads::Reloads>,
    orders: mpsc::Receiver<Order>,
    hangups: Hangups,
}

impl Steward {
    async fn run(mut self) {
        let mut watch = Watch::new();
        // What the files were when they were last tried, served or not: a broken file is not tried again and again.
        let mut tried: Stamps = self.loaded.stamps.clone();
        loop {
            let order = tokio::select! {
                order = self.orders.recv() => order.unwrap_or(Order::Stop),
                () = self.hangups.next() => Order::Reload(AskedBy::Signal, None),
                path = watch.changed(&tried) => Order::Reload(AskedBy::File(path), None),
            };
            match order {
                Order::Stop => break,
                Order::Reload(by, reply) => {
                    let outcome = self.reload(by, &mut tried).await;
                    if let Some(reply) = reply {
                        // Who asked may have gone.
                        let _ = reply.send(outcome);
                    }
                }
            }
        }
        self.serving.stop().await;
    }

    /// Reloads, and tells of it: in the log, among the turns, and in the cell that `status` and the metrics show.
    async fn reload(&mut self, by: AskedBy, tried: &mut Stamps) -> Result<u64, ReloadError> {
        info!("reloading: {by}");
        let before = self.reloads.last().generation;
        let outcome = self.try_reload(tried).await;
        let now = self.clock.now();
        match &outcome {
            Ok(generation) => {
                info!(generation, "reloaded");
                // The record first: whoever follows the turns looks it up when told.
                let turn = self.turn(before, format!("generation {generation}"), *generation, &by);
                self.reloads.applied(now, by, *generation, self.loaded.warnings.clone());
                self.keeper.note(turn).await;
                tokio::spawn(self.answered.clone().settled());
            }
            Err(ReloadError::Refused(problems, _)) => {
                for problem in problems {
                    match problem.severity {
                        Severity::Error => error!("{problem}"),
                        Severity::Warning => warn!("{problem}"),
                    }
                }
                error!("reload refused: the running configuration is unchanged");
                let mut turn = self.turn(before, "refused".to_owned(), before, &by);
                let errors = || problems.iter().filter(|problem| problem.severity == Severity::Error);
                if let Some(first) = errors().next() {
                    turn.reason = match errors().count() - 1 {
                        0 => format!("{by}: {first}"),
                        more => format!("{by}: {first}; and {more} more"),
                    };
                }
                self.reloads.refused(now, by, problems.clone());
                self.keeper.note(turn).await;
            }
            Err(ReloadError::Stopping) => {}
        }
        outcome
    }

    fn turn(&self, before: u64, to: String, serving: u64, by: &AskedBy) -> Turn {
        Turn {
            at: self.clock.now(),
            kind: "config",
            name: self.config.display().to_string(),
            from: format!("generation {before}").into(),
            to: to.into(),
            after: 0,
            reason: by.to_string(),
            effective: format!("generation {serving}").into(),
        }
    }

    /// All or nothing: files, then sockets, then the world.
    async fn try_reload(&mut self, tried: &mut Stamps) -> Result<u64, ReloadError> {
        let loaded = tokio::task::block_in_place(|| load(&self.config, Some(&self.loaded)));
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(refused) => {
                *tried = refused.stamps;
                return Err(ReloadError::Refused(refused.problems, refused.sources));
            }
        };
        *tried = loaded.stamps.clone();
        let model = loaded.snapshot.model.clone();
        let refused = |problems| ReloadError::Refused(problems, loaded.sources.clone());
        let doors = self.doors.prepare(&model.admin, &model.tls).map_err(refused)?;
        self.serving.reload(&model.server, certificate(&model.server, &model.tls)).map_err(refused)?;
        self.doors.replace_by(doors);
        self.sockets_now.store(Arc::new(self.serving.listening()));
        let generation = self.keeper.reload(loaded.snapshot.clone()).await.map_err(|_| ReloadError::Stopping)?;
        loaded.warnings.iter().for_each(|problem| warn!("{problem}"));
        if model.server.state_dir != self.loaded.snapshot.model.server.state_dir {
            warn!("state_dir has changed: restart rhumb to move it");
        }
        self.loaded = loaded;
        Ok(generation)
    }
}
