//! The command line's side of the admin API: over the Unix socket, or over HTTP.
//!
//! What goes wrong is one of two things: nobody answers there, or the server says no. Both come as sentences for people;
//! which way out to name is the caller's to know.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::dto::ProblemSaid;
use crate::admin::messages::Message;
use crate::admin::messages::Messages;
use crate::model::plain_words;

/// How long an answer may take unless told; a reload of large files takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a connection over the network may take to come about.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// A server's answer is refused beyond this: nothing that we ask for comes near it.
const BODY_BYTES_MAX: usize = 256 << 20;

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientError {
    /// Nobody answers there, or not as rhumb does; a sentence.
    Unreachable(String),
    /// The server says no.
    Refused(Box<ProblemSaid>),
}

/// A running server, and how it is asked.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    shown: String,
}

/// A server that is asked over HTTP.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    /// `http://HOST:PORT` or `https://HOST:PORT`, with or without a `/` at the end.
    pub url: String,
    /// The secret that allows changes.
    pub token: Option<String>,
    /// Roots to trust, as PEM; the system's when absent.
    pub roots: Option<Vec<u8>>,
}

impl Client {
    /// The server behind a Unix socket.
    ///
    /// # Errors
    /// A sentence, when the system gives no client.
    pub fn of_socket(path: &Path) -> Result<Self, ClientError> {
        let http = builder().unix_socket(PathBuf::from(path)).build();
        let http = http.map_err(|e| ClientError::Unreachable(root_cause(&e)))?;
        Ok(Client { http, base: "http://localhost".to_owned(), token: None, shown: path.display().to_string() })
    }

    /// The server behind a URL.
    ///
    /// # Errors
    /// A sentence about the roots of trust that are no PEM.
    pub fn of_url(remote: Remote) -> Result<Self, ClientError> {
        let unusable = |e: reqwest::Error| ClientError::Unreachable(root_cause(&e));
        let base = remote.url.trim_end_matches('/').to_owned();
        // Configuration is what decides where a request goes; a proxy in the environment is not asked to carry a token.
        let mut http = builder().no_proxy().connect_timeout(CONNECT_PATIENCE);
        if base.starts_with("https:") {
            let roots = match &remote.roots {
                Some(pem) => reqwest::Certificate::from_pem_bundle(pem).map_err(unusable)?,
                None => system_roots(),
            };
            http = http.tls_certs_only(roots);
        }
        let http = http.build().map_err(unusable)?;
        Ok(Client { http, shown: base.clone(), base, token: remote.token })
    }

    /// What people know the server by: the socket's path or the URL.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Asks with GET.
    ///
    /// # Errors
    /// Nobody answers, or the server says no.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        self.answer(self.request(reqwest::Method::GET, path).query(query)).await
    }

    /// Asks for a text with GET.
    ///
    /// # Errors
    /// Nobody answers, or the server says no.
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        let body = self.body(self.request(reqwest::Method::GET, path)).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Orders with PUT.
    ///
    /// # Errors
    /// Nobody answers, or the server says no.
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.answer(with_body(self.request(reqwest::Method::PUT, path), body)).await
    }

    /// Orders with POST; waits at most `patience`, which has a default.
    ///
    /// # Errors
    /// Nobody answers, or the server says no.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, patience: Option<Duration>) -> Result<T, ClientError> {
        let request = self.request(reqwest::Method::POST, path).timeout(patience.unwrap_or(PATIENCE));
        self.answer(request).await
    }

    /// Asks with POST and a body.
    ///
    /// # Errors
    /// Nobody answers, or the server says no.
    pub async fn post_body<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.answer(with_body(self.request(reqwest::Method::POST, path), body)).await
    }

    /// Takes back with DELETE.
    ///
    /// # Errors
    /// Nobody answers, or the server says no.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        self.answer(self.request(reqwest::Method::DELETE, path).query(query)).await
    }

    /// Follows a stream of events (SSE), after the one with the id `after` where that is known.
    ///
    /// # Errors
    /// Nobody answers, or the server says no.
    pub async fn stream(&self, path: &str, after: Option<&str>) -> Result<Stream, ClientError> {
        let mut request = self.http.get(self.url(path)).header("Accept", "text/event-stream");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if response.status().is_success() {
            return Ok(Stream { response, messages: Messages::default(), shown: self.shown.clone() });
        }
        let status = response.status();
        Err(self.refused(status, &self.whole(response).await?))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, self.url(path)).timeout(PATIENCE);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let why = if error.is_timeout() { "it took too long".to_owned() } else { root_cause(error) };
        ClientError::Unreachable(format!("no server answers at {}: {why}", self.shown))
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, ClientError> {
        let body = self.body(request).await?;
        // 204 has no body; `null` is what reads as nothing.
        let body = if body.is_empty() { b"null".to_vec() } else { body };
        serde_json::from_slice(&body)
            .map_err(|e| ClientError::Unreachable(format!("{} answers, but not as this rhumb does: {e}", self.shown)))
    }

    async fn body(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, ClientError> {
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let body = self.whole(response).await?;
        if status.is_success() { Ok(body) } else { Err(self.refused(status, &body)) }
    }

    /// What the server says; whoever does not say it as a problem is none of ours.
    fn refused(&self, status: reqwest::StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<ProblemSaid>(body) {
            Ok(said) => ClientError::Refused(Box::new(said)),
            Err(_) => ClientError::Unreachable(format!("{} answers {status}, and not as rhumb does", self.shown)),
        }
    }

    async fn whole(&self, mut response: reqwest::Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(ClientError::Unreachable(format!("the answer of {} has no end", self.shown)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// A stream of events that is being followed.
#[derive(Debug)]
pub struct Stream {
    response: reqwest::Response,
    messages: Messages,
    shown: String,
}

impl Stream {
    /// The next event; nothing when the server ended the stream.
    ///
    /// # Errors
    /// The connection is lost, or what comes has no end.
    pub async fn next(&mut self) -> Result<Option<Message>, ClientError> {
        loop {
            if let Some(message) = self.messages.next() {
                return Ok(Some(message));
            }
            let lost = |why: &str| ClientError::Unreachable(format!("the stream of {} is lost: {why}", self.shown));
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.messages.take(&chunk).map_err(lost)?,
                Ok(None) => return Ok(None),
                Err(error) => return Err(lost(&root_cause(&error))),
            }
        }
    }
}

fn builder() -> reqwest::ClientBuilder {
    // A Unix socket speaks no TLS, but the client is built with what it would need.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
}

fn system_roots() -> Vec<reqwest::Certificate> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().filter_map(|der| reqwest::Certificate::from_der(der).ok()).collect()
}

fn with_body(request: reqwest::RequestBuilder, body: &impl Serialize) -> reqwest::RequestBuilder {
    let text = serde_json::to_vec(body).expect("the shapes of the API hold only text, numbers and lists");
    request.header("Content-Type", "application/json").body(text)
}

/// What the system said, below what each layer says of the next.
fn root_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(below) => root_cause(below),
        None => plain_words(&error),
    }
}
