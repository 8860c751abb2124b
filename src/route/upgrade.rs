//! Will this connection go on as something else? WebSocket, by HTTP/1.1 `Upgrade` and by HTTP/2 extended CONNECT.
//!
//! After a 101 the bytes belong to the two ends, so a request that only seems to upgrade is a way past every rule: a proxy
//! that opens a tunnel before the backend has agreed lets anything through (Emil Lerner's and others' h2c smuggling, 2020). An
//! upgrade is therefore wholly one or refused, only to protocols that are allowed, and raw only after the backend's own 101.
//!
//! `h2c` is the exception: Java's HTTP client and curl's `--http2` offer it with every first plaintext request. Nobody has to take
//! an offer (RFC 9110 section 7.8); it is left unheard, and its headers end with us as those of one hop.

use http::HeaderMap;
use http::Method;
use http::StatusCode;
use http::Version;
use http::header;

use crate::route::hop_by_hop::connection_tokens;
use crate::route::hop_by_hop::tokens;
use crate::route::refusal::Refusal;
use crate::route::strict::Parsed;

/// What a client wants to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade<'a> {
    /// HTTP.
    None,
    /// This protocol, as the client wrote it.
    To(&'a str),
}

/// What a head asks for, of those `allowed` (lower case); or why it cannot be.
pub fn asked<'a>(head: &Parsed<'a>, allowed: &[String]) -> Result<Upgrade<'a>, Refusal> {
    if head.version == Version::HTTP_2 { by_connect(head, allowed) } else { by_header(head, allowed) }
}

/// RFC 8441. Plain CONNECT is refused elsewhere.
fn by_connect<'a>(head: &Parsed<'a>, allowed: &[String]) -> Result<Upgrade<'a>, Refusal> {
    match head.protocol {
        None => Ok(Upgrade::None),
        Some(_) if head.method != Method::CONNECT => Err(Refusal::UpgradeMethod),
        Some(protocol) if is_allowed(protocol, allowed) => Ok(Upgrade::To(protocol)),
        Some(_) => Err(Refusal::UpgradeProtocol),
    }
}

/// RFC 9110 section 7.8.
fn by_header<'a>(head: &Parsed<'a>, allowed: &[String]) -> Result<Upgrade<'a>, Refusal> {
    let mut lines = head.headers.get_all(header::UPGRADE).iter();
    let Some(line) = lines.next() else { return Ok(Upgrade::None) };
    let protocol = line.to_str().ok().filter(|_| lines.next().is_none()).ok_or(Refusal::UpgradeProtocol)?;
    if protocol.eq_ignore_ascii_case("h2c") {
        return Ok(Upgrade::None);
    }
    let has_length = head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if head.version != Version::HTTP_11 {
        Err(Refusal::UpgradeVersion)
    } else if head.method != Method::GET {
        Err(Refusal::UpgradeMethod)
    } else if !connection_tokens(head.headers).any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
        Err(Refusal::UpgradeConnection)
    } else if !is_allowed(protocol, allowed) {
        Err(Refusal::UpgradeProtocol)
    } else if has_length || head.headers.contains_key(header::TRANSFER_ENCODING) {
        Err(Refusal::UpgradeBody)
    } else {
        Ok(Upgrade::To(protocol))
    }
}

fn is_allowed(protocol: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|allowed| protocol.eq_ignore_ascii_case(allowed))
}

/// What a backend's answer makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It stays HTTP.
    Stays,
    /// It agreed: the bytes belong to the two ends.
    Agreed,
    /// A 101 that nobody asked for, or to something else: 502, and the connection is closed.
    Wrong,
}

/// Whether a backend over HTTP/1.1 agreed to what was asked.
pub fn switched(asked: Upgrade<'_>, status: StatusCode, headers: &HeaderMap) -> Switch {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Switch::Stays;
    }
    let Upgrade::To(protocol) = asked else { return Switch::Wrong };
    let mut agreed = tokens(headers, &header::UPGRADE);
    let is_same =
        agreed.next().is_some_and(|token| token.eq_ignore_ascii_case(protocol.as_bytes())) && agreed.next().is_none();
    if is_same { Switch::Agreed } else { Switch::Wrong }
}

/// The version to write on a response, whatever the backend's said: hyper echoes 1.0 to clients of 1.1, and a version of HTTP/3
/// panics its connection.
pub fn response_version(request: Version) -> Version {
    if request == Version::HTTP_2 { Version::HTTP_2 } else { Version::HTTP_11 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(asked: Upgrade<'_>, status: u16, upgrade: &[&str]) -> Switch {
        let mut headers = HeaderMap::new();
        upgrade.iter().for_each(|line| _ = headers.append(header::UPGRADE, line.parse().unwrap()));
        switched(asked, StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn only_the_backend_s_own_yes_is_one() {
        let asked = Upgrade::To("WebSocket");
        assert_eq!(answer(asked, 101, &["websocket"]), Switch::Agreed);
        assert_eq!(answer(asked, 200, &["websocket"]), Switch::Stays);
        assert_eq!(answer(asked, 101, &[]), Switch::Wrong);
        assert_eq!(answer(asked, 101, &["h2c"]), Switch::Wrong);
        assert_eq!(answer(asked, 101, &["websocket", "h2c"]), Switch::Wrong);
        assert_eq!(answer(Upgrade::None, 101, &["websocket"]), Switch::Wrong, "nobody asked");
    }

    #[test]
    fn the_version_is_ours() {
        let of = [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2].map(response_version);
        assert_eq!(of, [Version::HTTP_11, Version::HTTP_11, Version::HTTP_2]);
    }
}
