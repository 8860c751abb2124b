//! WebSocket, byte for byte: random fragments and sizes give the same with the proxy as without it, over HTTP/1.1 and HTTP/2.

use std::net::SocketAddr;
use std::thread;

use bytes::Bytes;
use h2::ext::Protocol;

use crate::kit::Draw;
use crate::kit::client::Client;
use crate::kit::edge::Setup;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::Taken;
use crate::kit::origin::fixed;
use crate::kit::origin::raw;
use crate::kit::peer;

const SEED: u64 = 0xF00D;
const MESSAGES: usize = 60;

/// Base64 (RFC 4648) of SHA-1 over the key and WebSocket's own identifier (RFC 6455 section 1.3).
pub fn accept(key: &str) -> String {
    let whole = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, whole.as_bytes());
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in hash.as_ref().chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        (0..4).for_each(|n| {
            out.push(if n <= group.len() { letters[(bits >> (18 - 6 * n) & 63) as usize] as char } else { '=' })
        });
    }
    out
}

/// Agrees to every upgrade and gives back what it gets; answers other requests with their target.
pub fn origin() -> Origin {
    Origin::start(|request: &Taken| match request.header("sec-websocket-key") {
        Some(key) if request.header("upgrade").is_some() => {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\n";
            vec![raw(format!("{head}Sec-WebSocket-Accept: {}\r\n\r\n", accept(&key))), Step::Echo]
        }
        _ => fixed(200, request.target()),
    })
}

/// A client's frame, masked.
fn frame(first: u8, payload: &[u8], draw: &mut Draw) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    let mask = draw.bytes(4);
    out.extend(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// Messages in fragments of all sizes, with pings between them.
fn talk(draw: &mut Draw) -> Vec<u8> {
    let sizes = [0, 1, 125, 126, 127, 1_000, 16_384, 65_535, 65_536, 100_000];
    let mut out = Vec::new();
    for _ in 0..MESSAGES {
        let fragments = 1 + draw.below(4);
        for n in 0..fragments {
            let size = if draw.below(4) == 0 { sizes[draw.below(sizes.len())] } else { draw.below(3_000) };
            let opcode = if n == 0 { 2 } else { 0 };
            let fin = if n + 1 == fragments { 0x80 } else { 0 };
            let payload = draw.bytes(size);
            out.extend(frame(fin | opcode, &payload, draw));
            if draw.below(3) == 0 {
                let payload = draw.bytes(5);
                out.extend(frame(0x89, &payload, draw));
            }
        }
    }
    out.extend(frame(0x88, &1000_u16.to_be_bytes(), draw));
    out
}

/// Cuts bytes into writes.
fn cuts(bytes: &[u8], draw: &mut Draw) -> Vec<Vec<u8>> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let most = [3, 200, 5_000, 70_000][draw.below(4)];
        let (now, later) = rest.split_at((1 + draw.below(most)).min(rest.len()));
        out.push(now.to_vec());
        rest = later;
    }
    out
}

/// A client that goes on as WebSocket.
#[track_caller]
pub fn upgraded(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send(
        "GET /chat HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(client.response().unwrap().status, 101);
    client
}

/// Whether bytes still go there and back.
pub fn echoes(client: &mut Client) -> bool {
    client.send("over there").exactly(10).is_ok_and(|back| back == b"over there")
}

/// The head of the answer, and what came back.
fn over_http_1(address: SocketAddr, sent: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
    let mut client = Client::connect(address);
    client.send(
        "GET /chat HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let said = client.response().unwrap();
    assert_eq!(said.status, 101);
    let mut names: Vec<_> =
        said.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    names.retain(|(name, _)| name.starts_with("sec-"));
    names.sort();
    let back = thread::scope(|scope| {
        let mut half = client.stream.try_clone().unwrap();
        let pieces = cuts(sent, &mut Draw(SEED));
        scope.spawn(move || pieces.iter().for_each(|piece| std::io::Write::write_all(&mut half, piece).unwrap()));
        client.exactly(sent.len()).unwrap()
    });
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.ends());
    (names, back)
}

#[test]
fn over_http_1_it_is_as_without_a_proxy() {
    let origin = origin();
    let edge = Setup::before(&origin).start();
    let sent = talk(&mut Draw(SEED));
    let (direct, through) = (over_http_1(origin.address, &sent), over_http_1(edge.address, &sent));
    assert_eq!(direct.0, through.0);
    assert!(direct.1 == sent && through.1 == sent, "{} bytes, seed {SEED:#x}", sent.len());
}

/// RFC 8441: what came back over a stream.
async fn over_http_2(address: SocketAddr, sent: Vec<u8>) -> Vec<u8> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    // The server's SETTINGS say whether it can.
    let ordinary = http::Request::get("http://www.example.com/").body(()).unwrap();
    let said = client.send_request(ordinary, true).unwrap().0.await.unwrap();
    assert_eq!(said.status(), 200);
    client = client.ready().await.unwrap();
    assert!(client.is_extended_connect_protocol_enabled(), "it offers extended CONNECT");
    let mut request = http::Request::builder()
        .method("CONNECT")
        .uri("http://www.example.com/chat")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .body(())
        .unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let (response, mut half) = client.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    let has_accept = response.headers().contains_key("sec-websocket-accept");
    assert!(!has_accept || peer().is_some(), "RFC 8441 section 5 has none");
    let length = sent.len();
    tokio::spawn(async move {
        for piece in cuts(&sent, &mut Draw(SEED)) {
            half.reserve_capacity(piece.len());
            let mut piece = Bytes::from(piece);
            while !piece.is_empty() {
                let Some(Ok(capacity)) = std::future::poll_fn(|cx| half.poll_capacity(cx)).await else { return };
                half.send_data(piece.split_to(capacity.min(piece.len())), false).unwrap();
                half.reserve_capacity(piece.len());
            }
        }
        half.send_data(Bytes::new(), true).unwrap();
    });
    let mut body = response.into_body();
    let mut back = Vec::with_capacity(length);
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        back.extend_from_slice(&data);
    }
    back
}

#[test]
fn over_http_2_it_is_as_without_a_proxy() {
    let origin = origin();
    let edge = Setup::before(&origin).start();
    let sent = talk(&mut Draw(SEED + 1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let back = runtime.block_on(async {
        let limit = std::time::Duration::from_secs(20);
        tokio::time::timeout(limit, over_http_2(edge.address, sent.clone())).await.expect("it ends")
    });
    assert!(back == sent, "{} bytes back of {}", back.len(), sent.len());
    let asked = origin.requests().into_iter().find(|taken| taken.target() == "/chat").unwrap();
    assert!(asked.line().starts_with("GET "), "{}", asked.line());
    assert_eq!(asked.header("host").as_deref(), Some("www.example.com"));
    assert_eq!(asked.header("sec-websocket-key").map(|key| key.len()), Some(24), "a key of ours");
}

#[test]
fn many_at_once() {
    let origin = origin();
    let edge = Setup::before(&origin).start();
    thread::scope(|scope| {
        for n in 0..30 {
            let address = edge.address;
            scope.spawn(move || {
                let sent = Draw(n).bytes(200_000);
                assert!(over_http_1(address, &sent).1 == sent);
            });
        }
    });
}

/// Over HTTP/2 a 200 is the yes.
#[test]
fn an_endpoint_over_http_1_that_stays_http_has_not_agreed() {
    if peer().is_some() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut client = crate::kit::h2::H2::connect(edge.address);
    let [_, scheme, authority, path] = crate::kit::h2::get("/chat");
    let fields = [(":method", "CONNECT"), (":protocol", "websocket"), scheme, authority, path];
    let head = crate::kit::h2::block(&[&fields[..], &[("sec-websocket-version", "13")]].concat());
    client.send(&crate::kit::h2::Frame::new(crate::kit::h2::HEADERS, crate::kit::h2::END_HEADERS, 1, head));
    assert_eq!(client.fate(1), crate::kit::h2::Fate::Status(502));
}
