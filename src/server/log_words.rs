//! How times and clients' addresses stand in logs.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use time::OffsetDateTime;

use crate::model::ClientShown;
use crate::model::Moment;

/// What is written of an address where prefixes are.
const PREFIX: (u8, u8) = (24, 56);

/// An address or network, as much of it as may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// One address.
    Address(IpAddr),
    /// The network it lies in.
    Network(IpNet),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::Address(address) => address.fmt(f),
            Shown::Network(network) => network.fmt(f),
        }
    }
}

/// What may be written of a client's network; of an address where `prefix` is all of it, or more.
pub fn shown(address: IpAddr, prefix: u8, shown: ClientShown) -> Option<Shown> {
    let address = address.to_canonical();
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let most = match shown {
        ClientShown::None => return None,
        ClientShown::Full => whole,
        ClientShown::Prefix => {
            if address.is_ipv4() {
                PREFIX.0
            } else {
                PREFIX.1
            }
        }
    };
    let prefix = prefix.min(most);
    match prefix == whole {
        true => Some(Shown::Address(address)),
        false => IpNet::new(address, prefix).ok().map(|network| Shown::Network(network.trunc())),
    }
}

/// The second of a moment in RFC 3339, without the zone's `Z`: fractions come before that.
#[derive(Debug, Clone, Copy)]
pub struct Second(pub Moment);

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0.secs()).unwrap_or(i64::MAX);
        let t = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second())
    }
}

/// RFC 3339, with microseconds: lines of one second keep their order.
pub fn time(at: Moment) -> String {
    format!("{}.{:06}Z", Second(at), at.0 % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_far_as_may_be() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let said = |text: &str, length, how| shown(ip(text), length, how).map(|shown| shown.to_string());
        let prefix = |text: &str, length| said(text, length, ClientShown::Prefix).unwrap();
        assert_eq!(prefix("192.0.2.77", 128), "192.0.2.0/24");
        assert_eq!(prefix("::ffff:192.0.2.77", 128), "192.0.2.0/24");
        assert_eq!(prefix("10.1.0.0", 16), "10.1.0.0/16");
        assert_eq!(prefix("2001:db8:1:2ff::9", 128), "2001:db8:1:200::/56");
        assert_eq!(said("192.0.2.77", 128, ClientShown::Full).unwrap(), "192.0.2.77");
        assert_eq!(said("192.0.2.64", 26, ClientShown::Full).unwrap(), "192.0.2.64/26");
        assert_eq!(said("192.0.2.77", 128, ClientShown::None), None);
    }

    #[test]
    fn times_are_written_as_everywhere() {
        assert_eq!(time(Moment(1_795_380_538_000_042)), "2026-11-22T20:48:58.000042Z");
    }
}
