//! Endpoints, pools, regions and the process are taken out while clients are served: nothing new, and what is in hand ends well.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::get;
use crate::kit::edge::port;
use crate::kit::h2;
use crate::kit::h2::ACK;
use crate::kit::h2::Fate;
use crate::kit::h2::Frame;
use crate::kit::h2::GOAWAY;
use crate::kit::h2::H2;
use crate::kit::h2::PING;
use crate::kit::load::Load;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::fixed;
use crate::kit::site::Site;
use crate::kit::site::listener;
use crate::kit::site::pool;
use crate::websocket;

fn here() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port()))
}

fn slow() -> Origin {
    Origin::start(|request| match request.target().as_str() {
        "/slow" => [vec![Step::Wait(Duration::from_millis(700))], fixed(200, "slow")].concat(),
        target => fixed(200, target),
    })
}

fn endpoint(pool: &str, origin: &Origin) -> String {
    format!("endpoint/{pool}/{}:{}", origin.address.ip(), origin.address.port())
}

#[test]
fn a_drained_endpoint_finishes_and_lets_go() {
    let (leaving, staying) = (slow(), slow());
    let address = here();
    let endpoints = [leaving.address, staying.address];
    let site = Site::start(
        &(pool("app", "here", &endpoints, "balance = \"round_robin\"") + &listener("edge", address, "app", "")),
    );
    let load = Load::start(address);
    load.goes_on(10);
    let is_slow = |origin: &Origin| origin.requests().iter().any(|taken| taken.target() == "/slow");
    let mut waiting = Vec::new();
    // Turns are taken with the load, so two in a row may come to one endpoint.
    let both = poll(Duration::from_millis(600), || {
        let mut client = Client::connect(address);
        client.send(get("/slow"));
        waiting.push(client);
        is_slow(&leaving) && is_slow(&staying)
    });
    assert!(both, "{} were sent to one endpoint", waiting.len());
    site.order(&["drain", &endpoint("app", &leaving)]);
    for client in &mut waiting {
        let said = client.response().unwrap();
        assert_eq!((said.status, said.says_close()), (200, false), "clients need not know");
    }
    load.goes_on(10);
    load.end();
    // Nobody asks any more: idle connections are let go all the same.
    assert!(poll(PATIENCE, || leaving.ended() == leaving.connections()), "{}", leaving.connections() - leaving.ended());
    let before = leaving.requests().len();
    assert_eq!(Client::connect(address).send(get("/")).response().unwrap().status, 200);
    assert_eq!(leaving.requests().len(), before);
    site.order(&["undrain", &endpoint("app", &leaving)]);
    let asked = || {
        _ = Client::connect(address).send(get("/again")).response().unwrap();
        leaving.requests().len() > before
    };
    assert!(poll(PATIENCE, asked), "it is back");
}

/// Whether each of them ends in its time.
fn assert_end_in_time(clients: &mut [Client]) {
    let since = crate::kit::now();
    for client in clients {
        assert!(websocket::echoes(client) || since.elapsed() > Duration::from_secs(1), "it goes on meanwhile");
    }
}

#[test]
fn tunnels_to_a_drained_endpoint_have_their_time() {
    let (leaving, staying) = (websocket::origin(), websocket::origin());
    let address = here();
    let endpoints = [leaving.address, staying.address];
    let lines = "drain_timeout = \"1s\"";
    let site = Site::start(
        &(pool("app", "here", &endpoints, "balance = \"round_robin\"") + &listener("edge", address, "app", lines)),
    );
    let mut clients: Vec<Client> = (0..8).map(|_| websocket::upgraded(address)).collect();
    assert!(leaving.requests().len() >= 2 && staying.requests().len() >= 2);
    site.order(&["drain", &endpoint("app", &leaving)]);
    let since = crate::kit::now();
    assert_end_in_time(&mut clients);
    assert!(poll(PATIENCE, || leaving.ended() == leaving.connections()));
    assert!(since.elapsed() >= Duration::from_millis(900), "{:?}", since.elapsed());
    let mut alive = 0;
    for client in &mut clients {
        if websocket::echoes(client) {
            alive += 1;
        } else {
            assert!(client.ends(), "properly");
        }
    }
    assert_eq!(alive, staying.requests().len(), "the others go on");
}

#[test]
fn an_endpoint_that_is_configured_no_more_is_left_the_same_way() {
    let (leaving, staying) = (websocket::origin(), websocket::origin());
    let address = here();
    let edge = listener("edge", address, "app", "drain_timeout = \"1s\"");
    let site = Site::start(&(pool("app", "here", &[leaving.address], "") + &edge));
    let mut client = websocket::upgraded(address);
    site.reload(&(pool("app", "here", &[staying.address], "") + &edge)).unwrap();
    assert_eq!(Client::connect(address).send(get("/")).response().unwrap().status, 200);
    assert!(websocket::echoes(&mut client));
    assert!(client.ends());
}

#[test]
fn a_drained_pool_falls_back_or_serves_on() {
    let (leaving, staying) = (websocket::origin(), websocket::origin());
    let (address, lonely) = (here(), here());
    let pools =
        pool("app", "here", &[leaving.address], "fallback = \"far\"") + &pool("far", "there", &[staying.address], "");
    let edges = listener("edge", address, "app", "drain_timeout = \"1s\"")
        + &listener("lonely", lonely, "far", "drain_timeout = \"1s\"");
    let site = Site::start(&(pools + &edges));
    let load = Load::start(address);
    load.goes_on(10);
    let (mut tunnel, mut lasting) = (websocket::upgraded(address), websocket::upgraded(lonely));
    site.order(&["drain", "pool/app"]);
    load.goes_on(20);
    load.end();
    assert!(poll(PATIENCE, || leaving.ended() == leaving.connections()), "nothing is kept there");
    assert!(tunnel.ends());
    // With nowhere to go, it serves as it can.
    site.order(&["drain", "pool/far", "--force"]);
    let before = leaving.requests().len() + staying.requests().len();
    assert_eq!(Client::connect(lonely).send(get("/")).response().unwrap().status, 200);
    assert_eq!(leaving.requests().len() + staying.requests().len(), before + 1);
    assert!(websocket::echoes(&mut lasting));
}

#[test]
fn a_drained_region_serves_those_who_come_and_tells_them_to_go() {
    let origin = slow();
    let address = here();
    let site = Site::start(&(pool("app", "there", &[origin.address], "") + &listener("edge", address, "app", "")));
    assert_eq!(site.readyz(), Some(200));
    let load = Load::start(address);
    let mut kept = Client::connect(address);
    assert!(!kept.send(get("/")).response().unwrap().says_close());
    let mut over_h2 = H2::connect(address);
    over_h2.request(1, &h2::get("/"));
    assert_eq!(over_h2.fate(1), Fate::Status(200));
    site.order(&["drain", "region/here"]);
    assert_eq!(site.readyz(), Some(503));
    let mut goaways = 0;
    while let Some(frame) = over_h2.next() {
        goaways += usize::from(frame.kind == GOAWAY);
        if frame.kind == PING && frame.flags & ACK == 0 {
            over_h2.send(&Frame::new(PING, ACK, 0, frame.payload));
        }
    }
    assert_eq!(goaways, 2);
    // Each core looks once a second.
    assert!(poll(PATIENCE, || kept.send(get("/")).response().unwrap().says_close()));
    assert!(kept.ends());
    let told = || Client::connect(address).send(get("/")).response().unwrap().says_close();
    assert!(poll(PATIENCE, || (0..8).all(|_| told())));
    let mut fresh = H2::connect(address);
    fresh.request(1, &h2::get("/"));
    assert_eq!(fresh.fate(1), Fate::Status(200));
    load.goes_on(10);
    site.order(&["undrain", "region/here"]);
    assert_eq!(site.readyz(), Some(200));
    let stays = || !Client::connect(address).send(get("/")).response().unwrap().says_close();
    assert!(poll(PATIENCE, stays));
    load.goes_on(10);
    load.end();
}

#[test]
fn who_stops_says_so_first_and_fails_nothing_in_hand() {
    let origin = slow();
    let address = here();
    let mut site = Site::start(&(pool("app", "here", &[origin.address], "") + &listener("edge", address, "app", "")));
    let mut waiting = Client::connect(address);
    waiting.send(get("/slow"));
    let mut over_h2 = H2::connect(address);
    over_h2.request(1, &h2::get("/slow"));
    assert!(poll(PATIENCE, || origin.requests().len() == 2));
    let stopping = site.begin_to_stop();
    assert!(poll(PATIENCE, || site.readyz() == Some(503)), "{:?}", site.readyz());
    assert!(poll(PATIENCE, || std::net::TcpStream::connect(address).is_err()), "nobody waits in vain");
    assert!(!stopping.is_finished());
    let said = waiting.response().unwrap();
    assert!((said.status, said.says_close()) == (200, true), "{said:?}");
    assert_eq!(over_h2.fate(1), Fate::Status(200));
    // Nothing is left to wait for once the client knows.
    while let Some(frame) = over_h2.next() {
        if frame.kind == PING && frame.flags & ACK == 0 {
            over_h2.send(&Frame::new(PING, ACK, 0, frame.payload));
        }
    }
    assert!(poll(PATIENCE, || stopping.is_finished()));
}

#[test]
fn who_stops_is_gone_in_its_time() {
    let origin = websocket::origin();
    let address = here();
    let mut site = Site::start(&(pool("app", "here", &[origin.address], "") + &listener("edge", address, "app", "")));
    let (mut tunnel, mut idle) = (websocket::upgraded(address), Client::connect(address));
    assert_eq!(idle.send(get("/")).response().unwrap().status, 200);
    let since = crate::kit::now();
    assert!(site.stop(Duration::from_secs(8)), "stop_timeout is 2 s");
    assert!(since.elapsed() >= Duration::from_millis(1_900), "{:?}", since.elapsed());
    assert!(tunnel.ends() && idle.ends());
}

#[test]
fn a_tier_that_stops_does_not_wait_for_connections_that_another_tier_of_it_keeps() {
    let origin = slow();
    let (edge, zone) = (here(), here());
    let flows = format!(
        "[[listener]]\nname = \"zone\"\nregion = \"here\"\nbind = \"{zone}\"\nprotocol = \"tcp\"\npool = \"zone\"\n"
    );
    let pools = pool("zone", "here", &[origin.address], "") + &pool("app", "here", &[zone], "");
    let mut site = Site::start(&(pools + &flows + &listener("edge", edge, "app", "")));
    // So many that a core has both ends of some: one that has only the near ends lets go of them as it ends.
    let mut clients: Vec<Client> = (0..16).map(|_| Client::connect(edge)).collect();
    for client in &mut clients {
        client.send(get("/slow"));
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.response().unwrap().status, 200));
    drop(clients);
    // Less than its stop_timeout.
    assert!(site.stop(Duration::from_millis(1_500)), "it waits for itself");
}
