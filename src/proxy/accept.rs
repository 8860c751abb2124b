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
use crate::proxy::client::Secured;
use crate::proxy::core::Core;
use crate::proxy::deadline::Deadline;
use crate::proxy::h1_connection;
use crate::proxy::h2_connection;
use crate::proxy::h2_connection::PREFACE;
use crate::proxy::listening::Listening;
use crate::proxy::stream::Stream;

/// A proxy in front of us sends its header at once.
const PROXY_HEADER_WITHIN: Duration = Duration::from_secs(3);

/// Serves a connection to its end.
pub async fn serve(core: Rc<Core>, listening: Rc<Listening>, mut socket: TcpStream, peer: SocketAddr) {
    let Some((_, door)) = listening.now(&core) else { return };
    let Some(_held) = door.bounds.connection(door.front.listener.limits.connections_max) else {
        door.cell.refused("connections_max");
        return;
    };
    let _counted = Counted::new(door.cell.clone());
    // Heads and the ends of bodies must not wait for each other.
    _ = socket.set_nodelay(true);
    let Ok(local) = socket.local_addr() else { return };
    match listening.proxies.client(&mut socket, peer, PROXY_HEADER_WITHIN).await {
        Ok(client) => secure(core, listening, socket, (client, local)).await,
        Err(_) => door.cell.refused("proxy_header"),
    }
}

/// A connection among those that are open, until this is dropped.
struct Counted(Arc<ListenerCell>);

impl Counted {
    fn new(cell: Arc<ListenerCell>) -> Self {
        cell.connection_opened();
        Counted(cell)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

async fn secure(core: Rc<Core>, listening: Rc<Listening>, socket: TcpStream, (peer, local): (SocketAddr, SocketAddr)) {
    let Some((_, door)) = listening.now(&core) else { return };
    let Some(tls) = listening.tls.clone() else {
        let client = Client::new(peer, local, None, door);
        return speak(core, listening, client, Stream::Plain(socket)).await;
    };
    let within = door.front.http().timeouts.handshake;
    let accepted = match timeout(within, Box::pin(tls.accept(socket))).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(_)) => return door.cell.refused("tls_handshake"),
        Err(_) => return door.cell.refused("tls_timeout"),
    };
    let version = match accepted.stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    let secured = Secured { presented: accepted.presented, version };
    let client = Client::new(peer, local, Some(secured), door);
    let stream = Stream::Accepted(Box::new(accepted.stream));
    if accepted.is_h2 {
        Box::pin(h2_connection::serve(core, listening, client, stream, BytesMut::new())).await;
    } else {
        h1_connection::serve(core, listening, client, stream, BytesMut::new()).await;
    }
}

/// In plaintext the first bytes tell the version.
async fn speak(core: Rc<Core>, listening: Rc<Listening>, client: Client, mut stream: Stream) {
    let deadline = core.deadlines.another();
    deadline.within(client.door.front.http().timeouts.header);
    let mut first = BytesMut::new();
    if !begins_h2(&core, &mut stream, &mut first, &deadline).await {
        drop(deadline);
        h1_connection::serve(core, listening, client, stream, first).await;
    } else {
        Box::pin(h2_connection::serve(core, listening, client, stream, first)).await;
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
