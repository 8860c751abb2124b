//! Another process takes the listeners over, as with a new version: flows go on in the old one, new ones begin in the new.

use std::io::Read;
use std::time::Duration;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::backend::Backend;
use crate::kit::client::Fate;
use crate::kit::client::connect;
use crate::kit::client::echoes;
use crate::kit::client::fate;
use crate::kit::client::who_in_turn;
use crate::kit::here;
use crate::kit::load::Load;
use crate::kit::program::Programs;
use crate::kit::site::pool;
use crate::kit::site::tcp;

#[test]
fn under_load_nobody_sees_it() {
    let backend = Backend::named("a");
    let address = here();
    let mut programs = Programs::new(&(pool("app", &[backend.address], "") + &tcp("edge", address, "app", "")));
    let mut running = programs.serve(&[]);
    let load = Load::start(address);
    for _ in 0..3 {
        load.goes_on(20);
        let successor = programs.serve(&["--takeover"]);
        load.goes_on(20);
        assert!(poll(PATIENCE, || !running.is_alive()), "its flows have all ended: {}", running.log());
        running = successor;
    }
    load.end();
}

#[test]
fn who_is_there_has_its_time() {
    let backend = Backend::named("a");
    let address = here();
    let lines = "drain_timeout = \"3s\"";
    let mut programs = Programs::new(&(pool("app", &[backend.address], "") + &tcp("edge", address, "app", lines)));
    let mut first = programs.serve(&[]);
    let mut client = connect(address);
    client.read_exact(&mut [0; 1]).unwrap();
    let mut second = programs.serve(&["--takeover"]);
    assert!(first.is_alive());
    assert!(echoes(&mut client), "it goes on in the old process");
    assert_eq!(who_in_turn(address, 8), "a".repeat(8));
    assert_eq!(fate(&mut client), Fate::Reset);
    assert!(poll(PATIENCE, || !first.is_alive()), "{}", first.log());
    assert!(second.is_alive());
    assert_eq!(who_in_turn(address, 8), "a".repeat(8));
}

#[test]
fn sigterm_ends_it_and_a_second_at_once() {
    let backend = Backend::named("a");
    let address = here();
    let mut programs = Programs::new(&(pool("app", &[backend.address], "") + &tcp("edge", address, "app", "")));
    let mut running = programs.serve(&[]);
    let mut client = connect(address);
    client.read_exact(&mut [0; 1]).unwrap();
    running.signal("TERM");
    assert!(poll(PATIENCE, || running.log().contains("stopping")));
    assert!(echoes(&mut client));
    running.signal("TERM");
    assert!(poll(Duration::from_millis(1_900), || !running.is_alive()), "{}", running.log());
    assert_ne!(fate(&mut client), Fate::Silent);
}
