//! Small HTTP applications that count, and can be unwell, die and come back.

use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

/// What probes ask for.
pub const HEALTH: &str = "/healthz";

/// One application; it answers with its own name.
pub struct Application {
    pub address: SocketAddr,
    state: Arc<State>,
    serving: Option<(TcpListener, JoinHandle<()>)>,
}

struct State {
    /// What it says to every request.
    body: String,
    /// Probes are not counted.
    requests: AtomicU64,
    is_unwell: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

impl Application {
    /// An application that answers `body` there.
    pub fn start(address: SocketAddr, body: String) -> Application {
        let state = State {
            body,
            requests: AtomicU64::new(0),
            is_unwell: AtomicBool::new(false),
            connections: Mutex::default(),
        };
        let mut application = Application { address, state: Arc::new(state), serving: None };
        application.revive();
        application
    }

    /// How many requests it had that were no probes.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// It says 503 to probes and goes on serving, as one does that is about to stop.
    pub fn is_unwell(&self, unwell: bool) {
        self.state.is_unwell.store(unwell, Ordering::Relaxed);
    }

    /// It is gone at once: what it had in hand breaks off, and connections are refused.
    pub fn die(&mut self) {
        let Some((listener, serving)) = self.serving.take() else { return };
        // So that `accept` returns.
        let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
        serving.join().unwrap();
        for stream in self.state.connections.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// It is there again, and well.
    pub fn revive(&mut self) {
        if self.serving.is_some() {
            return self.is_unwell(false);
        }
        let listener = TcpListener::bind(self.address).unwrap();
        self.is_unwell(false);
        let state = self.state.clone();
        let ours = listener.try_clone().unwrap();
        self.serving = Some((ours, std::thread::spawn(move || serve(&listener, &state))));
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.die();
    }
}

fn serve(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let Ok(kept) = stream.try_clone() else { continue };
        state.connections.lock().unwrap().push(kept);
        let state = state.clone();
        std::thread::spawn(move || converse(stream, &state));
    }
}

fn converse(mut stream: TcpStream, state: &State) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(120)));
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        head.extend(&buffer[..count]);
        let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let is_probe = head.starts_with(format!("GET {HEALTH} ").as_bytes());
        head.drain(..end + 4);
        let is_unwell = is_probe && state.is_unwell.load(Ordering::Relaxed);
        state.requests.fetch_add(u64::from(!is_probe), Ordering::Relaxed);
        let status = if is_unwell { "503 Service Unavailable" } else { "200 OK" };
        let (length, body) = (state.body.len(), &state.body);
        if write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").is_err() {
            return;
        }
    }
}
