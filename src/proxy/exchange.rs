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

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::HeaderValue;
use http::StatusCode;
use http::header;

use crate::balance::ask::TRIES_MAX;
use crate::balance::breaker::Outcome;
use crate::balance::live::Failure;
use crate::balance::live_pools::Believed;
use crate::model::Moment;
use crate::proxy::asked::Asked;
use crate::proxy::asked::grpc_timeout;
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
use crate::proxy::decide::decide;
use crate::proxy::decide::pool_key;
use crate::proxy::decide::rate_key;
use crate::proxy::decide::values;
use crate::proxy::front::Front;
use crate::proxy::front::FrontFault;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::relay;
use crate::proxy::relay::Download;
use crate::proxy::relay::Fault;
use crate::proxy::relay::Upload;
use crate::proxy::reply::Reply;
use crate::proxy::story::Story;
use crate::proxy::upstream::endpoint::Endpoint;
use crate::proxy::upstream::endpoint::InFlight;
use crate::proxy::upstream::pool::Chosen;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::pool::Wish;
use crate::regional::which;
use crate::route::edits_of_response;
use crate::route::hop_by_hop;
use crate::route::plan::RoutePlan;
use crate::route::upgrade::Switch;
use crate::route::upgrade::Upgrade;
use crate::route::upgrade::switched;

/// Once one end of an upgraded connection has said that nothing more comes, the other has so long.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// Serves a request to its end; afterwards the front is ready for another, or is not.
pub async fn serve<F: Front>(core: &Rc<Core>, client: &Client, mut asked: Asked, front: &mut F, deadline: &Deadline) {
    let mut story = Story::begin(core, client, &asked);
    let view = core.view();
    let Some(_in_hand) = client.door.enter() else {
        let reply = Reply::unavailable("too many requests in hand", Some(1));
        return end(core, client, story.refused("requests_max"), reply, &asked, front, deadline).await;
    };
    let is_grpc = asked.is_grpc();
    let key = |id, head: &_, address| view.pool(id).map_or(0, |pool| pool_key(&pool.plan, head, address));
    let decision = decide(&client.door.front, client, &mut asked, core.draw(), key);
    if let Some(wait) = story.know(&decision).and_then(|address| client.door.has_asked_too_often(rate_key(address), core.now())) {
        let reply = Reply::too_often(wait);
        return end(core, client, story.refused("client_rate"), reply, &asked, front, deadline).await;
    }
    let reply = match decision {
        Decision::Refused(refusal) => {
            story.refused(refusal.code());
            Reply::of(refusal.status())
        }
        Decision::Misdirected => {
            story.refused("misdirected");
            Reply::of(StatusCode::MISDIRECTED_REQUEST)
        }
        Decision::NoRoute(_) => {
            story.refused("no_route");
            Reply::of(StatusCode::NOT_FOUND)
        }
        Decision::Redirected(_, status, location) => Reply::of(status).with(header::LOCATION, location),
        Decision::Answered(_, status, body) => Reply::text(status, body),
        Decision::Forwarded(forwarded) => {
            let request = Request { core, view: &view, client, deadline, is_grpc };
            match request.forward(*forwarded, front, &mut story).await {
                None => return core.account(client, &story, front.bytes_out()),
                Some(reply) => reply,
            }
        }
    };
    end(core, client, &mut story, if is_grpc { reply.as_grpc() } else { reply }, &asked, front, deadline).await;
}

/// Our own response.
async fn end<F: Front>(core: &Core, client: &Client, story: &mut Story, reply: Reply, asked: &Asked, front: &mut F, deadline: &Deadline) {
    // A body that nobody reads: the client shall hear all of the response before the connection ends.
    story.status = reply.status;
    deadline.within(client.door.front.http().timeouts.body);
    _ = asked;
    if reply.send(front, deadline).await.is_err() {
        story.client_gone();
        front.abort();
    }
    core.account(client, story, front.bytes_out());
}

/// What the steps of a forwarded request need.
struct Request<'a> {
    core: &'a Rc<Core>,
    view: &'a Rc<View>,
    client: &'a Client,
    deadline: &'a Deadline,
    is_grpc: bool,
}

/// An attempt at one endpoint.
struct Attempt<'a> {
    pool: &'a Rc<Pool>,
    at: usize,
    endpoint: Rc<Endpoint>,
    began: Moment,
}

impl Request<'_> {
    /// To a pool, and its response to the client; or what the client is told instead.
    async fn forward<F: Front>(&self, forwarded: Forwarded, front: &mut F, story: &mut Story) -> Option<Reply> {
        let Forwarded { known, pool, mut outgoing, sticky, key_of } = forwarded;
        let door = &self.client.door;
        let route = &door.front.plan.routes()[known.route.unwrap_or_default()];
        let world = &self.view.world;
        let pool = self.view.pool(which::pool(&world.snapshot.model, &world.health, pool))?;
        story.pool = Some(pool.clone());
        pool.request(self.core.now());
        let bytes_max = door.front.http().body_bytes_max;
        if matches!(outgoing.extent, Extent::Length(length) if bytes_max.is_some_and(|most| length > most)) {
            story.refused("body_too_long");
            return Some(Reply::of(StatusCode::PAYLOAD_TOO_LARGE));
        }
        if outgoing.upgrade.is_some() {
            outgoing.extent = Extent::None;
        }
        let mut upload = Upload::new(outgoing.extent != Extent::None, bytes_max, door.front.http().trailers.clone());
        let patience = route.timeout.max(grpc_timeout(&outgoing.headers).filter(|_| self.is_grpc).unwrap_or_default());
        self.deadline.within(patience);
        let sticky_place = sticky.as_deref().and_then(|value| pool.plan.sticky.as_ref()?.endpoint(value));
        let wish = Wish { key: key_of.key, draw: self.core.draw(), sticky: sticky_place };
        let (mut tried, mut tries) = ([0u32; TRIES_MAX], 0);
        loop {
            let (at, in_flight) = match self.admit(pool, &tried[..tries], wish, front, story).await {
                Ok(admitted) => admitted,
                Err(reply) => return reply,
            };
            let began = self.core.now();
            let endpoint = in_flight.endpoint.clone();
            story.tries(endpoint.address);
            let attempt = Attempt { pool, at, endpoint, began };
            let met = self.attempt(&attempt, &outgoing, &mut upload, front, patience, story).await;
            tried[tries] = at as u32;
            tries += 1;
            let may_again = |is_safe: bool, upload: &Upload| {
                is_safe && upload.is_replayable() && tries <= usize::from(route.retries) && tries < TRIES_MAX && pool.take_retry(self.core.now())
            };
            match met {
                Ok((back, answer)) => {
                    let is_ejected = self.judge(&attempt, &answer);
                    if is_ejected && may_again(outgoing.is_idempotent(), &upload) {
                        story.retries(pool);
                        upload.again();
                        continue;
                    }
                    let delivery = Delivery { request: self, attempt: &attempt, route, known: &known, outgoing: &outgoing, in_flight, sticky: sticky.as_deref() };
                    return delivery.deliver(back, answer, &mut upload, front, story).await;
                }
                Err(Failed { fault: Fault::Back(fault), has_begun }) => {
                    self.failed(&attempt, &fault);
                    story.upstream_failed(pool, &fault);
                    if may_again(!has_begun || fault.is_before_any_work() || outgoing.is_idempotent(), &upload) {
                        story.retries(pool);
                        upload.again();
                        continue;
                    }
                    return Some(Reply::of(StatusCode::BAD_GATEWAY));
                }
                Err(Failed { fault: Fault::BackTimeout, .. }) => {
                    self.timed_out(&attempt);
                    story.upstream_timed_out(pool);
                    return Some(Reply::of(StatusCode::GATEWAY_TIMEOUT));
                }
                Err(Failed { fault, .. }) => return front_failed(fault, front, story),
            }
        }
    }

    /// An endpoint with room, waited for if need be.
    async fn admit<F: Front>(&self, pool: &Rc<Pool>, tried: &[u32], wish: Wish, front: &mut F, story: &mut Story) -> Result<(usize, InFlight), Option<Reply>> {
        let look = self.view.look();
        match pool.choose(look, tried, wish, self.core.now()) {
            Chosen::Endpoint(at, in_flight) => return Ok((at, in_flight)),
            Chosen::Nobody => {
                story.nobody();
                return Err(Some(Reply::unavailable("no endpoint", None)));
            }
            Chosen::AllFull => {}
        }
        let limits = &self.client.door.front.listener.limits;
        let full = || Reply::unavailable("all endpoints are full", Some(limits.queue_timeout.as_secs().max(1)));
        let Some(place) = pool.queue.enter(limits.queue_max) else {
            story.queue_full();
            return Err(Some(full()));
        };
        let began = self.core.now();
        let until = began + limits.queue_timeout;
        loop {
            let waited = tokio::time::timeout_at(self.core.shared.clock.instant(until).into(), unless_gone(front, place.freed())).await;
            story.queued = Some(self.core.now().since(began));
            match waited {
                Err(_) => {
                    story.queue_timed_out(pool);
                    return Err(Some(full()));
                }
                Ok(None) => {
                    story.client_gone();
                    return Err(None);
                }
                Ok(Some(())) => {}
            }
            match pool.choose(look, tried, wish, self.core.now()) {
                Chosen::Endpoint(at, in_flight) => return Ok((at, in_flight)),
                Chosen::AllFull => {}
                Chosen::Nobody => {
                    story.nobody();
                    return Err(Some(Reply::unavailable("no endpoint", None)));
                }
            }
        }
    }

    /// Sends the request to an endpoint and waits for the response's head. A connection that was closed while it waited for a
    /// request is nobody's fault: another is made to the same endpoint.
    async fn attempt<F: Front>(&self, attempt: &Attempt<'_>, outgoing: &Outgoing, upload: &mut Upload, front: &mut F, patience: Duration, story: &mut Story) -> Result<(Back, Answer), Failed> {
        let mut is_fresh = false;
        loop {
            let connecting = self.core.now();
            let mut back = match self.open(&attempt.endpoint, outgoing, is_fresh, front).await {
                Ok(back) => back,
                Err(fault) => return Err(Failed { fault, has_begun: false }),
            };
            story.connected(self.core.now().since(connecting));
            let answer = std::future::poll_fn(|cx| relay::poll_head(upload, front, &mut back, self.deadline, patience, cx)).await;
            match answer {
                Ok(answer) => {
                    story.answered(self.core.now().since(connecting), answer.status);
                    return Ok((back, answer));
                }
                Err(Fault::Back(_)) if !is_fresh && back.was_stale() && outgoing.is_idempotent() && upload.is_replayable() => {
                    is_fresh = true;
                    upload.again();
                }
                Err(fault) => return Err(Failed { fault, has_begun: back.may_have_begun() }),
            }
        }
    }

    /// A connection to an endpoint with the request's head laid on it.
    async fn open<F: Front>(&self, endpoint: &Rc<Endpoint>, outgoing: &Outgoing, is_fresh: bool, front: &mut F) -> Result<Back, Fault> {
        let before = self.client.door.front.listener.proxy_protocol_to.map(|version| Header::of(version, self.client.peer, self.client.local));
        // A connection that speaks for one client is not used for another.
        let is_shared = before.is_none();
        if !is_fresh && is_shared && endpoint.speaks_h2.get() != Some(true) && let Some(stream) = endpoint.take_idle() {
            return Ok(Back::H1(Box::new(H1Back::begin(stream, true, outgoing, &self.core.buffers))));
        }
        if endpoint.speaks_h2.get() == Some(true) && is_shared && let Some((sender, open)) = endpoint.connections.with_room() {
            return self.begin_stream(sender, open, outgoing, front).await;
        }
        let opened = self.unless(front, connect(endpoint, before)).await?.map_err(Fault::Back)?;
        match opened {
            Opened::H1(stream) => Ok(Back::H1(Box::new(H1Back::begin(stream, false, outgoing, &self.core.buffers)))),
            Opened::H2(sender, open) => self.begin_stream(sender, open, outgoing, front).await,
        }
    }

    async fn begin_stream<F: Front>(&self, mut sender: SendRequest<Bytes>, open: Rc<Streams>, outgoing: &Outgoing, front: &mut F) -> Result<Back, Fault> {
        let request = h2::request(outgoing).ok_or(Fault::Back(BackFault::Malformed))?;
        let has_ended = outgoing.extent == Extent::None;
        let ready = self.unless(front, std::future::poll_fn(|cx| sender.poll_ready(cx))).await?;
        ready.map_err(|error| Fault::Back(BackFault::of_h2(error)))?;
        let (response, stream) = sender.send_request(request, has_ended).map_err(|error| Fault::Back(BackFault::of_h2(error)))?;
        Ok(Back::H2(Box::new(H2Back::new(response, stream, has_ended, open))))
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
    fn judge(&self, attempt: &Attempt<'_>, answer: &Answer) -> bool {
        let now = self.core.now();
        let outcome = outcome_of(answer);
        attempt.endpoint.took(now.since(attempt.began), outcome == Outcome::Passed, now);
        if outcome == Outcome::Passed {
            let turned = attempt.endpoint.live.passed(attempt.began, now);
            turned.into_iter().for_each(|turned| self.core.turned(attempt.pool, attempt.at, turned));
            return false;
        }
        self.tell(attempt, outcome, &format_args!("status {}", answer.status.as_u16()), now)
    }

    fn failed(&self, attempt: &Attempt<'_>, fault: &BackFault) -> bool {
        let now = self.core.now();
        attempt.endpoint.took(now.since(attempt.began), false, now);
        // A stream that was refused is a full endpoint, not a broken one.
        let outcome = if matches!(fault, BackFault::RefusedStream) { Outcome::PushedBack } else { Outcome::Failed };
        self.tell(attempt, outcome, fault, now)
    }

    fn timed_out(&self, attempt: &Attempt<'_>) {
        let now = self.core.now();
        attempt.endpoint.took(now.since(attempt.began), false, now);
        self.tell(attempt, Outcome::Failed, &"no response in time", now);
    }

    /// Whether the endpoint rests from now on.
    fn tell(&self, attempt: &Attempt<'_>, outcome: Outcome, met: &dyn std::fmt::Display, now: Moment) -> bool {
        let failure = Failure { outcome, met, began: attempt.began };
        let believed = |at: usize| {
            let health = self.view.world.health.endpoint(attempt.pool.plan.members[at].id);
            match (health.withdrawn, health.usable) {
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
fn front_failed<F: Front>(fault: Fault, front: &mut F, story: &mut Story) -> Option<Reply> {
    let (code, status) = match fault {
        Fault::Front(FrontFault::BadBody) => ("body_malformed", StatusCode::BAD_REQUEST),
        Fault::Front(FrontFault::TooLong) => ("body_too_long", StatusCode::PAYLOAD_TOO_LARGE),
        Fault::Front(FrontFault::Trailers(refusal)) => (refusal.code(), refusal.status()),
        Fault::FrontTimeout => {
            story.client_timed_out();
            return Some(Reply::of(StatusCode::REQUEST_TIMEOUT));
        }
        _ => {
            story.client_gone();
            front.abort();
            return None;
        }
    };
    story.refused(code);
    Some(Reply::of(status))
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
    let _turn = if may_share { endpoint.opening.acquire().await.ok() } else { None };
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
    let (sender, open) = endpoint.connections.begin(connected.stream).await.map_err(BackFault::of_h2)?;
    Ok(Opened::H2(sender, open))
}

/// A response on its way to the client.
struct Delivery<'a> {
    request: &'a Request<'a>,
    attempt: &'a Attempt<'a>,
    route: &'a RoutePlan,
    known: &'a Known,
    outgoing: &'a Outgoing,
    in_flight: InFlight,
    sticky: Option<&'a [u8]>,
}

impl Delivery<'_> {
    async fn deliver<F: Front>(&self, mut back: Back, mut answer: Answer, upload: &mut Upload, front: &mut F, story: &mut Story) -> Option<Reply> {
        let asked = self.outgoing.upgrade.as_deref().map_or(Upgrade::None, Upgrade::To);
        let goes_raw = match switched(asked, answer.status, &answer.headers) {
            Switch::Stays => false,
            Switch::Agreed => true,
            Switch::Wrong => {
                story.upstream_failed(self.attempt.pool, &BackFault::Malformed);
                return Some(Reply::of(StatusCode::BAD_GATEWAY));
            }
        };
        self.edit(&mut answer, goes_raw);
        let timeouts = self.request.client.door.front.http().timeouts;
        let patience = if goes_raw { timeouts.upgraded_idle } else { timeouts.body };
        upload.is_final();
        if goes_raw {
            *upload = Upload::tunnel();
            if let Back::H1(back) = &mut back {
                back.become_tunnel();
            }
        }
        let Answer { status, headers, extent } = answer;
        if front.begin(status, headers, extent, goes_raw).is_err() {
            story.client_gone();
            front.abort();
            return None;
        }
        let deadline = self.request.deadline;
        deadline.within(patience);
        let mut download = Download::default();
        let relayed = std::future::poll_fn(|cx| {
            relay::poll_bodies((upload, &mut download), front, &mut back, deadline, patience, goes_raw, cx)
        });
        let relayed = relayed.await;
        story.bytes_in += upload.bytes();
        match relayed {
            Ok(()) => {
                if let Back::H1(back) = back
                    && self.request.client.door.front.listener.proxy_protocol_to.is_none()
                    && let Some(stream) = back.into_idle(&self.request.core.buffers)
                {
                    self.in_flight.endpoint.keep(stream, &self.attempt.pool.plan.upstream, self.request.deadline_now());
                }
            }
            Err(fault) => {
                story.broke_off(self.attempt.pool, &fault, goes_raw);
                if let Fault::Back(fault) = &fault && !goes_raw {
                    self.request.failed(self.attempt, fault);
                }
                front.abort();
            }
        }
        None
    }

    /// The head that the client sees.
    fn edit(&self, answer: &mut Answer, goes_raw: bool) {
        let protocol = answer.headers.get(header::UPGRADE).filter(|_| goes_raw).cloned();
        hop_by_hop::strip(&mut answer.headers);
        answer.headers.remove(header::TE);
        protocol.into_iter().for_each(|protocol| _ = answer.headers.insert(header::UPGRADE, protocol));
        let front = &self.request.client.door.front;
        self.route.edit_response(answer.status, &mut answer.headers, &values(self.known, front.scheme), self.request.core.deadlines.now());
        if let Some(cookie) = self.cookie(front.scheme == "https") {
            answer.headers.append(header::SET_COOKIE, cookie);
        }
    }

    /// What brings the client back to the endpoint, unless it has that already.
    fn cookie(&self, is_secure: bool) -> Option<HeaderValue> {
        let (name, sticky) = (self.route.sticky.as_deref()?, self.attempt.pool.plan.sticky.as_ref()?);
        let is_known = self.sticky.is_some_and(|value| sticky.endpoint(value) == Some(self.attempt.at) && !sticky.is_outdated(value));
        if is_known { None } else { sticky.set_cookie(name, self.attempt.at, is_secure)?.try_into().ok() }
    }
}
