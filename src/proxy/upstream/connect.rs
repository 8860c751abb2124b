//! Connections to endpoints: made, secured, and bounded in time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;
use tokio::io::AsyncWriteExt;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::model::Speaks;
use crate::proxy::back::BackFault;
use crate::proxy::stream::Stream;
use crate::proxy::upstream_tls::ClientTls;
use crate::proxy::upstream_tls::EndpointTls;

/// How an endpoint is reached.
#[derive(Debug, Clone)]
pub struct Way {
    /// What is spoken there.
    pub speaks: Speaks,
    /// TLS, with what it was made of: the pool's.
    pub tls: Option<(Arc<ClientTls>, EndpointTls)>,
    /// How long all of it may take.
    pub patience: Duration,
}

/// A connection, and whether HTTP/2 is spoken on it.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub stream: Stream,
    /// Whether HTTP/2 is spoken.
    pub is_h2: bool,
}

impl Way {
    /// Makes a connection; `before` is what is sent before anything else (PROXY protocol).
    ///
    /// # Errors
    /// What kept it from being made.
    pub async fn connect(&self, address: SocketAddr, before: Option<&[u8]>) -> Result<Connected, BackFault> {
        let made = timeout(self.patience, self.make(address, before)).await;
        made.unwrap_or(Err(BackFault::ConnectTimeout))
    }

    /// The same for bytes that are carried unread; in plaintext nothing has been asked of the system but the connection: the
    /// second write must see to it that it does not wait for the first (TCP_NODELAY), and many flows end before that.
    ///
    /// # Errors
    /// What kept it from being made.
    pub async fn connect_unread(&self, address: SocketAddr, before: Option<&[u8]>) -> Result<Stream, BackFault> {
        let made = timeout(self.patience, async {
            let mut socket = dial(address).await.map_err(BackFault::Connect)?;
            if before.is_some() || self.tls.is_some() {
                say_first(&mut socket, before).await?;
            }
            let Some((_, tls)) = &self.tls else { return Ok(Stream::Plain(socket)) };
            // On the heap while it lasts: most pools have none of it.
            let secured = Box::pin(tls.connect_unread(socket)).await.map_err(BackFault::Tls)?;
            Ok(Stream::Opened(Box::new(secured)))
        });
        made.await.unwrap_or(Err(BackFault::ConnectTimeout))
    }

    async fn make(&self, address: SocketAddr, before: Option<&[u8]>) -> Result<Connected, BackFault> {
        let mut socket = TcpStream::connect(address).await.map_err(BackFault::Connect)?;
        say_first(&mut socket, before).await?;
        let Some((_, tls)) = &self.tls else {
            return Ok(Connected { stream: Stream::Plain(socket), is_h2: self.speaks == Speaks::Http2 });
        };
        let secured = tls.connect(socket).await.map_err(BackFault::Tls)?;
        Ok(Connected { stream: Stream::Opened(Box::new(secured.stream)), is_h2: secured.is_h2 })
    }

    /// Whether connections made in the one way serve the other.
    pub fn is_same(&self, other: &Way) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some((one, _)), Some((other, _))) => Arc::ptr_eq(one, other),
            _ => false,
        };
        tls && self.speaks == other.speaks && self.patience == other.patience
    }
}

/// A connection as [`TcpStream::connect`] makes it, in one call less: what became of it is asked only when something did.
async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => return Err(error),
        _ => {}
    }
    let socket = TcpStream::from_std(socket.into())?;
    let ready = socket.ready(Interest::WRITABLE | Interest::ERROR).await?;
    if ready.is_error() || ready.is_write_closed() {
        socket.take_error()?.map_or(Ok(()), Err)?;
    }
    Ok(socket)
}

async fn say_first(socket: &mut TcpStream, before: Option<&[u8]>) -> Result<(), BackFault> {
    // Heads and the ends of bodies must not wait for each other.
    socket.set_nodelay(true).map_err(BackFault::Connect)?;
    if let Some(before) = before {
        socket.write_all(before).await.map_err(BackFault::Connect)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_is_refused_is_none() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap();
        assert!(dial(address).await.unwrap().peer_addr().is_ok());
        drop(nobody);
        assert_eq!(dial(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
