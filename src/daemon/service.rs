//! What does the service manager hear of us?
//!
//! When `NOTIFY_SOCKET` is set (sd_notify(3)): that we are ready, reload, stop, and in a line what is served and what is in
//! trouble; and, when it watches us (`WatchdogSec=`), that we are alive. Alive means: the keeper answers, every UDP worker
//! has looked at its socket since the last time, and this task is run, so the runtime is, too. A timer alone would say so
//! for a server that answers nobody.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio::time;
use tracing::error;
use tracing::warn;

use crate::health::ledger::Ledger;
use crate::model::EndpointId;
use crate::runtime::keeper;
use crate::runtime::reloads::Reloads;
use crate::server::pulse::Pulses;

/// How often the line is looked at for something new.
const STATUS_ROUND: Duration = Duration::from_secs(1);

/// Tells the service manager.
#[derive(Debug, Clone)]
pub(super) struct Service {
    keeper: keeper::Handle,
    reloads: Arc<Reloads>,
}

impl Service {
    /// Says that we are ready, and what is served from now on; the task ends when it is aborted.
    pub(super) fn start(
        keeper: &keeper::Handle,
        reloads: &Arc<Reloads>,
        pulses: &Arc<Pulses>,
    ) -> (Self, JoinHandle<()>) {
        let service = Service { keeper: keeper.clone(), reloads: reloads.clone() };
        let telling = tokio::spawn(service.clone().run(pulses.clone()));
        (service, telling)
    }

    async fn run(self, pulses: Arc<Pulses>) {
        let mut said = self.status().await;
        tell(&[NotifyState::Ready, NotifyState::Status(&said)]);
        let watchdog = sd_notify::watchdog_enabled().map(|period| (period / 3).max(Duration::from_millis(10)));
        let mut rounds = time::interval(STATUS_ROUND);
        let mut looks = time::interval(watchdog.unwrap_or(STATUS_ROUND));
        looks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => {
                    let now = self.status().await;
                    if now != said {
                        tell(&[NotifyState::Status(&now)]);
                        said = now;
                    }
                }
                _ = looks.tick(), if watchdog.is_some() => self.look(&pulses, watchdog.unwrap_or(STATUS_ROUND)).await,
            }
        }
    }

    /// Says that we are alive, if we are.
    async fn look(&self, pulses: &Pulses, patience: Duration) {
        let still = pulses.still();
        let keeper = time::timeout(patience, self.keeper.ask(|_| ())).await;
        match (keeper, still.as_slice()) {
            (Ok(Ok(())), []) => tell(&[NotifyState::Watchdog]),
            (Ok(Ok(())), still) => error!("the watchdog is not told that we are alive: {} hangs", still.join(", ")),
            _ => error!("the watchdog is not told that we are alive: the keeper does not answer"),
        }
    }

    /// What is served, and what is in trouble.
    async fn status(&self) -> String {
        let served = self.keeper.published.load().snapshot.inventory();
        let trouble = self.keeper.ask(trouble).await.ok().flatten();
        let last = self.reloads.last();
        let refused = (!last.ok).then(|| "the last reload was refused".to_owned());
        let wrong: Vec<String> = refused.into_iter().chain(trouble).collect();
        match wrong.as_slice() {
            [] => format!("serving {served}"),
            wrong => format!("{}; serving {served}", wrong.join("; ")),
        }
    }

    /// A reload begins; [`Service::reloaded`] ends it.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            // `Type=notify-reload` wants both in one message.
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => warn!("the service manager does not hear of the reload: {error}"),
        }
    }

    /// A reload has ended, well or not.
    pub(super) async fn reloaded(&self) {
        tell(&[NotifyState::Ready, NotifyState::Status(&self.status().await)]);
    }

    /// Another process is the service from now on.
    pub(super) fn main_process_is(&self, process: Option<u32>) {
        if let Some(process) = process {
            tell(&[NotifyState::MainPid(process)]);
        }
    }
}

/// We are about to end.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is in hand")]);
}

/// Endpoints that are not answered with, in a few words.
fn trouble(ledger: &Ledger) -> Option<String> {
    let all = ledger.model().endpoints.len();
    let health = || (0..all).map(|id| ledger.table().endpoint(EndpointId::from(id)));
    let withdrawn = health().filter(|endpoint| endpoint.withdrawn).count();
    let down = health().filter(|endpoint| !endpoint.usable && !endpoint.withdrawn).count();
    let said = |count, what| (count > 0).then(|| format!("{count} of {all} endpoints {what}"));
    let parts: Vec<String> = [said(down, "not up"), said(withdrawn, "taken out")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("the service manager does not hear of us: {error}");
    }
}
