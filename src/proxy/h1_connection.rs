//! A client's connection over HTTP/1.1, from request to request.

use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use tokio::io::AsyncWrite;

use crate::model::Moment;
use crate::proxy::asked::Asked;
use crate::proxy::buffers::ROOM;
use crate::proxy::client::Client;
use crate::proxy::core::Core;
use crate::proxy::deadline::Deadline;
use crate::proxy::exchange;
use crate::proxy::front::Front;
use crate::proxy::front::h1::H1Front;
use crate::proxy::h1::request;
use crate::proxy::h1::request::BadHead;
use crate::proxy::h1::request::RequestHead;
use crate::proxy::listening::Listening;
use crate::proxy::reply::Reply;
use crate::proxy::stream::Stream;

/// How long a client that was refused may go on sending, so that it hears why: a connection that is closed over unread bytes is
/// reset, and the response lost with it (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
/// And so much of it is read.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// Room for the first bytes of a request in TLS; the rest is read into more.
const FIRST_BYTES: usize = 64;

/// What came of waiting for a head.
enum Next {
    /// With when it began and when it was there.
    Request(Box<RequestHead>, Moment, Moment),
    Bad(BadHead),
    /// The client has gone, or said nothing more in time.
    Over,
    /// It began and did not end in time.
    TooSlow,
}

/// Serves a connection to its end; `before` was read already. A connection that waits for its next request shall be small: what
/// is given lies where it is used.
pub fn serve(
    core: Rc<Core>,
    listening: Rc<Listening>,
    client: Rc<Client>,
    stream: Stream,
    before: BytesMut,
) -> impl Future<Output = ()> {
    let mut front = H1Front::new(stream, listening.clone());
    front.inbox = before;
    async move { from_request_to_request(&core, &listening, client, &mut front).await }
}

async fn from_request_to_request(core: &Rc<Core>, listening: &Listening, mut client: Rc<Client>, front: &mut H1Front) {
    let deadline = core.deadlines.another();
    let accepted = core.now();
    let mut is_first = true;
    loop {
        let next = next(core, &client, front, &deadline, std::mem::take(&mut is_first)).await;
        let (head, began, arrived) = match next {
            Next::Over => break,
            Next::TooSlow => {
                let (status, code) = (StatusCode::REQUEST_TIMEOUT, "header_timeout");
                Box::pin(refuse(core, &client, front, &deadline, status, code)).await;
                break;
            }
            Next::Bad(why) => {
                Box::pin(refuse(core, &client, front, &deadline, why.status(), why.code())).await;
                break;
            }
            Next::Request(head, began, arrived) => (head, began, arrived),
        };
        let Some((view, door)) = listening.now(core) else { break };
        if !Rc::ptr_eq(&door, &client.door) {
            client = Rc::new(client.at(door));
        }
        front.asks(&head);
        let age = client.door.front.http().timeouts.age;
        front.keeps_alive &= age.is_none_or(|age| began.since(accepted) < age);
        front.outbox.take_room(core.buffers.outbox());
        let begun = exchange::begin(core, &view, &client, Asked::of(*head, began, arrived), front);
        // On the heap: it lasts only as long as the request.
        Box::pin(begun.serve(core, &view, &client, front, &deadline)).await;
        if !front.is_ready_for_next() {
            // To say that nothing more comes would make a body that its end delimits look whole.
            if !front.was_aborted {
                Box::pin(close(front, &deadline)).await;
            }
            return;
        }
    }
    // The client has gone, or has been quiet for too long: nothing is owed to it.
    deadline.within(LINGER);
    shut_down(front, &deadline).await;
}

/// The next head. A connection that waits holds no room.
async fn next(core: &Core, client: &Client, front: &mut H1Front, deadline: &Deadline, is_first: bool) -> Next {
    let timeouts = &client.door.front.http().timeouts;
    // A fresh connection is one that wants something.
    deadline.within(if is_first { timeouts.header } else { timeouts.idle });
    if front.inbox.is_empty() {
        core.buffers.return_inbox(std::mem::take(&mut front.inbox));
        core.buffers.return_outbox(front.outbox.give_room());
        if !is_readable(front, deadline).await {
            return Next::Over;
        }
        let first = std::mem::replace(&mut front.inbox, core.buffers.inbox());
        front.inbox.extend_from_slice(&first);
    }
    let (mut seen, mut began, mut reads) = (0, None, 0u32);
    if !front.inbox.is_empty() {
        // What was read with the request before, or by looking into TLS.
        began = Some(core.now());
        deadline.within(timeouts.header);
    }
    loop {
        match request::take(&mut front.inbox, &mut seen) {
            Ok(Some(head)) => {
                let began = began.unwrap_or_else(|| core.now());
                // Most heads come at once.
                let arrived = if reads > 1 { core.now() } else { began };
                return Next::Request(Box::new(head), began, arrived);
            }
            Err(why) => return Next::Bad(why),
            Ok(None) if front.has_ended() => return Next::Over,
            Ok(None) => {}
        }
        front.inbox.reserve(ROOM / 2);
        let came = poll_fn(|cx| match front.stream.poll_fill(&mut front.inbox, cx) {
            Poll::Pending => deadline.poll_due(cx).map(|()| None),
            Poll::Ready(came) => Poll::Ready(Some(came)),
        });
        match came.await {
            Some(Ok(count)) if count > 0 => {
                reads += 1;
                if began.is_none() {
                    began = Some(core.now());
                    deadline.within(timeouts.header);
                }
            }
            None if !front.inbox.is_empty() => return Next::TooSlow,
            _ => return Next::Over,
        }
    }
}

/// Whether there is something to read before the deadline.
async fn is_readable(front: &mut H1Front, deadline: &Deadline) -> bool {
    let readable = |cx: &mut Context<'_>| {
        let ready = match &mut front.stream {
            Stream::Plain(socket) => socket.poll_read_ready(cx).map(|ready| ready.is_ok()),
            // TLS may hold what it has decrypted already: only reading tells.
            secured => {
                front.inbox.reserve(FIRST_BYTES);
                secured.poll_fill(&mut front.inbox, cx).map(|came| came.is_ok_and(|count| count > 0))
            }
        };
        match ready {
            Poll::Pending => deadline.poll_due(cx).map(|()| false),
            ready => ready,
        }
    };
    poll_fn(readable).await
}

async fn refuse(
    core: &Core,
    client: &Client,
    front: &mut H1Front,
    deadline: &Deadline,
    status: StatusCode,
    code: &'static str,
) {
    front.distrust();
    deadline.within(client.door.front.http().timeouts.body);
    core.refused_head(client, status, code);
    if Reply::of(status).dated(core.deadlines.now()).send(front, deadline).await.is_ok() {
        close(front, deadline).await;
    }
}

/// Says that nothing more comes; whether that was said in time. A client that does not read takes no end of TLS.
async fn shut_down(front: &mut H1Front, deadline: &Deadline) -> bool {
    let ended = poll_fn(|cx| match Pin::new(&mut front.stream).poll_shutdown(cx) {
        Poll::Pending => deadline.poll_due(cx).map(|()| false),
        Poll::Ready(ended) => Poll::Ready(ended.is_ok()),
    });
    ended.await
}

/// Ends a connection so that the client hears all that was said to it.
async fn close(front: &mut H1Front, deadline: &Deadline) {
    // All that it sent was read and understood: closing loses nothing.
    if !front.is_distrusted && front.is_body_over() && front.inbox.is_empty() && !front.stream.is_tls() {
        return;
    }
    deadline.within(LINGER);
    if !shut_down(front, deadline).await || front.has_ended() {
        return;
    }
    let mut left = LINGER_BYTES_MAX;
    let mut room = BytesMut::with_capacity(ROOM);
    while left > 0 {
        room.clear();
        room.reserve(ROOM);
        let came = poll_fn(|cx| match front.stream.poll_fill(&mut room, cx) {
            Poll::Pending => deadline.poll_due(cx).map(|()| 0),
            Poll::Ready(came) => Poll::Ready(came.unwrap_or(0)),
        });
        match came.await {
            0 => return,
            count => left = left.saturating_sub(count),
        }
    }
}
