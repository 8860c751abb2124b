//! Where connections go: each way of choosing, as far as L4 can tell.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use crate::kit::backend::Backend;
use crate::kit::client::connect;
use crate::kit::client::connect_from;
use crate::kit::client::read_text;
use crate::kit::client::tally;
use crate::kit::client::who;
use crate::kit::client::who_in_turn;
use crate::kit::here;
use crate::kit::site::Site;
use crate::kit::site::marked_pool;
use crate::kit::site::tcp;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Endpoints `a`, `b`, … with what is said of each, and a listener before them.
fn fleet(marks: &[&'static str], lines: &str) -> (Vec<Backend>, Site, SocketAddr) {
    let backends: Vec<Backend> = NAMES.iter().take(marks.len()).map(|name| Backend::named(name)).collect();
    let endpoints: Vec<_> = backends.iter().zip(marks).map(|(backend, mark)| (backend.address, *mark)).collect();
    let address = here();
    let site = Site::on_one_core(&(marked_pool("app", &endpoints, lines) + &tcp("edge", address, "app", "")));
    (backends, site, address)
}

#[test]
fn round_robin_goes_round() {
    let (_backends, _site, address) = fleet(&["", "", ""], "balance = \"round_robin\"");
    let order = who_in_turn(address, 12);
    let first = order[..3].to_owned();
    assert_eq!(order, first.repeat(4));
    assert_eq!(tally(&order, "abc"), [4, 4, 4]);
}

#[test]
fn weights_are_interleaved() {
    let (_backends, _site, address) = fleet(&["weight = 5", "weight = 1", "weight = 1"], "balance = \"weighted\"");
    let order = who_in_turn(address, 21);
    assert_eq!(tally(&order, "abc"), [15, 3, 3], "{order}");
    assert!(
        ["aabacaa", "abacaaa", "aaabaca", "aaaabac", "caaaaba", "acaaaab", "bacaaaa"]
            .iter()
            .any(|turn| order == turn.repeat(3)),
        "smoothly: {order}"
    );
}

#[test]
fn the_fewest_flows_are_those_that_are_open() {
    let (backends, _site, address) = fleet(&["", "", ""], "balance = \"least_conn\"");
    let mut open: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for _ in 0..30 {
        let mut client = connect(address);
        open.entry(read_text(&mut client, 1)).or_default().push(client);
    }
    assert_eq!(open.values().map(Vec::len).collect::<Vec<_>>(), [10, 10, 10]);
    // Those of one end: it is the one for the next ten.
    drop(open.remove("b"));
    backends[1].has_open(0);
    let mut next = Vec::new();
    for _ in 0..10 {
        let mut client = connect(address);
        assert_eq!(read_text(&mut client, 1), "b");
        next.push(client);
    }
}

/// Who serves clients of each of so many addresses.
fn by_client(address: SocketAddr, count: u8) -> String {
    let from = |n: u8| read_text(&mut connect_from(Ipv4Addr::new(127, 0, n + 1, 7), address), 1);
    (0..count).map(from).collect()
}

#[test]
fn a_client_stays_where_it_was_and_others_move_only_if_they_must() {
    for balance in ["hash", "ring_hash", "maglev"] {
        let lines = format!("balance = \"{balance}\"\nhash_on = \"client\"");
        let (backends, site, address) = fleet(&["", "", "", ""], &lines);
        let first = by_client(address, 40);
        assert!(tally(&first, "abcd").iter().all(|count| *count > 0), "{balance}: {first}");
        assert_eq!(by_client(address, 40), first, "{balance}");
        site.order(&["drain", &format!("endpoint/app/{}", backends[2].address)]);
        let after = by_client(address, 40);
        assert!(!after.contains('c'), "{balance}: {after}");
        let moved =
            first.chars().zip(after.chars()).filter(|(before, after)| before != after && *before != 'c').count();
        // A table is filled anew, which moves a few more.
        let most = if balance == "maglev" { 8 } else { 0 };
        assert!(moved <= most, "{balance}: {moved} of {first}\n{after}");
        site.order(&["undrain", &format!("endpoint/app/{}", backends[2].address)]);
        assert_eq!(by_client(address, 40), first, "{balance}: they come back");
    }
}

#[test]
fn live_flows_are_not_moved() {
    let (backends, site, address) = fleet(&["", ""], "balance = \"hash\"\nhash_on = \"client\"");
    let mut clients: Vec<_> = (0..10).map(|n| connect_from(Ipv4Addr::new(127, 0, n + 1, 7), address)).collect();
    for client in &mut clients {
        client.read_exact(&mut [0; 1]).unwrap();
    }
    site.order(&["force", &format!("endpoint/app/{}", backends[0].address), "down", "--force"]);
    assert_eq!(tally(&by_client(address, 10), "ab"), [0, 10]);
    assert!(clients.iter_mut().all(crate::kit::client::echoes));
}

#[test]
fn a_backup_waits_until_it_is_needed() {
    let marks = ["", "", "backup = true"];
    let (backends, site, address) = fleet(&marks, "balance = \"failover\"");
    assert_eq!(tally(&who_in_turn(address, 10), "c"), [0]);
    let endpoint = |at: usize| format!("endpoint/app/{}", backends[at].address);
    let first = who(address);
    let at = usize::from(first == "b");
    site.order(&["force", &endpoint(at), "down", "--force"]);
    let then = who_in_turn(address, 10);
    assert_eq!(tally(&then, &first), [0], "{then}");
    site.order(&["force", &endpoint(1 - at), "down", "--force"]);
    assert_eq!(who_in_turn(address, 10), "c".repeat(10));
}

#[test]
fn other_ways_send_to_all() {
    for balance in ["p2c", "random"] {
        let (_backends, _site, address) = fleet(&["", "", ""], &format!("balance = \"{balance}\""));
        let order = who_in_turn(address, 60);
        // p2c goes by how long connects took, and one slow one is remembered.
        assert!(tally(&order, "abc").iter().all(|count| (1..=45).contains(count)), "{balance}: {order}");
    }
}
