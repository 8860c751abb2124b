//! Many targets: what is shared, and who waits for whom.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rhumb::config;
use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::health::target::{Job, TargetId};
use rhumb::model::CheckKind;
use rhumb::prober;
use rhumb::prober::places::Bounds;
use rhumb::runtime::clock::Clock;
use rhumb::runtime::keeper::{Event, Keeper};
use rhumb::snapshot::Snapshot;
use tokio::sync::mpsc;

use crate::common::poll;
use crate::{server, target};

#[test]
fn identical_checks_of_three_pools_are_one_connection_each_time() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let origin = server(move |_stream| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let check = "type = \"tcp\"\ninterval = \"200ms\"\nfast = \"200ms\"\ntimeout = \"200ms\"\n";
    let mut text = format!(
        "[server]\nlisten = [\"127.0.0.1:5300\"]\n[region.a]\n[health_check.one]\n{check}[health_check.same]\n{check}"
    );
    for (pool, check) in [("p", "one"), ("q", "one"), ("r", "same")] {
        let endpoint = format!("{{ address = \"{}\", port = {} }}", origin.ip(), origin.port());
        text += &format!("[pool.{pool}]\nregion = \"a\"\nhealth_check = \"{check}\"\nendpoints = [{endpoint}]\n");
    }
    let model = Arc::new(config::read(Path::new("crowd.toml"), &text).unwrap().model);
    let atlas = Arc::new(Atlas::of_networks(&[]));
    let snapshot = Arc::new(Snapshot::compile(model, Vec::new(), atlas, &LatencyTable::default()).unwrap().0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clock = Clock::start();
        let (keeper, handle, jobs) = Keeper::new(snapshot, clock);
        tokio::spawn(prober::run(jobs, handle.events(), clock));
        tokio::spawn(keeper.run());
        handle.ready().await;
    });
    let before = connections.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(2));
    let made = connections.load(Ordering::Relaxed) - before;
    // Ten, or eleven by the jitter; unshared it were thirty.
    assert!((1..=14).contains(&made), "{made} connections in 2 s at an interval of 200 ms");
}

#[test]
fn those_that_answer_do_not_stand_behind_those_that_time_out() {
    let mute = server(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let open = server(|_stream| ());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let order = runtime.block_on(async {
        let (jobs, jobs_out) = mpsc::unbounded_channel();
        let (events, mut results) = mpsc::channel(16);
        let silent = crate::http::HTTP.at(mute);
        for id in 0..40 {
            let mut target = silent.clone();
            target.check.timeout = Duration::from_millis(300);
            jobs.send(Job { id: TargetId(id), target: Arc::new(target), slow: true }).unwrap();
        }
        for id in 40..80 {
            let target = target(open, CheckKind::Tcp, 5000);
            jobs.send(Job { id: TargetId(id), target: Arc::new(target), slow: false }).unwrap();
        }
        drop(jobs);
        tokio::spawn(prober::run_within(Bounds { running: 8, young: 8 }, jobs_out, events, Clock::start()));
        let mut order = Vec::new();
        while let Some(Event::Probed { id, .. }) = results.recv().await {
            order.push(id.0);
        }
        order
    });
    assert_eq!(order.len(), 80);
    let last_prompt = order.iter().rposition(|id| *id >= 40).unwrap();
    assert!(last_prompt < 40 + 8, "one that answers was told after {} that do not", last_prompt - 39);
}

#[test]
fn a_prober_that_is_stopped_ends_its_probes() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = ended.clone();
    let mute = server(move |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (jobs, jobs_out) = mpsc::unbounded_channel();
    let (events, _results) = mpsc::channel(16);
    let mut target = crate::http::HTTP.at(mute);
    target.check.timeout = Duration::from_secs(600);
    jobs.send(Job { id: TargetId(0), target: Arc::new(target), slow: false }).unwrap();
    let prober = runtime.spawn(prober::run(jobs_out, events, Clock::start()));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(ended.load(Ordering::Relaxed), 0);
    prober.abort();
    assert!(poll(Duration::from_secs(5), || ended.load(Ordering::Relaxed) == 1), "the connection outlives its prober");
}
