//! How long a connection may wait between two requests, and how old it may become.

use std::time::Duration;

use crate::kit::client::Client;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::h2;
use crate::kit::h2::ACK;
use crate::kit::h2::Fate;
use crate::kit::h2::Frame;
use crate::kit::h2::GOAWAY;
use crate::kit::h2::H2;
use crate::kit::h2::PING;
use crate::kit::now;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;

/// Reads to the end; how often it was told to go.
fn goaways(client: &mut H2) -> usize {
    let mut count = 0;
    while let Some(frame) = client.next() {
        count += usize::from(frame.kind == GOAWAY);
        if frame.kind == PING && frame.flags & ACK == 0 {
            client.send(&Frame::new(PING, ACK, 0, frame.payload));
        }
    }
    count
}

#[test]
fn http_1_may_be_idle_so_long() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).listener("timeouts = { idle = \"1s\" }").start();
    let mut client = Client::connect(edge.address);
    for _ in 0..3 {
        assert_eq!(client.send(get("/")).response().unwrap().status, 200);
        assert!(client.is_quiet(Duration::from_millis(500)));
    }
    let since = now();
    assert!(client.ends());
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

#[test]
fn http_2_may_be_idle_so_long() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).listener("timeouts = { idle = \"1s\" }").start();
    let mut client = H2::connect(edge.address);
    for stream in [1, 3, 5] {
        client.request(stream, &h2::get("/"));
        assert_eq!(client.fate(stream), Fate::Status(200));
        std::thread::sleep(Duration::from_millis(500));
    }
    let since = now();
    assert_eq!(goaways(&mut client), 2, "it is told before");
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());

    // One that never asks at all.
    let mut silent = H2::connect(edge.address);
    let since = now();
    assert_eq!(goaways(&mut silent), 2);
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
}

#[test]
fn old_connections_are_told_to_go_with_a_response() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).listener("timeouts = { age = \"500ms\" }").start();
    let (mut client, mut over_h2) = (Client::connect(edge.address), H2::connect(edge.address));
    assert!(!client.send(get("/")).response().unwrap().says_close());
    over_h2.request(1, &h2::get("/"));
    assert_eq!(over_h2.fate(1), Fate::Status(200));
    std::thread::sleep(Duration::from_millis(700));
    let said = client.send(get("/")).response().unwrap();
    assert!((said.status, said.says_close()) == (200, true), "{said:?}");
    over_h2.request(3, &h2::get("/"));
    assert_eq!(over_h2.fate(3), Fate::Status(200));
    let since = now();
    goaways(&mut over_h2);
    assert!(since.elapsed() < Duration::from_secs(5), "it ends when it has nothing in hand: {:?}", since.elapsed());
}
