//! The command line's side of the admin socket.

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::admin::dto::ProblemSaid;

/// How long an answer may take; a reload of large files takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientError {
    /// Nobody answers there.
    Unreachable(String),
    /// The server says no.
    Refused(Box<ProblemSaid>),
}

/// Asks with GET.
///
/// # Errors
/// Nobody answers, or the server says no.
pub async fn get<T: DeserializeOwned>(socket: &Path, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
    let request = client(socket)?.get(url(path)).query(query);
    answer(socket, request).await
}

/// Orders with POST.
///
/// # Errors
/// Nobody answers, or the server says no.
pub async fn post<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    let request = client(socket)?.post(url(path));
    answer(socket, request).await
}

fn url(path: &str) -> String {
    format!("http://rhumb{path}")
}

fn client(socket: &Path) -> Result<reqwest::Client, ClientError> {
    // Nothing here speaks TLS, but the client is built with what it would need.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().unix_socket(socket.to_owned()).timeout(PATIENCE).build();
    client.map_err(|e| ClientError::Unreachable(e.to_string()))
}

/// What the system said, below what each layer says of the next.
fn root_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(below) => root_cause(below),
        None => error.to_string(),
    }
}

async fn answer<T: DeserializeOwned>(socket: &Path, request: reqwest::RequestBuilder) -> Result<T, ClientError> {
    let unreachable = |e: reqwest::Error| {
        ClientError::Unreachable(format!("no server answers at {}: {}", socket.display(), root_cause(&e)))
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|e| ClientError::Unreachable(format!("{} does not speak as rhumb does: {e}", socket.display())));
    }
    let said = serde_json::from_slice(&body).unwrap_or_else(|_| ProblemSaid {
        kind: "about:blank".to_owned(),
        status: status.as_u16(),
        title: status.to_string(),
        detail: String::from_utf8_lossy(&body).into_owned(),
        ..ProblemSaid::default()
    });
    Err(ClientError::Refused(Box::new(said)))
}
