//! TLS on both sides as a running server has it, certificates that change under it, and PROXY protocol in and out.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::RootCertStore;
use rustls::StreamOwned;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::get;
use crate::kit::edge::port;
use crate::kit::origin::Origin;
use crate::kit::origin::fixed;
use crate::kit::site::Site;
use crate::kit::site::listener;
use crate::kit::site::pool;

fn here() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port()))
}

/// Writes a certificate for a name; what clients trust to trust it.
fn certify(dir: &std::path::Path, file: &str, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    // Beside, and then all at once, the key first: what a tool that renews certificates does.
    for (kind, text) in [("key", made.signing_key.serialize_pem()), ("pem", made.cert.pem())] {
        fs::write(dir.join("new"), text).unwrap();
        fs::rename(dir.join("new"), dir.join(format!("{file}.{kind}"))).unwrap();
    }
    made.cert.der().clone()
}

fn section(name: &str) -> String {
    format!("[tls.{name}]\ncertificate = \"{name}.pem\"\nkey_file = \"{name}.key\"\n")
}

type Secured = StreamOwned<ClientConnection, TcpStream>;

/// A handshake.
fn secured(
    address: SocketAddr,
    sni: &str,
    trusted: &[CertificateDer<'static>],
    alpn: &[&str],
) -> Result<Secured, String> {
    let mut roots = RootCertStore::empty();
    trusted.iter().for_each(|one| roots.add(one.clone()).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| error.to_string())?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// The status of a GET, over a connection that may be asked again.
fn status(stream: &mut Secured, host: &str) -> Result<u16, String> {
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").map_err(|error| error.to_string())?;
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).map_err(|error| error.to_string())?;
        said.push(byte[0]);
    }
    let said = String::from_utf8_lossy(&said).to_lowercase();
    let length = said.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).map_err(|error| error.to_string())?;
    said.split(' ').nth(1).unwrap().parse().map_err(|_| said.clone())
}

#[test]
fn names_choose_certificates_and_certificates_bind_names() {
    let origin = Origin::plain();
    let dir = tempfile::tempdir().unwrap();
    let (www, api) = (certify(dir.path(), "www", "www.example.com"), certify(dir.path(), "api", "api.example.com"));
    let address = here();
    let sections = pool("app", "here", &[origin.address], "") + &section("www") + &section("api");
    let _site = Site::start_in(dir, &(sections + &listener("edge", address, "app", "tls = [\"www\", \"api\"]")));
    for (name, own) in [("www.example.com", &www), ("api.example.com", &api)] {
        let mut stream = secured(address, name, std::slice::from_ref(own), &[]).unwrap();
        assert_eq!(status(&mut stream, name), Ok(200));
        let other = if own == &www { "api.example.com" } else { "www.example.com" };
        assert_eq!(status(&mut stream, other), Ok(421), "{other} over the connection of {name}");
    }
    // Somebody whom none speaks for is shown the first.
    let why = secured(address, "other.example.com", &[www.clone(), api], &[]).unwrap_err();
    assert!(why.contains("not valid for name"), "{why}");
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = secured(address, "www.example.com", std::slice::from_ref(&www), offered).unwrap();
        assert_eq!(stream.conn.alpn_protocol(), chosen, "{offered:?}");
    }
    assert!(secured(address, "www.example.com", &[www], &["spdy/3"]).is_err());
}

#[test]
fn a_certificate_that_is_replaced_is_shown_to_who_comes_and_cuts_nobody_off() {
    let origin = Origin::plain();
    let dir = tempfile::tempdir().unwrap();
    let old = certify(dir.path(), "www", "www.example.com");
    let address = here();
    let sections = pool("app", "here", &[origin.address], "")
        + &section("www")
        + &listener("edge", address, "app", "tls = \"www\"");
    let site = Site::start_in(dir, &sections);
    let mut lasting = secured(address, "www.example.com", std::slice::from_ref(&old), &[]).unwrap();
    assert_eq!(status(&mut lasting, "www.example.com"), Ok(200));
    let before = site.generation();
    let new = certify(&site.path(""), "www", "www.example.com");
    let shown = |trusted: &CertificateDer<'static>| {
        let stream = secured(address, "www.example.com", std::slice::from_ref(trusted), &[]);
        stream.and_then(|mut stream| status(&mut stream, "www.example.com"))
    };
    assert!(poll(PATIENCE, || shown(&new) == Ok(200)), "the file is watched");
    assert!(shown(&old).is_err());
    assert!(site.generation() > before);
    assert_eq!(status(&mut lasting, "www.example.com"), Ok(200), "who is there stays");
    assert_eq!(status(&mut lasting, "www.example.com"), Ok(200));
}

/// An endpoint with TLS, for its first connections; what it answers is 200 with what it was offered by ALPN.
fn secured_origin(dir: &std::path::Path, file: &str) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let read = |kind: &str| fs::read(dir.join(format!("{file}.{kind}"))).unwrap();
    use rustls::pki_types::pem::PemObject;
    let certificate = CertificateDer::from_pem_slice(&read("pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read("key")).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        h2_says(stream).await
                    } else {
                        h1_says(stream).await
                    }
                });
            }
        });
    });
    address
}

async fn h2_says(stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
        body.send_data("h2".into(), true).unwrap();
    }
}

async fn h1_says(mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    let mut room = [0; 4096];
    while stream.read(&mut room).await.is_ok_and(|read| read > 0) {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1").await.unwrap();
    }
}

#[test]
fn endpoints_are_verified_unless_that_is_not_wanted() {
    let dir = tempfile::tempdir().unwrap();
    certify(dir.path(), "app", "app.internal");
    certify(dir.path(), "stranger", "app.internal");
    let (app, stranger) = (secured_origin(dir.path(), "app"), secured_origin(dir.path(), "stranger"));
    let cases = [
        ("known", app, "server_name = \"app.internal\", ca_file = \"app.pem\"", "either", Ok("h2")),
        ("over_http_1", app, "server_name = \"app.internal\", ca_file = \"app.pem\"", "http1", Ok("h1")),
        ("over_http_2", app, "server_name = \"app.internal\", ca_file = \"app.pem\"", "http2", Ok("h2")),
        ("another_name", app, "server_name = \"other.internal\", ca_file = \"app.pem\"", "either", Err(())),
        ("stranger", stranger, "server_name = \"app.internal\", ca_file = \"app.pem\"", "either", Err(())),
        ("trusted_blindly", stranger, "verify = false", "either", Ok("h2")),
    ];
    let mut sections = String::new();
    let mut addresses = Vec::new();
    for (name, endpoint, tls, protocol, _) in cases {
        sections += &pool(name, "here", &[endpoint], &format!("protocol = \"{protocol}\"\ntls = {{ {tls} }}"));
        addresses.push(here());
        sections += &listener(&name.replace('_', "-"), *addresses.last().unwrap(), name, "");
    }
    let site = Site::start_in(dir, &sections);
    for _ in 0..2 {
        for ((name, .., expected), address) in cases.iter().zip(&addresses) {
            let said = Client::connect(*address).send(get("/")).response().unwrap();
            match expected {
                Ok(text) => assert_eq!((said.status, said.text().as_str()), (200, *text), "{name}"),
                Err(()) => assert!(matches!(said.status, 502 | 503), "{name}: {said:?}"),
            }
        }
        // And after a reload, which reads all files again.
        site.reload(&sections).unwrap();
    }
}

#[test]
fn proxy_protocol_is_believed_of_those_who_are_listed_alone() {
    let origin = Origin::start(|request| fixed(200, request.header("x-real-ip").unwrap_or_default()));
    let (listed, unlisted) = (here(), here());
    let sections = pool("app", "here", &[origin.address], "")
        + &listener("listed", listed, "app", "proxy_protocol = { accept_from = [\"127.0.0.0/8\"] }")
        + &listener("unlisted", unlisted, "app", "proxy_protocol = { accept_from = [\"192.0.2.0/24\"] }");
    let _site = Site::start(&sections);
    let v1 = b"PROXY TCP4 198.51.100.7 192.0.2.1 4000 443\r\n".to_vec();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    v2.extend([198, 51, 100, 8, 192, 0, 2, 1, 0x0f, 0xa0, 0x01, 0xbb]);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec();
    for (header, client) in [(v1.clone(), "198.51.100.7"), (v2, "198.51.100.8"), (local, "127.0.0.1")] {
        let mut connection = Client::connect(listed);
        // As slowly as it comes.
        let (begin, end) = header.split_at(5);
        connection.send(begin);
        std::thread::sleep(std::time::Duration::from_millis(20));
        connection.send(end);
        for _ in 0..2 {
            let said = connection.send(get("/")).response().unwrap();
            assert_eq!((said.status, said.text().as_str()), (200, client));
        }
    }
    // Without a header nobody says who comes, and nothing is answered; with one from a stranger it is no HTTP.
    let mut without = Client::connect(listed);
    assert!(without.send(get("/")).response().is_err());
    let said = Client::connect(unlisted).send(v1).send(get("/")).response().unwrap();
    assert!(said.status >= 400, "{said:?}");
    assert_eq!(Client::connect(unlisted).send(get("/")).response().unwrap().text(), "127.0.0.1");
    assert_eq!(origin.requests().len(), 7);
}

/// An endpoint that wants PROXY protocol: what came before each request's head, by connection.
fn told_origin(length: usize) -> (SocketAddr, std::sync::mpsc::Receiver<Vec<u8>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut header = vec![0; length];
                if length > 0 {
                    stream.read_exact(&mut header).unwrap();
                } else {
                    let mut byte = [0];
                    while !header.ends_with(b"\r\n") {
                        stream.read_exact(&mut byte).unwrap();
                        header.push(byte[0]);
                    }
                }
                tell.send(header).unwrap();
                let mut client = Client::over(stream);
                while client.exactly(1).is_ok_and(|first| first == b"G") {
                    // The rest of the head, read as a head of its own kind.
                    let mut end = Vec::new();
                    while !end.ends_with(b"\r\n\r\n") {
                        end.extend(client.exactly(1).unwrap());
                    }
                    client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            });
        }
    });
    (address, told)
}

#[test]
fn endpoints_are_told_who_comes_and_connections_are_not_shared() {
    let ((first, told_v1), (second, told_v2)) = (told_origin(0), told_origin(28));
    let (v1, v2) = (here(), here());
    let sections = pool("one", "here", &[first], "")
        + &pool("two", "here", &[second], "")
        + &listener("v1", v1, "one", "proxy_protocol = { send = \"v1\" }")
        + &listener("v2", v2, "two", "proxy_protocol = { send = \"v2\" }");
    let _site = Site::start(&sections);
    for _ in 0..2 {
        let mut client = Client::connect(v1);
        let own = client.stream.local_addr().unwrap();
        assert_eq!(client.send(get("/")).response().unwrap().text(), "ok");
        let header = String::from_utf8(told_v1.recv_timeout(PATIENCE).unwrap()).unwrap();
        assert_eq!(header, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", own.port(), v1.port()));
        let mut client = Client::connect(v2);
        let own = client.stream.local_addr().unwrap();
        assert_eq!(client.send(get("/")).response().unwrap().text(), "ok");
        let header = told_v2.recv_timeout(PATIENCE).unwrap();
        assert_eq!(header[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c");
        assert_eq!(header[24..], [own.port().to_be_bytes(), v2.port().to_be_bytes()].concat());
    }
}
