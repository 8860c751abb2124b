//! TLS of the regional tier, to clients and to endpoints: handshakes over loopback, with rustls, openssl and curl.

#[path = "../common/mod.rs"]
mod common;
mod clients;
mod endpoints;
mod memory;
mod programs;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rhumb::model::{Speaks, TlsFiles, UpstreamTls};
use rhumb::proxy::proxy_protocol::HEADER_TIME;
use rhumb::proxy::tls::{Presented, ServerTls};
use rhumb::proxy::upstream_tls::{ClientTls, EndpointTls, Roots};
use rhumb::server::proxies::Proxies;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A certificate for these names that is its own root, in files called by `name`.
fn write_pair(dir: &Path, name: &str, names: &[&str]) -> TlsFiles {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let pair = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&pair).unwrap();
    let files = TlsFiles {
        name: name.to_owned(),
        certificate: dir.join(format!("{name}.crt")),
        key_file: dir.join(format!("{name}.key")),
    };
    fs::write(&files.certificate, certificate.pem()).unwrap();
    fs::write(&files.key_file, pair.serialize_pem()).unwrap();
    files
}

/// What a server saw of a handshake that came about.
#[derive(Debug)]
struct Seen {
    client: SocketAddr,
    presented: Presented,
    is_h2: bool,
    kind: HandshakeKind,
    suite: CipherSuite,
    version: ProtocolVersion,
}

/// A listener on loopback that says what it sees: sends back what comes, and answers GET as HTTP/1.1 does.
struct Server {
    address: SocketAddr,
    seen: mpsc::Receiver<Seen>,
}

impl Server {
    fn start(tls: Arc<ServerTls>) -> Server {
        Server::behind(tls, Proxies::default())
    }

    fn behind(tls: Arc<ServerTls>, proxies: Proxies) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (tell, seen) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, peer) = listener.accept().await.unwrap();
                    tokio::spawn(serve(stream, peer, tls.clone(), proxies.clone(), tell.clone()));
                }
            });
        });
        Server { address, seen }
    }

    fn seen(&self) -> Seen {
        self.seen.recv_timeout(Duration::from_secs(20)).expect("a handshake")
    }
}

async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    tls: Arc<ServerTls>,
    proxies: Proxies,
    tell: mpsc::Sender<Seen>,
) -> io::Result<()> {
    let client = proxies.client(&mut stream, peer, HEADER_TIME).await?;
    let accepted = tls.accept(stream).await?;
    let mut stream = accepted.stream;
    let session = stream.get_ref().1;
    let seen = Seen {
        client,
        presented: accepted.presented,
        is_h2: accepted.is_h2,
        kind: session.handshake_kind().unwrap(),
        suite: session.negotiated_cipher_suite().unwrap().suite(),
        version: session.protocol_version().unwrap(),
    };
    // Who listens no longer has seen enough.
    let _ = tell.send(seen);
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes).await? {
            0 => return stream.shutdown().await,
            length if bytes[..length].starts_with(b"GET ") => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nyes").await?;
                return stream.shutdown().await;
            }
            length => stream.write_all(&bytes[..length]).await?,
        }
        stream.flush().await?;
    }
}

/// How an endpoint is reached whose certificate is in `ca_file`.
fn upstream(name: Option<&str>, ca_file: Option<&PathBuf>) -> UpstreamTls {
    UpstreamTls { server_name: name.map(str::to_owned), verify: true, ca_file: ca_file.cloned() }
}

fn endpoint(settings: &UpstreamTls, speaks: Speaks) -> EndpointTls {
    let tls = ClientTls::of(settings, speaks, &mut Roots::default()).unwrap();
    tls.endpoint("127.0.0.1".parse().unwrap())
}

type Stream = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect(address: SocketAddr, endpoint: &EndpointTls) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    Ok(endpoint.connect(stream).await?.stream)
}

/// Says something and hears it back: the connection lives, and tickets that were on their way have come.
async fn echo(stream: &mut Stream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, text.as_bytes());
}
