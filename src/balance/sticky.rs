//! A cookie that brings a client back to its endpoint, and says nothing to anyone else.
//!
//! The value is a MAC of pool and endpoint under a secret of the operator (HAProxy's `dynamic-cookie-key` is the same idea).
//! So it reveals no address, nobody can choose an endpoint by writing a cookie, nodes with one secret agree, and a value
//! stays good over restarts and re-ordered pools. Values are made once for each snapshot; a request compares its cookie
//! with those of the pool, in constant time and without a MAC of its own. When the endpoint is gone no value fits: the
//! request is balanced and gets a new cookie.
//!
//! HMAC-SHA-256 (RFC 2104) of aws-lc-rs, which rustls computes with already. xxh3 with a secret seed would not do: it is
//! built for speed, and its secret can be worked out from values seen.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::model::StickySecrets;

/// Bytes of the MAC that are kept: 128 bits cannot be guessed (RFC 2104 section 5 asks for at least half of the output).
const ID_BYTES: usize = 16;

/// A value in hexadecimal.
pub const VALUE_LEN: usize = 2 * ID_BYTES;

/// What the MAC is for, so that one secret can serve other purposes.
const PURPOSE: &[u8] = b"rhumb sticky cookie 1";

/// The cookie values of one pool.
#[derive(Clone)]
pub struct Sticky {
    current: Vec<[u8; VALUE_LEN]>,
    /// Under the former secret, while it is exchanged.
    previous: Vec<[u8; VALUE_LEN]>,
}

/// Values are not shown: whoever knows one can send traffic to its endpoint.
impl fmt::Debug for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sticky({} endpoints)", self.current.len())
    }
}

impl Sticky {
    /// For a pool's endpoints, each by what names it for good (`192.0.2.10:443`), in the pool's order.
    pub fn of(secret: &[u8], previous: Option<&[u8]>, pool: &str, endpoints: &[impl AsRef<str>]) -> Self {
        let values = |secret: &[u8]| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            endpoints.iter().map(|endpoint| sign(&key, pool, endpoint.as_ref())).collect()
        };
        Sticky { current: values(secret), previous: previous.map(values).unwrap_or_default() }
    }

    /// The value that brings a client back to that endpoint.
    pub fn value(&self, endpoint: usize) -> Option<&str> {
        self.current.get(endpoint).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The endpoint a client's value stands for.
    pub fn endpoint(&self, value: &[u8]) -> Option<usize> {
        find(&self.current, value).or_else(|| find(&self.previous, value))
    }

    /// Whether a client should be given a new value, because its own was made with the former secret.
    pub fn is_outdated(&self, value: &[u8]) -> bool {
        find(&self.current, value).is_none()
    }

    /// The `Set-Cookie` for an endpoint. Not for scripts, not over plaintext and not with requests from elsewhere (RFC 6265bis
    /// section 5.6); without `Max-Age` it ends with the browser's session, as the stickiness it stands for should.
    pub fn set_cookie(&self, name: &str, endpoint: usize, is_secure: bool) -> Option<String> {
        let secure = if is_secure { "; Secure" } else { "" };
        self.value(endpoint).map(|value| format!("{name}={value}; Path=/{secure}; HttpOnly; SameSite=Lax"))
    }
}

fn sign(key: &hmac::Key, pool: &str, endpoint: &str) -> [u8; VALUE_LEN] {
    let mut context = hmac::Context::with_key(key);
    // Lengths first: no two pairs of names are the same bytes.
    for part in [PURPOSE, pool.as_bytes(), endpoint.as_bytes()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    hexadecimal(&context.sign().as_ref()[..ID_BYTES])
}

fn hexadecimal(bytes: &[u8]) -> [u8; VALUE_LEN] {
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
    let mut out = [0; VALUE_LEN];
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
    out
}

/// Looks at every value to its end: the time it takes tells nothing of how near a guess was.
fn find(values: &[[u8; VALUE_LEN]], value: &[u8]) -> Option<usize> {
    let mut found = None;
    for (endpoint, known) in values.iter().enumerate() {
        if verify_slices_are_equal(known, value).is_ok() {
            found = Some(endpoint);
        }
    }
    found
}

/// Reads a file of secrets: the current one, and behind it the previous one while nodes change over; each is 32 to 128
/// hexadecimal digits on a line of its own. Lines that are empty or begin with `#` say nothing.
///
/// # Errors
/// The line, from 1, and what is wrong there; the digits are never repeated.
pub fn read_secrets(text: &str) -> Result<StickySecrets, (u32, &'static str)> {
    let said = |(_, line): &(u32, &str)| !line.is_empty() && !line.starts_with('#');
    let lines: Vec<(u32, &str)> = (1..).zip(text.lines().map(str::trim)).filter(said).collect();
    match lines[..] {
        [] => Err((1, "there is no secret")),
        [current] => Ok(StickySecrets { current: secret(current)?, previous: None }),
        [current, previous] => Ok(StickySecrets { current: secret(current)?, previous: Some(secret(previous)?) }),
        [_, _, (line, _), ..] => Err((line, "there are more than two secrets")),
    }
}

fn secret((line, digits): (u32, &str)) -> Result<Vec<u8>, (u32, &'static str)> {
    let nibbles: Option<Vec<u8>> = digits.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    let nibbles = nibbles.filter(|nibbles| matches!(nibbles.len(), 32..=128) && nibbles.len() % 2 == 0);
    let bytes = nibbles.map(|nibbles| nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect());
    bytes.ok_or((line, "a secret is 32 to 128 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"correct horse battery staple";

    #[test]
    fn a_file_of_secrets_has_one_or_two_and_is_never_repeated() {
        let (one, two) = ("00".repeat(32), "ff".repeat(16));
        let read = read_secrets(&format!("# new\n{one}\n\n{two}\n")).unwrap();
        assert_eq!((read.current, read.previous), (vec![0; 32], Some(vec![255; 16])));
        assert_eq!(read_secrets(&one).unwrap().previous, None);
        assert_eq!(read_secrets("# mine\n"), Err((1, "there is no secret")));
        let form = "a secret is 32 to 128 hexadecimal digits";
        for bad in ["abc".to_owned(), "0".repeat(33), "0".repeat(130), "g".repeat(32), "+".repeat(32)] {
            assert_eq!(read_secrets(&format!("\n{bad}")), Err((2, form)), "{bad}");
        }
        assert_eq!(read_secrets(&format!("{one}\n{one}\n{two}")), Err((3, "there are more than two secrets")));
        assert!(!format!("{:?}", read_secrets(&two)).contains("255"), "and no log shows one");
    }
    const ENDPOINTS: [&str; 3] = ["192.0.2.10:80", "192.0.2.11:80", "[2001:db8::1]:80"];

    fn sticky() -> Sticky {
        Sticky::of(SECRET, None, "eu-app", &ENDPOINTS)
    }

    #[test]
    fn a_value_brings_back_and_survives_another_order() {
        let (sticky, other) = (sticky(), Sticky::of(SECRET, None, "eu-app", &[ENDPOINTS[2], ENDPOINTS[0]]));
        for endpoint in 0..3 {
            assert_eq!(sticky.endpoint(sticky.value(endpoint).unwrap().as_bytes()), Some(endpoint));
        }
        assert_eq!(other.endpoint(sticky.value(2).unwrap().as_bytes()), Some(0));
        assert_eq!(other.endpoint(sticky.value(1).unwrap().as_bytes()), None, "its endpoint is gone: balance anew");
        assert_eq!(sticky.value(3), None);
    }

    #[test]
    fn it_is_opaque_and_bound_to_pool_and_secret() {
        let value = sticky().value(0).unwrap().to_owned();
        assert!(value.len() == VALUE_LEN && value.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(Sticky::of(SECRET, None, "eu-apq", &ENDPOINTS).value(0), Some(&*value));
        assert_ne!(Sticky::of(b"another", None, "eu-app", &ENDPOINTS).value(0), Some(&*value));
        assert!(!format!("{:?}", sticky()).contains(&value));
    }

    #[test]
    fn the_former_secret_is_believed_and_replaced() {
        let old = sticky().value(1).unwrap().to_owned();
        let new = Sticky::of(b"the next secret", Some(SECRET), "eu-app", &ENDPOINTS);
        assert_eq!(new.endpoint(old.as_bytes()), Some(1));
        assert!(new.is_outdated(old.as_bytes()) && !new.is_outdated(new.value(1).unwrap().as_bytes()));
    }

    #[test]
    fn the_cookie_is_for_the_browser_alone() {
        let sticky = sticky();
        let value = sticky.value(0).unwrap();
        let cookie = sticky.set_cookie("srv", 0, true).unwrap();
        assert_eq!(cookie, format!("srv={value}; Path=/; Secure; HttpOnly; SameSite=Lax"));
        assert!(!sticky.set_cookie("srv", 0, false).unwrap().contains("Secure"));
    }

    #[test]
    fn values_never_change_between_versions() {
        let expected = sticky().value(0).unwrap().to_owned();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        let mut message = Vec::new();
        for part in ["rhumb sticky cookie 1", "eu-app", "192.0.2.10:80"] {
            message.extend((part.len() as u64).to_be_bytes());
            message.extend(part.as_bytes());
        }
        assert_eq!(expected.as_bytes(), hexadecimal(&hmac::sign(&key, &message).as_ref()[..16]));
    }

    proptest! {
        #[test]
        fn no_other_bytes_are_a_value(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(sticky().endpoint(&bytes), None);
        }
    }
}
