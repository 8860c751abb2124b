//! A client's connection over HTTP/2: streams come and go, each with a task of its own.
//!
//! The floods that HTTP/2 is known for end here or in the `h2` crate below: streams that are reset as soon as they are opened (rapid
//! reset, CVE-2023-44487), heads that never end (CONTINUATION), heads that swell (HPACK). All end in ENHANCE_YOUR_CALM.

use std::cell::Cell;
use std::cell::RefCell;
use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use h2::PingPong;
use h2::Reason;
use h2::RecvStream;
use h2::server::Builder;
use h2::server::Connection;
use h2::server::SendResponse;
use http::Request;
use http::header;

use crate::proxy::asked::Asked;
use crate::proxy::back::Extent;
use crate::proxy::client::Client;
use crate::proxy::core::Core;
use crate::proxy::core::View;
use crate::proxy::deadline::Deadline;
use crate::proxy::exchange;
use crate::proxy::front::h2::H2Front;
use crate::proxy::listening::Listening;
use crate::proxy::stream::Rewound;
use crate::proxy::stream::Stream;

/// What every connection over HTTP/2 begins with (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams at once; browsers open fewer.
const STREAMS_MAX: u32 = 100;
/// What a client may send before it was read.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Fields of a request, uncompressed.
const HEADER_LIST_BYTES_MAX: u32 = 32 * 1024;
/// What waits for a client that reads slowly, for each stream.
const SEND_BUFFER: usize = 256 * 1024;
/// Streams that were reset before they were looked at.
const RESETS_PENDING_MAX: usize = 20;
/// A client that has taken so many requests back, and more than half of all, only wants to make work.
const TAKEN_BACK_MAX: u32 = 200;
/// Deadlines kept for the next streams: to make one and let it go for each is work for the sweep.
const SPARE_DEADLINES_MAX: usize = 8;
/// A client that has streams open and says nothing is asked so often whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// And has so long to answer.
const PONG_WITHIN: Duration = Duration::from_secs(20);

type Wire = Connection<Rewound, Bytes>;

/// What the streams of a connection share. It is held by the connection, and by each stream that is open.
#[derive(Debug)]
struct Streams {
    opened: Cell<u32>,
    taken_back: Cell<u32>,
    /// Of the connection.
    deadline: Deadline,
    idle: Duration,
    /// Those of streams that have ended.
    spare: RefCell<Vec<Deadline>>,
}

impl Streams {
    fn deadline(&self, core: &Core) -> Deadline {
        self.spare.borrow_mut().pop().unwrap_or_else(|| core.deadlines.another())
    }

    fn give_back(&self, deadline: Deadline) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_DEADLINES_MAX {
            deadline.rest();
            spare.push(deadline);
        }
    }
}

/// An open stream.
struct Opened(Rc<Streams>);

impl Drop for Opened {
    fn drop(&mut self) {
        // The last but for the connection itself: from now on nothing is under way.
        if Rc::strong_count(&self.0) == 2 {
            self.0.deadline.within(self.0.idle);
        }
    }
}

/// Serves a connection to its end; `before` was read already.
pub async fn serve(core: Rc<Core>, listening: Rc<Listening>, mut client: Rc<Client>, stream: Stream, before: BytesMut) {
    let deadline = core.deadlines.another();
    let timeouts = client.door.front.http().timeouts;
    deadline.within(timeouts.header);
    let handshake = builder(&client).handshake(Rewound { before, stream });
    let Some(Ok(mut wire)) = in_time(&deadline, handshake).await else { return };
    let mut pings = Pings { pings: wire.ping_pong(), is_owed: false };
    deadline.within(timeouts.idle);
    let (opened, taken_back, spare) = (Cell::default(), Cell::default(), RefCell::default());
    let streams = Rc::new(Streams { opened, taken_back, deadline, idle: timeouts.idle, spare });
    let deadline = &streams.deadline;
    let accepted = core.deadlines.now();
    let mut is_leaving = false;
    loop {
        let has_asked = streams.opened.get() > 0;
        let left = pin!(listening.left(has_asked));
        match next(&mut wire, (!is_leaving).then_some(left), deadline, &mut pings).await {
            Next::Stream(stream) => {
                let Some((view, door)) = listening.now(&core) else { return };
                if !Rc::ptr_eq(&door, &client.door) {
                    client = Rc::new(client.at(door));
                }
                let now = core.deadlines.now();
                streams.opened.set(streams.opened.get() + 1);
                if is_flood(&streams) {
                    core.refused_connection(&client, "resets");
                    wire.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                }
                let (core, client, opened) = (core.clone(), client.clone(), Opened(streams.clone()));
                tokio::task::spawn_local(one(core, view, client, opened, *stream));
                deadline.within(PING_EVERY);
                let is_old = timeouts.age.is_some_and(|age| now.since(accepted) > age);
                if is_old && !std::mem::replace(&mut is_leaving, true) {
                    wire.graceful_shutdown();
                }
            }
            Next::Leave => {
                is_leaving = true;
                wire.graceful_shutdown();
            }
            Next::Due if Rc::strong_count(&streams) == 1 => {
                // Nothing is under way: the client is told, and has as long again to understand.
                if std::mem::replace(&mut is_leaving, true) {
                    return;
                }
                wire.graceful_shutdown();
                deadline.within(PONG_WITHIN);
            }
            Next::Due => {
                if !pings.ask() {
                    return;
                }
                deadline.within(PONG_WITHIN);
            }
            Next::Pong if Rc::strong_count(&streams) == 1 => deadline.within(timeouts.idle),
            Next::Pong => deadline.within(PING_EVERY),
            Next::Over => return,
        }
    }
}

enum Next {
    Stream(Box<(Request<RecvStream>, SendResponse<Bytes>)>),
    /// The listener takes no new work.
    Leave,
    /// The deadline has passed.
    Due,
    /// The client is there.
    Pong,
    Over,
}

async fn next(
    wire: &mut Wire,
    mut left: Option<Pin<&mut impl Future<Output = ()>>>,
    deadline: &Deadline,
    pings: &mut Pings,
) -> Next {
    poll_fn(|cx| {
        match wire.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, response)))) => {
                return Poll::Ready(Next::Stream(Box::new((request, response))));
            }
            Poll::Ready(_) => return Poll::Ready(Next::Over),
            Poll::Pending => {}
        }
        if left.as_mut().is_some_and(|left| left.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Next::Leave);
        }
        if pings.poll(cx).is_ready() {
            return Poll::Ready(Next::Pong);
        }
        deadline.poll_due(cx).map(|()| Next::Due)
    })
    .await
}

/// Questions whether the client is still there.
struct Pings {
    pings: Option<PingPong>,
    is_owed: bool,
}

impl Pings {
    /// Asks; not when the last answer is still owed.
    fn ask(&mut self) -> bool {
        if std::mem::replace(&mut self.is_owed, true) {
            return false;
        }
        self.pings.as_mut().is_none_or(|pings| pings.send_ping(h2::Ping::opaque()).is_ok())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pings) = self.pings.as_mut().filter(|_| self.is_owed) else { return Poll::Pending };
        match pings.poll_pong(cx) {
            Poll::Ready(Ok(_)) => {
                self.is_owed = false;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}

fn builder(client: &Client) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_concurrent_reset_streams(RESETS_PENDING_MAX)
        .reset_stream_duration(Duration::from_secs(1));
    if !client.door.front.http().upgrades.is_empty() {
        builder.enable_connect_protocol();
    }
    builder
}

fn is_flood(streams: &Streams) -> bool {
    let taken_back = streams.taken_back.get();
    taken_back >= TAKEN_BACK_MAX && taken_back > streams.opened.get() / 2
}

async fn in_time<T>(deadline: &Deadline, what: impl Future<Output = T>) -> Option<T> {
    let mut what = pin!(what);
    poll_fn(|cx| match what.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => deadline.poll_due(cx).map(|()| None),
    })
    .await
}

/// One stream. On the heap: a task is moved some times while it is made, and when it ends.
fn one(
    core: Rc<Core>,
    view: Rc<View>,
    client: Rc<Client>,
    opened: Opened,
    (request, response): (Request<RecvStream>, SendResponse<Bytes>),
) -> Pin<Box<dyn Future<Output = ()>>> {
    let deadline = opened.0.deadline(&core);
    let (parts, body) = request.into_parts();
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let extent = match length {
        _ if body.is_end_stream() => Extent::None,
        Some(length) => Extent::Length(length),
        None => Extent::Open,
    };
    let mut front = H2Front::new(body, response, &parts.method);
    let asked = Asked {
        method: parts.method,
        uri: parts.uri,
        version: parts.version,
        headers: parts.headers,
        extent,
        protocol: parts.extensions.get::<h2::ext::Protocol>().map(|protocol| protocol.as_str().to_owned()),
        began: core.now(),
        head_took: Duration::ZERO,
        head_bytes: 0,
    };
    let begun = exchange::begin(&core, &view, &client, asked, &mut front);
    Box::pin(async move {
        begun.serve(&core, &view, &client, &mut front, &deadline).await;
        if !front.has_begun() {
            opened.0.taken_back.set(opened.0.taken_back.get() + 1);
        }
        opened.0.give_back(deadline);
        // Where the response is whole and the request is not, h2 tells the client that nobody reads the rest (RFC 9113 section
        // 8.1).
    })
}
