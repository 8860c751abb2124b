//! The configuration changes while clients are served: none of them sees it.

use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::get;
use crate::kit::edge::port;
use crate::kit::h2;
use crate::kit::h2::ACK;
use crate::kit::h2::DATA;
use crate::kit::h2::Frame;
use crate::kit::h2::GOAWAY;
use crate::kit::h2::H2;
use crate::kit::h2::HEADERS;
use crate::kit::h2::PING;
use crate::kit::load::Load;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::fixed;
use crate::kit::site::Site;
use crate::kit::site::listener;
use crate::kit::site::pool;
use crate::websocket;

fn here() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port()))
}

fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

#[test]
fn under_load_no_change_fails_a_request() {
    let (one, other) = (Origin::plain(), Origin::plain());
    let (first, second, third) = (here(), here(), here());
    let both = pool("app", "here", &[one.address, other.address], "");
    let begin = both.clone() + &listener("edge", first, "app", "");
    let site = Site::start(&begin);
    let load = Load::start(first);
    load.goes_on(20);

    let steps = [
        ("an endpoint less", pool("app", "here", &[one.address], "") + &listener("edge", first, "app", "")),
        (
            "another pool",
            both.clone()
                + &pool("new", "there", &[other.address], "balance = \"least_conn\"")
                + &listener("edge", first, "new", ""),
        ),
        ("a listener more", both.clone() + &listener("edge", first, "app", "") + &listener("more", second, "app", "")),
        ("one less", both.clone() + &listener("edge", first, "app", "")),
        ("another name", both.clone() + &listener("renamed", first, "app", "")),
        ("names exchanged", both.clone() + &listener("a", first, "app", "") + &listener("b", second, "app", "")),
        ("and back", both.clone() + &listener("b", first, "app", "") + &listener("a", second, "app", "")),
        (
            "PROXY protocol from others",
            both.clone() + &listener("b", first, "app", "proxy_protocol = { accept_from = [\"192.0.2.0/24\"] }"),
        ),
        ("as in the beginning", begin.clone()),
    ];
    for (what, sections) in &steps {
        site.reload(sections).unwrap_or_else(|why| panic!("{what}: {why}"));
        load.goes_on(10);
    }
    // To another address: there as well first, since clients must find the way.
    site.reload(&(both.clone() + &listener("edge", first, "app", "") + &listener("there", third, "app", ""))).unwrap();
    load.also_at(third);
    load.goes_on(10);
    load.end();
    site.reload(&(both + &listener("edge", third, "app", ""))).unwrap();
    assert!(poll(PATIENCE, || is_refused(first)), "nobody listens there");
    assert_eq!(Client::connect(third).send(get("/")).response().unwrap().status, 200);
}

#[test]
fn a_reload_that_is_refused_changes_nothing() {
    let origin = Origin::plain();
    let (address, next) = (here(), here());
    let app = pool("app", "here", &[origin.address], "");
    let begin = app.clone() + &listener("edge", address, "app", "");
    let site = Site::start(&begin);
    let load = Load::start(address);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_at = taken.local_addr().unwrap();
    std::fs::write(site.path("bad.pem"), "no certificate").unwrap();

    let moved = app.clone() + &listener("edge", next, "app", "") + &listener("more", taken_at, "app", "");
    let why = site.reload(&moved).unwrap_err();
    assert!(why.contains(&format!("cannot bind {taken_at}")), "{why}");
    let bad = "[tls.www]\ncertificate = \"bad.pem\"\nkey_file = \"bad.pem\"\n";
    let secured = app + bad + &listener("edge", next, "app", "tls = \"www\"");
    let why = site.reload(&secured).unwrap_err();
    assert!(why.contains("bad.pem"), "{why}");
    load.goes_on(20);
    load.end();
    assert!(is_refused(next), "it was not opened for good");
}

/// A site with one listener, and what it is without.
fn with_and_without(origin: &Origin, address: SocketAddr, lines: &str) -> (Site, String) {
    let without = pool("app", "here", &[origin.address], "") + &listener("other", here(), "app", "");
    (Site::start(&(without.clone() + &listener("edge", address, "app", lines))), without)
}

#[test]
fn a_removed_listener_tells_http_1_with_its_next_response() {
    let origin = Origin::start(|request| match request.target().as_str() {
        "/slow" => [vec![Step::Wait(Duration::from_millis(500))], fixed(200, "slow")].concat(),
        target => fixed(200, target),
    });
    let address = here();
    let (site, without) = with_and_without(&origin, address, "");
    let (mut idle, mut waiting) = (Client::connect(address), Client::connect(address));
    for client in [&mut idle, &mut waiting] {
        assert!(!client.send(get("/")).response().unwrap().says_close());
    }
    waiting.send(get("/slow"));
    assert!(poll(PATIENCE, || origin.requests().iter().any(|taken| taken.target() == "/slow")));
    site.reload(&without).unwrap();
    let said = waiting.response().unwrap();
    assert!((said.status, said.says_close()) == (200, true), "{said:?}");
    assert!(waiting.ends());
    assert!(idle.is_quiet(Duration::from_millis(300)), "its next request may be on its way");
    let said = idle.send(get("/next")).response().unwrap();
    assert!((said.status, said.says_close()) == (200, true), "{said:?}");
    assert!(idle.ends());
    assert!(poll(PATIENCE, || is_refused(address)));
}

#[test]
fn a_removed_listener_tells_http_2_in_two_steps() {
    let origin = Origin::start(|request| match request.target().as_str() {
        "/slow" => [vec![Step::Wait(Duration::from_millis(800))], fixed(200, "slow")].concat(),
        target => fixed(200, target),
    });
    let address = here();
    let (site, without) = with_and_without(&origin, address, "");
    let mut client = H2::connect(address);
    client.request(1, &h2::get("/slow"));
    assert!(poll(PATIENCE, || origin.requests().len() == 1));
    site.reload(&without).unwrap();
    let (mut goaways, mut late_is_sent, mut answered) = (Vec::new(), false, Vec::new());
    while let Some(frame) = client.next() {
        match frame.kind {
            GOAWAY => {
                goaways.push(u32::from_be_bytes(frame.payload[..4].try_into().unwrap()));
                if !std::mem::replace(&mut late_is_sent, true) {
                    // On its way when the client heard it: it is served.
                    client.request(3, &h2::get("/late"));
                }
            }
            PING if frame.flags & ACK == 0 => _ = client.send(&Frame::new(PING, ACK, 0, frame.payload)),
            HEADERS => assert_eq!(h2::status(&frame.payload), Some(200)),
            DATA if frame.flags & h2::END_STREAM != 0 => answered.push(frame.stream),
            _ => {}
        }
    }
    assert_eq!(goaways, [0x7fff_ffff, 3]);
    answered.sort();
    assert_eq!(answered, [1, 3]);
}

#[test]
fn a_removed_listener_leaves_tunnels_their_time_and_not_more() {
    let origin = websocket::origin();
    let address = here();
    let (site, without) = with_and_without(&origin, address, "drain_timeout = \"1s\"");
    let mut clients: Vec<Client> = (0..5).map(|_| websocket::upgraded(address)).collect();
    site.reload(&without).unwrap();
    let since = crate::kit::now();
    assert!(clients.iter_mut().all(websocket::echoes), "it goes on");
    for client in &mut clients {
        assert!(client.ends());
    }
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
    assert!(poll(PATIENCE, || origin.ended() == origin.connections()), "nor are the endpoint's kept");
}

/// More than a task of the runtime takes in one go.
const WAITING_MAX: usize = 1_500;

#[test]
fn who_waits_at_a_listener_that_is_removed_is_served() {
    let origin = Origin::plain();
    let address = here();
    let (site, without) = with_and_without(&origin, address, "timeouts = { header = \"60s\" }");
    // Nobody has asked there: what it was is known all the same.
    let mut clients: Vec<TcpStream> = Vec::new();
    thread::scope(|scope| {
        let reload = scope.spawn(|| site.reload(&without));
        while !reload.is_finished() && clients.len() < WAITING_MAX {
            clients.extend(TcpStream::connect(address));
        }
        reload.join().unwrap().unwrap();
    });
    let asked = |stream| Client::over(stream).send(get("/")).response();
    let failed: Vec<String> = clients.into_iter().filter_map(|stream| asked(stream).err()).collect();
    // At each socket one may come between the last look into its queue and its end.
    assert!(failed.len() <= 2, "{failed:?}");
}

/// An endpoint over HTTP/2 that gives back each piece of each request at once, as a call of gRPC may go on for hours.
fn conversing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut connection = ::h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        tokio::spawn(async move {
                            let mut back = respond.send_response(http::Response::new(()), false).unwrap();
                            let mut body = request.into_body();
                            while let Some(Ok(data)) = body.data().await {
                                back.send_data(data, false).unwrap();
                            }
                            _ = back.send_data(Default::default(), true);
                        });
                    }
                });
            }
        });
    });
    address
}

#[test]
fn what_goes_on_for_long_sees_no_reload() {
    let origin = websocket::origin();
    let (address, calls) = (here(), here());
    let pools =
        pool("app", "here", &[origin.address], "") + &pool("calls", "here", &[conversing()], "protocol = \"http2\"");
    let sections = pools + &listener("edge", address, "app", "") + &listener("calls", calls, "calls", "");
    let site = Site::start(&sections);
    let mut tunnel = websocket::upgraded(address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(calls).await.unwrap();
        let (client, connection) = ::h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let call = http::Request::post("http://www.example.com/talk").header("content-type", "application/grpc");
        let (response, mut half) = client.ready().await.unwrap().send_request(call.body(()).unwrap(), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        for n in 0..6 {
            // Each time something else, so that there is something to do.
            let more = listener("more", here(), "app", "");
            // In a thread of its own: it waits in a runtime of its own.
            thread::scope(|scope| scope.spawn(|| site.reload(&(sections.clone() + &more))).join().unwrap().unwrap());
            assert!(websocket::echoes(&mut tunnel), "reload {n}");
            half.send_data("there and back".into(), false).unwrap();
            let back = tokio::time::timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap();
            assert_eq!(back, "there and back", "reload {n}");
        }
    });
}
