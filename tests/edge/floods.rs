//! Clients that mean harm, many at once: meanwhile others are served, and memory stays bounded.
//!
//! Every flood is bounded in count and time, and stays on loopback. The proxy is a program of its own, whose memory is read from
//! /proc.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::now;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::fixed;
use crate::kit::origin::raw;

/// What one of the slow ones asks for.
const LARGE_BYTES: usize = 8 << 20;
/// How long a flood of slow ones lasts.
const FLOOD: Duration = Duration::from_secs(2);
/// An ordinary client waits this long at most, on a machine that is busy with the flood as well.
const SLOW: Duration = Duration::from_secs(6);

/// `/large` is large.
pub fn origin() -> Origin {
    let large = Bytes::from(vec![b'x'; LARGE_BYTES]);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE_BYTES}\r\n\r\n");
    Origin::start(move |request| match request.target().as_str() {
        "/large" => vec![raw(&head), Step::Send(large.clone())],
        other => fixed(200, other),
    })
}

/// What an attack cost.
pub struct Damage {
    pub grown_kib: u64,
}

/// One flood at a time: two would be each other's excuse.
static FLOODING: Mutex<()> = Mutex::new(());

/// Runs an attack while an ordinary client asks again and again, and must be served.
#[track_caller]
pub fn during(edge: &Edge, attack: impl FnOnce() + Send) -> Damage {
    let _alone = FLOODING.lock().unwrap_or_else(PoisonError::into_inner);
    // What is allocated at the first request is not the attack's.
    for target in ["/before", "/large", "/large"] {
        assert_eq!(ask(edge.address, get(target)).unwrap().status, 200);
    }
    let (before, is_over) = (edge.resident_kib(), AtomicBool::new(false));
    let (mut most, mut served) = (before, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Also when the attack panics.
            let _over = Over(&is_over);
            attack();
        });
        while !is_over.load(Ordering::SeqCst) || served == 0 {
            let begin = now();
            let said = ask(edge.address, get("/meanwhile")).map(|said| said.status);
            assert_eq!(said, Ok(200), "an ordinary client");
            assert!(begin.elapsed() < SLOW, "an ordinary client waited {:?}", begin.elapsed());
            (most, served) = (most.max(edge.resident_kib()), served + 1);
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(ask(edge.address, get("/after")).unwrap().status, 200);
    assert!(!edge.log().contains("panicked"), "{}", edge.log());
    let grown_kib = most.max(edge.resident_kib()).saturating_sub(before);
    eprintln!("{served} ordinary requests, {grown_kib} KiB more");
    Damage { grown_kib }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn many(edge: &Edge, count: usize, first: &str) -> Vec<Client> {
    let one = || {
        let mut client = Client::connect(edge.address);
        client.send(first);
        client
    };
    (0..count).map(|_| one()).collect()
}

/// Sends a little on each connection, again and again.
fn drip(clients: &mut [Client], bytes: &str) {
    let begin = now();
    while begin.elapsed() < FLOOD {
        clients.iter_mut().for_each(|client| _ = client.send(bytes));
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn heads_that_never_end() {
    let origin = origin();
    let edge = Setup { header: Some(Duration::from_secs(1)), ..Setup::before(&origin) }.start_program();
    let damage = during(&edge, || {
        let mut clients = many(&edge, 400, "GET / HTTP/1.1\r\nHost: www.example.com\r\n");
        drip(&mut clients, "X: y\r\n");
        let left =
            clients.iter_mut().filter_map(|client| client.response().ok()).filter(|said| said.status != 408).count();
        assert_eq!(left, 0, "each is let go at the deadline");
    });
    assert!(damage.grown_kib < 400 * 64, "{} KiB", damage.grown_kib);
}

#[test]
fn bodies_that_never_end() {
    let origin = origin();
    let edge = Setup { body: Some(Duration::from_secs(5)), ..Setup::before(&origin) }.start_program();
    let head = "POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1000000\r\n\r\n";
    let damage = during(&edge, || drip(&mut many(&edge, 200, head), "x"));
    assert!(damage.grown_kib < 200 * 128, "{} KiB", damage.grown_kib);
}

#[test]
fn responses_that_nobody_reads() {
    let origin = origin();
    let edge = Setup::before(&origin).start_program();
    let damage = during(&edge, || {
        let clients = many(&edge, 100, &get("/large"));
        thread::sleep(FLOOD);
        drop(clients);
    });
    // 800 MiB were asked for.
    assert!(damage.grown_kib < 100 * 512, "{} KiB", damage.grown_kib);
    assert!(poll(PATIENCE, || ask(edge.address, get("/")).is_ok()));
}

#[test]
fn requests_that_nobody_reads_the_answers_of() {
    let origin = origin();
    let edge = Setup::before(&origin).start_program();
    let damage = during(&edge, || {
        let mut client = Client::connect(edge.address);
        client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let row = get("/x").repeat(1000);
        let begin = now();
        while begin.elapsed() < FLOOD && std::io::Write::write_all(&mut client.stream, row.as_bytes()).is_ok() {}
    });
    assert!(damage.grown_kib < 8 << 10, "{} KiB", damage.grown_kib);
}

#[test]
fn chunks_of_one_byte() {
    let origin = origin();
    let edge = Setup::before(&origin).start_program();
    let damage = during(&edge, || {
        let mut client = Client::connect(edge.address);
        client.send("POST / HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send("1\r\nx\r\n".repeat(300_000) + "0\r\n\r\n");
        assert!(client.response().is_ok());
    });
    assert_eq!(origin.requests().iter().filter(|taken| taken.body.len() == 300_000).count(), 1);
    assert!(damage.grown_kib < 8 << 10, "{} KiB", damage.grown_kib);
}

#[test]
fn connections_that_come_and_go() {
    let origin = origin();
    let edge = Setup::before(&origin).start_program();
    let damage = during(&edge, || {
        for n in 0..3_000 {
            let mut client = Client::connect(edge.address);
            if n % 2 == 0 {
                client.send("GET / HT");
            }
            if n % 3 == 0 {
                let _ = socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO));
            }
        }
    });
    assert!(damage.grown_kib < 16 << 10, "{} KiB", damage.grown_kib);
}
