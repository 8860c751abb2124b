//! Which of the sockets that somebody else opened are the ones we want?
//!
//! A predecessor hands its sockets over, or the service manager has opened them before we ran. Either way a descriptor
//! says itself what it is (its type, where it is bound); only what was asked for as port 0 has to be told beside it.
//! What nobody wants is closed when this is dropped: with sockets that a predecessor still reads that closes a copy,
//! and loses nothing.

use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use socket2::Socket;
use socket2::Type;

/// Sockets that are open already.
#[derive(Debug, Default)]
pub struct Given {
    sockets: Vec<(Type, SocketAddr, Socket)>,
    /// Where port 0 led, in the order in which it was asked for: several may have asked for any port of an address.
    ports: Vec<(SocketAddr, SocketAddr)>,
    strangers: Vec<String>,
    answered_elsewhere: bool,
}

impl Given {
    /// From the service manager: nobody reads them yet.
    pub fn by_the_service_manager(descriptors: impl IntoIterator<Item = OwnedFd>) -> Self {
        let mut given = Given::default();
        descriptors.into_iter().for_each(|descriptor| given.add(descriptor));
        given
    }

    /// From a server that still answers on them; `ports` are the addresses it was told to take any port of, and the
    /// ones it has.
    pub fn by_a_predecessor(
        descriptors: impl IntoIterator<Item = OwnedFd>,
        ports: impl IntoIterator<Item = (SocketAddr, SocketAddr)>,
    ) -> Self {
        let given = Given::by_the_service_manager(descriptors);
        Given { ports: ports.into_iter().collect(), answered_elsewhere: true, ..given }
    }

    fn add(&mut self, descriptor: OwnedFd) {
        let socket = Socket::from(descriptor);
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        match (socket.r#type(), address) {
            (Ok(kind @ (Type::STREAM | Type::DGRAM)), Some(address)) => self.sockets.push((kind, address, socket)),
            (kind, _) => self.strangers.push(format!("a socket of another kind ({kind:?})")),
        }
    }

    /// Whether another process still answers on them: QUIC must wait for its end, since connections are known to one
    /// process only.
    pub fn answered_elsewhere(&self) -> bool {
        self.answered_elsewhere
    }

    /// The address to look for, and to bind beside what is given: the real one where the wanted one has port 0.
    pub fn real(&mut self, wanted: SocketAddr) -> SocketAddr {
        let known = self.ports.iter().position(|(any, _)| *any == wanted && wanted.port() == 0);
        known.map_or(wanted, |at| self.ports.remove(at).1)
    }

    /// The listening stream socket of this address, ready for tokio.
    pub fn stream(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let socket = self.take(Type::STREAM, address)?;
        // One that does not listen yet begins to; on one that does this only sets the backlog.
        socket.listen(super::bind::BACKLOG).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(TcpListener::from(socket))
    }

    /// One datagram socket of this address.
    pub fn datagram(&mut self, address: SocketAddr) -> Option<Socket> {
        self.take(Type::DGRAM, address)
    }

    /// All datagram sockets of this address: what is queued in one that nobody reads is lost.
    pub fn datagrams(&mut self, address: SocketAddr) -> Vec<Socket> {
        std::iter::from_fn(|| self.datagram(address)).collect()
    }

    fn take(&mut self, kind: Type, address: SocketAddr) -> Option<Socket> {
        let at = self.sockets.iter().position(|(k, a, _)| *k == kind && *a == address)?;
        Some(self.sockets.remove(at).2)
    }

    /// What nobody took, in operators' words.
    pub fn left(&self) -> Vec<String> {
        let word = |kind: &Type| if *kind == Type::STREAM { "TCP" } else { "UDP" };
        let known = self.sockets.iter().map(|(kind, address, _)| format!("{} {address}", word(kind)));
        known.chain(self.strangers.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn sockets_are_found_by_what_they_are_and_the_rest_is_named() {
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let (stream_at, datagram_at) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
        let (_, odd) = std::os::unix::net::UnixStream::pair().unwrap();
        let descriptors = [tcp.into(), udp.try_clone().unwrap().into(), udp.into(), OwnedFd::from(odd)];
        let mut given = Given::by_the_service_manager(descriptors);
        assert!(given.stream(datagram_at).is_none() || datagram_at == stream_at);
        assert_eq!(given.stream(stream_at).unwrap().local_addr().unwrap(), stream_at);
        assert!(given.datagram(datagram_at).is_some());
        assert_eq!(given.left().len(), 2, "{:?}", given.left());
        assert_eq!(given.left()[0], format!("UDP {datagram_at}"));
        assert_eq!(given.datagrams(datagram_at).len(), 1);
    }

    #[test]
    fn port_0_leads_to_where_it_led_before() {
        let (any, real) = ("127.0.0.1:0".parse().unwrap(), "127.0.0.1:4000".parse().unwrap());
        let second = "127.0.0.1:4001".parse().unwrap();
        let mut given = Given::by_a_predecessor([], [(any, real), (any, second)]);
        assert_eq!((given.real(any), given.real(real), given.real(any)), (real, real, second));
        assert_eq!(given.real(any), any, "one more than before");
        let other = "127.0.0.2:0".parse().unwrap();
        assert_eq!(given.real(other), other);
    }
}
