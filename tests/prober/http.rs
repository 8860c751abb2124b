//! HTTP and HTTPS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rhumb::health::probe::ReasonCode;
use rhumb::health::target::Target;
use rhumb::model::{Body, CheckKind, StatusRange};
use rhumb::prober::places::Bounds;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{ask, ask_all, ask_within, found, impatient, nobody, server, target};

/// An HTTP check with everything at its simplest.
pub struct Http {
    tls: bool,
    verify: bool,
    ca_file: Option<PathBuf>,
    path: &'static str,
    host: Option<&'static str>,
    status: (u16, u16),
    body: Option<&'static str>,
}

pub const HTTP: Http =
    Http { tls: false, verify: true, ca_file: None, path: "/healthz", host: None, status: (200, 299), body: None };

impl Http {
    pub fn at(&self, address: SocketAddr) -> Target {
        let kind = CheckKind::Http {
            tls: self.tls,
            verify: self.verify,
            ca_file: self.ca_file.clone(),
            method: "GET".into(),
            path: self.path.into(),
            host: self.host.map(str::to_owned),
            status: vec![StatusRange { first: self.status.0, last: self.status.1 }],
            body: self.body.map(|text| Body::Contains(text.into())),
        };
        target(address, kind, 5000)
    }
}

/// Reads a request's head.
pub fn head(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Answers each request with these bytes and closes; tells the requests.
fn answering(response: impl Into<Vec<u8>>) -> (SocketAddr, Receiver<String>) {
    let response = response.into();
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let address = server(move |mut stream| {
        let request = head(&mut stream);
        let _ = tell.lock().unwrap().send(request);
        let _ = stream.write_all(&response);
    });
    (address, told)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_request_is_what_the_check_says() {
    let (address, requests) = answering(OK);
    let result = ask(Http { host: Some("www.example.com:8080"), path: "/healthz?deep=1", ..HTTP }.at(address));
    assert_eq!(found(&result), (ReasonCode::L7Ok, "status 200"));
    assert!(result.passed && result.took > Duration::ZERO);
    let request = requests.recv().unwrap().to_lowercase();
    assert!(request.starts_with("get /healthz?deep=1 http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nhost: www.example.com:8080\r\n"), "{request}");
    assert!(request.contains("\r\nconnection: close\r\n"), "{request}");
    assert!(request.contains("\r\nuser-agent: rhumb/"), "{request}");
}

#[test]
fn without_host_the_address_is_the_name() {
    let (address, requests) = answering(OK);
    assert!(ask(HTTP.at(address)).passed);
    assert!(requests.recv().unwrap().to_lowercase().contains("\r\nhost: 127.0.0.1\r\n"));
}

#[test]
fn an_address_in_host_does_not_lead_the_probe_elsewhere() {
    let (address, requests) = answering(OK);
    assert!(ask(Http { host: Some("192.0.2.1"), ..HTTP }.at(address)).passed);
    assert!(requests.recv().unwrap().to_lowercase().contains("\r\nhost: 192.0.2.1\r\n"));
}

#[test]
fn every_probe_opens_a_connection() {
    // The server would keep it open, and answers one request on each.
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let address = server(move |mut stream| {
        tell.lock().unwrap().send(stream.peer_addr().unwrap()).unwrap();
        head(&mut stream);
        stream.write_all(OK.as_bytes()).unwrap();
        head(&mut stream);
    });
    assert!(ask_all(vec![HTTP.at(address), HTTP.at(address), HTTP.at(address)]).iter().all(|r| r.passed));
    let mut ports: Vec<u16> = told.try_iter().map(|peer| peer.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3);
}

#[test]
fn the_status_decides() {
    let (address, _requests) = answering("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(found(&ask(HTTP.at(address))), (ReasonCode::L7Sts, "status 503"));
    assert!(ask(Http { status: (500, 599), ..HTTP }.at(address)).passed);
}

#[test]
fn a_redirect_is_an_answer_and_not_followed() {
    let (elsewhere, asked) = answering(OK);
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n");
    let (address, _requests) = answering(redirect);
    assert_eq!(found(&ask(HTTP.at(address))), (ReasonCode::L7Sts, "status 302"));
    assert!(ask(Http { status: (200, 399), ..HTTP }.at(address)).passed);
    assert!(asked.try_recv().is_err());
}

#[test]
fn the_body_must_hold_the_text() {
    let (address, _requests) = answering(OK);
    assert!(ask(Http { body: Some("ok"), ..HTTP }.at(address)).passed);
    let lacking = ask(Http { body: Some("ready"), ..HTTP }.at(address));
    assert_eq!(found(&lacking), (ReasonCode::L7Rsp, r#"status 200, body lacks "ready""#));
}

#[test]
fn a_text_cut_between_chunks_is_found() {
    let address = server(|mut stream| {
        head(&mut stream);
        stream.set_nodelay(true).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        for chunk in ["rea", "d", "y"] {
            stream.write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes()).unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    assert!(ask(Http { body: Some("ready"), ..HTTP }.at(address)).passed);
}

#[test]
fn an_endless_body_is_read_no_further_than_64_kib() {
    let address = server(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        // Ends when the prober hangs up.
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    assert_eq!(ask(Http { body: Some("ready"), ..HTTP }.at(address)).reason, ReasonCode::L7Rsp);
    assert!(ask(Http { body: Some("xxx"), ..HTTP }.at(address)).passed);
    let late = format!("HTTP/1.1 200 OK\r\n\r\n{}ready", "x".repeat(64 * 1024));
    let (address, _requests) = answering(late);
    assert_eq!(ask(Http { body: Some("ready"), ..HTTP }.at(address)).reason, ReasonCode::L7Rsp);
}

#[test]
fn refusals_name_the_layer() {
    for target in [HTTP.at(nobody()), Http { tls: true, ..HTTP }.at(nobody()), target(nobody(), CheckKind::Tcp, 5000)] {
        assert_eq!(found(&ask(target)), (ReasonCode::L4Con, "connection refused"));
    }
}

#[test]
fn an_open_port_passes_a_tcp_check() {
    let address = server(|_stream| ());
    assert_eq!(ask(target(address, CheckKind::Tcp, 5000)).reason, ReasonCode::L4Ok);
}

#[test]
fn silence_is_told_apart_by_layer() {
    // Accepts and says nothing until the prober hangs up.
    let mute = server(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    // Accepts nothing: the queue of connections is full, so the kernel drops the next SYN.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let full = socket.local_addr().unwrap().as_socket().unwrap();
    let _queued: Vec<_> = (0..4).map(|_| TcpStream::connect_timeout(&full, Duration::from_millis(50))).collect();
    let https = Http { tls: true, ..HTTP };
    let results = ask_all(vec![
        impatient(HTTP.at(mute)),
        impatient(https.at(mute)),
        impatient(HTTP.at(full)),
        impatient(https.at(full)),
        target(full, CheckKind::Tcp, 200),
    ]);
    let reasons: Vec<ReasonCode> = results.iter().map(|result| result.reason).collect();
    use ReasonCode::{L4Tout, L6Tout, L7Tout};
    assert_eq!(reasons, [L7Tout, L6Tout, L4Tout, L4Tout, L4Tout]);
    assert_eq!(results[0].detail, "no complete response within 200ms");
}

#[test]
fn a_slow_body_times_out_too() {
    let address = server(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(ask(impatient(Http { body: Some("ok"), ..HTTP }.at(address))).reason, ReasonCode::L7Tout);
}

#[test]
fn what_is_not_http_is_no_answer() {
    let (garbage, _requests) = answering("SSH-2.0-OpenSSH_9.2\r\n");
    let (nothing, _more) = answering("");
    let (broken, _rest) = answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all");
    for target in [HTTP.at(garbage), HTTP.at(nothing), Http { body: Some("ok"), ..HTTP }.at(broken)] {
        let result = ask(target);
        assert_eq!(result.reason, ReasonCode::L7Rsp, "{result}");
        assert!(!result.detail.is_empty());
    }
}

/// A certificate for `www.example.com` in a file, and a server that presents it and tells the names asked for.
pub fn https_server(dir: &Path) -> (SocketAddr, PathBuf, Receiver<Option<String>>) {
    let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
    let ca_file = dir.join("roots.pem");
    std::fs::write(&ca_file, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap());
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let address = server(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        if head(&mut stream).is_empty() {
            return;
        }
        let _ = tell.lock().unwrap().send(stream.conn.server_name().map(str::to_owned));
        let _ = stream.write_all(OK.as_bytes());
        stream.conn.send_close_notify();
        let _ = stream.flush();
    });
    (address, ca_file, told)
}

#[test]
fn https_is_verified_against_the_roots_given() {
    let dir = tempfile::tempdir().unwrap();
    let (address, ca_file, names) = https_server(dir.path());
    let https = |host, ca_file: Option<&PathBuf>, verify| {
        Http { tls: true, verify, host: Some(host), ca_file: ca_file.cloned(), body: Some("ok"), ..HTTP }.at(address)
    };
    let right = ask(https("www.example.com", Some(&ca_file), true));
    assert_eq!(found(&right), (ReasonCode::L7Ok, "status 200"));
    assert_eq!(names.recv().unwrap().as_deref(), Some("www.example.com"));
    let wrong_name = ask(https("shop.example.com", Some(&ca_file), true));
    assert_eq!(wrong_name.reason, ReasonCode::L6Rsp, "{wrong_name}");
    assert!(wrong_name.detail.contains("not valid for name"), "{wrong_name}");
    let unknown_root = ask(https("www.example.com", None, true));
    assert_eq!(unknown_root.reason, ReasonCode::L6Rsp, "{unknown_root}");
    assert!(ask(https("shop.example.com", None, false)).passed);
    assert_eq!(names.recv().unwrap().as_deref(), Some("shop.example.com"));
}

#[test]
fn roots_that_can_not_be_read_are_named_and_read_when_they_can() {
    let dir = tempfile::tempdir().unwrap();
    let (address, ca_file, _names) = https_server(dir.path());
    let later = dir.path().join("later.pem");
    let target = Http { tls: true, host: Some("www.example.com"), ca_file: Some(later.clone()), ..HTTP }.at(address);
    let missing = ask(target.clone());
    assert_eq!(missing.reason, ReasonCode::L6Rsp);
    assert!(missing.detail.contains("later.pem"), "{missing}");
    std::fs::write(&later, "no certificate").unwrap();
    assert!(ask(target.clone()).detail.contains("no certificate in it"));
    std::fs::copy(&ca_file, &later).unwrap();
    assert!(ask(target).passed);
}

#[test]
fn tls_to_a_server_without_it_fails_at_its_layer() {
    let plain = server(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
        let _ = stream.write_all(OK.as_bytes());
    });
    assert_eq!(ask(Http { tls: true, ..HTTP }.at(plain)).reason, ReasonCode::L6Rsp);
}

#[test]
fn more_probes_than_may_run_at_once_wait_their_turn() {
    let address = server(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(OK.as_bytes());
    });
    let bounds = Bounds { running: 8, young: 4 };
    let results = ask_within(bounds, vec![HTTP.at(address); 300]);
    assert!(results.iter().all(|result| result.passed), "{:?}", results.iter().find(|result| !result.passed));
}
