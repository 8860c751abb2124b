//! Endpoints that refuse, say nothing, or die: what clients see of it, and who hears.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::time::Duration;

use crate::common::dns::Question;
use crate::common::dns::ask;
use crate::common::dns::rtype;
use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::backend::Backend;
use crate::kit::backend::blackhole;
use crate::kit::backend::refusing;
use crate::kit::client::Fate;
use crate::kit::client::connect;
use crate::kit::client::echoes;
use crate::kit::client::fate;
use crate::kit::client::who_in_turn;
use crate::kit::here;
use crate::kit::now;
use crate::kit::site::Site;
use crate::kit::site::field;
use crate::kit::site::pool;
use crate::kit::site::tcp;

const ROUND_ROBIN: &str = "balance = \"round_robin\"";

#[test]
fn when_a_server_dies_its_clients_know_and_the_next_go_elsewhere() {
    let (dies, stays) = (Backend::named("a"), Backend::named("b"));
    let address = here();
    let site =
        Site::start(&(pool("app", &[dies.address, stays.address], ROUND_ROBIN) + &tcp("edge", address, "app", "")));
    let mut clients: Vec<_> = (0..8).map(|_| connect(address)).collect();
    for client in &mut clients {
        client.read_exact(&mut [0; 1]).unwrap();
        assert!(echoes(client));
    }
    let at_it = dies.open();
    assert!((2..=6).contains(&at_it), "{at_it}");
    dies.die();
    let (mut broken, mut well) = (0, 0);
    for client in &mut clients {
        if echoes(client) { well += 1 } else { broken += 1 }
    }
    assert_eq!((broken, well), (at_it, 8 - at_it));
    site.has_flows("edge", "app", "endpoint_reset", at_it);
    assert_eq!(who_in_turn(address, 20), "b".repeat(20), "nobody sees that the other one refuses");
}

#[test]
fn who_refuses_is_passed_over_and_is_out_after_five() {
    let backend = Backend::named("b");
    let (_socket, nobody) = refusing();
    let address = here();
    let site =
        Site::on_one_core(&(pool("app", &[nobody, backend.address], ROUND_ROBIN) + &tcp("edge", address, "app", "")));
    let since = now();
    assert_eq!(who_in_turn(address, 30), "b".repeat(30));
    let took = since.elapsed();
    assert_eq!(site.metric("rhumb_proxy_upstream_failures_total{pool=\"app\",reason=\"connect\"}"), 5.0);
    assert_eq!(site.metric("rhumb_proxy_retries_total{pool=\"app\"}"), 5.0);
    eprintln!("five refusals and thirty flows took {took:?}");
    let lines = site.lines(30);
    let tried_twice = lines.iter().filter(|line| field(line, "attempts") == Some("2")).count();
    assert_eq!(tried_twice, 5);
    assert!(lines.iter().all(|line| field(line, "endpoint") == Some(&backend.address.to_string())));
}

#[test]
fn who_never_answers_is_given_up_in_time() {
    let backend = Backend::named("b");
    let (_held, hole) = blackhole();
    let address = here();
    let lines = format!("{ROUND_ROBIN}\nconnect_timeout = \"300ms\"");
    let site = Site::on_one_core(&(pool("app", &[hole, backend.address], &lines) + &tcp("edge", address, "app", "")));
    let since = now();
    assert_eq!(who_in_turn(address, 1), "b");
    let took = since.elapsed();
    assert!((Duration::from_millis(250)..Duration::from_secs(3)).contains(&took), "{took:?}");
    assert_eq!(site.metric("rhumb_proxy_upstream_failures_total{pool=\"app\",reason=\"connect_timeout\"}"), 1.0);

    // With nobody else.
    let alone = here();
    site.reload(&(pool("app", &[hole], "connect_timeout = \"300ms\"") + &tcp("alone", alone, "app", ""))).unwrap();
    let mut client = connect(alone);
    assert_eq!(fate(&mut client), Fate::Reset);
    site.has_flows("alone", "app", "connect_failed", 1);
    let line = site.lines(2).pop().unwrap();
    assert_eq!(field(&line, "ended"), Some("sC"), "{line}");
}

#[test]
fn where_nobody_is_the_client_is_reset() {
    let ((_one, first), (_other, second)) = (refusing(), refusing());
    let address = here();
    let site = Site::start(&(pool("app", &[first, second], "") + &tcp("edge", address, "app", "")));
    let mut client = connect(address);
    assert_eq!(fate(&mut client), Fate::Reset);
    site.has_flows("edge", "app", "connect_failed", 1);
    let line = site.lines(1).pop().unwrap();
    assert_eq!((field(&line, "ended"), field(&line, "attempts")), (Some("SC"), Some("2")), "{line}");
}

#[test]
fn who_breaks_off_before_a_word_is_out_within_a_second_and_dns_hears() {
    let bad = Backend::start(|mut stream| {
        stream.read_exact(&mut [0; 1])?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    });
    let good = Backend::on(std::net::TcpListener::bind("127.0.0.2:0").unwrap(), |mut stream| {
        stream.read_exact(&mut [0; 1])?;
        stream.write_all(b"b")
    });
    let address = here();
    let zones = tempfile::tempdir().unwrap();
    let file = zones.path().join("example.com.zone");
    fs::write(&file, "$TTL 60\n@ SOA ns h 1 1h 15m 1w 60\n@ NS ns\nns A 192.0.2.53\n").unwrap();
    let zone = format!("[zone.\"example.com.\"]\nfile = {:?}\n", file.display().to_string());
    let vip = "[vip.\"www.example.com.\"]\npolicy = \"failover\"\npools = [{ pool = \"app\" }]\n";
    let app = pool("app", &[bad.address, good.address], ROUND_ROBIN);
    let site = Site::on_one_core(&(app + &zone + vip + &tcp("edge", address, "app", "")));
    let named = || -> BTreeSet<String> {
        let answers = (0..40).flat_map(|_| ask(site.dns(), &Question::new("www.example.com.", rtype::A)).addresses());
        answers.map(|address| address.to_string()).collect()
    };
    assert_eq!(named().into_iter().collect::<Vec<_>>(), ["127.0.0.1", "127.0.0.2"]);
    let one = || {
        let mut client = connect(address);
        client.write_all(b"x").unwrap();
        fate(&mut client)
    };
    let since = now();
    let mut resets = 0;
    while resets < 5 {
        resets += usize::from(one() == Fate::Reset);
    }
    let out = || named().into_iter().eq(["127.0.0.2".to_owned()]);
    assert!(poll(PATIENCE, out), "{:?}", named());
    let took = since.elapsed();
    eprintln!("five resets, and DNS had heard after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!((0..10).all(|_| one() == Fate::Closed), "nobody is sent there any more");
    assert_eq!(bad.accepted(), 5);
    let seen = site.admin("/v1/endpoints");
    assert!(seen.contains("5 failures in a row (connection reset)"), "{seen}");
}

#[test]
fn the_last_one_is_never_taken_out() {
    let breaks_off = || {
        Backend::start(|mut stream| {
            stream.read_exact(&mut [0; 1])?;
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
        })
    };
    for (count, most) in [(1, 0.0), (2, 1.0), (3, 1.0)] {
        let backends: Vec<Backend> = (0..count).map(|_| breaks_off()).collect();
        let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
        let address = here();
        let lines = format!("{ROUND_ROBIN}\npanic = 0");
        let site = Site::on_one_core(&(pool("app", &addresses, &lines) + &tcp("edge", address, "app", "")));
        for _ in 0..40 {
            let mut client = connect(address);
            client.write_all(b"x").unwrap();
            assert_eq!(fate(&mut client), Fate::Reset);
        }
        let page = site.admin("/metrics");
        let ejections = page.lines().filter(|line| line.starts_with("rhumb_proxy_ejections_total{"));
        let out: f64 = ejections.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
        assert_eq!(out, most, "of {count}");
        assert_eq!(backends.iter().map(Backend::accepted).sum::<usize>(), 40, "all were tried there");
    }
}

#[test]
fn flows_of_an_endpoint_that_is_found_down_are_kept_or_closed_as_the_pool_wants() {
    for (on_down, ends) in [("close", true), ("keep", false)] {
        let (down, up) = (Backend::named("a"), Backend::named("b"));
        let address = here();
        let lines = format!("{ROUND_ROBIN}\non_down = \"{on_down}\"");
        let app = pool("app", &[down.address, up.address], &lines);
        let site = Site::on_one_core(&(app + &tcp("edge", address, "app", "")));
        let (mut at_down, mut at_up) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            let (mut client, mut name) = (connect(address), [0; 1]);
            client.read_exact(&mut name).unwrap();
            if name == *b"a" { at_down.push(client) } else { at_up.push(client) }
        }
        assert_eq!((at_down.len(), at_up.len()), (3, 3));
        site.order(&["force", &format!("endpoint/app/{}", down.address), "down", "--force"]);
        if ends {
            at_down.iter_mut().for_each(|client| assert_eq!(fate(client), Fate::Reset));
            site.has_flows("edge", "app", "endpoint_down", 3);
        } else {
            // Two looks of a core.
            std::thread::sleep(Duration::from_millis(2_200));
            assert!(at_down.iter_mut().all(echoes));
        }
        assert!(at_up.iter_mut().all(echoes));
        assert_eq!(who_in_turn(address, 6), "b".repeat(6));
    }
}
