//! The same key comes to the same endpoint, and to another only when that is gone.

use std::collections::HashMap;

use crate::kit::Findings;
use crate::kit::client::Client;
use crate::kit::client::ask;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::fleet::Fleet;
use crate::kit::fleet::after_millis;
use crate::kit::fleet::at_once;
use crate::kit::fleet::name;
use crate::kit::fleet::who_said;
use crate::kit::only_for_rhumb;
use crate::kit::operator::ADMIN;

const HASHED: [&str; 3] = ["hash", "ring_hash", "maglev"];
const ORIGINS: usize = 5;

/// Of a key and of what is none.
type Request = fn(usize, usize) -> String;

/// What may be hashed, and a request that carries the key of a number and differs from the others in all the rest.
const KEYS: [(&str, Request); 5] = [
    ("client", |key, noise| request(&format!("/{noise}"), &format!("X-Forwarded-For: 10.7.{key}.1\r\n"))),
    ("header:X-User", |key, noise| request(&format!("/{noise}"), &format!("X-User: u{key}\r\n"))),
    ("cookie:session", |key, noise| request("/", &format!("Cookie: a={noise}; session=s{key}; b=c\r\n"))),
    ("path", |key, noise| request(&format!("/file-{key}?{noise}"), "")),
    ("query:id", |key, noise| request(&format!("/{noise}?x={noise}&id={key}"), "")),
];

fn request(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: www.example.com\r\n{lines}\r\n")
}

fn setup(fleet: &Fleet, balance: &'static str, on: &str) -> Setup {
    let setup = fleet.setup().balance(balance).pool(&format!("hash_on = \"{on}\"")).section(ADMIN);
    setup.listener("trusted_proxies = [\"127.0.0.0/8\"]")
}

/// Who answers each of so many keys.
fn owners(edge: &Edge, keys: usize, noise: usize, request: Request) -> Vec<String> {
    let mut client = Client::connect(edge.address);
    (0..keys).map(|key| who_said(&client.send(request(key, noise)).response().unwrap())).collect()
}

#[test]
fn each_kind_of_key_keeps_its_endpoint_and_moves_only_with_it() {
    if only_for_rhumb() {
        return;
    }
    let mut findings = Findings::default();
    for balance in HASHED {
        for (on, request) in KEYS {
            let case = format!("{balance} on {on}");
            let fleet = Fleet::of(ORIGINS);
            let edge = setup(&fleet, balance, on).start();
            let before = owners(&edge, 100, 1, request);
            findings.expect(&case, owners(&edge, 100, 2, request) == before, || "not stable".to_owned());
            let shares: HashMap<&String, usize> = before.iter().fold(HashMap::new(), |mut all, owner| {
                *all.entry(owner).or_default() += 1;
                all
            });
            let is_even = shares.len() == ORIGINS && shares.values().all(|share| (4..=45).contains(share));
            findings.expect(&case, is_even, || format!("{shares:?}"));
            edge.order(fleet.addresses()[2], r#""state": "drain""#);
            let without = owners(&edge, 100, 3, request);
            let moved = before.iter().zip(&without).filter(|(was, is)| was != is && **was != name(2)).count();
            let has_left = without.iter().all(|owner| *owner != name(2) && owner != "-");
            findings.expect(&case, has_left && moved == 0, || format!("{moved} others moved when one was drained"));
            edge.end_order(fleet.addresses()[2]);
            findings.expect(&case, owners(&edge, 100, 4, request) == before, || "not as before".to_owned());
        }
    }
    findings.end();
}

#[test]
fn an_endpoint_that_leaves_the_configuration_takes_few_keys_with_it() {
    if only_for_rhumb() {
        return;
    }
    let mut findings = Findings::default();
    let (on, request) = KEYS[1];
    for balance in HASHED {
        let fleet = Fleet::of(ORIGINS);
        let whole = setup(&fleet, balance, on);
        let mut less = whole.clone();
        less.endpoints.remove(1);
        let edge = whole.start();
        let before = owners(&edge, 300, 1, request);
        edge.reload(&less);
        let after = owners(&edge, 300, 1, request);
        let others = before.iter().zip(&after).filter(|(was, is)| was != is && **was != name(1)).count();
        // Its own and, of Maglev's table, as many others at most.
        let most = if balance == "maglev" { 300 / ORIGINS } else { 0 };
        findings.expect(balance, others <= most && !after.contains(&name(1)), || format!("{others} others moved"));
    }
    findings.end();
}

#[test]
fn a_hot_key_goes_on_to_others_when_its_endpoint_is_full() {
    if only_for_rhumb() {
        return;
    }
    let mut findings = Findings::default();
    let (on, request) = KEYS[1];
    for balance in HASHED {
        for bounded in [false, true] {
            let fleet = Fleet::of(3);
            for at in 0..3 {
                fleet.mood(at, move |_| Some(after_millis(600, &name(at))));
            }
            let bound = if bounded { "bounded_load = \"150%\"" } else { "" };
            let edge = setup(&fleet, balance, on).pool(bound).start();
            let said = at_once(12, |noise| ask(edge.address, request(7, noise)));
            findings.expect(balance, said.iter().flatten().all(|said| said.status == 200), || format!("{said:?}"));
            let most = fleet.counts().into_iter().max().unwrap();
            // Twelve at most over three: half more than four each.
            let holds = if bounded { most <= 6 } else { most == 12 };
            findings.expect(balance, holds, || format!("bounded {bounded}: {:?}", fleet.counts()));
        }
    }
    findings.end();
}

#[test]
fn requests_without_the_key_are_spread() {
    if only_for_rhumb() {
        return;
    }
    let fleet = Fleet::of(3);
    let edge = setup(&fleet, "hash", "header:X-User").start();
    let mut client = Client::connect(edge.address);
    // What else is known of them: the client.
    for n in 0..60 {
        client.send(request("/", &format!("X-Forwarded-For: 10.9.{n}.1\r\n"))).response().unwrap();
    }
    assert!(fleet.counts().iter().all(|count| *count >= 5), "{:?}", fleet.counts());
}
