//! EDNS, sizes and truncation.

use super::*;

/// Upper response code, payload size, options.
pub(super) type Opt = (u16, u16, Vec<(u16, Vec<u8>)>);

/// The OPT record of a response; it stands last.
pub(super) fn opt(wire: &[u8]) -> Option<Opt> {
    let message = Message::from_vec(wire).unwrap();
    let edns = message.edns.as_ref()?;
    let ends_here = |at: usize| {
        wire[at..].starts_with(&[0, 0, 41])
            && at + 11 + usize::from(u16::from_be_bytes([wire[at + 9], wire[at + 10]])) == wire.len()
    };
    let at = (12..wire.len() - 10).find(|at| ends_here(*at))?;
    let mut rest = &wire[at + 11..];
    let mut options = Vec::new();
    while rest.len() >= 4 {
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        options.push((u16::from_be_bytes([rest[0], rest[1]]), rest[4..4 + length].to_vec()));
        rest = &rest[4 + length..];
    }
    Some((u16::from(edns.rcode_high()), edns.max_payload(), options))
}

fn large() -> World {
    let texts: String = (0..8).map(|i| format!("big TXT {}\n", format!("{i}").repeat(200))).collect();
    let hosts: String = (0..40).map(|i| format!("m{i} AAAA 2001:db8::{i:x}\n@ MX 1 m{i}\n")).collect();
    let glue: String =
        (0..20).map(|i| format!("sub NS n{i}.sub\nn{i}.sub A 192.0.2.{i}\nn{i}.sub AAAA ::{i:x}\n")).collect();
    let sibling: String = (0..20).map(|i| format!("sib NS n{i}.sub\nn{i}.sub TXT x\n")).collect();
    world(&[("example.com", &format!("{texts}{hosts}{glue}{sibling}www A 192.0.2.1\n"))])
}

#[test]
fn no_opt_comes_back_unless_one_came() {
    let world = large();
    assert_eq!(opt(&bytes(&world, &query("www.example.com", "A", None), Transport::Udp)), None);
    let reply = bytes(&world, &query("www.example.com", "A", Some((4096, 0, &[]))), Transport::Udp);
    assert_eq!(opt(&reply), Some((0, 1232, vec![])));
}

#[test]
fn other_versions_are_badvers() {
    let world = large();
    let reply = bytes(&world, &query("www.example.com", "A", Some((4096, 1 << 16, &[]))), Transport::Udp);
    assert_eq!(opt(&reply).unwrap().0, 1, "16 in two parts");
    assert_eq!(present(&reply), "BADSIG", "as hickory-proto calls 16, which is BADVERS in an OPT record");
}

#[test]
fn the_do_bit_comes_back() {
    let reply = bytes(&large(), &query("www.example.com", "A", Some((1232, 0x8000, &[]))), Transport::Udp);
    assert_eq!(reply[reply.len() - 4..], [0x80, 0, 0, 0]);
}

#[test]
fn what_does_not_fit_is_truncated_by_whole_sets() {
    let world = large();
    let udp = |name, qtype, payload| bytes(&world, &query(name, qtype, Some((payload, 0, &[]))), Transport::Udp);
    let reply = udp("big.example.com", "TXT", 4096);
    assert_eq!(present(&reply), "NoError aa tc", "our own cap is 1232");
    assert!(opt(&reply).is_some(), "the OPT stays");
    let whole = bytes(&world, &query("big.example.com", "TXT", None), Transport::Tcp);
    assert_eq!(present(&whole).lines().count(), 9);
    let mail = present(&udp("example.com", "MX", 1232));
    assert!(mail.starts_with("NoError aa\n= "), "{mail}");
    assert!(mail.contains("+ ") && mail.lines().count() < 81, "addresses that do not fit are only left out");
    let referral = present(&udp("x.sub.example.com", "A", 512));
    assert!(referral.starts_with("NoError tc\n^ "), "glue of the child itself is needed: {referral}");
    let sibling = present(&udp("x.sib.example.com", "A", 512));
    assert!(sibling.starts_with("NoError\n^ "), "glue of others is not: {sibling}");
    assert!(bytes(&world, &query("example.com", "MX", None), Transport::Udp).len() <= 512);
    let small = udp("www.example.com", "A", 0);
    assert_eq!(present(&small), "NoError aa\n= www.example.com. 300 A 192.0.2.1", "sizes below 512 count as 512");
}

#[test]
fn the_server_names_itself_when_told_to() {
    let mut model = Model::default();
    let ask_nsid = [0, 3, 0, 0];
    let query = query("example.com", "SOA", Some((1232, 0, &ask_nsid)));
    let unnamed = world_of(model.clone(), &[("example.com", "")]);
    assert_eq!(opt(&bytes(&unnamed, &query, Transport::Udp)).unwrap().2, []);
    model.server.nsid = Some("fra-1".into());
    let named = world_of(model, &[("example.com", "")]);
    assert_eq!(opt(&bytes(&named, &query, Transport::Udp)).unwrap().2, [(3, b"fra-1".to_vec())]);
}

#[test]
fn connections_are_told_how_long_they_may_idle() {
    let world = large();
    let query = query("www.example.com", "A", Some((1232, 0, &[0, 11, 0, 0])));
    assert_eq!(opt(&bytes(&world, &query, Transport::Tcp)).unwrap().2, [(11, vec![0, 100])]);
    assert_eq!(opt(&bytes(&world, &query, Transport::Udp)).unwrap().2, []);
}

#[test]
fn encrypted_answers_to_padded_queries_are_padded() {
    let world = large();
    let query = query("www.example.com", "A", Some((1232, 0, &[0, 12, 0, 2, 0, 0])));
    assert_eq!(bytes(&world, &query, Transport::Tls).len(), 468);
    assert_eq!(bytes(&world, &query, Transport::Https).len(), 468);
    assert!(bytes(&world, &query, Transport::Tcp).len() < 100);
}

#[test]
fn a_refusal_says_why() {
    let reply = bytes(&large(), &query("example.org", "A", Some((1232, 0, &[]))), Transport::Udp);
    assert_eq!(opt(&reply).unwrap().2, [(15, vec![0, 20])]);
}

#[test]
fn a_static_answer_has_scope_0_and_a_malformed_subnet_is_formerr() {
    let world = large();
    let with = |option: &[u8]| bytes(&world, &query("www.example.com", "A", Some((1232, 0, option))), Transport::Udp);
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    assert_eq!(opt(&with(&subnet)).unwrap().2, [(8, vec![0, 1, 24, 0, 192, 0, 2])]);
    let empty = [0, 8, 0, 4, 0, 1, 0, 0];
    assert_eq!(opt(&with(&empty)).unwrap().2, [(8, vec![0, 1, 0, 0])]);
    assert_eq!(present(&with(&[0, 8, 0, 7, 0, 1, 24, 24, 192, 0, 2])), "FormErr");
    assert_eq!(present(&with(&[subnet, subnet].concat())), "FormErr");
    let mut model = Model::default();
    model.geo.client_subnet = ClientSubnet::Ignore;
    let ignoring = world_of(model, &[("example.com", "www A 192.0.2.1\n")]);
    let reply = bytes(&ignoring, &query("www.example.com", "A", Some((1232, 0, &subnet))), Transport::Udp);
    assert_eq!(opt(&reply).unwrap().2, []);
}

#[test]
fn a_signed_query_is_from_a_key_we_do_not_know() {
    let mut query = query("www.example.com", "A", None);
    query.extend_from_slice(b"\x01k\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00");
    query[11] = 1;
    assert_eq!(present(&bytes(&large(), &query, Transport::Udp)), "NotAuth");
}
