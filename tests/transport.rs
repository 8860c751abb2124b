//! The transports as clients meet them: real sockets on loopback, every protocol, and what happens to bad company.
//!
//! The answers come from [`Witness`], which tells in them whom the server took the client for.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use rhumb::model::{ServerSettings, TlsFiles};
use rhumb::responder::{Outcome, Transport};
use rhumb::server::answer::Answer;
use rhumb::server::{Listening, Server, bind};
use tokio::runtime::Runtime;

/// Generous, for a loaded machine: what passes does so in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

const EXTENDED_ERROR: u16 = 15;

/// Answers with the client's address, and the transport as text; in the additional section an OPT with the options
/// that hickory must not lose. The names `panic.` and `badvers.` get what they say.
struct Witness;

impl Answer for Witness {
    type View = ();
    fn view(&self) {}
    fn refresh(&self, (): &mut ()) {}
    fn answer(&self, (): &(), query: &[u8], source: IpAddr, transport: Transport, _: u64, out: &mut [u8]) -> Outcome {
        let nothing = Outcome::default();
        let Ok(asked) = Message::from_vec(query) else { return nothing };
        if asked.metadata.message_type == MessageType::Response {
            return nothing;
        }
        let question = asked.queries[0].clone();
        assert_ne!(question.name().to_ascii(), "panic.", "a panic, as the test wants");
        let reply = witness(&asked, question, source, transport);
        let bytes = reply.to_vec().unwrap();
        out[..bytes.len()].copy_from_slice(&bytes);
        Outcome { bytes: bytes.len(), ..nothing }
    }
}

fn witness(asked: &Message, question: Query, source: IpAddr, transport: Transport) -> Message {
    let mut metadata = Metadata::response_from_request(&asked.metadata);
    metadata.authoritative = true;
    metadata.truncation = transport == Transport::Udp && question.query_type() == RecordType::TXT;
    if question.name().to_ascii() == "badvers." {
        metadata.response_code = ResponseCode::BADVERS;
    }
    let name = question.name().clone();
    let mut reply = Message::new(metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata = metadata;
    reply.queries.push(question);
    if let IpAddr::V4(ip) = source {
        reply.answers.push(Record::from_rdata(name.clone(), 60, RData::A(A(ip))));
    }
    reply.answers.push(Record::from_rdata(name, 60, RData::TXT(TXT::new(vec![format!("{transport:?}")]))));
    if asked.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, vec![0, 22, b'w', b'h', b'y']));
        edns.options_mut().insert(EdnsOption::Subnet("192.0.2.0/24".parse().unwrap()));
        reply.edns = Some(edns);
    }
    reply
}

/// A server and the runtime it runs on.
struct Serving {
    server: Server<Witness>,
    runtime: Runtime,
}

impl Serving {
    fn at(settings: ServerSettings, tls: Option<&TlsFiles>) -> Serving {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bound = bind(&settings, tls).unwrap();
        let server = bound.serve(Arc::new(Witness), runtime.handle()).unwrap();
        Serving { server, runtime }
    }

    fn plain(change: impl FnOnce(&mut ServerSettings)) -> Serving {
        let mut settings = loopback();
        change(&mut settings);
        Serving::at(settings, None)
    }

    fn address(&self, transport: Transport) -> SocketAddr {
        let mut all = self.server.listening().into_iter();
        all.find(|listening| listening.transport == transport).unwrap().address
    }

    fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address(Transport::Udp)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address(Transport::Tcp)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn stop(self) {
        self.runtime.block_on(self.server.stop());
    }
}

fn loopback() -> ServerSettings {
    ServerSettings { listen: vec!["127.0.0.1:0".parse().unwrap()], udp_workers: 2, ..ServerSettings::default() }
}

fn query(id: u16, name: &str, edns: bool) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.queries.push(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    if edns {
        message.edns = Some(Edns::new());
    }
    message.to_vec().unwrap()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn read_framed(stream: &mut impl Read) -> Message {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    Message::from_vec(&message).unwrap()
}

fn receive(socket: &UdpSocket) -> Message {
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).unwrap();
    Message::from_vec(&bytes[..length]).unwrap()
}

/// Whom the server took us for.
fn client_in(reply: &Message) -> Option<Ipv4Addr> {
    reply.answers.iter().find_map(|record| match &record.data {
        RData::A(A(ip)) => Some(*ip),
        _ => None,
    })
}

/// Reads until the server closes; what came before that.
fn read_to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => bytes,
        Err(error) => panic!("the server did not close: {error}"),
    }
}

#[test]
fn udp_answers_the_one_who_asked() {
    let serving = Serving::plain(|_| {});
    let clients: Vec<UdpSocket> = (0..8).map(|_| serving.udp()).collect();
    for (id, client) in clients.iter().enumerate() {
        client.send(&query(id as u16, "www.example.org.", false)).unwrap();
    }
    for (id, client) in clients.iter().enumerate() {
        let reply = receive(client);
        assert_eq!((reply.metadata.id, client_in(&reply)), (id as u16, Some(Ipv4Addr::LOCALHOST)));
    }
    serving.stop();
}

#[test]
fn udp_is_silent_to_responses_and_survives_a_panic() {
    let serving = Serving::plain(|settings| settings.udp_workers = 1);
    let client = serving.udp();
    let mut response = query(1, "www.example.org.", false);
    response[2] |= 0x80;
    client.send(&response).unwrap();
    client.send(&query(2, "panic.", false)).unwrap();
    client.send(&query(3, "www.example.org.", false)).unwrap();
    let reply = receive(&client);
    assert_eq!((reply.metadata.id, reply.metadata.response_code), (2, ResponseCode::ServFail));
    assert_eq!(receive(&client).metadata.id, 3);
    let totals = serving.server.totals();
    assert_eq!((totals.queries, totals.ignored, totals.panics, totals.responses[0]), (3, 1, 1, 1));
    serving.stop();
}

#[test]
fn a_server_on_all_addresses_answers_from_the_one_that_was_asked() {
    for (all, asked) in [("0.0.0.0:0", "127.0.0.9"), ("[::]:0", "::1")] {
        let Ok(client) = UdpSocket::bind(all) else {
            eprintln!("SKIPPED: no sockets on {all}");
            continue;
        };
        let serving = Serving::plain(|settings| settings.listen = vec![all.parse().unwrap()]);
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let asked: IpAddr = asked.parse().unwrap();
        client.send_to(&query(1, "a.", false), (asked, serving.address(Transport::Udp).port())).unwrap();
        assert_eq!(client.recv_from(&mut [0; 512]).unwrap().1.ip(), asked);
        serving.stop();
    }
}

#[test]
fn stopping_answers_what_was_queued() {
    let serving = Serving::plain(|settings| settings.udp_workers = 1);
    let client = serving.udp();
    for id in 0..150 {
        client.send(&query(id, "www.example.org.", false)).unwrap();
    }
    let mut waiting = serving.tcp();
    waiting.write_all(&framed(&query(7, "www.example.org.", false))).unwrap();
    read_framed(&mut waiting);
    let address = serving.address(Transport::Tcp);
    serving.stop();
    for id in 0..150 {
        assert_eq!(receive(&client).metadata.id, id);
    }
    assert!(read_to_the_end(&mut waiting).is_empty(), "an idle connection is closed");
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
}

#[test]
fn pipelined_queries_are_answered_in_order_and_after_half_close() {
    let serving = Serving::plain(|_| {});
    let mut stream = serving.tcp();
    let queries: Vec<u8> = (0..200).flat_map(|id| framed(&query(id, "www.example.org.", true))).collect();
    stream.write_all(&queries).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    for id in 0..200 {
        let reply = read_framed(&mut stream);
        assert_eq!((reply.metadata.id, client_in(&reply)), (id, Some(Ipv4Addr::LOCALHOST)));
    }
    assert!(read_to_the_end(&mut stream).is_empty());
    serving.stop();
}

#[test]
fn a_query_may_come_byte_by_byte_but_not_forever() {
    let serving = Serving::plain(|settings| settings.tcp_idle = Duration::from_millis(500));
    let mut stream = serving.tcp();
    stream.set_nodelay(true).unwrap();
    for byte in framed(&query(5, "a.", false)) {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(read_framed(&mut stream).metadata.id, 5);
    stream.write_all(&[0]).unwrap(); // a slow loris
    assert!(read_to_the_end(&mut stream).is_empty());
    assert!(read_to_the_end(&mut serving.tcp()).is_empty(), "a client that never asks is let go");
    serving.stop();
}

#[test]
fn lengths_that_no_message_has_end_the_connection() {
    let serving = Serving::plain(|_| {});
    for garbage in [&[0, 0][..], b"\x00\x05hello"] {
        let mut stream = serving.tcp();
        stream.write_all(&[&framed(&query(1, "a.", false)), garbage].concat()).unwrap();
        assert_eq!(read_framed(&mut stream).metadata.id, 1);
        assert!(read_to_the_end(&mut stream).is_empty());
    }
    serving.stop();
}

#[test]
fn one_client_cannot_have_all_connections_and_all_have_their_cap() {
    let serving = Serving::plain(|settings| {
        settings.tcp_connections_per_client_max = 2;
        settings.tcp_connections_max = 3;
    });
    let asks = |stream: &mut TcpStream| {
        stream.write_all(&framed(&query(1, "a.", false))).unwrap();
        read_framed(stream)
    };
    let (mut one, mut two) = (serving.tcp(), serving.tcp());
    asks(&mut one);
    asks(&mut two);
    assert!(read_to_the_end(&mut serving.tcp()).is_empty(), "the third from one address");
    let from = |ip: [u8; 4]| connect_from(ip, serving.address(Transport::Tcp));
    let mut other = from([127, 0, 0, 2]);
    assert_eq!(client_in(&asks(&mut other)), Some(Ipv4Addr::new(127, 0, 0, 2)));
    assert!(read_to_the_end(&mut from([127, 0, 0, 3])).is_empty(), "the fourth of all");
    drop(one);
    // its place comes back as soon as the server has seen the end
    let mut again = std::iter::repeat_with(|| from([127, 0, 0, 3])).take(1000);
    assert!(again.any(|mut stream| {
        let sent = stream.write_all(&framed(&query(1, "a.", false)));
        sent.is_ok() && stream.read(&mut [0; 512]).is_ok_and(|bytes| bytes > 0)
    }));
    assert!(serving.server.totals().refused_connections >= 2);
    serving.stop();
}

fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

const PROXY_V1: &[u8] = b"PROXY TCP4 192.0.2.77 198.51.100.1 4000 53\r\n";
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x4e\xc6\x33\x64\x01\x0f\xa0\0\x35";
const PROXY_V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[test]
fn a_listed_proxy_says_who_the_client_is() {
    let serving =
        Serving::plain(|settings| settings.proxy_protocol_from = vec![(Ipv4Addr::new(127, 0, 0, 0).into(), 8)]);
    for (header, client) in [
        (PROXY_V1, Ipv4Addr::new(192, 0, 2, 77)),
        (PROXY_V2, Ipv4Addr::new(192, 0, 2, 78)),
        (PROXY_V2_LOCAL, Ipv4Addr::LOCALHOST),
    ] {
        let mut stream = serving.tcp();
        stream.write_all(&[header, &framed(&query(1, "a.", false))].concat()).unwrap();
        assert_eq!(client_in(&read_framed(&mut stream)), Some(client));
        // with the query the header came with, and byte by byte
        let mut stream = serving.tcp();
        stream.set_nodelay(true).unwrap();
        for byte in [header, &framed(&query(1, "a.", false))].concat() {
            stream.write_all(&[byte]).unwrap();
        }
        assert_eq!(client_in(&read_framed(&mut stream)), Some(client));
    }
    let mut without = serving.tcp();
    without.write_all(&framed(&query(1, "a.", false))).unwrap();
    assert!(read_to_the_end(&mut without).is_empty(), "a listed proxy must send a header");
    serving.stop();
}

#[test]
fn nobody_else_is_believed() {
    let serving =
        Serving::plain(|settings| settings.proxy_protocol_from = vec![(Ipv4Addr::new(192, 0, 2, 0).into(), 24)]);
    for header in [PROXY_V1, PROXY_V2] {
        let mut stream = serving.tcp();
        stream.write_all(&[header, &framed(&query(1, "a.", false))].concat()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(read_to_the_end(&mut stream).is_empty());
    }
    serving.stop();
}

#[test]
fn a_reload_opens_and_closes_listeners_and_keeps_the_others() {
    let mut serving = Serving::plain(|_| {});
    let stays = serving.address(Transport::Udp);
    let settings = |listen: &[SocketAddr]| ServerSettings { listen: listen.to_vec(), ..loopback() };
    // the same text stays the same sockets, also with port 0
    serving.server.reload(&settings(&["127.0.0.1:0".parse().unwrap(), "127.0.0.2:0".parse().unwrap()]), None).unwrap();
    let listening: Vec<SocketAddr> = udp_addresses(&serving.server.listening());
    assert_eq!(listening[0], stays);
    let new = UdpSocket::bind("127.0.0.1:0").unwrap();
    new.set_read_timeout(Some(PATIENCE)).unwrap();
    new.send_to(&query(9, "a.", false), listening[1]).unwrap();
    assert_eq!(receive(&new).metadata.id, 9);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _holder = std::net::TcpListener::bind(taken).unwrap();
    let problems = serving.server.reload(&settings(&[taken, "192.0.2.1:5300".parse().unwrap()]), None).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(udp_addresses(&serving.server.listening()), listening, "nothing has changed");

    serving.server.reload(&settings(&["127.0.0.2:0".parse().unwrap()]), None).unwrap();
    assert_eq!(udp_addresses(&serving.server.listening()), listening[1..]);
    let totals = serving.server.totals();
    assert_eq!(totals.queries, 1);
    serving.stop();
}

fn udp_addresses(listening: &[Listening]) -> Vec<SocketAddr> {
    listening.iter().filter(|l| l.transport == Transport::Udp).map(|l| l.address).collect()
}

#[test]
fn all_problems_are_told_at_once() {
    let mut settings = loopback();
    settings.listen.push("192.0.2.1:5300".parse().unwrap());
    settings.dot.push("192.0.2.1:5853".parse().unwrap());
    let problems = bind(&settings, None).err().unwrap();
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["E0401", "E0401", "E0403"], "{problems:?}");
}

/// A zone of so many records that its transfer takes several messages, served by the daemon itself.
#[test]
fn a_zone_is_transferred_to_those_who_may_have_it() {
    const HOSTS: usize = 3000;
    let dir = tempfile::tempdir().unwrap();
    let soa = "@ 300 IN SOA ns1 hostmaster 1 3600 600 86400 60\n@ 300 IN NS ns1\nns1 300 IN A 192.0.2.53\n";
    let hosts: String = (0..HOSTS).map(|n| format!("host-{n} 300 IN A 192.0.2.{}\n", n % 250)).collect();
    std::fs::create_dir(dir.path().join("zones")).unwrap();
    std::fs::write(dir.path().join("zones/example.org.zone"), format!("$ORIGIN example.org.\n{soa}{hosts}")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for (allowed, granted) in [("127.0.0.0/8", true), ("192.0.2.0/24", false)] {
        let config = dir.path().join("rhumb.toml");
        let text =
            format!("[server]\nlisten = [\"127.0.0.1:0\"]\nzones_dir = \"zones\"\ntransfer_to = [\"{allowed}\"]\n");
        std::fs::write(&config, text).unwrap();
        let daemon = runtime.block_on(rhumb::daemon::Daemon::start(&config)).unwrap_or_else(|error| panic!("{error}"));
        let mut stream = TcpStream::connect(daemon.dns()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut message = Message::new(3, MessageType::Query, OpCode::Query);
        message.queries.push(Query::query(Name::from_ascii("example.org.").unwrap(), RecordType::AXFR));
        stream.write_all(&framed(&message.to_vec().unwrap())).unwrap();
        let (mut records, mut soas, mut messages) = (0, 0, 0);
        while soas < 2 {
            let reply = read_framed(&mut stream);
            assert_eq!(reply.metadata.id, 3);
            if !granted {
                assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
                break;
            }
            messages += 1;
            records += reply.answers.len();
            soas += reply.answers.iter().filter(|record| record.record_type() == RecordType::SOA).count();
        }
        if granted {
            assert_eq!(records, 2 + 2 + HOSTS, "SOA twice, NS and its address, and all hosts");
            assert!(messages > 1, "{messages} messages");
        }
        // the connection goes on
        stream.write_all(&framed(&query(4, "host-1.example.org.", false))).unwrap();
        assert_eq!(client_in(&read_framed(&mut stream)), Some(Ipv4Addr::new(192, 0, 2, 1)));
        runtime.block_on(daemon.stop());
    }
}

/// Certificate and key files that live as long as the folder.
fn certificate(dir: &tempfile::TempDir, name: &str) -> TlsFiles {
    let pair = rcgen::generate_simple_self_signed(vec!["ns1.example.org".to_owned()]).unwrap();
    let (certificate, key_file) = (dir.path().join(format!("{name}.crt")), dir.path().join(format!("{name}.key")));
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&key_file, pair.signing_key.serialize_pem()).unwrap();
    TlsFiles { name: "dns".to_owned(), certificate, key_file }
}

fn encrypted_settings() -> ServerSettings {
    let any = || vec!["127.0.0.1:0".parse().unwrap()];
    ServerSettings { dot: any(), doh: any(), doq: any(), ..loopback() }
}

fn https_client() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().danger_accept_invalid_certs(true).timeout(PATIENCE).build().unwrap()
}

async fn post(client: &reqwest::Client, url: &str, message: Vec<u8>) -> reqwest::Response {
    let request = client.post(url).header("content-type", "application/dns-message").body(message);
    request.header("accept", "application/dns-message").send().await.unwrap()
}

#[test]
fn https_loses_nothing_of_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::at(encrypted_settings(), Some(&certificate(&dir, "one")));
    let url = format!("https://{}/dns-query", serving.address(Transport::Https));
    serving.runtime.block_on(async {
        let client = https_client();
        let response = post(&client, &url, query(0, "WwW.example.org.", true)).await;
        assert_eq!(response.headers()["content-type"], "application/dns-message");
        let reply = Message::from_vec(&response.bytes().await.unwrap()).unwrap();
        assert!(reply.metadata.authoritative);
        assert_eq!(reply.queries[0].name().to_ascii(), "WwW.example.org.", "the question as it was written");
        assert_eq!(client_in(&reply), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(reply.answers.len(), 2);
        let edns = reply.edns.unwrap();
        assert_eq!(edns.max_payload(), 1232);
        assert!(edns.option(EdnsCode::Subnet).is_some());
        let extended = edns.option(EdnsCode::from(EXTENDED_ERROR)).unwrap();
        assert_eq!(*extended, EdnsOption::Unknown(EXTENDED_ERROR, vec![0, 22, b'w', b'h', b'y']));

        let response = post(&client, &url, query(0, "badvers.", true)).await;
        let reply = Message::from_vec(&response.bytes().await.unwrap()).unwrap();
        // 16 is BADVERS and BADSIG, and hickory reads the latter: the upper bits are in the OPT record
        assert_eq!(u16::from(reply.metadata.response_code), u16::from(ResponseCode::BADVERS));

        let response = post(&client, &url, query(0, "panic.", true)).await;
        let reply = Message::from_vec(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    });
    serving.stop();
}

/// What hickory-server 0.26.3 does not do. When an upgrade makes this fail: rejoice, and tell it in the documentation.
#[test]
fn https_knows_no_get_and_sends_no_cache_control() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::at(encrypted_settings(), Some(&certificate(&dir, "one")));
    let url = format!("https://{}/dns-query", serving.address(Transport::Https));
    serving.runtime.block_on(async {
        let client = https_client();
        let response = post(&client, &url, query(0, "www.example.org.", true)).await;
        assert!(!response.headers().contains_key("cache-control"));
        // RFC 8484 section 4.1.1's own example
        let get = client.get(format!("{url}?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB"));
        assert!(get.send().await.is_err(), "the request is dropped");
    });
    serving.stop();
}

#[test]
fn kdig_is_answered_over_tls_https_and_quic() {
    if Command::new("kdig").arg("-V").output().is_err() {
        return eprintln!("SKIPPED: no kdig here");
    }
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::at(encrypted_settings(), Some(&certificate(&dir, "one")));
    for (option, transport) in [
        ("+notcp", Transport::Udp),
        ("+tcp", Transport::Tcp),
        ("+tls", Transport::Tls),
        ("+https", Transport::Https),
        ("+quic", Transport::Quic),
    ] {
        let port = serving.address(transport).port().to_string();
        let asked = ["@127.0.0.1", "-p", &port, option, "+edns", "+retry=0", "www.example.org", "A"];
        let output = Command::new("kdig").args(asked).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if transport == Transport::Quic && text.contains("not supported") {
            eprintln!("SKIPPED: this kdig knows no QUIC");
            continue;
        }
        assert!(text.contains(&format!("\"{transport:?}\"")), "{option}: {text}");
        assert!(text.contains("127.0.0.1"), "{option}: {text}");
        assert!(text.contains("EDE: 22"), "{option}: {text}");
    }
    serving.stop();
}

#[test]
fn tls_pipelines_and_presents_the_certificate_of_the_last_reload() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (certificate(&dir, "one"), certificate(&dir, "two"));
    let mut serving = Serving::at(encrypted_settings(), Some(&one));
    let address = serving.address(Transport::Tls);
    let mut first = tls_connection(address);
    ask_twice(&mut first);
    serving.server.reload(&encrypted_settings(), Some(&two)).unwrap();
    ask_twice(&mut first); // goes on
    let second = {
        let mut second = tls_connection(address);
        ask_twice(&mut second);
        second
    };
    let shown = |connection: &TlsConnection| connection.conn.peer_certificates().unwrap()[0].to_vec();
    assert_ne!(shown(&first), shown(&second));
    let missing = TlsFiles { key_file: dir.path().join("none"), ..two };
    assert_eq!(serving.server.reload(&encrypted_settings(), Some(&missing)).unwrap_err()[0].code, "E0402");
    ask_twice(&mut tls_connection(address));
    serving.stop();
}

type TlsConnection = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

fn ask_twice(stream: &mut TlsConnection) {
    let queries = [framed(&query(1, "a.", true)), framed(&query(2, "b.", true))].concat();
    stream.write_all(&queries).unwrap();
    assert_eq!([read_framed(stream).metadata.id, read_framed(stream).metadata.id], [1, 2]);
}

fn tls_connection(address: SocketAddr) -> TlsConnection {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    let name = "ns1.example.org".try_into().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    rustls::StreamOwned::new(rustls::ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// The test looks at the certificate itself.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
