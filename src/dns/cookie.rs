//! Server cookies (RFC 7873), made as RFC 9018 says, so that nodes of any make behind one address take each other's.
//!
//! A server cookie is a version, three reserved bytes, the moment it was made and a SipHash-2-4 over those, the client's
//! cookie and its address. It proves that a client gets what is sent to its address. Nothing is kept for a client, and
//! nothing is refused here: without rate limits there is nobody to favour, so a cookie that is not ours gets a new one.

use std::hash::Hasher;
#[expect(deprecated, reason = "deprecated for hash tables alone; it is the keyed SipHash-2-4 that RFC 9018 wants")]
use std::hash::SipHasher;
use std::net::IpAddr;

use crate::model::CookieSecrets;

/// The bytes of a client's cookie.
const CLIENT_BYTES: usize = 8;
/// The bytes of ours.
const SERVER_BYTES: usize = 16;
/// The bytes of ours before the hash.
const HEAD_BYTES: usize = 8;
/// The version that RFC 9018 defines.
const VERSION: u8 = 1;
/// An older cookie is not valid (RFC 9018 section 4.3).
const SECONDS_MAX: u32 = 3600;
/// An older one is valid, but the client gets a new one (the same section).
const FRESH_SECONDS_MAX: u32 = 1800;
/// Clocks may differ: a cookie from as far in the future is valid (the same section).
const AHEAD_SECONDS_MAX: u32 = 300;

/// What a cookie option from a client is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Ours, made with the current secret in the last half hour: it goes back as it came.
    Fresh,
    /// Ours and valid, but old or made with the previous secret: the client gets a new one.
    Old,
    /// There is none, or it is not ours, or its time is over.
    None,
}

/// Judges the data of a cookie option; `now` in seconds since 1970, of which 32 bits count.
pub fn judge(secrets: &CookieSecrets, data: &[u8], client: IpAddr, now: u64) -> Standing {
    let Some((theirs, ours)) = data.split_first_chunk::<CLIENT_BYTES>() else { return Standing::None };
    let Ok(ours) = <&[u8; SERVER_BYTES]>::try_from(ours) else { return Standing::None };
    let Some(head) = ours.first_chunk::<HEAD_BYTES>().filter(|head| head[0] == VERSION) else { return Standing::None };
    // Serial number arithmetic (RFC 1982): the years past 2106 come.
    let age = (now as u32).wrapping_sub(u32::from_be_bytes([head[4], head[5], head[6], head[7]])) as i32;
    if age > SECONDS_MAX as i32 || age < -(AHEAD_SECONDS_MAX as i32) {
        return Standing::None;
    }
    // Compared as numbers, at once: the time it takes does not tell how many bytes were right.
    let given = u64::from_le_bytes(*ours.last_chunk().expect("it has 16 bytes"));
    let is = |secret: &[u8; 16]| hash(secret, theirs, head, client) == given;
    if is(&secrets.current) {
        if age <= FRESH_SECONDS_MAX as i32 { Standing::Fresh } else { Standing::Old }
    } else if secrets.previous.as_ref().is_some_and(is) {
        Standing::Old
    } else {
        Standing::None
    }
}

/// The data of the option that answers this one: the client's cookie and a valid one of ours.
pub fn reply(secrets: &CookieSecrets, data: &[u8], client: IpAddr, now: u64) -> Option<[u8; 24]> {
    let theirs = data.first_chunk::<CLIENT_BYTES>()?;
    if judge(secrets, data, client, now) == Standing::Fresh {
        return data.try_into().ok();
    }
    let mut head = [VERSION, 0, 0, 0, 0, 0, 0, 0];
    head[4..].copy_from_slice(&(now as u32).to_be_bytes());
    let mut out = [0; CLIENT_BYTES + SERVER_BYTES];
    out[..8].copy_from_slice(theirs);
    out[8..16].copy_from_slice(&head);
    out[16..].copy_from_slice(&hash(&secrets.current, theirs, &head, client).to_le_bytes());
    Some(out)
}

fn hash(secret: &[u8; 16], theirs: &[u8; CLIENT_BYTES], head: &[u8; HEAD_BYTES], client: IpAddr) -> u64 {
    let key = u128::from_le_bytes(*secret);
    #[expect(deprecated, reason = "see its import")]
    let mut hasher = SipHasher::new_with_keys(key as u64, (key >> 64) as u64);
    hasher.write(theirs);
    hasher.write(head);
    match client.to_canonical() {
        IpAddr::V4(ip) => hasher.write(&ip.octets()),
        IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
    hasher.finish()
}

/// Reads a file of secrets: the current one, and behind it the previous one while nodes change over; each is 32
/// hexadecimal digits on a line of its own. Lines that are empty or begin with `#` say nothing.
///
/// # Errors
/// The line, from 1, and what is wrong there; the digits are never repeated.
pub fn read_secrets(text: &str) -> Result<CookieSecrets, (u32, &'static str)> {
    let mut secrets = Vec::new();
    let mut last = 1;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        last = number;
        if secrets.len() == 2 {
            return Err((number, "there are more than two secrets"));
        }
        secrets.push(secret(line).ok_or((number, "a secret is 32 hexadecimal digits"))?);
    }
    match secrets[..] {
        [] => Err((last, "there is no secret")),
        [current] => Ok(CookieSecrets { current, previous: None }),
        [current, previous, ..] => Ok(CookieSecrets { current, previous: Some(previous) }),
    }
}

fn secret(digits: &str) -> Option<[u8; 16]> {
    let right = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    right.then(|| u128::from_str_radix(digits, 16).ok()).flatten().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    /// What is answered, in hexadecimal.
    fn answered(secrets: &str, data: &str, client: &str, now: u64) -> String {
        let secrets = read_secrets(secrets).unwrap();
        let reply = reply(&secrets, &bytes(data), client.parse().unwrap(), now).unwrap();
        reply.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn judged(secrets: &str, data: &str, client: &str, now: u64) -> Standing {
        judge(&read_secrets(secrets).unwrap(), &bytes(data), client.parse().unwrap(), now)
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const FIRST: &str = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";

    #[test]
    fn the_vectors_of_rfc_9018() {
        let client = "198.51.100.100";
        // A.1 and A.2: a new cookie, and after 40 minutes a renewed one.
        assert_eq!(answered(SECRET, "2464c4abcf10c957", client, 1_559_731_985), FIRST);
        assert_eq!(judged(SECRET, FIRST, client, 1_559_734_385), Standing::Old);
        let renewed = "2464c4abcf10c957010000005cf7a871d4a564a1442aca77";
        assert_eq!(answered(SECRET, FIRST, client, 1_559_734_385), renewed);
        // A.3: reserved bytes count in the hash. (The reply there comes after nearly two hours.)
        let (odd, client) = ("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", "203.0.113.203");
        assert_eq!(judged(SECRET, odd, client, 1_559_727_985), Standing::Fresh);
        assert_eq!(answered(SECRET, odd, client, 1_559_734_700), "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e");
        // A.4: IPv6, and a secret that has been rolled over.
        let rolled = "# new\n445536bcd2513298075a5d379663c962\n\ndd3bdf9344b678b185a6f5cb60fca715\n";
        let (old, client) = ("22681ab97d52c298010000005cf7c57926556bd0934c72f8", "2001:db8:220:1:59de:d0f4:8769:82b8");
        assert_eq!(judged(rolled, old, client, 1_559_741_961), Standing::Old);
        assert_eq!(answered(rolled, old, client, 1_559_741_961), "22681ab97d52c298010000005cf7c609a6bb79d16625507a");
    }

    #[test]
    fn a_cookie_has_its_time_its_client_and_its_address() {
        let at = |now| judged(SECRET, FIRST, "198.51.100.100", now);
        let made = 1_559_731_985;
        assert_eq!(at(made + 1800), Standing::Fresh);
        assert_eq!(at(made + 1801), Standing::Old);
        assert_eq!(at(made + 3600), Standing::Old);
        assert_eq!(at(made + 3601), Standing::None);
        assert_eq!(at(made - 300), Standing::Fresh);
        assert_eq!(at(made - 301), Standing::None);
        assert_eq!(at(made + (1 << 32)), Standing::Fresh, "32 bits of the time count");
        assert_eq!(judged(SECRET, FIRST, "::ffff:198.51.100.100", made), Standing::Fresh);
        assert_eq!(judged(SECRET, FIRST, "198.51.100.101", made), Standing::None);
        assert_eq!(judged(SECRET, &FIRST.replace("2464", "2465"), "198.51.100.100", made), Standing::None);
        assert_eq!(answered(SECRET, FIRST, "198.51.100.100", made + 9), FIRST, "a fresh one goes back as it came");
    }

    #[test]
    fn what_is_wrong_with_a_file_of_secrets_is_said_without_them() {
        assert_eq!(read_secrets(""), Err((1, "there is no secret")));
        assert_eq!(read_secrets("# mine\nabc"), Err((2, "a secret is 32 hexadecimal digits")));
        assert_eq!(read_secrets(&"+".repeat(32)), Err((1, "a secret is 32 hexadecimal digits")));
        assert_eq!(read_secrets(&format!("{SECRET}\n{SECRET}\n{SECRET}")), Err((3, "there are more than two secrets")));
        assert!(!format!("{:?}", read_secrets(SECRET)).contains("e5e9"), "and no log shows one");
    }

    proptest! {
        #[test]
        fn no_option_panics_and_what_is_answered_is_fresh(
            data in proptest::collection::vec(any::<u8>(), 0..41), ip: [u8; 16], now: u64, current: [u8; 16],
        ) {
            let secrets = CookieSecrets { current, previous: Some([7; 16]) };
            let client = IpAddr::from(ip);
            if let Some(reply) = reply(&secrets, &data, client, now) {
                prop_assert_eq!(judge(&secrets, &reply, client, now), Standing::Fresh);
            }
        }
    }
}
