//! The endpoint's response on its way to the client, from its head to its last byte; then the connection is kept for others.

use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use http::StatusCode;
use http::header;

use crate::proxy::back::Answer;
use crate::proxy::back::Back;
use crate::proxy::back::BackFault;
use crate::proxy::decide::values;
use crate::proxy::drain;
use crate::proxy::exchange::Attempt;
use crate::proxy::exchange::Request;
use crate::proxy::exchange::judge::Judged;
use crate::proxy::front::Front;
use crate::proxy::front::FrontFault;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::relay;
use crate::proxy::relay::Download;
use crate::proxy::relay::Fault;
use crate::proxy::relay::Upload;
use crate::proxy::reply::Reply;
use crate::proxy::story::Story;
use crate::proxy::upstream::tunnels::Tunnel;
use crate::proxy::websocket;
use crate::route::hop_by_hop;
use crate::route::upgrade::Switch;
use crate::route::upgrade::Upgrade;
use crate::route::upgrade::switched;

/// How long a client may take to read the rest of a tunnel that is ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How a response came to its end.
pub(super) enum Ended {
    /// It was whole.
    Itself,
    /// Of a tunnel: its endpoint was taken out, and its time was up.
    ByUs,
}

/// A response on its way.
pub(super) struct Delivery {
    back: Back,
    patience: Duration,
    /// Of a connection that goes on as something else.
    tunnel: Option<Tunnel>,
    goes_raw: bool,
    /// Its head was to the endpoint's credit.
    is_creditable: bool,
    /// The client could not be told its head.
    fault: Option<FrontFault>,
}

impl Request<'_> {
    /// The head of the endpoint's response, to the client; or what the client is told instead.
    pub(super) fn deliver<F: Front>(
        &self,
        attempt: &Attempt<'_>,
        outgoing: &Outgoing,
        (judged, mut back, mut answer): (Judged, Back, Answer),
        upload: &mut Upload,
        front: &mut F,
        story: &mut Story,
    ) -> Result<Delivery, Reply> {
        let asked = outgoing.upgrade.as_deref().map_or(Upgrade::None, Upgrade::To);
        let goes_raw = match switched(asked, answer.status, &answer.headers) {
            // A 200 would be the yes that the endpoint did not give (RFC 8441 section 5).
            Switch::Stays if outgoing.is_extended_connect && answer.status.is_success() => {
                story.upstream_failed(attempt.pool, &BackFault::Malformed);
                return Err(Reply::of(StatusCode::BAD_GATEWAY));
            }
            Switch::Stays => false,
            Switch::Agreed if is_answered(outgoing, &back, &mut answer) => true,
            Switch::Agreed | Switch::Wrong => {
                self.failed(attempt, &BackFault::Malformed);
                story.upstream_failed(attempt.pool, &BackFault::Malformed);
                return Err(Reply::of(StatusCode::BAD_GATEWAY));
            }
        };
        self.edit(attempt, &mut answer, goes_raw);
        let timeouts = self.client.door.front.http().timeouts;
        let is_long = goes_raw || outgoing.is_grpc;
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
        // Of a tunnel the endpoint's part is done: what follows is between its ends.
        let is_creditable = judged == Judged::Well;
        if is_creditable && goes_raw {
            self.passed(attempt);
        }
        let tunnel = goes_raw.then(|| self.tunnel(attempt));
        let fault = front.begin(status, headers, extent, goes_raw).err();
        Ok(Delivery { back, patience, tunnel, goes_raw, is_creditable, fault })
    }

    /// It was delivered, or broke off.
    pub(super) fn delivered<F: Front>(
        &self,
        attempt: &Attempt<'_>,
        Delivery { back, goes_raw, is_creditable, .. }: Delivery,
        relayed: Result<Ended, Fault>,
        upload: &Upload,
        front: &mut F,
        story: &mut Story,
    ) {
        story.came(upload.bytes());
        match relayed {
            Ok(Ended::ByUs) => story.stopped(),
            Ok(Ended::Itself) => {
                if is_creditable && !goes_raw {
                    self.passed(attempt);
                }
                self.keep(attempt, back);
            }
            Err(fault) => {
                match &fault {
                    _ if goes_raw => {}
                    Fault::Back(fault) => _ = self.failed(attempt, fault),
                    Fault::BackTimeout => self.timed_out(attempt),
                    // The client's doing: the endpoint was well as long as anybody listened.
                    _ if is_creditable => self.passed(attempt),
                    _ => {}
                }
                story.broke_off(attempt.pool, &fault);
                front.abort();
            }
        }
    }

    /// Among those of its endpoint.
    fn tunnel(&self, attempt: &Attempt<'_>) -> Tunnel {
        let time = drain::time(self.client.door.front.listener.drain_timeout, self.core.draw());
        attempt.in_flight.endpoint.tunnels.enter(self.core.deadlines.another(), time)
    }

    /// Both bodies, to their ends.
    pub(super) async fn relay<F: Front>(
        &self,
        delivery: &mut Delivery,
        upload: &mut Upload,
        front: &mut F,
    ) -> Result<Ended, Fault> {
        if let Some(fault) = delivery.fault.take() {
            return Err(Fault::Front(fault));
        }
        let Delivery { back, patience, tunnel, .. } = delivery;
        let mut download = Download::default();
        let mut is_over = false;
        let both = |cx: &mut Context<'_>| {
            if !is_over && tunnel.as_ref().is_some_and(|tunnel| tunnel.poll_over(cx).is_ready()) {
                is_over = true;
                front.finish(None);
                self.deadline.within(LAST_WORDS);
            }
            if !is_over {
                let goes_raw = tunnel.is_some();
                let both = (&mut *upload, &mut download);
                let ended = relay::poll_bodies(both, front, back, self.deadline, *patience, goes_raw, cx);
                return ended.map_ok(|()| Ended::Itself);
            }
            match front.poll_flush(cx) {
                Poll::Pending => self.deadline.poll_due(cx).map(|()| Err(Fault::FrontTimeout)),
                flushed => flushed.map_ok(|()| Ended::ByUs).map_err(Fault::Front),
            }
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
        // The region that served it has changed it as its routes say.
        if self.is_sent_on {
            return;
        }
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
