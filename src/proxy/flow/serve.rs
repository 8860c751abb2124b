//! A connection that is carried unread, from its first byte to its end.
//!
//! ```text
//! for whom ─→ server's name ─→ pool ─→ endpoint ─→ connect ─→ carry, both ways ─→ account
//! (PROXY)     (passthrough)             ▲            │
//!                                       └── failed ──┘
//! ```
//!
//! **A flow is broken off, not closed, when it cannot be carried**: where no endpoint is reached, and where one side was reset,
//! the other is reset too (RFC 9293 section 3.5.2). A close would say that all was said.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::balance::ask::TRIES_MAX;
use crate::balance::breaker::Outcome;
use crate::balance::live::Failure;
use crate::model::Moment;
use crate::proxy::accept::Counted;
use crate::proxy::accept::PROXY_HEADER_WITHIN;
use crate::proxy::back::BackFault;
use crate::proxy::core::Core;
use crate::proxy::core::View;
use crate::proxy::drain;
use crate::proxy::flow::carry::Carried;
use crate::proxy::flow::carry::Ends;
use crate::proxy::flow::carry::carry;
use crate::proxy::flow::gate::Gate;
use crate::proxy::flow::half::Half;
use crate::proxy::flow::hello;
use crate::proxy::flow::story::End;
use crate::proxy::flow::story::FlowStory;
use crate::proxy::listening::Listening;
use crate::proxy::proxy_protocol::Header;
use crate::proxy::stream::Stream;
use crate::proxy::upstream::endpoint::InFlight;
use crate::proxy::upstream::pool::Chosen;
use crate::proxy::upstream::pool::Pool;
use crate::regional::choice::Wish;
use crate::regional::flow;
use crate::regional::which;

/// Connections that are tried for one flow, as HAProxy does with `retries 3`: more than that many at once are not down by chance.
const ATTEMPTS_MAX: usize = if TRIES_MAX < 4 { TRIES_MAX } else { 4 };

/// Serves a connection to its end.
pub async fn serve(core: Rc<Core>, listening: Rc<Listening>, socket: TcpStream, peer: SocketAddr) {
    let Some((view, gate)) = listening.gate(&core) else { return };
    let Some(_held) = gate.bounds.connection(gate.plan.listener.limits.connections_max) else {
        return gate.cell.refused("connections_max");
    };
    let _counted = Counted::new(gate.cell.clone());
    if view.world.health.is_withdrawn(gate.plan.listener.region) {
        gate.cell.came_late();
    }
    let story = FlowStory::begin("tcp", peer, core.now());
    let mut account = Account { core: &core, gate: &gate, story };
    // On the heap while it lasts: a flow that is carried shall be small, for it may wait for hours.
    let begun = Box::pin(begin(&core, &view, &listening, &gate, socket, peer, &mut account.story)).await;
    // What may last holds no world.
    drop(view);
    if let Some(carried) = begun {
        let end = carry(&core, &gate, carried, &mut account.story).await;
        account.story.ends(end);
    }
}

/// A flow is counted and logged, even where its task is ended from outside.
struct Account<'a> {
    core: &'a Core,
    gate: &'a Gate,
    story: FlowStory,
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        self.core.account_flow(self.gate, &self.story);
    }
}

/// To the moment that both sides are there.
async fn begin(
    core: &Rc<Core>,
    view: &Rc<View>,
    listening: &Listening,
    gate: &Gate,
    mut socket: TcpStream,
    peer: SocketAddr,
    story: &mut FlowStory,
) -> Option<Carried> {
    let listener = &gate.plan.listener;
    // A call that only PROXY protocol needs.
    let local = match listener.proxy_protocol_to {
        None => listener.bind,
        Some(_) => socket.local_addr().unwrap_or(listener.bind),
    };
    let Ok(client) = listening.proxies.client(&mut socket, peer, PROXY_HEADER_WITHIN).await else {
        gate.cell.refused("proxy_header");
        story.ends(End::NoHello("proxy_header"));
        return None;
    };
    story.is_for(client);
    if gate.bounds.asks_too_often(client.ip(), core.now()).is_some() {
        gate.cell.refused("client_rate");
        story.ends(End::NoHello("client_rate"));
        return None;
    }
    let (mut first, mut server) = (Vec::new(), None);
    if gate.plan.reads_hello {
        let began = core.now();
        match timeout(gate.plan.timeouts.hello, hello::read(&socket, &mut first)).await {
            Ok(Ok(named)) => server = named,
            Ok(Err(why)) => return refuse(gate, story, why),
            Err(_) => return refuse(gate, story, "hello_timeout"),
        }
        story.hello(server.as_deref(), core.now().since(began));
    }
    let (model, health) = (&view.world.snapshot.model, &view.world.health);
    let Some(own) = gate.plan.pool(server.as_deref()) else {
        story.ends(End::NoRoute);
        gate.cell.refused("no_route");
        reset(&socket);
        return None;
    };
    let Some(pool) = view.pool(which::pool(model, health, own)) else {
        story.ends(End::NoEndpoint);
        reset(&socket);
        return None;
    };
    story.goes_to(pool);
    pool.request(core.now());
    let key = flow::key(&pool.plan, client.ip());
    let wish = Wish { key, draw: core.draw(), sticky: None };
    let before = listener.proxy_protocol_to.map(|version| Header::of(version, client, local));
    let opening = Opening { core, view, gate, pool, wish, before, client: &socket };
    match opening.open(story).await {
        Ok(Opened { stream, at, in_flight, began }) => {
            let time = drain::time(listener.drain_timeout, core.draw());
            let tunnel = in_flight.endpoint.tunnels.enter(core.deadlines.another(), time);
            let up = Half::holding(first);
            // In TLS, and after a header, something was written already.
            let is_first = !stream.is_tls() && listener.proxy_protocol_to.is_none();
            let (up, down) = (if is_first { up.delayed() } else { up }, Half::default());
            let (client, server) = (Stream::Plain(socket), stream);
            let (pool, ends) = (pool.clone(), Ends::default());
            Some(Carried { client, server, up, down, pool, at, in_flight, tunnel, began, ends })
        }
        Err(end) => {
            story.ends(end);
            reset(&socket);
            None
        }
    }
}

fn refuse(gate: &Gate, story: &mut FlowStory, why: &'static str) -> Option<Carried> {
    gate.cell.refused(why);
    story.ends(End::NoHello(why));
    None
}

/// The next close is a reset.
pub(super) fn reset(socket: &TcpStream) {
    // Where that cannot be had, a close must do.
    _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// A connection to an endpoint, and the flow's place there.
struct Opened {
    stream: Stream,
    at: usize,
    in_flight: InFlight,
    began: Moment,
}

/// What it takes to find an endpoint for a flow.
struct Opening<'a> {
    core: &'a Rc<Core>,
    view: &'a Rc<View>,
    gate: &'a Gate,
    pool: &'a Rc<Pool>,
    wish: Wish,
    before: Option<Header>,
    client: &'a TcpStream,
}

impl Opening<'_> {
    /// A connection to an endpoint with room; nothing has been sent yet, so any that can be reached will do.
    async fn open(&self, story: &mut FlowStory) -> Result<Opened, End> {
        let (mut tried, mut tries) = ([0u32; ATTEMPTS_MAX], 0);
        loop {
            let (at, in_flight) = self.admit(&tried[..tries], story).await?;
            story.tries(in_flight.endpoint.address);
            let began = self.core.now();
            let way = &in_flight.endpoint.way;
            let before = self.before.as_ref().map(Header::bytes);
            let fault = match way.connect_unread(in_flight.endpoint.address, before).await {
                Ok(stream) => {
                    let took = self.core.now().since(began);
                    story.connected(took);
                    in_flight.endpoint.took(took, true, began + took);
                    return Ok(Opened { stream, at, in_flight, began });
                }
                Err(fault) => fault,
            };
            self.failed(at, &in_flight, began, &fault);
            story.not_connected(self.pool, &fault);
            tried[tries] = at as u32;
            tries += 1;
            if !self.may_again(&tried[..tries]) {
                return Err(End::NotConnected { too_late: matches!(fault, BackFault::ConnectTimeout) });
            }
            self.pool.cell.retried();
        }
    }

    fn failed(&self, at: usize, in_flight: &InFlight, began: Moment, fault: &BackFault) {
        let now = self.core.now();
        in_flight.endpoint.took(now.since(began), false, now);
        let failure = Failure { outcome: Outcome::Failed, met: fault, began };
        self.core.failed(self.view, (self.pool, at), &failure, now);
    }

    fn may_again(&self, tried: &[u32]) -> bool {
        let now = self.core.now();
        if tried.len() >= ATTEMPTS_MAX || !self.pool.has_another(self.look().look(), tried, now) {
            return false;
        }
        let may = self.pool.take_retry(now);
        if !may {
            self.pool.cell.retry_refused();
        }
        may
    }

    /// The world of this moment, where the pool is still the same there.
    fn look(&self) -> Rc<View> {
        let view = self.core.view();
        let is_same = view.pool(self.pool.plan.id).is_some_and(|now| Rc::ptr_eq(now, self.pool));
        if is_same { view } else { self.view.clone() }
    }

    /// An endpoint with room, waited for if need be.
    async fn admit(&self, tried: &[u32], story: &mut FlowStory) -> Result<(usize, InFlight), End> {
        // Who waits was here before.
        if self.pool.queue.waiting() == 0 {
            match self.pool.choose_for_flow(self.look().look(), tried, self.wish, self.core.now()) {
                Chosen::Endpoint(at, in_flight) => return Ok((at, in_flight)),
                Chosen::Nobody => return Err(End::NoEndpoint),
                Chosen::AllFull => {}
            }
        }
        let limits = &self.gate.plan.listener.limits;
        let place = self.pool.queue.enter(limits.queue_max).ok_or(End::QueueFull)?;
        self.pool.cell.queued();
        let began = self.core.now();
        let until = self.core.shared.clock.instant(began + limits.queue_timeout);
        loop {
            let called = tokio::select! {
                called = tokio::time::timeout_at(until.into(), place.called()) => called,
                // One that closed its half may still want an answer; one that broke off does not.
                _ = self.client.ready(Interest::ERROR) => {
                    self.pool.cell.left_queue();
                    return Err(End::ClientReset);
                }
            };
            let now = self.core.now();
            story.queued(now.since(began));
            if called.is_err() {
                self.pool.cell.queue_timed_out();
                return Err(End::QueueTimeout);
            }
            match self.pool.choose_for_flow(self.look().look(), tried, self.wish, now) {
                Chosen::Endpoint(at, in_flight) => {
                    self.pool.cell.left_queue();
                    return Ok((at, in_flight));
                }
                Chosen::AllFull if !tried.is_empty() => place.pass_on(),
                Chosen::AllFull => {}
                Chosen::Nobody => {
                    self.pool.cell.left_queue();
                    return Err(End::NoEndpoint);
                }
            }
        }
    }
}
