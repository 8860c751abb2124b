//! Zone transfers: who gets them, and that everything comes over.

use super::*;
use crate::responder::transfer::Transfer;

fn allowing(text: &str) -> World {
    let mut model = Model::default();
    model.server.transfer_to = vec![("198.51.100.0".parse().unwrap(), 24)];
    world_of(model, &[("example.com", text)])
}

/// Every message of the transfer, parsed.
fn transfer(world: &World) -> Vec<Message> {
    let query = query("example.com", "TYPE252", None);
    let mut out = vec![0; MESSAGE_BYTES_MAX];
    let outcome = respond(&query, SOURCE, Transport::Tcp, world, Draw::default(), &mut out);
    let zone = world.snapshot.zones.zone(outcome.transfer.expect("it is granted")).unwrap();
    let mut transfer = Transfer::new(&query, Arc::clone(zone)).unwrap();
    let mut messages = Vec::new();
    loop {
        match transfer.next(&mut out) {
            0 => return messages,
            bytes => messages.push(Message::from_vec(&out[..bytes]).expect("it parses")),
        }
    }
}

#[test]
fn a_small_zone_comes_in_one_message_between_its_soa_records() {
    let world = allowing("www A 192.0.2.1\nwww A 192.0.2.2\n@ MX 1 www\na.b TXT x\n");
    let messages = transfer(&world);
    let lines: Vec<String> =
        messages[0].answers.iter().map(|r| format!("{} {} {}", r.name, r.record_type(), r.data)).collect();
    let soa = "example.com. SOA ns1.example.com. hostmaster.example.com. 7 3600 900 604800 60";
    assert_eq!(messages.len(), 1);
    assert_eq!(
        lines,
        [
            soa,
            "example.com. NS ns1.example.com.",
            "example.com. MX 1 www.example.com.",
            "ns1.example.com. A 192.0.2.53",
            "www.example.com. A 192.0.2.1",
            "www.example.com. A 192.0.2.2",
            "a.b.example.com. TXT x",
            soa,
        ]
    );
}

#[test]
fn a_large_zone_comes_in_many_messages_and_nothing_is_lost() {
    let hosts: String = (0..5_000).map(|i| format!("h{i} A 10.0.{}.{}\n", i / 256, i % 256)).collect();
    let texts: String = (0..220).map(|i| format!("big TXT {i}{}\n", "t".repeat(230))).collect();
    let world = allowing(&format!("{hosts}{texts}{}", texts.replace("big", "big2")));
    let messages = transfer(&world);
    let records: Vec<String> = messages
        .iter()
        .flat_map(|m| &m.answers)
        .map(|r| format!("{} {} {}", r.name, r.record_type(), r.data))
        .collect();
    assert!(messages.len() > 5);
    assert_eq!(records.len(), world.snapshot.zones.zone(0).unwrap().records() + 1, "the SOA twice");
    let distinct: std::collections::HashSet<&String> = records.iter().collect();
    assert_eq!(distinct.len(), records.len() - 1);
    assert!(messages.iter().all(|m| !m.answers.is_empty() && m.authoritative));
}

#[test]
fn only_those_who_may_get_one() {
    let world = allowing("");
    let mut out = vec![0; MESSAGE_BYTES_MAX];
    let query = query("example.com", "TYPE252", None);
    let mut from = |source: &str, transport| {
        let outcome = respond(&query, source.parse().unwrap(), transport, &world, Draw::default(), &mut out);
        (outcome.transfer, outcome.rcode)
    };
    assert_eq!(from("198.51.100.1", Transport::Tcp), (Some(0), rcode::NOERROR));
    assert_eq!(from("::ffff:198.51.100.1", Transport::Tcp), (Some(0), rcode::NOERROR));
    assert_eq!(from("198.51.101.1", Transport::Tcp), (None, rcode::REFUSED));
    assert_eq!(from("2001:db8::1", Transport::Tcp), (None, rcode::REFUSED));
    assert_eq!(from("198.51.100.1", Transport::Udp), (None, rcode::NOTIMP));
}

#[test]
fn an_incremental_transfer_over_udp_gets_the_current_start() {
    let world = allowing("");
    let reply = present(&bytes(&world, &query("example.com", "TYPE251", None), Transport::Udp));
    assert!(reply.starts_with("NoError aa\n= example.com. 600 SOA ns1.example.com."), "{reply}");
    assert_eq!(reply.lines().count(), 2);
}
