//! Endpoints, pools, regions and the process are taken out: new flows go elsewhere, and those in hand have their time.

use std::io::Read;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::backend::Backend;
use crate::kit::client::Fate;
use crate::kit::client::connect;
use crate::kit::client::echoes;
use crate::kit::client::fate;
use crate::kit::client::read_text;
use crate::kit::client::who_in_turn;
use crate::kit::here;
use crate::kit::now;
use crate::kit::site::Site;
use crate::kit::site::field;
use crate::kit::site::pool;
use crate::kit::site::tcp;

const DRAIN: &str = "drain_timeout = \"1s\"";

/// So many clients by who serves them: of `a`, and of others.
fn clients(address: SocketAddr, count: usize) -> (Vec<TcpStream>, Vec<TcpStream>) {
    let (mut of_a, mut others) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut client = connect(address);
        let name = read_text(&mut client, 1);
        if name == "a" { of_a.push(client) } else { others.push(client) }
    }
    (of_a, others)
}

/// They go on for the time that they have, and then they end.
fn end_in_their_time(clients: &mut [TcpStream], least: Duration) {
    let since = now();
    assert!(clients.iter_mut().all(echoes), "they have their time");
    for client in &mut *clients {
        assert_eq!(fate(client), Fate::Reset);
    }
    let took = since.elapsed();
    assert!((least..least + Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[test]
fn a_drained_endpoint_gets_nothing_new_and_keeps_what_it_has_for_a_while() {
    let (leaves, stays) = (Backend::named("a"), Backend::named("b"));
    let address = here();
    let app = pool("app", &[leaves.address, stays.address], "balance = \"round_robin\"");
    let site = Site::start(&(app + &tcp("edge", address, "app", DRAIN)));
    let (mut of_a, mut of_b) = clients(address, 12);
    assert!(of_a.len() >= 4 && of_b.len() >= 4);
    let endpoint = format!("endpoint/app/{}", leaves.address);
    site.order(&["drain", &endpoint]);
    assert_eq!(who_in_turn(address, 6), "b".repeat(6));
    end_in_their_time(&mut of_a, Duration::from_millis(800));
    assert!(of_b.iter_mut().all(echoes));
    site.has_flows("edge", "app", "drained", of_a.len());
    leaves.has_open(0);
    site.order(&["undrain", &endpoint]);
    assert!(poll(PATIENCE, || who_in_turn(address, 4).contains('a')));
}

#[test]
fn a_drain_that_is_taken_back_ends_nothing() {
    let (leaves, stays) = (Backend::named("a"), Backend::named("b"));
    let address = here();
    let app = pool("app", &[leaves.address, stays.address], "balance = \"round_robin\"");
    let site = Site::start(&(app + &tcp("edge", address, "app", "drain_timeout = \"3s\"")));
    let (mut of_a, _of_b) = clients(address, 6);
    let endpoint = format!("endpoint/app/{}", leaves.address);
    site.order(&["drain", &endpoint]);
    std::thread::sleep(Duration::from_millis(1_200));
    site.order(&["undrain", &endpoint]);
    std::thread::sleep(Duration::from_millis(3_500));
    assert!(of_a.iter_mut().all(echoes));
}

#[test]
fn a_drained_pool_and_a_drained_region_fall_back() {
    for target in ["pool/app", "region/here"] {
        let (leaves, stays) = (Backend::named("a"), Backend::named("b"));
        let address = here();
        let pools =
            pool("app", &[leaves.address], "fallback = \"far\"") + &pool("far", &[stays.address], "region = \"there\"");
        let site = Site::start(&(pools + &tcp("edge", address, "app", DRAIN)));
        let (mut of_a, _) = clients(address, 3);
        assert_eq!(of_a.len(), 3);
        site.order(&["drain", target]);
        assert_eq!(who_in_turn(address, 4), "b".repeat(4), "{target}");
        end_in_their_time(&mut of_a, Duration::from_millis(800));
        site.has_flows("edge", "app", "drained", 3);
        site.order(&["undrain", target]);
        assert_eq!(who_in_turn(address, 2), "aa", "{target}");
    }
}

#[test]
fn an_endpoint_that_is_reached_in_another_way_is_still_drained() {
    let (leaves, stays) = (Backend::named("a"), Backend::named("b"));
    let address = here();
    let app = |patience: &str| {
        let lines = format!("balance = \"round_robin\"\nconnect_timeout = \"{patience}\"");
        pool("app", &[leaves.address, stays.address], &lines) + &tcp("edge", address, "app", DRAIN)
    };
    let site = Site::start(&app("2s"));
    let (mut of_a, mut of_b) = clients(address, 6);
    site.reload(&app("3s")).unwrap();
    std::thread::sleep(Duration::from_millis(1_300));
    assert!(of_a.iter_mut().chain(&mut of_b).all(echoes), "a reload ends nothing");
    site.order(&["drain", &format!("endpoint/app/{}", leaves.address)]);
    end_in_their_time(&mut of_a, Duration::from_millis(800));
    assert!(of_b.iter_mut().all(echoes));
}

#[test]
fn who_stops_gives_flows_their_time_and_then_breaks_them_off() {
    let backend = Backend::named("a");
    let address = here();
    let mut site = Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", address, "app", "")));
    let (mut inside, _) = clients(address, 4);
    let mut ends = inside.pop().unwrap();
    let log = site.path("access.log");
    let log = std::fs::File::open(log).unwrap();
    let since = now();
    let stopping = std::thread::spawn(move || {
        assert!(site.stop(Duration::from_secs(8)), "stop_timeout is 2 s");
        site
    });
    assert!(poll(PATIENCE, || TcpStream::connect(address).is_err()), "nobody comes in");
    assert!(echoes(&mut ends), "it goes on meanwhile");
    ends.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(fate(&mut ends), Fate::Closed, "and ends well");
    for client in &mut inside {
        assert_eq!(fate(client), Fate::Reset, "not all was said");
    }
    assert!(since.elapsed() >= Duration::from_millis(1_900), "{:?}", since.elapsed());
    let _site = stopping.join().unwrap();
    let mut text = String::new();
    (&log).read_to_string(&mut text).unwrap();
    // Those who looked whether they could still come in have said nothing.
    let spoke =
        text.lines().filter(|line| field(line, "bytes_in") == Some("4")).map(|line| field(line, "ended").unwrap());
    let broken = text.lines().filter(|line| field(line, "ended") == Some("KD")).count();
    assert_eq!((spoke.collect::<Vec<_>>(), broken), (vec!["--"], 3), "each has its line: {text}");
}

#[test]
fn who_stops_does_not_wait_for_nobody() {
    let backend = Backend::named("a");
    let address = here();
    let mut site = Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", address, "app", "")));
    let (clients, _) = clients(address, 4);
    drop(clients);
    backend.has_open(0);
    let since = now();
    assert!(site.stop(Duration::from_secs(8)));
    assert!(since.elapsed() < Duration::from_millis(1_500), "{:?}", since.elapsed());
}
