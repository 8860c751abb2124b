//! Who is at the other end of a client's connection.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::proxy::tls::presented::Presented;
use crate::regional::front::Front;
use crate::route::client::is_in;

/// The other end of a connection, as all requests on it see it.
#[derive(Debug)]
pub struct Client {
    /// Who it is: the peer, or whom the peer's PROXY header speaks for.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// Whether it is one of `trusted_proxies`.
    pub is_trusted: bool,
    /// What was shown to it.
    pub tls: Option<Secured>,
    /// Where it came in.
    pub door: Rc<Door>,
}

/// A client's TLS.
#[derive(Debug)]
pub struct Secured {
    /// Which certificate it was shown.
    pub presented: Presented,
    /// `TLSv1.3`.
    pub version: &'static str,
}

/// A listener as one core serves it; replaced when a reload changes it.
#[derive(Debug)]
pub struct Door {
    /// What it does.
    pub front: Arc<Front>,
}

impl Client {
    /// Of a connection from there.
    pub fn new(peer: SocketAddr, local: SocketAddr, tls: Option<Secured>, door: Rc<Door>) -> Self {
        let is_trusted = is_in(&door.front.http().trusted_proxies, peer.ip());
        Client { peer, local, is_trusted, tls, door }
    }
}
