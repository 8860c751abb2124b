//! A connection from its first byte to the moment that HTTP is spoken on it.
//!
//! For whom the peer speaks (PROXY protocol), TLS, and which version of HTTP: by ALPN in TLS, in plaintext by the first bytes.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::proxy::cells::ListenerCell;
use crate::proxy::client::Client;
use crate::proxy::client::Door;
use crate::proxy::client::Secured;
use crate::proxy::core::Core;
use crate::proxy::deadline::Deadline;
use crate::proxy::h1_connection;
use crate::proxy::h2_connection;
use crate::proxy::h2_connection::PREFACE;
use crate::proxy::listening::Listening;
use crate::proxy::stream::Stream;

/// A proxy in front of us sends its header at once.
pub(super) const PROXY_HEADER_WITHIN: Duration = Duration::from_secs(3);

/// A connection on which HTTP is about to be spoken.
struct Begun {
    client: Rc<Client>,
    stream: Stream,
    /// What was read of it already.
    before: BytesMut,
    is_h2: bool,
}

/// Serves a connection to its end.
///
/// What comes before the first request is on the heap while it lasts: a connection that waits for its next shall be small.
pub async fn serve(core: Rc<Core>, listening: Rc<Listening>, socket: TcpStream, peer: SocketAddr) {
    let Some((_, door)) = listening.now(&core) else { return };
    let Some(_held) = door.bounds.connection(door.front.listener.limits.connections_max) else {
        return door.cell.refused("connections_max");
    };
    let _counted = Counted::new(door.cell.clone());
    match Box::pin(begin(&core, &listening, door, socket, peer)).await {
        None => {}
        Some(Begun { client, stream, before, is_h2: false }) => {
            h1_connection::serve(core, listening, client, stream, before).await;
        }
        Some(Begun { client, stream, before, is_h2: true }) => {
            Box::pin(h2_connection::serve(core, listening, client, stream, before)).await;
        }
    }
}

async fn begin(
    core: &Core,
    listening: &Listening,
    door: Rc<Door>,
    mut socket: TcpStream,
    peer: SocketAddr,
) -> Option<Begun> {
    // A call that only PROXY protocol needs.
    let local = match door.front.listener.proxy_protocol_to {
        None => door.front.listener.bind,
        Some(_) => socket.local_addr().unwrap_or(door.front.listener.bind),
    };
    let Ok(peer) = listening.proxies.client(&mut socket, peer, PROXY_HEADER_WITHIN).await else {
        door.cell.refused("proxy_header");
        return None;
    };
    let Some(tls) = &listening.tls else {
        let (mut stream, mut before) = (Stream::Plain(socket), BytesMut::new());
        let deadline = core.deadlines.another();
        deadline.within(door.front.http().timeouts.header);
        let is_h2 = begins_h2(core, &mut stream, &mut before, &deadline).await;
        return Some(Begun { client: Rc::new(Client::new(peer, local, None, door)), stream, before, is_h2 });
    };
    let accepted = match timeout(door.front.http().timeouts.handshake, tls.accept(socket)).await {
        Ok(Ok(accepted)) => accepted,
        refused => {
            door.cell.refused(if refused.is_ok() { "tls_handshake" } else { "tls_timeout" });
            return None;
        }
    };
    let version = match accepted.stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    let secured = Secured { presented: accepted.presented, version };
    let client = Rc::new(Client::new(peer, local, Some(secured), door));
    let (stream, is_h2) = (Stream::Accepted(Box::new(accepted.stream)), accepted.is_h2);
    Some(Begun { client, stream, before: BytesMut::new(), is_h2 })
}

/// A connection among those that are open, until this is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<ListenerCell>);

impl Counted {
    pub(super) fn new(cell: Arc<ListenerCell>) -> Self {
        cell.connection_opened();
        Counted(cell)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

/// Whether HTTP/2 begins; what was read of it is in `first`.
async fn begins_h2(core: &Core, stream: &mut Stream, first: &mut BytesMut, deadline: &Deadline) -> bool {
    loop {
        let here = first.len().min(PREFACE.len());
        if first[..here] != PREFACE[..here] {
            return false;
        }
        if here == PREFACE.len() {
            return true;
        }
        let readable = poll_fn(|cx| match stream.socket().poll_read_ready(cx) {
            Poll::Pending => deadline.poll_due(cx).map(|()| false),
            Poll::Ready(ready) => Poll::Ready(ready.is_ok()),
        });
        if !readable.await {
            return false;
        }
        if first.capacity() == 0 {
            *first = core.buffers.inbox();
        }
        let came = poll_fn(|cx| match stream.poll_fill(first, cx) {
            Poll::Pending => deadline.poll_due(cx).map(|()| false),
            Poll::Ready(came) => Poll::Ready(came.is_ok_and(|count| count > 0)),
        });
        if !came.await {
            return false;
        }
    }
}
