//! TLS that is not ended here: the server's name says where it goes, whatever shape it comes in.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rcgen::CertificateParams;
use rcgen::KeyPair;
use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::Stream;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;

use crate::common::program;
use crate::common::skipped;
use crate::kit::backend::Backend;
use crate::kit::client::Fate;
use crate::kit::client::connect;
use crate::kit::client::fate;
use crate::kit::client::fate_within;
use crate::kit::here;
use crate::kit::now;
use crate::kit::site::Site;
use crate::kit::site::field;
use crate::kit::site::passthrough;
use crate::kit::site::pool;
use crate::neighbours::haproxy;

/// A server of TLS.
pub struct Secured {
    pub backend: Backend,
    /// Its certificate, which is its own root.
    pub pem: String,
    der: CertificateDer<'static>,
}

/// Answers every request of HTTP with that text, in TLS with a certificate for these names; none, and it is in plaintext up to a
/// PROXY header of version 2.
pub fn secured(names: &[&str], says: &'static str, proxied: bool) -> Secured {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let pair = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&pair).unwrap();
    let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let backend = Backend::start(move |mut socket| {
        let mut header = Vec::new();
        if proxied {
            header.resize(28, 0);
            socket.read_exact(&mut header)?;
        }
        let mut session = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
        let mut stream = Stream::new(&mut session, &mut socket);
        let (mut heard, mut room) = (Vec::new(), [0; 4_096]);
        while !heard.ends_with(b"\r\n\r\n") {
            match stream.read(&mut room)? {
                0 => return Ok(()),
                read => heard.extend(&room[..read]),
            }
        }
        let from = header.get(16..20).map(|at| format!(" {}.{}.{}.{}", at[0], at[1], at[2], at[3])).unwrap_or_default();
        let body = format!("{says}{from}");
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())?;
        session.send_close_notify();
        while session.wants_write() {
            session.write_tls(&mut socket)?;
        }
        // Until the client has gone.
        let _ = socket.read(&mut room);
        Ok(())
    });
    Secured { backend, pem: certificate.pem(), der: certificate.der().clone() }
}

/// A client that trusts these, and names that server, or none.
fn client_of(trusted: &[&Secured], name: &str, sends_name: bool) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    trusted.iter().for_each(|server| roots.add(server.der.clone()).unwrap());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.enable_sni = sends_name;
    ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap()
}

/// What it answers, with its certificate verified.
fn asked(address: SocketAddr, trusted: &[&Secured], name: &str, sends_name: bool) -> Result<String, String> {
    let mut session = client_of(trusted, name, sends_name);
    let mut socket = connect(address);
    let mut stream = Stream::new(&mut session, &mut socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or(answer))
}

/// The first message of a client that names this server.
fn hello(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    client_of(&[], name, true).write_tls(&mut bytes).unwrap();
    bytes
}

/// The same in records of that size.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let records = hello[5..].chunks(size).map(|piece| {
        let length = (piece.len() as u16).to_be_bytes();
        [&[22, 3, 1, length[0], length[1]][..], piece].concat()
    });
    records.collect::<Vec<_>>().concat()
}

#[test]
fn each_name_has_its_pool() {
    let exact = secured(&["www.example.com"], "exact", false);
    let wild = secured(&["*.example.com"], "wild", false);
    let other = secured(&["other.example.net", "www.example.com", "a.example.com"], "other", false);
    let all = [&exact, &wild, &other];
    let pools = pool("exact", &[exact.backend.address], "")
        + &pool("wild", &[wild.backend.address], "")
        + &pool("other", &[other.backend.address], "");
    let (address, strict) = (here(), here());
    let routes = [("*.example.com", "wild"), ("www.example.com", "exact")];
    let site = Site::start(
        &(pools
            + &passthrough("edge", address, &[&routes[..], &[("*", "other")]].concat(), "")
            + &passthrough("strict", strict, &routes, "")),
    );
    let ask = |name, sends_name| asked(address, &all, name, sends_name);
    assert_eq!(ask("www.example.com", true).as_deref(), Ok("exact"));
    assert_eq!(ask("WWW.EXAMPLE.COM", true).as_deref(), Ok("exact"));
    assert_eq!(ask("a.example.com", true).as_deref(), Ok("wild"));
    assert_eq!(ask("other.example.net", true).as_deref(), Ok("other"));
    assert_eq!(ask("a.example.com", false).as_deref(), Ok("other"), "no name");
    assert!(asked(strict, &all, "other.example.net", true).is_err());
    assert!(asked(strict, &all, "www.example.com", false).is_err());
    assert_eq!(site.metric("rhumb_proxy_refused_total{listener=\"strict\",reason=\"no_route\"}"), 2.0);
    assert_eq!(site.flows("strict", "none", "no_route"), 2.0);
    let lines = site.lines(7);
    assert!(
        lines
            .iter()
            .any(|line| field(line, "server_name") == Some("a.example.com") && field(line, "pool") == Some("wild")),
        "{lines:?}"
    );
}

#[test]
fn a_first_message_in_any_pieces_is_read_and_passed_on_as_it_was() {
    let address = here();
    let heard = Backend::echo();
    let _site = Site::start(
        &(pool("app", &[heard.address], "") + &passthrough("edge", address, &[("www.example.com", "app")], "")),
    );
    let whole = hello("www.example.com");
    for bytes in [whole.clone(), in_records(&whole, 1), in_records(&whole, 7), in_records(&whole, 100)] {
        for pieces in [1, 3, 1_000] {
            let mut client = connect(address);
            for piece in bytes.chunks(pieces) {
                client.write_all(piece).unwrap();
                if pieces > 1 {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            client.write_all(b"and more").unwrap();
            let mut back = vec![0; bytes.len() + 8];
            client.read_exact(&mut back).unwrap();
            assert!(back == [&bytes[..], b"and more"].concat(), "{} bytes in pieces of {pieces}", bytes.len());
        }
    }
}

#[test]
fn what_is_no_first_message_is_refused() {
    let address = here();
    let backend = Backend::echo();
    let lines = "timeouts = { hello = \"700ms\" }";
    let site =
        Site::start(&(pool("app", &[backend.address], "") + &passthrough("edge", address, &[("*", "app")], lines)));
    let refused =
        |code: &str| site.metric(&format!("rhumb_proxy_refused_total{{listener=\"edge\",reason=\"{code}\"}}"));
    let ends = |bytes: &[u8]| {
        let mut client = connect(address);
        let _ = client.write_all(bytes);
        assert_ne!(fate(&mut client), Fate::Silent, "{}", bytes[..bytes.len().min(50)].escape_ascii());
    };
    ends(b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    ends(b"\x16\x03\x01\0\x04\x02\0\0\0");
    assert_eq!(refused("hello_malformed"), 2.0);
    ends(b"\x16\x03\x01\0\x04\x01\x01\0\0");
    // One that goes on for ever in the smallest of records.
    let mut endless = b"\x16\x03\x01\0\x04\x01\0\x3f\xff".to_vec();
    (0..16_000).for_each(|_| endless.extend(b"\x16\x03\x01\0\x01x"));
    ends(&endless);
    assert_eq!(refused("hello_too_long"), 2.0);
    let since = now();
    let mut slow = connect(address);
    let whole = hello("www.example.com");
    // A byte now and then does not move the deadline.
    for byte in &whole[..whole.len() - 1] {
        if slow.write_all(&[*byte]).is_err() || fate_within(&mut slow, Duration::from_millis(20)) != Fate::Silent {
            break;
        }
    }
    let took = since.elapsed();
    assert!((Duration::from_millis(600)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert_eq!(refused("hello_timeout"), 1.0);
    drop(connect(address));
    site.has_flows("edge", "none", "hello_missing", 1);
    assert_eq!(backend.accepted(), 0);
}

fn is_whole(said: &std::process::Output) -> String {
    assert!(said.status.success(), "{}: {}", said.status, String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let file = dir.join(name);
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn curl_and_openssl_verify_the_endpoint_s_own_certificate() {
    let (one, other) = (secured(&["one.example.com"], "one", false), secured(&["other.example.com"], "other", false));
    let address = here();
    let pools = pool("one", &[one.backend.address], "") + &pool("other", &[other.backend.address], "");
    let routes = [("one.example.com", "one"), ("other.example.com", "other")];
    let _site = Site::start(&(pools + &passthrough("edge", address, &routes, "")));
    let dir = tempfile::tempdir().unwrap();
    for (server, name, says) in [(&one, "one.example.com", "one"), (&other, "other.example.com", "other")] {
        let root = write(dir.path(), "root.pem", &server.pem);
        match program("curl") {
            None => skipped("curl is not installed"),
            Some(curl) => {
                let at = format!("{name}:{}:127.0.0.1", address.port());
                let mut command = Command::new(curl);
                command.args([
                    "-sS",
                    "--max-time",
                    "20",
                    "--fail",
                    "--noproxy",
                    "*",
                    "--resolve",
                    &at,
                    "--cacert",
                    &root,
                ]);
                command.arg(format!("https://{name}:{}/", address.port()));
                assert_eq!(is_whole(&command.output().unwrap()), says);
            }
        }
        match program("openssl") {
            None => skipped("openssl is not installed"),
            Some(openssl) => {
                for version in ["-tls1_2", "-tls1_3"] {
                    let mut command = Command::new(&openssl);
                    command.args([
                        "s_client",
                        "-quiet",
                        "-verify_return_error",
                        "-connect",
                        &address.to_string(),
                        version,
                    ]);
                    command.args(["-servername", name, "-verify_hostname", name, "-CAfile", &root]);
                    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                    let mut child = command.spawn().unwrap();
                    let mut stdin = child.stdin.take().unwrap();
                    stdin.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                    let said = is_whole(&child.wait_with_output().unwrap());
                    assert!(said.ends_with(says), "{version}: {said}");
                    drop(stdin);
                }
            }
        }
    }
}

#[test]
fn with_the_proxy_protocol_on_both_sides() {
    let server = secured(&["www.example.com"], "served", true);
    let (front, address) = (here(), here());
    let lines = "proxy_protocol = { accept_from = [\"127.0.0.1/32\"], send = \"v2\" }";
    let _site = Site::start(
        &(pool("app", &[server.backend.address], "")
            + &passthrough("edge", address, &[("*.example.com", "app")], lines)),
    );
    let sections = format!(
        "frontend f\n mode tcp\n bind {front}\n default_backend b\nbackend b\n mode tcp\n server s {address} send-proxy-v2\n"
    );
    let Some(_haproxy) = haproxy(&sections, front) else { return };
    assert_eq!(asked(front, &[&server], "www.example.com", true).as_deref(), Ok("served 127.0.0.1"));
}
