//! nginx and HAProxy as neighbours: as origins behind us, and as proxies in front, with the PROXY protocol and without.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::process::Command;

use crate::common::program;
use crate::common::skipped;
use crate::kit::client::Client;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::edge::port;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::peers;

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port()))
}

/// nginx as an origin: a file, compression, a redirect, an upload's length.
fn nginx() -> Option<Edge> {
    let (address, dir) = (free(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("file"), vec![b'n'; 200_000]).unwrap();
    let http = format!(
        "server {{ listen {address}; keepalive_requests 5; root {}; gzip on; gzip_types *; gzip_min_length 1;\n\
         location /moved {{ return 301 /file; }}\n location /204 {{ return 204; }}\n location /put {{ return 200 \"$content_length\"; }}\n\
         location /host {{ return 200 \"$http_host $http_x_forwarded_for\"; }} }}",
        dir.path().display()
    );
    let Some(command) = peers::nginx_with(&http, dir.path()) else {
        skipped("nginx is not installed");
        return None;
    };
    Some(Edge::of(address, dir, command, "nginx"))
}

#[test]
fn nginx_as_an_origin() {
    let Some(nginx) = nginx() else { return };
    let edge = Setup::to(&[nginx.address]).start();
    let mut client = Client::connect(edge.address);
    // nginx ends each fifth request's connection.
    for _ in 0..12 {
        assert_eq!(client.send(get("/file")).response().unwrap().body.len(), 200_000);
    }
    let zipped = "GET /file HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: gzip\r\n\r\n";
    let said = client.send(zipped).response().unwrap();
    assert_eq!(said.header("content-encoding"), Some("gzip"));
    assert!(said.body.starts_with(&[0x1f, 0x8b]));
    let moved = client.send(get("/moved")).response().unwrap();
    assert_eq!(moved.status, 301);
    assert!(
        moved.header("location").is_some_and(|to| to.starts_with("http://www.example.com") && to.ends_with("/file"))
    );
    assert_eq!(client.send(get("/204")).response().unwrap().status, 204);
    let range = "GET /file HTTP/1.1\r\nHost: www.example.com\r\nRange: bytes=0-9\r\n\r\n";
    assert_eq!(client.send(range).response().unwrap().text(), "nnnnnnnnnn");
    let put = "PUT /put HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.send(put).response().unwrap().text(), "5");
    assert_eq!(client.send(get("/host")).response().unwrap().text(), "www.example.com 127.0.0.1");
    let tag = client.send(get("/file")).response().unwrap().header("etag").unwrap().to_owned();
    let known = format!("GET /file HTTP/1.1\r\nHost: www.example.com\r\nIf-None-Match: {tag}\r\n\r\n");
    assert_eq!(client.send(known).response().unwrap().status, 304);
    assert_eq!(client.send(get("/missing")).response().unwrap().status, 404);
}

#[test]
fn haproxy_as_an_origin() {
    let (origin, dir) = (Origin::plain(), tempfile::tempdir().unwrap());
    let address = free();
    let Some(command) = peers::haproxy(&Setup::before(&origin), address, dir.path()) else {
        return skipped("haproxy is not installed");
    };
    let behind = Edge::of(address, dir, command, "haproxy-origin");
    for h2_origins in [false, true] {
        let edge = Setup { h2_origins, ..Setup::to(&[behind.address]) }.start();
        for n in 0..20 {
            assert_eq!(
                ask(edge.address, get(&format!("/{n}"))).unwrap().text(),
                format!("/{n}"),
                "over HTTP/2: {h2_origins}"
            );
        }
        let post =
            "POST /p HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(ask(edge.address, post).unwrap().status, 200);
        assert_eq!(origin.last().body, b"hello");
    }
}

#[test]
fn nginx_in_front() {
    let (origin, dir) = (Origin::plain(), tempfile::tempdir().unwrap());
    let edge = Setup::before(&origin).listener("trusted_proxies = [\"127.0.0.1/32\"]").start();
    let address = free();
    let Some(command) = peers::nginx(&Setup::to(&[edge.address]), address, dir.path()) else {
        return skipped("nginx is not installed");
    };
    let front = Edge::of(address, dir, command, "nginx-front");
    for n in 0..20 {
        assert_eq!(ask(front.address, get(&format!("/{n}"))).unwrap().text(), format!("/{n}"));
    }
    let taken = origin.last();
    assert_eq!(taken.header("host").as_deref(), Some("www.example.com"));
    assert_eq!(taken.all("x-forwarded-for").join(", "), "127.0.0.1, 127.0.0.1");
}

/// HAProxy before us that says by the PROXY protocol whom it speaks for.
fn with_proxy_protocol(send: &str) -> Option<()> {
    let (origin, dir) = (Origin::plain(), tempfile::tempdir().unwrap());
    let edge = Setup::before(&origin).listener("proxy_protocol = { accept_from = [\"127.0.0.1/32\"] }").start();
    let address = free();
    let Some(haproxy) = program("haproxy") else {
        skipped("haproxy is not installed");
        return None;
    };
    let text = format!(
        "defaults\n mode tcp\n timeout connect 2s\n timeout client 20s\n timeout server 20s\nfrontend f\n bind {address}\n default_backend b\n\
         backend b\n server s {} {send}\n",
        edge.address
    );
    let file = dir.path().join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(haproxy);
    command.arg("-db").arg("-f").arg(file);
    let front = Edge::of(address, dir, command, "haproxy-front");
    // A client of another address of loopback.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 9], 0)).into()).unwrap();
    socket.connect(&front.address.into()).unwrap();
    let mut client = Client::over(socket.into());
    for n in 0..3 {
        assert_eq!(client.send(get(&format!("/{n}"))).response().unwrap().status, 200, "{send}");
    }
    let taken = origin.last();
    assert_eq!(taken.header("x-real-ip").as_deref(), Some("127.0.0.9"), "{send}");
    assert_eq!(taken.header("x-forwarded-for").as_deref(), Some("127.0.0.9"), "{send}");
    Some(())
}

#[test]
fn haproxy_in_front_says_whom_it_speaks_for() {
    if only_for_rhumb() {
        return;
    }
    let _ = with_proxy_protocol("send-proxy").and_then(|()| with_proxy_protocol("send-proxy-v2"));
}

#[test]
fn without_the_header_or_with_a_bad_one_nobody_is_served() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).listener("proxy_protocol = { accept_from = [\"127.0.0.1/32\"] }").start();
    let long = format!("PROXY TCP4 {}\r\n", "1".repeat(600));
    for begin in [
        "",
        "PROXY TCP4 1.2.3.4\r\n",
        "PROXY TCP9 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
        "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        &long,
    ] {
        let mut client = Client::connect(edge.address);
        let said = client.send(begin.to_owned() + &get("/")).response();
        assert!(said.as_ref().map_or(true, |said| said.status == 400), "{begin:?}: {said:?}");
    }
    assert!(origin.requests().is_empty());
    let good = "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n".to_owned() + &get("/");
    assert_eq!(ask(edge.address, good).unwrap().status, 200);
    assert_eq!(origin.last().header("x-real-ip").as_deref(), Some("2001:db8::1"));
    assert!(origin.last().header("forwarded").is_some_and(|value| value.contains("\"[2001:db8::1]\"")));
    let unknown = "PROXY UNKNOWN\r\n".to_owned() + &get("/");
    assert_eq!(ask(edge.address, unknown).unwrap().status, 200);
    assert_eq!(origin.last().header("x-real-ip").as_deref(), Some("127.0.0.1"), "a health check of the proxy's own");
}

#[test]
fn origins_are_told_by_the_proxy_protocol_where_that_is_wanted() {
    if only_for_rhumb() {
        return;
    }
    for (version, begin) in
        [("v1", &b"PROXY TCP4 127.0.0.1 "[..]), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let edge = Setup::to(&[listener.local_addr().unwrap()])
            .listener(&format!("proxy_protocol = {{ send = \"{version}\" }}"))
            .start();
        let origin = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"\r\n\r\n") || bytes.len() < 40 {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).unwrap();
                assert!(read > 0);
                bytes.extend(&buffer[..read]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            bytes
        });
        assert_eq!(ask(edge.address, get("/")).unwrap().status, 200);
        let bytes = origin.join().unwrap();
        assert!(bytes.starts_with(begin), "{version}: {}", bytes.escape_ascii());
        assert!(bytes.windows(6).any(|window| window == b"GET / "));
    }
}
