//! Programs of others agree with us.

use std::process::Command;
use std::sync::Arc;

use rhumb::proxy::tls::ServerTls;

use crate::common::{program, skipped};
use crate::{Server, write_pair};

/// A handshake by `openssl s_client`; what it says of it.
fn s_client(server: &Server, with: &[&str]) -> Option<String> {
    let Some(openssl) = program("openssl") else {
        skipped("openssl is not installed");
        return None;
    };
    let mut command = Command::new(openssl);
    command.args(["s_client", "-connect", &server.address.to_string()]).args(with);
    // Without an input it asks nothing and leaves.
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn openssl_s_client_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let first = write_pair(dir.path(), "first", &["first.example"]);
    let wild = write_pair(dir.path(), "wild", &["*.example.com"]);
    let server = Server::start(Arc::new(ServerTls::of(&[&first, &wild]).unwrap()));
    let ca = wild.certificate.to_str().unwrap();
    let name = ["-servername", "www.example.com", "-CAfile", ca, "-verify_hostname", "www.example.com"];
    let Some(said) = s_client(&server, &[&name[..], &["-alpn", "h2,http/1.1"]].concat()) else { return };
    for expected in ["Verification: OK", "ALPN protocol: h2", "Cipher is TLS_AES_128_GCM_SHA256"] {
        assert!(said.contains(expected), "{expected}:\n{said}");
    }
    assert!(server.seen().is_h2);
    let said = s_client(&server, &[&name[..], &["-tls1_2", "-alpn", "http/1.1"]].concat()).unwrap();
    for expected in ["Verification: OK", "ALPN protocol: http/1.1", "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"] {
        assert!(said.contains(expected), "{expected}:\n{said}");
    }
    let said = s_client(&server, &["-noservername", "-CAfile", first.certificate.to_str().unwrap()]).unwrap();
    assert!(said.contains("Verification: OK"), "the first without a name:\n{said}");
    let said = s_client(&server, &[&name[..], &["-alpn", "imap"]].concat()).unwrap();
    assert!(said.contains("no application protocol"), "{said}");
    let said = s_client(&server, &[&name[..], &["-tls1_1", "-cipher", "ALL@SECLEVEL=0"]].concat()).unwrap();
    assert!(said.contains("Cipher is (NONE)"), "{said}");
}

#[test]
fn openssl_s_client_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "www", &["www.example.com"]);
    let server = Server::start(Arc::new(ServerTls::of(&[&files]).unwrap()));
    let (ca, session) = (files.certificate.to_str().unwrap(), dir.path().join("session"));
    let session = session.to_str().unwrap();
    // -no_ticket: a session that is remembered by its number.
    for with in [&["-tls1_2"][..], &["-tls1_2", "-no_ticket"]] {
        let with = [&["-servername", "www.example.com", "-CAfile", ca], with].concat();
        let Some(said) = s_client(&server, &[&with[..], &["-sess_out", session]].concat()) else { return };
        assert!(said.contains("New, TLSv1.2"), "{said}");
        let said = s_client(&server, &[&with[..], &["-sess_in", session]].concat()).unwrap();
        assert!(said.contains("Reused, TLSv1.2"), "{with:?}:\n{said}");
    }
}

#[test]
fn curl_is_served() {
    let Some(curl) = program("curl") else { return skipped("curl is not installed") };
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "www", &["www.example.com"]);
    let server = Server::start(Arc::new(ServerTls::of(&[&files]).unwrap()));
    let port = server.address.port();
    let mut command = Command::new(curl);
    command.args(["-sS", "--http1.1", "--noproxy", "*", "--max-time", "20", "--cacert"]).arg(&files.certificate);
    command.args([
        "--resolve",
        &format!("www.example.com:{port}:127.0.0.1"),
        &format!("https://www.example.com:{port}/"),
    ]);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "yes", "{}", String::from_utf8_lossy(&output.stderr));
}
