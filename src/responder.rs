//! Query bytes to response bytes: the one answer function of every transport.

use std::net::IpAddr;

use crate::model::{PoolId, VipId};
use crate::steering::Draw;
use crate::world::World;

/// How a query came, which says how large its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP: at most what the client's EDNS and our own cap allow.
    Udp,
    /// TCP.
    Tcp,
    /// DNS over TLS.
    Tls,
    /// DNS over HTTPS.
    Https,
    /// DNS over QUIC.
    Quic,
}

/// The most bytes of a response over anything but UDP; a buffer lent to [`respond`] for those has this size.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// The most bytes of a UDP response, whatever client and configuration say; a buffer lent for UDP has this size.
pub const UDP_BYTES_MAX: usize = 4_096;

/// What became of a query; counters and the query log read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How many bytes of the buffer to send; 0: nothing may be sent (not a query, or too short to answer).
    pub bytes: usize,
    /// The extended response code.
    pub rcode: u16,
    /// The query's type, 0 when it was not understood.
    pub qtype: u16,
    /// The VIP that answered.
    pub vip: Option<VipId>,
    /// The pool its answer came from.
    pub pool: Option<PoolId>,
    /// A zone transfer was asked for and may be had: the transport streams this zone (index into the snapshot's zones)
    /// instead of sending `bytes`.
    pub transfer: Option<usize>,
}

/// Answers one query into `out`.
///
/// Never allocates, blocks or panics, whatever `query` holds.
pub fn respond(
    query: &[u8],
    source: IpAddr,
    transport: Transport,
    world: &World,
    draw: Draw,
    out: &mut [u8],
) -> Outcome {
    let _ = (query, source, transport, world, draw, out);
    todo!()
}
