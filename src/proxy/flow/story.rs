//! What happens to a flow, as it happens: for the log and the counts at its end.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::Version;

use crate::model::Moment;
use crate::proxy::back::BackFault;
use crate::proxy::cells::Failure;
use crate::proxy::flow::gate::Gate;
use crate::proxy::record::Cause;
use crate::proxy::record::Ended;
use crate::proxy::record::Phases;
use crate::proxy::record::Record;
use crate::proxy::record::Stage;
use crate::proxy::upstream::pool::Pool;
use crate::regional::pool::PoolPlan;

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides said their last; of UDP: nothing more came.
    Closed,
    /// Nothing came for too long.
    Idle,
    /// The client broke off.
    ClientReset,
    /// The endpoint broke off.
    EndpointReset,
    /// The client's first message was no TLS, too long, or too late.
    NoHello(&'static str),
    /// No route is for the server that the client named.
    NoRoute,
    /// No endpoint may be chosen.
    NoEndpoint,
    /// Every endpoint is full, and so is the queue.
    QueueFull,
    /// It waited too long there.
    QueueTimeout,
    /// No endpoint that was tried could be reached; whether the last one took too long.
    NotConnected {
        /// Instead of refusing.
        too_late: bool,
    },
    /// Its endpoint was taken out, and its time was up.
    Drained,
    /// Its endpoint was found down, and its pool wants flows closed then.
    EndpointDown,
    /// Its listener left, and its time was up.
    Stopped,
    /// Of UDP: its room was needed for another.
    Displaced,
}

impl End {
    /// The stable code of metrics.
    pub const fn code(self) -> &'static str {
        match self {
            End::Closed => "closed",
            End::Idle => "idle",
            End::ClientReset => "client_reset",
            End::EndpointReset => "endpoint_reset",
            End::NoHello(why) => why,
            End::NoRoute => "no_route",
            End::NoEndpoint => "no_endpoint",
            End::QueueFull => "queue_full",
            End::QueueTimeout => "queue_timeout",
            End::NotConnected { .. } => "connect_failed",
            End::Drained => "drained",
            End::EndpointDown => "endpoint_down",
            End::Stopped => "stopped",
            End::Displaced => "displaced",
        }
    }

    /// HAProxy's pair.
    const fn pair(self) -> Ended {
        match self {
            End::Closed => Ended::WELL,
            End::Idle => Ended(Cause::ClientTimeout, Stage::Data),
            End::ClientReset => Ended(Cause::Client, Stage::Data),
            End::EndpointReset => Ended(Cause::Server, Stage::Data),
            End::NoHello(_) | End::NoRoute => Ended(Cause::Refused, Stage::Request),
            End::NoEndpoint | End::NotConnected { too_late: false } => Ended(Cause::Server, Stage::Connect),
            End::NotConnected { too_late: true } => Ended(Cause::ServerTimeout, Stage::Connect),
            End::QueueFull => Ended(Cause::Resources, Stage::Queue),
            End::QueueTimeout => Ended(Cause::ServerTimeout, Stage::Queue),
            End::Drained | End::Stopped => Ended(Cause::Stopped, Stage::Data),
            End::EndpointDown => Ended(Cause::EndpointDown, Stage::Data),
            End::Displaced => Ended(Cause::Resources, Stage::Data),
        }
    }
}

/// One flow so far.
#[derive(Debug)]
pub struct FlowStory {
    began: Moment,
    kind: &'static str,
    /// The peer, or whom it speaks for.
    client: SocketAddr,
    /// Whom the client named.
    server: Option<Box<str>>,
    pool: Option<Rc<Pool>>,
    endpoint: Option<SocketAddr>,
    attempts: u8,
    phases: Phases,
    end: End,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
}

impl FlowStory {
    /// A flow of that kind begins, `tcp` or `udp`; until something else is told it was stopped from outside.
    pub fn begin(kind: &'static str, client: SocketAddr, now: Moment) -> Self {
        FlowStory {
            began: now,
            kind,
            client,
            server: None,
            pool: None,
            endpoint: None,
            attempts: 0,
            phases: Phases::default(),
            end: End::Stopped,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Its client is known to be another than the peer.
    pub fn is_for(&mut self, client: SocketAddr) {
        self.client = client;
    }

    /// Its first message came, and named that server, or none.
    pub fn hello(&mut self, server: Option<&str>, took: Duration) {
        self.server = server.map(Box::from);
        self.phases.head = took;
    }

    /// It goes to that pool.
    pub fn goes_to(&mut self, pool: &Rc<Pool>) {
        self.pool = Some(pool.clone());
    }

    /// It waited so long for an endpoint with room.
    pub fn queued(&mut self, length: Duration) {
        self.phases.queue = Some(length);
    }

    /// That endpoint is tried.
    pub fn tries(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(endpoint);
        self.attempts = self.attempts.saturating_add(1);
    }

    /// The endpoint could not be reached.
    pub fn not_connected(&self, pool: &Pool, fault: &BackFault) {
        pool.cell.failed(match fault {
            BackFault::ConnectTimeout => Failure::ConnectTimeout,
            BackFault::Tls(_) => Failure::Tls,
            _ => Failure::Connect,
        });
    }

    /// There is a connection, after so long.
    pub fn connected(&mut self, length: Duration) {
        self.phases.connect = Some(length);
    }

    /// It ended so.
    pub fn ends(&mut self, end: End) {
        self.end = end;
    }

    /// The code of its end.
    pub fn end(&self) -> &'static str {
        self.end.code()
    }

    /// The pool it went to.
    pub fn pool(&self) -> Option<&PoolPlan> {
        self.pool.as_ref().map(|pool| &*pool.plan)
    }

    /// All of it, for the log.
    pub fn record<'a>(&'a self, gate: &'a Gate, now: Moment) -> Record<'a> {
        Record {
            at: self.began,
            listener: &gate.plan.listener.name,
            region: &gate.plan.region,
            route: None,
            pool: self.pool().map(|pool| &*pool.name),
            endpoint: self.endpoint,
            sent_on_to: None,
            client: self.client.ip(),
            peer: self.client,
            flow: Some(self.kind),
            method: "",
            host: self.server.as_deref().unwrap_or_default(),
            path: "",
            query: None,
            version: Version::default(),
            status: 0,
            request_id: "",
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            phases: Phases { all: now.since(self.began), ..self.phases },
            ended: self.end.pair(),
            attempts: self.attempts,
            refusal: None,
            user_agent: None,
            referer: None,
            tls: None,
        }
    }
}
