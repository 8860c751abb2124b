//! DNS queries.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rhumb::dns::name::Name;
use rhumb::health::probe::ReasonCode;
use rhumb::health::target::Target;
use rhumb::model::{CheckKind, DnsAnswer, DnsCheck};

use crate::common::servers::{Zone, knot, nsd};
use crate::common::skipped;
use crate::{ask, found, target};

fn dns(address: SocketAddr, name: &str, qtype: u16, with: impl FnOnce(&mut DnsCheck)) -> Target {
    let name: Name = name.parse().unwrap();
    let mut check = DnsCheck { tcp: false, name: name.wire().into(), qtype, rcodes: vec![0], answer: None };
    with(&mut check);
    target(address, CheckKind::Dns(check), 5000)
}

/// A query of `example.` for A, as `asked` makes it, answered with 192.0.2.1.
fn yes(query: &[u8]) -> Vec<u8> {
    let mut reply = query.to_vec();
    (reply[2], reply[3], reply[7]) = (0x84, 0, 1);
    reply.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01");
    reply
}

fn asked(address: SocketAddr) -> Target {
    dns(address, "example.", 1, |_| ())
}

/// Answers each query over UDP with all of these; tells the peers.
fn udp(answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> (SocketAddr, Receiver<SocketAddr>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
            let _ = tell.send(peer);
            for answer in answers(&bytes[..length]) {
                let _ = socket.send_to(&answer, peer);
            }
        }
    });
    (address, told)
}

#[test]
fn an_answer_passes_and_every_probe_has_a_port_of_its_own() {
    let (address, peers) = udp(|query| vec![yes(query)]);
    for _ in 0..3 {
        assert_eq!(found(&ask(asked(address))), (ReasonCode::L7Ok, "NOERROR, 1 record"));
    }
    let mut ports: Vec<u16> = peers.try_iter().map(|peer| peer.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3);
}

#[test]
fn only_an_answer_to_the_question_counts() {
    let (address, _peers) = udp(|query| {
        let (mut id, mut name, mut refused) = (yes(query), yes(query), query[..12].to_vec());
        id[0] ^= 1;
        name[13] ^= 1;
        (refused[0], refused[2]) = (query[0] ^ 0x80, 0x80);
        vec![vec![], vec![0; 3], query.to_vec(), id, name, refused, yes(query)]
    });
    assert!(ask(asked(address)).passed);
}

#[test]
fn what_comes_from_elsewhere_is_not_heard() {
    let other = UdpSocket::bind("127.0.0.2:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
            let _ = other.send_to(&yes(&bytes[..length]), peer);
        }
    });
    let mut target = asked(address);
    target.check.timeout = Duration::from_millis(300);
    assert_eq!(found(&ask(target)), (ReasonCode::L7Tout, "no answer over UDP within 300ms"));
}

#[test]
fn a_lost_packet_is_no_failure() {
    let lost = std::sync::atomic::AtomicBool::new(false);
    let (address, peers) = udp(move |query| match lost.swap(true, std::sync::atomic::Ordering::Relaxed) {
        false => vec![],
        true => vec![yes(query)],
    });
    let mut target = asked(address);
    target.check.timeout = Duration::from_millis(1500);
    assert!(ask(target).passed);
    let peers: Vec<SocketAddr> = peers.try_iter().collect();
    assert!(peers.len() >= 2 && peers.iter().all(|peer| *peer == peers[0]), "{peers:?}");
}

#[test]
fn a_port_that_nobody_listens_on_is_refused() {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(found(&ask(asked(address))), (ReasonCode::L4Con, "connection refused"));
    let over_tcp = dns(address, "example.", 1, |check| check.tcp = true);
    assert_eq!(found(&ask(over_tcp)), (ReasonCode::L4Con, "connection refused"));
}

#[test]
fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
            let mut truncated = bytes[..length].to_vec();
            truncated[2] = 0x86;
            let _ = socket.send_to(&truncated, peer);
        }
    });
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let reply = yes(&query);
            // In pieces, as networks have it.
            for byte in [&(reply.len() as u16).to_be_bytes()[..], &reply].concat() {
                stream.write_all(&[byte]).unwrap();
            }
        }
    });
    assert_eq!(found(&ask(asked(address))), (ReasonCode::L7Ok, "NOERROR, 1 record"));
}

#[test]
fn a_stream_that_breaks_off_or_answers_something_else_is_no_answer() {
    for (reply, words) in [
        (&b"\x00\x40abc"[..], "the connection was closed before an answer"),
        (b"", "the connection was closed before an answer"),
        (b"\x00\x0c\x00\x01\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00", "a response to another question"),
    ] {
        let address = crate::server(move |mut stream| {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(reply);
        });
        let result = ask(dns(address, "example.", 1, |check| check.tcp = true));
        assert_eq!(found(&result), (ReasonCode::L7Rsp, words));
    }
}

#[test]
fn knot_and_nsd_answer_as_expected() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::path::absolute("tests/zones/wild.test.zone").unwrap();
    let zones = [Zone { name: "wild.test.".to_owned(), file }];
    for server in [knot(dir.path(), &zones), nsd(dir.path(), &zones)] {
        let Some(server) = server else {
            skipped("knotd or nsd is not installed");
            continue;
        };
        let check = |name: &str, qtype: u16, with: fn(&mut DnsCheck)| {
            let result = ask(dns(server.address, name, qtype, with));
            (result.reason, result.detail)
        };
        let soa = check("wild.test.", 6, |_| ());
        assert_eq!(soa, (ReasonCode::L7Ok, "NOERROR, 1 record".into()), "{}", server.name);
        assert_eq!(check("WILD.test.", 6, |check| check.tcp = true), soa);
        assert_eq!(
            check("ns1.wild.test.", 1, |c| c.answer = Some(DnsAnswer::Address([192, 0, 2, 1].into()))).0,
            ReasonCode::L7Ok
        );
        let missing = check("ns1.wild.test.", 1, |c| c.answer = Some(DnsAnswer::Address([192, 0, 2, 9].into())));
        assert_eq!(missing, (ReasonCode::L7Rsp, "NOERROR, 1 record, none with 192.0.2.9".into()));
        assert_eq!(
            check("wild.test.", 2, |c| c.answer = Some(DnsAnswer::Contains("NS1.wild".into()))).0,
            ReasonCode::L7Ok
        );
        assert_eq!(
            check("any.wild.test.", 16, |c| c.answer = Some(DnsAnswer::Contains("any name".into()))).0,
            ReasonCode::L7Ok
        );
        let empty = check("ns1.wild.test.", 15, |_| ());
        assert_eq!(empty, (ReasonCode::L7Rsp, "NOERROR without a record in the answer".into()));
        assert_eq!(check("elsewhere.test.", 6, |_| ()), (ReasonCode::L7Sts, "REFUSED".into()));
        assert_eq!(check("elsewhere.test.", 6, |c| c.rcodes = vec![3, 5]), (ReasonCode::L7Ok, "REFUSED".into()));
    }
}
