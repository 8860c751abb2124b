//! An HTTP request over TCP or TLS, and whether its answer is the one expected.
//!
//! Each probe opens a connection of its own (an old one would say nothing of whether new clients get in), follows no
//! redirect (that would ask somebody else), knows no proxy, and sends the request to the endpoint's address whatever
//! name it carries in `Host` and SNI.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};

use reqwest::header::{CONNECTION, HOST, HeaderValue};
use reqwest::{Method, Response, Url};
use rustls::CertificateError;
use tokio::time::timeout;

use crate::health::probe::ReasonCode;
use crate::health::target::Target;
use crate::model::{Body, CheckKind, StatusRange};
use crate::prober::clients::{HttpClients, Trust};
use crate::prober::progress::{Phase, Progress};
use crate::prober::tcp;

/// How much of a body is searched; a health page is small, and a wrong one may be endless.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The parts of an HTTP check.
struct Ask<'a> {
    tls: bool,
    trust: Trust,
    method: &'a str,
    path: &'a str,
    host: Option<&'a str>,
    status: &'a [StatusRange],
    body: Option<&'a Body>,
}

/// Asks and judges the answer.
pub(super) async fn request(target: &Target, clients: &HttpClients) -> (ReasonCode, String) {
    let Some(ask) = Ask::of(&target.check.kind) else { return (ReasonCode::L7Rsp, "not an HTTP check".to_owned()) };
    let progress = Progress::new(target.address);
    let allowed = target.check.timeout;
    match timeout(allowed, progress.track(ask.run(target.address, clients, &progress))).await {
        Ok(found) => found,
        Err(_) => match progress.phase() {
            Phase::Connecting => (ReasonCode::L4Tout, format!("no connection within {allowed:?}")),
            Phase::Securing => (ReasonCode::L6Tout, format!("no TLS session within {allowed:?}")),
            Phase::Asking => (ReasonCode::L7Tout, format!("no complete response within {allowed:?}")),
        },
    }
}

impl<'a> Ask<'a> {
    fn of(kind: &'a CheckKind) -> Option<Self> {
        let CheckKind::Http { tls, verify, ca_file, method, path, host, status, body } = kind else { return None };
        let trust = match ca_file {
            _ if !tls || !verify => Trust::Anything,
            Some(file) => Trust::File(file.clone()),
            None => Trust::System,
        };
        Some(Ask { tls: *tls, trust, method, path, host: host.as_deref(), status, body: body.as_ref() })
    }

    async fn run(&self, address: SocketAddr, clients: &HttpClients, progress: &Progress) -> (ReasonCode, String) {
        let client = match clients.client(&self.trust).await {
            Ok(client) => client,
            Err(fact) => return (ReasonCode::L6Rsp, fact),
        };
        let request = match self.request(address) {
            Ok(request) => request,
            Err(fact) => return (ReasonCode::L7Rsp, fact),
        };
        match client.execute(request).await {
            Ok(response) => self.judge(response).await,
            Err(error) => failure(&error, progress.phase()),
        }
    }

    fn request(&self, address: SocketAddr) -> Result<reqwest::Request, String> {
        let scheme = if self.tls { "https" } else { "http" };
        let name = match (self.host, address.ip()) {
            (Some(host), _) => host.to_owned(),
            (None, IpAddr::V4(ip)) => ip.to_string(),
            (None, IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        // `host` may carry a port, for the `Host` header; the connection goes to the endpoint's own.
        let bare = without_port(&name);
        let text = format!("{scheme}://{bare}:{}{}", address.port(), self.path);
        let mut url = Url::parse(&text).map_err(|error| format!("can not ask for {text}: {error}"))?;
        if url.domain().is_none() {
            // An address in `host` is for the header: it would be connected to as it stands, past our resolver.
            url.set_ip_host(address.ip()).map_err(|()| format!("can not ask for {text}"))?;
        }
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| format!("no method {}", self.method))?;
        let mut request = reqwest::Request::new(method, url);
        let host = HeaderValue::from_str(&name).map_err(|_| format!("no name for a Host header: {name}"))?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }

    async fn judge(&self, response: Response) -> (ReasonCode, String) {
        let status = response.status().as_u16();
        let detail = format!("status {status}");
        if !self.status.iter().any(|range| (range.first..=range.last).contains(&status)) {
            return (ReasonCode::L7Sts, detail);
        }
        match self.body {
            None => (ReasonCode::L7Ok, detail),
            Some(Body::Contains(text)) => match holds(response, text.as_bytes()).await {
                Ok(true) => (ReasonCode::L7Ok, detail),
                Ok(false) => (ReasonCode::L7Rsp, format!("{detail}, body lacks {text:?}")),
                Err(error) => failure(&error, Phase::Asking),
            },
        }
    }
}

/// Whether the body holds the text within its first [`BODY_BYTES_MAX`]; reads no further than it must.
async fn holds(mut response: Response, text: &[u8]) -> Result<bool, reqwest::Error> {
    let mut body: Vec<u8> = Vec::new();
    loop {
        // The text may begin in what came before.
        let searched = body.len().saturating_sub(text.len().saturating_sub(1));
        let Some(chunk) = response.chunk().await? else { return Ok(text.is_empty()) };
        let room = BODY_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if text.is_empty() || body[searched..].windows(text.len()).any(|part| part == text) {
            return Ok(true);
        }
        if body.len() == BODY_BYTES_MAX {
            return Ok(false);
        }
    }
}

/// What a request that failed in this phase found.
fn failure(error: &reqwest::Error, phase: Phase) -> (ReasonCode, String) {
    let causes = causes(error);
    if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return (ReasonCode::L6Rsp, tls_words(tls));
    }
    let io = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>());
    let words = io.map(tcp::words).or_else(|| causes.last().map(ToString::to_string)).unwrap_or_default();
    match phase {
        Phase::Connecting => (io.map_or(ReasonCode::L4Con, tcp::reason), words),
        Phase::Securing => (ReasonCode::L6Rsp, words),
        Phase::Asking => (ReasonCode::L7Rsp, words),
    }
}

/// What is wrong with a handshake; where rustls gives the name of a variant, in words.
fn tls_words(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(fault) = error else { return error.to_string() };
    match fault {
        CertificateError::UnknownIssuer => "the certificate's issuer is not trusted".to_owned(),
        // webpki's refusal of a certificate that may sign others, as `openssl req -x509` makes it.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is a CA's, such as a self-signed one, and no server's".to_owned()
        }
        fault => format!("invalid certificate: {fault}"),
    }
}

/// The error and what caused it, outermost first. An `io::Error` hides the error it wraps from `source`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
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
    fn a_self_signed_certificate_is_named_in_words() {
        let other = rustls::OtherError(std::sync::Arc::new(io::Error::other("CaUsedAsEndEntity")));
        for fault in [CertificateError::UnknownIssuer, CertificateError::Other(other)] {
            let words = tls_words(&rustls::Error::InvalidCertificate(fault));
            assert!(words.starts_with("the certificate") && !words.contains("Entity"), "{words}");
        }
    }

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
