//! Orders from the outside: taken by a running keeper, kept over restarts and crashes, begun and ended on time, refused
//! where they would hurt.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rhumb::config;
use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::health::forced::{Aspect, Change, Forced, Order, Phase, Refusal};
use rhumb::health::orders::OrderListed;
use rhumb::model::{EndpointId, Model, Moment, PoolId};
use rhumb::runtime::clock::Clock;
use rhumb::runtime::keeper::{Handle, Keeper};
use rhumb::snapshot::Snapshot;
use rhumb::zone::read::ZoneFile;
use tokio::task::JoinHandle;

/// Nothing here takes longer unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pools of endpoints that nothing probes, in regions of their own, and VIPs over them.
fn text(state_dir: Option<&Path>, pools: &[&str], rest: &str) -> String {
    let state = state_dir.map(|dir| format!("state_dir = {:?}\n", dir.display().to_string())).unwrap_or_default();
    let mut text = format!("[server]\nlisten = [\"127.0.0.1:5300\"]\n{state}");
    for (at, pool) in pools.iter().enumerate() {
        text += &format!(
            "[region.r-{pool}]\n[pool.{pool}]\nregion = \"r-{pool}\"\n\
             endpoints = [{{ address = \"192.0.{at}.1\" }}, {{ address = \"192.0.{at}.2\" }}]\n"
        );
    }
    text + rest
}

fn snapshot(text: &str) -> Arc<Snapshot> {
    let loaded = config::read(Path::new("orders.toml"), text);
    let model = Arc::new(loaded.unwrap_or_else(|refused| panic!("{:#?}", refused.problems)).model);
    compile(model)
}

fn compile(model: Arc<Model>) -> Arc<Snapshot> {
    let atlas = Arc::new(Atlas::of_networks(&[]));
    let zone = b"$TTL 300\n@ SOA ns1 hostmaster 1 1h 15m 1w 60\n@ NS ns1\nns1 A 192.0.2.53\n";
    let apex = "example.org".parse().unwrap();
    let mut no_other = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let zone = ZoneFile::parse(zone, Path::new("example.org.zone"), Some(&apex), &mut no_other).unwrap();
    Arc::new(Snapshot::compile(model, vec![zone], atlas, &LatencyTable::default()).unwrap().0)
}

/// A keeper at work.
struct Server {
    clock: Clock,
    handle: Handle,
    keeper: JoinHandle<()>,
}

impl Server {
    fn start(snapshot: Arc<Snapshot>) -> Self {
        let clock = Clock::start();
        let (keeper, handle, _jobs) = Keeper::new(snapshot, clock);
        Server { clock, handle, keeper: tokio::spawn(keeper.run()) }
    }

    fn papers(&self, order: Order, begins_in: Duration, lasts: Option<Duration>) -> Forced {
        let since = self.clock.now();
        let begins = since + begins_in;
        let until = lasts.map(|lasts| begins + lasts);
        Forced { order, reason: "kernel".into(), by: "ada".into(), since, begins, until }
    }

    async fn set(&self, subject: &str, order: Order) -> Result<(), Refusal> {
        self.set_for(subject, order, None).await
    }

    async fn set_for(&self, subject: &str, order: Order, lasts: Option<Duration>) -> Result<(), Refusal> {
        let forced = self.papers(order, Duration::ZERO, lasts);
        self.handle.order(subject, Change::Set(forced), false).await
    }

    async fn end(&self, subject: &str, aspect: Option<Aspect>) -> Result<(), Refusal> {
        self.handle.order(subject, Change::End { aspect, by: "bob".into() }, false).await
    }

    async fn listed(&self) -> Vec<(String, Order, Phase)> {
        let listed = self.handle.ask(|ledger| ledger.orders()).await.unwrap();
        listed.into_iter().map(|OrderListed { subject, forced, phase, .. }| (subject, forced.order, phase)).collect()
    }

    /// Every turn so far, in a line each.
    async fn turns(&self) -> Vec<String> {
        let turns = |ledger: &rhumb::health::ledger::Ledger| {
            ledger.journal().read(0).map(|(_, turn)| turn.to_string()).collect::<Vec<_>>()
        };
        self.handle.ask(turns).await.unwrap()
    }

    fn withdrawn(&self, pool: usize) -> bool {
        self.handle.published.load().health.pool(PoolId::from(pool)).withdrawn
    }

    fn holds_for(&self, pool: usize) -> u32 {
        self.handle.published.load().health.pool(PoolId::from(pool)).holds_for
    }

    /// As kill -9 does: nothing is saved.
    async fn crash(self) {
        self.keeper.abort();
        let _ = self.keeper.await;
    }
}

async fn until(so: impl Fn() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it comes to be so");
}

#[tokio::test]
async fn what_was_confirmed_survives_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = snapshot(&text(Some(dir.path()), &["eu", "us"], ""));
    let server = Server::start(snapshot.clone());
    assert_eq!(server.handle.orders_kept_in(), Some(dir.path()));
    server.set("region/r-eu", Order::Drain).await.unwrap();
    server.set("endpoint/us/192.0.1.1", Order::Weight(7)).await.unwrap();
    server.set("endpoint/us/192.0.1.1", Order::Maint).await.unwrap();
    server.set("endpoint/us/192.0.1.2", Order::Up).await.unwrap();
    server.end("endpoint/us/192.0.1.2", None).await.unwrap();
    let listed = server.listed().await;
    server.crash().await;
    let server = Server::start(snapshot);
    let expected = [
        ("region/r-eu", Order::Drain),
        ("endpoint/us/192.0.1.1", Order::Maint),
        ("endpoint/us/192.0.1.1", Order::Weight(7)),
    ];
    assert_eq!(server.listed().await, expected.map(|(name, order)| (name.to_owned(), order, Phase::InForce)));
    assert_eq!(server.listed().await, listed);
    let world = server.handle.published.load();
    assert!(world.health.pool(PoolId(0)).withdrawn);
    assert!(world.health.endpoint(EndpointId(2)).withdrawn);
    assert_eq!(world.health.weight_ordered(EndpointId(2)), Some(7));
    let turns = server.turns().await;
    let kept = r#"region=r-eu up -> drain reason="kernel by ada, kept over a restart" effective=drain"#;
    assert!(turns.contains(&kept.to_owned()), "{turns:#?}");
    server.end("endpoint/us/192.0.1.1", Some(Aspect::State)).await.unwrap();
    let left = [("region/r-eu", Order::Drain), ("endpoint/us/192.0.1.1", Order::Weight(7))];
    assert_eq!(server.listed().await, left.map(|(name, order)| (name.to_owned(), order, Phase::InForce)));
}

#[tokio::test]
async fn an_order_ends_on_time_and_while_nobody_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = snapshot(&text(Some(dir.path()), &["eu", "us"], ""));
    let server = Server::start(snapshot.clone());
    let asked = server.clock.now();
    server.set_for("pool/eu", Order::Drain, Some(Duration::from_millis(700))).await.unwrap();
    assert!(server.withdrawn(0));
    until(|| !server.withdrawn(0)).await;
    let held = server.clock.now() - asked;
    assert!(held >= Duration::from_millis(700) && held < Duration::from_millis(900), "{held:?}");
    let turns = server.turns().await;
    let expired = r#"pool=eu drain -> up reason="drain expired (kernel by ada)" effective=up"#;
    assert!(turns.contains(&expired.to_owned()), "{turns:#?}");
    // The second one ends while the server is not there.
    server.set_for("pool/eu", Order::Drain, Some(Duration::from_millis(300))).await.unwrap();
    server.set_for("pool/us", Order::Maint, None).await.unwrap();
    let ended = server.clock.now() + Duration::from_millis(300);
    let clock = server.clock;
    server.crash().await;
    until(|| clock.now() > ended).await;
    let server = Server::start(snapshot.clone());
    assert!(!server.withdrawn(0) && server.withdrawn(1));
    let turns = server.turns().await;
    let expired = "drain expired while the server was not running (kernel by ada)";
    assert!(turns.iter().any(|turn| turn.contains(expired)), "{turns:#?}");
    // The file forgets it.
    until(|| !fs::read_to_string(dir.path().join("overrides.json")).unwrap().contains("pool/eu")).await;
    server.crash().await;
    let server = Server::start(snapshot);
    assert!(!server.turns().await.iter().any(|turn| turn.contains("expired")));
}

#[tokio::test]
async fn a_planned_order_lowers_ttls_and_begins_by_itself() {
    let snapshot = snapshot(&text(
        None,
        &["eu", "us"],
        "[vip.\"www.example.org.\"]\npolicy = \"failover\"\nttl = \"60s\"\npools = [{ pool = \"eu\" }, { pool = \"us\" }]\n",
    ));
    let server = Server::start(snapshot);
    assert_eq!(server.handle.orders_kept_in(), None, "whoever orders can be told");
    let (wait, lasts) = (Duration::from_millis(2_300), Duration::from_millis(300));
    let drain = server.papers(Order::Drain, wait, Some(lasts));
    let (begins, ends) = (drain.begins, drain.until.unwrap());
    server.handle.order("region/r-eu", Change::Set(drain), false).await.unwrap();
    assert_eq!(server.listed().await, [("region/r-eu".to_owned(), Order::Drain, Phase::Planned)]);
    assert!(!server.withdrawn(0));
    assert_eq!(server.holds_for(0), 2, "answers end before it begins");
    until(|| server.holds_for(0) == 1).await;
    assert!(begins - server.clock.now() <= Duration::from_secs(2));
    until(|| server.holds_for(0) == 0).await;
    assert!(!server.withdrawn(0));
    until(|| server.withdrawn(0)).await;
    let late = server.clock.now() - begins;
    assert!(server.clock.now() >= begins && late < Duration::from_millis(200), "{late:?}");
    assert_eq!(server.listed().await, [("region/r-eu".to_owned(), Order::Drain, Phase::InForce)]);
    until(|| !server.withdrawn(0)).await;
    let late = server.clock.now() - ends;
    assert!(server.clock.now() >= ends && late < Duration::from_millis(200), "{late:?}");
    let turns = server.turns().await;
    let turns: Vec<&str> = turns.iter().map(String::as_str).filter(|turn| turn.starts_with("region")).collect();
    let expected = [
        r#"region=r-eu up -> drain planned reason="kernel by ada, begins in 2 s" effective=up"#,
        r#"region=r-eu up -> drain reason="kernel by ada" effective=drain"#,
        r#"region=r-eu drain -> up reason="drain expired (kernel by ada)" effective=up"#,
    ];
    assert_eq!(turns, expected);
}

#[tokio::test]
async fn orders_sleep_while_their_subject_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let both = snapshot(&text(Some(dir.path()), &["eu", "us"], ""));
    let one = snapshot(&text(Some(dir.path()), &["eu"], ""));
    let server = Server::start(both.clone());
    server.set("pool/us", Order::Drain).await.unwrap();
    server.set("endpoint/us/192.0.1.2", Order::Weight(3)).await.unwrap();
    server.handle.reload(one.clone()).await.unwrap();
    let asleep = [("pool/us", Order::Drain), ("endpoint/us/192.0.1.2", Order::Weight(3))];
    let asleep = asleep.map(|(name, order)| (name.to_owned(), order, Phase::Dormant));
    assert_eq!(server.listed().await, asleep);
    let turns = server.turns().await;
    let slept = r#"pool=us drain -> dormant reason="kernel by ada; there is no such pool any more" effective=dormant"#;
    assert!(turns.contains(&slept.to_owned()), "{turns:#?}");
    let refused = server.set("pool/us", Order::Maint).await.unwrap_err().to_string();
    assert!(refused.contains("sleeps, and can only be ended"), "{refused}");
    // Asleep, too, they outlive a crash, and what is ordered of others does not lose them.
    server.set("pool/eu", Order::Drain).await.unwrap();
    server.crash().await;
    let server = Server::start(one);
    assert_eq!(server.listed().await.len(), 3);
    server.end("endpoint/us/192.0.1.2", None).await.unwrap();
    server.handle.reload(both).await.unwrap();
    assert!(server.withdrawn(1), "it is back, and drained");
    assert_eq!(server.handle.published.load().health.weight_ordered(EndpointId(3)), None);
    let turns = server.turns().await;
    let woke = r#"pool=us dormant -> drain reason="kernel by ada; the pool is back" effective=drain"#;
    assert!(turns.contains(&woke.to_owned()), "{turns:#?}");
}

#[tokio::test]
async fn what_cannot_be_saved_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let server = Server::start(snapshot(&text(Some(&state), &["eu"], "")));
    server.set("pool/eu", Order::Weight(1)).await.unwrap_err();
    server.set("endpoint/eu/192.0.0.1", Order::Drain).await.unwrap();
    // A file where the directory was; root may write anywhere, so permissions would show nothing.
    fs::remove_dir_all(&state).unwrap();
    fs::write(&state, "").unwrap();
    let refused = server.set("pool/eu", Order::Drain).await;
    assert!(matches!(refused, Err(Refusal::NotSaved(_))), "{refused:?}");
    assert!(!server.withdrawn(0));
    assert_eq!(server.listed().await.len(), 1);
    fs::remove_file(&state).unwrap();
    server.set("pool/eu", Order::Drain).await.unwrap();
    assert!(server.withdrawn(0));
}

#[tokio::test]
async fn a_bad_file_loses_no_good_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("overrides.json");
    let snapshot = snapshot(&text(Some(dir.path()), &["eu", "us"], ""));
    let server = Server::start(snapshot.clone());
    server.set("pool/eu", Order::Drain).await.unwrap();
    server.set("pool/us", Order::Drain).await.unwrap();
    server.crash().await;
    let torn = fs::read_to_string(&file).unwrap().replace("pool/eu", "pool\u{0}");
    fs::write(&file, &torn).unwrap();
    let server = Server::start(snapshot.clone());
    assert_eq!(server.listed().await, [("pool/us".to_owned(), Order::Drain, Phase::InForce)]);
    // The file is written anew, and the bad one kept.
    until(|| !fs::read_to_string(&file).unwrap().contains('\u{0}')).await;
    let aside = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let aside = aside.filter(|path| path.to_string_lossy().contains("overrides.json.bad-")).collect::<Vec<_>>();
    assert_eq!(aside.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>(), [torn]);
    server.crash().await;
    assert_eq!(Server::start(snapshot).listed().await.len(), 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_sentence() {
    let server = Server::start(snapshot(&text(None, &["eu", "us"], "")));
    let said = async |subject: &str, order| server.set(subject, order).await.unwrap_err().to_string();
    assert_eq!(said("pool/eu", Order::Weight(2)).await, "pool/eu has no weight of its own: order one of an endpoint");
    assert!(said("region/r-eu", Order::Up).await.starts_with("a region is not forced up"));
    assert_eq!(said("endpoint/eu/192.0.0.1", Order::Weight(70_000)).await, "a weight is at most 65535, not 70000");
    assert_eq!(said("pool/us1", Order::Drain).await, "there is no pool `us1`; a similar name exists: `us`");
    let mut drain = server.papers(Order::Drain, Duration::from_secs(60), None);
    drain.until = Some(server.clock.now() + Duration::from_secs(30));
    let refused = server.handle.order("pool/eu", Change::Set(drain.clone()), false).await;
    assert_eq!(refused, Err(Refusal::Invalid("it would end before it begins".into())));
    drain.until = Some(Moment::from_secs(1));
    let refused = server.handle.order("pool/eu", Change::Set(drain), false).await;
    assert_eq!(refused, Err(Refusal::Invalid("its end has passed already".into())));
    server.set("pool/eu", Order::Drain).await.unwrap();
    let later = server.papers(Order::Maint, Duration::from_secs(60), None);
    let refused = server.handle.order("pool/eu", Change::Set(later.clone()), false).await.unwrap_err().to_string();
    assert!(refused.contains("under drain now (kernel by ada)"), "{refused}");
    // Nor when the one in force ends before the later one begins: it would end at once.
    server.set_for("pool/eu", Order::Drain, Some(Duration::from_secs(30))).await.unwrap();
    let refused = server.handle.order("pool/eu", Change::Set(later), false).await.unwrap_err().to_string();
    assert!(refused.contains("under drain now (kernel by ada)"), "{refused}");
    assert!(server.withdrawn(0));
    assert!(server.end("pool/us", None).await.is_ok(), "ending nothing is done already");
    assert_eq!(server.listed().await.len(), 1);
}

const VIPS: &str = r#"
[vip."one.example.org."]
policy = "failover"
pools = [{ pool = "eu" }, { pool = "us" }]
[vip."eu-only.example.org."]
policy = "failover"
pools = [{ pool = "eu" }]
[vip."fenced.example.org."]
policy = "geolocation"
rules = [{ geos = ["EU"], pool = "eu", geofence = true }, { pool = "us" }]
"#;

fn stranding(refused: Result<(), Refusal>) -> Vec<String> {
    match refused {
        Ok(()) => Vec::new(),
        Err(Refusal::Unsafe { vips, more: 0 }) => vips,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_order_that_leaves_a_vip_without_a_pool_is_refused() {
    let server = Server::start(snapshot(&text(None, &["eu", "us", "ap"], VIPS)));
    let named = |names: &[&str]| names.iter().map(|name| format!("{name}.example.org.")).collect::<Vec<_>>();
    for (subject, order) in [("region/r-eu", Order::Drain), ("pool/eu", Order::Maint), ("pool/eu", Order::Down)] {
        assert_eq!(stranding(server.set(subject, order).await), named(&["eu-only", "fenced"]), "{subject}");
        assert!(!server.withdrawn(0));
    }
    assert_eq!(stranding(server.set("pool/ap", Order::Drain).await), named(&[]), "nobody needs it");
    assert_eq!(stranding(server.set("endpoint/eu/192.0.0.1", Order::Drain).await), named(&[]), "one is left");
    assert_eq!(stranding(server.set("endpoint/eu/192.0.0.2", Order::Drain).await), named(&["eu-only", "fenced"]));
    assert_eq!(stranding(server.set("pool/us", Order::Drain).await), named(&[]));
    assert_eq!(
        stranding(server.set("endpoint/eu/192.0.0.2", Order::Down).await),
        named(&["one", "eu-only", "fenced"]),
        "the last one of all"
    );
    let drain = Change::Set(server.papers(Order::Drain, Duration::ZERO, None));
    assert_eq!(server.handle.order("pool/eu", drain, true).await, Ok(()), "unless it is ordered all the same");
    assert_eq!(stranding(server.set("region/r-eu", Order::Drain).await), named(&[]), "they have none now");
}

#[tokio::test]
async fn orders_that_are_planned_count_when_they_hold_at_the_same_time() {
    let server = Server::start(snapshot(&text(None, &["eu", "us", "ap"], VIPS)));
    let at = |minutes: u64| Duration::from_secs(minutes * 60);
    let drain = |begins, lasts| Change::Set(server.papers(Order::Drain, at(begins), Some(at(lasts))));
    assert_eq!(server.handle.order("pool/us", drain(60, 30), false).await, Ok(()));
    let one = vec!["eu-only.example.org.".to_owned(), "fenced.example.org.".to_owned(), "one.example.org.".to_owned()];
    let mut refused = stranding(server.handle.order("pool/eu", drain(80, 30), false).await);
    refused.sort();
    assert_eq!(refused, one, "the last ten minutes of the one are the first of the other");
    let mut refused = stranding(server.handle.order("pool/eu", drain(90, 30), false).await);
    refused.sort();
    assert_eq!(refused, one[..2], "one after the other leaves `one` its pools");
    // A drain that ends before the other begins does no harm, though it is in force now.
    assert_eq!(server.handle.order("pool/us", drain(0, 10), true).await, Ok(()));
    let mut refused = stranding(server.handle.order("pool/eu", drain(20, 10), false).await);
    refused.sort();
    assert_eq!(refused, one[..2]);
}

#[tokio::test]
async fn an_order_that_takes_another_s_place_is_judged_like_a_new_one() {
    let server = Server::start(snapshot(&text(None, &["eu", "us", "ap"], VIPS)));
    let at = |minutes: u64| Duration::from_secs(minutes * 60);
    let drain = |begins, lasts| Change::Set(server.papers(Order::Drain, at(begins), Some(at(lasts))));
    assert_eq!(server.handle.order("pool/eu", drain(60, 60), true).await, Ok(()));
    assert_eq!(server.handle.order("pool/us", drain(0, 10), false).await, Ok(()), "over before the other begins");
    let mut refused = stranding(server.handle.order("pool/us", drain(0, 90), false).await);
    refused.sort();
    assert_eq!(refused, ["fenced.example.org.", "one.example.org."], "now it is not");
    assert_eq!(stranding(server.handle.order("pool/us", drain(0, 20), false).await), [""; 0]);
    assert_eq!(server.set("pool/eu", Order::Up).await, Ok(()));
    let turns = server.turns().await;
    let off = r#"pool=eu up -> forced-up reason="kernel by ada; the planned drain (kernel by ada) is off" effective=forced-up"#;
    assert!(turns.contains(&off.to_owned()), "{turns:#?}");
}

#[tokio::test]
async fn each_moment_of_an_order_s_time_is_judged_by_itself() {
    let vips = "[vip.\"three.example.org.\"]\npolicy = \"failover\"\n\
        pools = [{ pool = \"eu\" }, { pool = \"us\" }, { pool = \"ap\" }]\n\
        [vip.\"two.example.org.\"]\npolicy = \"failover\"\npools = [{ pool = \"eu\" }, { pool = \"us\" }]\n";
    let server = Server::start(snapshot(&text(None, &["eu", "us", "ap"], vips)));
    let at = |minutes: u64| Duration::from_secs(minutes * 60);
    let drain = |begins, lasts| Change::Set(server.papers(Order::Drain, at(begins), Some(at(lasts))));
    assert_eq!(server.handle.order("pool/eu", drain(10, 10), false).await, Ok(()));
    assert_eq!(server.handle.order("region/r-us", drain(30, 10), false).await, Ok(()), "when the former is over");
    assert_eq!(server.handle.order("pool/ap", drain(0, 60), false).await, Ok(()), "there is always one of the others");
    let refused = stranding(server.handle.order("pool/us", drain(0, 60), false).await);
    assert_eq!(
        refused,
        ["three.example.org.", "two.example.org."],
        "in ten minutes there is none, whatever comes then"
    );
}

#[tokio::test]
async fn a_weight_that_leaves_too_few_in_a_pool_is_refused() {
    let text = text(None, &["eu"], VIPS.split("[vip").nth(2).map(|vip| format!("[vip{vip}")).unwrap().as_str());
    let server = Server::start(snapshot(&text.replace("region = \"r-eu\"", "region = \"r-eu\"\nmin_healthy = 2")));
    let refused = server.set("endpoint/eu/192.0.0.1", Order::Weight(0)).await;
    assert_eq!(stranding(refused), ["eu-only.example.org."], "it would stand by, and one alone does not do");
    assert_eq!(server.set("endpoint/eu/192.0.0.1", Order::Weight(9)).await, Ok(()));
    let weight = Change::Set(server.papers(Order::Weight(0), Duration::ZERO, None));
    assert_eq!(server.handle.order("endpoint/eu/192.0.0.1", weight, true).await, Ok(()));
    assert!(!server.handle.published.load().health.pool(PoolId(0)).usable);
}

#[tokio::test]
async fn orders_that_come_at_once_are_judged_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let vip = "[vip.\"one.example.org.\"]\npolicy = \"hash\"\npools = [{ pool = \"eu\" }, { pool = \"us\" }]\n";
    let server = Server::start(snapshot(&text(Some(dir.path()), &["eu", "us"], vip)));
    let (eu, us) = tokio::join!(server.set("pool/eu", Order::Drain), server.set("pool/us", Order::Drain));
    assert_ne!(eu.is_ok(), us.is_ok(), "{eu:?} {us:?}");
    let many = (0..200).map(|i| {
        let subject = format!("endpoint/{}/192.0.{}.1", ["eu", "us"][i % 2], i % 2);
        let forced = server.papers(Order::Weight(i as u32), Duration::ZERO, None);
        let handle = server.handle.clone();
        tokio::spawn(async move { handle.order(&subject, Change::Set(forced), false).await })
    });
    for order in many.collect::<Vec<_>>() {
        assert_eq!(order.await.unwrap(), Ok(()));
    }
    assert_eq!(server.listed().await.len(), 3);
}

/// A hundred thousand VIPs, each with pools of its own choice, over ten thousand pools in twenty regions.
#[test]
fn judging_an_order_among_a_hundred_thousand_vips_is_quick() {
    use rhumb::health::ledger::Ledger;
    use rhumb::model::{Member, Policy, RegionId};
    use rhumb::steering::{Judged, Safety};
    use std::collections::HashMap;
    let base = snapshot(&text(None, &["eu", "us"], VIPS)).model.clone();
    let mut big = Model {
        pools: Vec::new(),
        endpoints: Vec::new(),
        vips: Vec::new(),
        regions: Vec::new(),
        ..Model::clone(&base)
    };
    big.regions = (0..20).map(|i| rhumb::model::Region { name: format!("r{i}"), ..base.regions[0].clone() }).collect();
    for pool in 0..10_000u32 {
        for host in 0..3u8 {
            let address = [10, host, (pool / 256) as u8, (pool % 256) as u8].into();
            big.endpoints.push(rhumb::model::Endpoint { pool: PoolId(pool), address, ..base.endpoints[0].clone() });
        }
        let (region, endpoints) = (RegionId(pool % 20), pool * 3..pool * 3 + 3);
        big.pools.push(rhumb::model::Pool { name: format!("p{pool}"), region, endpoints, ..base.pools[0].clone() });
    }
    for vip in 0..100_000u32 {
        let pool = |n: u32| Member { pool: PoolId((vip / 10 + n * 7) % 10_000), weight: 1, bias: 0 };
        let policy = Policy::Failover((0..=vip % 3).map(pool).collect());
        big.vips.push(rhumb::model::Vip { name: format!("v{vip}.example.org."), policy, ..base.vips[0].clone() });
    }
    let (clock, model) = (Clock::start(), Arc::new(big));
    let started = clock.now();
    let safety = Safety::of(&model);
    let built = clock.now() - started;
    let now = Moment::from_secs(1_700_000_000);
    let ledger = Ledger::new(model.clone(), &HashMap::new(), 1, now);
    let (standings, table, orders) = (ledger.standings(), ledger.table(), &ledger.standings().orders);
    let (reason, by) = (String::new(), String::new());
    let forced = &Forced { order: Order::Drain, reason, by, since: now, begins: now, until: None };
    let judge = |subject: &str| {
        let subject = rhumb::health::names::resolve(&model, subject).unwrap();
        let started = clock.now();
        let stranded = safety.stranded(&model, Judged { standings, table, orders, subject, forced }, now);
        (stranded.len(), clock.now() - started)
    };
    let (region, pool) = (judge("region/r3"), judge("pool/p3"));
    eprintln!("100,000 VIPs: built in {built:?}; a region's drain judged in {:?}, a pool's in {:?}", region.1, pool.1);
    // A third of the VIPs have one pool; of ten VIPs with the same first pool, three or four.
    assert!((1_600..1_700).contains(&region.0) && (3..=4).contains(&pool.0), "{region:?} {pool:?}");
    // Debug builds on a busy machine: an order of magnitude above what is measured.
    assert!(region.1 < Duration::from_millis(200), "{region:?}");
}
