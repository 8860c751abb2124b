//! A request's body up and its response down, both at once.
//!
//! Neither direction waits for the other: an endpoint may answer before it has read the request, and a gRPC call or a WebSocket
//! goes on both ways for hours. Each direction holds one piece at most; who reads slowly is sent slowly. A direction that makes
//! progress moves the deadline.

use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header;

use crate::proxy::back::Answer;
use crate::proxy::back::Back;
use crate::proxy::back::BackFault;
use crate::proxy::deadline::Deadline;
use crate::proxy::front::Front;
use crate::proxy::front::FrontFault;
use crate::regional::front::Front as Listener;
use crate::route::hop_by_hop;
use crate::route::trailers;

/// A body up to this is kept while its request might be sent again.
pub const REPLAYED_MAX: usize = 64 * 1024;

/// Once one end of a tunnel has said that nothing more comes, the other has so long between two bytes.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// Why a relay ended before its end.
#[derive(Debug)]
pub enum Fault {
    /// The client's doing.
    Front(FrontFault),
    /// The endpoint's.
    Back(BackFault),
    /// The deadline has passed while the client was waited for.
    FrontTimeout,
    /// The deadline has passed while the endpoint was waited for.
    BackTimeout,
}

/// The request's body on its way up.
#[derive(Debug)]
pub struct Upload {
    state: State,
    /// Nothing moves because the client sends nothing; else the endpoint takes nothing.
    waits_for_front: bool,
    /// All of it so far, while it is short enough to be sent again. A copy: pieces hold on to more than their bytes.
    kept: Option<Vec<u8>>,
    /// What an attempt before this one has sent already.
    again: Bytes,
    bytes: u64,
    bytes_max: u64,
    has_body: bool,
    /// Heads that came before the response's.
    interim: u32,
    /// What the client said would come after the body.
    declared: Option<Box<HeaderMap>>,
    /// What came.
    trailers: Option<Box<HeaderMap>>,
    listener: Arc<Listener>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Going,
    Flushing,
    Over,
    /// The endpoint takes no more of it.
    Refused,
}

impl Upload {
    /// Of a request with a body, or without.
    pub fn new(has_body: bool, bytes_max: Option<u64>, declared: Option<&HeaderMap>, listener: Arc<Listener>) -> Self {
        Upload {
            state: if has_body { State::Going } else { State::Flushing },
            waits_for_front: false,
            kept: Some(Vec::new()),
            again: Bytes::new(),
            bytes: 0,
            bytes_max: bytes_max.unwrap_or(u64::MAX),
            declared: declared.cloned().map(Box::new),
            trailers: None,
            listener,
            has_body,
            interim: 0,
        }
    }

    /// Of a connection that goes on as something else.
    pub fn tunnel(listener: Arc<Listener>) -> Self {
        Upload { kept: None, ..Upload::new(true, None, None, listener) }
    }

    /// Whether another attempt can have all of it.
    pub fn is_replayable(&self) -> bool {
        self.kept.is_some()
    }

    /// From the beginning, to another endpoint.
    pub fn again(&mut self) {
        self.state = if self.has_body { State::Going } else { State::Flushing };
        self.again = self.kept.as_deref().map(Bytes::copy_from_slice).unwrap_or_default();
    }

    /// No other attempt will be made: nothing need be kept.
    pub fn is_final(&mut self) {
        self.kept = None;
    }

    /// Whether all of it has left.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Whether nothing more of it is to be sent.
    fn is_done(&self) -> bool {
        matches!(self.state, State::Over | State::Refused)
    }

    /// Bytes of the body so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ready when all of it has left, or nobody wants more of it; whether there was progress goes to `moved`.
    fn poll(
        &mut self,
        front: &mut impl Front,
        back: &mut Back,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<Result<(), Fault>> {
        loop {
            self.waits_for_front = false;
            match self.state {
                State::Over | State::Refused => return Poll::Ready(Ok(())),
                State::Flushing => match back.poll_flush(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => self.state = State::Over,
                    Poll::Ready(Err(_)) => self.state = State::Refused,
                },
                State::Going => {
                    match back.poll_room(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(())) => {}
                        // It may have answered before it closed: that is read first.
                        Poll::Ready(Err(_)) => {
                            self.state = State::Refused;
                            continue;
                        }
                    }
                    if !self.again.is_empty() {
                        back.push(std::mem::take(&mut self.again));
                        continue;
                    }
                    match front.poll_body(cx) {
                        Poll::Pending => {
                            if let Poll::Ready(Err(_)) = back.poll_flush(cx) {
                                self.state = State::Refused;
                                continue;
                            }
                            self.waits_for_front = true;
                            return Poll::Pending;
                        }
                        Poll::Ready(Err(fault)) => return Poll::Ready(Err(Fault::Front(fault))),
                        Poll::Ready(Ok(Some(data))) => {
                            *moved = true;
                            self.keep(&data)?;
                            back.push(data);
                            if front.is_body_over() {
                                self.finish(front, back)?;
                            }
                        }
                        Poll::Ready(Ok(None)) => self.finish(front, back)?,
                    }
                }
            }
        }
    }

    /// The body is over; its trailers go on, if they may.
    fn finish(&mut self, front: &mut impl Front, back: &mut Back) -> Result<(), Fault> {
        if let Some(trailers) = front.body_trailers() {
            let none = HeaderMap::new();
            let checked =
                trailers::check(self.declared.as_deref().unwrap_or(&none), &trailers, self.listener.trailers());
            checked.map_err(|refusal| Fault::Front(FrontFault::Trailers(refusal)))?;
            // Another attempt needs them, too.
            self.trailers = Some(Box::new(trailers));
        }
        back.finish(self.trailers.as_deref());
        self.state = State::Flushing;
        Ok(())
    }

    fn keep(&mut self, data: &Bytes) -> Result<(), Fault> {
        self.bytes += data.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(Fault::Front(FrontFault::TooLong));
        }
        match &mut self.kept {
            Some(kept) if kept.len() + data.len() <= REPLAYED_MAX => kept.extend_from_slice(data),
            kept => *kept = None,
        }
        Ok(())
    }
}

/// How long is waited before the response's head.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the head, once the request is sent.
    pub head: Duration,
    /// For the next piece of the request's body.
    pub body: Duration,
}

/// So many heads may come before the response's.
pub const INTERIM_MAX: u32 = 16;

/// Until the response's head; those before it go to the client at once.
pub fn poll_head(
    upload: &mut Upload,
    front: &mut impl Front,
    back: &mut Back,
    deadline: &Deadline,
    patience: Patience,
    cx: &mut Context<'_>,
) -> Poll<Result<Answer, Fault>> {
    let (mut moved, was_over) = (false, upload.is_done());
    if let Poll::Ready(Err(fault)) = upload.poll(front, back, cx, &mut moved) {
        return Poll::Ready(Err(fault));
    }
    if upload.is_done() && !was_over && upload.has_body {
        deadline.within(patience.head);
    } else if moved {
        deadline.within(patience.body);
    }
    loop {
        match back.poll_head(cx) {
            Poll::Ready(Ok(answer)) if answer.status.is_informational() && answer.status.as_u16() != 101 => {
                upload.interim += 1;
                if upload.interim > INTERIM_MAX {
                    return Poll::Ready(Err(Fault::Back(BackFault::Malformed)));
                }
                let mut headers = answer.headers;
                hop_by_hop::strip(&mut headers);
                front.inform(answer.status, headers);
                if let Poll::Ready(Err(fault)) = front.poll_flush(cx) {
                    return Poll::Ready(Err(Fault::Front(fault)));
                }
            }
            Poll::Ready(Ok(answer)) => return Poll::Ready(Ok(answer)),
            Poll::Ready(Err(fault)) => return Poll::Ready(Err(Fault::Back(fault))),
            Poll::Pending => break,
        }
    }
    if front.poll_gone(cx).is_ready() {
        return Poll::Ready(Err(Fault::Front(FrontFault::gone())));
    }
    if deadline.poll_due(cx).is_ready() {
        return Poll::Ready(Err(if upload.waits_for_front { Fault::FrontTimeout } else { Fault::BackTimeout }));
    }
    Poll::Pending
}

/// The response's body on its way down.
#[derive(Debug, Default)]
pub struct Download {
    is_finished: bool,
    /// What the other side waits for when nothing moves.
    waits_for_front: bool,
    /// Of a tunnel: one end has said that nothing more comes.
    is_half_closed: bool,
}

impl Download {
    fn poll(
        &mut self,
        front: &mut impl Front,
        back: &mut Back,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<Result<(), Fault>> {
        loop {
            self.waits_for_front = true;
            if self.is_finished {
                return front.poll_flush(cx).map_err(Fault::Front);
            }
            match front.poll_room(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(Fault::Front(fault))),
                Poll::Ready(Ok(())) => {}
            }
            self.waits_for_front = false;
            match back.poll_body(cx) {
                Poll::Pending => {
                    if let Poll::Ready(Err(fault)) = front.poll_flush(cx) {
                        return Poll::Ready(Err(Fault::Front(fault)));
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(Fault::Back(fault))),
                Poll::Ready(Ok(Some(data))) => {
                    *moved = true;
                    front.push(data);
                    // The last piece and the end leave together.
                    self.is_finished = back.is_body_over();
                    if self.is_finished {
                        front.finish(passing(back.trailers()));
                    }
                }
                Poll::Ready(Ok(None)) => {
                    front.finish(passing(back.trailers()));
                    self.is_finished = true;
                }
            }
        }
    }
}

/// A response's trailers, without what decides anything: a client that merges them into the head must not be led by them.
fn passing(trailers: Option<HeaderMap>) -> Option<HeaderMap> {
    trailers.map(|mut trailers| {
        hop_by_hop::strip(&mut trailers);
        [header::TE, header::CONTENT_LENGTH, header::HOST].iter().for_each(|name| _ = trailers.remove(name));
        trailers
    })
}

/// Until the response is with the client; a tunnel until both directions are over.
pub fn poll_bodies(
    (upload, download): (&mut Upload, &mut Download),
    front: &mut impl Front,
    back: &mut Back,
    deadline: &Deadline,
    patience: Duration,
    is_tunnel: bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    let mut moved = false;
    let up = upload.poll(front, back, cx, &mut moved)?;
    let down = download.poll(front, back, cx, &mut moved)?;
    // A response that is over before its request: the rest of that is of no use to anybody.
    if down.is_ready() && (up.is_ready() || !is_tunnel) {
        return Poll::Ready(Ok(()));
    }
    if moved {
        let is_half_closed = is_tunnel && (up.is_ready() || down.is_ready());
        deadline.within(if is_half_closed { patience.min(HALF_CLOSED) } else { patience });
    } else if is_tunnel && up.is_ready() != down.is_ready() && !std::mem::replace(&mut download.is_half_closed, true) {
        deadline.within(patience.min(HALF_CLOSED));
    }
    if front.poll_gone(cx).is_ready() {
        return Poll::Ready(Err(Fault::Front(FrontFault::gone())));
    }
    if deadline.poll_due(cx).is_ready() {
        return Poll::Ready(Err(if download.waits_for_front || upload.waits_for_front {
            Fault::FrontTimeout
        } else {
            Fault::BackTimeout
        }));
    }
    Poll::Pending
}
