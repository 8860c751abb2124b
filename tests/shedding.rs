//! Regions that are loaded send clients elsewhere, resolvers go on with what they hold for a minute, and nothing swings: the real
//! ledger and decisions in virtual time, against clients of many networks, each behind a resolver of its own.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::health::shedding::{Reading, WHOLE};
use rhumb::health::table::{HealthTable, PoolLoad};
use rhumb::model::{Family, Location, PoolId, VipId};
use rhumb::steering::{Client, Decision, Draw, Plan, Reason, Silent, decide};

mod play;

use play::Play;

const REGIONS: [(&str, f64, f64); 3] = [("eu", 50.11, 8.68), ("us", 39.04, -77.49), ("ap", 1.35, 103.82)];
const NETWORKS: usize = 450;
const LOW: f64 = 0.7;
const HIGH: f64 = 0.9;
/// How long resolvers hold an answer.
const CACHED: u64 = 60;
/// Between readings.
const INTERVAL: u64 = 5;

/// Draws, by splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Who says what share is shed.
#[derive(Clone, Copy, PartialEq)]
enum Control {
    /// The ledger.
    Ours,
    /// The line between the watermarks at once, at every reading.
    Naive,
}

struct Network {
    address: IpAddr,
    at: Location,
    home: usize,
    /// How much of its home's demand comes from here.
    weight: f64,
    /// Where its resolver sends it, and until when.
    cached: (usize, u64),
}

struct Globe {
    play: Play,
    table: HealthTable,
    networks: Vec<Network>,
    dice: Dice,
    control: Control,
    /// The demand of each region's clients, in capacities of that region.
    demand: [f64; 3],
    /// The capacities of the regions beside each other.
    capacity: [f64; 3],
    /// How many readings in a hundred are lost.
    lost: f64,
    second: u64,
    ttl: u64,
}

/// What was seen in a stretch of time.
#[derive(Default)]
struct Seen {
    load_most: [f64; 3],
    share_least: [f64; 3],
    share_most: [f64; 3],
}

fn configuration(networks: &[Network], ttl: u64, extra: &str) -> String {
    let mut text = "[server]\nlisten = [\"127.0.0.1:5300\"]\n".to_owned();
    for (number, network) in networks.iter().enumerate() {
        let Location { lat, lon } = network.at;
        writeln!(
            text,
            "[[geo.network]]\nname = \"n{number}\"\ncidr = [\"{}/24\"]\nlocation = [{lat:.2}, {lon:.2}]",
            network.address
        )
        .unwrap();
    }
    for (number, (name, lat, lon)) in REGIONS.iter().enumerate() {
        writeln!(
            text,
            "[region.{name}]\nlocation = [{lat}, {lon}]\n[pool.{name}]\nregion = \"{name}\"\n\
             endpoints = [{{ address = \"192.0.2.{}\" }}]\n\
             load = {{ urls = [\"https://{name}.example.net:8853/v1/headroom\"], low = {LOW}, high = {HIGH}, interval = \"{INTERVAL}s\" }}",
            number + 1
        )
        .unwrap();
    }
    let pools = "[{ pool = \"eu\" }, { pool = \"us\" }, { pool = \"ap\" }]";
    writeln!(text, "[vip.\"www.example.com.\"]\npolicy = \"geoproximity\"\nttl = \"{ttl}s\"\npools = {pools}\n{extra}")
        .unwrap();
    text
}

impl Globe {
    fn new(seed: u64, capacity: [f64; 3], ttl: u64) -> Self {
        let mut dice = Dice(seed);
        let mut network = |number: usize| {
            let home = number % 3;
            let (_, lat, lon) = REGIONS[home];
            // Far enough apart that their detours differ by thousands of kilometres.
            let (lat, lon) = (lat + (dice.roll() - 0.5) * 20.0, lon + (dice.roll() - 0.5) * 40.0);
            let address = IpAddr::from([10, home as u8, (number / 3) as u8, 0]);
            let until = (dice.roll() * CACHED as f64) as u64;
            // A few are ten times as large as the others.
            let weight = if dice.roll() < 0.05 { 10.0 } else { 0.5 + dice.roll() };
            Network { address, at: Location { lat, lon }, home, weight, cached: (home, until) }
        };
        let mut networks: Vec<Network> = (0..NETWORKS).map(&mut network).collect();
        for home in 0..3 {
            let whole: f64 = networks.iter().filter(|n| n.home == home).map(|n| n.weight).sum();
            networks.iter_mut().filter(|n| n.home == home).for_each(|n| n.weight /= whole);
        }
        let play = Play::start(&play::model(&configuration(&networks, ttl, "")), seed);
        let table = play.ledger.table().clone();
        let (control, demand, lost, second) = (Control::Ours, [0.6, 0.4, 0.3], 0.0, 0);
        Globe { play, table, networks, dice, control, demand, capacity, lost, second, ttl }
    }

    fn decision(&self, network: &Network) -> (usize, Reason) {
        let draw = Draw { random: 0, seconds: self.play.now.secs() };
        let client = Client::from_source(network.address);
        let decision = decide(&self.play.plan, &self.table, VipId(0), Family::V4, &client, draw, &mut Silent);
        (decision.pool.expect("all are up").index(), decision.reason)
    }

    fn loads(&self) -> [f64; 3] {
        let mut loads = [0.0; 3];
        for network in &self.networks {
            let requests = network.weight * self.demand[network.home] * self.capacity[network.home];
            loads[network.cached.0] += requests / self.capacity[network.cached.0];
        }
        loads
    }

    fn share(&self, pool: usize) -> f64 {
        self.table.load(PoolId::from(pool)).unwrap_or_default().share()
    }

    fn tick(&mut self) {
        self.second += 1;
        let now = self.play.now + Duration::from_secs(1);
        self.play.run_until(now);
        for at in 0..self.networks.len() {
            if self.networks[at].cached.1 <= self.second {
                let (pool, _) = self.decision(&self.networks[at]);
                // No resolver asks at the very second.
                let held = self.ttl.max(CACHED) + (self.dice.roll() * 5.0) as u64;
                self.networks[at].cached = (pool, self.second + held);
            }
        }
        if !self.second.is_multiple_of(INTERVAL) {
            return;
        }
        let loads = self.loads();
        for (pool, load) in loads.into_iter().enumerate() {
            // Requests in hand are never still.
            let load = load * (1.0 + (self.dice.roll() - 0.5) * 0.06);
            if self.dice.roll() * 100.0 < self.lost {
                let lost = Err("no response in time".to_owned());
                let _ = self.play.ledger.loaded(REGIONS[pool].0, 0, lost, self.play.now);
                continue;
            }
            let reading = Reading { load, capacity: (self.capacity[pool] * 1000.0) as u64 };
            let _ = self.play.ledger.loaded(REGIONS[pool].0, 0, Ok(reading), self.play.now);
            if self.control == Control::Naive {
                let part = ((load - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
                let load = PoolLoad { percent: None, sheds: (part * f64::from(WHOLE)) as u16 };
                self.table.set_load(PoolId::from(pool), load);
            }
        }
        if self.control == Control::Ours {
            self.table = self.play.ledger.table().clone();
        }
    }

    fn minutes(&mut self, minutes: u64) -> Seen {
        let mut seen = Seen { share_least: [1.0; 3], ..Seen::default() };
        for _ in 0..minutes * 60 {
            self.tick();
            for (pool, load) in self.loads().into_iter().enumerate() {
                seen.load_most[pool] = seen.load_most[pool].max(load);
                seen.share_most[pool] = seen.share_most[pool].max(self.share(pool));
                seen.share_least[pool] = seen.share_least[pool].min(self.share(pool));
            }
        }
        seen
    }

    /// The networks of a region that are sent elsewhere now.
    fn moved(&self, home: usize) -> BTreeSet<usize> {
        let away = |(_, network): &(usize, &Network)| network.home == home && self.decision(network).0 != home;
        self.networks.iter().enumerate().filter(away).map(|(at, _)| at).collect()
    }
}

impl Seen {
    fn swing(&self) -> f64 {
        (0..3).map(|pool| self.share_most[pool] - self.share_least[pool]).fold(0.0, f64::max)
    }
    fn load_most(&self) -> f64 {
        self.load_most.into_iter().fold(0.0, f64::max)
    }
}

/// A shock of one and a half times the capacity of `eu`, and its end; shares may move by so much at last. Some networks are four
/// per cent of their region's demand, so that one of them more or less is one per cent of the share.
fn shock(mut globe: Globe, story: &str, swing_max: f64) {
    let quiet = globe.minutes(5);
    assert_eq!((quiet.share_most, globe.moved(0).len()), ([0.0; 3], 0), "{story}: before");
    globe.demand[0] = 1.5;
    globe.minutes(15);
    let later = globe.minutes(20);
    let last = globe.minutes(10);
    eprintln!(
        "{story}: loads {:.2?} then {:.2?}, shares {:.2?} to {:.2?}",
        later.load_most, last.load_most, last.share_least, last.share_most
    );
    assert!(later.load_most() < HIGH + 0.05 && last.load_most() < HIGH + 0.05, "{story}: {:.2?}", later.load_most);
    assert!(last.swing() < swing_max, "{story}: it swings by {:.3}", last.swing());
    assert!(last.share_least[0] > 0.2, "{story}: nothing is shed");
    globe.demand[0] = 0.6;
    globe.minutes(30);
    let after = globe.minutes(1);
    assert_eq!((after.share_most, globe.moved(0).len()), ([0.0; 3], 0), "{story}: they come back");
    assert!(globe.networks.iter().all(|network| network.cached.0 == network.home), "{story}: and are back");
}

#[test]
fn a_shock_is_shed_without_swinging_and_ends() {
    for seed in 1..=5 {
        shock(Globe::new(seed, [1.0, 2.0, 2.0], 60), &format!("seed {seed}, others have room"), 0.03);
        // Two capacities and two tenths on three: everybody is close to the line.
        shock(Globe::new(seed, [1.0, 1.0, 1.0], 60), &format!("seed {seed}, others have little room"), 0.03);
    }
}

#[test]
fn lost_readings_do_not_make_it_swing() {
    for seed in 1..=3 {
        let globe = Globe { lost: 30.0, ..Globe::new(seed, [1.0, 2.0, 2.0], 60) };
        shock(globe, &format!("seed {seed}, three of ten readings are lost"), 0.1);
    }
}

#[test]
fn resolvers_that_hold_answers_for_longer_than_they_may_do_not_make_it_swing() {
    for seed in 1..=3 {
        shock(Globe::new(seed, [1.0, 2.0, 2.0], 20), &format!("seed {seed}, a TTL of 20 s is held for 60 s"), 0.1);
    }
}

/// The line at every reading, without more: what this is all for. That it swings shows that the play can tell.
#[test]
fn the_line_alone_swings() {
    let mut globe = Globe { control: Control::Naive, ..Globe::new(1, [1.0, 2.0, 2.0], 60) };
    globe.demand[0] = 1.5;
    globe.minutes(20);
    let last = globe.minutes(10);
    assert!(last.swing() > 0.5 && last.load_most() > HIGH, "{:.2} {:.2}", last.swing(), last.load_most());
}

#[test]
fn the_same_clients_go_and_those_with_the_smallest_detour_first() {
    let mut globe = Globe::new(7, [1.0, 3.0, 3.0], 60);
    let mut sets: Vec<(u64, BTreeSet<usize>)> = Vec::new();
    for demand in [0.6, 1.0, 1.5, 1.2, 0.6, 1.5, 0.6] {
        globe.demand[0] = demand;
        for _ in 0..10 {
            globe.minutes(1);
            // The others take everybody, so only `eu` says who goes.
            assert_eq!((globe.share(1), globe.share(2)), (0.0, 0.0));
            sets.push(((globe.share(0) * f64::from(WHOLE)) as u64, globe.moved(0)));
        }
    }
    sets.sort_by_key(|(share, set)| (*share, set.len()));
    assert!(sets.last().unwrap().0 > 60, "shares were large: {:?}", sets.last().unwrap().0);
    for pair in sets.windows(2) {
        assert!(pair[0].1.is_subset(&pair[1].1), "at {} others go than at {}", pair[0].0, pair[1].0);
    }
    let largest = &sets.last().unwrap().1;
    let detour = |at: usize| {
        let [(_, lat, lon), (_, to_lat, to_lon), _] = REGIONS;
        let from = globe.networks[at].at;
        rhumb::geo::distance::great_circle_km(Location { lat: to_lat, lon: to_lon }, from)
            - rhumb::geo::distance::great_circle_km(Location { lat, lon }, from)
    };
    // Those whose next pool is `us`: for them the detour is to there.
    let own = |at: &usize| globe.networks[*at].home == 0 && globe.networks[*at].at.lon < 20.0;
    let farthest = largest.iter().filter(|at| own(at)).map(|at| detour(*at)).fold(f64::MIN, f64::max);
    let stay = (0..NETWORKS).filter(|at| own(at) && !largest.contains(at));
    let nearest = stay.map(detour).fold(f64::MAX, f64::min);
    assert!(farthest < nearest + 400.0, "one goes {farthest:.0} km farther, and one that stays {nearest:.0}");
}

#[test]
fn a_load_that_is_not_known_sheds_nobody_after_a_while_and_says_so() {
    let mut globe = Globe::new(3, [1.0, 2.0, 2.0], 60);
    globe.demand[0] = 1.5;
    globe.minutes(15);
    let busy = globe.share(0);
    assert!(busy > 0.2);
    globe.lost = 100.0;
    globe.minutes(1);
    assert!(globe.share(0) > busy - 0.2, "not all at once: {}", globe.share(0));
    globe.minutes(15);
    assert_eq!(globe.share(0), 0.0);
    let told = |from: &str, to: &str| {
        let turns = globe.play.ledger.journal().read(0);
        turns.filter(|(_, turn)| turn.kind == "load" && turn.name == "eu" && turn.from == from && turn.to == to).count()
    };
    assert_eq!((told("not-shedding", "shedding"), told("shedding", "not-shedding")), (1, 1));
    assert_eq!((told("known", "unknown"), told("unknown", "known")), (1, 0));
    globe.lost = 0.0;
    globe.minutes(1);
    let turns = globe.play.ledger.journal().read(0);
    assert!(turns.into_iter().any(|(_, turn)| turn.name == "eu" && turn.to == "known"));
}

/// A plan of three pools with these VIPs, and a table in which shares of them are shed.
fn plan(vips: &str) -> (Plan, HealthTable) {
    let mut text = "[server]\nlisten = [\"127.0.0.1:5300\"]\n[[geo.network]]\nname = \"inner\"\ncidr = [\"10.1.0.0/16\"]\n\
                    location = [48.0, 2.0]\n[[geo.network]]\nname = \"outer\"\ncidr = [\"10.0.0.0/8\"]\nlocation = [51.0, 10.0]\n"
        .to_owned();
    for (number, (name, lat, lon)) in REGIONS.iter().enumerate() {
        writeln!(
            text,
            "[region.{name}]\nlocation = [{lat}, {lon}]\n[pool.{name}]\nregion = \"{name}\"\n\
             endpoints = [{{ address = \"192.0.2.{}\" }}]\nload = {{ urls = [\"http://127.0.0.1:1/x\"] }}",
            number + 1
        )
        .unwrap();
    }
    let model = play::model(&(text + vips));
    let plan = Plan::build(model.clone(), &Atlas::of_networks(&model.geo.networks), &LatencyTable::default());
    (plan, HealthTable::all_up(&model))
}

fn sheds(table: &HealthTable, shares: [u16; 3]) -> HealthTable {
    let mut table = table.clone();
    for (pool, sheds) in shares.into_iter().enumerate() {
        table.set_load(PoolId::from(pool), PoolLoad { percent: Some(80), sheds });
    }
    table
}

fn decided(plan: &Plan, table: &HealthTable, vip: u32, client: u32) -> Decision {
    let client = Client::from_source(IpAddr::from(client.to_be_bytes()));
    decide(plan, table, VipId(vip), Family::V4, &client, Draw::default(), &mut Silent)
}

#[test]
fn an_answer_is_one_within_its_scope_whatever_is_shed() {
    let members = "[{ pool = \"eu\" }, { pool = \"us\" }, { pool = \"ap\" }]";
    let vip = |name: &str, policy: &str, hash: u8| {
        format!(
            "[vip.\"{name}.example.com.\"]\npolicy = \"{policy}\"\npools = {members}\nhash = {{ v4 = {hash}, v6 = 56 }}\n"
        )
    };
    let (plan, table) = plan(&(vip("a", "geoproximity", 28) + &vip("b", "failover", 20) + &vip("c", "hash", 24)));
    let mut dice = Dice(17);
    let mut seen = BTreeSet::new();
    for round in 0..4_000u32 {
        let shares = [dice.roll(), dice.roll(), dice.roll()].map(|roll| ((roll - 0.2).max(0.0) * 320.0) as u16);
        let table = sheds(&table, shares.map(|share| share.min(WHOLE)));
        let client = (10 << 24) | (dice.roll() * f64::from(1 << 24)) as u32;
        let one = decided(&plan, &table, round % 3, client);
        seen.insert((one.scope, one.reason == Reason::Shed));
        for _ in 0..8 {
            let bits = (dice.roll() * f64::from(u32::MAX)) as u32;
            let mask = u32::MAX.checked_shr(u32::from(one.scope)).unwrap_or(0);
            let other = decided(&plan, &table, round % 3, client & !mask | bits & mask);
            assert_eq!((one.pool, one.reason, one.scope), (other.pool, other.reason, other.scope), "{shares:?}");
        }
    }
    // Whom the hash decided about, and whom a class as a whole.
    assert!(seen.contains(&(28, true)) && seen.contains(&(20, true)) && seen.contains(&(24, true)), "{seen:?}");
    assert!(seen.contains(&(16, false)) && seen.contains(&(0, false)), "{seen:?}");
}

#[test]
fn fences_standbys_and_what_is_down_are_respected() {
    let vip = |name: &str, rule: &str| {
        let all = "{ pool = \"ap\" }, { pool = \"us\" }";
        format!(
            "[vip.\"{name}.example.com.\"]\npolicy = \"geolocation\"\nrules = [{{ networks = [\"inner\"], {rule} }}, {{ pools = [{all}] }}]\n"
        )
    };
    let text = vip("open", "pool = \"eu\"")
        + &vip("fenced", "pool = \"eu\", geofence = true")
        + &vip("standby", "pools = [{ pool = \"eu\" }, { pool = \"us\", weight = 0 }], geofence = true")
        + &vip("shared", "pools = [{ pool = \"eu\" }, { pool = \"us\" }], geofence = true");
    let (plan, table) = plan(&text);
    let (eu, us, ap) = (Some(PoolId(0)), Some(PoolId(1)), Some(PoolId(2)));
    let client = |number: u32| (10 << 24) | (1 << 16) | (number << 8);
    let all = sheds(&table, [WHOLE, 0, 0]);
    let of = |table: &HealthTable, vip| {
        let decision = decided(&plan, table, vip, client(1));
        (decision.pool, decision.reason)
    };
    assert_eq!(of(&all, 0), (us, Reason::Shed), "the nearest of the others");
    assert_eq!(of(&all, 1), (eu, Reason::Preferred), "a fence is kept");
    assert_eq!(of(&all, 2), (eu, Reason::Preferred), "a standby is for when the other is gone");
    let shared: BTreeSet<_> = (0..200).map(|at| decided(&plan, &all, 3, client(at)).pool).collect();
    assert_eq!(shared, BTreeSet::from([us]), "who shares with it takes them");
    // Down, or as loaded: the next; nobody has room: nobody goes.
    let down = all.with_down(plan.model(), &[], &[PoolId(1)]);
    assert_eq!(of(&down, 0), (ap, Reason::Shed));
    assert_eq!(of(&sheds(&table, [WHOLE, WHOLE, 0]), 0), (ap, Reason::Shed));
    assert_eq!(of(&sheds(&table, [WHOLE; 3]), 0), (eu, Reason::Preferred));
    assert_eq!(of(&all.with_down(plan.model(), &[], &[PoolId(1), PoolId(2)]), 0), (eu, Reason::Preferred));
    assert_eq!(of(&sheds(&table, [0; 3]), 0), (eu, Reason::Preferred));
}
