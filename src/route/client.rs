//! Who is the client, behind proxies we trust?
//!
//! From right to left: the peer of the connection is certain. If it is one of `trusted_proxies`, what it wrote last into
//! `X-Forwarded-For` is who it spoke to; if that is trusted, too, the entry before; and so on. The first that is not trusted is
//! the client, and what stands left of it is its own invention. (nginx's `real_ip_recursive on`; taking the first entry is the
//! classic mistake.) Where an entry is no address, the last hop that we know counts.

use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use http::HeaderMap;
use http::HeaderName;

/// `X-Forwarded-For`, which every proxy speaks.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Longer chains are loops: the hop we got to counts.
const HOPS_MAX: usize = 32;

/// Networks, as address and prefix length.
pub type Networks = [(IpAddr, u8)];

/// Whether an address lies in one of the networks. IPv4 as IPv6 sockets show it (`::ffff:192.0.2.1`) is IPv4.
pub fn is_in(networks: &Networks, address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|(network, prefix)| covers(*network, *prefix, address))
}

fn covers(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let shift = 32u32.saturating_sub(u32::from(prefix));
            (u32::from(network) ^ u32::from(address)).checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let shift = 128u32.saturating_sub(u32::from(prefix));
            (u128::from(network) ^ u128::from(address)).checked_shr(shift).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// The client of a request that came over a connection from `peer`.
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut client = peer.to_canonical();
    for entry in entries_from_the_right(headers).take(HOPS_MAX) {
        if !is_in(trusted, client) {
            break;
        }
        match read(entry) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// What proxies appended, the last first: several lines are one list (RFC 9110 section 5.3).
fn entries_from_the_right(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// `192.0.2.1`, `2001:db8::1`, and with a port as some write it, `192.0.2.1:4711` or `[2001:db8::1]:4711`.
fn read(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    text.parse().ok().or_else(bracketed).or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|line| _ = headers.append(X_FORWARDED_FOR, line.parse().unwrap()));
        let trusted = [("10.0.0.0".parse().unwrap(), 8), ("2001:db8:ff::".parse().unwrap(), 48)];
        address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn who_is_not_trusted_is_the_client_whatever_it_says() {
        assert_eq!(client("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn from_right_to_left() {
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"]), "203.0.113.9", "the rest is invented");
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.0.0.2"]),
            "203.0.113.9",
            "several lines are one list"
        );
        assert_eq!(client("2001:db8:ff::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3", "all of them trusted: the first");
    }

    #[test]
    fn entries_are_read_as_people_write_them() {
        for entry in ["203.0.113.9:4711", " 203.0.113.9 ", "::ffff:203.0.113.9"] {
            assert_eq!(client("10.0.0.1", &[entry]), "203.0.113.9", "{entry}");
        }
        assert_eq!(client("10.0.0.1", &["[2001:db8::7]:80"]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &["[2001:db8::7]"]), "2001:db8::7");
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        for entry in ["unknown", "", "_hidden", "300.1.1.1", "1.1.1.1, x, 10.0.0.2"] {
            assert!(client("10.0.0.1", &[entry]).starts_with("10.0.0."), "{entry}");
        }
        assert_eq!(client("10.0.0.1", &["10.0.0.2,".repeat(100).as_str()]), "10.0.0.1", "an empty entry");
    }

    #[test]
    fn networks_of_every_length() {
        let everyone = [("0.0.0.0".parse().unwrap(), 0)];
        assert!(is_in(&everyone, "203.0.113.9".parse().unwrap()) && !is_in(&everyone, "2001:db8::1".parse().unwrap()));
        let one = [("192.0.2.1".parse().unwrap(), 32), ("2001:db8::".parse().unwrap(), 127)];
        assert!(is_in(&one, "192.0.2.1".parse().unwrap()) && !is_in(&one, "192.0.2.2".parse().unwrap()));
        assert!(is_in(&one, "2001:db8::1".parse().unwrap()) && !is_in(&one, "2001:db8::2".parse().unwrap()));
    }

    proptest! {
        /// A client that is not trusted cannot choose its address, whatever it sends to a trusted proxy that appends it.
        #[test]
        fn nobody_chooses_an_address(invented in "[0-9a-f:., \\[\\]x-]{0,40}") {
            prop_assert_eq!(client("10.0.0.1", &[&format!("{invented}, 203.0.113.9")]), "203.0.113.9");
        }
    }
}
