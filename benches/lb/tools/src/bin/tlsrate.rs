//! TLS 1.3 handshakes: connect, handshake, one request, close; a thread each, closed loop; JSON.
//!
//!     tlsrate IP:PORT SECS THREADS PATH [resume]

use std::io::Error;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::DigitallySignedStruct;
use rustls::HandshakeKind;
use rustls::SignatureScheme;
use rustls::client::Resumption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;

/// Believes every server: verifying costs the generator, not the proxy.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer,
        _: &[CertificateDer],
        _: &ServerName,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn config(resume: bool) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !resume {
        config.resumption = Resumption::disabled();
    }
    Arc::new(config)
}

/// One visit; whether the handshake was a full one.
fn visit(config: &Arc<ClientConfig>, address: &str, path: &str) -> std::io::Result<bool> {
    let mut tcp = TcpStream::connect(address)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(Duration::from_secs(5)))?;
    let name = "bench.local".try_into().expect("a name");
    let mut tls = ClientConnection::new(config.clone(), name).map_err(Error::other)?;
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: bench.local\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    match stream.read_to_end(&mut response) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error),
        _ if !response.starts_with(b"HTTP/1.1 200") => return Err(Error::other("not a 200")),
        _ => {}
    }
    Ok(tls.handshake_kind() == Some(HandshakeKind::Full))
}

/// What one thread saw.
#[derive(Default)]
struct Seen {
    took_us: Vec<u64>,
    full: usize,
    errors: usize,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, seconds, threads, path, rest @ ..] = &words[..] else {
        panic!("tlsrate IP:PORT SECS THREADS PATH [resume]")
    };
    let config = config(rest.first().is_some_and(|word| word == "resume"));
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let work = || {
        let mut seen = Seen::default();
        while Instant::now() < end {
            let at = Instant::now();
            match visit(&config, address, path) {
                Ok(full) => {
                    seen.full += usize::from(full);
                    seen.took_us.push(at.elapsed().as_micros() as u64);
                }
                Err(_) => seen.errors += 1,
            }
        }
        seen
    };
    let threads: usize = threads.parse().expect("threads");
    let mut all = Seen::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in running {
            let seen = thread.join().expect("no panic");
            all.took_us.extend(seen.took_us);
            all.full += seen.full;
            all.errors += seen.errors;
        }
    });
    let seconds = begin.elapsed().as_secs_f64();
    all.took_us.sort_unstable();
    let (done, at) = (all.took_us.len(), |share: usize| all.took_us.get(all.took_us.len() * share / 100).unwrap_or(&0));
    println!(
        "{{\"requests\":{done},\"errors\":{},\"seconds\":{seconds:.3},\"rps\":{:.1},\"bytes\":0,\"p50_us\":{},\"p99_us\":{},\"late\":0,\"full\":{}}}",
        all.errors,
        done as f64 / seconds,
        at(50),
        at(99),
        all.full
    );
}
