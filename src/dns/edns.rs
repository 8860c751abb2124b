//! EDNS: what a query's OPT record says, and the OPT record of its response (RFC 6891).
//!
//! Read: the payload size, version and DO bit; Client Subnet (RFC 7871), NSID (RFC 5001), Cookies (RFC 7873),
//! TCP keepalive (RFC 7828) and padding (RFC 7830). Options we do not know are left unread, as RFC 6891 asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dns::code::rtype;

/// Option numbers (IANA "DNS EDNS0 Option Codes").
pub mod option {
    /// The server's name for itself.
    pub const NSID: u16 = 3;
    /// EDNS Client Subnet.
    pub const CLIENT_SUBNET: u16 = 8;
    /// Cookies.
    pub const COOKIE: u16 = 10;
    /// How long a TCP connection may idle.
    pub const TCP_KEEPALIVE: u16 = 11;
    /// Bytes that hide a message's length.
    pub const PADDING: u16 = 12;
    /// Extended DNS errors.
    pub const EXTENDED_ERROR: u16 = 15;
}

/// The fixed part of an OPT record: root, type, payload, extended code and flags, length.
pub const OPT_BYTES: usize = 11;
/// Responses on encrypted transports are padded to a multiple of this (RFC 8467 section 4.1).
pub const PADDING_BLOCK: usize = 468;
/// The DO bit: DNSSEC records are wanted.
const DO: u16 = 0x8000;

/// What a query's OPT record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns<'q> {
    /// The largest UDP response the client takes, as it said it.
    pub payload: u16,
    /// The EDNS version; only 0 is defined.
    pub version: u8,
    /// Whether DNSSEC records are wanted.
    pub dnssec_ok: bool,
    /// Whether the server's name for itself is wanted.
    pub nsid: bool,
    /// Whether the client wants to know how long its connection may idle.
    pub keepalive: bool,
    /// Whether the client padded its query, and so wants the response padded.
    pub padding: bool,
    /// The client's network.
    pub subnet: SubnetOption<'q>,
    /// The cookie option: 8 bytes of the client, then none or 8 to 32 of a server.
    pub cookie: Option<&'q [u8]>,
}

/// A Client Subnet option, read only as far as settings want it: [`Subnet::read`] judges the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubnetOption<'q> {
    /// There is none.
    Absent,
    /// Its data.
    Present(&'q [u8]),
    /// There are several.
    Repeated,
}

/// A client's network (RFC 7871 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet<'q> {
    /// The network's address, bits past the prefix zero.
    pub address: IpAddr,
    /// SOURCE PREFIX-LENGTH.
    pub prefix: u8,
    /// The option's data as it came, to be sent back with our scope.
    pub data: &'q [u8],
}

/// An OPT record or option that cannot be understood: FORMERR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl<'q> Edns<'q> {
    /// Reads an OPT record from its class, TTL and data fields.
    ///
    /// # Errors
    /// Options that run past the end, or a known option of an impossible length.
    pub fn read(class: u16, ttl: u32, mut data: &'q [u8]) -> Result<Self, Malformed> {
        let mut edns = Edns {
            payload: class,
            version: (ttl >> 16) as u8,
            dnssec_ok: ttl as u16 & DO != 0,
            nsid: false,
            keepalive: false,
            padding: false,
            subnet: SubnetOption::Absent,
            cookie: None,
        };
        while let Some((head, rest)) = data.split_first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (value, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
            edns.option(u16::from_be_bytes([head[0], head[1]]), value)?;
            data = rest;
        }
        if data.is_empty() { Ok(edns) } else { Err(Malformed) }
    }

    fn option(&mut self, code: u16, value: &'q [u8]) -> Result<(), Malformed> {
        match code {
            option::CLIENT_SUBNET => {
                self.subnet = match self.subnet {
                    SubnetOption::Absent => SubnetOption::Present(value),
                    _ => SubnetOption::Repeated,
                }
            }
            option::NSID => self.nsid = true,
            // RFC 7873 section 5.2: any other length is FORMERR. Of several, the first counts (section 5.3).
            option::COOKIE if !matches!(value.len(), 8 | 16..=40) => return Err(Malformed),
            option::COOKIE => self.cookie = self.cookie.or(Some(value)),
            option::TCP_KEEPALIVE => self.keepalive = true,
            option::PADDING => self.padding = true,
            _ => {}
        }
        Ok(())
    }
}

impl<'q> Subnet<'q> {
    /// Judges the data of an option.
    ///
    /// # Errors
    /// An unknown family, a prefix longer than an address, an address that is not exactly as long as its prefix needs or
    /// has bits past it, a scope in a query (RFC 7871 sections 6 and 7.1.2).
    pub fn read(data: &'q [u8]) -> Result<Self, Malformed> {
        let (head, bytes) = data.split_first_chunk::<4>().ok_or(Malformed)?;
        let prefix = head[2];
        if head[3] != 0 || bytes.len() != usize::from(prefix).div_ceil(8) {
            return Err(Malformed);
        }
        let address = match (head[0], head[1]) {
            (0, 1) if prefix <= 32 => {
                let mut octets = [0; 4];
                octets[..bytes.len()].copy_from_slice(bytes);
                let address = u32::from_be_bytes(octets);
                if address & past(u32::MAX, u32::from(prefix)) != 0 {
                    return Err(Malformed);
                }
                IpAddr::V4(Ipv4Addr::from(address))
            }
            (0, 2) if prefix <= 128 => {
                let mut octets = [0; 16];
                octets[..bytes.len()].copy_from_slice(bytes);
                let address = u128::from_be_bytes(octets);
                if address & u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0) != 0 {
                    return Err(Malformed);
                }
                IpAddr::V6(Ipv6Addr::from(address))
            }
            _ => return Err(Malformed),
        };
        Ok(Subnet { address, prefix, data })
    }
}

/// The bits past a prefix.
fn past(ones: u32, prefix: u32) -> u32 {
    ones.checked_shr(prefix).unwrap_or(0)
}

/// The OPT record of a response. Its size is known before the answer is written, so that room is kept for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reply<'a> {
    /// The largest UDP query we take.
    pub payload: u16,
    /// Copied from the query (RFC 3225).
    pub dnssec_ok: bool,
    /// The upper eight bits of the response code.
    pub rcode_high: u8,
    /// The query's Client Subnet data and the scope of our answer.
    pub subnet: Option<(&'a [u8], u8)>,
    /// Our name.
    pub nsid: Option<&'a [u8]>,
    /// Client and server cookie.
    pub cookie: Option<[u8; 24]>,
    /// How long a connection may idle, in tenths of a second.
    pub keepalive: Option<u16>,
    /// An extended DNS error.
    pub error: Option<(u16, &'static str)>,
    /// Whether to pad to a multiple of [`PADDING_BLOCK`].
    pub padded: bool,
}

impl Reply<'_> {
    /// How many bytes it takes, padding not counted.
    pub fn bytes(&self) -> usize {
        OPT_BYTES
            + self.subnet.map_or(0, |(data, _)| 4 + data.len())
            + self.nsid.map_or(0, |name| 4 + name.len())
            + self.cookie.map_or(0, |cookie| 4 + cookie.len())
            + self.keepalive.map_or(0, |_| 6)
            + self.error.map_or(0, |(_, text)| 6 + text.len())
    }

    /// Writes it at `at`, where there is room for [`Reply::bytes`]; gives the message's length after it.
    pub fn write(&self, out: &mut [u8], at: usize) -> usize {
        let mut end = at + OPT_BYTES;
        if let Some((data, scope)) = self.subnet {
            let start = end;
            end = put(out, end, option::CLIENT_SUBNET, &[data]);
            out[start + 7] = scope;
        }
        if let Some(name) = self.nsid {
            end = put(out, end, option::NSID, &[name]);
        }
        if let Some(cookie) = self.cookie {
            end = put(out, end, option::COOKIE, &[&cookie]);
        }
        if let Some(tenths) = self.keepalive {
            end = put(out, end, option::TCP_KEEPALIVE, &[&tenths.to_be_bytes()]);
        }
        if let Some((code, text)) = self.error {
            end = put(out, end, option::EXTENDED_ERROR, &[&code.to_be_bytes(), text.as_bytes()]);
        }
        if self.padded {
            end = pad(out, end);
        }
        let flags = if self.dnssec_ok { DO } else { 0 };
        let head = &mut out[at..at + OPT_BYTES];
        head[0] = 0;
        head[1..3].copy_from_slice(&rtype::OPT.to_be_bytes());
        head[3..5].copy_from_slice(&self.payload.to_be_bytes());
        head[5..7].copy_from_slice(&[self.rcode_high, 0]);
        head[7..9].copy_from_slice(&flags.to_be_bytes());
        head[9..11].copy_from_slice(&((end - at - OPT_BYTES) as u16).to_be_bytes());
        end
    }
}

fn put(out: &mut [u8], at: usize, code: u16, parts: &[&[u8]]) -> usize {
    let mut end = at + 4;
    for part in parts {
        out[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    }
    out[at..at + 2].copy_from_slice(&code.to_be_bytes());
    out[at + 2..at + 4].copy_from_slice(&((end - at - 4) as u16).to_be_bytes());
    end
}

/// Fills up to a multiple of the block, or as far as the buffer goes.
fn pad(out: &mut [u8], at: usize) -> usize {
    let end = (at + 4).next_multiple_of(PADDING_BLOCK).min(out.len());
    let Some(zeros) = end.checked_sub(at + 4) else { return at };
    out[at..at + 2].copy_from_slice(&option::PADDING.to_be_bytes());
    out[at + 2..at + 4].copy_from_slice(&(zeros as u16).to_be_bytes());
    out[at + 4..end].fill(0);
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_exactly_as_long_as_its_prefix_needs() {
        let read = |data: &'static [u8]| Subnet::read(data).map(|s| (s.address.to_string(), s.prefix));
        assert_eq!(read(&[0, 1, 24, 0, 192, 0, 2]), Ok(("192.0.2.0".into(), 24)));
        assert_eq!(read(&[0, 1, 0, 0]), Ok(("0.0.0.0".into(), 0)));
        assert_eq!(read(&[0, 1, 32, 0, 192, 0, 2, 1]), Ok(("192.0.2.1".into(), 32)));
        assert_eq!(read(&[0, 2, 32, 0, 0x20, 1, 0xd, 0xb8]), Ok(("2001:db8::".into(), 32)));
        assert_eq!(read(&[0, 2, 0, 0]), Ok(("::".into(), 0)));
        for wrong in [
            &[][..],
            &[0, 1, 24],                     // ends early
            &[0, 1, 24, 0, 192, 0],          // an address too short
            &[0, 1, 24, 0, 192, 0, 2, 0],    // too long
            &[0, 1, 33, 0, 192, 0, 2, 1, 0], // a prefix longer than an address
            &[0, 1, 23, 0, 192, 0, 3],       // a bit past the prefix
            &[0, 1, 24, 24, 192, 0, 2],      // a scope in a query
            &[0, 3, 24, 0, 192, 0, 2],       // no such family
            &[0, 0, 0, 0],
        ] {
            assert_eq!(Subnet::read(wrong), Err(Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn options_are_read_and_unknown_ones_are_not() {
        let data = [0, 3, 0, 0, 0xfd, 0xe9, 0, 2, 1, 2, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        let edns = Edns::read(1232, 0x8000, &data).unwrap();
        assert!(edns.nsid && edns.dnssec_ok && edns.version == 0 && edns.payload == 1232);
        assert_eq!(edns.cookie, Some(&[1, 2, 3, 4, 5, 6, 7, 8][..]));
        assert_eq!(Edns::read(1232, 0, &data[..data.len() - 1]), Err(Malformed), "cut short");
        assert_eq!(Edns::read(1232, 0, &[0, 3, 0]), Err(Malformed), "half an option");
        assert_eq!(Edns::read(1232, 0, &[0, 10, 0, 3, 1, 2, 3]), Err(Malformed), "half a cookie");
    }

    #[test]
    fn a_reply_takes_the_room_it_said() {
        let reply = Reply {
            payload: 1232,
            subnet: Some((&[0, 1, 24, 0, 192, 0, 2], 20)),
            nsid: Some(b"ns1"),
            cookie: Some([7; 24]),
            keepalive: Some(100),
            error: Some((20, "no")),
            ..Reply::default()
        };
        let mut out = [0xff; 200];
        let end = reply.write(&mut out, 12);
        assert_eq!(end - 12, reply.bytes());
        assert_eq!(out[12 + OPT_BYTES + 7], 20, "the scope");
        let read = Edns::read(1232, 0, &out[12 + OPT_BYTES..end]).unwrap();
        assert!(read.nsid && read.keepalive);
        assert_eq!(out[end], 0xff, "nothing past its end");
    }

    #[test]
    fn padding_reaches_a_block_or_the_end() {
        let reply = Reply { padded: true, ..Reply::default() };
        assert_eq!(reply.write(&mut [0; 1000], 12), PADDING_BLOCK);
        assert_eq!(reply.write(&mut [0; 1000], PADDING_BLOCK - OPT_BYTES - 3), 2 * PADDING_BLOCK);
        assert_eq!(reply.write(&mut [0; 100], 12), 100);
        assert_eq!(reply.write(&mut [0; 25], 12), 23, "no room for an option's head");
    }
}
