//! Tiers in one process: what dies behind a listener is known in front of it at once, in virtual time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rhumb::config;
use rhumb::health::ejection::Ejection;
use rhumb::health::forced::{Change, Forced, Order};
use rhumb::health::fronts::Fronts;
use rhumb::health::ledger::{Ledger, Step};
use rhumb::health::names::EndpointKey;
use rhumb::health::probe::{ProbeResult, ReasonCode};
use rhumb::health::table::HealthTable;
use rhumb::model::{EndpointId, Model, Moment, PoolId};

/// Two zones with an L4 listener each, an L7 listener before both, and what DNS answers: the L7 listener.
const TIERS: &str = r#"
[server]
listen = ["127.0.0.1:5300"]
[health_check.app]
type = "tcp"
interval = "10s"
fast = "1s"
timeout = "500ms"
[region.eu]
location = [50.11, 8.68]
[region.us]
location = [39.04, -77.49]
[pool.app-a]
region = "eu"
health_check = "app"
endpoints = [{ address = "127.1.3.1", port = 9000 }, { address = "127.1.3.2", port = 9000 }]
[pool.app-b]
region = "eu"
health_check = "app"
endpoints = [{ address = "127.1.4.1", port = 9000 }]
[pool.zones]
region = "eu"
health_check = "app"
fallback = "us-web"
endpoints = [{ address = "127.1.2.1", port = 8000 }, { address = "127.1.2.2", port = 8000 }]
[pool.eu-web]
region = "eu"
health_check = "app"
endpoints = [{ address = "127.1.1.10", port = 80 }]
[pool.us-web]
region = "us"
health_check = "app"
endpoints = [{ address = "127.2.1.10", port = 80 }]
[[listener]]
name = "l4-a"
region = "eu"
bind = "127.1.2.1:8000"
protocol = "tcp"
pool = "app-a"
[[listener]]
name = "l4-b"
region = "eu"
bind = "127.1.2.2:8000"
protocol = "tcp"
pool = "app-b"
[[listener]]
name = "l7"
region = "eu"
bind = "127.1.1.10:80"
protocol = "http"
routes = [{ pool = "zones" }]
"#;

fn model(text: &str) -> Arc<Model> {
    match config::read(Path::new("test.toml"), text) {
        Ok(loaded) => Arc::new(loaded.model),
        Err(refused) => panic!("{}", refused.problems.iter().map(|p| format!("{p}\n")).collect::<String>()),
    }
}

/// A ledger in virtual time; listeners of ours answer probes whatever is behind them, as a TCP check of an L4 listener does.
struct Play {
    ledger: Ledger,
    now: Moment,
    failing: Vec<&'static str>,
    told: Vec<String>,
}

impl Play {
    fn start() -> Self {
        let now = Moment::from_secs(1_000);
        let ledger = Ledger::new(model(TIERS), &HashMap::new(), 7, now);
        let mut play = Play { ledger, now, failing: Vec::new(), told: Vec::new() };
        play.run(20);
        play.told.clear();
        play
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.ledger.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            for job in self.ledger.due(self.now) {
                let passes = !self.failing.contains(&job.target.address.ip().to_string().as_str());
                let reason = if passes { ReasonCode::L4Ok } else { ReasonCode::L4Con };
                let result = ProbeResult::new(reason, "", Duration::ZERO);
                let step = self.ledger.probed(job.id, &result, self.now);
                self.take(step);
            }
        }
        self.now = end;
    }

    fn take(&mut self, step: Step) {
        self.told
            .extend(step.turns.iter().map(|turn| format!("{}={} {} -> {}", turn.kind, turn.name, turn.from, turn.to)));
    }

    fn order(&mut self, subject: &str, order: Option<Order>) {
        let (reason, by) = ("test".to_owned(), "test".to_owned());
        let change = match order {
            Some(order) => Change::Set(Forced { order, reason, by, since: self.now, begins: self.now, until: None }),
            None => Change::End { aspect: None, by },
        };
        let name = self.ledger.subject(subject).expect("the subject is known");
        let step = self.ledger.order(&name, change, self.now);
        self.take(step);
    }

    fn pool(&self, name: &str) -> PoolId {
        PoolId::from(self.ledger.model().pools.iter().position(|pool| pool.name == name).unwrap())
    }

    fn is_up(&self, pool: &str) -> bool {
        self.ledger.table().pool(self.pool(pool)).usable
    }

    fn endpoint(&self, address: &str) -> EndpointId {
        let at = self.ledger.model().endpoints.iter().position(|endpoint| endpoint.address.to_string() == address);
        EndpointId::from(at.unwrap())
    }
}

#[test]
fn a_dead_application_is_seen_by_every_tier_in_the_same_step() {
    let mut play = Play::start();
    assert!(["app-a", "app-b", "zones", "eu-web", "us-web"].iter().all(|pool| play.is_up(pool)));
    play.failing = vec!["127.1.3.1", "127.1.3.2"];
    play.run(20);
    assert!(!play.is_up("app-a") && play.is_up("zones") && play.is_up("eu-web"), "the other zone serves");
    let why = play.ledger.table().why_blocked(play.ledger.model(), play.endpoint("127.1.2.1"));
    assert_eq!(why.as_deref(), Some("listener l4-a has nobody to send to: app-a 0 of 2 up"));
    play.told.clear();
    play.failing.push("127.1.4.1");
    play.run(20);
    assert_eq!(
        play.told,
        [
            "endpoint=app-b/127.1.4.1 up -> down",
            "endpoint=zones/127.1.2.2 up -> blocked",
            "endpoint=eu-web/127.1.1.10 up -> blocked",
            "pool=app-b up -> down",
            "pool=zones up -> down",
            "pool=eu-web up -> down",
        ],
        "us-web, to which requests fall back, is no reason to send eu more of them"
    );
    play.told.clear();
    play.failing.clear();
    play.run(20);
    assert!(["app-a", "app-b", "zones", "eu-web"].iter().all(|pool| play.is_up(pool)));
    assert!(play.told.contains(&"endpoint=eu-web/127.1.1.10 blocked -> up".to_owned()), "{:?}", play.told);
    assert_eq!(play.ledger.table().why_blocked(play.ledger.model(), play.endpoint("127.1.2.1")), None);
}

#[test]
fn the_first_round_goes_from_the_applications_outwards() {
    let now = Moment::from_secs(1_000);
    let mut ledger = Ledger::new(model(TIERS), &HashMap::new(), 7, now);
    let passed = ProbeResult::new(ReasonCode::L4Ok, "", Duration::ZERO);
    let jobs = ledger.due(now + Duration::from_secs(5));
    let is_ours = |address: &str| ["127.1.2.1", "127.1.2.2", "127.1.1.10"].contains(&address);
    let (ours, others): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|job| is_ours(&job.target.address.ip().to_string()));
    assert_eq!((ours.len(), others.len()), (3, 4));
    for job in others {
        assert!(!ledger.others_are_heard());
        let _ = ledger.probed(job.id, &passed, now);
    }
    assert!(ledger.others_are_heard() && !ledger.first_round_done(), "listeners of ours may answer from now on");
    for job in ours {
        let _ = ledger.probed(job.id, &passed, now);
    }
    assert!(ledger.first_round_done());
    assert!(
        ledger.table().pool(PoolId::from(ledger.model().pools.iter().position(|p| p.name == "eu-web").unwrap())).usable
    );
}

#[test]
fn a_drain_at_any_tier_is_one_for_those_in_front_of_it() {
    let mut play = Play::start();
    play.order("pool/app-a", Some(Order::Drain));
    assert!(play.ledger.table().endpoint(play.endpoint("127.1.2.1")).blocked && play.is_up("eu-web"));
    play.order("endpoint/app-b/127.1.4.1", Some(Order::Drain));
    assert!(!play.is_up("zones") && !play.is_up("eu-web"));
    // An operator's word for the endpoint itself is stronger.
    play.order("endpoint/eu-web/127.1.1.10", Some(Order::Up));
    assert!(play.is_up("eu-web"));
    play.order("endpoint/eu-web/127.1.1.10", None);
    assert!(!play.is_up("eu-web"));
    play.order("pool/app-a", None);
    assert!(play.is_up("zones") && play.is_up("eu-web"));
    play.order("region/eu", Some(Order::Drain));
    assert!(!play.is_up("eu-web") && play.is_up("us-web"));
}

#[test]
fn what_requests_tell_of_an_application_takes_no_tier_in_front_of_it_down() {
    let mut play = Play::start();
    let key = EndpointKey::of(play.ledger.model(), play.endpoint("127.1.4.1"));
    let ejection =
        Ejection { since: play.now, until: play.now + Duration::from_secs(10), reason: "5 failures in a row".into() };
    let step = play.ledger.ejected(&key, ejection, play.now);
    play.take(step);
    assert!(!play.is_up("app-b"));
    assert!(!play.ledger.table().endpoint(play.endpoint("127.1.2.2")).blocked);
}

#[test]
fn no_answer_outlives_what_is_known_of_the_tiers_behind() {
    let mut play = Play::start();
    let of = |play: &Play, pool| play.ledger.table().pool(play.pool(pool)).holds_for;
    assert_eq!((of(&play, "eu-web"), of(&play, "zones")), (12, 12), "a probe at its time, and two that follow fast");
    play.failing = vec!["127.1.3.1", "127.1.3.2", "127.1.4.1"];
    play.run(10);
    // Whichever application was asked last is in doubt, and so is all that stands in front of it.
    let (app, web) = (of(&play, "app-a").max(of(&play, "app-b")), of(&play, "eu-web"));
    assert!(web <= app, "{web} {app}");
}

#[test]
fn what_if_goes_through_the_tiers() {
    let play = Play::start();
    let (model, table) = (play.ledger.model(), play.ledger.table());
    let down = |pools: &[&str]| {
        let pools: Vec<PoolId> = pools.iter().map(|pool| play.pool(pool)).collect();
        table.with_down(model, &[], &pools).pool(play.pool("eu-web")).usable
    };
    assert!(down(&["app-a"]) && !down(&["app-a", "app-b"]) && !down(&["zones"]));
    assert_eq!(table.carried_over(model, model), *table, "a reload of the same changes nothing");
}

#[test]
fn listeners_that_come_back_to_themselves_are_refused() {
    let circle = TIERS.replace("{ address = \"127.1.4.1\", port = 9000 }", "{ address = \"127.1.1.10\", port = 80 }");
    let refused = config::read(Path::new("test.toml"), &circle).unwrap_err();
    let facts: Vec<&str> = refused.problems.iter().map(|problem| problem.fact.as_str()).collect();
    assert!(facts.contains(&"listeners `l7`, `l4-b` send to each other in a circle"), "{facts:?}");
}

#[test]
fn regions_may_be_each_other_s_backups() {
    let text = TIERS
        .replace("{ address = \"127.1.2.2\", port = 8000 }", "{ address = \"127.2.1.10\", port = 80, backup = true }");
    let peer = "[pool.us-zones]\nregion = \"us\"\nendpoints = [{ address = \"127.1.1.10\", port = 80 }]\n[[listener]]\n\
                name = \"l7-us\"\nregion = \"us\"\nbind = \"127.2.1.10:80\"\nprotocol = \"http\"\nroutes = [{ pool = \"us-zones\" }]\n";
    let text = text.replace("fallback = \"us-web\"\n", "") + peer;
    let model = model(&text);
    let fronts = Fronts::of(&model);
    assert_eq!(fronts.circle(&model), None);
    let of = |pool: &str, address: &str| {
        let members = model.endpoints.iter().enumerate().map(|(at, endpoint)| (EndpointId::from(at), endpoint));
        let mut found = members.filter(|(_, e)| model.pool(e.pool).name == pool && e.address.to_string() == address);
        fronts.of_endpoint(found.next().unwrap().0).is_some()
    };
    let ledger = Ledger::new(model.clone(), &HashMap::new(), 7, Moment::from_secs(1_000));
    let pool = |name: &str| PoolId::from(model.pools.iter().position(|pool| pool.name == name).unwrap());
    let table = HealthTable::all_up(&model).with_down(&model, &[], &[pool("app-a"), pool("app-b")]);
    assert!(table.pool(pool("zones")).usable, "by its backup");
    assert!(!table.pool(pool("eu-web")).usable, "which is no reason to answer with eu");
    assert!(!ledger.table().pool(pool("eu-web")).usable, "nothing is known yet");
    assert!(of("us-web", "127.2.1.10") && !of("zones", "127.2.1.10") && !of("us-zones", "127.1.1.10"));
}

#[test]
fn a_wildcard_listener_is_found_on_loopback_alone() {
    let text = TIERS.replace("127.1.2.1", "127.1.2.9").replace("127.1.2.9:8000", "0.0.0.0:8001");
    let text = text.replace("\"127.1.2.9\", port = 8000", "\"127.1.2.9\", port = 8001");
    let model = model(&text);
    let of =
        |text: &str| model.endpoints.iter().position(|e| e.address.to_string() == text).map(EndpointId::from).unwrap();
    let fronts = Fronts::of(&model);
    let name = |id| fronts.of_endpoint(id).map(|front| model.listeners[fronts.front(front).listener].name.as_str());
    assert_eq!(
        (name(of("127.1.2.9")), name(of("127.1.2.2")), name(of("127.2.1.10"))),
        (Some("l4-a"), Some("l4-b"), None)
    );
}
