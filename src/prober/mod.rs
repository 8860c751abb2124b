//! Asks endpoints how they are: TCP, TLS, HTTP, HTTPS, DNS and gRPC's health protocol.
//!
//! [`run`] takes the probes that the keeper wants started and owes it one result for each. A task exists only while its
//! probe runs, and is the only one of it; what waits for its time waits in the keeper's schedule, as sixteen bytes.
//! Every probe opens a connection of its own and leaves nothing behind. Nothing here knows what a result means or when
//! to ask again.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::health::probe::{ProbeResult, ReasonCode};
use crate::health::target::{Job, Target, TargetId};
use crate::model::{CheckKind, Moment};
use crate::prober::clients::Clients;
use crate::prober::deadline::Deadline;
use crate::prober::lag::Lag;
use crate::prober::places::{Bounds, Place, Places, YOUNG_FOR};
use crate::runtime::clock::Clock;
use crate::runtime::keeper::Event;
use crate::runtime::limits;
use crate::runtime::trust::Trust;

mod certificate;
mod clients;
mod deadline;
mod dns;
mod grpc;
pub mod headroom;
mod headroom_document;
mod health_message;
mod http;
mod https;
mod lag;
pub mod places;
mod progress;
mod tcp;
mod tls;

/// Where a probe ended, and a few words on it.
type Found = (ReasonCode, String);

/// A probe that timed out this much later than it should have says that this machine is busy, and nothing of the
/// endpoint: its answer may be waiting in our own queue. A quarter of what was allowed, and at least this.
const LATE_MIN: Duration = Duration::from_millis(250);
/// How often it is looked whether those that run have grown old, when others wait for that.
const LOOK: Duration = YOUNG_FOR.checked_div(10).expect("ten is not zero");

/// Runs the probes that come until `jobs` is closed (the keeper has ended), and sends each one's result. As many at once
/// as the process's descriptors allow ([`Bounds`]); the others wait their turn.
pub async fn run(jobs: mpsc::UnboundedReceiver<Job>, events: mpsc::Sender<Event>, clock: Clock) {
    run_within(Bounds::for_descriptors(limits::descriptors()), jobs, events, clock).await;
}

/// A probe that ended.
struct Ended {
    place: Place,
    id: TargetId,
    result: ProbeResult,
}

/// [`run`] with bounds of one's own. Dropped, it ends the probes that run.
pub async fn run_within(
    bounds: Bounds,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    events: mpsc::Sender<Event>,
    clock: Clock,
) {
    let lag = Lag::default();
    let mut sentinel = JoinSet::new();
    sentinel.spawn(lag.clone().watch(clock));
    let clients = Arc::new(Clients::default());
    let mut places = Places::new(bounds);
    let mut running: JoinSet<Ended> = JoinSet::new();
    let mut open = true;
    while open || !running.is_empty() || !places.is_empty() {
        while let Some((job, place)) = places.next(clock.now(), lag.is_high()) {
            let clients = clients.clone();
            running.spawn(async move {
                let result = probe(&job.target, &clients, clock).await;
                Ended { place, id: job.id, result }
            });
        }
        tokio::select! {
            job = jobs.recv(), if open => match job {
                Some(job) => {
                    places.arrived(job);
                    while let Ok(job) = jobs.try_recv() {
                        places.arrived(job);
                    }
                }
                None => open = false,
            },
            Some(ended) = running.join_next() => {
                let Ok(Ended { place, id, result }) = ended else {
                    // A probe's panic is caught within it and none is aborted; better one target unasked than all.
                    tracing::error!("a probe ended without a result; this is a bug of rhumb");
                    continue;
                };
                places.left(place);
                if events.send(Event::Probed { id, result }).await.is_err() {
                    // The keeper has ended: nobody wants a result.
                    return;
                }
            }
            () = tokio::time::sleep(LOOK), if places.wait_for_age() => {}
        }
    }
}

/// One probe from beginning to end.
async fn probe(target: &Target, clients: &Clients, clock: Clock) -> ProbeResult {
    let started = clock.now();
    let (reason, detail) = caught(ask(target, clients, started)).await.unwrap_or_else(|_| {
        // Neither the endpoint nor this machine is at fault.
        (ReasonCode::SockErr, "the probe itself failed; this is a bug of rhumb".to_owned())
    });
    let took = clock.now() - started;
    let late = took.saturating_sub(target.check.timeout);
    if reason.timed_out() && late > LATE_MIN.max(target.check.timeout / 4) {
        let detail = format!("this machine was too busy to ask: its own clock rang {late:.1?} late");
        return ProbeResult::new(ReasonCode::SockErr, detail, took);
    }
    ProbeResult::new(reason, detail, took)
}

/// Runs a future to its end or to its panic, so that even one in a dependency leaves a result and not a target that is
/// never asked again. The panic hook has said where.
async fn caught<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Err(panic).into(),
    })
    .await
}

async fn ask(target: &Target, clients: &Clients, now: Moment) -> Found {
    let (address, timeout) = (target.address, target.check.timeout);
    // The rarer and larger ones are boxed, so that the task of a TCP or HTTP probe is small.
    match &target.check.kind {
        // The keeper never asks for these; they pass, as the model has it.
        CheckKind::None => (ReasonCode::L4Ok, String::new()),
        CheckKind::Tcp => tcp::check(address, Deadline::new(timeout)).await,
        CheckKind::Tls(check) => Box::pin(tls::check(check, address, clients, Deadline::new(timeout), now)).await,
        CheckKind::Http { tls, verify, ca_file, method, path, host, status, body } => {
            let request = http::Request { method, path, host: host.as_deref(), status, body: body.as_ref() };
            match tls {
                false => request.check(address, Deadline::new(timeout)).await,
                true => {
                    let trust = Trust::of(*verify, ca_file.as_ref());
                    Box::pin(https::check(request, address, trust, clients, timeout)).await
                }
            }
        }
        CheckKind::Dns(check) => Box::pin(dns::check(check, address, Deadline::new(timeout))).await,
        CheckKind::Grpc { tls, service, host } => {
            let call = grpc::Call { tls: tls.as_ref(), service, host: host.as_deref() };
            Box::pin(call.check(address, clients, Deadline::new(timeout))).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_others_go_on() {
        let panicking = async {
            tokio::task::yield_now().await;
            assert!(std::env::args().count() == 0, "a probe panics, as this test wants it");
        };
        assert!(caught(panicking).await.is_err());
        assert_eq!(caught(async { 1 }).await.unwrap(), 1);
    }
}
