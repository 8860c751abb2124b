//! An HTTP/1.1 origin that keeps the bytes it got and answers as told, well or badly.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::shown;

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Counted from 0 as connections came.
    pub connection: usize,
    /// With the empty line.
    pub head: Vec<u8>,
    /// Without its chunks' frames; empty until it is read.
    pub body: Vec<u8>,
    /// The lines after the last chunk.
    pub trailers: Vec<u8>,
    /// Whether all of the body came.
    pub is_whole: bool,
}

impl Taken {
    /// The request line.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.head).lines().next().unwrap_or_default().to_owned()
    }

    /// The target.
    pub fn target(&self) -> String {
        self.line().split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// The values of all header lines of a name.
    pub fn all(&self, name: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.head).into_owned();
        let lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// The value of the only header line of a name.
    pub fn header(&self, name: &str) -> Option<String> {
        let mut all = self.all(name);
        assert!(all.len() < 2, "{name} twice: {}", shown(&self.head));
        all.pop()
    }
}

/// What an origin does next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads the request's body; the first step unless it stands somewhere else.
    Body,
    Send(Bytes),
    Wait(Duration),
    /// Gives back all that comes, until the other side ends: what follows a 101.
    Echo,
    /// Ends the connection.
    Close,
    /// Ends it with RST.
    Reset,
    /// Reads no more and says nothing, until the other side ends.
    Silence,
}

/// Sends bytes as they are.
pub fn raw(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(Bytes::copy_from_slice(bytes.as_ref()))
}

/// A response with its length.
pub fn fixed(status: u16, body: impl AsRef<[u8]>) -> Vec<Step> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status} As Told\r\nContent-Length: {}\r\n\r\n", body.len());
    vec![raw([head.as_bytes(), body].concat())]
}

/// A response in chunks, each sent by itself.
pub fn chunked(chunks: &[&[u8]], trailers: &str) -> Vec<Step> {
    let mut steps = vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")];
    steps
        .extend(chunks.iter().map(|chunk| raw([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())));
    steps.push(raw(format!("0\r\n{trailers}\r\n")));
    steps
}

/// A response that the end of the connection ends.
pub fn until_close(body: impl AsRef<[u8]>) -> Vec<Step> {
    vec![raw("HTTP/1.1 200 OK\r\n\r\n"), raw(body), Step::Close]
}

/// What `route` is to a request: its steps.
type Answer = dyn Fn(&Taken) -> Vec<Step> + Send + Sync;

#[derive(Default)]
struct Kept {
    requests: Mutex<Vec<Taken>>,
    wire: Mutex<Vec<u8>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
}

/// An origin that runs; its threads end with the test.
pub struct Origin {
    pub address: SocketAddr,
    kept: Arc<Kept>,
}

impl Origin {
    /// One that answers each request as told.
    pub fn start(answer: impl Fn(&Taken) -> Vec<Step> + Send + Sync + 'static) -> Origin {
        Origin::on(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    /// The same on a socket that listens.
    pub fn on(listener: TcpListener, answer: impl Fn(&Taken) -> Vec<Step> + Send + Sync + 'static) -> Origin {
        let address = listener.local_addr().unwrap();
        let (kept, answer): (_, Arc<Answer>) = (Arc::new(Kept::default()), Arc::new(answer));
        let shared = kept.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, kept) = (answer.clone(), shared.clone());
                let number = kept.connections.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let mut connection = Connection { stream, unread: Vec::new(), number, kept };
                    let _ = connection.serve(&*answer);
                    connection.kept.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Origin { address, kept }
    }

    /// One that answers 200 with the target as its body.
    pub fn plain() -> Origin {
        Origin::start(|request| fixed(200, request.target()))
    }

    /// All requests so far, in the order of their heads.
    pub fn requests(&self) -> Vec<Taken> {
        self.kept.requests.lock().unwrap().clone()
    }

    /// The only request.
    #[track_caller]
    pub fn only(&self) -> Taken {
        let mut all = self.requests();
        assert_eq!(all.len(), 1, "one request: {:?}", all.iter().map(Taken::line).collect::<Vec<_>>());
        all.remove(0)
    }

    /// The last request, once its body is there.
    #[track_caller]
    pub fn last(&self) -> Taken {
        assert!(poll(PATIENCE, || self.requests().last().is_some_and(|taken| taken.is_whole)));
        self.requests().pop().unwrap()
    }

    /// All bytes so far.
    pub fn wire(&self) -> Vec<u8> {
        self.kept.wire.lock().unwrap().clone()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.kept.connections.load(Ordering::SeqCst)
    }

    /// How many of them are over.
    pub fn ended(&self) -> usize {
        self.kept.ended.load(Ordering::SeqCst)
    }
}

struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    number: usize,
    kept: Arc<Kept>,
}

impl Connection {
    fn serve(&mut self, answer: &Answer) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        loop {
            let head = self.until(b"\r\n\r\n")?;
            let taken = Taken { connection: self.number, head, ..Taken::default() };
            let place = {
                let mut requests = self.kept.requests.lock().unwrap();
                requests.push(taken.clone());
                requests.len() - 1
            };
            let mut steps = answer(&taken);
            if !steps.iter().any(|step| matches!(step, Step::Body)) {
                steps.insert(0, Step::Body);
            }
            for step in steps {
                match step {
                    Step::Body => self.body(&taken, place)?,
                    Step::Send(bytes) => self.stream.write_all(&bytes)?,
                    Step::Wait(time) => thread::sleep(time),
                    Step::Echo => return self.echo(),
                    Step::Close => return Ok(()),
                    Step::Reset => return socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)),
                    Step::Silence => return self.silence(),
                }
            }
        }
    }

    fn body(&mut self, taken: &Taken, place: usize) -> std::io::Result<()> {
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        if let Some(length) = taken.all("content-length").first().and_then(|value| value.parse().ok()) {
            body = self.exactly(length)?;
        } else if !taken.all("transfer-encoding").is_empty() {
            loop {
                let line = self.until(b"\r\n")?;
                let text = String::from_utf8_lossy(&line);
                let size = usize::from_str_radix(text.trim_end(), 16)
                    .map_err(|_| std::io::Error::from(ErrorKind::InvalidData))?;
                if size == 0 {
                    break;
                }
                body.extend(self.exactly(size)?);
                self.exactly(2)?;
            }
            loop {
                let line = self.until(b"\r\n")?;
                if line == b"\r\n" {
                    break;
                }
                trailers.extend(line);
            }
        }
        let kept = &mut self.kept.requests.lock().unwrap()[place];
        (kept.body, kept.trailers, kept.is_whole) = (body, trailers, true);
        Ok(())
    }

    fn echo(&mut self) -> std::io::Result<()> {
        let early = std::mem::take(&mut self.unread);
        self.stream.write_all(&early)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            self.stream.write_all(&buffer[..read])?;
        }
    }

    /// Waits for the end without reading: a peek that sees bytes sees no end.
    fn silence(&mut self) -> std::io::Result<()> {
        while self.stream.peek(&mut [0])? != 0 && self.kept.ended.load(Ordering::SeqCst) < usize::MAX {
            thread::sleep(Duration::from_millis(20));
            if self.stream.take_error()?.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn more(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.kept.wire.lock().unwrap().extend(&buffer[..read]);
        self.unread.extend(&buffer[..read]);
        Ok(())
    }

    fn until(&mut self, end: &[u8]) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Ok(self.unread.drain(..at + end.len()).collect());
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        while self.unread.len() < count {
            self.more()?;
        }
        Ok(self.unread.drain(..count).collect())
    }
}
