//! An HTTP request and whether its answer is the one expected.
//!
//! Each probe opens a connection of its own (an old one would say nothing of whether new clients get in), follows no
//! redirect (that would ask somebody else), knows no proxy, and sends the request to the endpoint's address whatever
//! name it carries in `Host`. Over plain TCP it is hyper's connection alone, on a socket of ours: no client, pool or
//! resolver stands between, which halves what a probe costs. Over TLS see `https`.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::health::probe::ReasonCode;
use crate::model::{Body, StatusRange};
use crate::prober::clients::AGENT;
use crate::prober::deadline::{Deadline, drive};
use crate::prober::https::causes;
use crate::prober::{Found, tcp};

/// How much of a body is searched; a health page is small, and a wrong one may be endless.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of a response's head, and of what is read at once.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What is asked for and what is expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) host: Option<&'a str>,
    pub(super) status: &'a [StatusRange],
    pub(super) body: Option<&'a Body>,
}

impl<'a> Request<'a> {
    /// Asks over plain TCP and judges the answer.
    pub(super) async fn check(self, address: SocketAddr, mut deadline: Deadline) -> Found {
        let made = match self.made(address) {
            Ok(made) => made,
            Err(fact) => return (ReasonCode::L7Rsp, fact),
        };
        let stream = match tcp::connect(address, &mut deadline).await {
            Ok(stream) => stream,
            Err(found) => return found,
        };
        deadline.within(self.over(stream, made)).await.unwrap_or_else(|| deadline.no_response())
    }

    async fn over(self, stream: TcpStream, made: hyper::Request<String>) -> Found {
        let mut builder = http1::Builder::new();
        let shaken = builder.max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = match shaken {
            Ok(parts) => parts,
            Err(error) => return failure(&error),
        };
        let exchange = async {
            match sender.send_request(made).await {
                Ok(response) => self.judge(response).await,
                Err(error) => failure(&error),
            }
        };
        drive(exchange, connection).await
    }

    fn made(self, address: SocketAddr) -> Result<hyper::Request<String>, String> {
        let builder = hyper::Request::builder().method(self.method).uri(encoded(self.path));
        let builder = builder.header(HOST, self.name(address)).header(CONNECTION, "close");
        let made = builder.header(USER_AGENT, AGENT).header(ACCEPT, "*/*").body(String::new());
        made.map_err(|error| format!("can not ask for {}: {error}", self.path))
    }

    /// What stands in the `Host` header.
    pub(super) fn name(self, address: SocketAddr) -> String {
        match (self.host, address.ip()) {
            (Some(host), _) => host.to_owned(),
            (None, IpAddr::V4(ip)) => ip.to_string(),
            (None, IpAddr::V6(ip)) => format!("[{ip}]"),
        }
    }

    /// What is left to be looked for in a response with this status, or the verdict on it.
    pub(super) fn search(self, status: u16) -> Result<Search<'a>, Found> {
        if !self.status.iter().any(|range| (range.first..=range.last).contains(&status)) {
            return Err((ReasonCode::L7Sts, format!("status {status}")));
        }
        match self.body {
            None => Err((ReasonCode::L7Ok, format!("status {status}"))),
            Some(Body::Contains(text)) => Ok(Search { text, body: Vec::new(), found: text.is_empty() }),
        }
    }

    async fn judge(self, mut response: Response<Incoming>) -> Found {
        let status = response.status().as_u16();
        let mut search = match self.search(status) {
            Ok(search) => search,
            Err(found) => return found,
        };
        while !search.is_over() {
            match poll_fn(|context| Pin::new(response.body_mut()).poll_frame(context)).await {
                Some(Ok(frame)) => frame.data_ref().into_iter().for_each(|chunk| search.read(chunk)),
                Some(Err(error)) => return failure(&error),
                None => break,
            }
        }
        search.verdict(status)
    }
}

/// A text being looked for in a body, within its first [`BODY_BYTES_MAX`].
#[derive(Debug)]
pub(super) struct Search<'a> {
    text: &'a str,
    body: Vec<u8>,
    found: bool,
}

impl Search<'_> {
    /// Whether no more of the body need be read.
    pub(super) fn is_over(&self) -> bool {
        self.found || self.body.len() == BODY_BYTES_MAX
    }

    /// Looks into the next part of the body.
    pub(super) fn read(&mut self, chunk: &[u8]) {
        let text = self.text.as_bytes();
        // The text may begin in what came before.
        let searched = self.body.len().saturating_sub(text.len().saturating_sub(1));
        let room = BODY_BYTES_MAX - self.body.len();
        self.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        self.found |= self.body[searched..].windows(text.len().max(1)).any(|part| part == text);
    }

    /// What the search came to.
    pub(super) fn verdict(self, status: u16) -> Found {
        match self.found {
            true => (ReasonCode::L7Ok, format!("status {status}")),
            false => (ReasonCode::L7Rsp, format!("status {status}, body lacks {:?}", self.text)),
        }
    }
}

/// A request failed after it had been connected.
fn failure(error: &hyper::Error) -> Found {
    let causes = causes(error);
    let io = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>());
    let words = io.map(tcp::words).or_else(|| causes.last().map(|cause| (cause as &dyn Error).to_string()));
    (ReasonCode::L7Rsp, words.unwrap_or_default())
}

/// What RFC 3986 has in no part of a path or query is percent-encoded, as browsers do.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => out.push_str(&format!("%{:02X}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HTTP: Request<'_> = Request { method: "GET", path: "/", host: None, status: &[], body: None };

    proptest! {
        /// Whatever `config` takes for a path can be asked for.
        #[test]
        fn every_path_can_be_asked_for(path in "/[!-\"$-~]*") {
            let made = Request { path: &path, ..HTTP }.made("192.0.2.1:80".parse().unwrap());
            prop_assert!(made.is_ok(), "{:?}", made);
        }

        /// However a body is cut, what stands in it is found.
        #[test]
        fn a_text_is_found_in_any_chunks(before: Vec<u8>, after: Vec<u8>, cuts in prop::collection::vec(1usize..9, 1..9)) {
            let body = [&before[..], b"ready", &after[..]].concat();
            let mut search = Search { text: "ready", body: Vec::new(), found: false };
            let (mut rest, mut cuts) = (&body[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (chunk, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                search.read(chunk);
                rest = more;
            }
            prop_assert!(search.found);
        }
    }
}
