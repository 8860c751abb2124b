//! The configuration changes while flows come and go: none of them sees it.

use std::io::Read;
use std::net::TcpStream;
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
use crate::kit::now;
use crate::kit::site::Site;
use crate::kit::site::field;
use crate::kit::site::passthrough;
use crate::kit::site::pool;
use crate::kit::site::tcp;

#[test]
fn under_load_no_change_fails_a_flow() {
    let (one, other) = (Backend::named("a"), Backend::named("b"));
    let (first, second) = (here(), here());
    let both = pool("app", &[one.address, other.address], "");
    let begin = both.clone() + &tcp("edge", first, "app", "");
    let site = Site::start(&begin);
    let load = Load::start(first);
    load.goes_on(20);
    let mut lasting: Vec<TcpStream> = (0..6).map(|_| connect(first)).collect();
    lasting.iter_mut().for_each(|client| client.read_exact(&mut [0; 1]).unwrap());
    let steps = [
        ("limits", both.clone() + &tcp("edge", first, "app", "max_connections = 900\nclient_rate = 5000")),
        (
            "another pool",
            both.clone() + &pool("new", &[other.address], "balance = \"least_conn\"") + &tcp("edge", first, "new", ""),
        ),
        ("a listener more", both.clone() + &tcp("edge", first, "app", "") + &tcp("more", second, "app", "")),
        ("one less", both.clone() + &tcp("edge", first, "app", "")),
        ("another name", both.clone() + &tcp("renamed", first, "app", "")),
        ("names exchanged", both.clone() + &tcp("a", first, "app", "") + &tcp("b", second, "app", "")),
        ("and back", both.clone() + &tcp("b", first, "app", "") + &tcp("a", second, "app", "")),
        (
            "PROXY protocol from others",
            both.clone() + &tcp("b", first, "app", "proxy_protocol = { accept_from = [\"192.0.2.0/24\"] }"),
        ),
        ("as in the beginning", begin.clone()),
    ];
    for (what, sections) in &steps {
        site.reload(sections).unwrap_or_else(|why| panic!("{what}: {why}"));
        load.goes_on(10);
        assert!(lasting.iter_mut().all(echoes), "{what}");
    }
    load.end();
}

#[test]
fn flows_stay_with_the_pool_they_went_to_and_new_ones_go_to_the_new() {
    let (old, new) = (Backend::named("a"), Backend::named("b"));
    let address = here();
    let pools = pool("old", &[old.address], "") + &pool("new", &[new.address], "");
    let site = Site::start(&(pools.clone() + &tcp("edge", address, "old", "")));
    let mut client = connect(address);
    client.read_exact(&mut [0; 1]).unwrap();
    site.reload(&(pools + &tcp("edge", address, "new", ""))).unwrap();
    assert_eq!(who_in_turn(address, 4), "bbbb");
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(echoes(&mut client));
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(fate(&mut client), Fate::Closed);
    let lines = site.lines(5);
    assert_eq!(lines.iter().filter(|line| field(line, "pool") == Some("old")).count(), 1, "{lines:?}");
}

#[test]
fn a_listener_that_is_removed_takes_nobody_and_drains() {
    let backend = Backend::named("a");
    let (address, other) = (here(), here());
    let app = pool("app", &[backend.address], "") + &tcp("other", other, "app", "");
    let site = Site::start(&(app.clone() + &tcp("edge", address, "app", "drain_timeout = \"1500ms\"")));
    let mut clients: Vec<TcpStream> = (0..3).map(|_| connect(address)).collect();
    clients.iter_mut().for_each(|client| client.read_exact(&mut [0; 1]).unwrap());
    let since = now();
    site.reload(&app).unwrap();
    assert!(poll(PATIENCE, || TcpStream::connect(address).is_err()));
    assert!(clients.iter_mut().all(echoes), "they have their time");
    for client in &mut clients {
        assert_eq!(fate(client), Fate::Reset, "not all was said");
    }
    let took = since.elapsed();
    assert!((Duration::from_millis(1_400)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert_eq!(who_in_turn(other, 2), "aa");
}

#[test]
fn an_endpoint_that_is_configured_no_more_is_left_in_time() {
    let (leaves, stays) = (Backend::named("a"), Backend::named("b"));
    let address = here();
    let edge = tcp("edge", address, "app", "drain_timeout = \"1s\"");
    let site = Site::start(&(pool("app", &[leaves.address], "") + &edge));
    let mut client = connect(address);
    client.read_exact(&mut [0; 1]).unwrap();
    site.reload(&(pool("app", &[stays.address], "") + &edge)).unwrap();
    assert_eq!(who_in_turn(address, 2), "bb");
    assert!(echoes(&mut client));
    assert_eq!(fate(&mut client), Fate::Reset);
    leaves.has_open(0);
}

#[test]
fn what_a_listener_speaks_may_change() {
    let backend = Backend::echo();
    let address = here();
    let app = pool("app", &[backend.address], "");
    let site = Site::start(&(app.clone() + &tcp("edge", address, "app", "")));
    let mut before = connect(address);
    assert!(echoes(&mut before));
    site.reload(&(app.clone() + &passthrough("edge", address, &[("*", "app")], ""))).unwrap();
    let refuses = || {
        let mut client = connect(address);
        !echoes(&mut client)
    };
    assert!(poll(PATIENCE, refuses), "ping is no TLS");
    assert!(echoes(&mut before), "what was there before goes on");
    let http = format!(
        "[[listener]]\nname = \"edge\"\nregion = \"here\"\nbind = \"{address}\"\nprotocol = \"http\"\nroutes = [{{ pool = \"app\" }}]\n"
    );
    site.reload(&(app + &http)).unwrap();
    assert!(echoes(&mut before));
}
