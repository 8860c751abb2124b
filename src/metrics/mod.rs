//! What does a monitoring system read of this server?
//!
//! [`Metrics`] gathers a page each time it is asked: a look at the ledger that holds up the keeper for less than a
//! millisecond, sums of what the workers count, and what the system says of the process. Everything that takes longer
//! (names, text, megabytes of it) happens on a thread of its own, where neither queries nor probes wait for it. Nothing
//! is counted here and nothing is labelled with a client's address.
//!
//! ```text
//! page     families of samples as text, in either of two formats
//! dns      what was asked and answered
//! health   what is believed and ordered, and how probes end
//! config   what is served, and how the last reload ended
//! proxy    what is proxied
//! process  what the system says of this process
//! ```

mod config;
mod dns;
mod health;
mod page;
mod process;
mod proxy;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode_eof;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;

use crate::admin::counted::AnswersOf;
use crate::admin::counted::Counted;
use crate::admin::counted::Exposition;
use crate::admin::counted::Proxied;
use crate::health::headroom::Headroom;
use crate::metrics::health::Health;
use crate::metrics::page::Format;
use crate::metrics::page::Page;
use crate::metrics::process::Process;
use crate::model::Moment;
use crate::proxy::access_log::AccessLog;
use crate::proxy::cells::ListenerSums;
use crate::proxy::counts::ProxyCounts;
use crate::proxy::counts::ProxyTotals;
use crate::proxy::headroom::headroom;
use crate::runtime::clock::Clock;
use crate::runtime::keeper::Handle;
use crate::runtime::reloads::LastReload;
use crate::runtime::reloads::Reloads;
use crate::server::answered::Answered;
use crate::server::answered::Totals;
use crate::server::counters::Tally;
use crate::server::meter::Meter;
use crate::server::query_log::QueryLog;
use crate::server::responding::Responding;
use crate::world::World;

/// Before every name but those of the process.
const PREFIX: &str = "rhumb";

/// Reads everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    keeper: Handle,
    answered: Arc<Answered>,
    log: Arc<QueryLog>,
    reloads: Arc<Reloads>,
    clock: Clock,
    /// Set when queries are taken.
    meter: OnceLock<Meter>,
    /// Set when requests are taken.
    proxied: OnceLock<(Arc<ProxyCounts>, Arc<AccessLog>)>,
    /// One page at a time: a page of a large server takes megabytes, and whoever asks for many at once must not make
    /// us hold them all.
    turn: Mutex<()>,
}

impl Metrics {
    /// Of this server, whose queries are not taken yet.
    pub fn new(keeper: Handle, answering: &Responding, reloads: Arc<Reloads>, clock: Clock) -> Arc<Self> {
        let (answered, log) = (answering.answered().clone(), answering.query_log().clone());
        let (meter, proxied) = (OnceLock::new(), OnceLock::new());
        Arc::new(Metrics { keeper, answered, log, reloads, clock, meter, proxied, turn: Mutex::default() })
    }

    /// Queries are taken from now on, and counted there.
    pub fn serving(&self, meter: Meter) {
        // It is called once; a second meter would be of the same server.
        let _ = self.meter.set(meter);
    }

    /// Requests are taken from now on, counted there and logged there.
    pub fn proxying(&self, counts: Arc<ProxyCounts>, log: Arc<AccessLog>) {
        // As above.
        let _ = self.proxied.set((counts, log));
    }

    /// A page; `None` when the server is stopping.
    async fn page(&self, format: Format) -> Option<String> {
        let _turn = self.turn.lock().await;
        let now = self.clock.now();
        let health = self.keeper.ask(move |ledger| Health::look(ledger, now)).await.ok()?;
        let gathering = Gathering {
            format,
            health,
            ready: self.keeper.is_ready(),
            world: self.keeper.published.load(),
            reload: self.reloads.last(),
            answered: self.answered.clone(),
            log: self.log.clone(),
            meter: self.meter.get().cloned(),
            proxied: self.proxied.get().cloned().unwrap_or_default(),
            started_at: self.clock.started_at(),
        };
        // An error means that the page could not be made: a defect of ours, or the runtime is ending.
        tokio::task::spawn_blocking(move || gathering.text()).await.ok()?.ok()
    }
}

#[async_trait::async_trait]
impl Counted for Metrics {
    async fn exposition(&self, accept: &str) -> Option<Exposition> {
        let format = Format::asked_by(accept);
        Some(Exposition { content_type: format.media_type(), text: self.page(format).await? })
    }

    fn queries(&self) -> Option<u64> {
        Some(self.meter.get()?.totals().queries)
    }

    fn answers(&self) -> Vec<AnswersOf> {
        let totals = self.answered.totals();
        let model = &totals.snapshot.model;
        let named = totals.answers.iter().filter_map(|(vip, pool, reasons)| {
            let (vip, pool) = (model.vip(*vip).name.clone(), model.pool((*pool)?).name.clone());
            Some(AnswersOf { vip, pool, count: reasons.iter().sum() })
        });
        named.collect()
    }

    fn proxied(&self) -> HashMap<String, Proxied> {
        let Some((counts, _)) = self.proxied.get() else { return HashMap::new() };
        let totals = counts.totals(&self.keeper.published.load().snapshot.model);
        let of = |sums: ListenerSums| Proxied { connections: sums.connections.now, requests: sums.requests.begun };
        totals.listeners.into_iter().map(|(name, sums)| (name, of(sums))).collect()
    }

    fn headroom(&self) -> Headroom {
        let Some((counts, _)) = self.proxied.get() else { return Headroom::default() };
        let world = self.keeper.published.load();
        headroom(&world, &counts.totals(&world.snapshot.model))
    }
}

/// What a page is made of, before the slow part.
struct Gathering {
    format: Format,
    health: Health,
    ready: bool,
    world: Arc<World>,
    reload: Arc<LastReload>,
    answered: Arc<Answered>,
    log: Arc<QueryLog>,
    meter: Option<Meter>,
    proxied: (Arc<ProxyCounts>, Arc<AccessLog>),
    started_at: Moment,
}

impl Gathering {
    fn text(self) -> Result<String, fmt::Error> {
        let tally = self.meter.as_ref().map(Meter::totals).unwrap_or_default();
        let connections = self.meter.as_ref().map_or(0, Meter::connections);
        let (format, process) = (self.format, Process::look(self.started_at));
        let (totals, proxied) = (self.answered.totals(), self.proxied.0.totals(&self.world.snapshot.model));
        let mut text = String::with_capacity(64 * 1024);
        let mut ours = Registry::with_prefix(PREFIX);
        ours.register_collector(Box::new(Gathered { gathering: self, totals, proxied, tally, connections }));
        encode_registry(&mut text, &ours)?;
        drop(ours);
        let mut everybodys = Registry::default();
        everybodys.register_collector(Box::new(Ours { format, process }));
        encode_registry(&mut text, &everybodys)?;
        if format == Format::OpenMetrics {
            encode_eof(&mut text)?;
        }
        Ok(text)
    }
}

/// What is written under our prefix.
struct Gathered {
    gathering: Gathering,
    totals: Totals,
    proxied: ProxyTotals,
    tally: Tally,
    connections: usize,
}

impl Collector for Gathered {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Gathering { format, health, ready, world, reload, log, .. } = &self.gathering;
        let mut page = Page::new(encoder, *format);
        dns::write(&mut page, &self.totals, &self.tally, self.connections)?;
        dns::write_down(&mut page, world)?;
        dns::write_log(&mut page, log.counts())?;
        health.write(&mut page)?;
        proxy::write(&mut page, &self.proxied)?;
        proxy::write_log(&mut page, self.gathering.proxied.1.counts())?;
        config::write(&mut page, world, reload, *ready)
    }
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathered")
    }
}

/// What every process tells of itself, under the names that all of them use.
#[derive(Debug)]
struct Ours {
    format: Format,
    process: Process,
}

impl Collector for Ours {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.process.write(&mut Page::new(encoder, self.format))
    }
}
