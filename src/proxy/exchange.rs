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

mod admit;
mod attempt;
mod deliver;
mod judge;

use std::cell::Cell;
use std::rc::Rc;

use http::StatusCode;
use http::header;

use crate::balance::ask::TRIES_MAX;
use crate::model::Moment;
use crate::model::PoolId;
use crate::proxy::asked::Asked;
use crate::proxy::back::Extent;
use crate::proxy::client::Client;
use crate::proxy::client::Held;
use crate::proxy::core::Core;
use crate::proxy::core::View;
use crate::proxy::deadline::Deadline;
use crate::proxy::decide::Decision;
use crate::proxy::decide::Forwarded;
use crate::proxy::decide::Known;
use crate::proxy::decide::beyond;
use crate::proxy::decide::decide;
use crate::proxy::decide::serves;
use crate::proxy::exchange::attempt::Failed;
use crate::proxy::exchange::judge::Judged;
use crate::proxy::front::Front;
use crate::proxy::front::FrontFault;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::relay::Fault;
use crate::proxy::relay::Patience;
use crate::proxy::relay::Upload;
use crate::proxy::reply::Reply;
use crate::proxy::story::Story;
use crate::proxy::tails::is_a_client;
use crate::proxy::upstream::endpoint::InFlight;
use crate::proxy::upstream::pool::Pool;
use crate::regional::choice::Wish;
use crate::regional::tail::is_late;
use crate::route::head::Head;
use crate::route::plan::RoutePlan;

/// A request that was decided on, and nothing was waited for yet.
///
/// On the heap, with what was decided: what a task holds is moved when it is made, and one is made for each request.
pub struct Begun {
    story: Story,
    /// It is in the listener's hands as long as this lasts.
    in_hand: Option<Held>,
    is_grpc: bool,
    forwarded: Option<Box<Forwarded>>,
    reply: Option<Reply>,
}

/// Decides on a request.
pub fn begin<F: Front>(core: &Core, view: &View, client: &Client, mut asked: Asked, front: &mut F) -> Box<Begun> {
    let story = Story::begin(&asked, core.is_logged());
    let (is_grpc, in_hand) = (asked.is_grpc(), client.door.enter());
    if is_late(&client.door.front, &view.world.health) && is_a_client(&asked.headers) {
        client.door.cell.came_late();
    }
    let mut begun = Box::new(Begun { story, in_hand, is_grpc, forwarded: None, reply: None });
    match decided((core, view), client, &mut asked, front, &mut begun) {
        Ok(forwarded) => begun.forwarded = Some(forwarded),
        Err(reply) => begun.reply = Some(reply),
    }
    begun
}

impl Begun {
    /// Serves it to its end; afterwards the front is ready for another, or is not.
    pub async fn serve<F: Front>(
        self: Box<Self>,
        core: &Rc<Core>,
        view: &Rc<View>,
        client: &Client,
        front: &mut F,
        deadline: &Deadline,
    ) {
        let mut account = Account { core, client, begun: self, is_settled: false };
        client.door.cell.request_begun();
        let Begun { story, forwarded, reply, is_grpc, .. } = &mut *account.begun;
        if let Some(forwarded) = forwarded {
            let Forwarded { known, serves, outgoing, sticky, key, declared, .. } = &mut **forwarded;
            let route = &client.door.front.plan.routes()[known.route.unwrap_or_default()];
            let (known, sticky) = (&*known, sticky.as_deref());
            let (is_sent_on, arrived) = (serves.is_sent_on(), story.arrived());
            let is_untaken = Cell::default();
            let request =
                Request { core, view, client, deadline, route, known, is_sent_on, is_untaken, sticky, arrived };
            let serves = (serves.pool, *key);
            let bytes_max = client.door.front.http().body_bytes_max;
            let has_body = outgoing.sent_extent() != Extent::None;
            let mut upload = Upload::new(has_body, bytes_max, declared.as_ref(), client.door.front.clone());
            *reply = request.forward(serves, outgoing, &mut upload, front, story).await;
            if request.is_untaken.take()
                && let Some(serves) = request.beyond(outgoing)
            {
                outgoing.is_sent_on_from(known, &client.door.front.region);
                upload.again();
                let request = Request { is_sent_on: true, ..request };
                *reply = Box::pin(request.forward(serves, outgoing, &mut upload, front, story)).await;
            }
        }
        if let Some(forwarded) = forwarded.take() {
            story.knows(forwarded.known);
        }
        if let Some(reply) = reply.take() {
            let reply = if *is_grpc { reply.as_grpc() } else { reply }.dated(core.deadlines.now());
            story.gets(reply.status);
            deadline.within(client.door.front.http().timeouts.body);
            if reply.send(front, deadline).await.is_err() {
                story.client_failed(true);
                front.abort();
            }
        }
        account.settle(front.bytes_out());
    }
}

/// A request is counted and logged, even where its task is ended from outside.
struct Account<'a> {
    core: &'a Core,
    client: &'a Client,
    begun: Box<Begun>,
    is_settled: bool,
}

impl Account<'_> {
    fn settle(mut self, bytes_out: u64) {
        self.is_settled = true;
        self.core.account(self.client, &self.begun.story, bytes_out);
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.begun.story.stopped();
            self.core.account(self.client, &self.begun.story, 0);
        }
    }
}

/// What is to be sent to a pool, or what the client is told instead.
fn decided<F: Front>(
    (core, view): (&Core, &View),
    client: &Client,
    asked: &mut Asked,
    front: &mut F,
    begun: &mut Begun,
) -> Result<Box<Forwarded>, Reply> {
    let story = &mut begun.story;
    if begun.in_hand.is_none() {
        story.refused("requests_max");
        return Err(Reply::unavailable(Some(1)));
    }
    let (door, arrived) = (&client.door, asked.arrived());
    let serves = |own, head: &Head<'_>, address| serves((&view.world, &door.front), own, head, address, arrived);
    let decision = decide(&client.door.front, &client.caller(), asked, core.draw(), serves);
    if let Some(address) = decision.client()
        && let Some(wait) = client.door.asks_too_often(address, asked.arrived())
    {
        story.refused("client_rate");
        return Err(Reply::too_often(wait));
    }
    let (status, code) = match decision {
        Decision::Forwarded(forwarded) => return Ok(forwarded),
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
            return Err(Reply::of(status).with(header::LOCATION, location));
        }
        Decision::Answered(known, status, body) => {
            story.knows(known);
            story.answered_here();
            return Err(Reply::text(status, body));
        }
    };
    story.refused(code);
    Err(Reply::of(status))
}

/// What the steps of a forwarded request need.
struct Request<'a> {
    core: &'a Rc<Core>,
    view: &'a Rc<View>,
    client: &'a Client,
    deadline: &'a Deadline,
    route: &'a RoutePlan,
    known: &'a Known,
    /// Whether another region serves it: by the routes of that one, and with its cookies.
    is_sent_on: bool,
    /// Whether no endpoint that was tried has taken it, and it may be asked for elsewhere.
    is_untaken: Cell<bool>,
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
        (serves, key): (PoolId, u64),
        outgoing: &Outgoing,
        upload: &mut Upload,
        front: &mut F,
        story: &mut Story,
    ) -> Option<Reply> {
        let Some(pool) = self.view.pool(serves) else {
            story.nobody();
            return Some(Reply::unavailable(None));
        };
        story.goes_to(pool, self.is_sent_on);
        let mut now = self.arrived;
        pool.request(now);
        let http = self.client.door.front.http();
        if outgoing.is_too_long(http) {
            story.refused("body_too_long");
            return Some(Reply::of(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let has_body = outgoing.sent_extent() != Extent::None;
        let patience = self.patience(outgoing);
        let sticky =
            self.sticky.filter(|_| !self.is_sent_on).and_then(|value| pool.plan.sticky.as_ref()?.endpoint(value));
        let wish = Wish { key, draw: self.core.draw(), sticky };
        let (mut tried, mut tries) = ([0u32; TRIES_MAX], 0);
        // What is awaited stands outside of what is matched on: a future keeps that as long.
        let (attempt, mut delivery) = loop {
            let (at, in_flight) = match self.admit(pool, &tried[..tries], wish, &mut now, front, story).await {
                Ok(admitted) => admitted,
                // There is no other endpoint with room: what the last one did stands.
                Err(Some(_)) if tries > 0 => {
                    self.is_untaken.set(true);
                    return Some(Reply::of(StatusCode::BAD_GATEWAY));
                }
                Err(reply) => return reply,
            };
            // What was waited in the queue is not the endpoint's time; what attempts took before this one is the client's.
            (tried[tries], tries) = (at as u32, tries + 1);
            if tries == 1 {
                self.deadline.within(if has_body { patience.body } else { patience.head });
            }
            story.tries(in_flight.endpoint.address);
            let attempt = Attempt { pool, at, in_flight, began: now };
            let is_again = match self.attempt(&attempt, outgoing, upload, front, patience, story).await {
                Ok((back, answer, headed)) => {
                    now = headed;
                    let judged = self.judge(&attempt, &answer, now);
                    let is_safe = judged == Judged::Rests && outgoing.is_idempotent();
                    if !(is_safe && self.may_again(&tried[..tries], pool, upload)) {
                        match self.deliver(&attempt, outgoing, (judged, back, answer), upload, front, story) {
                            Ok(delivery) => break (attempt, delivery),
                            Err(reply) => return Some(reply),
                        }
                    }
                    true
                }
                Err(Failed { fault: Fault::Back(fault), has_begun }) => {
                    self.failed(&attempt, &fault);
                    story.upstream_failed(pool, &fault);
                    let is_safe = !has_begun || fault.is_before_any_work() || outgoing.is_idempotent();
                    self.is_untaken.set(is_safe && upload.is_replayable());
                    is_safe && self.may_again(&tried[..tries], pool, upload)
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
            self.is_untaken.set(false);
            now = self.core.now();
            story.retries(pool);
            upload.again();
        };
        let relayed = self.relay(&mut delivery, upload, front).await;
        self.delivered(&attempt, delivery, relayed, upload, front, story);
        None
    }

    /// Where DNS would send the client if this region were not, for what nobody here has taken: the region may have failed, and not have
    /// been found out yet. It takes nothing from the pool's budget, since it adds no load to what fails; and it is done once.
    ///
    /// The other region's routes are for a request as the client sent it; one whose headers ours have changed stays.
    fn beyond(&self, outgoing: &Outgoing) -> Option<(PoolId, u64)> {
        if self.is_sent_on || !self.route.leaves_headers() {
            return None;
        }
        let Known { host, path, query, client, .. } = self.known;
        let (query, method, headers) = (query.as_deref(), &outgoing.method, &outgoing.headers);
        let head = Head { host, path, query, method, headers };
        beyond((&self.view.world, &self.client.door.front), &head, *client, self.core.now())
    }

    /// How long it may take until the response's head, and until the next piece of a body before that. A call of gRPC may say
    /// itself how long it waits, and neither side need say anything while it goes on.
    fn patience(&self, outgoing: &Outgoing) -> Patience {
        let timeouts = self.client.door.front.http().timeouts;
        let head = outgoing.head_timeout(self.route.timeout);
        let body = if outgoing.is_grpc { head.max(timeouts.upgraded_idle) } else { timeouts.body };
        Patience { head, body }
    }

    /// Whether a request that those have had may be tried again; takes from the pool's budget.
    fn may_again(&self, tried: &[u32], pool: &Rc<Pool>, upload: &Upload) -> bool {
        if tried.len() > usize::from(self.route.retries) || tried.len() >= TRIES_MAX || !upload.is_replayable() {
            return false;
        }
        let now = self.core.now();
        if !pool.has_another(self.view_now(pool).look(), tried, now) {
            return false;
        }
        let may = pool.take_retry(now);
        if !may {
            pool.cell.retry_refused();
        }
        may
    }
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
