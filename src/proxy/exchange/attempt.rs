//! One attempt at one endpoint: a connection, the request laid on it, and the response's head waited for.
//!
//! What follows from a failure is not decided here; see the parent.

use std::future::Future;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use ::h2::client::SendRequest;
use bytes::Bytes;
use tokio::sync::SemaphorePermit;

use crate::model::Moment;
use crate::model::Speaks;
use crate::proxy::back::Answer;
use crate::proxy::back::Back;
use crate::proxy::back::BackFault;
use crate::proxy::back::Extent;
use crate::proxy::back::h1::H1Back;
use crate::proxy::back::h2;
use crate::proxy::back::h2::H2Back;
use crate::proxy::exchange::Attempt;
use crate::proxy::exchange::Request;
use crate::proxy::front::Front;
use crate::proxy::front::FrontFault;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::proxy_protocol::Header;
use crate::proxy::relay;
use crate::proxy::relay::Fault;
use crate::proxy::relay::Patience;
use crate::proxy::relay::Upload;
use crate::proxy::story::Story;
use crate::proxy::stream::Stream;
use crate::proxy::upstream::endpoint::Endpoint;
use crate::proxy::upstream::h2_connections::Streams;

impl Request<'_> {
    /// Sends the request to an endpoint and waits for the response's head. A connection that was closed while it waited for a
    /// request is nobody's fault: another is made to the same endpoint.
    pub(super) async fn attempt<F: Front>(
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
            let endpoint = &attempt.in_flight.endpoint;
            let reused = match is_fresh {
                true => None,
                false => std::future::poll_fn(|cx| Poll::Ready(self.reuse(endpoint, outgoing, cx))).await,
            };
            let mut back = match reused {
                Some(back) => {
                    let back = back.map_err(|fault| Failed { fault, has_begun: false })?;
                    story.connected(Duration::ZERO);
                    back
                }
                None => {
                    let connecting = connected;
                    // On the heap: handshakes are large, and most requests need none.
                    let opened = Box::pin(self.open(endpoint, outgoing, front)).await;
                    connected = self.core.now();
                    let back = opened.map_err(|fault| Failed { fault, has_begun: false })?;
                    story.connected(connected.since(connecting));
                    back
                }
            };
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

    /// A connection that waits for a request, or one that carries many and has room, with the request's head laid on it. One that
    /// speaks for one client is not used for another.
    fn reuse(&self, endpoint: &Endpoint, outgoing: &Outgoing, cx: &mut Context<'_>) -> Option<Result<Back, Fault>> {
        if self.client.door.front.listener.proxy_protocol_to.is_some() {
            return None;
        }
        if endpoint.speaks_h2.get() == Some(true) {
            let (mut sender, open) = endpoint.connections.with_room()?;
            let is_ready = matches!(sender.poll_ready(cx), Poll::Ready(Ok(())));
            return is_ready.then(|| lay_on_stream(endpoint, (sender, open), outgoing));
        }
        let stream = endpoint.take_idle()?;
        Some(Ok(Back::H1(Box::new(H1Back::begin(stream, true, outgoing, &self.core.buffers)))))
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
        let ready = self.unless(front, std::future::poll_fn(|cx| sender.poll_ready(cx))).await?;
        ready.map_err(|error| Fault::Back(BackFault::of_h2(error)))?;
        lay_on_stream(endpoint, (sender, open), outgoing)
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
}

/// Opens a stream on a connection that is ready for one.
fn lay_on_stream(
    endpoint: &Endpoint,
    (mut sender, open): (SendRequest<Bytes>, Rc<Streams>),
    outgoing: &Outgoing,
) -> Result<Back, Fault> {
    let scheme = if endpoint.way.tls.is_some() { "https" } else { "http" };
    let request = h2::request(outgoing, scheme).ok_or(Fault::Front(FrontFault::Unsendable))?;
    let has_ended = outgoing.extent == Extent::None && outgoing.upgrade.is_none();
    let (response, stream) =
        sender.send_request(request, has_ended).map_err(|error| Fault::Back(BackFault::of_h2(error)))?;
    Ok(Back::H2(Box::new(H2Back::new(response, stream, has_ended, outgoing, open))))
}

/// An attempt without a response.
pub(super) struct Failed {
    pub(super) fault: Fault,
    /// The endpoint may have begun with it.
    pub(super) has_begun: bool,
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
