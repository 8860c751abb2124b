//! Who comes through a proxy, and whom does the proxy speak for?
//!
//! Only listed peers are believed, and those must send a PROXY header (see [`proxy_protocol`]). It is read to its last byte
//! and not one further: what follows is the client's own, often a TLS handshake that somebody else reads.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::server::proxy_protocol;
use crate::server::proxy_protocol::Heard;

/// Peers that must send a PROXY header and are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Those of these networks: addresses with prefix lengths.
    pub fn of(networks: &[(IpAddr, u8)]) -> Self {
        Proxies(networks.iter().filter_map(|(address, prefix)| IpNet::new(*address, *prefix).ok()).collect())
    }

    /// Whether this peer is one. An IPv4 address is the same one when it comes through an IPv6 socket.
    pub fn has(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// Whom a new connection is for: the peer, or whom it speaks for when it is one of these and no health check of its own.
    ///
    /// # Errors
    /// `TimedOut` when the header is not complete within this time, `InvalidData` when there is none, `UnexpectedEof` when the
    /// peer went away, or what reading came to.
    pub async fn client<S>(&self, stream: &mut S, peer: SocketAddr, within: Duration) -> io::Result<SocketAddr>
    where
        S: AsyncRead + Unpin,
    {
        if !self.has(peer.ip()) {
            return Ok(peer);
        }
        let header = timeout(within, read_header(stream)).await;
        let header = header.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no PROXY header in time"))?;
        Ok(header?.unwrap_or(peer))
    }
}

/// Reads a header and not one byte of what follows.
async fn read_header<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut bytes = Vec::new();
    loop {
        match proxy_protocol::read(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
            Heard::Whole { client, .. } => return Ok(client),
            Heard::Partial(missing) => {
                if (&mut *stream).take(missing as u64).read_buf(&mut bytes).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn proxies() -> Proxies {
        Proxies::of(&[("192.0.2.0".parse().unwrap(), 24), ("2001:db8::".parse().unwrap(), 32)])
    }

    async fn client(peer: &str, sent: &[u8], closes: bool) -> (Result<SocketAddr, io::ErrorKind>, Vec<u8>) {
        let (mut theirs, mut ours) = duplex(4096);
        theirs.write_all(sent).await.unwrap();
        let within = if closes { PATIENCE } else { Duration::from_millis(20) };
        let stays = (!closes).then_some(theirs);
        let client = proxies().client(&mut ours, address(peer), within).await.map_err(|error| error.kind());
        drop(stays);
        let mut rest = Vec::new();
        ours.read_to_end(&mut rest).await.unwrap();
        (client, rest)
    }

    #[tokio::test]
    async fn the_listed_speak_for_others_and_what_follows_is_left() {
        let line = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n\x16\x03\x01 hello";
        let (found, rest) = client("192.0.2.9:1", line, true).await;
        assert_eq!((found, &rest[..]), (Ok(address("198.51.100.7:4711")), &b"\x16\x03\x01 hello"[..]));
        let (found, _) = client("[::ffff:192.0.2.9]:1", line, true).await;
        assert_eq!(found, Ok(address("198.51.100.7:4711")), "through an IPv6 socket");
        let (found, rest) = client("192.0.2.9:1", b"PROXY UNKNOWN\r\nGET", true).await;
        assert_eq!((found, &rest[..]), (Ok(address("192.0.2.9:1")), &b"GET"[..]), "a health check of the proxy's own");
    }

    #[tokio::test]
    async fn a_stranger_s_header_is_not_read() {
        let line = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n";
        let (found, rest) = client("203.0.113.9:1", line, true).await;
        assert_eq!((found, &rest[..]), (Ok(address("203.0.113.9:1")), &line[..]));
    }

    #[tokio::test]
    async fn the_listed_must_send_one_whole_and_in_time() {
        let found =
            |sent: &'static [u8], closes| async move { client("192.0.2.9:1", sent, closes).await.0.unwrap_err() };
        assert_eq!(found(b"GET / HTTP/1.1\r\n", true).await, io::ErrorKind::InvalidData);
        assert_eq!(found(b"PROXY TCP4 198.51", true).await, io::ErrorKind::UnexpectedEof);
        assert_eq!(found(b"PROXY TCP4 198.51", false).await, io::ErrorKind::TimedOut);
    }
}
