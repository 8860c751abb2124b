//! What is borne, and what happens above it.

use std::io::Read;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::time::Duration;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::backend::Backend;
use crate::kit::client::Fate;
use crate::kit::client::connect;
use crate::kit::client::connect_from;
use crate::kit::client::echoes;
use crate::kit::client::fate;
use crate::kit::client::fate_within;
use crate::kit::client::read_text;
use crate::kit::here;
use crate::kit::now;
use crate::kit::site::Site;
use crate::kit::site::field;
use crate::kit::site::pool;
use crate::kit::site::tcp;

/// A client that was let in.
fn served(address: std::net::SocketAddr) -> TcpStream {
    let mut client = connect(address);
    read_text(&mut client, 1);
    client
}

#[test]
fn above_what_endpoints_bear_flows_wait_in_turn() {
    let backends = [Backend::named("a"), Backend::named("b")];
    let address = here();
    let app = pool("app", &backends.each_ref().map(|b| b.address), "max_connections = 2\nbalance = \"round_robin\"");
    let limits = "max_queue = 2\nqueue_timeout = \"1500ms\"";
    let site = Site::start(&(app + &tcp("edge", address, "app", limits)));
    let mut inside: Vec<TcpStream> = (0..4).map(|_| served(address)).collect();
    let waiting = |count: f64| {
        assert!(
            poll(PATIENCE, || site.metric("rhumb_proxy_queue{pool=\"app\"}") == count),
            "{}",
            site.admin("/metrics")
        );
    };
    let mut first = connect(address);
    waiting(1.0);
    let mut second = connect(address);
    waiting(2.0);
    let mut third = connect(address);
    assert_eq!(fate(&mut third), Fate::Reset, "the queue is full");
    site.has_flows("edge", "app", "queue_full", 1);
    let since = now();
    drop(inside.pop());
    read_text(&mut first, 1);
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    assert_eq!(fate_within(&mut second, Duration::from_millis(200)), Fate::Silent, "it waits on");
    assert_eq!(fate(&mut second), Fate::Reset, "until its time is up");
    site.has_flows("edge", "app", "queue_timeout", 1);
    assert!(backends.iter().map(Backend::open).sum::<usize>() <= 4);
    assert!(echoes(&mut first) && inside.iter_mut().all(echoes));
    let line = site.lines(3).into_iter().find(|line| field(line, "ended") == Some("sQ")).unwrap();
    let waited: f64 = field(&line, "queue_ms").unwrap().parse().unwrap();
    assert!((1_400.0..4_000.0).contains(&waited), "{line}");
}

#[test]
fn who_leaves_the_queue_leaves_room() {
    let backend = Backend::named("a");
    let address = here();
    let app = pool("app", &[backend.address], "max_connections = 1");
    let limits = "max_queue = 1\nqueue_timeout = \"1h\"";
    let site = Site::start(&(app + &tcp("edge", address, "app", limits)));
    let inside = served(address);
    let waits = connect(address);
    assert!(poll(PATIENCE, || site.metric("rhumb_proxy_queue{pool=\"app\"}") == 1.0));
    crate::kit::client::reset(waits);
    assert!(poll(PATIENCE, || site.metric("rhumb_proxy_queue{pool=\"app\"}") == 0.0), "it has broken off");
    site.has_flows("edge", "app", "client_reset", 1);
    let mut next = connect(address);
    assert!(poll(PATIENCE, || site.metric("rhumb_proxy_queue{pool=\"app\"}") == 1.0));
    drop(inside);
    read_text(&mut next, 1);
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn a_listener_takes_so_many_connections() {
    let backend = Backend::named("a");
    let address = here();
    let app = pool("app", &[backend.address], "");
    let site = Site::start(&(app + &tcp("edge", address, "app", "max_connections = 3")));
    let mut inside: Vec<TcpStream> = (0..3).map(|_| served(address)).collect();
    let mut other = connect(address);
    assert_ne!(fate(&mut other), Fate::Silent);
    assert_eq!(backend.accepted(), 3);
    assert_eq!(site.metric("rhumb_proxy_refused_total{listener=\"edge\",reason=\"connections_max\"}"), 1.0);
    assert!(inside.iter_mut().all(echoes));
    drop(inside.pop());
    backend.has_open(2);
    let again = || connect(address).read_exact(&mut [0; 1]).is_ok();
    assert!(poll(PATIENCE, again));
}

#[test]
fn a_client_comes_so_often_and_others_are_not_held_to_it() {
    let backend = Backend::named("a");
    let address = here();
    let app = pool("app", &[backend.address], "");
    let site = Site::start(&(app + &tcp("edge", address, "app", "client_rate = 5")));
    let came = |host: [u8; 4]| {
        let mut client = connect_from(Ipv4Addr::from(host), address);
        client.read_exact(&mut [0; 1]).is_ok()
    };
    let served = (0..20).filter(|_| came([127, 0, 0, 9])).count();
    assert!((5..=10).contains(&served), "{served}");
    assert!(came([127, 0, 0, 10]), "another client");
    let refused = site.metric("rhumb_proxy_refused_total{listener=\"edge\",reason=\"client_rate\"}");
    assert_eq!(refused, (20 - served) as f64);
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(came([127, 0, 0, 9]), "after a while");
}
