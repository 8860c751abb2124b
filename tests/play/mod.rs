//! The core in virtual time: the real ledger, schedule, state file and decisions; origins that pass, fail or hang as
//! told, and a clock that jumps from one event to the next.
#![allow(dead_code, reason = "each test program uses its part")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rhumb::config;
use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::health::forced::{Change, Forced, Order};
use rhumb::health::ledger::Ledger;
use rhumb::health::probe::{ProbeResult, ReasonCode};
use rhumb::health::target::TargetId;
use rhumb::model::{Family, Model, Moment, VipId};
use rhumb::runtime::overrides;
use rhumb::runtime::state::{self, StateFile};
use rhumb::steering::{Client, Decision, Draw, Plan, Silent, decide};

/// What an origin does with a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Passes after 10 ms.
    Passes,
    /// Refuses at once.
    Fails,
    /// Lets the probe time out.
    Hangs,
}

/// When every play begins; any date will do.
pub const START: Moment = Moment::from_secs(1_700_000_000);

pub struct Play {
    pub ledger: Ledger,
    pub plan: Plan,
    pub now: Moment,
    pub seed: u64,
    moods: HashMap<IpAddr, Mood>,
    /// Probes under way, by when they end.
    running: BinaryHeap<Reverse<(Moment, TargetId, bool, bool)>>,
    disk: tempfile::TempDir,
    /// When orders were last looked after.
    timed: Moment,
    draws: u64,
}

/// The model of a configuration that is right.
pub fn model(text: &str) -> Arc<Model> {
    match config::read(Path::new("play.toml"), text) {
        Ok(loaded) => Arc::new(loaded.model),
        Err(refused) => panic!("{}", refused.problems.iter().map(|p| format!("{p}\n")).collect::<String>()),
    }
}

fn plan(model: &Arc<Model>) -> Plan {
    Plan::build(model.clone(), &Atlas::of_networks(&model.geo.networks), &LatencyTable::default())
}

impl Play {
    /// A server that has just started, with an empty `state_dir`.
    pub fn start(model: &Arc<Model>, seed: u64) -> Self {
        Play {
            ledger: Ledger::new(model.clone(), &HashMap::new(), seed, START),
            plan: plan(model),
            now: START,
            seed,
            moods: HashMap::new(),
            running: BinaryHeap::new(),
            disk: tempfile::tempdir().unwrap(),
            timed: START,
            draws: seed,
        }
    }

    pub fn set_mood(&mut self, origin: IpAddr, mood: Mood) {
        self.moods.insert(origin, mood);
    }

    pub fn mood(&self, origin: IpAddr) -> Mood {
        self.moods.get(&origin).copied().unwrap_or(Mood::Passes)
    }

    /// Runs up to and including this moment.
    pub fn run_until(&mut self, end: Moment) {
        loop {
            let ends = self.running.peek().map(|Reverse((at, ..))| *at);
            let order = self.ledger.next_order_change(self.timed);
            let next = [self.ledger.next_due(), ends, order].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if order.is_some_and(|order| order <= self.now) {
                self.keep_time();
            }
            while let Some(Reverse((at, id, passed, hung))) = self.running.pop() {
                if at > self.now {
                    self.running.push(Reverse((at, id, passed, hung)));
                    break;
                }
                let reason = match (passed, hung) {
                    (true, _) => ReasonCode::L4Ok,
                    (_, true) => ReasonCode::L4Tout,
                    _ => ReasonCode::L4Con,
                };
                let _ = self.ledger.probed(id, &ProbeResult::new(reason, "", Duration::ZERO), self.now);
            }
            for job in self.ledger.due(self.now) {
                let mood = self.mood(job.target.address.ip());
                let takes = match mood {
                    Mood::Passes => Duration::from_millis(10),
                    Mood::Fails => Duration::ZERO,
                    Mood::Hangs => job.target.check.timeout,
                };
                let (passes, hangs) = (mood == Mood::Passes, mood == Mood::Hangs);
                self.running.push(Reverse((self.now + takes, job.id, passes, hangs)));
            }
        }
        self.now = end;
        // The keeper counts down now and then; nobody looks in between.
        self.keep_time();
    }

    fn keep_time(&mut self) {
        self.timed = self.now;
        let _ = self.ledger.keep_time(self.now);
    }

    /// Runs until every endpoint was heard of once.
    pub fn run_first_round(&mut self) {
        let deadline = self.now + Duration::from_secs(3600);
        while !self.ledger.first_round_done() {
            assert!(self.now < deadline, "the first round never ends");
            let step = self.now + Duration::from_millis(10);
            self.run_until(step);
        }
    }

    /// Serves another configuration.
    pub fn reload(&mut self, model: &Arc<Model>) {
        let _ = self.ledger.reloaded(model.clone(), self.now);
        self.plan = plan(model);
    }

    /// Stops the process, which saves what it knows, and starts it anew `away` later.
    pub fn restart(&mut self, away: Duration) {
        let file = StateFile::open(self.disk.path()).unwrap();
        file.write(&state::text(&self.ledger, self.now)).unwrap();
        let orders = overrides::text(self.ledger.standings().orders.named(self.ledger.model()));
        self.now = self.now + away;
        let (recalled, problem) = file.read(self.now);
        assert_eq!(problem, None);
        self.seed = self.seed.wrapping_add(1);
        self.ledger = Ledger::new(self.ledger.model().clone(), &recalled, self.seed, self.now);
        let (orders, bad) = overrides::parse(&orders);
        assert_eq!(bad, []);
        let _ = self.ledger.recall_orders(orders, self.now);
        self.running.clear();
    }

    /// Orders something, or takes the order back.
    pub fn order(&mut self, subject: &str, order: Option<Order>, lasts: Option<Duration>) {
        let change = match order {
            Some(order) => Change::Set(self.papers(order, Duration::ZERO, lasts)),
            None => Change::End { aspect: None, by: "play".to_owned() },
        };
        self.change(subject, change);
    }

    /// An order that begins so long from now and lasts so long.
    pub fn papers(&self, order: Order, begins_in: Duration, lasts: Option<Duration>) -> Forced {
        let (reason, by, since) = ("play".to_owned(), "play".to_owned(), self.now);
        let begins = since + begins_in;
        Forced { order, reason, by, since, begins, until: lasts.map(|lasts| begins + lasts) }
    }

    /// Changes what is ordered of a subject.
    pub fn change(&mut self, subject: &str, change: Change) {
        let name = self.ledger.subject(subject).unwrap_or_else(|refusal| panic!("{refusal}"));
        let _ = self.ledger.order(&name, change, self.now);
    }

    /// What a client is answered now.
    pub fn query(&mut self, vip: VipId, family: Family, client: IpAddr) -> Decision {
        self.draws = self.draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = Draw { random: self.draws, seconds: self.now.secs() };
        decide(&self.plan, self.ledger.table(), vip, family, &Client::from_source(client), draw, &mut Silent)
    }

    /// Seconds since the play began.
    pub fn seconds(&self) -> f64 {
        (self.now - START).as_secs_f64()
    }
}
