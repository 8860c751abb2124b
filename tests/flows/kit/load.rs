//! Clients that come without end, and know when one of them was not served: what a change may not do to them.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::poll;
use crate::kit::PATIENCE;

/// Between two steps of a client: the machine has other things to do.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Told {
    stop: AtomicBool,
    served: AtomicU64,
    failed: Mutex<Vec<String>>,
}

/// Clients that run.
pub struct Load {
    told: Arc<Told>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Some, each with a new connection for each exchange; endpoints say their names and echo.
    pub fn start(address: SocketAddr) -> Load {
        let told = Arc::new(Told::default());
        let threads = (0..3).map(|_| {
            let told = told.clone();
            thread::spawn(move || {
                while !told.stop.load(SeqCst) {
                    match one(address) {
                        Ok(()) => _ = told.served.fetch_add(1, SeqCst),
                        Err(error) => told.failed.lock().unwrap().push(error.to_string()),
                    }
                    thread::sleep(PAUSE);
                }
            })
        });
        Load { threads: threads.collect(), told }
    }

    /// Waits until so many more have been served.
    #[track_caller]
    pub fn goes_on(&self, times: u64) {
        let served = || self.told.served.load(SeqCst);
        let before = served();
        assert!(poll(PATIENCE, || served() >= before + times), "{:?}", self.told.failed);
    }

    /// Nobody was not.
    #[track_caller]
    pub fn end(self) {
        self.told.stop.store(true, SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let failed = self.told.failed.lock().unwrap();
        let served = self.told.served.load(SeqCst);
        assert!(failed.is_empty(), "{} failed of {served}: {:?}", failed.len(), &failed[..failed.len().min(5)]);
    }
}

fn one(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"ping")?;
    let mut back = [0; 5];
    stream.read_exact(&mut back)?;
    if back[1..] != *b"ping" {
        return Err(std::io::Error::other(format!("{back:?}")));
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    match stream.read(&mut back)? {
        0 => Ok(()),
        _ => Err(std::io::Error::other("more came")),
    }
}
