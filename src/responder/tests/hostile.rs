//! Any bytes: no panic, no answer to answers, nothing past a limit, nothing that does not parse.

use proptest::prelude::*;

use super::*;

const OPTIONS: &[u8] =
    b"\0\x08\0\x07\0\x01\x18\0\xc0\0\x02\0\x03\0\0\0\x0a\0\x08abcdefgh\0\x0b\0\0\0\x0c\0\x02xx\xfd\xe9\0\x01z";

fn hostile_world() -> World {
    let texts: String =
        (0..30).map(|i| format!("big TXT {}\nm{i} A 192.0.2.{i}\n@ MX 1 m{i}\n", "t".repeat(90))).collect();
    let mut model = Model::default();
    model.server.nsid = Some("n".repeat(120));
    model.server.version = Some("v".repeat(300));
    model.server.udp_payload_max = 4096;
    world_of(
        model,
        &[
            (
                "example.com",
                &format!(
                    "{texts}*.w CNAME c.w\nc CNAME c2\nc2 CNAME big\nd DNAME example.net.\nsub NS ns.sub\nns.sub A 192.0.2.9\n"
                ),
            ),
            ("example.net", "x CNAME x.d.example.com.\n"),
        ],
    )
}

fn transports() -> impl Strategy<Value = Transport> {
    use Transport::*;
    proptest::sample::select(vec![Udp, Tcp, Tls, Https, Quic])
}

fn names() -> impl Strategy<Value = String> {
    let known = [
        "example.com",
        "big.example.com",
        "c.example.com",
        "q.w.example.com",
        "x.d.example.com",
        "a.sub.example.com",
        "x.example.net",
        "version.bind",
        ".",
    ];
    prop_oneof![
        proptest::sample::select(known.map(str::to_owned).to_vec()),
        "([a-c]{1,3}\\.){0,60}example\\.com",
        "([a-z]{1,63}\\.){0,3}d\\.example\\.com",
    ]
}

/// What must hold for every response.
fn check(query: &[u8], transport: Transport, buffer: usize, world: &World) -> Result<(), TestCaseError> {
    let mut out = vec![0xee; buffer + 8];
    let outcome = respond(query, SOURCE, transport, world, Draw::default(), &mut out[..buffer]);
    prop_assert_eq!(&out[buffer..], &[0xee; 8], "nothing past the buffer");
    let response = &out[..outcome.bytes];
    if query.len() < 12 || query[2] & 0x80 != 0 {
        prop_assert_eq!(outcome.bytes, 0, "responses and scraps get silence");
        return Ok(());
    }
    prop_assert!(outcome.bytes >= 12 || outcome.transfer.is_some());
    prop_assert_eq!(&response[..2], &query[..2], "the id");
    prop_assert_ne!(response[2] & 0x80, 0, "QR");
    prop_assert_eq!(response[2] & 0x78, query[2] & 0x78, "the opcode");
    if transport == Transport::Udp {
        let payload = Query::read(query, &mut NameBuf::default()).ok().and_then(|q| q.edns).map_or(512, |e| e.payload);
        prop_assert!(response.len() <= usize::from(payload).max(512).min(buffer));
    }
    if let Ok(read) = Query::read(query, &mut NameBuf::default()) {
        prop_assert_eq!(&response[12..read.question_end], &query[12..read.question_end], "the question");
    }
    let parsed = Message::from_vec(response);
    prop_assert!(parsed.is_ok(), "{:?} for {:02x?}", parsed, response);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn noise(query in proptest::collection::vec(any::<u8>(), 0..700), transport in transports()) {
        thread_local!(static WORLD: World = hostile_world());
        WORLD.with(|world| check(&query, transport, 4096, world))?;
    }

    #[test]
    fn good_queries_of_every_kind_and_size(
        name in names(), qtype: u8, payload in 0..5000u16, limit in 512..4097usize, flags: u16, edns: bool, transport in transports(),
    ) {
        thread_local!(static WORLD: World = hostile_world());
        prop_assume!(name.len() < 250);
        let opt = edns.then_some((payload, u32::from(flags & 0x8000), OPTIONS));
        let mut query = query(&name, &format!("TYPE{qtype}"), opt);
        if name == "version.bind" {
            let end = 12 + 14 + 4;
            query[end - 1] = 3;
        }
        WORLD.with(|world| check(&query, transport, limit, world))?;
    }

    #[test]
    fn damaged_queries(
        name in names(), qtype in proptest::sample::select(vec!["A", "ANY", "MX", "TXT", "NS", "TYPE252"]),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in 0..8usize, extra in proptest::collection::vec(any::<u8>(), 0..4), transport in transports(),
    ) {
        thread_local!(static WORLD: World = hostile_world());
        prop_assume!(name.len() < 250);
        let mut query = query(&name, qtype, Some((1232, 0, OPTIONS)));
        for (at, byte) in damage {
            let at = at.index(query.len());
            query[at] = byte;
        }
        query.truncate(query.len() - cut);
        query.extend(extra);
        WORLD.with(|world| check(&query, transport, 4096, world))?;
    }
}
