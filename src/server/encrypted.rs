//! DNS over HTTPS and over QUIC, by hickory-server.
//!
//! HTTP/2 and QUIC are hickory's; the answer is the one function's: a query's raw bytes go to [`Answer`], and the reply,
//! decoded, goes back through hickory's encoder, which is the only way in. Header, extended response code, records and
//! EDNS options survive that; compression may differ.
//!
//! What hickory-server 0.26.3 does not do, and `tests/transport.rs` says so: GET and Cache-Control for DoH, connection
//! caps for both, more than one QUIC handshake at a time, and zone transfers. What its own parser refuses it answers
//! FORMERR without asking us.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Header, HeaderCounts, Message, Metadata, ResponseCode};
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::responder::MESSAGE_BYTES_MAX;
use crate::responder::Transport;
use crate::server::answer::Answer;
use crate::server::counters::Counters;
use crate::server::counters::Tally;
use crate::server::dice::Dice;
use crate::server::tls::Certificate;

/// RFC 8484 section 4.1.1's example, and what every client tries first.
const HTTP_PATH: &str = "/dns-query";

/// A DoH or DoQ listener.
pub struct Encrypted {
    server: hickory_server::Server<Handler>,
}

trait AnswerAlone: Send + Sync {
    /// The reply, and what to count; `None`: nothing may be sent.
    fn reply(&self, request: &Request, tally: &mut Tally) -> Option<Vec<u8>>;
}

/// What hickory hands requests to.
struct Handler {
    answer: Box<dyn AnswerAlone>,
    counters: Arc<Counters>,
}

struct Alone<A> {
    answer: Arc<A>,
    dice: Mutex<Dice>,
}

impl Encrypted {
    /// Serves DNS over HTTPS; inside a tokio runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn https<A: Answer>(
        listener: TcpListener,
        certificate: &Arc<Certificate>,
        idle: Duration,
        answer: &Arc<A>,
        counters: &Arc<Counters>,
    ) -> io::Result<Self> {
        let mut server = hickory_server::Server::new(Handler::new(answer, counters));
        let tls = certificate.server_config(b"h2", rustls::ALL_VERSIONS);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        server.register_https_listener_with_tls_config(listener, idle, tls, None, HTTP_PATH.to_owned())?;
        Ok(Encrypted { server })
    }

    /// Serves DNS over QUIC; inside a tokio runtime.
    ///
    /// # Errors
    /// The system's, or QUIC's.
    pub fn quic<A: Answer>(
        socket: UdpSocket,
        certificate: &Arc<Certificate>,
        idle: Duration,
        answer: &Arc<A>,
        counters: &Arc<Counters>,
    ) -> io::Result<Self> {
        let mut server = hickory_server::Server::new(Handler::new(answer, counters));
        let tls = certificate.server_config(b"doq", &[&rustls::version::TLS13]);
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        server.register_quic_listener_and_tls_config(socket, idle, tls).map_err(io::Error::other)?;
        Ok(Encrypted { server })
    }

    /// Serves until `stop` becomes true, then lets requests finish for at most `drain`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>, drain: Duration) {
        let ended = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => None,
            ended = self.server.block_until_done() => Some(ended),
        };
        match ended {
            None => drop(timeout(drain, self.server.shutdown_gracefully()).await),
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!("an encrypted listener ended: {error}; restart rhumb to open it again");
            }
        }
    }
}

impl Handler {
    fn new<A: Answer>(answer: &Arc<A>, counters: &Arc<Counters>) -> Self {
        let alone = Alone { answer: answer.clone(), dice: Mutex::new(Dice::new()) };
        Handler { answer: Box::new(alone), counters: counters.clone() }
    }
}

impl<A: Answer> AnswerAlone for Alone<A> {
    fn reply(&self, request: &Request, tally: &mut Tally) -> Option<Vec<u8>> {
        let transport = if request.protocol() == Protocol::Quic { Transport::Quic } else { Transport::Https };
        let random = self.dice.lock().unwrap_or_else(PoisonError::into_inner).roll();
        let mut out = vec![0; MESSAGE_BYTES_MAX];
        let source = request.src().ip().to_canonical();
        let outcome = self.answer.answer(&self.answer.view(), request.as_slice(), source, transport, random, &mut out);
        tally.count(&outcome);
        out.truncate(outcome.bytes);
        (outcome.bytes > 0).then_some(out)
    }
}

impl Handler {
    /// The reply as hickory wants it.
    fn reply(&self, request: &Request) -> Reply {
        let mut tally = Tally { queries: 1, ..Tally::default() };
        let reply = match catch_unwind(AssertUnwindSafe(|| self.answer.reply(request, &mut tally))) {
            Ok(Some(bytes)) => Message::from_vec(&bytes).map_or(Reply::Failure, |m| Reply::Message(Box::new(m))),
            Ok(None) => Reply::Nothing,
            Err(_panic) => {
                tally.panics = 1;
                Reply::Failure
            }
        };
        self.counters.add(&tally);
        reply
    }
}

enum Reply {
    Message(Box<Message>),
    /// A defect of ours.
    Failure,
    Nothing,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut to: R) -> ResponseInfo {
        let builder = MessageResponseBuilder::new(&request.queries, None);
        let sent = match self.reply(request) {
            Reply::Message(message) => {
                let mut builder = builder;
                if let Some(edns) = &message.edns {
                    builder.edns(edns);
                }
                let none = std::iter::empty;
                to.send_response(builder.build(
                    message.metadata,
                    &message.answers,
                    &message.authorities,
                    none(),
                    &message.additionals,
                ))
                .await
            }
            Reply::Failure => to.send_response(builder.error_msg(&request.metadata, ResponseCode::ServFail)).await,
            Reply::Nothing => Ok(unsent(&request.metadata)),
        };
        sent.unwrap_or_else(|error| {
            tracing::debug!(client = %request.src(), "the response could not be sent: {error}");
            self.counters.add(&Tally { unsent: 1, ..Tally::default() });
            unsent(&request.metadata)
        })
    }
}

/// hickory wants to hear what was sent even when nothing was.
fn unsent(request: &Metadata) -> ResponseInfo {
    let metadata = Metadata::response_from_request(request);
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}
