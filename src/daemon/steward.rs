//! Who changes what is served? One task that takes one order at a time: reload, hand over to a successor, stop.
//!
//! It waits for operators, signals, changed files and successors, and does what they ask one after the other. What it
//! owns nobody else touches: the sockets, and the files they come from.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tracing::error;
use tracing::info;
use tracing::warn;

use super::Order;
use super::ReloadError;
use super::certificate;
use super::knocks;
use super::knocks::Caller;
use super::knocks::Knocks;
use super::service::Service;
use crate::admin::doors::Doors;
use crate::config::Sources;
use crate::health::journal::Turn;
use crate::metrics::Metrics;
use crate::model::Problem;
use crate::model::Severity;
use crate::proxy::access_log::AccessLog;
use crate::proxy::service::Proxy;
use crate::runtime::clock::Clock;
use crate::runtime::handover::Message;
use crate::runtime::keeper;
use crate::runtime::keeper::Part;
use crate::runtime::load::Loaded;
use crate::runtime::load::load;
use crate::runtime::reloads;
use crate::runtime::reloads::AskedBy;
use crate::runtime::signals::Repeated;
use crate::runtime::watch::Stamps;
use crate::runtime::watch::Watch;
use crate::server;
use crate::server::Listening;
use crate::server::Server;
use crate::server::given::Given;
use crate::server::responding::Responding;

/// Where port 0 led.
type Ports = Vec<(SocketAddr, SocketAddr)>;

/// Why a successor's word did not come.
enum Waiting {
    Stop,
    Failed(io::Error),
}

/// How long a caller may take for its greeting, and a successor for its last word.
const WORD_PATIENCE: Duration = Duration::from_secs(5);
/// How long the last lines of the access log may take to be written.
const LOG_PATIENCE: Duration = Duration::from_secs(2);
/// How much longer than its `start_timeout` a successor may take until it answers.
const ANSWERING_PATIENCE: Duration = Duration::from_secs(60);

/// Owns what a reload changes, and takes one order at a time.
pub(super) struct Steward {
    pub(super) config: PathBuf,
    pub(super) answer: Arc<Responding>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) access_log: Arc<AccessLog>,
    pub(super) serving: Server<Responding>,
    pub(super) proxy: Proxy,
    /// What `serving` listens on, for those who ask.
    pub(super) sockets_now: Arc<ArcSwap<Vec<Listening>>>,
    pub(super) doors: Doors,
    pub(super) loaded: Loaded,
    pub(super) keeper: keeper::Handle,
    pub(super) clock: Clock,
    pub(super) reloads: Arc<reloads::Reloads>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) hangups: Repeated,
    pub(super) replacements: Repeated,
    pub(super) knocks: Option<Knocks>,
    pub(super) service: Service,
    pub(super) succeeded: watch::Sender<bool>,
}

/// What the steward does next.
enum Next {
    Obey(Order),
    HandOver(Caller),
    Replace,
}

/// How a handover ended.
pub(super) enum After {
    /// The successor answers.
    Succeeded,
    /// We were told to stop meanwhile.
    Stop,
    /// Nothing has changed, for this reason.
    GoOn(String),
}

impl Steward {
    pub(super) async fn run(mut self) {
        let mut watch = Watch::new();
        // What the files were when they were last tried, served or not: a broken file is not tried again and again.
        let mut tried: Stamps = self.loaded.stamps.clone();
        loop {
            let next = tokio::select! {
                order = self.orders.recv() => Next::Obey(order.unwrap_or(Order::Stop)),
                () = self.hangups.next() => Next::Obey(Order::Reload(AskedBy::Signal, None)),
                path = watch.changed(&tried) => Next::Obey(Order::Reload(AskedBy::File(path), None)),
                caller = Knocks::next(&mut self.knocks) => Next::HandOver(caller),
                () = self.replacements.next() => Next::Replace,
            };
            match next {
                Next::Obey(Order::Stop) => break,
                Next::Obey(Order::Reload(by, reply)) => {
                    self.service.reloading();
                    let outcome = self.reload(by, &mut tried).await;
                    self.service.reloaded().await;
                    if let Some(reply) = reply {
                        // Who asked may have gone.
                        let _ = reply.send(outcome);
                    }
                }
                Next::HandOver(caller) => {
                    if self.is_succeeded_by(caller).await {
                        break;
                    }
                }
                Next::Replace => knocks::start_successor(),
            }
        }
        // Who was succeeded lets its clients end in their own time; who stops has less.
        let drain = match *self.succeeded.borrow() {
            true => self.proxy.drain_timeout(),
            false => self.loaded.snapshot.model.server.stop_timeout,
        };
        let both = (self.serving.stop(), self.proxy.stop(drain));
        tokio::join!(both.0, both.1);
        let log = self.access_log;
        // A panic there has nothing to add.
        _ = tokio::task::spawn_blocking(move || log.end(LOG_PATIENCE)).await;
    }

    /// Hands over, and goes on when nothing came of it; whether this steward is to end.
    async fn is_succeeded_by(&mut self, caller: Caller) -> bool {
        let who = caller.to_string();
        info!("{who} wants to take over");
        match self.hand_over(caller).await {
            After::Succeeded => {
                info!("{who} has taken over; finishing what is in hand");
                self.doors.close_http();
                self.succeeded.send_replace(true);
                true
            }
            After::Stop => true,
            After::GoOn(why) => {
                warn!("{who} has not taken over: {why}; going on");
                // An error means that the keeper has ended, which it does only when it is told to.
                let _ = self.keeper.play(Part::Alone).await;
                false
            }
        }
    }

    /// The conversation of [`crate::runtime::handover`], from the side of who runs.
    async fn hand_over(&mut self, mut caller: Caller) -> After {
        let greeting = match caller.receive(WORD_PATIENCE).await {
            Ok(greeting) => greeting,
            Err(error) => return After::GoOn(format!("no greeting came: {error}")),
        };
        let protocol = match greeting.protocol() {
            Ok(protocol) => protocol,
            Err(why) => return caller.refuse(why).await,
        };
        // From here on nothing may change that the successor has read.
        let _ = self.keeper.play(Part::Succeeded).await;
        let (descriptors, ports) = match self.descriptors() {
            Ok(both) => both,
            Err(error) => return caller.refuse(format!("the sockets cannot be copied: {error}")).await,
        };
        if let Err(error) = caller.offer(protocol, &descriptors, &ports).await {
            return After::GoOn(format!("the sockets could not be handed over: {error}"));
        }
        let patience = self.loaded.snapshot.model.server.start_timeout + ANSWERING_PATIENCE;
        match self.while_waiting(&mut caller, patience).await {
            Ok(Message::Answering) => self.leave_to(caller, descriptors, ports).await,
            Ok(Message::Refused { why }) => After::GoOn(why),
            Ok(other) => caller.refuse(format!("it was not the time to say {other:?}")).await,
            Err(Waiting::Stop) => {
                let _ = caller.refuse("it was told to stop".to_owned()).await;
                After::Stop
            }
            Err(Waiting::Failed(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                After::GoOn("it has gone".to_owned())
            }
            Err(Waiting::Failed(error)) => caller.refuse(format!("it did not answer in time ({error})")).await,
        }
    }

    /// Copies of every socket, and where port 0 led.
    fn descriptors(&self) -> io::Result<(Vec<OwnedFd>, Ports)> {
        let (mut descriptors, mut ports) = self.serving.descriptors()?;
        let proxied = self.proxy.descriptors()?;
        descriptors.extend(proxied.0);
        ports.extend(proxied.1);
        Ok((descriptors, ports))
    }

    /// Waits for the successor's word; reloads are refused meanwhile, since it has read the files.
    async fn while_waiting(&mut self, caller: &mut Caller, patience: Duration) -> Result<Message, Waiting> {
        let word = caller.receive(patience);
        tokio::pin!(word);
        loop {
            tokio::select! {
                said = &mut word => return said.map_err(Waiting::Failed),
                order = self.orders.recv() => match order {
                    Some(Order::Reload(_, reply)) => {
                        if let Some(reply) = reply {
                            let fact = "another process takes over and has read the files: ask it in a moment";
                            let problems = vec![Problem::error("E0409", None, fact)];
                            let _ = reply.send(Err(ReloadError::Refused(problems, Sources::default())));
                        }
                    }
                    Some(Order::Stop) | None => return Err(Waiting::Stop),
                },
            }
        }
    }

    /// Reads no more and saves no more; comes back when the successor dies before it has said its last word.
    async fn leave_to(&mut self, mut caller: Caller, descriptors: Vec<OwnedFd>, ports: Ports) -> After {
        let _ = self.keeper.play(Part::Silent).await;
        self.serving.leave().await;
        self.proxy.leave();
        self.service.main_process_is(caller.process());
        let last_word = match caller.send(Message::Released).await {
            Ok(()) => caller.receive(WORD_PATIENCE).await,
            Err(error) => Err(error),
        };
        match last_word {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.service.main_process_is(Some(std::process::id()));
                self.come_back(descriptors, ports).await;
                After::GoOn(format!("it ended just after it began: {error}"))
            }
            // It lives, be it slow.
            _ => After::Succeeded,
        }
    }

    /// Answers again, on copies of the sockets that nobody else reads any more.
    async fn come_back(&mut self, descriptors: Vec<OwnedFd>, ports: Ports) {
        let model = self.loaded.snapshot.model.clone();
        self.proxy.come_back().unwrap_or_else(|error| error!("not every listener is served again: {error}"));
        let mut given = Given::by_a_predecessor(descriptors, ports);
        let bound = server::bind_with(&model.server, certificate(&model.server, &model.tls), &mut given);
        let runtime = tokio::runtime::Handle::current();
        let pulses = self.serving.pulses().clone();
        let again = bound.map(|bound| bound.serve_watched(self.answer.clone(), &runtime, pulses));
        match again {
            Ok(Ok(mut serving)) => {
                serving.alone().unwrap_or_else(|error| error!("not every socket could be opened: {error}"));
                self.metrics.serving(serving.meter());
                let former = std::mem::replace(&mut self.serving, serving);
                tokio::spawn(former.stop());
            }
            Ok(Err(error)) => error!("cannot answer again: {error}"),
            Err(problems) => problems.iter().for_each(|problem| error!("cannot answer again: {problem}")),
        }
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
                tokio::spawn(self.answer.answered().clone().settled());
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

    /// Successors knock beside the admin socket, wherever that is.
    fn move_knocks(&mut self, admin_socket: Option<&Path>) {
        if admin_socket == self.loaded.snapshot.model.admin.socket.as_deref() {
            return;
        }
        let knocks = admin_socket.map(Knocks::prepare).transpose().and_then(|mut knocks| {
            knocks.iter_mut().try_for_each(Knocks::put_in_place)?;
            Ok(knocks)
        });
        self.knocks = knocks.unwrap_or_else(|error| {
            error!("no other process can take over: {error}");
            None
        });
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
        let query_log = self.answer.query_log().clone();
        let logged = query_log.prepare(model.query_log.as_ref()).map_err(|problem| refused(vec![problem]))?;
        let access_log = self.access_log.clone();
        let accesses = access_log.prepare(model.access_log.as_ref()).map_err(|problem| refused(vec![problem]))?;
        let doors = self.doors.prepare(&model.admin, &model.tls).map_err(refused)?;
        let proxied = self.proxy.prepare(&model, &mut Given::default()).map_err(refused)?;
        self.serving.reload(&model.server, certificate(&model.server, &model.tls)).map_err(refused)?;
        self.doors.replace_by(doors);
        self.sockets_now.store(Arc::new(self.serving.listening()));
        // Workers look for it when they see the new world.
        query_log.begin(logged);
        access_log.begin(accesses);
        self.proxy.announce(&proxied);
        let generation = self.keeper.reload(loaded.snapshot.clone()).await.map_err(|_| ReloadError::Stopping)?;
        self.proxy.apply(proxied).unwrap_or_else(|error| error!("not every listener is served: {error}"));
        loaded.warnings.iter().for_each(|problem| warn!("{problem}"));
        self.move_knocks(model.admin.socket.as_deref());
        if model.server.state_dir != self.loaded.snapshot.model.server.state_dir {
            warn!("state_dir has changed: restart rhumb to move it");
        }
        tokio::spawn(let_go(std::mem::replace(&mut self.loaded, loaded)));
        Ok(generation)
    }
}

/// How often it is looked whether anybody still reads what is served no longer.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Takes apart what is served no longer, when nobody reads it any more and where nobody waits: with a hundred thousand VIPs
/// that takes a tenth of a second, which would be a worker's if the last to let go were one of those who answer.
///
/// A worker that is asked nothing keeps the world it saw last, so there may be one of these for each.
async fn let_go(former: Loaded) {
    while Arc::strong_count(&former.snapshot) > 1 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // It ends by itself, and nothing waits for it.
    drop(tokio::task::spawn_blocking(move || drop(former)));
}
