//! The PROXY protocol: heard from those who may speak for others, and said to endpoints.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use rhumb::model::ProxyProtocol;
use rhumb::proxy::proxy_protocol::Header;

use crate::kit::backend::Backend;
use crate::kit::client::Fate;
use crate::kit::client::connect;
use crate::kit::client::connect_from;
use crate::kit::client::fate;
use crate::kit::client::read_text;
use crate::kit::client::tally;
use crate::kit::here;
use crate::kit::now;
use crate::kit::site::Site;
use crate::kit::site::field;
use crate::kit::site::pool;
use crate::kit::site::tcp;

/// An endpoint that says what it heard, once that has this end.
pub fn tells_until(end: &'static [u8]) -> Backend {
    Backend::start(move |mut stream| {
        let (mut heard, mut room) = (Vec::new(), [0; 4096]);
        while !heard.ends_with(end) {
            match stream.read(&mut room)? {
                0 => return Ok(()),
                read => heard.extend(&room[..read]),
            }
        }
        stream.write_all(&heard)
    })
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn endpoints_are_told_whom_we_speak_for() {
    for version in ["v1", "v2"] {
        let backend = tells_until(b"hello");
        let at = here();
        let lines = format!("proxy_protocol = {{ send = \"{version}\" }}");
        let _site = Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", at, "app", &lines)));
        let mut client = connect_from([127, 0, 0, 9], at);
        let own = client.local_addr().unwrap();
        client.write_all(b"hello").unwrap();
        let kind = if version == "v1" { ProxyProtocol::V1 } else { ProxyProtocol::V2 };
        let expected = [Header::of(kind, own, at).bytes(), b"hello"].concat();
        let mut heard = vec![0; expected.len()];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(heard, expected, "{version}: {}", heard.escape_ascii());
    }
}

#[test]
fn a_server_that_speaks_first_has_its_header_first() {
    // It will not speak before it knows to whom.
    let backend = Backend::start(|mut stream| {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        stream.write_all(b"220 ")?;
        stream.write_all(&line)
    });
    let at = here();
    let lines = "proxy_protocol = { send = \"v1\" }";
    let _site = Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", at, "app", lines)));
    let mut client = connect(at);
    assert_eq!(read_text(&mut client, 24), "220 PROXY TCP4 127.0.0.1");
}

#[test]
fn those_who_may_speak_for_others_are_believed_to_the_byte() {
    let backend = tells_until(b"hello");
    let at = here();
    let lines = "proxy_protocol = { accept_from = [\"127.0.0.8/32\"], send = \"v1\" }";
    let site = Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", at, "app", lines)));
    for kind in [ProxyProtocol::V1, ProxyProtocol::V2] {
        for (client, said) in [
            ("192.0.2.7:4711", format!("PROXY TCP4 192.0.2.7 127.0.0.1 4711 {}\r\nhello", at.port())),
            ("[2001:db8::7]:4711", format!("PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 4711 {}\r\nhello", at.port())),
        ] {
            let header = Header::of(kind, address(client), address("203.0.113.1:443"));
            // At once, and byte by byte.
            for pieces in [1_000, 1] {
                let mut proxy = connect_from([127, 0, 0, 8], at);
                for piece in [header.bytes(), b"hello"].concat().chunks(pieces) {
                    proxy.write_all(piece).unwrap();
                }
                assert_eq!(read_text(&mut proxy, said.len()), said, "{kind:?}");
            }
        }
        // Its own health check.
        let mut proxy = connect_from([127, 0, 0, 8], at);
        proxy.write_all(&[Header::local(kind).bytes(), b"hello"].concat()).unwrap();
        assert_eq!(read_text(&mut proxy, 24), "PROXY TCP4 127.0.0.8 127");
    }
    let lines = site.lines(10);
    assert!(lines.iter().any(|line| field(line, "client") == Some("192.0.2.7")), "{lines:?}");
}

#[test]
fn a_stranger_s_header_is_its_own_business() {
    let backend = tells_until(b"hello");
    let at = here();
    let lines = "proxy_protocol = { accept_from = [\"127.0.0.8/32\"] }";
    let _site = Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", at, "app", lines)));
    let mut client = connect(at);
    let said = b"PROXY TCP4 192.0.2.7 203.0.113.1 1 2\r\nhello";
    client.write_all(said).unwrap();
    assert_eq!(read_text(&mut client, said.len()).as_bytes(), said);
}

#[test]
fn no_header_a_bad_one_or_a_late_one_is_refused() {
    let backend = Backend::echo();
    let at = here();
    let lines = "proxy_protocol = { accept_from = [\"127.0.0.1/32\"] }";
    let site = Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", at, "app", lines)));
    let long = format!("PROXY TCP4 {}\r\n", "1".repeat(600));
    let v2 = |tail: &[u8]| [&b"\r\n\r\n\0\r\nQUIT\n"[..], tail].concat();
    let bad: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 1.2.3.4\r\n",
        b"PROXY TCP9 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
        b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        long.as_bytes(),
        &v2(&[0x31, 0x11, 0, 12]),
        &v2(&[0x21, 0x11, 0, 3, 1, 2, 3]),
    ];
    for begin in bad {
        let mut client = connect(at);
        let _ = client.write_all(begin);
        assert_ne!(fate(&mut client), Fate::Silent, "{}", begin.escape_ascii());
    }
    let since = now();
    let mut late = connect(at);
    late.write_all(b"PROXY TCP4 1.2").unwrap();
    assert_ne!(fate(&mut late), Fate::Silent);
    assert!((Duration::from_secs(2)..Duration::from_secs(8)).contains(&since.elapsed()), "{:?}", since.elapsed());
    assert_eq!(backend.accepted(), 0);
    assert_eq!(site.metric("rhumb_proxy_refused_total{listener=\"edge\",reason=\"proxy_header\"}"), 9.0);
}

#[test]
fn clients_of_a_proxy_are_told_apart_where_that_matters() {
    let backends = [Backend::named("a"), Backend::named("b")];
    let at = here();
    let lines = "proxy_protocol = { accept_from = [\"127.0.0.1/32\"] }\nclient_rate = 3";
    let app = pool("app", &backends.each_ref().map(|b| b.address), "balance = \"hash\"\nhash_on = \"client\"");
    let site = Site::start(&(app + &tcp("edge", at, "app", lines)));
    let from = |client: &str| {
        let mut proxy = connect(at);
        let header = Header::of(ProxyProtocol::V2, address(client), at);
        proxy.write_all(header.bytes()).unwrap();
        let mut name = [0; 1];
        proxy.read_exact(&mut name).is_ok().then(|| char::from(name[0]))
    };
    let all: String = (0..40).filter_map(|n| from(&format!("198.51.{n}.7:1"))).collect();
    assert_eq!(all.len(), 40);
    assert!(tally(&all, "ab").iter().all(|count| *count > 5), "{all}");
    let one: Vec<char> = (0..10).filter_map(|_| from("203.0.113.7:1")).collect();
    assert!((3..10).contains(&one.len()) && one.iter().all(|name| *name == one[0]), "{one:?}");
    assert!(site.metric("rhumb_proxy_refused_total{listener=\"edge\",reason=\"client_rate\"}") > 0.0);
}
