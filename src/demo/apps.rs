//! The applications of the demo: small HTTP servers, of which a region can lose all at once.
//!
//! Whatever is asked, the answer names the tiers it came through, each by its own word: the edges have put their names into a
//! header, the listener at L4 has told its address in a PROXY header (version 2). Who connects without, as health checks and
//! `curl` do, is answered just the same; nobody but this machine can.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::demo::configuration::EDGE_HEADER;
use crate::demo::layout::DemoRegion;
use crate::demo::layout::ZONES;
use crate::server::proxy_protocol::Heard;
use crate::server::proxy_protocol::read;

/// The header of an answer that names the region of its application.
pub const REGION_HEADER: &str = "x-rhumb-region";

/// While descriptors are short there is nothing to do but wait.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// The applications of one region.
pub struct Apps {
    region: DemoRegion,
    port: u16,
    serving: Vec<JoinHandle<()>>,
}

impl Apps {
    /// Starts every application of a region on `port`.
    ///
    /// # Errors
    /// The address that could not be bound, and why.
    pub async fn start(region: DemoRegion, port: u16) -> Result<Self, String> {
        let mut apps = Apps { region, port, serving: Vec::new() };
        match apps.resume().await {
            Ok(()) => Ok(apps),
            Err(error) => {
                apps.fail().await;
                Err(error)
            }
        }
    }

    /// Stops all of them: connections are refused from now on, those in hand are cut.
    pub async fn fail(&mut self) {
        for task in self.serving.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }

    /// Starts them again.
    ///
    /// # Errors
    /// The address that could not be bound, and why.
    pub async fn resume(&mut self) -> Result<(), String> {
        for address in self.region.apps() {
            let at = SocketAddr::new(IpAddr::V4(address), self.port);
            let listener = TcpListener::bind(at).await.map_err(|e| format!("cannot bind {at}: {e}"))?;
            self.serving.push(tokio::spawn(accept(listener, Arc::new(App { region: self.region, at }))));
        }
        Ok(())
    }
}

/// One application.
struct App {
    region: DemoRegion,
    at: SocketAddr,
}

/// Serves whoever connects; dropped, it drops them all.
async fn accept(listener: TcpListener, app: Arc<App>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, app.clone()))),
            Err(_) => sleep(ACCEPT_AGAIN).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut stream: TcpStream, app: Arc<App>) {
    let Ok(flow) = proxy_header(&mut stream).await else { return };
    let _ = stream.set_nodelay(true);
    let answer = service_fn(|request| {
        let response = app.answer(&request, flow);
        async move { Ok::<_, Infallible>(response) }
    });
    // Whoever breaks off wants no answer any more.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

/// The fixed part of version 2, whose last two bytes are the length of the rest.
const V2_FIXED: usize = 16;
/// "536 bytes" is what the specification has receivers be ready for.
const V2_REST_MAX: usize = 520;
const V2_START: u8 = b'\r';

/// Takes the PROXY header, if there is one, off the stream; where it says the connection was accepted.
async fn proxy_header(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 || first[0] != V2_START {
        return Ok(None);
    }
    let mut header = [0; V2_FIXED + V2_REST_MAX];
    stream.read_exact(&mut header[..V2_FIXED]).await?;
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    let header = header.get_mut(..V2_FIXED + rest).ok_or(io::ErrorKind::InvalidData)?;
    stream.read_exact(&mut header[V2_FIXED..]).await?;
    match read(header) {
        Ok(Heard::Whole { client, .. }) => Ok(client.and_then(|_| destination(header))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// TCP over IPv4: source, destination and their ports follow (section 2.2).
const TCP_OVER_IPV4: u8 = 0x11;

/// Where a header that was read says the connection was accepted.
fn destination(header: &[u8]) -> Option<SocketAddr> {
    if header.get(13) != Some(&TCP_OVER_IPV4) {
        return None;
    }
    let address: [u8; 4] = header.get(20..24)?.try_into().ok()?;
    let port: [u8; 2] = header.get(26..28)?.try_into().ok()?;
    Some(SocketAddr::new(Ipv4Addr::from(address).into(), u16::from_be_bytes(port)))
}

impl App {
    fn answer(&self, request: &Request<Incoming>, flow: Option<SocketAddr>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/healthz" {
            return Response::new(Full::from("ok\n"));
        }
        let edges = request.headers().get_all(EDGE_HEADER).into_iter().filter_map(|value| value.to_str().ok());
        let way = Way { edges: edges.collect(), flow: flow.map(|flow| self.flow_name(flow)), app: self.at };
        let mut response = Response::new(Full::from(format!("{} · {}\n", self.region.name, way.words())));
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(REGION_HEADER, HeaderValue::from_static(self.region.name));
        let said = [(EDGE_HEADER, way.edges.join(", ")), ("x-rhumb-l4", way.flow.clone().unwrap_or_default())];
        for (name, value) in said.into_iter().chain([("x-rhumb-app", way.app.to_string())]) {
            if let Some(value) = HeaderValue::from_str(&value).ok().filter(|value| !value.is_empty()) {
                headers.insert(name, value);
            }
        }
        response
    }

    /// Listeners at L4 tell their address; what they are called stands in the configuration.
    fn flow_name(&self, flow: SocketAddr) -> String {
        let named = ZONES.into_iter().find(|zone| IpAddr::V4(self.region.flow(*zone)) == flow.ip());
        named.map_or_else(|| flow.to_string(), |zone| format!("{} {flow}", self.region.flow_name(zone)))
    }
}

/// How a request came here.
struct Way<'r> {
    /// Edges, the client's first.
    edges: Vec<&'r str>,
    /// The listener at L4.
    flow: Option<String>,
    /// The application.
    app: SocketAddr,
}

impl Way<'_> {
    /// `L7 edge-eu-west 127.1.1.10:8080 · L4 l4-eu-west-a 127.1.2.1:8080 · app 127.1.3.1:8080`.
    fn words(&self) -> String {
        let mut words = String::new();
        for edge in &self.edges {
            let _ = write!(words, "L7 {edge} · ");
        }
        if let Some(flow) = &self.flow {
            let _ = write!(words, "L4 {flow} · ");
        }
        words + &format!("app {}", self.app)
    }
}

/// Starts the applications of all regions on one port: the first of the candidates that will do. With `and_listeners` it is
/// also free at the addresses of the regions' listeners.
///
/// # Errors
/// Why the last candidate could not be had.
pub async fn start_all(
    regions: &[DemoRegion],
    candidates: impl Iterator<Item = u16>,
    and_listeners: bool,
) -> Result<(u16, Vec<Apps>), String> {
    let mut reason = "no port to try".to_owned();
    for port in candidates {
        match start_on(regions, port, and_listeners).await {
            Ok(apps) => return Ok((port, apps)),
            Err(error) => reason = error,
        }
    }
    Err(format!("{reason}; stop what listens there, or choose another with --port"))
}

async fn start_on(regions: &[DemoRegion], port: u16, and_listeners: bool) -> Result<Vec<Apps>, String> {
    let mut started: Vec<Apps> = Vec::new();
    for region in regions {
        let is_free = if and_listeners { free(region, port).await } else { Ok(()) };
        let begun = match is_free {
            Ok(()) => Apps::start(*region, port).await,
            Err(error) => Err(error),
        };
        match begun {
            Ok(apps) => started.push(apps),
            Err(error) => {
                for apps in &mut started {
                    apps.fail().await;
                }
                return Err(error);
            }
        }
    }
    Ok(started)
}

/// The server shares its listeners' sockets among cores, and so would share them with another demo, too.
async fn free(region: &DemoRegion, port: u16) -> Result<(), String> {
    for address in region.listeners() {
        TcpListener::bind((address, port)).await.map_err(|e| format!("cannot bind {address}:{port}: {e}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ProxyProtocol;
    use crate::proxy::proxy_protocol::Header;

    #[test]
    fn the_listener_is_read_from_the_header() {
        let (client, ours) = ("127.0.0.1:4711".parse().unwrap(), "127.1.2.2:8080".parse().unwrap());
        assert_eq!(destination(Header::of(ProxyProtocol::V2, client, ours).bytes()), Some(ours));
        assert_eq!(destination(Header::local(ProxyProtocol::V2).bytes()), None);
        let v6 = "[::1]:8080".parse().unwrap();
        assert_eq!(destination(Header::of(ProxyProtocol::V2, v6, v6).bytes()), None);
    }

    #[test]
    fn an_answer_names_the_tiers_in_order() {
        let way = Way {
            edges: vec!["edge-a 127.1.1.10:80", "edge-b 127.2.1.10:80"],
            flow: Some("l4-b 127.2.2.1:80".to_owned()),
            app: "127.2.3.1:80".parse().unwrap(),
        };
        let words = "L7 edge-a 127.1.1.10:80 · L7 edge-b 127.2.1.10:80 · L4 l4-b 127.2.2.1:80 · app 127.2.3.1:80";
        assert_eq!(way.words(), words);
        assert_eq!(Way { edges: Vec::new(), flow: None, ..way }.words(), "app 127.2.3.1:80");
    }
}
