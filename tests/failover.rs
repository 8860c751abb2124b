//! By the wall clock, against the running program: a region's origin stops, its address leaves the answers; it returns,
//! and so does the address.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rhumb::model::Moment;
use rhumb::runtime::clock::Clock;

mod common;

use common::dns::{self, Question, Reply};
use common::servers;

const ZONE: &str =
    "$ORIGIN example.org.\n$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n  NS ns1\nns1 A 192.0.2.53\n";

/// An HTTP origin that can be stopped, and started again at the same address.
struct Origin {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Origin {
    fn start(at: SocketAddr) -> Origin {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = stopping.clone();
        let serve = move || {
            for mut stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            }
        };
        Origin { address, stopping, serving: Some(thread::spawn(serve)) }
    }

    fn stop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        self.serving.take().unwrap().join().unwrap();
    }
}

/// Asks until the answer is this address alone; gives how long that took, and the TTL of each answer on the way.
fn wait_for(server: SocketAddr, address: IpAddr, clock: &Clock, since: Moment) -> (Duration, u32) {
    let mut found = None;
    let query = Question::new("www.example.org.", 1).to_bytes();
    let came = common::poll(Duration::from_secs(20), || {
        let reply = Reply::parse(&dns::udp(server, &query).expect("every query is answered")).unwrap();
        assert_eq!(reply.rcode, 0);
        assert!(!reply.answer.is_empty(), "there is an answer at every moment");
        let so = reply.addresses() == [address].into();
        found = so.then(|| (clock.now() - since, reply.answer[0].ttl));
        so
    });
    assert!(came, "{address} never became the answer");
    found.unwrap()
}

#[test]
fn a_region_that_stops_leaves_the_answers_and_returns() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("zones")).unwrap();
    fs::write(dir.path().join("zones/example.org.zone"), ZONE).unwrap();
    let mut fra = Origin::start("127.0.0.2:0".parse().unwrap());
    let ams = Origin::start("127.0.0.3:0".parse().unwrap());
    let more = format!(
        r#"
[health_check.web]
type = "http"
path = "/healthz"
interval = "1s"
timeout = "500ms"
fall = 3
[region.fra]
[region.ams]
[pool.fra]
region = "fra"
health_check = "web"
endpoints = [{{ address = "127.0.0.2", port = {} }}]
[pool.ams]
region = "ams"
health_check = "web"
endpoints = [{{ address = "127.0.0.3", port = {} }}]
[vip."www.example.org."]
policy = "failover"
pools = [{{ pool = "fra" }}, {{ pool = "ams" }}]
"#,
        fra.address.port(),
        ams.address.port()
    );
    let server = servers::rhumb(dir.path(), &dir.path().join("zones"), &more);
    let clock = Clock::start();
    let (fra_ip, ams_ip) = (fra.address.ip(), ams.address.ip());
    wait_for(server.address, fra_ip, &clock, clock.now());

    let died = clock.now();
    fra.stop();
    let (took, ttl) = wait_for(server.address, ams_ip, &clock, died);
    eprintln!("stopped: the first answer without it after {took:?}, ttl {ttl}");
    assert!(took <= Duration::from_millis(3500), "{took:?}");
    assert!(took >= Duration::from_millis(1700), "three failures were not waited for: {took:?}");
    assert!(ttl <= 3, "three probes a second apart: ttl {ttl}");

    let back = clock.now();
    let _fra = Origin::start(fra.address);
    let (took, _) = wait_for(server.address, fra_ip, &clock, back);
    eprintln!("back: the first answer with it after {took:?}");
    // Settled down it is asked every 2 s, then once more a second later.
    assert!(took <= Duration::from_millis(3500), "{took:?}");
    assert!(took >= Duration::from_millis(800), "two passes were not waited for: {took:?}");
}
