//! One responder for every target: says yes to whatever is asked, and notes who was asked when.
//!
//! It binds wildcard ports, because a listener for each of thirty thousand addresses is more than a process may have,
//! and serves nobody but 127/8.

use std::collections::HashMap;
use std::future::Future;
use std::io::BufRead;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rhumb::runtime::limits;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

use crate::{DNS_ADDRESSES, dns_address};

/// Where what is answered.
pub struct Ports {
    /// TCP and HTTP.
    pub http: u16,
    /// TLS, and HTTP over it.
    pub tls: u16,
    /// gRPC.
    pub grpc: u16,
    /// DNS.
    pub dns: u16,
    /// Nothing: connections are taken and kept.
    pub mute: u16,
}

/// Who was asked when, and the time between.
#[derive(Default)]
struct Log {
    last: HashMap<(IpAddr, u16), Instant>,
    gaps_ms: Vec<u32>,
    probes: u64,
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Log>>);

impl Heard {
    /// A target was asked; `name` tells apart those that share an address.
    fn note(&self, target: IpAddr, name: u16) {
        let now = Instant::now();
        let mut log = self.0.lock().unwrap();
        log.probes += 1;
        if let Some(before) = log.last.insert((target, name), now) {
            log.gaps_ms.push(u32::try_from((now - before).as_millis()).unwrap_or(u32::MAX));
        }
    }

    fn report(&self) -> String {
        let mut log = self.0.lock().unwrap();
        log.gaps_ms.sort_unstable();
        let at = |share: f64| log.gaps_ms.get((log.gaps_ms.len() as f64 * share) as usize).copied().unwrap_or(0);
        format!("{} {} {} {}", log.probes, at(0.5), at(0.999), log.gaps_ms.last().copied().unwrap_or(0))
    }

    fn reset(&self) {
        let mut log = self.0.lock().unwrap();
        (log.probes, log.gaps_ms) = (0, Vec::new());
    }
}

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// Prints its ports, then a report for each line on standard input, until that ends.
pub fn run(dir: &Path) {
    limits::raise_descriptors();
    let heard = Heard::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let acceptor = acceptor(dir);
    let ports = runtime.block_on(async {
        let http = serve(&heard, |mut stream| async move { page(&mut stream).await }).await;
        let tls = serve(&heard, move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    page(&mut stream).await;
                }
            }
        });
        let grpc = serve(&heard, |stream| async move { drop(call(stream).await) });
        // Until the other side has had enough.
        let nobody = Heard::default();
        let mute = serve(&nobody, |mut stream| async move { drop(stream.read_to_end(&mut Vec::new()).await) });
        [http, tls.await, grpc.await, names(&heard).await, mute.await].map(|port| port.to_string()).join(" ")
    });
    println!("{ports}");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        println!("{}", heard.report());
        if line == "reset" {
            heard.reset();
        }
    }
}

async fn serve<F, Done>(heard: &Heard, answer: F) -> u16
where
    F: Fn(TcpStream) -> Done + Send + 'static,
    Done: Future<Output = ()> + Send + 'static,
{
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let listener: TcpListener = socket.listen(4096).unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = heard.clone();
    tokio::spawn(async move {
        loop {
            let Ok((stream, peer)) = listener.accept().await else { continue };
            if !peer.ip().is_loopback() {
                continue;
            }
            heard.note(stream.local_addr().map_or(peer.ip(), |own| own.ip()), 0);
            tokio::spawn(answer(stream));
        }
    });
    port
}

async fn page(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut bytes = [0; 1024];
    let mut length = 0;
    while !bytes[..length].ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes[length..]).await {
            Ok(0) | Err(_) => return,
            Ok(more) => length += more,
        }
    }
    let _ = stream.write_all(PAGE).await;
    let _ = stream.shutdown().await;
}

async fn call(stream: TcpStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (_, mut respond) = request?;
        let head = hyper::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut out = respond.send_response(head, false)?;
        out.send_data(bytes::Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]), false)?;
        let mut trailers = hyper::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        out.send_trailers(trailers)?;
    }
    Ok(())
}

/// UDP sockets on one port of [`DNS_ADDRESSES`] addresses; each query gets its A record.
async fn names(heard: &Heard) -> u16 {
    let first = UdpSocket::bind((dns_address(0), 0)).await.unwrap();
    let port = first.local_addr().unwrap().port();
    let mut sockets = vec![first];
    for i in 1..DNS_ADDRESSES {
        sockets.push(UdpSocket::bind((dns_address(i), port)).await.unwrap());
    }
    for (i, socket) in sockets.into_iter().enumerate() {
        let heard = heard.clone();
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            loop {
                let Ok((length, peer)) = socket.recv_from(&mut bytes).await else { continue };
                heard.note(dns_address(i).into(), name_number(&bytes[..length]));
                let _ = socket.send_to(&answer(&bytes[..length]), peer).await;
            }
        });
    }
    port
}

/// The number in `n123.example.`
fn name_number(query: &[u8]) -> u16 {
    let digits = query.get(14..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
}

fn answer(query: &[u8]) -> Vec<u8> {
    let mut out = query.to_vec();
    (out[2], out[3], out[7]) = (0x84, 0, 1);
    out.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01");
    out
}

/// A certificate for www.example.com, which is its own root, in `roots.pem`.
fn acceptor(dir: &Path) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
    std::fs::write(dir.join("roots.pem"), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}
