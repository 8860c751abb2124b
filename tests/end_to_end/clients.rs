//! Clients: each asks a resolver with `dig` and fetches with `curl`, again and again.

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

/// The name that they fetch.
pub const NAME: &str = "www.example";
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(50);

/// What `dig` is answered through the resolver, for a client of that prefix.
pub fn dig(resolver: SocketAddr, subnet: &str) -> Vec<Ipv4Addr> {
    let mut command = Command::new("dig");
    command.arg(format!("@{}", resolver.ip())).args(["-p", &resolver.port().to_string()]);
    command.args(["+short", "+tries=2", "+time=5", &format!("+subnet={subnet}"), NAME, "A"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines().map(|line| line.parse().unwrap_or_else(|_| panic!("dig said {said}"))).collect()
}

/// A page as `curl` got it from that address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The region whose L7 tier says that it has handled it.
    pub by: String,
    /// What the application says of itself.
    pub from: String,
}

/// Fetches the page.
///
/// # Errors
/// What went wrong, an answer that is not 200 among it.
pub fn curl(address: Ipv4Addr) -> Result<Page, String> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "--max-time", "10", "-D", "-"]);
    command.args(["--resolve", &format!("{NAME}:80:{address}"), &format!("http://{NAME}/")]);
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !said.starts_with("HTTP/1.1 200 ") {
        return Err(format!("{address}: {complaint}{said}"));
    }
    let (head, body) = said.split_once("\r\n\r\n").ok_or("no head")?;
    let by: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("x-region: ")).collect();
    Ok(Page { by: by.join(","), from: body.to_owned() })
}

/// A request of a client.
#[derive(Debug, Clone)]
pub struct Asked {
    pub began: Instant,
    pub address: Ipv4Addr,
    pub got: Result<Page, String>,
}

/// A client that fetches all the time.
pub struct Client {
    asked: Arc<Mutex<Vec<Asked>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// One that resolves before each request, as programs do that leave it to their resolver how long an answer holds.
    pub fn resolving(resolver: SocketAddr, subnet: &'static str) -> Client {
        Client::start(move || *dig(resolver, subnet).first().expect("there is an answer at every moment"))
    }

    /// One that resolved once and stays with that for ever.
    pub fn staying(address: Ipv4Addr) -> Client {
        Client::start(move || address)
    }

    fn start(resolve: impl Fn() -> Ipv4Addr + Send + 'static) -> Client {
        let (asked, is_over) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicBool>::default());
        let (each, told) = (asked.clone(), is_over.clone());
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let (address, began) = (resolve(), Instant::now());
                let got = curl(address);
                each.lock().unwrap().push(Asked { began, address, got });
                std::thread::sleep(PAUSE);
            }
        });
        Client { asked, is_over, thread: Some(thread) }
    }

    /// Its last request.
    pub fn last(&self) -> Option<Asked> {
        self.asked.lock().unwrap().last().cloned()
    }

    /// All that it asked, when it is told to end.
    pub fn end(mut self) -> Vec<Asked> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
