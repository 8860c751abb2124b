//! A server in this process whose files, endpoints and admin API are the test's, and HTTP as bytes.

use std::fs;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rhumb::daemon::Daemon;
use serde_json::Value;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;

/// The secret of the token `grafana`, which may look.
pub const READER: &str = "5f1c0a9d7e";
/// The secret of the token `deploy`, which may order.
pub const OPERATOR: &str = "c0ffee1234";
/// Their hashes, by `printf %s SECRET | sha256sum`.
const TOKENS: &str =
    "[token.grafana]\nsha256 = \"READER\"\n[token.deploy]\nsha256 = \"OPERATOR\"\nrole = \"operate\"\n";
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One server.
pub struct Site {
    dir: tempfile::TempDir,
    daemon: Daemon,
    endpoint: Option<TcpListener>,
    _other: TcpListener,
}

fn sha256(secret: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Site {
    /// Starts it: two regions, two VIPs, an endpoint that can be broken.
    pub async fn start() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = endpoint.local_addr().unwrap().port();
        let other = TcpListener::bind(("127.0.0.2", port)).unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        let zone = "$TTL 60\n@ SOA ns h 7 1h 15m 1w 60\n@ NS ns\nns A 192.0.2.53\n";
        fs::write(dir.path().join("zones/example.com.zone"), zone).unwrap();
        let config = format!(
            r#"[server]
listen = ["127.0.0.1:0"]
zones_dir = "zones"
[admin]
socket = "admin.sock"
listen = "127.0.0.1:0"
tokens_file = "tokens.toml"
[[geo.network]]
name = "de"
cidr = ["192.0.2.0/25"]
geo = "EU-DE"
[[geo.network]]
name = "us"
cidr = ["192.0.2.128/25"]
geo = "NA-US"
[region.eu]
location = [50, 8]
[region.us]
location = [39, -77]
[health_check.tcp]
type = "tcp"
interval = "1s"
fast = "200ms"
timeout = "1s"
fall = 1
rise = 1
[pool.eu-web]
region = "eu"
health_check = "tcp"
endpoints = [{{ address = "127.0.0.1", port = {port} }}, {{ address = "127.0.0.2", port = {port} }}]
[pool.us-web]
region = "us"
endpoints = [{{ address = "192.0.2.3" }}]
[vip."www.example.com."]
policy = "failover"
pools = [{{ pool = "eu-web" }}, {{ pool = "us-web" }}]
[vip."geo.example.com."]
policy = "geolocation"
rules = [{{ geos = ["EU"], pool = "eu-web" }}, {{ pool = "us-web" }}]
"#
        );
        fs::write(dir.path().join("rhumb.toml"), config).unwrap();
        let tokens = TOKENS.replace("READER", &sha256(READER)).replace("OPERATOR", &sha256(OPERATOR));
        write_tokens(&dir.path().join("tokens.toml"), &tokens, 0o640);
        let daemon = Daemon::start(&dir.path().join("rhumb.toml")).await.unwrap();
        Site { dir, daemon, endpoint: Some(endpoint), _other: other }
    }

    /// The Unix socket.
    pub fn socket(&self) -> Http {
        Http(At::Socket(self.dir.path().join("admin.sock")))
    }

    /// The HTTP listener, as it was bound at the start.
    pub fn http(&self) -> Http {
        http(self.daemon.admin_http().unwrap())
    }

    /// Its configuration.
    pub fn config(&self) -> String {
        fs::read_to_string(self.dir.path().join("rhumb.toml")).unwrap()
    }

    /// Another configuration, renamed into place.
    pub fn write(&self, config: &str) {
        fs::write(self.dir.path().join("new"), config).unwrap();
        fs::rename(self.dir.path().join("new"), self.dir.path().join("rhumb.toml")).unwrap();
    }

    /// Other tokens.
    pub fn write_tokens(&self, tokens: &str) {
        write_tokens(&self.dir.path().join("tokens.toml"), tokens, 0o640);
    }

    /// Writes a new certificate for `localhost` and its key; the certificate as PEM.
    pub fn certificate(&self) -> String {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(self.dir.path().join("admin.key"), pair.signing_key.serialize_pem()).unwrap();
        fs::write(self.dir.path().join("admin.crt"), pair.cert.pem()).unwrap();
        pair.cert.pem()
    }

    /// Lets everybody read the file of tokens.
    pub fn open_tokens_to_everybody(&self) {
        let path = self.dir.path().join("tokens.toml");
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Closes the port of `eu-web/127.0.0.1`.
    pub fn break_endpoint(&mut self) {
        self.endpoint = None;
    }

    /// What no GET may change.
    pub async fn state(&self) -> (Value, Value) {
        let status = self.socket().get("/v1/status").await.json();
        (status["generation"].clone(), self.socket().get("/v1/overrides").await.json())
    }
}

fn write_tokens(path: &std::path::Path, tokens: &str, mode: u32) {
    let new = path.with_extension("new");
    fs::write(&new, tokens).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(new, path).unwrap();
}

/// A port that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[derive(Clone)]
enum At {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

/// Where to ask.
#[derive(Clone)]
pub struct Http(At);

/// The HTTP listener at an address.
pub fn http(address: SocketAddr) -> Http {
    Http(At::Tcp(address))
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Http {
    /// What belongs into `Host`.
    pub fn host(&self) -> String {
        match &self.0 {
            At::Socket(_) => "rhumb".to_owned(),
            At::Tcp(address) => address.to_string(),
        }
    }

    async fn connect(&self) -> Box<dyn Stream> {
        match &self.0 {
            At::Socket(path) => Box::new(tokio::net::UnixStream::connect(path).await.unwrap()),
            At::Tcp(address) => Box::new(tokio::net::TcpStream::connect(address).await.unwrap()),
        }
    }

    fn head(&self, method: &str, path: &str, headers: &[(&str, &str)], length: usize) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n", self.host());
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_string().as_bytes()).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let head = self.head(method, path, headers, body.len()) + "Connection: close\r\n\r\n";
        self.bytes(&[head.as_bytes(), body].concat()).await
    }

    /// A request as it is.
    pub async fn raw(&self, request: &str) -> Answer {
        self.bytes(request.as_bytes()).await
    }

    async fn bytes(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        // A server that refuses a body may close before it has read it all.
        let _ = stream.write_all(request).await;
        let mut reply = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await.expect("an answer in time");
        let end = reply.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {reply:?}"));
        let head = String::from_utf8_lossy(&reply[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
        let header = |line: &str| line.split_once(": ").map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()));
        Answer { status, headers: lines.filter_map(header).collect(), body: reply[end + 4..].to_vec() }
    }

    /// Sends what is no HTTP and waits until the server has had enough of it, or says so.
    pub async fn garbage(&self, bytes: &[u8]) {
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut reply = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await.expect("an end in time");
    }

    /// Asks, and leaves without an answer.
    pub async fn left(&self, path: &str) {
        let mut stream = self.connect().await;
        let head = self.head("GET", path, &[], 0) + "\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
    }

    /// Opens the stream of events.
    pub async fn events(&self, headers: &[(&str, &str)]) -> Events {
        let mut stream = self.connect().await;
        let head = self.head("GET", "/v1/stream", headers, 0) + "\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        Events(BufReader::new(stream))
    }
}

/// A stream of events.
pub struct Events(BufReader<Box<dyn Stream>>);

/// One event.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    pub id: Option<u64>,
    pub data: Value,
}

impl Events {
    /// The next event of this name.
    pub async fn next(&mut self, name: &str) -> Event {
        let next = async {
            loop {
                let event = self.event().await;
                if event.name == name {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.unwrap_or_else(|_| panic!("no event `{name}`"))
    }

    async fn event(&mut self) -> Event {
        let mut event = Event { name: String::new(), id: None, data: Value::Null };
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).await.unwrap() > 0, "the stream ended");
            // Heads, and the lengths of chunks, are lines of no known field.
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("id", id)) => event.id = id.parse().ok(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                _ if line.trim().is_empty() && !event.name.is_empty() => return event,
                _ => {}
            }
        }
    }
}
