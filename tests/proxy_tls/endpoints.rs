//! Whom we believe to be an endpoint.

use std::fs;
use std::sync::Arc;

use rhumb::model::{Speaks, UpstreamTls};
use rhumb::proxy::tls::ServerTls;
use rhumb::proxy::upstream_tls::{ClientTls, Roots, words};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{HandshakeKind, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{Server, connect, echo, endpoint, upstream, write_pair};

#[tokio::test]
async fn an_endpoint_is_believed_by_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let app = write_pair(dir.path(), "app", &["app.internal"]);
    let address = write_pair(dir.path(), "address", &["127.0.0.1"]);
    let other = write_pair(dir.path(), "other", &["app.internal"]);
    let named = Server::start(Arc::new(ServerTls::of(&[&app]).unwrap()));
    let numbered = Server::start(Arc::new(ServerTls::of(&[&address]).unwrap()));
    let (app_ca, address_ca, other_ca) = (&app.certificate, &address.certificate, &other.certificate);
    let unverified = |name| UpstreamTls { verify: false, ..upstream(name, None) };
    for (server, settings, expected) in [
        (&named, upstream(Some("app.internal"), Some(app_ca)), Ok(())),
        (&named, upstream(Some("App.Internal."), Some(app_ca)), Ok(())),
        (&numbered, upstream(None, Some(address_ca)), Ok(())),
        (&named, upstream(Some("db.internal"), Some(app_ca)), Err("certificate not valid for name \"db.internal\"")),
        (&named, upstream(None, Some(app_ca)), Err("certificate not valid for name \"127.0.0.1\"")),
        (&named, upstream(Some("app.internal"), Some(other_ca)), Err("")),
        (&named, upstream(Some("app.internal"), None), Err("the certificate's issuer is not trusted")),
        (&named, unverified(Some("db.internal")), Ok(())),
        (&named, unverified(None), Ok(())),
    ] {
        let came = match ClientTls::of(&settings, Speaks::Http1, &mut Roots::default()) {
            // This machine may have no roots of its own.
            Err(problem) if settings.ca_file.is_none() => Err(std::io::Error::other(problem.fact)),
            Err(problem) => panic!("{problem}"),
            Ok(tls) => connect(server.address, &tls.endpoint(server.address.ip())).await.map(drop),
        };
        match (came.map_err(|error| words(&error)), expected) {
            (Ok(()), Ok(())) => {}
            (Err(told), Err(part)) => {
                assert!(told.contains(part) || told.contains("no root certificates"), "{settings:?}: {told}");
            }
            (came, expected) => panic!("{settings:?}: {came:?} where {expected:?} is expected"),
        }
    }
}

#[tokio::test]
async fn even_unverified_an_endpoint_must_hold_the_key_of_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (write_pair(dir.path(), "one", &["a.example"]), write_pair(dir.path(), "two", &["a.example"]));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = provider.key_provider.load_private_key(PrivateKeyDer::from_pem_file(&two.key_file).unwrap()).unwrap();
    let stolen = CertifiedKey::new(vec![CertificateDer::from_pem_file(&one.certificate).unwrap()], key);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let config = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let config = config.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(stolen.clone())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        });
        let settings = UpstreamTls { verify: false, ..upstream(None, None) };
        let error = connect(address, &endpoint(&settings, Speaks::Http1)).await.unwrap_err();
        assert_eq!(words(&error), "a signature of the handshake or in the certificate is wrong", "{version:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_lacks_http_2_is_none_for_grpc() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "app", &["app.internal"]);
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&files.key_file).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(rustls::ALL_VERSIONS).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = acceptor.accept(stream).await;
        }
    });
    let settings = upstream(Some("app.internal"), Some(&files.certificate));
    let error = connect(address, &endpoint(&settings, Speaks::Http2)).await.unwrap_err();
    assert_eq!(words(&error), "the endpoint does not take HTTP/2 (ALPN h2)");
    for speaks in [Speaks::Http1, Speaks::Either] {
        connect(address, &endpoint(&settings, speaks)).await.unwrap();
    }
}

#[tokio::test]
async fn sessions_are_resumed_with_their_own_endpoint() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "app", &["app.internal"]);
    let start = || Server::start(Arc::new(ServerTls::of(&[&files]).unwrap()));
    let servers = [start(), start()];
    let settings = upstream(Some("app.internal"), Some(&files.certificate));
    let pool = ClientTls::of(&settings, Speaks::Http1, &mut Roots::default()).unwrap();
    let endpoints = servers.each_ref().map(|server| pool.endpoint(server.address.ip()));
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
        for (server, endpoint) in servers.iter().zip(&endpoints) {
            echo(&mut connect(server.address, endpoint).await.unwrap(), "hello").await;
            assert_eq!(server.seen().kind, expected);
        }
    }
}

#[test]
fn what_cannot_be_trusted_is_told_at_load() {
    let dir = tempfile::tempdir().unwrap();
    let told = |settings: &UpstreamTls| {
        ClientTls::of(settings, Speaks::Http1, &mut Roots::default()).map(drop).unwrap_err().to_string()
    };
    let gone = dir.path().join("gone.pem");
    let problem = told(&upstream(None, Some(&gone)));
    assert!(problem.contains("gone.pem") && problem.contains("No such file"), "{problem}");
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "nothing\n").unwrap();
    let problem = told(&upstream(None, Some(&empty)));
    assert!(problem.contains("no certificate in it"), "{problem}");
    let problem = told(&UpstreamTls { verify: false, ..upstream(Some("not a name"), None) });
    assert!(problem.starts_with("error[E0410]: \"not a name\" cannot be the name of a TLS server; give"), "{problem}");
}
