//! Asks endpoints how they are: TCP connects, HTTP and HTTPS requests.
//!
//! [`run`] takes the probes that the keeper wants started and owes it one result for each. A task exists only while its
//! probe runs; what waits for its time waits in the keeper's schedule, as sixteen bytes. Nothing here knows what a
//! result means or when to ask again.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::health::probe::{ProbeResult, ReasonCode};
use crate::health::target::{Job, Target};
use crate::model::CheckKind;
use crate::prober::clients::HttpClients;
use crate::runtime::clock::Clock;
use crate::runtime::keeper::Event;

mod clients;
mod http;
mod progress;
mod tcp;

/// The most probes that run at once: each holds a socket, and 1,024 is what a process gets without asking. Thirty
/// thousand targets at 10 s need three hundred when each takes a tenth of a second.
pub const RUNNING_MAX: usize = 512;

/// Runs the probes that come until `jobs` is closed (the keeper has ended), and sends each one's result.
///
/// At most [`RUNNING_MAX`] at once; the others wait their turn in order.
pub async fn run(mut jobs: mpsc::UnboundedReceiver<Job>, events: mpsc::Sender<Event>, clock: Clock) {
    let running = Arc::new(Semaphore::new(RUNNING_MAX));
    let clients = Arc::new(HttpClients::default());
    while let Some(job) = jobs.recv().await {
        let permit = running.clone().acquire_owned().await.expect("this semaphore is never closed");
        let (events, clients) = (events.clone(), clients.clone());
        tokio::spawn(async move {
            let result = probe(job.target.clone(), clients, clock).await;
            drop(permit);
            // An error means that the keeper has ended: nobody wants the result.
            let _ = events.send(Event::Probed { id: job.id, result }).await;
        });
    }
}

/// One probe in a task of its own, so that even a panic in a dependency leaves a result and not a target that is never
/// asked again.
async fn probe(target: Arc<Target>, clients: Arc<HttpClients>, clock: Clock) -> ProbeResult {
    let started = clock.now();
    let asked = tokio::spawn(async move { ask(&target, &clients).await });
    let (reason, detail) = asked
        .await
        .unwrap_or_else(|_| (ReasonCode::L7Rsp, "the probe itself failed; this is a bug of rhumb".to_owned()));
    ProbeResult::new(reason, detail, clock.now() - started)
}

async fn ask(target: &Target, clients: &HttpClients) -> (ReasonCode, String) {
    match &target.check.kind {
        // The keeper never asks for these; they pass, as the model has it.
        CheckKind::None => (ReasonCode::L4Ok, String::new()),
        CheckKind::Tcp => match timeout(target.check.timeout, tcp::connect(target.address)).await {
            Ok(found) => found,
            Err(_) => (ReasonCode::L4Tout, format!("no connection within {:?}", target.check.timeout)),
        },
        CheckKind::Http { .. } => http::request(target, clients).await,
    }
}
