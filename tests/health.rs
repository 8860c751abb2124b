//! The health table and the ledger over whole configurations.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rhumb::config;
use rhumb::health::belief::Standing;
use rhumb::health::ejection::Ejection;
use rhumb::health::forced::{Change, Forced, Order};
use rhumb::health::ledger::{Ledger, Step};
use rhumb::health::names::EndpointKey;
use rhumb::health::probe::{ProbeResult, ReasonCode};
use rhumb::health::table::{EndpointHealth, HOLDS_FOREVER, HealthTable, PoolHealth};
use rhumb::model::{Endpoint, EndpointId, Model, Moment, PoolId};

/// A pool as the tests write it: name, region, check, `min_healthy`, and endpoints with weights.
type PoolText<'a> = (&'a str, &'a str, &'a str, u32, &'a [(&'a str, u32)]);

const CHECKS: &str = r#"
[health_check.web]
type = "tcp"
port = 80
interval = "10s"
fast = "2s"
timeout = "1s"
[health_check.off]
type = "none"
[region.eu]
location = [50.11, 8.68]
[region.us]
location = [39.04, -77.49]
"#;

fn model(pools: &[PoolText<'_>]) -> Arc<Model> {
    let mut text = "[server]\nlisten = [\"127.0.0.1:5300\"]\n".to_owned() + CHECKS;
    for (name, region, check, min_healthy, endpoints) in pools {
        let endpoints =
            endpoints.iter().map(|(address, weight)| format!("{{ address = {address:?}, weight = {weight} }}"));
        let endpoints = endpoints.collect::<Vec<_>>().join(", ");
        write!(text, "[pool.{name}]\nregion = {region:?}\nhealth_check = {check:?}\nmin_healthy = {min_healthy}\nendpoints = [{endpoints}]\n")
            .unwrap();
    }
    read(&text)
}

fn read(text: &str) -> Arc<Model> {
    match config::read(Path::new("test.toml"), text) {
        Ok(loaded) => Arc::new(loaded.model),
        Err(refused) => panic!("{}\n{text}", refused.problems.iter().map(|p| format!("{p}\n")).collect::<String>()),
    }
}

/// A ledger in virtual time whose endpoints pass or fail as told.
struct Play {
    ledger: Ledger,
    now: Moment,
    failing: Vec<String>,
    /// How many probes each address got.
    asked: HashMap<String, u32>,
}

impl Play {
    fn start(model: &Arc<Model>) -> Self {
        let now = Moment::from_secs(1_000);
        let ledger = Ledger::new(model.clone(), &HashMap::new(), 7, now);
        Play { ledger, now, failing: Vec::new(), asked: HashMap::new() }
    }

    /// Runs so long, each probe taking no time.
    fn run(&mut self, seconds: u64) -> &mut Self {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.ledger.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            for job in self.ledger.due(self.now) {
                let address = job.target.address.ip().to_string();
                let reason = if self.failing.contains(&address) { ReasonCode::L4Con } else { ReasonCode::L4Ok };
                *self.asked.entry(address).or_default() += 1;
                let _ = self.ledger.probed(job.id, &ProbeResult::new(reason, "", Duration::ZERO), self.now);
            }
        }
        self.now = end;
        self
    }

    fn fail(&mut self, addresses: &[&str]) -> &mut Self {
        self.failing = addresses.iter().map(|a| (*a).to_owned()).collect();
        self
    }

    fn order(&mut self, subject: &str, order: Option<Order>, until: Option<u64>) {
        let change = match order {
            Some(order) => Change::Set(self.papers(order, 0, until)),
            None => Change::End { aspect: None, by: "test".into() },
        };
        let _ = self.change(subject, change);
    }

    /// An order that begins so many seconds from now and ends so many after that.
    fn papers(&self, order: Order, begins_in: u64, lasts: Option<u64>) -> Forced {
        let begins = self.now + Duration::from_secs(begins_in);
        let until = lasts.map(|seconds| begins + Duration::from_secs(seconds));
        Forced { order, reason: "test".into(), by: "test".into(), since: self.now, begins, until }
    }

    fn change(&mut self, subject: &str, change: Change) -> Step {
        let name = self.ledger.subject(subject).expect("the subject is known");
        self.ledger.order(&name, change, self.now)
    }

    fn key(&self, endpoint: usize) -> EndpointKey {
        EndpointKey::of(self.ledger.model(), EndpointId::from(endpoint))
    }

    /// A proxy says that requests to an endpoint fail; it rests so many seconds.
    fn eject(&mut self, endpoint: usize, seconds: u64) -> Step {
        let until = self.now + Duration::from_secs(seconds);
        let reason = "5 failures in a row (status 503)".to_owned();
        self.ledger.ejected(&self.key(endpoint), Ejection { since: self.now, until, reason }, self.now)
    }

    fn readmit(&mut self, endpoint: usize) -> Step {
        self.ledger.readmitted(&self.key(endpoint), self.now, self.now)
    }

    fn keep_time(&mut self, seconds: u64) -> Step {
        self.run(seconds);
        self.ledger.keep_time(self.now)
    }

    /// Which endpoints may be answered.
    fn answered(&self) -> Vec<bool> {
        let ids = (0..self.ledger.model().endpoints.len()).map(EndpointId::from);
        ids.map(|id| self.ledger.table().endpoint(id).usable).collect()
    }

    fn usable(&self) -> Vec<bool> {
        (0..self.ledger.model().pools.len()).map(|i| self.ledger.table().pool(PoolId::from(i)).usable).collect()
    }

    fn standing(&self, endpoint: usize) -> Standing {
        self.ledger.belief(EndpointId::from(endpoint)).standing()
    }
}

#[test]
fn nothing_is_up_by_default() {
    let model = model(&[("web", "eu", "web", 1, &[("192.0.2.1", 1)]), ("free", "us", "off", 1, &[("192.0.2.2", 1)])]);
    let mut play = Play::start(&model);
    assert_eq!(play.usable(), [false, true], "what nothing probes is up");
    assert!(!play.ledger.first_round_done());
    assert_eq!(play.run(2).usable(), [true, true], "one probe decides, within the fast interval");
    assert!(play.ledger.first_round_done());
    assert_eq!(play.ledger.table().pool(PoolId(1)).holds_for, HOLDS_FOREVER);
}

#[test]
fn a_start_tells_what_is_amiss_and_nothing_else() {
    let model = model(&[
        ("good", "eu", "web", 1, &[("192.0.2.1", 1), ("192.0.2.2", 1)]),
        ("half", "eu", "web", 1, &[("192.0.2.3", 1), ("192.0.2.4", 1)]),
        ("dead", "us", "web", 1, &[("192.0.2.5", 1)]),
    ]);
    let told = |play: &Play| {
        let turns = play.ledger.journal().read(0).map(|(_, turn)| format!("{} {} {}", turn.name, turn.from, turn.to));
        let mut turns: Vec<String> = turns.collect();
        turns.sort();
        turns
    };
    let mut play = Play::start(&model);
    play.fail(&["192.0.2.4", "192.0.2.5"]).run(60);
    let amiss = ["dead unknown down", "dead/192.0.2.5 unknown down", "half/192.0.2.4 unknown down"];
    assert_eq!(told(&play), amiss);
    assert_eq!(play.ledger.found(), "3 endpoints up, 2 down; 1 of 3 pools out");
    // What was known before a restart and is found so again is no turn at all; what differs is.
    let known = (0..5).map(|id| {
        let id = EndpointId(id);
        (EndpointKey::of(&model, id), play.ledger.belief(id).standing())
    });
    play.ledger = Ledger::new(model.clone(), &known.collect(), 8, play.now);
    play.run(60);
    assert_eq!(told(&play), [""; 0]);
    play.fail(&["192.0.2.5"]).run(60);
    assert_eq!(told(&play), ["half/192.0.2.4 down up"]);
}

#[test]
fn a_start_with_everything_down_does_not_flood_the_journal() {
    let pools: Vec<(String, String)> = (0..100).map(|i| (format!("p{i}"), format!("192.0.2.{i}"))).collect();
    let endpoints: Vec<[(&str, u32); 1]> = pools.iter().map(|(_, address)| [(address.as_str(), 1)]).collect();
    let texts =
        pools.iter().zip(&endpoints).map(|((name, _), endpoints)| (name.as_str(), "eu", "web", 1, &endpoints[..]));
    let model = model(&texts.collect::<Vec<PoolText<'_>>>());
    let mut play = Play::start(&model);
    let addresses: Vec<&str> = pools.iter().map(|(_, address)| address.as_str()).collect();
    play.fail(&addresses).run(60);
    assert!((10..=30).contains(&play.ledger.journal().written()), "{}", play.ledger.journal().written());
    assert_eq!(play.ledger.found(), "0 endpoints up, 100 down; 100 of 100 pools out");
}

#[test]
fn a_pool_needs_its_minimum() {
    let model = model(&[("web", "eu", "web", 2, &[("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.3", 5)])]);
    let mut play = Play::start(&model);
    assert_eq!(play.run(10).usable(), [true]);
    assert_eq!(play.fail(&["192.0.2.3"]).run(30).usable(), [true]);
    assert_eq!(play.fail(&["192.0.2.3", "192.0.2.2"]).run(30).usable(), [false]);
    assert_eq!(play.ledger.table().pool(PoolId(0)).healthy, 1);
    assert_eq!(play.fail(&["192.0.2.3"]).run(30).usable(), [true]);
}

#[test]
fn standbys_do_not_make_up_the_number() {
    let endpoints = &[("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.8", 0), ("192.0.2.9", 0)];
    let model = model(&[("two", "eu", "web", 2, endpoints), ("one", "eu", "web", 1, &endpoints[1..3])]);
    let mut play = Play::start(&model);
    assert_eq!(play.fail(&["192.0.2.2"]).run(30).usable(), [true, true], "two standbys are enough for `two`");
    assert_eq!(play.fail(&["192.0.2.2", "192.0.2.9"]).run(30).usable(), [false, true], "one of each is not");
}

#[test]
fn a_pool_holds_as_long_as_enough_of_its_endpoints() {
    let model = model(&[("web", "eu", "web", 2, &[("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.3", 1)])]);
    let mut play = Play::start(&model);
    let holds = |play: &Play| play.ledger.table().pool(PoolId(0)).holds_for;
    play.run(20);
    assert_eq!(holds(&play), 14, "settled");
    // One in doubt does not endanger the pool: a second one has to fail too.
    play.failing = vec!["192.0.2.1".into()];
    while play.ledger.belief(EndpointId(0)).last().unwrap().in_a_row != 1
        || play.ledger.belief(EndpointId(0)).last().unwrap().result.passed
    {
        play.step();
    }
    assert_eq!(play.ledger.table().endpoint(EndpointId(0)).holds_for, 4);
    assert_eq!(holds(&play), 14);
    play.fail(&["192.0.2.1", "192.0.2.2"]).run(60);
    assert_eq!(play.usable(), [false]);
    assert_eq!(holds(&play), 12, "the first of two that must pass twice");
    play.order("pool/web", Some(Order::Drain), Some(300));
    assert_eq!(holds(&play), 300);
}

impl Play {
    /// Runs up to the next probe.
    fn step(&mut self) {
        let due = self.ledger.next_due().expect("something is probed");
        self.run(0);
        self.now = due;
        self.run(0);
    }
}

#[test]
fn orders_reach_from_regions_to_endpoints_and_end() {
    let model = model(&[
        ("a", "eu", "web", 1, &[("192.0.2.1", 1), ("192.0.2.2", 1)]),
        ("b", "eu", "web", 1, &[("192.0.2.3", 1)]),
        ("c", "us", "web", 1, &[("192.0.2.4", 1)]),
    ]);
    let mut play = Play::start(&model);
    play.run(10);
    play.order("region/eu", Some(Order::Drain), None);
    assert_eq!(play.usable(), [false, false, true]);
    assert!(play.ledger.table().pool(PoolId(1)).withdrawn);
    play.order("region/eu", None, None);
    assert_eq!(play.usable(), [true, true, true]);
    play.order("endpoint/a/192.0.2.1", Some(Order::Maint), Some(60));
    assert!(play.ledger.table().endpoint(EndpointId(0)).withdrawn);
    assert_eq!(play.ledger.table().pool(PoolId(0)).healthy, 1);
    assert_eq!(play.ledger.table().endpoint(EndpointId(0)).holds_for, 60);
    play.run(59);
    assert!(!play.ledger.keep_time(play.now).flipped);
    assert_eq!(play.ledger.table().endpoint(EndpointId(0)).holds_for, 1);
    play.run(1);
    assert!(play.ledger.keep_time(play.now).flipped);
    assert!(play.ledger.table().endpoint(EndpointId(0)).usable);
    play.order("pool/c", Some(Order::Down), None);
    assert_eq!(play.usable(), [true, true, false]);
    assert!(!play.ledger.table().pool(PoolId(2)).withdrawn, "forced down may still serve when all are down");
    let words: Vec<String> = play.ledger.journal().read(0).map(|(_, turn)| turn.to_string()).collect();
    assert!(words.contains(&"region=eu up -> drain reason=\"test by test\" effective=drain".to_owned()), "{words:#?}");
}

#[test]
fn equal_checks_are_asked_once() {
    let shared = &[("192.0.2.1", 1)];
    let model = model(&[("a", "eu", "web", 1, shared), ("b", "us", "web", 1, shared)]);
    let mut play = Play::start(&model);
    play.run(100);
    assert!((10..=14).contains(&play.asked["192.0.2.1"]), "{:?}", play.asked);
    assert_eq!(play.usable(), [true, true]);
    assert_eq!(play.fail(shared.map(|(a, _)| a).as_slice()).run(30).usable(), [false, false]);
}

#[test]
fn the_first_round_of_thousands_is_spread_and_that_of_a_few_is_quick() {
    let first_round = |count: u32| {
        let base = model(&[("web", "eu", "web", 1, &[("192.0.2.1", 1)])]);
        let mut big = Model::clone(&base);
        let like = base.endpoints[0].clone();
        big.endpoints =
            (0..count).map(|i| Endpoint { address: Ipv4Addr::from(0x0a00_0000 + i).into(), ..like.clone() }).collect();
        big.pools[0].endpoints = 0..count;
        let mut ledger = Ledger::new(Arc::new(big), &HashMap::new(), 7, Moment::from_secs(1_000));
        let mut seconds = vec![0; 10];
        while let Some(due) = ledger.next_due() {
            seconds[due.since(Moment::from_secs(1_000)).as_secs() as usize] += ledger.due(due).len();
        }
        seconds
    };
    assert_eq!(first_round(100)[..2].iter().sum::<usize>(), 100, "within `fast`");
    let many = first_round(30_000);
    assert!(many[..6].iter().all(|count| (4_500..5_500).contains(count)), "{many:?}");
    assert_eq!(many[6..].iter().sum::<usize>(), 0);
}

#[test]
fn a_reload_forgets_nothing_it_need_not() {
    let before = model(&[
        ("web", "eu", "web", 1, &[("192.0.2.1", 1), ("192.0.2.2", 1)]),
        ("old", "us", "web", 1, &[("192.0.2.3", 1)]),
    ]);
    let mut play = Play::start(&before);
    play.fail(&["192.0.2.2"]).run(60);
    play.order("pool/web", Some(Order::Drain), None);
    let after = model(&[
        ("new", "us", "web", 1, &[("192.0.2.3", 1)]),
        ("web", "eu", "web", 1, &[("192.0.2.2", 7), ("192.0.2.4", 1), ("192.0.2.1", 1)]),
    ]);
    let _ = play.ledger.reloaded(after, play.now);
    assert_eq!(play.standing(0), Standing::Up, "a renamed pool's endpoint is still the one we ask");
    assert_eq!(play.standing(1), Standing::Down);
    assert_eq!(play.standing(2), Standing::Unknown, "a new one starts unknown");
    assert_eq!(play.standing(3), Standing::Up);
    assert!(play.ledger.table().pool(PoolId(1)).withdrawn, "orders go by name");
    play.run(2);
    assert_eq!(play.standing(2), Standing::Up, "and is asked at the fast interval");
}

#[test]
fn a_changed_check_asks_anew_and_drops_nothing_meanwhile() {
    let before = model(&[("web", "eu", "web", 1, &[("192.0.2.1", 1)])]);
    let mut play = Play::start(&before);
    play.run(60);
    let mut after = Model::clone(&before);
    after.checks[0].port = Some(8080);
    let _ = play.ledger.reloaded(Arc::new(after), play.now);
    assert_eq!((play.standing(0), play.usable()), (Standing::Unknown, vec![true]));
    assert_eq!(play.fail(&["192.0.2.1"]).run(2).usable(), [false], "the first answer decides");
}

#[test]
fn an_equal_reload_changes_nothing() {
    let model = model(&[("web", "eu", "web", 1, &[("192.0.2.1", 1), ("192.0.2.2", 1)])]);
    let mut play = Play::start(&model);
    play.fail(&["192.0.2.2"]).run(25);
    let (standings, table) = (play.ledger.standings().clone(), play.ledger.table().clone());
    let due = play.ledger.next_due();
    let _ = play.ledger.reloaded(Arc::new(Model::clone(&model)), play.now);
    assert_eq!(play.ledger.standings(), &standings);
    assert_eq!(play.ledger.table(), &table);
    assert_eq!(play.ledger.next_due(), due);
}

#[test]
fn results_nobody_waits_for_are_dropped() {
    let before = model(&[("web", "eu", "web", 1, &[("192.0.2.1", 1)])]);
    let mut play = Play::start(&before);
    play.run(60);
    let due = play.ledger.next_due().unwrap();
    let job = play.ledger.due(due).remove(0);
    let _ = play.ledger.reloaded(model(&[("web", "eu", "web", 1, &[("192.0.2.9", 1)])]), due);
    let failed = ProbeResult::new(ReasonCode::L4Con, "", Duration::ZERO);
    assert_eq!(play.ledger.probed(job.id, &failed, due), Default::default());
    play.run(20);
    let target = play.ledger.target_of(EndpointId(0)).unwrap();
    for _ in 0..5 {
        let _ = play.ledger.probed(target, &failed, play.now);
    }
    assert_eq!(play.standing(0), Standing::Up, "results out of turn");
}

#[test]
fn our_own_trouble_is_not_held_against_endpoints() {
    let model = model(&[("web", "eu", "web", 1, &[("192.0.2.1", 1)])]);
    let mut play = Play::start(&model);
    play.run(20);
    let ours = ProbeResult::new(ReasonCode::SockErr, "too many open files", Duration::ZERO);
    for _ in 0..10 {
        let due = play.ledger.next_due().unwrap();
        for job in play.ledger.due(due) {
            assert_eq!(play.ledger.probed(job.id, &ours, due), Default::default());
        }
    }
    assert_eq!(play.usable(), [true]);
}

fn lines(step: &Step) -> Vec<String> {
    step.turns.iter().map(ToString::to_string).collect()
}

#[test]
fn an_ejection_is_told_once_and_so_is_its_end() {
    let model = model(&[("web", "eu", "web", 1, &[("192.0.2.1", 1), ("192.0.2.2", 1)])]);
    let mut play = Play::start(&model);
    play.run(60);
    let step = play.eject(0, 10);
    let line = r#"endpoint=web/192.0.2.1 up -> ejected reason="5 failures in a row (status 503)" effective=ejected"#;
    assert_eq!((lines(&step), step.flipped), (vec![line.to_owned()], true));
    assert_eq!(play.answered(), [false, true]);
    assert!(play.ledger.table().endpoint(EndpointId(0)).is_up_without_ejection());
    play.run(10);
    let renewed = play.eject(0, 20);
    assert_eq!((lines(&renewed), renewed.flipped), (vec![], false), "it rests once more");
    assert_eq!(play.eject(0, 5), Step::default(), "older than what is known");
    assert_eq!(play.readmit(0), Step::default(), "the trial of an earlier rest");
    play.run(20);
    let line = r#"endpoint=web/192.0.2.1 ejected -> up reason="the request that tried it passed" effective=up"#;
    assert_eq!(lines(&play.readmit(0)), [line]);
    assert_eq!(play.readmit(0), Step::default());
    assert_eq!((play.answered(), play.standing(0)), (vec![true, true], Standing::Up));
    assert_eq!(play.ledger.tally().endpoints[0].turned_down, 0, "no probe failed");
}

#[test]
fn what_is_ejected_and_not_configured_is_nobody() {
    let before = model(&[("web", "eu", "web", 1, &[("192.0.2.1", 1), ("192.0.2.2", 1)])]);
    let after = model(&[("web", "eu", "web", 1, &[("192.0.2.2", 1)])]);
    let mut play = Play::start(&before);
    play.run(60);
    let key = play.key(0);
    let _ = play.eject(0, 10);
    let _ = play.ledger.reloaded(after, play.now);
    let since = play.now;
    let late = Ejection { since, until: since + Duration::from_secs(30), reason: String::new() };
    assert_eq!(play.ledger.ejected(&key, late, play.now), Step::default());
    let _ = play.ledger.reloaded(before, play.now);
    assert!(play.ledger.belief(EndpointId(0)).ejection.is_none(), "it left, and begins anew");
}

#[test]
fn nobody_stays_ejected_whom_nobody_ejects() {
    let model = model(&[("web", "eu", "off", 1, &[("192.0.2.1", 1), ("192.0.2.2", 1)])]);
    let mut play = Play::start(&model);
    let _ = play.eject(0, 10);
    assert_eq!(lines(&play.keep_time(69)), [""; 0]);
    assert!(!play.answered()[0]);
    let line = r#"endpoint=web/192.0.2.1 ejected -> up reason="no request has tried it for a minute" effective=up"#;
    assert_eq!(lines(&play.keep_time(1)), [line]);
    assert!(play.answered()[0]);
}

const FENCED: &str = r#"
[pool.eu]
region = "eu"
health_check = "web"
min_healthy = 2
endpoints = [{ address = "192.0.2.1" }, { address = "192.0.2.2" }]
[pool.us]
region = "us"
health_check = "web"
endpoints = [{ address = "192.0.2.3" }]
[pool.proxied]
region = "us"
health_check = "web"
min_healthy = 2
endpoints = [{ address = "192.0.2.4" }, { address = "192.0.2.5" }]
[vip."www.example.com."]
policy = "geolocation"
rules = [FENCE{ pools = [{ pool = "us" }, { pool = "eu" }] }]
"#;

fn fenced(fence: &str) -> Arc<Model> {
    let head = "[server]\nlisten = [\"127.0.0.1:5300\"]\n".to_owned() + CHECKS;
    read(&(head + &FENCED.replace("FENCE", fence)))
}

/// What the proxies are to see whatever DNS makes of it.
fn seen_by_proxies(play: &Play) -> bool {
    let endpoint = |at: usize| play.ledger.table().endpoint(EndpointId::from(at));
    (0..5).all(|at| endpoint(at).is_up_without_ejection())
}

#[test]
fn ejections_take_no_pool_down_that_a_vip_has_no_other_for() {
    let mut play = Play::start(&fenced(""));
    play.run(60);
    let _ = play.eject(0, 300);
    assert_eq!(play.usable(), [false, true, true], "another pool is up");
    assert!(seen_by_proxies(&play) && play.ledger.table().pool(PoolId(0)).is_up_without_ejection());
    // The same where a fence keeps its clients from that other pool.
    let step =
        play.ledger.reloaded(fenced(r#"{ geos = ["EU"], pools = [{ pool = "eu" }], geofence = true }, "#), play.now);
    assert!(step.flipped);
    assert_eq!((play.usable(), play.answered()), (vec![true, true, true], vec![true; 5]));
    assert!(play.ledger.table().pool(PoolId(0)).is_spared() && seen_by_proxies(&play));
    // No VIP uses the third: DNS sends nobody there, so nothing is spared.
    let _ = play.eject(3, 300);
    assert_eq!(play.usable(), [true, true, false]);
    // A drain is not passive evidence, and what is drained needs no sparing.
    play.order("pool/eu", Some(Order::Drain), None);
    assert_eq!(play.usable(), [false, true, false]);
    let drained = play.ledger.table().pool(PoolId(0));
    assert!(!drained.is_spared() && !drained.is_up_without_ejection());
    play.order("pool/eu", None, None);
    assert_eq!(play.usable(), [true, true, false]);
    // Back without a fence, ejections count again.
    let _ = play.ledger.reloaded(fenced(""), play.now);
    assert_eq!(play.usable(), [false, true, false]);
    let _ = play.keep_time(360);
    assert_eq!((play.usable(), play.answered()), (vec![true; 3], vec![true; 5]));
}

#[test]
fn a_pool_that_is_spared_never_says_that_it_was_down() {
    let mut play = Play::start(&fenced(r#"{ geos = ["EU"], pools = [{ pool = "eu" }], geofence = true }, "#));
    play.run(60);
    let line = r#"endpoint=eu/192.0.2.1 up -> ejected reason="5 failures in a row (status 503)" effective=up"#;
    assert_eq!(lines(&play.eject(0, 300)), [line]);
    let _ = play.eject(1, 300);
    assert_eq!(play.answered(), [true; 5], "nobody of it is left that is not ejected");
    // What probes find counts as ever.
    play.fail(&["192.0.2.1"]).run(60);
    assert_eq!(play.usable(), [false, true, true]);
}

/// Cores read these by the million: they stay as small as they were.
#[test]
fn what_is_known_of_an_endpoint_is_eight_bytes() {
    assert_eq!((size_of::<EndpointHealth>(), size_of::<PoolHealth>()), (8, 12));
}

#[test]
fn who_comes_up_while_we_watch_has_risen() {
    let mut slow = Model::clone(&model(&[("web", "eu", "web", 1, &[("192.0.2.1", 1), ("192.0.2.2", 1)])]));
    let window = Duration::from_secs(60);
    slow.pools[0].upstream = Arc::new(rhumb::model::Upstream { slow_start: window, ..Default::default() });
    let mut play = Play::start(&Arc::new(slow.clone()));
    let risen = |play: &Play, at: u32| play.ledger.table().risen(EndpointId(at));
    play.fail(&["192.0.2.1"]).run(60);
    assert_eq!((risen(&play, 0), risen(&play, 1)), (None, None), "down, and up from the start");
    play.fail(&[]).run(60);
    let rose = risen(&play, 0).expect("it came up");
    let _ = play.ledger.reloaded(Arc::new(slow.clone()), play.now);
    assert_eq!(risen(&play, 0), Some(rose), "over a reload");
    let _ = play.keep_time(60);
    assert_eq!(risen(&play, 0), None, "it has its whole weight");
    play.order("endpoint/web/192.0.2.2", Some(Order::Drain), None);
    play.order("endpoint/web/192.0.2.2", None, None);
    assert_eq!(risen(&play, 1), Some(play.now), "an operator took it out and gave it back");
    let _ = play.eject(0, 10);
    play.run(11);
    let _ = play.readmit(0);
    assert_eq!(risen(&play, 0), None, "its breaker knows");
    slow.pools[0].upstream = Arc::default();
    let mut at_once = Play::start(&Arc::new(slow));
    at_once.fail(&["192.0.2.1"]).run(60).fail(&[]).run(60);
    assert!(at_once.ledger.table().growing().is_empty());
}

#[test]
fn what_if_takes_pools_and_endpoints_down() {
    let model = model(&[
        ("a", "eu", "web", 1, &[("192.0.2.1", 1), ("192.0.2.2", 1)]),
        ("b", "us", "web", 1, &[("192.0.2.3", 1)]),
    ]);
    let up = HealthTable::all_up(&model);
    let one = up.with_down(&model, &[EndpointId(0)], &[]);
    assert_eq!((one.endpoint(EndpointId(0)).usable, one.pool(PoolId(0)).usable), (false, true));
    assert_eq!(one.pool(PoolId(0)).healthy, 1);
    assert!(!up.with_down(&model, &[EndpointId(0), EndpointId(1)], &[]).pool(PoolId(0)).usable);
    let pool = up.with_down(&model, &[], &[PoolId(1)]);
    assert!(pool.pool(PoolId(0)).usable && !pool.pool(PoolId(1)).usable);
}

#[test]
fn a_flip_among_thirty_thousand_is_quick() {
    let endpoints: Vec<Vec<(String, u32)>> = (0..10_000u32)
        .map(|pool| (0..3).map(|i| (format!("10.{}.{}.{}", pool / 256 + i * 64, pool % 256, 1), 1)).collect())
        .collect();
    let base = model(&[("web", "eu", "web", 1, &[("192.0.2.1", 1)])]);
    let mut big = Model::clone(&base);
    (big.pools, big.endpoints) = (Vec::new(), Vec::new());
    for (i, members) in endpoints.iter().enumerate() {
        let first = big.endpoints.len() as u32;
        for (address, weight) in members {
            let address = address.parse().unwrap();
            let like = base.endpoints[0].clone();
            big.endpoints.push(rhumb::model::Endpoint { pool: PoolId::from(i), address, weight: *weight, ..like });
        }
        let range = first..big.endpoints.len() as u32;
        big.pools.push(rhumb::model::Pool { name: format!("p{i}"), endpoints: range, ..base.pools[0].clone() });
    }
    let clock = rhumb::runtime::clock::Clock::start();
    let mut play = Play::start(&Arc::new(big));
    let started = clock.now();
    play.run(100);
    let ran = clock.now() - started;
    let probes: u32 = play.asked.values().sum();
    let started = clock.now();
    let table = HealthTable::new(play.ledger.model(), play.ledger.standings(), play.now);
    let built = clock.now() - started;
    assert_eq!(&table, play.ledger.table());
    let started = clock.now();
    let copies: usize = (0..100).map(|_| play.ledger.table().clone().pool(PoolId(0)).healthy as usize).sum();
    let copied = (clock.now() - started) / 100;
    eprintln!(
        "30,000 endpoints: 100 s of probing ({probes} probes) in {ran:?}, table built in {built:?}, copied in {copied:?}"
    );
    assert_eq!(copies, 300);
    assert!((300_000..340_000).contains(&probes), "{probes}");
    // Debug builds on a busy machine: an order of magnitude above what is measured.
    assert!(built < Duration::from_millis(500), "{built:?}");
}

proptest! {
    /// However beliefs move, the table kept up endpoint by endpoint is the one made from scratch.
    #[test]
    fn the_table_kept_up_is_the_table_made_anew(
        steps in proptest::collection::vec((0u64..15, 0usize..7, 0u8..6, proptest::option::of(1u64..40)), 1..60),
    ) {
        let model = model(&[
            ("a", "eu", "web", 2, &[("192.0.2.1", 1), ("192.0.2.2", 0), ("192.0.2.3", 1)]),
            ("b", "us", "web", 1, &[("192.0.2.1", 1), ("192.0.2.5", 0)]),
            ("c", "us", "off", 1, &[("192.0.2.6", 1)]),
        ]);
        let subjects =
            ["region/eu", "region/us", "pool/a", "pool/b", "endpoint/a/192.0.2.1", "endpoint/b/192.0.2.1", "pool/c"];
        let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.5"];
        let mut play = Play::start(&model);
        for (seconds, which, what, until) in steps {
            match what {
                0 => play.order(subjects[which], Some(Order::Drain), until),
                1 => play.order(subjects[which], Some(Order::Up), until),
                2 => play.order(subjects[which], Some(Order::Down), until),
                3 => play.order(subjects[which], None, None),
                _ => drop(play.fail(&addresses[which % 4..])),
            }
            play.run(seconds);
            let _ = play.ledger.keep_time(play.now);
            let anew = HealthTable::new(&model, play.ledger.standings(), play.now);
            prop_assert_eq!(play.ledger.table(), &anew);
        }
    }
}
