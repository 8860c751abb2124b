//! From a name to an application and back, by the programs that people use: Unbound follows a delegation to rhumb and sends client
//! subnets, `curl` fetches from what it answered, through the L7 and the L4 tier of a region, all of them in one process.
//!
//! Then a region fails, and what its clients notice is counted: those who resolve again, and those who stay with their old answer.
//!
//! Needs root for port 53, and Unbound, NSD, dig and curl; takes loopback addresses that nothing else uses.

#![allow(clippy::disallowed_methods, reason = "what a client notices is measured by the wall clock")]

mod application;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod world;

use std::time::Duration;
use std::time::Instant;

use application::Application;
use clients::Asked;
use clients::Client;
use clients::curl;
use clients::dig;
use common::poll;
use world::REGIONS;
use world::World;

const EU: usize = 0;
const US: usize = 1;
const AP: usize = 2;
/// A busy machine, and a TTL, and the probes: it takes about three seconds.
const MOVES_WITHIN: Duration = Duration::from_secs(12);
/// A probe each second, a second one fast after it, and a busy machine.
const FOUND_WITHIN: Duration = Duration::from_secs(5);

impl World {
    /// Waits until clients of a region are answered another; gives how long that took.
    fn is_answered(&self, clients: usize, region: usize) -> Duration {
        let (began, wanted) = (Instant::now(), vec![self.l7(region)]);
        let came = poll(MOVES_WITHIN, || dig(self.resolver, REGIONS[clients].clients) == wanted);
        let names = [clients, region].map(|at| REGIONS[at].name);
        assert!(came, "clients of {} never came to {}: {}", names[0], names[1], self.logs());
        began.elapsed()
    }

    /// Each region answers its own clients, from both of its L4 listeners.
    fn serves_each_from_its_own(&self) {
        for (at, region) in REGIONS.into_iter().enumerate() {
            self.is_answered(at, at);
            // One that was found up a moment later grows into its share.
            let both = poll(MOVES_WITHIN, || {
                let page = curl(self.l7(at)).unwrap_or_else(|why| panic!("{why}\n{}", self.logs()));
                assert_eq!((page.by.as_str(), &page.from[..2]), (region.name, region.name));
                self.requests(at).iter().all(|count| *count >= 3)
            });
            assert!(both, "{:?}", self.requests(at));
        }
    }
}

/// Clients of the first region, of both kinds.
struct Crowd {
    resolving: Client,
    staying: Client,
}

impl Crowd {
    fn start(world: &World) -> Crowd {
        let resolving = Client::resolving(world.resolver, REGIONS[EU].clients);
        Crowd { resolving, staying: Client::staying(dig(world.resolver, REGIONS[EU].clients)[0]) }
    }

    /// Waits until both are served by the applications of a region.
    fn is_served_from(&self, region: usize, world: &World) {
        let name = REGIONS[region].name;
        let is_from = |client: &Client| client.last().is_some_and(|last| is_from(&last, name));
        let came = poll(MOVES_WITHIN, || is_from(&self.resolving) && is_from(&self.staying));
        let last = [&self.resolving, &self.staying].map(Client::last);
        assert!(came, "they are not served from {name}: {last:?}\n{}", world.logs());
    }

    /// What each of them asked.
    fn end(self) -> [Vec<Asked>; 2] {
        [self.resolving.end(), self.staying.end()]
    }
}

fn is_from(asked: &Asked, region: &str) -> bool {
    asked.got.as_ref().is_ok_and(|page| page.from.starts_with(region))
}

fn failed(asked: &[Asked]) -> Vec<&Asked> {
    asked.iter().filter(|asked| asked.got.is_err()).collect()
}

#[test]
fn no_client_of_a_region_that_fails_and_returns_sees_an_error() {
    let Some(mut world) = World::start() else { return };
    world.serves_each_from_its_own();
    let crowd = Crowd::start(&world);
    crowd.is_served_from(EU, &world);

    // One application, then all behind one of the L4 listeners: nobody needs to be sent elsewhere.
    world.applications[EU][0].die();
    crowd.is_served_from(EU, &world);
    world.applications[EU][1].die();
    let is_told = || world.order(&["events"]).contains("pool=eu-a up -> down");
    assert!(poll(MOVES_WITHIN, is_told), "{}", world.order(&["events"]));
    let (before, page) = (world.requests(EU), curl(world.l7(EU)).unwrap());
    assert_eq!(&page.from[..4], "eu b", "the other L4 listener serves");
    assert_eq!(world.requests(EU)[0], before[0]);
    assert_eq!(dig(world.resolver, REGIONS[EU].clients), [world.l7(EU)]);

    // The rest of the region is about to stop.
    let had = world.requests(US);
    world.applications[EU][2..].iter().for_each(|one| one.is_unwell(true));
    let took = world.is_answered(EU, US);
    eprintln!("the first answer elsewhere after {took:?}");
    crowd.is_served_from(US, &world);
    world.applications[EU][2..].iter_mut().for_each(Application::die);
    let gone = Instant::now();
    assert!(poll(MOVES_WITHIN, || world.requests(US).iter().sum::<u64>() >= had.iter().sum::<u64>() + 20));
    crowd.is_served_from(US, &world);
    assert!(poll(FOUND_WITHIN, || world.metric("rhumb_proxy_misdirected_requests_total{listener=\"eu-l7\"") >= 5.0));
    assert_eq!(curl(world.l7(EU)).unwrap().by, "us", "the other region's L7 tier has handled it, and ours has not");
    assert_eq!(dig(world.resolver, REGIONS[AP].clients), [world.l7(AP)], "who is not of that region notices nothing");
    let explained = world.order(&["explain", "http://www.example/", "--listener", "eu-l7", "--client", "10.1.7.9"]);
    assert!(explained.contains("us-web"), "{explained}");
    let back = Instant::now();

    // It returns.
    world.applications[EU].iter_mut().for_each(Application::revive);
    let took = world.is_answered(EU, EU);
    eprintln!("the first answer of the region that is back after {took:?}");
    crowd.is_served_from(EU, &world);
    let served = Instant::now();
    assert!(poll(MOVES_WITHIN, || served.elapsed() > Duration::from_secs(1)));

    let [resolving, staying] = crowd.end();
    eprintln!("{} and {} requests", resolving.len(), staying.len());
    for asked in [&resolving, &staying] {
        assert!(failed(asked).is_empty(), "{:?}\n{}", failed(asked), world.logs());
        assert!(asked.len() > 20, "{}", asked.len());
        // Who was gone was asked by nobody, and who is back is asked by everybody.
        assert!(asked.iter().filter(|one| one.began > gone && one.began < back).all(|one| is_from(one, "us")));
        assert!(asked.iter().filter(|one| one.began > served).all(|one| is_from(one, "eu")));
    }
    let addresses = |asked: &[Asked]| asked.iter().map(|one| one.address).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(addresses(&resolving), [world.l7(EU), world.l7(US)].into());
    assert_eq!(addresses(&staying), [world.l7(EU)].into());
}

#[test]
fn no_client_of_a_region_that_dies_at_once_sees_an_error() {
    let Some(mut world) = World::start() else { return };
    world.serves_each_from_its_own();
    let crowd = Crowd::start(&world);
    crowd.is_served_from(EU, &world);
    let (died, had) = (Instant::now(), world.requests(US));
    world.applications[EU].iter_mut().for_each(Application::die);
    world.is_answered(EU, US);
    crowd.is_served_from(US, &world);
    let moved = Instant::now();
    assert!(poll(MOVES_WITHIN, || moved.elapsed() > Duration::from_secs(3)));
    let mut asked_since = 0;
    for asked in crowd.end() {
        // Whoever asks before it is found out is sent on by the listener that finds nobody behind it.
        assert!(failed(&asked).is_empty(), "{:?}\n{}", failed(&asked), world.logs());
        assert!(asked.iter().filter(|one| one.began > died).all(|one| is_from(one, "us")));
        asked_since += asked.iter().filter(|one| one.began > died).count() as u64;
    }
    let answered = world.requests(US).iter().sum::<u64>() - had.iter().sum::<u64>();
    assert!(answered >= asked_since && asked_since > 20, "{answered} of {asked_since}");
}
