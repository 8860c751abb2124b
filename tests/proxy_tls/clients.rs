//! What clients are shown, what is spoken with them, and what changes when files do.

use std::fs;
use std::sync::Arc;

use rhumb::model::{ProxyProtocol, Speaks};
use rhumb::proxy::proxy_protocol::Header;
use rhumb::proxy::tls::ServerTls;
use rhumb::server::proxies::Proxies;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{CipherSuite, ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Server, Stream, connect, echo, endpoint, upstream, write_pair};

fn shown(stream: &Stream) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn each_name_has_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let first = write_pair(dir.path(), "first", &["first.example", "127.0.0.1"]);
    let wild = write_pair(dir.path(), "wild", &["*.example.com"]);
    let exact = write_pair(dir.path(), "exact", &["api.example.com"]);
    let server = Server::start(Arc::new(ServerTls::of(&[&first, &wild, &exact]).unwrap()));
    for (name, files) in [
        (Some("first.example"), &first),
        (Some("www.example.com"), &wild),
        (Some("api.example.com"), &exact),
        // An address is no name, and none is asked for.
        (None, &first),
    ] {
        let endpoint = endpoint(&upstream(name, Some(&files.certificate)), Speaks::Either);
        let stream = connect(server.address, &endpoint).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(shown(&stream), CertificateDer::from_pem_file(&files.certificate).unwrap());
        let seen = server.seen();
        assert_eq!(seen.presented.sni(), name);
        assert_eq!(seen.presented.covers("other.example"), name.is_none());
    }
}

#[tokio::test]
async fn the_protocol_is_agreed_on() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "www", &["www.example.com"]);
    let server = Server::start(Arc::new(ServerTls::of(&[&files]).unwrap()));
    for (speaks, is_h2) in [(Speaks::Http1, false), (Speaks::Http2, true), (Speaks::Either, true)] {
        let endpoint = endpoint(&upstream(Some("www.example.com"), Some(&files.certificate)), speaks);
        let stream = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(endpoint.connect(stream).await.unwrap().is_h2, is_h2, "{speaks:?}");
        let seen = server.seen();
        assert_eq!((seen.is_h2, seen.version), (is_h2, ProtocolVersion::TLSv1_3));
    }
}

#[tokio::test]
async fn a_client_that_comes_back_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "www", &["www.example.com"]);
    let tls = Arc::new(ServerTls::of(&[&files]).unwrap());
    let (server, other_worker) = (Server::start(tls.clone()), Server::start(tls.clone()));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.certificate).unwrap()).unwrap();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let client = TlsConnector::from(Arc::new(config.with_root_certificates(roots.clone()).with_no_client_auth()));
        let mut kinds = Vec::new();
        for server in [&server, &other_worker, &server] {
            let name = ServerName::try_from("www.example.com").unwrap();
            let stream = TcpStream::connect(server.address).await.unwrap();
            let mut stream = client.connect(name, stream).await.unwrap();
            echo(&mut stream, "hello").await;
            let seen = server.seen();
            assert_eq!((seen.version, seen.presented.sni()), (version.version, Some("www.example.com")));
            kinds.push(seen.kind);
            tls.replace_by(&ServerTls::of(&[&files]).unwrap());
        }
        let expected = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed];
        assert_eq!(kinds, expected, "{version:?}: with another worker, and after a reload");
    }
}

#[tokio::test]
async fn a_session_of_one_listener_opens_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "www", &["www.example.com"]);
    let start = || Server::start(Arc::new(ServerTls::of(&[&files]).unwrap()));
    let endpoint = endpoint(&upstream(Some("www.example.com"), Some(&files.certificate)), Speaks::Http1);
    for server in [start(), start()] {
        echo(&mut connect(server.address, &endpoint).await.unwrap(), "hello").await;
        assert_eq!(server.seen().kind, HandshakeKind::Full);
    }
}

#[tokio::test]
async fn new_connections_have_the_new_certificate_and_open_ones_live_on() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "www", &["www.example.com"]);
    let former = fs::read(&files.certificate).unwrap();
    let tls = Arc::new(ServerTls::of(&[&files]).unwrap());
    let server = Server::start(tls.clone());
    // A new one each time: one that comes back would resume, and be shown none.
    let connected = async || {
        let endpoint = endpoint(&upstream(Some("www.example.com"), Some(&files.certificate)), Speaks::Http1);
        connect(server.address, &endpoint).await
    };
    let mut open = connected().await.unwrap();
    echo(&mut open, "before").await;

    write_pair(dir.path(), "www", &["www.example.com"]);
    assert!(connected().await.is_err(), "the new one is trusted, the former presented");
    tls.replace_by(&ServerTls::of(&[&files]).unwrap());
    let mut new = connected().await.unwrap();
    assert_ne!(shown(&new), shown(&open));
    echo(&mut new, "new").await;
    echo(&mut open, "after").await;

    // The certificate goes back and the key does not: the pair is broken, and the good one stays.
    fs::write(&files.certificate, former).unwrap();
    let problems = ServerTls::of(&[&files]).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().contains("cannot be used together"), "{}", problems[0]);
    assert!(problems[0].place.is_some() && problems[0].help.is_some());
    let anybody = endpoint(&rhumb::model::UpstreamTls { verify: false, ..upstream(None, None) }, Speaks::Http1);
    assert_eq!(shown(&connect(server.address, &anybody).await.unwrap()), shown(&new));
}

#[tokio::test]
async fn a_handshake_follows_a_proxy_header() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "www", &["www.example.com"]);
    let proxies = Proxies::of(&[("127.0.0.0".parse().unwrap(), 8)]);
    let server = Server::behind(Arc::new(ServerTls::of(&[&files]).unwrap()), proxies);
    let endpoint = endpoint(&upstream(Some("www.example.com"), Some(&files.certificate)), Speaks::Http1);
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let client = "192.0.2.7:4711".parse().unwrap();
        for (header, expected) in
            [(Header::of(version, client, server.address), Some(client)), (Header::local(version), None)]
        {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let ours = stream.local_addr().unwrap();
            stream.write_all(header.bytes()).await.unwrap();
            echo(&mut endpoint.connect(stream).await.unwrap().stream, "hello").await;
            assert_eq!(server.seen().client, expected.unwrap_or(ours));
        }
    }
}

#[tokio::test]
async fn the_cheaper_cipher_is_ours_to_choose() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "www", &["www.example.com"]);
    let server = Server::start(Arc::new(ServerTls::of(&[&files]).unwrap()));
    // rustls' own order has AES with 256 bits first.
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.certificate).unwrap()).unwrap();
    let config = config.with_protocol_versions(rustls::ALL_VERSIONS).unwrap().with_root_certificates(roots);
    let client = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    let stream = TcpStream::connect(server.address).await.unwrap();
    client.connect(ServerName::try_from("www.example.com").unwrap(), stream).await.unwrap();
    assert_eq!(server.seen().suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
}
