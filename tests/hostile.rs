//! What do hostile bytes do to the running server? Nothing: the code the RFCs name or silence, and the next good
//! question is answered.

mod common;

use std::fs;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::time::Duration;

use common::dns::{Question, Reply, ask, rtype, tcp_receive, tcp_send, tcp_stream, wire_name};
use common::servers::{Server, rhumb};

/// Messages of each kind: over UDP, and over TCP.
const UDP_MESSAGES: usize = 3_000;
const TCP_MESSAGES: usize = 600;
const SEED: u64 = 0x5EED;
/// Longer than an answer on loopback takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

const FORMERR: u16 = 1;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const BADVERS: u16 = 16;

const ZONE: &str = "\
$TTL 300
@     SOA ns1 hostmaster 1 2h 15m 2w 60
      NS  ns1
ns1   A   192.0.2.1
good  A   192.0.2.2
*.w   CNAME good
d     DNAME w
cut   NS  ns.cut
ns.cut A  192.0.2.3
";

fn server(dir: &std::path::Path) -> Server {
    let zones = dir.join("zones");
    fs::create_dir(&zones).unwrap();
    fs::write(zones.join("example.com.zone"), ZONE).unwrap();
    rhumb(dir, &zones, "")
}

fn good(id: u16) -> Vec<u8> {
    Question { id, ..Question::new("good.example.com.", rtype::A) }.to_bytes()
}

fn assert_well(server: &mut Server) {
    let reply = ask(server.address, &Question::new("good.example.com.", rtype::A));
    assert_eq!(reply.addresses(), ["192.0.2.2".parse().unwrap()].into());
    assert!(server.process.is_alive(), "{}", server.process.log());
    assert!(!server.process.log().contains("panicked"), "{}", server.process.log());
}

/// splitmix64: small, and the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// A good message, spoiled in one to four ways.
fn spoiled(draw: &mut Draw, id: u16) -> Vec<u8> {
    let names = ["good.example.com.", "a.b.w.example.com.", "x.d.example.com.", "in.cut.example.com.", ".", "no.org."];
    let mut question = Question { id, ..Question::new(names[draw.below(names.len())], draw.next() as u16) };
    if draw.below(2) == 0 {
        question = question.edns(draw.next() as u16);
        question.dnssec_ok = draw.below(2) == 0;
    }
    if draw.below(2) == 0 {
        question = question.subnet("192.0.2.0", [0, 24, 32][draw.below(3)]);
    }
    let mut message = question.to_bytes();
    for _ in 0..=draw.below(4) {
        spoil(&mut message, draw);
    }
    if let Some(bytes) = message.first_chunk_mut() {
        *bytes = id.to_be_bytes();
    }
    message
}

fn spoil(message: &mut Vec<u8>, draw: &mut Draw) {
    let at = draw.below(message.len());
    match draw.below(9) {
        0 => message.truncate(at),
        1 => message.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (draw.next() % 8)),
        2 => message.iter_mut().skip(at).take(1).for_each(|byte| *byte = draw.next() as u8),
        // Counts.
        3 => message.iter_mut().skip(4 + draw.below(8)).take(1).for_each(|byte| *byte = draw.next() as u8),
        // A pointer, often to itself or ahead.
        4 => message.iter_mut().skip(at).take(2).zip([0xC0, draw.next() as u8]).for_each(|(byte, new)| *byte = new),
        5 => {
            let more = draw.below(200);
            message.extend((0..more).map(|_| draw.next() as u8));
        }
        6 => message.drain(at..(at + draw.below(20)).min(message.len())).for_each(drop),
        // Opcode and flags, but never QR: silence is tested apart.
        7 => message.iter_mut().skip(2).take(1).for_each(|byte| *byte = draw.next() as u8 & 0x7F),
        _ => {
            let piece: Vec<u8> = message[at..].iter().take(40).copied().collect();
            let into = draw.below(message.len());
            message.splice(into..into, piece);
        }
    }
}

/// A reply to hostile bytes is a reply to them, whole, and with a code that some RFC has for it.
fn check_reply(sent: &[u8], got: &[u8]) {
    let reply = Reply::parse(got).unwrap_or_else(|why| panic!("{why} in the reply to {sent:02x?}: {got:02x?}"));
    assert_eq!(reply.id.to_be_bytes(), sent[..2]);
    assert!(reply.flags & 0x8000 != 0, "no response: {got:02x?}");
    assert!(matches!(reply.rcode, 0 | 1 | 3 | 4 | 5 | 6 | 9 | BADVERS), "rcode {} to {sent:02x?}", reply.rcode);
}

#[test]
fn spoiled_messages_over_udp() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = server(dir.path());
    let mut draw = Draw(SEED);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 65_535];
    for number in 0..UDP_MESSAGES {
        let bad = spoiled(&mut draw, 1);
        socket.send(&bad).unwrap();
        // One socket's datagrams are answered in order: what comes before the good answer belongs to the bad message.
        socket.send(&good(2)).unwrap();
        loop {
            let bytes = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{e} after message {number}: {bad:02x?}"));
            let got = &buffer[..bytes];
            if got[..2] == [0, 2] {
                assert_eq!(Reply::parse(got).unwrap().addresses().len(), 1);
                break;
            }
            check_reply(&bad, got);
        }
    }
    assert_well(&mut server);
}

#[test]
fn spoiled_messages_over_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = server(dir.path());
    let mut draw = Draw(SEED + 1);
    for number in 0..TCP_MESSAGES {
        let bad = spoiled(&mut draw, 1);
        let mut stream = tcp_stream(server.address).expect("connections are accepted");
        tcp_send(&mut stream, &bad).unwrap();
        let _ = tcp_send(&mut stream, &good(2));
        // The server may hang up on a message that is none; it may not keep a good client waiting.
        while let Some(got) = tcp_receive(&mut stream) {
            if got[..2] == [0, 2] {
                break;
            }
            check_reply(&bad, &got);
        }
        if number % 50 == 0 {
            assert_well(&mut server);
        }
    }
    assert_well(&mut server);
}

#[test]
fn lengths_that_lie_and_writes_in_pieces_over_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = server(dir.path());
    let lies: [&[u8]; 5] =
        [&[0, 0], &[0xFF, 0xFF, 1, 2, 3], &[0, 5, 1], &[0], &[0, 12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]];
    for lie in lies {
        let mut stream = tcp_stream(server.address).unwrap();
        stream.write_all(lie).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        while tcp_receive(&mut stream).is_some() {}
        assert_well(&mut server);
    }
    // The largest message: a good header, and 64 KiB that are none.
    let mut stream = tcp_stream(server.address).unwrap();
    let mut large = good(1);
    large.resize(65_535, 0xAA);
    tcp_send(&mut stream, &large).unwrap();
    if let Some(got) = tcp_receive(&mut stream) {
        check_reply(&large, &got);
    }
    assert_well(&mut server);
    // Byte by byte, and two messages in one write.
    let mut stream = tcp_stream(server.address).unwrap();
    stream.set_nodelay(true).unwrap();
    let message = good(7);
    for byte in (message.len() as u16).to_be_bytes().iter().chain(&message) {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(tcp_receive(&mut stream).expect("an answer to a message in pieces")[..2], [0, 7]);
    let framed = |id| [&(message.len() as u16).to_be_bytes()[..], &good(id)].concat();
    stream.write_all(&[framed(8), framed(9)].concat()).unwrap();
    let mut ids = [tcp_receive(&mut stream).unwrap()[1], tcp_receive(&mut stream).unwrap()[1]];
    ids.sort_unstable();
    assert_eq!(ids, [8, 9]);
}

/// A header of these words and what follows it.
fn message(flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let words = [0x0101, flags].into_iter().chain(counts);
    words.flat_map(u16::to_be_bytes).chain(rest.iter().copied()).collect()
}

/// An OPT with these options.
fn opt(version: u8, options: &[u8]) -> Vec<u8> {
    [&[0, 0, 41, 4, 208, 0, version, 0, 0][..], &(options.len() as u16).to_be_bytes(), options].concat()
}

/// What `bytes` are answered with; none is silence, shown by the answer to a good question behind them.
fn rcode(server: SocketAddr, bytes: &[u8]) -> Option<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(bytes).unwrap();
    socket.send(&good(0x0202)).unwrap();
    let mut buffer = [0; 65_535];
    let got = socket.recv(&mut buffer).expect("the good question is answered");
    let reply = Reply::parse(&buffer[..got]).unwrap();
    (reply.id != 0x0202).then_some(reply.rcode)
}

#[test]
fn each_mistake_has_its_response_code() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = server(dir.path());
    let question = [wire_name("good.example.com."), vec![0, 1, 0, 1]].concat();
    let with = |more: &[u8]| [&question[..], more].concat();
    let subnet = |bytes: &[u8]| [&[0, 8][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let one_opt = |version: u8, options: &[u8]| message(0, [1, 0, 0, 1], &with(&opt(version, options)));
    let cases: Vec<(&str, Vec<u8>, Option<u16>)> = vec![
        ("nothing", vec![], None),
        ("half a header", vec![1, 1, 0, 0, 0, 1], None),
        ("a response", message(0x8000, [1, 0, 0, 0], &question), None),
        ("a response with an error", message(0x8001, [1, 0, 0, 0], &question), None),
        ("a header alone", message(0, [0; 4], &[]), Some(FORMERR)),
        ("a count without a question", message(0, [1, 0, 0, 0], &[]), Some(FORMERR)),
        ("two questions", message(0, [2, 0, 0, 0], &with(&question)), Some(FORMERR)),
        ("an answer in a query", message(0, [1, 1, 0, 0], &question), Some(FORMERR)),
        ("bytes behind the message", message(0, [1, 0, 0, 0], &with(&[0])), Some(FORMERR)),
        ("a pointer to itself", message(0, [1, 0, 0, 0], &[0xC0, 12, 0, 1, 0, 1]), Some(FORMERR)),
        ("a pointer ahead", message(0, [1, 0, 0, 0], &[0xC0, 60, 0, 1, 0, 1]), Some(FORMERR)),
        ("a label of type 01", message(0, [1, 0, 0, 0], &[0x41, 1, 0, 0, 1, 0, 1]), Some(FORMERR)),
        (
            "a name of 256 bytes",
            message(0, [1, 0, 0, 0], &[[63; 64].repeat(4), vec![0, 0, 1, 0, 1]].concat()),
            Some(FORMERR),
        ),
        ("IQUERY", message(1 << 11, [1, 0, 0, 0], &question), Some(NOTIMP)),
        ("STATUS", message(2 << 11, [1, 0, 0, 0], &question), Some(NOTIMP)),
        ("NOTIFY", message(4 << 11, [1, 0, 0, 0], &question), Some(NOTIMP)),
        ("UPDATE", message(5 << 11, [1, 0, 0, 0], &question), Some(NOTIMP)),
        ("opcode 15", message(15 << 11, [1, 0, 0, 0], &question), Some(NOTIMP)),
        ("EDNS version 1", one_opt(1, &[]), Some(BADVERS)),
        ("EDNS version 255", one_opt(255, &[]), Some(BADVERS)),
        ("two OPTs", message(0, [1, 0, 0, 2], &with(&[opt(0, &[]), opt(0, &[])].concat())), Some(FORMERR)),
        ("many OPTs", message(0, [1, 0, 0, 90], &with(&opt(0, &[]).repeat(90))), Some(FORMERR)),
        ("an option longer than its OPT", one_opt(0, &[0, 10, 0, 9, 1]), Some(FORMERR)),
        ("half an option", one_opt(0, &[0, 10, 0]), Some(FORMERR)),
        ("an unknown option", one_opt(0, &[0xFF, 0xFE, 0, 1, 7]), Some(0)),
        ("a large unknown option", one_opt(0, &[&[0xFF, 0xFE, 1, 0][..], &[7; 0x100]].concat()), Some(0)),
        // No client sends a datagram of 16 KiB; it is dropped before it is read.
        ("a huge unknown option", one_opt(0, &[&[0xFF, 0xFE, 0x40, 0][..], &[7; 0x4000]].concat()), None),
        ("a subnet of no family", one_opt(0, &subnet(&[0, 9, 24, 0, 1, 2, 3])), Some(FORMERR)),
        ("a subnet with a scope", one_opt(0, &subnet(&[0, 1, 24, 24, 1, 2, 3])), Some(FORMERR)),
        ("a subnet of 33 bits", one_opt(0, &subnet(&[0, 1, 33, 0, 1, 2, 3, 4, 5])), Some(FORMERR)),
        ("a subnet of 129 bits", one_opt(0, &subnet(&[&[0, 2, 129, 0][..], &[1; 17]].concat())), Some(FORMERR)),
        ("a subnet that ends early", one_opt(0, &subnet(&[0, 1, 24, 0, 1, 2])), Some(FORMERR)),
        ("a subnet that is too long", one_opt(0, &subnet(&[0, 1, 24, 0, 1, 2, 3, 4])), Some(FORMERR)),
        ("a subnet with bits behind it", one_opt(0, &subnet(&[0, 1, 20, 0, 1, 2, 0xFF])), Some(FORMERR)),
        ("a subnet without an address", one_opt(0, &subnet(&[0, 1, 0, 0])), Some(0)),
        ("a good subnet", one_opt(0, &subnet(&[0, 1, 24, 0, 1, 2, 3])), Some(0)),
        (
            "class NONE",
            message(0, [1, 0, 0, 0], &[wire_name("good.example.com."), vec![0, 1, 0, 254]].concat()),
            Some(REFUSED),
        ),
        (
            "a name of others",
            message(0, [1, 0, 0, 0], &[wire_name("example.org."), vec![0, 1, 0, 1]].concat()),
            Some(REFUSED),
        ),
        (
            "a zone transfer",
            message(0, [1, 0, 0, 0], &[wire_name("example.com."), vec![0, 252, 0, 1]].concat()),
            Some(REFUSED),
        ),
    ];
    for (what, bytes, wanted) in &cases {
        assert_eq!(rcode(server.address, bytes), *wanted, "{what}: {:02x?}", &bytes[..bytes.len().min(80)]);
    }
    assert_well(&mut server);
}
