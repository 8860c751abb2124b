//! The fields with a grammar of their own: bit maps, locations, prefixes, gateways, service parameters.
//!
//! Each function reads its tokens and appends bytes, like the methods of [`Data`].

use std::net::IpAddr;

use bytes::Bytes;
use domain::base::iana::Class;
use domain::base::rdata::ComposeRecordData;
use domain::rdata::ZoneRecordData;
use domain::utils::base64;
use domain::zonefile::inplace::Entry;
use domain::zonefile::inplace::Zonefile;

use crate::zone::read::data::{Data, Fault};
use crate::zone::read::scan::Token;
use crate::zone::read::text;
use crate::zone::read::types;

/// Mnemonics of DNSSEC algorithms (IANA "DNS Security Algorithm Numbers").
pub(super) const ALGORITHMS: &[(&str, u16)] = &[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("NSEC3DSA", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("NSEC3RSASHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

/// Mnemonics of certificate types (RFC 4398 section 2.1).
pub(super) const CERTIFICATES: &[(&str, u16)] = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
    ("IANA", 65534),
];

/// Hexadecimal in one word; none when it is not, or empty.
pub(super) fn hex_word(word: &str) -> Option<Vec<u8>> {
    let pairs = word.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match pair {
        [a, b] => Some(((*a as char).to_digit(16)? << 4 | (*b as char).to_digit(16)?) as u8),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    bytes.filter(|b| !b.is_empty())
}

/// The bit map of NSEC (RFC 4034 section 4.1.2).
pub(super) fn types(data: &mut Data<'_>) -> Result<(), Fault> {
    let mut codes = Vec::new();
    while let Some(token) = data.peek() {
        data.token("a type")?;
        codes.push(types::code(data.raw(token)).ok_or_else(|| data.wrong(token, "a type"))?);
    }
    codes.sort_unstable();
    for window in codes.chunk_by(|a, b| a >> 8 == b >> 8) {
        let last = window[window.len() - 1] & 0xFF;
        let bytes = last as usize / 8 + 1;
        data.out.extend_from_slice(&[(window[0] >> 8) as u8, bytes as u8]);
        let map = data.out.len();
        data.out.resize(map + bytes, 0);
        for code in window {
            data.out[map + (code & 0xFF) as usize / 8] |= 0x80 >> (code % 8);
        }
    }
    Ok(())
}

/// EUI48 and EUI64 (RFC 7043): pairs of hexadecimal digits with hyphens.
pub(super) fn eui(data: &mut Data<'_>, bytes: usize) -> Result<(), Fault> {
    const WANTED: &str = "an EUI: pairs of hexadecimal digits with hyphens";
    let token = data.token(WANTED)?;
    let word = str::from_utf8(data.raw(token)).unwrap_or_default();
    let parts: Option<Vec<u8>> = word.split('-').map(|p| hex_word(p).filter(|b| b.len() == 1).map(|b| b[0])).collect();
    let parts = parts.filter(|p| p.len() == bytes).ok_or_else(|| data.wrong(token, WANTED))?;
    data.out.extend_from_slice(&parts);
    Ok(())
}

/// NID and L64 (RFC 6742): four groups of up to four hexadecimal digits.
pub(super) fn locator(data: &mut Data<'_>) -> Result<(), Fault> {
    const WANTED: &str = "four groups of hexadecimal digits, as `0014:4fff:ff20:ee64`";
    let token = data.token(WANTED)?;
    let word = str::from_utf8(data.raw(token)).unwrap_or_default();
    let group = |g: &str| (1..=4).contains(&g.len()).then(|| u16::from_str_radix(g, 16).ok()).flatten();
    let groups: Option<Vec<u16>> = word.split(':').map(group).collect();
    let groups = groups.filter(|g| g.len() == 4).ok_or_else(|| data.wrong(token, WANTED))?;
    data.out.extend(groups.into_iter().flat_map(u16::to_be_bytes));
    Ok(())
}

/// NSAP (RFC 1706 section 7): `0x`, hexadecimal digits, dots anywhere.
pub(super) fn nsap(data: &mut Data<'_>) -> Result<(), Fault> {
    const WANTED: &str = "an NSAP address: `0x` and hexadecimal digits";
    let token = data.token(WANTED)?;
    let word = str::from_utf8(data.raw(token)).unwrap_or_default();
    let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or_default().replace('.', "");
    let bytes = hex_word(&digits).ok_or_else(|| data.wrong(token, WANTED))?;
    data.out.extend_from_slice(&bytes);
    Ok(())
}

/// LOC (RFC 1876 section 3): `51 30 12.748 N 0 7 39.612 W 0.00m [1m [10000m [10m]]]`.
pub(super) fn location(data: &mut Data<'_>) -> Result<(), Fault> {
    const EQUATOR: u32 = 1 << 31;
    let latitude = angle(data, 90, [b'N', b'S'], "a latitude: `51 30 12.7 N`")?;
    let longitude = angle(data, 180, [b'E', b'W'], "a longitude: `0 7 39.6 W`")?;
    let token = data.token("an altitude: `12.34m`")?;
    let altitude = centimetres(data, token)? + 10_000_000;
    let altitude = u32::try_from(altitude).map_err(|_| data.wrong(token, "between -100000.00m and 42849672.95m"))?;
    // 1 m, 10 km, 10 m: what RFC 1876 section 3 says where they are missing.
    let mut sizes = [0x12, 0x16, 0x13];
    for size in &mut sizes {
        let Some(token) = data.peek() else { break };
        data.token("a size")?;
        let centimetres = u64::try_from(centimetres(data, token)?).ok().filter(|cm| *cm <= 9_000_000_000);
        *size = exponent(centimetres.ok_or_else(|| data.wrong(token, "a size up to 90000000.00m"))?);
    }
    data.out.push(0);
    data.out.extend_from_slice(&sizes);
    data.out.extend_from_slice(&EQUATOR.wrapping_add_signed(latitude).to_be_bytes());
    data.out.extend_from_slice(&EQUATOR.wrapping_add_signed(longitude).to_be_bytes());
    data.out.extend_from_slice(&altitude.to_be_bytes());
    Ok(())
}

/// Degrees, minutes and seconds that end in a letter, in thousandths of a second.
fn angle(data: &mut Data<'_>, degrees_max: i64, letters: [u8; 2], wanted: &str) -> Result<i32, Fault> {
    let mut sum = 0_i64;
    let limits = [degrees_max, 59, 59];
    for (part, unit) in [3_600_000, 60_000, 1_000, 0].into_iter().enumerate() {
        let token = data.token(wanted)?;
        let raw = data.raw(token);
        if let ([letter], true) = (raw, part > 0) {
            let letter = letter.to_ascii_uppercase();
            if letters.contains(&letter) && sum <= degrees_max * 3_600_000 {
                return Ok(if letter == letters[0] { sum } else { -sum } as i32);
            }
        }
        let value = if part == 2 { thousandths(raw) } else { text::number::<u32>(raw).map(|n| i64::from(n) * 1_000) };
        match value {
            Some(value) if unit > 0 && value < (limits[part] + 1) * 1_000 => sum += value * unit / 1_000,
            _ => return Err(data.wrong(token, wanted)),
        }
    }
    unreachable!("the fourth part is a letter or a fault")
}

/// `12`, `12.7` or `12.748` in thousandths.
fn thousandths(raw: &[u8]) -> Option<i64> {
    decimal(raw, 3)
}

/// A decimal number with up to `places` places, times ten to that power.
fn decimal(raw: &[u8], places: usize) -> Option<i64> {
    let (whole, part) = match raw.iter().position(|&b| b == b'.') {
        Some(dot) => (&raw[..dot], &raw[dot + 1..]),
        None => (raw, &b""[..]),
    };
    if part.len() > places || whole.len() > 10 {
        return None;
    }
    let mut digits = whole.to_vec();
    digits.extend_from_slice(part);
    digits.resize(whole.len() + places, b'0');
    text::number::<u64>(&digits).and_then(|n| i64::try_from(n).ok())
}

/// `-12.34m` in centimetres.
fn centimetres(data: &Data<'_>, token: Token) -> Result<i64, Fault> {
    let raw = data.raw(token);
    let raw = raw.strip_suffix(b"m").or_else(|| raw.strip_suffix(b"M")).unwrap_or(raw);
    let (negative, raw) = raw.strip_prefix(b"-").map_or((false, raw), |rest| (true, rest));
    let value = decimal(raw, 2).ok_or_else(|| data.wrong(token, "a length in metres: `12.34m`"))?;
    Ok(if negative { -value } else { value })
}

/// Centimetres as one digit and a power of ten (RFC 1876 section 2).
fn exponent(mut length: u64) -> u8 {
    let mut power = 0;
    while length > 9 {
        length /= 10;
        power += 1;
    }
    (length as u8) << 4 | power
}

/// APL (RFC 3123 section 5): `1:192.168.32.0/21 !1:192.168.38.0/28 2:2001:db8::/32`.
pub(super) fn prefixes(data: &mut Data<'_>) -> Result<(), Fault> {
    const WANTED: &str = "a prefix: `[!]1:192.0.2.0/24` or `[!]2:2001:db8::/32`";
    while let Some(token) = data.peek() {
        data.token(WANTED)?;
        let word = str::from_utf8(data.raw(token)).unwrap_or_default();
        let (negative, word) = word.strip_prefix('!').map_or((0, word), |rest| (0x80, rest));
        let read = || {
            let (family, rest) = word.split_once(':')?;
            let (address, bits) = rest.split_once('/')?;
            let bits: u8 = text::number(bits.as_bytes())?;
            match (family, address.parse().ok()?) {
                ("1", IpAddr::V4(ip)) if bits <= 32 => Some((1_u16, bits, ip.octets().to_vec())),
                ("2", IpAddr::V6(ip)) if bits <= 128 => Some((2, bits, ip.octets().to_vec())),
                _ => None,
            }
        };
        let (family, bits, mut address) = read().ok_or_else(|| data.wrong(token, WANTED))?;
        while address.last() == Some(&0) {
            address.pop();
        }
        data.out.extend_from_slice(&family.to_be_bytes());
        data.out.extend_from_slice(&[bits, negative | address.len() as u8]);
        data.out.extend_from_slice(&address);
    }
    Ok(())
}

/// IPSECKEY without its key (RFC 4025 section 3.1).
pub(super) fn ipsec_gateway(data: &mut Data<'_>) -> Result<(), Fault> {
    for wanted in ["a precedence up to 255", "a gateway type up to 3", "an algorithm up to 255"] {
        let token = data.token(wanted)?;
        let value = data.number(token, wanted)?;
        data.out.push(value);
    }
    let kind = data.out[data.out.len() - 2];
    gateway(data, kind)
}

/// AMTRELAY (RFC 8777 section 4.3).
pub(super) fn relay(data: &mut Data<'_>) -> Result<(), Fault> {
    let token = data.token("a precedence up to 255")?;
    let precedence = data.number(token, "a precedence up to 255")?;
    let token = data.token("the discovery bit, 0 or 1")?;
    let discovery = match data.raw(token) {
        b"0" => 0,
        b"1" => 0x80,
        _ => return Err(data.wrong(token, "0 or 1")),
    };
    let token = data.token("a relay type up to 3")?;
    let kind = Some(data.number(token, "a relay type up to 3")?).filter(|kind: &u8| *kind <= 3);
    let kind = kind.ok_or_else(|| data.wrong(token, "a relay type up to 3"))?;
    data.out.extend_from_slice(&[precedence, discovery | kind]);
    gateway(data, kind)
}

/// A gateway: 0 nothing (a dot in text), 1 an IPv4 address, 2 an IPv6 address, 3 a name.
fn gateway(data: &mut Data<'_>, kind: u8) -> Result<(), Fault> {
    if kind == 3 {
        return data.name();
    }
    let token = data.token("a gateway")?;
    let address = || str::from_utf8(data.raw(token)).ok()?.parse().ok();
    match (kind, data.raw(token), address()) {
        (0, b".", _) => {}
        (1, _, Some(IpAddr::V4(ip))) => data.out.extend_from_slice(&ip.octets()),
        (2, _, Some(IpAddr::V6(ip))) => data.out.extend_from_slice(&ip.octets()),
        _ => return Err(data.wrong(token, &format!("a gateway of type {kind}"))),
    }
    Ok(())
}

/// HIP without its servers (RFC 8005 section 5): lengths stand before identity and key.
pub(super) fn host_identity(data: &mut Data<'_>) -> Result<(), Fault> {
    let token = data.token("an algorithm up to 255")?;
    let algorithm: u8 = data.number(token, "an algorithm up to 255")?;
    let token = data.token("a host identity tag in hexadecimal")?;
    let identity = str::from_utf8(data.raw(token)).ok().and_then(hex_word).filter(|b| b.len() <= 255);
    let identity = identity.ok_or_else(|| data.wrong(token, "a host identity tag in hexadecimal"))?;
    let token = data.token("a public key in base64")?;
    let key = str::from_utf8(data.raw(token)).ok().and_then(|w| base64::decode::<Vec<u8>>(w).ok());
    let key = key.filter(|k| k.len() <= 0xFFFF).ok_or_else(|| data.wrong(token, "a public key in base64"))?;
    data.out.extend_from_slice(&[identity.len() as u8, algorithm]);
    data.out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    data.out.extend_from_slice(&identity);
    data.out.extend_from_slice(&key);
    Ok(())
}

/// The service parameters of SVCB and HTTPS (RFC 9460 section 2.1), read by the `domain` crate: their escapes are
/// lists within strings, and it keeps step with the registry of keys.
pub(super) fn parameters(data: &mut Data<'_>) -> Result<(), Fault> {
    if data.peek().is_none() {
        return Ok(());
    }
    let tokens = data.rest("a parameter")?;
    let mut line = b". 0 IN SVCB 1 .".to_vec();
    for token in tokens {
        let (start, end) = if token.quoted { (token.start - 1, token.end + 1) } else { (token.start, token.end) };
        line.push(b' ');
        line.extend_from_slice(data.raw(Token { start, end, ..*token }));
    }
    line.push(b'\n');
    let wire = service_wire(&line).map_err(|why| {
        Fault::at(tokens[0], format!("these service parameters are wrong: {why}"))
            .help("as in `alpn=h2,h3 port=8443 ipv4hint=192.0.2.1`")
    })?;
    // Priority and the root as target stand before the parameters.
    data.out.extend_from_slice(&wire[3..]);
    Ok(())
}

fn service_wire(line: &[u8]) -> Result<Vec<u8>, String> {
    let mut file = Zonefile::from(line);
    file.set_origin(domain::base::Name::<Bytes>::root_bytes());
    file.set_default_class(Class::IN);
    let entry = file.next_entry().map_err(|e| {
        let message = e.to_string();
        message.splitn(3, ':').last().unwrap_or_default().trim().to_owned()
    })?;
    let mut wire = Vec::new();
    match entry {
        Some(Entry::Record(record)) if matches!(record.data(), ZoneRecordData::Svcb(_)) => {
            record.data().compose_rdata(&mut wire).map_err(|e| e.to_string())?;
            Ok(wire)
        }
        _ => Err("they cannot be read".to_owned()),
    }
}
