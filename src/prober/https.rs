//! An HTTP request over TLS, by `reqwest`.
//!
//! The handshake, its verification and the request are reqwest's; how far it got is noted by the hooks it has (see
//! `progress`). A handshake costs so much more than the rest that nothing would be gained by doing without it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use reqwest::header::{CONNECTION, HOST, HeaderValue};
use reqwest::{Method, Response, Url};
use tokio::time::timeout;

use crate::health::probe::ReasonCode;
use crate::prober::clients::Clients;
use crate::prober::http::{Request, Search};
use crate::prober::progress::{Phase, Progress};
use crate::prober::{Found, tcp};
use crate::runtime::trust;
use crate::runtime::trust::Trust;

/// Asks and judges the answer.
pub(super) async fn check(
    request: Request<'_>,
    address: SocketAddr,
    trust: Trust,
    clients: &Clients,
    allowed: std::time::Duration,
) -> Found {
    let progress = Progress::new(address);
    match timeout(allowed, progress.track(ask(request, address, trust, clients, &progress))).await {
        Ok(found) => found,
        Err(_) => match progress.phase() {
            Phase::Connecting => (ReasonCode::L4Tout, format!("no connection within {allowed:?}")),
            Phase::Securing => (ReasonCode::L6Tout, format!("no TLS session within {allowed:?}")),
            Phase::Asking => (ReasonCode::L7Tout, format!("no complete response within {allowed:?}")),
        },
    }
}

async fn ask(request: Request<'_>, address: SocketAddr, trust: Trust, clients: &Clients, progress: &Progress) -> Found {
    let client = match clients.http(&trust).await {
        Ok(client) => client,
        Err(fact) => return (ReasonCode::L6Rsp, fact),
    };
    let made = match made(request, address) {
        Ok(made) => made,
        Err(fact) => return (ReasonCode::L7Rsp, fact),
    };
    match client.execute(made).await {
        Ok(response) => judge(request, response).await,
        Err(error) => failure(&error, progress.phase()),
    }
}

fn made(request: Request<'_>, address: SocketAddr) -> Result<reqwest::Request, String> {
    let name = request.name(address);
    // `host` may carry a port, for the `Host` header; the connection goes to the endpoint's own.
    let bare = without_port(&name);
    let text = format!("https://{bare}:{}{}", address.port(), request.path);
    let mut url = Url::parse(&text).map_err(|error| format!("can not ask for {text}: {error}"))?;
    if url.domain().is_none() {
        // An address in `host` is for the header: it would be connected to as it stands, past our resolver.
        url.set_ip_host(address.ip()).map_err(|()| format!("can not ask for {text}"))?;
    }
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| format!("no method {}", request.method))?;
    let mut made = reqwest::Request::new(method, url);
    let host = HeaderValue::from_str(&name).map_err(|_| format!("no name for a Host header: {name}"))?;
    made.headers_mut().insert(HOST, host);
    made.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(made)
}

async fn judge(request: Request<'_>, mut response: Response) -> Found {
    let status = response.status().as_u16();
    let mut search = match request.search(status) {
        Ok(search) => search,
        Err(found) => return found,
    };
    while !search.is_over() {
        match response.chunk().await {
            Ok(Some(chunk)) => search.read(&chunk),
            Ok(None) => break,
            Err(error) => return failure(&error, Phase::Asking),
        }
    }
    Search::verdict(search, status)
}

/// What a request that failed in this phase found.
fn failure(error: &reqwest::Error, phase: Phase) -> Found {
    let causes = causes(error);
    if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return (ReasonCode::L6Rsp, trust::words(tls));
    }
    let io = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>());
    let words = io.map(tcp::words).or_else(|| causes.last().map(ToString::to_string)).unwrap_or_default();
    match phase {
        Phase::Connecting => (io.map_or(ReasonCode::L4Con, tcp::reason), words),
        Phase::Securing => (ReasonCode::L6Rsp, words),
        Phase::Asking => (ReasonCode::L7Rsp, words),
    }
}

/// The error and what caused it, outermost first. An `io::Error` hides the error it wraps from `source`.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut found = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        found.push(error);
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    found
}

fn without_port(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => {
            // `[::1]:80` loses its port, `::1` is no name with one.
            if host.contains(':') && !host.ends_with(']') { name } else { host }
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_host_is_for_the_header_only() {
        for (name, bare) in [
            ("www.example.com", "www.example.com"),
            ("www.example.com:8080", "www.example.com"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("[2001:db8::1]:8080", "[2001:db8::1]"),
            ("192.0.2.1:80", "192.0.2.1"),
        ] {
            assert_eq!(without_port(name), bare);
        }
    }
}
