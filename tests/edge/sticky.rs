//! A client with a sticky cookie comes back to its endpoint, for as long as that is there.

use std::fs;
use std::process::Command;

use crate::common::program;
use crate::common::skipped;
use crate::kit::client::Client;
use crate::kit::client::Response;
use crate::kit::edge::Setup;
use crate::kit::fleet::Fleet;
use crate::kit::only_for_rhumb;
use crate::kit::operator::ADMIN;

const ROUTE: &str = "{ pool = \"origin\", sticky = \"seat\" }";

fn setup(fleet: &Fleet) -> Setup {
    fleet.setup().routes(ROUTE).section(ADMIN)
}

fn with(cookie: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: www.example.com\r\nCookie: theme=dark; {cookie}\r\n\r\n")
}

/// `seat=…` of a response that sets it.
fn seat(said: &Response) -> Option<String> {
    let cookie = said.header("set-cookie")?;
    Some(cookie.split(';').next().unwrap().to_owned())
}

/// A newcomer's cookie and endpoint.
fn newcomer(client: &mut Client) -> (String, String) {
    let said = client.send(with("other=1")).response().unwrap();
    (seat(&said).expect("a cookie"), said.text())
}

#[test]
fn a_client_is_given_a_cookie_and_stays() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(3);
    let edge = setup(&fleet).start();
    let mut client = Client::connect(edge.address);
    let said = client.send(with("other=1")).response().unwrap();
    let cookie = said.header("set-cookie").unwrap().to_owned();
    let (value, rest) = cookie.split_once("; ").unwrap();
    assert!(value.starts_with("seat=") && value.len() == 5 + 32, "{cookie}");
    assert_eq!(rest, "Path=/; HttpOnly; SameSite=Lax");
    for _ in 0..10 {
        let again = client.send(with(value)).response().unwrap();
        assert_eq!((again.text(), again.header("set-cookie")), (said.text(), None));
    }
    let hits = edge.metric(r#"rhumb_proxy_sticky_total{pool="origin",result="hit"}"#);
    assert_eq!(hits, 10.0);
}

#[test]
fn over_tls_it_is_for_tls_alone() {
    if only_for_rhumb() {
        return;
    }
    let Some(curl) = program("curl") else { return skipped("curl is not installed") };
    let fleet = Fleet::of(2);
    let edge = Setup { tls: true, ..setup(&fleet) }.start();
    let port = edge.address.port();
    let output = Command::new(curl)
        .args(["-s", "-i", "--insecure", "--resolve", &format!("www.example.com:{port}:127.0.0.1")])
        .arg(format!("https://www.example.com:{port}/"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
    assert!(said.contains("; path=/; secure; httponly; samesite=lax"), "{said}");
}

#[test]
fn when_its_endpoint_is_gone_the_client_gets_another_and_a_new_cookie() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(3);
    let edge = setup(&fleet).start();
    let mut client = Client::connect(edge.address);
    let (cookie, place) = newcomer(&mut client);
    let at = usize::from(place.as_bytes()[0] - b'a');
    edge.order(fleet.addresses()[at], r#""state": "drain""#);
    let moved = client.send(with(&cookie)).response().unwrap();
    let fresh = seat(&moved).expect("a new cookie");
    assert!(moved.text() != place && fresh != cookie);
    for _ in 0..6 {
        let again = client.send(with(&fresh)).response().unwrap();
        assert_eq!((again.text(), seat(&again)), (moved.text(), None));
    }
    edge.end_order(fleet.addresses()[at]);
    let again = client.send(with(&fresh)).response().unwrap();
    assert_eq!((again.text(), seat(&again)), (moved.text(), None), "it has settled");
    assert_eq!(edge.metric(r#"rhumb_proxy_sticky_total{pool="origin",result="miss"}"#), 1.0);
}

#[test]
fn a_request_that_fails_there_is_tried_elsewhere() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let edge = setup(&fleet).start();
    let mut client = Client::connect(edge.address);
    let (cookie, place) = newcomer(&mut client);
    let at = usize::from(place.as_bytes()[0] - b'a');
    fleet.mood(at, |_| Some(vec![crate::kit::origin::Step::Reset]));
    let moved = client.send(with(&cookie)).response().unwrap();
    assert!(moved.status == 200 && moved.text() != place && seat(&moved).is_some(), "{moved:?}");
}

#[test]
fn forged_cookies_are_nobody_s() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(2);
    let edge = setup(&fleet).start();
    let mut client = Client::connect(edge.address);
    let (cookie, _) = newcomer(&mut client);
    let last = if cookie.ends_with('0') { "1" } else { "0" };
    let flipped = format!("{}{last}", &cookie[..cookie.len() - 1]);
    let address = format!("seat={}", fleet.addresses()[0]);
    let forged =
        [flipped.as_str(), "seat=", "seat=a", "seat=0", &address, &cookie.to_uppercase().replace("SEAT", "seat")];
    for cookie in forged.iter().filter(|forged| **forged != cookie) {
        let said: Vec<Response> = (0..2).map(|_| client.send(with(cookie)).response().unwrap()).collect();
        assert!(said.iter().all(|said| seat(said).is_some()), "{cookie}");
        assert_ne!(said[0].text(), said[1].text(), "balanced as if there were none: {cookie}");
    }
}

#[test]
fn a_former_secret_is_believed_while_it_is_exchanged() {
    if only_for_rhumb() {
        return;
    }
    let (fleet, dir) = (Fleet::of(3), tempfile::tempdir().unwrap());
    let file = dir.path().join("sticky.key");
    let secret = |n: u8| format!("{n:02x}").repeat(32);
    let write = |lines: &[u8]| {
        fs::write(&file, lines.iter().map(|n| secret(*n) + "\n").collect::<String>()).unwrap();
    };
    write(&[1]);
    let setup = Setup { proxy: format!("sticky_secret_file = {:?}\n", file.display().to_string()), ..setup(&fleet) };
    let edge = setup.clone().start();
    let mut client = Client::connect(edge.address);
    let (old, place) = newcomer(&mut client);
    write(&[2, 1]);
    edge.reload(&setup);
    let said = client.send(with(&old)).response().unwrap();
    let new = seat(&said).expect("a cookie of the new secret");
    assert!(said.text() == place && new != old);
    let said = client.send(with(&new)).response().unwrap();
    assert_eq!((said.text(), seat(&said)), (place.clone(), None));
    write(&[3, 2]);
    edge.reload(&setup);
    let said = client.send(with(&new)).response().unwrap();
    assert!(said.text() == place && seat(&said).is_some());
    assert!(seat(&client.send(with(&old)).response().unwrap()).is_some(), "the first secret is forgotten");
}
