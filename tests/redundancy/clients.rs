//! The rest of the network: applications, and a client that asks again and again.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use crate::common::poll;
use crate::network::Space;

/// As long as a client waits for a connection, and again for its answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(10);
/// So many answers in a row, and the address is there again.
const STREAK: usize = 50;

/// An application that answers 200 to everything, until the process ends.
pub fn application(space: &Space, address: SocketAddr) {
    let (bound, is_bound) = std::sync::mpsc::channel();
    space.thread(move || {
        let listener = TcpListener::bind(address).unwrap();
        bound.send(()).unwrap();
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream));
        }
    });
    is_bound.recv().unwrap();
}

fn answer(mut stream: TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").is_err() {
                return;
            }
        }
    }
}

/// A client, each of whose requests is a connection of its own.
pub struct Asking {
    /// When each began, and whether it was answered.
    asked: Arc<Mutex<Vec<(Instant, bool)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Asking {
    /// From there, of that address.
    pub fn start(space: &Space, address: SocketAddr) -> Asking {
        let (asked, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (each, is_over) = (asked.clone(), stop.clone());
        let thread = space.thread(move || {
            while !is_over.load(Ordering::Relaxed) {
                let began = Instant::now();
                let is_answered = ask(address).is_some();
                each.lock().unwrap().push((began, is_answered));
                std::thread::sleep(PAUSE);
            }
        });
        Asking { asked, stop, thread: Some(thread) }
    }

    /// Waits until it is answered again and again.
    pub fn is_answered(&self) -> bool {
        let from = self.asked.lock().unwrap().len();
        poll(Duration::from_secs(20), || {
            let asked = self.asked.lock().unwrap();
            asked.len() >= from + STREAK && asked[asked.len() - STREAK..].iter().all(|(_, is_answered)| *is_answered)
        })
    }

    /// How many requests failed since then, and how long after it the last of them began.
    pub fn failures_since(&self, then: Instant) -> (usize, Duration) {
        let asked = self.asked.lock().unwrap();
        let failed: Vec<Instant> =
            asked.iter().filter(|(at, ok)| !ok && *at + PATIENCE * 2 >= then).map(|(at, _)| *at).collect();
        (failed.len(), failed.last().map_or(Duration::ZERO, |last| last.saturating_duration_since(then)))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn ask(address: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200 ").then_some(())
}
