//! TLS to endpoints, for clients that speak in plaintext.

use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use rcgen::CertificateParams;
use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::Stream;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

use crate::kit::backend::Backend;
use crate::kit::client::Fate;
use crate::kit::client::connect;
use crate::kit::client::fate;
use crate::kit::client::rest;
use crate::kit::here;
use crate::kit::pattern;
use crate::kit::site::Site;
use crate::kit::site::pool;
use crate::kit::site::tcp;

type Session<'a> = Stream<'a, ServerConnection, std::net::TcpStream>;

/// A server of TLS for `app.internal` that serves a session as told, and its certificate. It speaks no protocol of HTTP: who offers
/// only those is refused.
fn server(serve: impl Fn(&mut Session<'_>) -> std::io::Result<()> + Send + Sync + 'static) -> (Backend, String) {
    let pair = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["app.internal".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    let config = Arc::new(config);
    let backend = Backend::start(move |mut socket| {
        let mut session = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
        serve(&mut Stream::new(&mut session, &mut socket))
    });
    (backend, certificate.pem())
}

fn before(backend: &Backend, pem: &str, tls: &str) -> (Site, std::net::SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("root.pem"), pem).unwrap();
    let address = here();
    let app = pool("app", &[backend.address], tls) + &tcp("edge", address, "app", "");
    (Site::start_in(dir, 1, &app), address)
}

const TRUSTED: &str = "tls = { server_name = \"app.internal\", ca_file = \"root.pem\" }";

#[test]
fn bytes_go_in_tls_and_come_back_in_the_clear() {
    let (backend, pem) = server(|session| {
        let mut asked = [0; 5];
        session.read_exact(&mut asked)?;
        session.write_all(&asked)?;
        session.conn.send_close_notify();
        session.flush()
    });
    let (site, address) = before(&backend, &pem, TRUSTED);
    let mut client = connect(address);
    client.write_all(b"hello").unwrap();
    assert_eq!(rest(&mut client), (b"hello".to_vec(), Fate::Closed));
    client.shutdown(Shutdown::Write).unwrap();
    site.has_flows("edge", "app", "closed", 1);
}

#[test]
fn a_server_that_closes_without_saying_so_in_tls_has_closed() {
    let (backend, pem) = server(|session| session.write_all(b"bye").and_then(|()| session.flush()));
    let (_site, address) = before(&backend, &pem, TRUSTED);
    let mut client = connect(address);
    assert_eq!(rest(&mut client), (b"bye".to_vec(), Fate::Closed), "as HAProxy has it");
}

#[test]
fn who_is_not_trusted_is_not_spoken_to() {
    let (backend, pem) = server(|session| session.read_exact(&mut [0; 1]));
    let (site, address) = before(&backend, &pem, "tls = { server_name = \"other.internal\", ca_file = \"root.pem\" }");
    let mut client = connect(address);
    client.write_all(b"hello").unwrap();
    assert_eq!(fate(&mut client), Fate::Reset);
    site.has_flows("edge", "app", "connect_failed", 1);
    assert_eq!(site.metric("rhumb_proxy_upstream_failures_total{pool=\"app\",reason=\"tls\"}"), 1.0);
}

#[test]
fn the_last_of_an_upload_arrives_before_more_is_said() {
    // Reads after a while, when the way is full, and answers when all has come; the client waits for that. Of some of these sizes
    // the last bytes are just in the hands of TLS when the way is full.
    const STEP: u64 = 48 * 1024;
    let (backend, pem) = server(|session| {
        let mut size = [0; 8];
        session.read_exact(&mut size)?;
        std::thread::sleep(Duration::from_millis(1_500));
        let mut left = u64::from_be_bytes(size);
        let mut room = vec![0; 64 * 1024];
        while left > 0 {
            left -= session.read(&mut room)? as u64;
        }
        session.write_all(b"all")?;
        session.flush()
    });
    let (_site, address) = before(&backend, &pem, TRUSTED);
    std::thread::scope(|scope| {
        for steps in 4..=100 {
            scope.spawn(move || {
                let mut client = connect(address);
                client.write_all(&(steps * STEP).to_be_bytes()).unwrap();
                client.write_all(&vec![b'u'; (steps * STEP) as usize]).unwrap();
                let mut said = [0; 3];
                client.read_exact(&mut said).unwrap_or_else(|error| panic!("of {} bytes: {error}", steps * STEP));
                assert_eq!(&said, b"all");
            });
        }
    });
}

#[test]
fn much_comes_through_unchanged_both_ways() {
    const BYTES: u64 = 32 << 20;
    let (backend, pem) = server(|session| {
        let mut all = Vec::new();
        session.read_to_end(&mut all)?;
        session.write_all(&all)?;
        session.conn.send_close_notify();
        session.flush()
    });
    let (_site, address) = before(&backend, &pem, TRUSTED);
    let client = connect(address);
    let (mut reads, mut writes) = (client.try_clone().unwrap(), client);
    let reading = std::thread::spawn(move || pattern::read(&mut reads).unwrap());
    let sum = pattern::write(&mut writes, BYTES, 5).unwrap();
    writes.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reading.join().unwrap(), (BYTES, sum));
}
