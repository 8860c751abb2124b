//! A client that sends any bytes, and reads responses to the letter.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use crate::kit::PATIENCE;
use crate::kit::shown;

/// A response, understood.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// As `HTTP/1.1`.
    pub version: String,
    pub status: u16,
    /// In order.
    pub headers: Vec<(String, String)>,
    /// Without its chunks' frames.
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The values of all header lines of a name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the first header line of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether it says that it is the last of its connection.
    pub fn says_close(&self) -> bool {
        let says = |word: &str| self.all("connection").iter().any(|value| value.to_ascii_lowercase().contains(word));
        says("close") || (self.version == "HTTP/1.0" && !says("keep-alive"))
    }
}

/// A connection.
pub struct Client {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).unwrap())
    }

    /// Over a connection that is there.
    pub fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, unread: Vec::new() }
    }

    /// Sends bytes. Errors do not matter: what came back says why.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Reads a response to anything but HEAD and CONNECT.
    ///
    /// # Errors
    /// What is wrong with it; "nothing" when the connection ended instead.
    pub fn response(&mut self) -> Result<Response, String> {
        self.response_to("GET")
    }

    /// Reads a response; those before it with 1xx other than 101 are passed over.
    ///
    /// # Errors
    /// As [`Client::response`].
    pub fn response_to(&mut self, method: &str) -> Result<Response, String> {
        loop {
            let mut response = self.head()?;
            match response.status {
                101 => return Ok(response),
                100..200 => continue,
                204 | 304 => {}
                _ if method == "HEAD" => {}
                _ => self.body(&mut response)?,
            }
            return Ok(response);
        }
    }

    /// Reads a head alone.
    ///
    /// # Errors
    /// As [`Client::response`].
    pub fn head(&mut self) -> Result<Response, String> {
        let head = self.until(b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let line = lines.next().unwrap_or_default();
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let bad = || format!("a bad head: {}", shown(&head));
        let [version, status, _] = words[..] else { return Err(bad()) };
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0")
            || status.len() != 3
            || text.replace("\r\n", "").contains(['\r', '\n', '\0'])
        {
            return Err(bad());
        }
        let headers = lines.map(field).collect::<Option<Vec<_>>>().ok_or_else(bad)?;
        Ok(Response {
            version: version.to_owned(),
            status: status.parse().map_err(|_| bad())?,
            headers,
            ..Response::default()
        })
    }

    /// Reads the body of a response whose head was read.
    ///
    /// # Errors
    /// When it is cut off, or framed badly.
    pub fn body(&mut self, response: &mut Response) -> Result<(), String> {
        let (lengths, encodings) = (response.all("content-length"), response.all("transfer-encoding"));
        match (&lengths[..], &encodings[..]) {
            ([length], []) => {
                let length = length.parse().map_err(|_| format!("a bad length: {length}"))?;
                response.body = self.exactly(length)?;
            }
            ([], [encoding]) if encoding.eq_ignore_ascii_case("chunked") => return self.chunks(response),
            ([], []) => response.body = self.rest()?,
            _ => return Err(format!("framed twice: {:?}", response.headers)),
        }
        Ok(())
    }

    fn chunks(&mut self, response: &mut Response) -> Result<(), String> {
        loop {
            let line = self.until(b"\r\n")?;
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let size = usize::from_str_radix(&text, 16).map_err(|_| format!("a bad chunk size: {text:?}"))?;
            if size == 0 {
                break;
            }
            let chunk = self.exactly(size)?;
            response.body.extend(chunk);
            if self.exactly(2)? != b"\r\n" {
                return Err("a chunk without its end".to_owned());
            }
        }
        loop {
            let line = self.until(b"\r\n")?;
            let text = String::from_utf8_lossy(&line).trim_end_matches("\r\n").to_owned();
            if text.is_empty() {
                return Ok(());
            }
            response.trailers.push(field(&text).ok_or_else(|| format!("a bad trailer: {text:?}"))?);
        }
    }

    /// So many bytes.
    ///
    /// # Errors
    /// When the connection ends before.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>, String> {
        while self.unread.len() < count {
            if !self.more()? {
                return Err(format!("cut off after {} of {count} bytes", self.unread.len()));
            }
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// All bytes to a proper end.
    ///
    /// # Errors
    /// When there is none.
    pub fn rest(&mut self) -> Result<Vec<u8>, String> {
        while self.more()? {}
        Ok(std::mem::take(&mut self.unread))
    }

    /// Whether the connection ends, in whichever way, without another byte.
    pub fn ends(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            _ if !self.unread.is_empty() => false,
            Ok(read) => read == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// Whether bytes are there, or come within the connection's patience.
    pub fn has_more(&mut self) -> bool {
        !self.unread.is_empty() || self.more() == Ok(true)
    }

    /// Whether nothing comes for so long, and the connection stays.
    pub fn is_quiet(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let found = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.unread.is_empty()
            && found.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, String> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Ok(self.unread.drain(..at + end.len()).collect());
            }
            if !self.more()? {
                let had = if self.unread.is_empty() { "nothing".to_owned() } else { shown(&self.unread) };
                return Err(format!("{had}, and the end of the connection"));
            }
        }
    }

    /// False at the end.
    fn more(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 64 << 10];
        let read = self.stream.read(&mut buffer).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("no more for {PATIENCE:?} after {}", shown(&self.unread))
            }
            _ => format!("{error} after {}", shown(&self.unread)),
        })?;
        self.unread.extend(&buffer[..read]);
        Ok(read > 0)
    }
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_token =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte));
    is_token.then(|| (name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// One request on a connection of its own.
pub fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Result<Response, String> {
    let is_head = request.as_ref().starts_with(b"HEAD ");
    Client::connect(address).send(request).response_to(if is_head { "HEAD" } else { "GET" })
}

/// A GET.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
}
