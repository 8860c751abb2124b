//! Requests in a closed loop or at a rate, and how long they took, as JSON.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;
use std::time::Instant;

use crate::sys;
use crate::sys::Epoll;
use crate::sys::Moved;
use crate::sys::find;

/// What is asked, how often, and for how long.
pub struct Plan {
    pub address: SocketAddr,
    /// Requests a second; none: the next when the last is answered.
    pub rate: Option<f64>,
    pub seconds: f64,
    pub connections: usize,
    pub path: String,
    /// A connection for each request.
    pub close: bool,
    pub buffer_bytes: usize,
}

impl Plan {
    fn request(&self) -> Vec<u8> {
        let close = if self.close { "Connection: close\r\n" } else { "" };
        format!(
            "GET {} HTTP/1.1\r\nHost: bench.local\r\nUser-Agent: lbtools/1\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\n\
             Cookie: sid=0123456789abcdef\r\n{close}\r\n",
            self.path
        )
        .into_bytes()
    }
}

struct Connection {
    fd: RawFd,
    connected: bool,
    asked: Option<Instant>,
    head: Vec<u8>,
    got: usize,
    /// Head and body; known once the head is there.
    wanted: Option<usize>,
}

/// How a response goes on.
enum Reading {
    Complete,
    Unfinished,
    Broken,
}

impl Connection {
    fn open(epoll: &Epoll, address: &SocketAddr, token: usize) -> Connection {
        let fd = sys::connect(address);
        epoll.add(fd, sys::READABLE | sys::WRITABLE, token);
        Connection { fd, connected: false, asked: None, head: Vec::new(), got: 0, wanted: None }
    }

    fn ask(&mut self, request: &[u8], at: Instant) {
        self.asked = Some(at);
        sys::write(self.fd, request);
    }

    fn read(&mut self, buffer: &mut [u8], bytes: &mut u64) -> Reading {
        loop {
            let read = match sys::read(self.fd, buffer) {
                Moved::Bytes(read) => read,
                Moved::Ended => return Reading::Broken,
                Moved::NotNow => return Reading::Unfinished,
            };
            *bytes += read as u64;
            self.got += read;
            if self.wanted.is_none() {
                self.head.extend_from_slice(&buffer[..read]);
                if let Some(end) = find(&self.head, b"\r\n\r\n") {
                    let Some(length) = length_of(&self.head[..end]) else { return Reading::Broken };
                    self.wanted = Some(end + 4 + length);
                }
            }
            if self.wanted.is_some_and(|wanted| self.got >= wanted) {
                (self.got, self.wanted) = (0, None);
                self.head.clear();
                return Reading::Complete;
            }
            if read < buffer.len() {
                return Reading::Unfinished;
            }
        }
    }
}

/// The length of a good response.
fn length_of(head: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = text.split("\r\ncontent-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    if !head.starts_with(b"HTTP/1.1 200") || length.is_none() {
        eprintln!("bad response: {}", &text[..text.len().min(200)]);
        return None;
    }
    length
}

/// Durations in microseconds, to 64 steps an octave.
#[derive(Default)]
struct Histogram {
    counts: BTreeMap<u32, u64>,
    total: u64,
}

impl Histogram {
    fn add(&mut self, us: u32) {
        let step = if us < 128 { us } else { (us >> (25 - us.leading_zeros())) << (25 - us.leading_zeros()) };
        *self.counts.entry(step).or_default() += 1;
        self.total += 1;
    }

    fn quantile(&self, share: f64) -> u32 {
        let mut seen = 0;
        let found = self.counts.iter().find(|(_, count)| {
            seen += **count;
            seen as f64 >= self.total as f64 * share
        });
        found.map_or(0, |(us, _)| *us)
    }
}

/// Runs a plan and prints what came of it.
pub fn run(plan: &Plan) {
    let request = plan.request();
    let mut epoll = Epoll::new();
    let mut connections: Vec<Connection> =
        (0..plan.connections).map(|token| Connection::open(&epoll, &plan.address, token)).collect();
    let mut buffer = vec![0; plan.buffer_bytes];
    let mut took = Histogram::default();
    let (mut done, mut errors, mut bytes, mut late, mut issued) = (0u64, 0u64, 0u64, 0u64, 0u64);
    let (mut idle, mut waiting) = (VecDeque::new(), VecDeque::new());
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(plan.seconds);
    while Instant::now() < end {
        if let Some(rate) = plan.rate {
            while issued < (start.elapsed().as_secs_f64() * rate) as u64 {
                issued += 1;
                waiting.push_back(start + Duration::from_secs_f64(issued as f64 / rate));
            }
            while !idle.is_empty() && !waiting.is_empty() {
                let (token, due): (usize, Instant) = (idle.pop_front().unwrap(), waiting.pop_front().unwrap());
                connections[token].ask(&request, due);
            }
            late += u64::from(!waiting.is_empty());
        }
        let happened: Vec<(usize, u32)> = epoll.wait(if plan.rate.is_some() { 1 } else { 100 }).collect();
        for (token, events) in happened {
            let connection = &mut connections[token];
            if !connection.connected && events & sys::WRITABLE != 0 {
                connection.connected = true;
                next(plan, connection, token, &mut idle, &request);
                continue;
            }
            if events & !sys::WRITABLE == 0 {
                continue;
            }
            let reading = connection.read(&mut buffer, &mut bytes);
            match reading {
                Reading::Unfinished => continue,
                Reading::Complete => {
                    done += 1;
                    let asked = connection.asked.take().expect("a response follows a request");
                    took.add(asked.elapsed().as_micros().min(u128::from(u32::MAX)) as u32);
                    if !plan.close {
                        next(plan, connection, token, &mut idle, &request);
                        continue;
                    }
                }
                Reading::Broken => errors += 1,
            }
            sys::close(connection.fd);
            *connection = Connection::open(&epoll, &plan.address, token);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{{\"requests\":{done},\"errors\":{errors},\"seconds\":{seconds:.4},\"rps\":{:.1},\"bytes\":{bytes},\"p50_us\":{},\"p99_us\":{},\"late\":{late}}}",
        done as f64 / seconds,
        took.quantile(0.5),
        took.quantile(0.99)
    );
}

/// A connection that has nothing to do: it asks at once, or when the rate says so.
fn next(plan: &Plan, connection: &mut Connection, token: usize, idle: &mut VecDeque<usize>, request: &[u8]) {
    match plan.rate {
        Some(_) => idle.push_back(token),
        None => connection.ask(request, Instant::now()),
    }
}
