//! A question of DNS: over UDP with EDNS Client Subnet, as a resolver near the client would ask it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a client was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The addresses, sorted.
    pub addresses: Vec<IpAddr>,
    /// Seconds; of the first record.
    pub ttl: u32,
}

/// Asks `server` for the addresses of `name` on behalf of a client prefix.
///
/// # Errors
/// A sentence: no answer, or one that is none.
pub async fn ask(server: SocketAddr, name: &str, client: (IpAddr, u8)) -> Result<Answered, String> {
    let query = query(name, client)?;
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.map_err(|e| e.to_string())?;
    socket.connect(server).await.map_err(|e| e.to_string())?;
    socket.send(&query).await.map_err(|e| e.to_string())?;
    let mut reply = [0; 4096];
    let bytes = timeout(PATIENCE, socket.recv(&mut reply))
        .await
        .map_err(|_| "no answer".to_owned())?
        .map_err(|e| e.to_string())?;
    let message = Message::from_bytes(&reply[..bytes]).map_err(|e| e.to_string())?;
    let mut addresses: Vec<IpAddr> = message
        .answers
        .iter()
        .filter_map(|r| match &r.data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(a) => Some(IpAddr::V6(a.0)),
            _ => None,
        })
        .collect();
    addresses.sort();
    let ttl = message.answers.first().map_or(0, |r| r.ttl);
    Ok(Answered { addresses, ttl })
}

fn query(name: &str, (address, prefix): (IpAddr, u8)) -> Result<Vec<u8>, String> {
    let name = Name::from_ascii(name).map_err(|e| e.to_string())?;
    let mut message = Message::new(0x6d62, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name, RecordType::A));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address, prefix, 0)));
    message.edns = Some(edns);
    message.to_bytes().map_err(|e| e.to_string())
}
