//! One request, from its head to the last byte of its response.
//!
//! ```text
//! decide ── refused, redirected, answered here ──────────────────────────────────────────→ reply
//!   │
//!   └─ forwarded → choose ─→ connect ─→ send ─→ response's head ─→ relay ─→ account
//!                     ▲          │        │           │
//!                     └──────────┴────────┴───────────┴── failed, and may be tried again
//! ```
//!
//! **When is a request tried again?** At another endpoint, when it is certain that the first has not begun with it (it could not be
//! reached, it refused the stream), whatever the method. When it may have begun: only what is idempotent, whose body is still at
//! hand, and before anything of the response went on. As often as the route says, and as the pool's budget allows.

use std::future::Future;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use ::h2::client::SendRequest;
use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use tokio::sync::SemaphorePermit;

use crate::balance::ask::TRIES_MAX;
use crate::balance::breaker::Outcome;
use crate::balance::live::Failure;
use crate::balance::live::Turned;
use crate::balance::live_pools::Believed;
use crate::model::Moment;
use crate::model::PoolId;
use crate::model::Speaks;
use crate::proxy::asked::Asked;
use crate::proxy::asked::grpc_timeout;
use crate::proxy::asked::is_grpc;
use crate::proxy::back::Answer;
use crate::proxy::back::Back;
use crate::proxy::back::BackFault;
use crate::proxy::back::Extent;
use crate::proxy::back::h1::H1Back;
use crate::proxy::back::h2;
use crate::proxy::back::h2::H2Back;
use crate::proxy::client::Client;
use crate::proxy::core::Core;
use crate::proxy::core::View;
use crate::proxy::deadline::Deadline;
use crate::proxy::decide::Decision;
use crate::proxy::decide::Forwarded;
use crate::proxy::decide::Known;
use crate::proxy::decide::decide;
use crate::proxy::decide::pool_key;
use crate::proxy::decide::values;
use crate::proxy::front::Front;
use crate::proxy::front::FrontFault;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::proxy_protocol::Header;
use crate::proxy::relay;
use crate::proxy::relay::Download;
use crate::proxy::relay::Fault;
use crate::proxy::relay::Patience;
use crate::proxy::relay::Upload;
use crate::proxy::reply::Reply;
use crate::proxy::story::Story;
use crate::proxy::stream::Stream;
use crate::proxy::upstream::endpoint::Endpoint;
use crate::proxy::upstream::endpoint::InFlight;
use crate::proxy::upstream::h2_connections::Streams;
use crate::proxy::upstream::pool::Chosen;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::pool::Wish;
use crate::proxy::websocket;
use crate::regional::which;
use crate::route::head::Head;
use crate::route::hop_by_hop;
use crate::route::plan::RoutePlan;
use crate::route::upgrade::Switch;
use crate::route::upgrade::Upgrade;
use crate::route::upgrade::switched;

/// Serves a request to its end; afterwards the front is ready for another, or is not.
pub async fn serve<F: Front>(
    core: &Rc<Core>,
    view: &Rc<View>,
    client: &Client,
    mut asked: Asked,
    front: &mut F,
    deadline: &Deadline,
) {
    let mut story = Story::begin(&asked, core.is_logged());
    client.door.cell.request_begun();
    let is_grpc = asked.is_grpc();
    let reply = answer((core, view), client, &mut asked, front, deadline, &mut story).await;
    if let Some(reply) = reply {
        let reply = if is_grpc { reply.as_grpc() } else { reply };
        story.gets(reply.status);
        deadline.within(client.door.front.http().timeouts.body);
        if reply.send(front, deadline).await.is_err() {
            story.client_failed(true);
            front.abort();
        }
    }
    core.account(client, &story, front.bytes_out());
}

/// The response of an endpoint goes to the client; ours is returned.
async fn answer<F: Front>(
    (core, view): (&Rc<Core>, &Rc<View>),
    client: &Client,
    asked: &mut Asked,
    front: &mut F,
    deadline: &Deadline,
    story: &mut Story,
) -> Option<Reply> {
    let Some(_in_hand) = client.door.enter() else {
        story.refused("requests_max");
        return Some(Reply::unavailable(Some(1)));
    };
    let key = |id, head: &Head<'_>, address| view.pool(id).map_or(0, |pool| pool_key(&pool.plan, head, address));
    let decision = decide(&client.door.front, client, asked, core.draw(), key);
    if let Some(address) = decision.client()
        && let Some(wait) = client.door.asks_too_often(address, asked.arrived())
    {
        story.refused("client_rate");
        return Some(Reply::too_often(wait));
    }
    let (status, code) = match decision {
        Decision::Refused(refusal) => {
            front.distrust();
            (refusal.status(), refusal.code())
        }
        Decision::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "misdirected"),
        Decision::NoRoute(known) => {
            story.knows(known);
            (StatusCode::NOT_FOUND, "no_route")
        }
        Decision::Redirected(known, status, location) => {
            story.knows(known);
            story.answered_here();
            return Some(Reply::of(status).with(header::LOCATION, location));
        }
        Decision::Answered(known, status, body) => {
            story.knows(known);
            story.answered_here();
            return Some(Reply::text(status, body));
        }
        Decision::Forwarded(forwarded) => {
            let Forwarded { known, pool, outgoing, sticky, key, declared } = *forwarded;
            let route = &client.door.front.plan.routes()[known.route.unwrap_or_default()];
            let request = Request {
                core,
                view,
                client,
                deadline,
                route,
                known: &known,
                sticky: sticky.as_deref(),
                arrived: asked.arrived(),
            };
            let reply = request.forward(pool, outgoing, key, declared, front, story).await;
            story.knows(known);
            return reply;
        }
    };
    story.refused(code);
    Some(Reply::of(status))
}

/// What the steps of a forwarded request need.
struct Request<'a> {
    core: &'a Rc<Core>,
    view: &'a Rc<View>,
    client: &'a Client,
    deadline: &'a Deadline,
    route: &'a RoutePlan,
    known: &'a Known,
    /// The value of the client's sticky cookie.
    sticky: Option<&'a [u8]>,
    /// When its head was there.
    arrived: Moment,
}

/// An attempt at one endpoint.
struct Attempt<'a> {
    pool: &'a Rc<Pool>,
    /// Its place in the pool.
    at: usize,
    in_flight: InFlight,
    began: Moment,
}

impl Request<'_> {
    /// To a pool, and its response to the client; or what the client is told instead.
    async fn forward<F: Front>(
        &self,
        own: PoolId,
        mut outgoing: Outgoing,
        key: u64,
        declared: Option<HeaderMap>,
        front: &mut F,
        story: &mut Story,
    ) -> Option<Reply> {
        let http = self.client.door.front.http();
        let world = &self.view.world;
        let Some(pool) = self.view.pool(which::pool(&world.snapshot.model, &world.health, own)) else {
            story.nobody();
            return Some(Reply::unavailable(None));
        };
        story.goes_to(pool);
        let mut now = self.arrived;
        pool.request(now);
        if matches!(outgoing.extent, Extent::Length(length) if http.body_bytes_max.is_some_and(|most| length > most)) {
            story.refused("body_too_long");
            return Some(Reply::of(StatusCode::PAYLOAD_TOO_LARGE));
        }
        if outgoing.upgrade.is_some() {
            outgoing.extent = Extent::None;
        }
        let has_body = outgoing.extent != Extent::None;
        let mut upload = Upload::new(has_body, http.body_bytes_max, declared, self.client.door.front.clone());
        let patience = self.patience(&outgoing);
        let sticky = self.sticky.and_then(|value| pool.plan.sticky.as_ref()?.endpoint(value));
        let wish = Wish { key, draw: self.core.draw(), sticky };
        let (mut tried, mut tries) = ([0u32; TRIES_MAX], 0);
        loop {
            let (at, in_flight) = match self.admit(pool, &tried[..tries], wish, &mut now, front, story).await {
                Ok(admitted) => admitted,
                Err(reply) => return reply,
            };
            // What was waited in the queue is not the endpoint's time; what attempts took before this one is the client's.
            if tries == 0 {
                self.deadline.within(if has_body { patience.body } else { patience.head });
            }
            story.tries(in_flight.endpoint.address);
            let attempt = Attempt { pool, at, in_flight, began: now };
            let met = self.attempt(&attempt, &outgoing, &mut upload, front, patience, story).await;
            tried[tries] = at as u32;
            tries += 1;
            let is_again = match met {
                Ok((back, answer, headed)) => {
                    now = headed;
                    let is_ejected = self.judge(&attempt, &answer, now);
                    if !(is_ejected && outgoing.is_idempotent() && self.may_again(tries, pool, &upload)) {
                        return self.deliver(&attempt, &outgoing, back, answer, &mut upload, front, story).await;
                    }
                    true
                }
                Err(Failed { fault: Fault::Back(fault), has_begun }) => {
                    self.failed(&attempt, &fault);
                    story.upstream_failed(pool, &fault);
                    let is_safe = !has_begun || fault.is_before_any_work() || outgoing.is_idempotent();
                    is_safe && self.may_again(tries, pool, &upload)
                }
                Err(Failed { fault: Fault::BackTimeout, .. }) => {
                    self.timed_out(&attempt);
                    story.upstream_timed_out(pool);
                    return Some(Reply::of(StatusCode::GATEWAY_TIMEOUT));
                }
                Err(Failed { fault, .. }) => return front_failed(&fault, front, story),
            };
            if !is_again {
                return Some(Reply::of(StatusCode::BAD_GATEWAY));
            }
            now = self.core.now();
            story.retries(pool);
            upload.again();
        }
    }

    /// How long it may take until the response's head, and until the next piece of a body before that. A call of gRPC may say
    /// itself how long it waits, and neither side need say anything while it goes on.
    fn patience(&self, outgoing: &Outgoing) -> Patience {
        let timeouts = self.client.door.front.http().timeouts;
        if !is_grpc(&outgoing.headers) {
            return Patience { head: self.route.timeout, body: timeouts.body };
        }
        let head = self.route.timeout.max(grpc_timeout(&outgoing.headers).unwrap_or_default());
        Patience { head, body: head.max(timeouts.upgraded_idle) }
    }

    /// Whether a request that was tried so often may be tried again; takes from the pool's budget.
    fn may_again(&self, tries: usize, pool: &Pool, upload: &Upload) -> bool {
        if tries > usize::from(self.route.retries) || tries >= TRIES_MAX || !upload.is_replayable() {
            return false;
        }
        let may = pool.take_retry(self.core.now());
        if !may {
            pool.cell.retry_refused();
        }
        may
    }

    /// An endpoint with room, waited for if need be.
    async fn admit<F: Front>(
        &self,
        pool: &Rc<Pool>,
        tried: &[u32],
        wish: Wish,
        now: &mut Moment,
        front: &mut F,
        story: &mut Story,
    ) -> Result<(usize, InFlight), Option<Reply>> {
        let look = self.view.look();
        match pool.choose(look, tried, wish, *now) {
            Chosen::Endpoint(at, in_flight) => return Ok((at, in_flight)),
            Chosen::Nobody => {
                story.nobody();
                return Err(Some(Reply::unavailable(None)));
            }
            Chosen::AllFull => {}
        }
        Box::pin(self.queue(pool, tried, wish, now, front, story)).await
    }

    /// Waits for room. On the heap: hardly any request comes here.
    async fn queue<F: Front>(
        &self,
        pool: &Rc<Pool>,
        tried: &[u32],
        wish: Wish,
        now: &mut Moment,
        front: &mut F,
        story: &mut Story,
    ) -> Result<(usize, InFlight), Option<Reply>> {
        let look = self.view.look();
        let limits = &self.client.door.front.listener.limits;
        let full = || Reply::unavailable(Some(limits.queue_timeout.as_secs().max(1)));
        let Some(place) = pool.queue.enter(limits.queue_max) else {
            story.queue_full();
            return Err(Some(full()));
        };
        pool.cell.queued();
        let began = self.core.now();
        let until = began + limits.queue_timeout;
        loop {
            // Also at first: somebody may have left on another core before we had a place, and told nobody.
            match pool.choose(look, tried, wish, *now) {
                Chosen::Endpoint(at, in_flight) => {
                    pool.cell.left_queue();
                    return Ok((at, in_flight));
                }
                Chosen::AllFull => {}
                Chosen::Nobody => {
                    pool.cell.left_queue();
                    story.nobody();
                    return Err(Some(Reply::unavailable(None)));
                }
            }
            let waited = tokio::time::timeout_at(
                self.core.shared.clock.instant(until).into(),
                unless_gone(front, place.freed()),
            )
            .await;
            *now = self.core.now();
            story.queued(now.since(began));
            match waited {
                Err(_) => {
                    pool.cell.queue_timed_out();
                    story.queue_timed_out();
                    return Err(Some(full()));
                }
                Ok(None) => {
                    pool.cell.left_queue();
                    story.client_failed(false);
                    front.abort();
                    return Err(None);
                }
                Ok(Some(())) => {}
            }
        }
    }

    /// Sends the request to an endpoint and waits for the response's head. A connection that was closed while it waited for a
    /// request is nobody's fault: another is made to the same endpoint.
    async fn attempt<F: Front>(
        &self,
        attempt: &Attempt<'_>,
        outgoing: &Outgoing,
        upload: &mut Upload,
        front: &mut F,
        patience: Patience,
        story: &mut Story,
    ) -> Result<(Back, Answer, Moment), Failed> {
        let (mut is_fresh, mut connected) = (false, attempt.began);
        loop {
            let reused = if is_fresh { None } else { self.reuse(&attempt.in_flight.endpoint, outgoing) };
            let mut back = match reused {
                Some(back) => back,
                None => {
                    let connecting = connected;
                    // On the heap: handshakes are large, and most requests need none.
                    let opened = Box::pin(self.open(&attempt.in_flight.endpoint, outgoing, front)).await;
                    connected = self.core.now();
                    story.connected(connected.since(connecting));
                    opened.map_err(|fault| Failed { fault, has_begun: false })?
                }
            };
            if back.is_reused() {
                story.connected(Duration::ZERO);
            }
            let answer =
                std::future::poll_fn(|cx| relay::poll_head(upload, front, &mut back, self.deadline, patience, cx))
                    .await;
            match answer {
                Ok(answer) => {
                    let now = self.core.now();
                    story.headed(now.since(connected));
                    return Ok((back, answer, now));
                }
                Err(Fault::Back(_))
                    if !is_fresh && back.was_stale() && outgoing.is_idempotent() && upload.is_replayable() =>
                {
                    is_fresh = true;
                    upload.again();
                }
                Err(fault) => {
                    if let (Fault::BackTimeout, Back::H2(back)) = (&fault, &back) {
                        back.doubt();
                    }
                    return Err(Failed { fault, has_begun: back.may_have_begun() });
                }
            }
        }
    }

    /// A connection that waits for a request, with the request's head laid on it. One that speaks for one client is not used for
    /// another.
    fn reuse(&self, endpoint: &Endpoint, outgoing: &Outgoing) -> Option<Back> {
        if endpoint.speaks_h2.get() == Some(true) || self.client.door.front.listener.proxy_protocol_to.is_some() {
            return None;
        }
        let stream = endpoint.take_idle()?;
        Some(Back::H1(Box::new(H1Back::begin(stream, true, outgoing, &self.core.buffers))))
    }

    /// A new connection with the request's head laid on it, or a stream of one that carries many.
    async fn open<F: Front>(&self, endpoint: &Rc<Endpoint>, outgoing: &Outgoing, front: &mut F) -> Result<Back, Fault> {
        let version = self.client.door.front.listener.proxy_protocol_to;
        let before = version.map(|version| Header::of(version, self.client.peer, self.client.local));
        if endpoint.speaks_h2.get() == Some(true)
            && before.is_none()
            && let Some((sender, open)) = endpoint.connections.with_room()
        {
            return self.begin_stream(endpoint, (sender, open), outgoing, front).await;
        }
        let opened = self.unless(front, connect(endpoint, before)).await?.map_err(Fault::Back)?;
        match opened {
            Opened::H1(stream) => Ok(Back::H1(Box::new(H1Back::begin(stream, false, outgoing, &self.core.buffers)))),
            Opened::H2(sender, open) => self.begin_stream(endpoint, (sender, open), outgoing, front).await,
        }
    }

    async fn begin_stream<F: Front>(
        &self,
        endpoint: &Endpoint,
        (mut sender, open): (SendRequest<Bytes>, Rc<Streams>),
        outgoing: &Outgoing,
        front: &mut F,
    ) -> Result<Back, Fault> {
        let scheme = if endpoint.way.tls.is_some() { "https" } else { "http" };
        let request = h2::request(outgoing, scheme).ok_or(Fault::Front(FrontFault::Unsendable))?;
        let has_ended = outgoing.extent == Extent::None && outgoing.upgrade.is_none();
        let ready = self.unless(front, std::future::poll_fn(|cx| sender.poll_ready(cx))).await?;
        ready.map_err(|error| Fault::Back(BackFault::of_h2(error)))?;
        let (response, stream) =
            sender.send_request(request, has_ended).map_err(|error| Fault::Back(BackFault::of_h2(error)))?;
        Ok(Back::H2(Box::new(H2Back::new(response, stream, has_ended, outgoing, open))))
    }

    /// What comes of it, unless the client goes or the deadline passes.
    async fn unless<F: Front, T>(&self, front: &mut F, what: impl Future<Output = T>) -> Result<T, Fault> {
        let mut what = std::pin::pin!(what);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = what.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if front.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Fault::Front(FrontFault::gone())));
            }
            self.deadline.poll_due(cx).map(|()| Err(Fault::BackTimeout))
        })
        .await
    }

    /// The endpoint answered: was it well? Whether it rests from now on.
    fn judge(&self, attempt: &Attempt<'_>, answer: &Answer, now: Moment) -> bool {
        let outcome = outcome_of(answer);
        attempt.in_flight.endpoint.took(now.since(attempt.began), outcome == Outcome::Passed, now);
        if outcome == Outcome::Passed {
            let turned = attempt.in_flight.endpoint.live.passed(attempt.began, now);
            turned.into_iter().for_each(|turned| self.core.turned(attempt.pool, attempt.at, turned));
            return false;
        }
        self.tell(attempt, outcome, &format_args!("status {}", answer.status.as_u16()), now)
    }

    fn failed(&self, attempt: &Attempt<'_>, fault: &BackFault) -> bool {
        let now = self.core.now();
        attempt.in_flight.endpoint.took(now.since(attempt.began), false, now);
        // A stream that was refused is a full endpoint, not a broken one.
        let outcome = if matches!(fault, BackFault::RefusedStream) { Outcome::PushedBack } else { Outcome::Failed };
        self.tell(attempt, outcome, fault, now)
    }

    fn timed_out(&self, attempt: &Attempt<'_>) {
        let now = self.core.now();
        attempt.in_flight.endpoint.took(now.since(attempt.began), false, now);
        self.tell(attempt, Outcome::Failed, &"no response in time", now);
    }

    /// Whether the endpoint rests from now on.
    fn tell(&self, attempt: &Attempt<'_>, outcome: Outcome, met: &dyn std::fmt::Display, now: Moment) -> bool {
        let failure = Failure { outcome, met, began: attempt.began };
        let believed = |at: usize| {
            let health = self.view.world.health.endpoint(attempt.pool.plan.members[at].id);
            match (health.withdrawn, health.is_up_without_ejection()) {
                (true, _) => Believed::Withdrawn,
                (_, true) => Believed::Up,
                _ => Believed::Down,
            }
        };
        let turned = attempt.pool.live.failed(attempt.at, &failure, now, self.core.draw(), believed);
        let is_ejected = matches!(turned, Some(Turned::Ejected { .. }));
        turned.into_iter().for_each(|turned| self.core.turned(attempt.pool, attempt.at, turned));
        is_ejected
    }
}

/// An attempt without a response.
struct Failed {
    fault: Fault,
    /// The endpoint may have begun with it.
    has_begun: bool,
}

/// Until somebody frees a place, or the client goes.
async fn unless_gone<F: Front>(front: &mut F, freed: impl Future<Output = ()>) -> Option<()> {
    let mut freed = std::pin::pin!(freed);
    std::future::poll_fn(|cx| {
        if freed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(()));
        }
        front.poll_gone(cx).map(|()| None)
    })
    .await
}

/// The client's doing: what it is told, if it is still there.
fn front_failed<F: Front>(fault: &Fault, front: &mut F, story: &mut Story) -> Option<Reply> {
    let (code, status) = match fault {
        Fault::Front(FrontFault::BadBody) => ("body_malformed", StatusCode::BAD_REQUEST),
        Fault::Front(FrontFault::Unsendable) => ("unsendable", StatusCode::BAD_REQUEST),
        Fault::Front(FrontFault::TooLong) => ("body_too_long", StatusCode::PAYLOAD_TOO_LARGE),
        Fault::Front(FrontFault::Trailers(refusal)) => (refusal.code(), refusal.status()),
        Fault::FrontTimeout => {
            story.client_timed_out();
            return Some(Reply::of(StatusCode::REQUEST_TIMEOUT));
        }
        _ => {
            story.client_failed(false);
            front.abort();
            return None;
        }
    };
    front.distrust();
    story.refused(code);
    Some(Reply::of(status))
}

/// WebSocket: whether the endpoint's answer fits the key. Over HTTP/2 it gives none, and the client gets ours.
fn is_answered(outgoing: &Outgoing, back: &Back, answer: &mut Answer) -> bool {
    let Some(key) = outgoing.headers.get(header::SEC_WEBSOCKET_KEY) else { return true };
    let accept = websocket::accept(key);
    if let Back::H2(_) = back {
        answer.headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        return true;
    }
    answer.headers.get(header::SEC_WEBSOCKET_ACCEPT) == Some(&accept)
}

/// Whether a response is to the endpoint's credit. Of gRPC the status is in the head when a call fails at once.
fn outcome_of(answer: &Answer) -> Outcome {
    let grpc = || answer.headers.get("grpc-status").map(HeaderValue::as_bytes);
    match answer.status.as_u16() {
        429 => Outcome::PushedBack,
        501 | 505 => Outcome::Passed,
        500.. => Outcome::Failed,
        _ => match grpc() {
            Some(b"14") => Outcome::Failed,
            Some(b"8") => Outcome::PushedBack,
            _ => Outcome::Passed,
        },
    }
}

/// A connection that was just made.
enum Opened {
    H1(Stream),
    H2(SendRequest<Bytes>, Rc<Streams>),
}

/// Makes a connection. Of HTTP/2 one at a time is made to an endpoint, and whoever waited for it shares it.
async fn connect(endpoint: &Rc<Endpoint>, before: Option<Header>) -> Result<Opened, BackFault> {
    let may_share = before.is_none() && endpoint.way.speaks != Speaks::Http1;
    let _turn = if may_share && endpoint.speaks_h2.get() != Some(false) { Some(turn(endpoint).await?) } else { None };
    if may_share && let Some((sender, open)) = endpoint.connections.with_room() {
        return Ok(Opened::H2(sender, open));
    }
    let connected = endpoint.way.connect(endpoint.address, before.as_ref().map(Header::bytes)).await?;
    if before.is_none() {
        endpoint.speaks_h2.set(Some(connected.is_h2));
    }
    if !connected.is_h2 {
        return Ok(Opened::H1(connected.stream));
    }
    let (sender, open) = endpoint.connections.begin(connected.stream, may_share).await.map_err(BackFault::of_h2)?;
    Ok(Opened::H2(sender, open))
}

/// The right to make a connection to an endpoint. Where those before us all wait in vain, so would we.
async fn turn(endpoint: &Endpoint) -> Result<SemaphorePermit<'_>, BackFault> {
    let turn = tokio::time::timeout(endpoint.way.patience, endpoint.opening.acquire()).await;
    turn.map_err(|_| BackFault::ConnectTimeout)?.map_err(|_| BackFault::Closed)
}

impl Request<'_> {
    /// The endpoint's response, to the client.
    #[expect(clippy::too_many_arguments, reason = "all that a request and its two ends are made of")]
    async fn deliver<F: Front>(
        &self,
        attempt: &Attempt<'_>,
        outgoing: &Outgoing,
        mut back: Back,
        mut answer: Answer,
        upload: &mut Upload,
        front: &mut F,
        story: &mut Story,
    ) -> Option<Reply> {
        let asked = outgoing.upgrade.as_deref().map_or(Upgrade::None, Upgrade::To);
        let goes_raw = match switched(asked, answer.status, &answer.headers) {
            // A 200 would be the yes that the endpoint did not give (RFC 8441 section 5).
            Switch::Stays if outgoing.is_extended_connect && answer.status.is_success() => {
                story.upstream_failed(attempt.pool, &BackFault::Malformed);
                return Some(Reply::of(StatusCode::BAD_GATEWAY));
            }
            Switch::Stays => false,
            Switch::Agreed if is_answered(outgoing, &back, &mut answer) => true,
            Switch::Agreed | Switch::Wrong => {
                self.failed(attempt, &BackFault::Malformed);
                story.upstream_failed(attempt.pool, &BackFault::Malformed);
                return Some(Reply::of(StatusCode::BAD_GATEWAY));
            }
        };
        self.edit(attempt, &mut answer, goes_raw);
        let timeouts = self.client.door.front.http().timeouts;
        let is_long = goes_raw || is_grpc(&outgoing.headers);
        let patience = if is_long { timeouts.upgraded_idle } else { timeouts.body };
        self.deadline.within(patience);
        upload.is_final();
        if goes_raw {
            story.came(upload.bytes());
            *upload = Upload::tunnel(self.client.door.front.clone());
            if let Back::H1(back) = &mut back {
                back.become_tunnel();
            }
        }
        story.gets(answer.status);
        let Answer { status, headers, extent } = answer;
        let relayed = match front.begin(status, headers, extent, goes_raw) {
            Err(fault) => Err(Fault::Front(fault)),
            Ok(()) => self.relay(&mut back, upload, front, patience, goes_raw).await,
        };
        story.came(upload.bytes());
        match relayed {
            Ok(()) => self.keep(attempt, back),
            Err(fault) => {
                if let Fault::Back(fault) = &fault
                    && !goes_raw
                {
                    self.failed(attempt, fault);
                }
                story.broke_off(attempt.pool, &fault);
                front.abort();
            }
        }
        None
    }

    async fn relay<F: Front>(
        &self,
        back: &mut Back,
        upload: &mut Upload,
        front: &mut F,
        patience: Duration,
        goes_raw: bool,
    ) -> Result<(), Fault> {
        let mut download = Download::default();
        let both = |cx: &mut Context<'_>| {
            relay::poll_bodies((upload, &mut download), front, back, self.deadline, patience, goes_raw, cx)
        };
        std::future::poll_fn(both).await
    }

    /// The connection serves other requests, where it can.
    fn keep(&self, attempt: &Attempt<'_>, back: Back) {
        if let Back::H1(back) = back
            && let Some(stream) = back.into_idle(&self.core.buffers)
            && self.client.door.front.listener.proxy_protocol_to.is_none()
        {
            attempt.in_flight.endpoint.keep(stream, &attempt.pool.plan.upstream, self.core.deadlines.now());
        }
    }

    /// The head that the client sees.
    fn edit(&self, attempt: &Attempt<'_>, answer: &mut Answer, goes_raw: bool) {
        let protocol = answer.headers.get(header::UPGRADE).filter(|_| goes_raw).cloned();
        if hop_by_hop::strip(&mut answer.headers) {
            answer.headers.remove(header::TE);
        }
        protocol.into_iter().for_each(|protocol| _ = answer.headers.insert(header::UPGRADE, protocol));
        let front = &self.client.door.front;
        let values = values(self.known, front.scheme);
        self.route.edit_response(answer.status, &mut answer.headers, &values, self.core.deadlines.now());
        if let Some(cookie) = self.cookie(attempt, front.scheme == "https") {
            answer.headers.append(header::SET_COOKIE, cookie);
        }
    }

    /// What brings the client back to the endpoint, unless it has that already.
    fn cookie(&self, attempt: &Attempt<'_>, is_secure: bool) -> Option<HeaderValue> {
        let (name, sticky) = (self.route.sticky.as_deref()?, attempt.pool.plan.sticky.as_ref()?);
        let found = self.sticky.filter(|value| sticky.endpoint(value) == Some(attempt.at));
        if self.sticky.is_some() {
            attempt.pool.cell.stuck(found.is_some());
        }
        if found.is_some_and(|value| !sticky.is_outdated(value)) {
            return None;
        }
        sticky.set_cookie(name, attempt.at, is_secure)?.try_into().ok()
    }
}
