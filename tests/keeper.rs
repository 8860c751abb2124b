//! The keeper with real probes of loopback origins, and the file of last-known standings.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rhumb::config;
use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::health::belief::Standing;
use rhumb::health::ejection::Ejection;
use rhumb::health::forced::{Change, Forced, Order, Refusal};
use rhumb::health::ledger::Ledger;
use rhumb::health::standings::EndpointKey;
use rhumb::model::{EndpointId, Model, Moment, PoolId};
use rhumb::prober;
use rhumb::runtime::clock::Clock;
use rhumb::runtime::keeper::{Handle, Keeper, Part};
use rhumb::runtime::state::{self, StateFile};
use rhumb::snapshot::Snapshot;
use rhumb::world::World;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Nothing here takes longer unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

fn snapshot(origins: &[SocketAddr], state_dir: Option<&Path>) -> Arc<Snapshot> {
    let state = state_dir.map(|dir| format!("state_dir = {:?}\n", dir.display().to_string())).unwrap_or_default();
    let mut text = format!(
        "[server]\nlisten = [\"127.0.0.1:5300\"]\n{state}[health_check.web]\ntype = \"tcp\"\ninterval = \"100ms\"\n\
         fast = \"50ms\"\ntimeout = \"100ms\"\nfall = 2\nrise = 2\n[region.eu]\n"
    );
    for (i, origin) in origins.iter().enumerate() {
        let (ip, port) = (origin.ip(), origin.port());
        text += &format!(
            "[pool.p{i}]\nregion = \"eu\"\nhealth_check = \"web\"\nendpoints = [{{ address = \"{ip}\", port = {port} }}]\n"
        );
    }
    let loaded = config::read(Path::new("keeper.toml"), &text);
    let model = Arc::new(loaded.unwrap_or_else(|refused| panic!("{:#?}", refused.problems)).model);
    compile(model)
}

fn compile(model: Arc<Model>) -> Arc<Snapshot> {
    let atlas = Arc::new(Atlas::of_networks(&[]));
    Arc::new(Snapshot::compile(model, Vec::new(), atlas, &LatencyTable::default()).unwrap().0)
}

/// A keeper and a prober at work.
struct Server {
    handle: Handle,
    keeper: JoinHandle<()>,
}

impl Server {
    fn start(snapshot: Arc<Snapshot>) -> Self {
        let clock = Clock::start();
        let (keeper, handle, jobs) = Keeper::new(snapshot, clock);
        tokio::spawn(prober::run(jobs, handle.events(), clock));
        Server { handle, keeper: tokio::spawn(keeper.run()) }
    }

    async fn stop(self) {
        self.handle.stop().await;
        tokio::time::timeout(PATIENCE, self.keeper).await.expect("it stops").expect("without a panic");
    }

    /// Waits until the published world is so.
    async fn until(&self, so: impl Fn(&World) -> bool) -> Arc<World> {
        let found = async {
            loop {
                let world = self.handle.published.load();
                if so(&world) {
                    return world;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the world comes to be so")
    }
}

async fn origin() -> (SocketAddr, JoinHandle<()>) {
    listen("127.0.0.1:0".parse().unwrap()).await
}

async fn listen(at: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        loop {
            let _ = listener.accept().await;
        }
    };
    (address, tokio::spawn(serve))
}

fn usable(world: &World, pool: usize) -> bool {
    world.health.pool(PoolId::from(pool)).usable
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_requests_say_is_published() {
    let (first, _serving) = origin().await;
    let (second, _also) = origin().await;
    let server = Server::start(snapshot(&[first, second], None));
    server.handle.ready().await;
    server.until(|world| usable(world, 0) && usable(world, 1)).await;
    let now = server.handle.ask(|ledger| ledger.belief(EndpointId(0)).since()).await.unwrap();
    let key = EndpointKey { pool: "p0".into(), address: first.ip(), port: Some(first.port()) };
    let ejection = Ejection { since: now, until: now + Duration::from_secs(3_600), reason: "its requests fail".into() };
    server.handle.ejected(key.clone(), ejection.clone()).await;
    // The keeper works events off in order, and publishes a flip before the next.
    let published = server.handle.published.clone();
    let world = server.handle.ask(move |_| published.load()).await.unwrap();
    let world = if usable(&world, 0) { server.until(|world| !usable(world, 0)).await } else { world };
    assert!(usable(&world, 1) && world.health.endpoint(EndpointId(0)).is_up_without_ejection());
    server.handle.readmitted(key, ejection.until).await;
    server.until(|world| usable(world, 0)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_stops_leaves_and_one_that_returns_comes_back() {
    let (first, serving) = origin().await;
    let (second, _also) = origin().await;
    let server = Server::start(snapshot(&[first, second], None));
    tokio::time::timeout(PATIENCE, server.handle.ready()).await.expect("the first round ends");
    assert!(server.handle.is_ready());
    let mut reader = server.handle.published.reader();
    assert!(usable(reader.world(), 0) && usable(reader.world(), 1));
    serving.abort();
    let world = server.until(|world| !usable(world, 0)).await;
    assert!(usable(&world, 1), "the other one stays");
    assert!(!usable(reader.world(), 0), "a reader sees what was published");
    let reason = server.handle.ask(|ledger| ledger.belief(EndpointId(0)).last().unwrap().result.to_string()).await;
    assert_eq!(reason.unwrap(), "L4CON connection refused");
    let (_, _again) = listen(first).await;
    server.until(|world| usable(world, 0)).await;
    let turns = server.handle.ask(|ledger| {
        ledger
            .journal()
            .read(0)
            .filter(|(_, turn)| turn.kind == "endpoint")
            .map(|(_, turn)| turn.to.clone())
            .collect::<Vec<_>>()
    });
    assert_eq!(turns.await.unwrap().last().map(AsRef::as_ref), Some("up"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_answered_when_queries_see_it() {
    let (first, _serving) = origin().await;
    let (second, _also) = origin().await;
    let server = Server::start(snapshot(&[first], None));
    server.handle.ready().await;
    assert_eq!(server.handle.published.load().generation, 1);
    assert_eq!(server.handle.reload(snapshot(&[first, second], None)).await, Ok(2));
    let world = server.handle.published.load();
    assert_eq!((world.generation, world.snapshot.model.pools.len()), (2, 2));
    assert!(usable(&world, 0), "what is unchanged is known");
    server.until(|world| usable(world, 1)).await;
    let handle = server.handle.clone();
    server.stop().await;
    assert!(handle.reload(snapshot(&[first], None)).await.is_err(), "after the end it says so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_obeyed_and_told() {
    let (first, _serving) = origin().await;
    let server = Server::start(snapshot(&[first], None));
    server.handle.ready().await;
    let drain = Forced {
        order: Order::Drain,
        reason: "kernel".into(),
        by: "ada".into(),
        since: Moment::default(),
        begins: Moment::default(),
        until: None,
    };
    let set = || Change::Set(drain.clone());
    assert_eq!(server.handle.order("region/eu", set(), true).await, Ok(()));
    assert!(server.handle.published.load().health.pool(PoolId(0)).withdrawn, "published when it is told");
    assert!(*server.handle.turns().borrow() >= 2, "the region's turn and its pool's can be followed");
    let end = Change::End { aspect: None, by: "ada".into() };
    assert_eq!(server.handle.order("region/eu", end, false).await, Ok(()));
    assert!(usable(&server.handle.published.load(), 0));
    let unknown = Refusal::Unknown("there is no pool `none`; there is `p0`".into());
    assert_eq!(server.handle.order("pool/none", set(), false).await, Err(unknown));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_knows_what_was_known() {
    let dir = tempfile::tempdir().unwrap();
    let state_dir = dir.path().join("made/when/missing");
    let (first, serving) = origin().await;
    let (second, _also) = origin().await;
    serving.abort();
    let _ = serving.await;
    let server = Server::start(snapshot(&[first, second], Some(&state_dir)));
    server.handle.ready().await;
    server.until(|world| usable(world, 1)).await;
    server.stop().await;
    // Not run: nothing is probed, so what it says is what it read.
    let (_keeper, handle, _jobs) = Keeper::new(snapshot(&[first, second], Some(&state_dir)), Clock::start());
    let world = handle.published.load();
    assert_eq!((usable(&world, 0), usable(&world, 1)), (false, true));
    assert!(!handle.is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_is_succeeded_saves_and_takes_no_order_and_a_silent_one_saves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, _serving) = origin().await;
    let server = Server::start(snapshot(&[origin], Some(dir.path())));
    server.handle.ready().await;
    server.until(|world| usable(world, 0)).await;
    let file = dir.path().join("standings.json");

    server.handle.play(Part::Succeeded).await.unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("\"up\": true"), "saved when the part is played");
    let drain = Change::Set(Forced {
        order: Order::Drain,
        reason: String::new(),
        by: "ada".to_owned(),
        since: Moment::default(),
        begins: Moment::default(),
        until: None,
    });
    assert_eq!(server.handle.order("pool/p0", drain.clone(), true).await, Err(Refusal::Stopping));

    server.handle.play(Part::Alone).await.unwrap();
    assert_eq!(server.handle.order("pool/p0", drain, true).await, Ok(()), "the successor did not make it");

    server.handle.play(Part::Silent).await.unwrap();
    fs::write(&file, "of the successor").unwrap();
    server.stop().await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "of the successor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_timeout_ends_the_wait() {
    // Accepts nothing: the queue is full, so the first round ends only with the probe's timeout.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let full = socket.local_addr().unwrap().as_socket().unwrap();
    let _queued: Vec<_> =
        (0..4).map(|_| std::net::TcpStream::connect_timeout(&full, Duration::from_millis(20))).collect();
    let snapshot = snapshot(&[full], None);
    let mut model = Model::clone(&snapshot.model);
    model.server.start_timeout = Duration::from_millis(100);
    model.checks[0].timeout = Duration::from_secs(3600);
    let server = Server::start(compile(Arc::new(model)));
    tokio::time::timeout(PATIENCE, server.handle.ready()).await.expect("ready without the first round");
    assert!(!server.handle.ask(Ledger::first_round_done).await.unwrap());
    server.stop().await;
}

#[test]
fn the_state_file_gives_back_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = StateFile::open(dir.path()).unwrap();
    let now = Moment::from_secs(1_700_000_000);
    assert_eq!(file.read(now), (HashMap::new(), None), "no file is no problem");
    let origins: Vec<SocketAddr> = vec!["192.0.2.1:80".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap()];
    let model = snapshot(&origins, None).model.clone();
    let key = |i| EndpointKey::of(&model, EndpointId(i));
    let known = HashMap::from([(key(0), Standing::Up), (key(1), Standing::Down)]);
    let ledger = Ledger::new(model.clone(), &known, 1, now);
    file.write(&state::text(&ledger, now)).unwrap();
    assert_eq!(file.read(now), (known, None));
}

#[test]
fn a_state_file_that_can_not_be_read_is_set_aside_and_reported() {
    let now = Moment::from_secs(1_700_000_000);
    for bad in ["", "{", "[]", r#"{"version":2,"written":0,"endpoints":[]}"#, "\u{0}\u{0}", "{\"version\":1}"] {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::open(dir.path()).unwrap();
        fs::write(dir.path().join("standings.json"), bad).unwrap();
        let (known, problem) = file.read(now);
        assert!(known.is_empty());
        let problem = problem.expect("a problem").to_string();
        assert!(problem.contains("standings.json") && problem.contains("bad-1700000000"), "{problem}");
        assert_eq!(fs::read_to_string(dir.path().join("standings.json.bad-1700000000")).unwrap(), bad);
        assert_eq!(file.read(now), (HashMap::new(), None), "and is gone from its place");
    }
}
