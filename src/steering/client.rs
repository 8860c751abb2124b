//! Whose place counts: the EDNS Client Subnet when there is one, else the source address.
//!
//! Addresses that carry an IPv4 address inside become that: IPv4-mapped (RFC 4291 section 2.5.5.2), 6to4 (RFC 3056) and the
//! well-known NAT64 prefix (RFC 6052). Databases have no separate data for them, and one client must not get two answers.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::geo::runs::Address;

/// Whose place counts: the client's address, cut to what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The address, IPv4 where it was IPv4-mapped, 6to4 or NAT64; bits past `prefix` are zero.
    pub address: IpAddr,
    /// How many bits of it are known: the ECS source prefix length, or all.
    pub prefix: u8,
    /// Whether it came from an EDNS Client Subnet option.
    pub from_subnet: bool,
    /// How many bits stood before the IPv4 address where one was carried inside an IPv6 address, else 0.
    pub bits_before: u8,
}

/// The networks whose addresses carry an IPv4 address: first address, prefix length.
const CARRIERS: [(u128, u8); 3] = [
    (0xffff << 32, 96),                              // ::ffff:0:0/96, IPv4-mapped
    (0x2002 << 112, 16),                             // 2002::/16, 6to4
    (0x0064_ff9b_0000_0000_0000_0000_0000_0000, 96), // 64:ff9b::/96, NAT64
];

impl Client {
    /// A client known by the address its query came from.
    pub fn from_source(address: IpAddr) -> Self {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Client { from_subnet: false, ..Client::from_subnet(address, bits) }
    }

    /// A client known by an EDNS Client Subnet: an address and how many bits of it are given. Bits past them are cleared;
    /// a length beyond the family's is taken as all of it.
    pub fn from_subnet(address: IpAddr, prefix: u8) -> Self {
        match address {
            IpAddr::V4(ip) => Client::v4(u32::from(ip), prefix, 0),
            IpAddr::V6(ip) => {
                let number = u128::from(ip);
                let carried =
                    CARRIERS.iter().find(|(first, bits)| prefix > *bits && number.block_first(*bits) == *first);
                match carried {
                    Some((_, bits)) => Client::v4((number << bits >> 96) as u32, (prefix - bits).min(32), *bits),
                    None => Client::v6(number, prefix),
                }
            }
        }
    }

    fn v4(number: u32, prefix: u8, bits_before: u8) -> Self {
        let prefix = prefix.min(32);
        let address = IpAddr::V4(Ipv4Addr::from(number.block_first(prefix)));
        Client { address, prefix, from_subnet: true, bits_before }
    }

    fn v6(number: u128, prefix: u8) -> Self {
        let prefix = prefix.min(128);
        let address = IpAddr::V6(Ipv6Addr::from(number.block_first(prefix)));
        Client { address, prefix, from_subnet: true, bits_before: 0 }
    }

    /// A decision's scope as the reply's SCOPE PREFIX-LENGTH: in the family in which the option came.
    pub fn reply_scope(&self, scope: u8) -> u8 {
        if scope == 0 { 0 } else { scope + self.bits_before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(address: &str, prefix: u8) -> (String, u8) {
        let client = Client::from_subnet(address.parse().unwrap(), prefix);
        (client.address.to_string(), client.prefix)
    }

    #[test]
    fn carried_ipv4_addresses_come_out() {
        assert_eq!(subnet("::ffff:192.0.2.7", 120), ("192.0.2.0".to_owned(), 24));
        assert_eq!(subnet("2002:c000:0207::1", 40), ("192.0.2.0".to_owned(), 24));
        assert_eq!(subnet("2002:c000:0207:1::1", 64), ("192.0.2.7".to_owned(), 32));
        assert_eq!(subnet("64:ff9b::c000:207", 128), ("192.0.2.7".to_owned(), 32));
        let source = Client::from_source("::ffff:192.0.2.7".parse().unwrap());
        assert_eq!(
            (source.address.to_string(), source.prefix, source.from_subnet),
            ("192.0.2.7".to_owned(), 32, false)
        );
    }

    #[test]
    fn too_short_a_prefix_stays_ipv6() {
        assert_eq!(subnet("2002:c000:0207::1", 16), ("2002::".to_owned(), 16));
        assert_eq!(subnet("::ffff:192.0.2.7", 96), ("::ffff:0.0.0.0".to_owned(), 96));
        assert_eq!(subnet("2001:db8::1", 56), ("2001:db8::".to_owned(), 56));
    }

    #[test]
    fn the_reply_scope_is_in_the_family_of_the_option() {
        let carried = Client::from_subnet("2002:c000:0207::1".parse().unwrap(), 40);
        assert_eq!((carried.reply_scope(18), carried.reply_scope(0)), (34, 0));
        assert_eq!(Client::from_subnet("192.0.2.1".parse().unwrap(), 24).reply_scope(18), 18);
    }

    #[test]
    fn lengths_beyond_the_family_are_all_of_it() {
        assert_eq!(subnet("192.0.2.7", 200), ("192.0.2.7".to_owned(), 32));
        assert_eq!(subnet("2001:db8::1", 200), ("2001:db8::1".to_owned(), 128));
    }
}
