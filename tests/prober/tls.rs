//! TLS handshakes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rhumb::health::probe::ReasonCode;
use rhumb::health::target::Target;
use rhumb::model::{CheckKind, TlsCheck, TlsTrust};

use crate::common::{Running, free_address, program, skipped};
use crate::http::https_server;
use crate::{ask, found, nobody, server, target};

const DAY: Duration = Duration::from_secs(86_400);

fn tls(address: SocketAddr, host: &str, ca_file: Option<&PathBuf>, with: impl FnOnce(&mut TlsCheck)) -> Target {
    let trust = TlsTrust { verify: ca_file.is_some(), ca_file: ca_file.cloned() };
    let mut check = TlsCheck { trust, host: Some(host.to_owned()), alpn: Vec::new(), valid_for: None };
    with(&mut check);
    target(address, CheckKind::Tls(check), 5000)
}

#[test]
fn a_handshake_is_verified_and_says_when_the_certificate_expires() {
    let dir = tempfile::tempdir().unwrap();
    let (address, ca_file, _names) = https_server(dir.path());
    let right = ask(tls(address, "www.example.com", Some(&ca_file), |_| ()));
    assert_eq!(right.reason, ReasonCode::L6Ok, "{right}");
    assert!(right.detail.starts_with("TLS 1.3, the certificate expires in "), "{right}");
    assert!(ask(tls(address, "www.example.com.", Some(&ca_file), |_| ())).passed, "the dot at the end is not sent");
    let wrong_name = ask(tls(address, "shop.example.com", Some(&ca_file), |_| ()));
    assert_eq!(wrong_name.reason, ReasonCode::L6Rsp, "{wrong_name}");
    assert!(ask(tls(address, "shop.example.com", None, |_| ())).passed, "unverified");
    let long = ask(tls(address, "www.example.com", Some(&ca_file), |check| check.valid_for = Some(DAY)));
    assert!(long.passed, "{long}");
}

#[test]
fn a_handshake_that_does_not_come_about_is_told_apart() {
    assert_eq!(found(&ask(tls(nobody(), "www.example.com", None, |_| ()))), (ReasonCode::L4Con, "connection refused"));
    let plain = server(|mut stream| {
        let _ = std::io::Write::write_all(&mut stream, b"220 mail.example.com ESMTP\r\n");
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    });
    let result = ask(tls(plain, "www.example.com", None, |_| ()));
    assert_eq!(result.reason, ReasonCode::L6Rsp, "{result}");
    let mute = server(|mut stream| drop(std::io::Read::read_to_end(&mut stream, &mut Vec::new())));
    let mut target = tls(mute, "www.example.com", None, |_| ());
    target.check.timeout = Duration::from_millis(200);
    assert_eq!(found(&ask(target)), (ReasonCode::L6Tout, "no TLS session within 200ms"));
}

/// OpenSSL's server with a certificate of some days for www.example.com, which takes `h2` by ALPN.
fn openssl(dir: &std::path::Path, days: i64) -> Option<(SocketAddr, PathBuf, Running)> {
    let Some(openssl) = program("openssl") else {
        skipped("openssl is not installed");
        return None;
    };
    let mut params = rcgen::CertificateParams::new(vec!["www.example.com".to_owned()]).unwrap();
    let now = time::OffsetDateTime::from_unix_timestamp(rhumb::runtime::clock::Clock::start().now().secs() as i64);
    params.not_after = now.unwrap() + time::Duration::days(days) + time::Duration::hours(1);
    let pair = rcgen::KeyPair::generate().unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let address = free_address();
    let mut command = Command::new(openssl);
    command.args(["s_server", "-quiet", "-alpn", "h2", "-accept", &address.to_string()]);
    command.arg("-cert").arg(&cert).arg("-key").arg(&key);
    let mut process = Running::start(command, "openssl", dir);
    process.wait_until(|| std::net::TcpStream::connect(address).is_ok());
    Some((address, cert, process))
}

#[test]
fn openssl_s_server_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let Some((address, ca_file, _process)) = openssl(dir.path(), 5) else { return };
    let with = |with: fn(&mut TlsCheck)| ask(tls(address, "www.example.com", Some(&ca_file), with));
    let right = with(|check| check.alpn = vec!["h2".to_owned()]);
    let words = "TLS 1.3, h2, the certificate expires in 5 d";
    assert_eq!(found(&right), (ReasonCode::L6Ok, words));
    let refused = with(|check| check.alpn = vec!["imap".to_owned()]);
    assert_eq!(refused.reason, ReasonCode::L6Rsp, "{refused}");
    assert!(with(|check| check.valid_for = Some(4 * DAY)).passed);
    let short = with(|check| check.valid_for = Some(7 * DAY));
    let words = "the certificate expires in 5 d, and is to be valid for 7 d";
    assert_eq!(found(&short), (ReasonCode::L6Rsp, words));
}

#[test]
fn an_expired_certificate_fails_even_unverified_if_time_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some((address, ca_file, _process)) = openssl(dir.path(), -1) else { return };
    let expired = ask(tls(address, "www.example.com", Some(&ca_file), |_| ()));
    assert_eq!(expired.reason, ReasonCode::L6Rsp);
    assert!(expired.detail.contains("expired"), "{expired}");
    assert!(ask(tls(address, "www.example.com", None, |_| ())).passed);
    let asked = ask(tls(address, "www.example.com", None, |check| check.valid_for = Some(DAY)));
    assert_eq!(found(&asked), (ReasonCode::L6Rsp, "the certificate has expired, and is to be valid for 1 d"));
}
