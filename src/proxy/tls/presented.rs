//! Is this request for whom the connection is for?
//!
//! A client may send requests for other names over a connection when the certificate it was shown carries them: browsers
//! do so over HTTP/2 (RFC 9113 section 9.1.1). A request for a name that it does not carry came to the wrong connection, and
//! is told so (421, RFC 9110 section 15.5.20), upon which the client makes another.
//!
//! Two are never told so: a client that asked for no name, which has not said whom it takes us for; and one that asks for
//! the very name its handshake was for. A client that puts up with a certificate of another name (`curl -k`) would come
//! back with the same handshake, and be told the same.

use crate::proxy::tls::certificates::Alike;

/// What a connection's client was shown.
#[derive(Debug, Clone)]
pub struct Presented {
    sni: Option<Box<str>>,
    alike: Alike,
}

impl Presented {
    pub(super) fn new(sni: Option<&str>, alike: &Alike) -> Self {
        Presented { sni: sni.map(Into::into), alike: alike.clone() }
    }

    /// The name that the client asked for in its handshake.
    pub fn sni(&self) -> Option<&str> {
        self.sni.as_deref()
    }

    /// Whether a request for this host may come over the connection; one that may not gets 421. The host is written as
    /// [`crate::route::host::Authority`] has it: lower case, no dot at the end, IPv6 in brackets.
    ///
    /// Where several certificates serve the name, which one the client was shown is not known: all must carry the host.
    pub fn covers(&self, host: &str) -> bool {
        match &self.sni {
            None => true,
            Some(sni) => **sni == *host || self.alike.iter().all(|certificate| certificate.covers(host)),
        }
    }
}
