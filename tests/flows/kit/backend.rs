//! An endpoint: a listener whose connections are each served by a thread that does as the test says.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use crate::common::poll;
use crate::kit::PATIENCE;

#[derive(Default)]
struct Kept {
    accepted: AtomicUsize,
    ended: AtomicUsize,
    has_stopped: AtomicBool,
    /// Those that are open, so that they can be ended from here.
    open: Mutex<Vec<(usize, TcpStream)>>,
}

/// An endpoint that runs.
pub struct Backend {
    pub address: SocketAddr,
    kept: Arc<Kept>,
}

impl Backend {
    /// On 127.0.0.1.
    pub fn start(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Backend {
        Backend::on(TcpListener::bind("127.0.0.1:0").unwrap(), serve)
    }

    /// With a socket of the test's own.
    pub fn on(listener: TcpListener, serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Backend {
        let address = listener.local_addr().unwrap();
        let (kept, serve) = (Arc::new(Kept::default()), Arc::new(serve));
        let own = kept.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if own.has_stopped.load(SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let id = own.accepted.fetch_add(1, SeqCst);
                let _ = stream.set_read_timeout(Some(PATIENCE * 3));
                own.open.lock().unwrap().push((id, stream.try_clone().unwrap()));
                let (own, serve) = (own.clone(), serve.clone());
                thread::spawn(move || {
                    let _ = serve(stream);
                    own.open.lock().unwrap().retain(|(open, _)| *open != id);
                    own.ended.fetch_add(1, SeqCst);
                });
            }
        });
        Backend { address, kept }
    }

    /// Gives back what comes.
    pub fn echo() -> Backend {
        Backend::start(echo)
    }

    /// Says its name first, then gives back what comes.
    pub fn named(name: &'static str) -> Backend {
        Backend::named_on("127.0.0.1", name)
    }

    /// The same on another address.
    pub fn named_on(host: &str, name: &'static str) -> Backend {
        Backend::on(TcpListener::bind((host, 0)).unwrap(), move |mut stream| {
            stream.write_all(name.as_bytes())?;
            echo(stream)
        })
    }

    /// How many connections came.
    pub fn accepted(&self) -> usize {
        self.kept.accepted.load(SeqCst)
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.accepted() - self.kept.ended.load(SeqCst)
    }

    /// Waits until so many are open.
    #[track_caller]
    pub fn has_open(&self, count: usize) {
        assert!(poll(PATIENCE, || self.open() == count), "{} open, not {count}", self.open());
    }

    /// Its process has died: nobody listens, and its connections are reset.
    pub fn die(&self) {
        self.kept.has_stopped.store(true, SeqCst);
        // The one that ends the listener.
        let _ = TcpStream::connect(self.address);
        assert!(poll(PATIENCE, || TcpStream::connect(self.address).is_err()));
        for (_, stream) in self.kept.open.lock().unwrap().drain(..) {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kept.has_stopped.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Gives back what comes, until the other side ends.
pub fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut room = [0; 16 * 1024];
    loop {
        match stream.read(&mut room)? {
            0 => return Ok(()),
            read => stream.write_all(&room[..read])?,
        }
    }
}

/// A port of 127.0.0.1 where nobody listens, while this is held.
pub fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A port where SYNs are dropped, while this is held: its queue is full, and nobody takes from it.
pub fn blackhole() -> ((socket2::Socket, Vec<socket2::Socket>), SocketAddr) {
    let (socket, address) = refusing();
    socket.listen(0).unwrap();
    let fill = |_| {
        let filler = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&address.into());
        filler
    };
    let fillers = (0..4).map(fill).collect();
    ((socket, fillers), address)
}
