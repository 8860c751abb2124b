//! Probes against small servers on loopback that behave in every way an endpoint may, and against real ones.

#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod dns;
mod grpc;
mod http;
mod tls;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rhumb::health::probe::{ProbeResult, ReasonCode};
use rhumb::health::target::{Job, Target, TargetId};
use rhumb::model::{CheckKind, HealthCheck};
use rhumb::prober;
use rhumb::prober::places::Bounds;
use rhumb::runtime::clock::Clock;
use rhumb::runtime::keeper::Event;
use tokio::sync::mpsc;

fn target(address: SocketAddr, kind: CheckKind, timeout_ms: u64) -> Target {
    let interval = Duration::from_secs(10);
    let timeout = Duration::from_millis(timeout_ms);
    let check =
        HealthCheck { name: String::new(), kind, port: None, interval, fast: interval, timeout, fall: 3, rise: 2 };
    Target { address, check }
}

fn impatient(target: Target) -> Target {
    Target { check: HealthCheck { timeout: Duration::from_millis(200), ..target.check }, ..target }
}

/// What the prober finds, each target asked once.
fn ask_all(targets: Vec<Target>) -> Vec<ProbeResult> {
    ask_within(Bounds { running: 64, young: 32 }, targets)
}

fn ask_within(bounds: Bounds, targets: Vec<Target>) -> Vec<ProbeResult> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (jobs, jobs_out) = mpsc::unbounded_channel();
        let (events, mut results) = mpsc::channel(16);
        let count = targets.len();
        for (i, target) in targets.into_iter().enumerate() {
            jobs.send(Job { id: TargetId(i as u64), target: Arc::new(target), slow: false }).unwrap();
        }
        drop(jobs);
        tokio::spawn(prober::run_within(bounds, jobs_out, events, Clock::start()));
        let mut found = vec![None; count];
        while let Some(Event::Probed { id, result }) = results.recv().await {
            assert!(found[id.0 as usize].replace(result).is_none(), "one result for each job");
        }
        found.into_iter().map(|result| result.expect("a result for each job")).collect()
    })
}

fn ask(target: Target) -> ProbeResult {
    ask_all(vec![target]).remove(0)
}

fn found(result: &ProbeResult) -> (ReasonCode, &str) {
    (result.reason, result.detail.as_str())
}

/// Serves connections with `serve`, each in a thread of its own.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A port that nobody listens on.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
