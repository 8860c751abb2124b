//! What happens to a request, as it happens: for the log and the counts at its end.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::Version;
use http::header;

use crate::model::Moment;
use crate::proxy::asked::Asked;
use crate::proxy::back::BackFault;
use crate::proxy::cells::Failure;
use crate::proxy::client::Client;
use crate::proxy::decide::Known;
use crate::proxy::front::FrontFault;
use crate::proxy::record::Cause;
use crate::proxy::record::Ended;
use crate::proxy::record::Phases;
use crate::proxy::record::Record;
use crate::proxy::record::Stage;
use crate::proxy::relay::Fault;
use crate::proxy::upstream::pool::Pool;
use crate::regional::pool::PoolPlan;

/// One request so far.
#[derive(Debug)]
pub struct Story {
    began: Moment,
    method: Method,
    version: Version,
    known: Option<Known>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    pool: Option<Rc<Pool>>,
    is_sent_on: bool,
    endpoint: Option<SocketAddr>,
    attempts: u8,
    phases: Phases,
    ended: Ended,
    refusal: Option<&'static str>,
    status: u16,
    bytes_in: u64,
}

impl Story {
    /// A request begins. What only the log wants is kept only when there is one.
    pub fn begin(asked: &Asked, is_logged: bool) -> Self {
        let kept = |name| asked.headers.get(name).filter(|_| is_logged).cloned();
        Story {
            began: asked.began,
            method: asked.method.clone(),
            version: asked.version,
            known: None,
            user_agent: kept(header::USER_AGENT),
            referer: kept(header::REFERER),
            pool: None,
            is_sent_on: false,
            endpoint: None,
            attempts: 0,
            phases: Phases { head: asked.head_took, ..Phases::default() },
            ended: Ended::WELL,
            refusal: None,
            status: 0,
            bytes_in: asked.head_bytes,
        }
    }

    /// Of bytes that are no head.
    pub fn of_no_head(now: Moment) -> Self {
        Story {
            began: now,
            method: Method::default(),
            version: Version::HTTP_11,
            known: None,
            user_agent: None,
            referer: None,
            pool: None,
            is_sent_on: false,
            endpoint: None,
            attempts: 0,
            phases: Phases::default(),
            ended: Ended::WELL,
            refusal: None,
            status: 0,
            bytes_in: 0,
        }
    }

    /// What was understood of it.
    pub fn knows(&mut self, known: Known) {
        self.known = Some(known);
    }

    /// The place of its route.
    pub fn route(&self) -> Option<usize> {
        self.known.as_ref().and_then(|known| known.route)
    }

    /// The pool it was sent to.
    pub fn pool(&self) -> Option<&PoolPlan> {
        self.pool.as_ref().map(|pool| &*pool.plan)
    }

    /// Whether another region was asked to serve it.
    pub fn is_sent_on(&self) -> bool {
        self.is_sent_on
    }

    /// It may not pass, for this reason.
    pub fn refused(&mut self, code: &'static str) {
        self.refusal = Some(code);
        self.ended = Ended(Cause::Refused, Stage::Request);
    }

    /// We answer as the route says.
    pub fn answered_here(&mut self) {
        self.ended = Ended(Cause::Answered, Stage::Request);
    }

    /// It goes to this pool, which may be another region's.
    pub fn goes_to(&mut self, pool: &Rc<Pool>, is_sent_on: bool) {
        self.pool = Some(pool.clone());
        self.is_sent_on = is_sent_on;
    }

    /// It is sent there.
    pub fn tries(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(endpoint);
        self.attempts = self.attempts.saturating_add(1);
        // Of the last attempt, as HAProxy has it.
        (self.phases.connect, self.phases.response) = (None, None);
    }

    /// It waited that long for an endpoint.
    pub fn queued(&mut self, length: Duration) {
        self.phases.queue = Some(length);
    }

    /// There was a connection after so long.
    pub fn connected(&mut self, length: Duration) {
        self.phases.connect = Some(length);
    }

    /// The response's head was there after so long.
    pub fn headed(&mut self, length: Duration) {
        self.phases.response = Some(length);
    }

    /// The status that the client gets.
    pub fn gets(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    /// So much of its body came.
    pub fn came(&mut self, bytes: u64) {
        self.bytes_in += bytes;
    }

    /// Nobody could be chosen.
    pub fn nobody(&mut self) {
        self.ended = Ended(Cause::Server, Stage::Connect);
    }

    /// Too many wait already.
    pub fn queue_full(&mut self) {
        self.refusal = Some("queue_full");
        self.ended = Ended(Cause::Resources, Stage::Queue);
    }

    /// It waited too long.
    pub fn queue_timed_out(&mut self) {
        self.ended = Ended(Cause::ServerTimeout, Stage::Queue);
    }

    /// The client has gone, or did what ends a request; `is_data` when the response was under way.
    pub fn client_failed(&mut self, is_data: bool) {
        self.ended = Ended(Cause::Client, if is_data { Stage::Data } else { self.stage() });
    }

    /// The client was waited for too long.
    pub fn client_timed_out(&mut self) {
        self.ended = Ended(Cause::ClientTimeout, self.stage());
    }

    /// An endpoint failed it.
    pub fn upstream_failed(&mut self, pool: &Pool, fault: &BackFault) {
        pool.cell.failed(kind(fault));
        let stage = if fault.is_before_any_work() { Stage::Connect } else { Stage::Headers };
        let cause = if matches!(fault, BackFault::ConnectTimeout) { Cause::ServerTimeout } else { Cause::Server };
        self.ended = Ended(cause, stage);
    }

    /// An endpoint took too long.
    pub fn upstream_timed_out(&mut self, pool: &Pool) {
        pool.cell.failed(Failure::ResponseTimeout);
        self.ended = Ended(Cause::ServerTimeout, self.stage());
    }

    /// It is tried again.
    pub fn retries(&mut self, pool: &Pool) {
        pool.cell.retried();
        self.ended = Ended::WELL;
    }

    /// It was broken off while the response was under way.
    pub fn broke_off(&mut self, pool: &Pool, fault: &Fault) {
        let cause = match fault {
            Fault::Front(FrontFault::Gone(_)) => Cause::Client,
            Fault::Front(_) => Cause::Refused,
            Fault::FrontTimeout => Cause::ClientTimeout,
            Fault::BackTimeout => Cause::ServerTimeout,
            Fault::Back(_) => Cause::Server,
        };
        match fault {
            Fault::Back(fault) => pool.cell.failed(kind(fault)),
            Fault::BackTimeout => pool.cell.failed(Failure::ResponseTimeout),
            _ => {}
        }
        self.ended = Ended(cause, Stage::Data);
    }

    /// It was ended because its time was up: what it came through, or went to, was taken away.
    pub fn stopped(&mut self) {
        self.ended = Ended(Cause::Stopped, if self.status == 0 { self.stage() } else { Stage::Data });
    }

    fn stage(&self) -> Stage {
        match (self.endpoint, self.phases.connect) {
            (None, _) if self.phases.queue.is_some() => Stage::Queue,
            (None, _) => Stage::Request,
            (Some(_), None) => Stage::Connect,
            (Some(_), Some(_)) => Stage::Headers,
        }
    }

    /// When its head was there.
    pub fn arrived(&self) -> Moment {
        self.began + self.phases.head
    }

    /// How long it took, were it over now.
    pub fn took(&self, now: Moment) -> Duration {
        now.since(self.began)
    }

    /// The status that the client got; 0 for none.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Bytes of the request.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Why it was not served.
    pub fn refusal(&self) -> Option<&'static str> {
        self.refusal
    }

    /// All of it, for the log.
    pub fn record<'a>(&'a self, client: &'a Client, bytes_out: u64, now: Moment) -> Record<'a> {
        let front = &client.door.front;
        let known = self.known.as_ref();
        let route = known.and_then(|known| front.plan.routes().get(known.route?));
        Record {
            at: self.began,
            listener: &front.listener.name,
            region: &front.region,
            route: route.map(|route| route.name.as_str()),
            pool: self.pool.as_ref().map(|pool| &*pool.plan.name),
            sent_on_to: self.pool.as_ref().filter(|_| self.is_sent_on).map(|pool| &*pool.plan.region),
            endpoint: self.endpoint,
            client: known.map_or(client.peer.ip(), |known| known.client) as IpAddr,
            peer: client.peer,
            flow: None,
            method: self.method.as_str(),
            host: known.map_or("", |known| &known.host),
            path: known.map_or("", |known| &known.path),
            query: known.and_then(|known| known.query.as_deref()),
            version: self.version,
            status: self.status,
            request_id: known.and_then(|known| known.request_id.to_str().ok()).unwrap_or_default(),
            bytes_in: self.bytes_in,
            bytes_out,
            phases: Phases { all: now.since(self.began), ..self.phases },
            ended: self.ended,
            attempts: self.attempts,
            refusal: self.refusal,
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
            referer: self.referer.as_ref().map(HeaderValue::as_bytes),
            tls: client.tls.as_ref().map(|tls| tls.version),
        }
    }
}

fn kind(fault: &BackFault) -> Failure {
    match fault {
        BackFault::Connect(_) => Failure::Connect,
        BackFault::ConnectTimeout => Failure::ConnectTimeout,
        BackFault::Tls(_) => Failure::Tls,
        BackFault::Reset(_) | BackFault::Closed | BackFault::Stream(_) => Failure::Reset,
        BackFault::Malformed => Failure::Malformed,
        BackFault::RefusedStream => Failure::RefusedStream,
    }
}
