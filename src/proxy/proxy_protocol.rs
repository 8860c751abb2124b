//! How do we tell an endpoint whom we speak for?
//!
//! PROXY protocol, versions 1 and 2 (haproxy.org/download/3.0/doc/proxy-protocol.txt), as the first bytes of a connection
//! to it; [`crate::server::proxy_protocol`] reads what is written here. A connection that is for nobody, such as a
//! health check, says so: version 2 has a command for that, version 1 says `UNKNOWN`.
//!
//! Both addresses of a header are of one family. Where a client of IPv6 came by way of an IPv4 address (a header told us of
//! it) or the other way round, the IPv4 one is written as IPv6 (`::ffff:192.0.2.1`), as HAProxy does.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::model::ProxyProtocol;

/// How long a peer may take to send its header: proxies send it at once.
pub const HEADER_TIME: Duration = Duration::from_secs(3);

/// The longest line of version 1 (section 2.1); version 2 takes 52 bytes for IPv6.
const BYTES_MAX: usize = 107;

/// A header, ready to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; BYTES_MAX],
    len: usize,
}

impl Header {
    /// Of a connection that carries what `client` sent to `ours`, the address it reached.
    pub fn of(version: ProxyProtocol, client: SocketAddr, ours: SocketAddr) -> Self {
        let (client, ours) = alike(client, ours);
        match version {
            ProxyProtocol::V1 => {
                let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
                let (from, to) = (client.ip(), ours.ip());
                Header::line(format_args!("PROXY {family} {from} {to} {} {}\r\n", client.port(), ours.port()))
            }
            ProxyProtocol::V2 => match (client.ip(), ours.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    Header::binary(PROXY, TCP_OVER_IPV4, &[&from.octets(), &to.octets(), &ports(client, ours)])
                }
                (from, to) => {
                    let (from, to) = (v6(from), v6(to));
                    Header::binary(PROXY, TCP_OVER_IPV6, &[&from.octets(), &to.octets(), &ports(client, ours)])
                }
            },
        }
    }

    /// Of a connection that is our own.
    pub fn local(version: ProxyProtocol) -> Self {
        match version {
            ProxyProtocol::V1 => Header::line(format_args!("PROXY UNKNOWN\r\n")),
            ProxyProtocol::V2 => Header::binary(LOCAL, UNSPECIFIED, &[]),
        }
    }

    /// What is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn line(text: std::fmt::Arguments<'_>) -> Self {
        Header::made(|out| out.write_fmt(text))
    }

    fn binary(command: u8, family: u8, parts: &[&[u8]]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = u16::try_from(length).expect("two addresses and two ports");
        Header::made(|out| {
            out.write_all(b"\r\n\r\n\0\r\nQUIT\n")?;
            out.write_all(&[VERSION_2 | command, family])?;
            out.write_all(&length.to_be_bytes())?;
            parts.iter().try_for_each(|part| out.write_all(part))
        })
    }

    fn made(write: impl FnOnce(&mut &mut [u8]) -> std::io::Result<()>) -> Self {
        let mut bytes = [0; BYTES_MAX];
        let mut rest = &mut bytes[..];
        write(&mut rest).expect("the specification's longest header fits");
        let len = BYTES_MAX - rest.len();
        Header { bytes, len }
    }
}

const VERSION_2: u8 = 0x20;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// Both addresses in one family: IPv4 where both are.
fn alike(client: SocketAddr, ours: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (from, to) = (client.ip().to_canonical(), ours.ip().to_canonical());
    let (from, to) = if from.is_ipv4() == to.is_ipv4() { (from, to) } else { (v6(from).into(), v6(to).into()) };
    // The scope of a link-local address means nothing elsewhere.
    (SocketAddr::new(from, client.port()), SocketAddr::new(to, ours.port()))
}

fn v6(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn ports(client: SocketAddr, ours: SocketAddr) -> [u8; 4] {
    let ([a, b], [c, d]) = (client.port().to_be_bytes(), ours.port().to_be_bytes());
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::server::proxy_protocol::{Heard, read};

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn v1(client: &str, ours: &str) -> String {
        String::from_utf8(Header::of(ProxyProtocol::V1, address(client), address(ours)).bytes().to_vec()).unwrap()
    }

    #[test]
    fn lines_as_the_specification_has_them() {
        assert_eq!(v1("192.0.2.7:4711", "203.0.113.1:443"), "PROXY TCP4 192.0.2.7 203.0.113.1 4711 443\r\n");
        assert_eq!(v1("[2001:db8::7]:1", "[::1]:443"), "PROXY TCP6 2001:db8::7 ::1 1 443\r\n");
        assert_eq!(v1("[2001:db8::7]:1", "192.0.2.1:443"), "PROXY TCP6 2001:db8::7 ::ffff:192.0.2.1 1 443\r\n");
        assert_eq!(v1("[::ffff:192.0.2.7]:1", "[::ffff:192.0.2.1]:443"), "PROXY TCP4 192.0.2.7 192.0.2.1 1 443\r\n");
    }

    #[test]
    fn version_2_byte_by_byte() {
        let header = Header::of(ProxyProtocol::V2, address("192.0.2.7:258"), address("203.0.113.1:443"));
        let expected = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 7, 203, 0, 113, 1, 1, 2, 1, 187]];
        assert_eq!(header.bytes(), expected.concat());
    }

    #[test]
    fn our_own_connections_are_for_nobody() {
        assert_eq!(Header::local(ProxyProtocol::V1).bytes(), b"PROXY UNKNOWN\r\n");
        assert_eq!(Header::local(ProxyProtocol::V2).bytes(), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            let header = Header::local(version);
            assert_eq!(read(header.bytes()), Ok(Heard::Whole { bytes: header.bytes().len(), client: None }));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(client: SocketAddr, ours: SocketAddr, first: bool) {
            let version = if first { ProxyProtocol::V1 } else { ProxyProtocol::V2 };
            let header = Header::of(version, client, ours);
            let Ok(Heard::Whole { bytes, client: Some(found) }) = read(header.bytes()) else {
                return Err(TestCaseError::fail(format!("{:?}", read(header.bytes()))));
            };
            prop_assert_eq!(bytes, header.bytes().len());
            prop_assert_eq!((found.ip().to_canonical(), found.port()), (client.ip().to_canonical(), client.port()));
        }
    }
}
