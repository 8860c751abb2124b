//! Connections to endpoints: made, secured, and bounded in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
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

    async fn make(&self, address: SocketAddr, before: Option<&[u8]>) -> Result<Connected, BackFault> {
        let mut socket = TcpStream::connect(address).await.map_err(BackFault::Connect)?;
        // Heads and the ends of bodies must not wait for each other.
        socket.set_nodelay(true).map_err(BackFault::Connect)?;
        if let Some(before) = before {
            socket.write_all(before).await.map_err(BackFault::Connect)?;
        }
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
