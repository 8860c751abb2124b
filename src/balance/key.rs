//! What a choice is keyed on: who is asked for, who asks, and when.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Seeds say which question a hash answers, so that two choices for one client are independent. Never change them: nodes
/// of two versions would send one client to two places.
const SEED_IDENTITY: u64 = 0x7268_756d_625f_6964;
const SEED_CLIENT: u64 = 0x7268_756d_625f_636c;
const SEED_PHASE: u64 = 0x7268_756d_625f_7068;
const SEED_BYTES: u64 = 0x7268_756d_625f_6279;

/// The identity of a member, from whatever names it for good: an address, a pool's name.
pub fn identity(name: &[u8]) -> u64 {
    xxh3_64_with_seed(name, SEED_IDENTITY)
}

/// The key of any bytes a choice is keyed on (a header, a cookie, a path), for one service.
#[inline]
pub fn of_bytes(service: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, SEED_BYTES ^ service)
}

/// Another draw from a draw, for choices that need several (one step of SplitMix64, Steele, Lea and Flood 2014).
#[inline]
pub fn next_draw(draw: u64) -> u64 {
    let mut z = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A client's network as choices see it, for one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientKey(u64);

impl ClientKey {
    /// For the service of that identity, the first `prefix` bits of the address.
    #[inline]
    pub fn new(service: u64, address: IpAddr, prefix: u8) -> Self {
        let mut bytes = [0u8; 17];
        match address {
            IpAddr::V4(ip) => {
                let kept = u32::from(ip) & !u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                bytes[0] = 4;
                bytes[1..5].copy_from_slice(&kept.to_be_bytes());
            }
            IpAddr::V6(ip) => {
                let kept = u128::from(ip) & !u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                bytes[0] = 6;
                bytes[1..].copy_from_slice(&kept.to_be_bytes());
            }
        }
        ClientKey(xxh3_64_with_seed(&bytes, SEED_CLIENT ^ service))
    }

    /// The key of a choice that stays.
    #[inline]
    pub fn constant(self) -> u64 {
        self.0
    }

    /// The key of a choice made anew every `period` seconds, at another second for each client, so that a change of shares
    /// does not arrive in steps.
    #[inline]
    pub fn in_period(self, seconds: u64, period: u64) -> u64 {
        let phase = xxh3_64_with_seed(&self.0.to_le_bytes(), SEED_PHASE) % period;
        let slot = (seconds + phase) / period;
        xxh3_64_with_seed(&slot.to_le_bytes(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str, prefix: u8) -> ClientKey {
        ClientKey::new(1, address.parse().unwrap(), prefix)
    }

    #[test]
    fn clients_of_one_prefix_have_one_key() {
        assert_eq!(key("192.0.2.1", 24), key("192.0.2.200", 24));
        assert_ne!(key("192.0.2.1", 25), key("192.0.2.200", 25));
        assert_eq!(key("2001:db8::1", 56), key("2001:db8:0:ff::1", 56));
        assert_eq!(key("1.2.3.4", 0), key("5.6.7.8", 0));
        assert_ne!(key("0.0.0.0", 0), key("::", 0));
    }

    #[test]
    fn a_period_keeps_its_key_and_the_next_has_another() {
        let client = key("192.0.2.1", 24);
        let keys: Vec<u64> = (3_000..3_120).map(|second| client.in_period(second, 30)).collect();
        let changes = keys.windows(2).filter(|w| w[0] != w[1]).count();
        assert!((3..=4).contains(&changes), "four periods in 120 s, {changes} changes");
    }

    #[test]
    fn keys_never_change_between_versions() {
        assert_eq!(identity(b"eu-web"), IDENTITY_OF_EU_WEB);
        assert_eq!(key("192.0.2.1", 24).constant(), KEY_OF_DOC_NET);
    }

    #[test]
    fn bytes_are_keyed_apart_from_identities_and_services() {
        assert_ne!(of_bytes(0, b"eu-web"), identity(b"eu-web"));
        assert_ne!(of_bytes(1, b"eu-web"), of_bytes(2, b"eu-web"));
    }

    const IDENTITY_OF_EU_WEB: u64 = 3_684_350_001_626_004_536;
    const KEY_OF_DOC_NET: u64 = 11_576_165_943_406_527_614;
}
