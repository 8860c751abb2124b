//! For whom does this proxy speak?
//!
//! PROXY protocol, versions 1 and 2 (haproxy.org/download/3.0/doc/proxy-protocol.txt): a header before the first byte of
//! a TCP connection. Only listed peers are believed, and those must send it: guessing whether there is one would let the
//! client behind a proxy that sends none write its own (section 2 of the specification).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// "107 characters" with CRLF: the longest line of version 1 (section 2.1).
const V1_BYTES_MAX: usize = 107;
/// `PROXY UNKNOWN\r\n`: the shortest.
const V1_BYTES_MIN: usize = 15;
/// Fixed part of version 2.
const V2_BYTES_MIN: usize = 16;
/// Addresses of Unix sockets, the longest there are, and room for the usual extensions. "536 bytes" is what the
/// specification has receivers be ready for (section 2.2).
const V2_BYTES_MAX: usize = 536;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The beginning of a header; at least so many bytes are missing, and reading so many never reads past it.
    Partial(usize),
    /// A whole header.
    Whole {
        /// Its length.
        bytes: usize,
        /// Who the proxy speaks for; `None`: itself (a health check), or somebody without an IP address.
        client: Option<SocketAddr>,
    },
}

/// Why bytes are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAHeader {
    /// They begin unlike either version.
    Missing,
    /// Longer than the specification allows.
    TooLong,
    /// A line of version 1 that is not as specified.
    BadLine,
    /// A version other than 2 behind version 2's signature.
    BadVersion,
    /// Command, family, protocol or length that do not go together.
    BadAddress,
}

impl fmt::Display for NotAHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotAHeader::Missing => "no PROXY header before anything else",
            NotAHeader::TooLong => "the PROXY header is too long",
            NotAHeader::BadLine => "the PROXY line is malformed",
            NotAHeader::BadVersion => "the PROXY header is of an unknown version",
            NotAHeader::BadAddress => "the PROXY header's addresses are malformed",
        })
    }
}

impl std::error::Error for NotAHeader {}

/// Reads the header at the start of `bytes`.
///
/// # Errors
/// As soon as no further bytes could make it one.
pub fn read(bytes: &[u8]) -> Result<Heard, NotAHeader> {
    let starts = |start: &[u8]| bytes.iter().zip(start).all(|(a, b)| a == b);
    if starts(V1_START) && !bytes.is_empty() {
        read_v1(bytes)
    } else if starts(V2_START) && !bytes.is_empty() {
        read_v2(bytes)
    } else if bytes.is_empty() {
        // a first read that is too short for either
        Ok(Heard::Partial(V1_BYTES_MIN))
    } else {
        Err(NotAHeader::Missing)
    }
}

fn read_v1(bytes: &[u8]) -> Result<Heard, NotAHeader> {
    let Some(end) = bytes.iter().take(V1_BYTES_MAX).position(|b| *b == b'\n') else {
        return match bytes.len() {
            length if length >= V1_BYTES_MAX => Err(NotAHeader::TooLong),
            _ => Ok(Heard::Partial(missing_from_v1(bytes))),
        };
    };
    let line = bytes[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let client = read_line(line.ok_or(NotAHeader::BadLine)?).ok_or(NotAHeader::BadLine)?;
    Ok(Heard::Whole { bytes: end + 1, client })
}

/// How much of a line is missing at least: with the shortest addresses and ports that may still come. A line is read in
/// about eight steps so, instead of byte by byte.
fn missing_from_v1(bytes: &[u8]) -> usize {
    let mut words = bytes.split(|byte| *byte == b' ').skip(1);
    let address = match words.next() {
        Some(b"TCP4") => "0.0.0.0".len(),
        Some(b"TCP6") => "::".len(),
        _ => return V1_BYTES_MIN.saturating_sub(bytes.len()).max(1),
    };
    let port = "0".len();
    let to_come = [address, address, port, port].into_iter().skip(words.count());
    let line_end = if bytes.ends_with(b"\r") { 1 } else { 2 };
    to_come.map(|word| 1 + word).sum::<usize>() + line_end
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 53`, with single spaces; `None` when it is not that.
fn read_line(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ').skip(1);
    let client = match words.next()? {
        // whatever follows is to be ignored
        "UNKNOWN" => return Some(None),
        "TCP4" => addresses::<Ipv4Addr>(&mut words)?,
        "TCP6" => addresses::<Ipv6Addr>(&mut words)?,
        _ => return None,
    };
    words.next().is_none().then_some(Some(client))
}

fn addresses<'a, A: FromStr + Into<IpAddr>>(words: &mut impl Iterator<Item = &'a str>) -> Option<SocketAddr> {
    let client: A = words.next()?.parse().ok()?;
    let _ours: A = words.next()?.parse().ok()?;
    let port = read_port(words.next()?)?;
    let _our_port = read_port(words.next()?)?;
    Some(SocketAddr::new(client.into(), port))
}

/// Digits alone, no sign, no leading zero.
fn read_port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|b| b.is_ascii_digit()) && (word.len() == 1 || !word.starts_with('0'));
    plain.then(|| word.parse().ok()).flatten()
}

fn read_v2(bytes: &[u8]) -> Result<Heard, NotAHeader> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_BYTES_MIN>() else {
        // within the signature, a line of version 1 can no longer come: reading on to the end of the fixed part is safe
        return Ok(Heard::Partial(V2_BYTES_MIN - bytes.len()));
    };
    if fixed[12] >> 4 != 2 {
        return Err(NotAHeader::BadVersion);
    }
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if V2_BYTES_MIN + length > V2_BYTES_MAX {
        return Err(NotAHeader::TooLong);
    }
    let Some(body) = rest.get(..length) else {
        return Ok(Heard::Partial(length - rest.len()));
    };
    let client = read_body(fixed[12] & 0x0f, fixed[13], body)?;
    Ok(Heard::Whole { bytes: V2_BYTES_MIN + length, client })
}

/// The addresses of version 2; what follows them (TLVs) is not for us.
fn read_body(command: u8, family: u8, body: &[u8]) -> Result<Option<SocketAddr>, NotAHeader> {
    const LOCAL: u8 = 0;
    const PROXY: u8 = 1;
    match (command, family) {
        (LOCAL, _) => Ok(None),
        (PROXY, 0x11 | 0x12) => {
            let body: &[u8; 12] = body.first_chunk().ok_or(NotAHeader::BadAddress)?;
            let client = Ipv4Addr::new(body[0], body[1], body[2], body[3]);
            Ok(Some(SocketAddr::new(client.into(), u16::from_be_bytes([body[8], body[9]]))))
        }
        (PROXY, 0x21 | 0x22) => {
            let body: &[u8; 36] = body.first_chunk().ok_or(NotAHeader::BadAddress)?;
            let client: &[u8; 16] = body.first_chunk().ok_or(NotAHeader::BadAddress)?;
            Ok(Some(SocketAddr::new(Ipv6Addr::from(*client).into(), u16::from_be_bytes([body[32], body[33]]))))
        }
        // unspecified, or Unix sockets: somebody, but nobody with a place
        (PROXY, 0x00 | 0x31 | 0x32) => Ok(None),
        _ => Err(NotAHeader::BadAddress),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> Option<SocketAddr> {
        match read(bytes) {
            Ok(Heard::Whole { client, .. }) => client,
            other => panic!("{other:?}"),
        }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = V2_START.to_vec();
        header.extend([0x20 | command, family]);
        header.extend((body.len() as u16).to_be_bytes());
        header.extend(body);
        header
    }

    fn v2_of(client: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        match client.ip() {
            IpAddr::V4(ip) => body.extend([ip.octets(), [192, 0, 2, 1]].concat()),
            IpAddr::V6(ip) => body.extend([ip.octets(), [0; 16]].concat()),
        }
        body.extend(client.port().to_be_bytes());
        body.extend(53_u16.to_be_bytes());
        body.extend(tlvs);
        v2(1, if client.is_ipv4() { 0x11 } else { 0x21 }, &body)
    }

    fn v1_of(client: SocketAddr) -> Vec<u8> {
        let (family, ours) = if client.is_ipv4() { ("TCP4", "192.0.2.1") } else { ("TCP6", "2001:db8::53") };
        format!("PROXY {family} {} {ours} {} 53\r\n", client.ip(), client.port()).into_bytes()
    }

    #[test]
    fn the_specification_s_lines() {
        let client = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            whole(b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
            client("255.255.255.255:65535")
        );
        assert_eq!(whole(b"PROXY TCP6 2001:db8::7 ::1 4000 53\r\nrest"), client("[2001:db8::7]:4000"));
        assert_eq!(whole(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(whole(b"PROXY UNKNOWN what ever 1 2 3\r\n"), None);
        assert_eq!(whole(&v2(0, 0, &[])), None);
        assert_eq!(whole(&v2(1, 0x31, &[0; 216])), None);
    }

    #[test]
    fn lines_that_are_not_as_specified() {
        for line in [
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 +2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "PROXY \r\n",
        ] {
            assert_eq!(read(line.as_bytes()), Err(NotAHeader::BadLine), "{line:?}");
        }
        assert_eq!(read(&[&b"PROXY UNKNOWN "[..], &[b'x'; 93]].concat()), Err(NotAHeader::TooLong));
        assert_eq!(read(&[0, 29, 1, 2]), Err(NotAHeader::Missing));
        assert_eq!(read(&v2(1, 0x11, &[0; 521])), Err(NotAHeader::TooLong));
        assert_eq!(read(&v2(1, 0x11, &[0; 11])), Err(NotAHeader::BadAddress));
        assert_eq!(read(&v2(2, 0x11, &[0; 12])), Err(NotAHeader::BadAddress));
        let mut version_3 = v2(1, 0x11, &[0; 12]);
        version_3[12] = 0x31;
        assert_eq!(read(&version_3), Err(NotAHeader::BadVersion));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
            let _ = read(&[V1_START, &bytes].concat());
            let _ = read(&[V2_START, &bytes].concat());
        }

        #[test]
        fn what_was_written_is_read_and_never_past_its_end(
            client: SocketAddr,
            tlvs in prop::collection::vec(any::<u8>(), 0..400),
            first in any::<bool>(),
        ) {
            // a scope is not part of what travels
            let client = SocketAddr::new(client.ip(), client.port());
            let header = if first { v1_of(client) } else { v2_of(client, &tlvs) };
            let (mut got, mut reads) = (0, 0);
            loop {
                match read(&header[..got]) {
                    Ok(Heard::Partial(missing)) => (got, reads) = (got + missing, reads + 1),
                    other => {
                        prop_assert_eq!(other, Ok(Heard::Whole { bytes: header.len(), client: Some(client) }));
                        break;
                    }
                }
                prop_assert!(got <= header.len(), "reads into the first query");
            }
            prop_assert!(reads <= 24, "{} reads of {} bytes", reads, header.len());
        }
    }
}
