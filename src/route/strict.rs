//! May this head pass? What two programs could read in two ways is refused before anything looks at it.
//!
//! Request smuggling and its kin live on disagreement: where a body ends, whose host counts, what a header's name is. So a
//! proxy that is in front of others must accept less than they do (Kettle, "HTTP Desync Attacks", 2019; RFC 9112 section 11.2).
//! hyper accepts more; everything here is what its parsed head still shows of that.
//!
//! What a parsed head does not show, because hyper has mended it already, is for [`super::raw`] and whoever has the bytes: a
//! second `Content-Length` equal to the first, a `Content-Length` before or after `Transfer-Encoding`, the fragment of a target (`http`
//! drops it in parsing), and bare line feeds. Spaces before a colon and folded lines hyper refuses by itself.

use std::borrow::Cow;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Uri;
use http::Version;
use http::header;

use crate::model::PathRules;
use crate::model::Underscores;
use crate::route::hop_by_hop::connection_tokens;
use crate::route::host::Authority;
use crate::route::path;
use crate::route::refusal::Refusal;
use crate::route::upgrade;
use crate::route::upgrade::Upgrade;

/// A `Content-Length` of more digits is no length of anything, and overflows in somebody.
const LENGTH_DIGITS_MAX: usize = 18;

/// A request's head as it was parsed.
#[derive(Debug, Clone, Copy)]
pub struct Parsed<'a> {
    /// GET and the like.
    pub method: &'a Method,
    /// The target.
    pub uri: &'a Uri,
    /// Of the request line, or of the connection.
    pub version: Version,
    /// In lower case, in order.
    pub headers: &'a HeaderMap,
    /// HTTP/2: the `:protocol` of an extended CONNECT (RFC 8441).
    pub protocol: Option<&'a str>,
}

/// What a listener lets pass.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// How paths are normalised.
    pub paths: PathRules,
    /// What becomes of names with `_`.
    pub underscores: Underscores,
    /// What may be upgraded to, lower case.
    pub upgrades: &'a [String],
    /// 80 or 443.
    pub default_port: u16,
}

/// A head that may pass, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted<'a> {
    /// Whom the client asked for.
    pub authority: Authority<'a>,
    /// What it asked for, in one form; `*` for `OPTIONS *`.
    pub path: Cow<'a, str>,
    /// What it wants to go on with after the response.
    pub upgrade: Upgrade<'a>,
}

/// Whether a head may pass; the first reason why not.
pub fn check<'a>(head: &Parsed<'a>, rules: &Rules<'a>) -> Result<Admitted<'a>, Refusal> {
    version(head)?;
    names(head.headers, rules)?;
    if is_h2(head) {
        values_of_h2(head.headers)?;
    }
    framing(head)?;
    connection(head)?;
    expect(head.headers)?;
    let authority = authority(head, rules)?;
    let upgrade = upgrade::asked(head, rules.upgrades)?;
    Ok(Admitted { authority, path: target(head, rules, &upgrade)?, upgrade })
}

fn is_h2(head: &Parsed<'_>) -> bool {
    head.version == Version::HTTP_2
}

fn version(head: &Parsed<'_>) -> Result<(), Refusal> {
    let is_known = matches!(head.version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2);
    is_known.then_some(()).ok_or(Refusal::VersionUnknown)
}

/// Letters, digits and `-`: the rest of RFC 9110's tokens nobody sends who means well, and `_` becomes `-` in CGI and WSGI, so
/// that `x_real_ip` is our `X-Real-IP` there.
fn names(headers: &HeaderMap, rules: &Rules<'_>) -> Result<(), Refusal> {
    for name in headers.keys() {
        for byte in name.as_str().bytes().filter(|byte| !PLAIN[usize::from(*byte)]) {
            match byte {
                b'_' if rules.underscores != Underscores::Refuse => {}
                b'_' => return Err(Refusal::NameUnderscore),
                _ => return Err(Refusal::NameMalformed),
            }
        }
    }
    Ok(())
}

/// Bytes of names that mean well.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        plain[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'-';
        byte += 1;
    }
    plain
};

/// RFC 9113 section 8.2.1: a value has no spaces around it. HTTP/1.1 cuts them off, so passing them on changes the message.
fn values_of_h2(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let has_spaces = |value: &HeaderValue| is_space(value.as_bytes().first()) || is_space(value.as_bytes().last());
    if headers.values().any(has_spaces) { Err(Refusal::ValueSpaces) } else { Ok(()) }
}

/// Where does the body end? One answer, or none is given (RFC 9112 section 6.3).
fn framing(head: &Parsed<'_>) -> Result<(), Refusal> {
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let (length, second) = (lengths.next(), lengths.next());
    if second.is_some() {
        return Err(Refusal::LengthRepeated);
    }
    if !length.is_none_or(is_length) {
        return Err(Refusal::LengthMalformed);
    }
    let mut encodings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(encoding) = encodings.next() else { return Ok(()) };
    if head.version != Version::HTTP_11 {
        return Err(Refusal::EncodingInOld);
    }
    if length.is_some() {
        return Err(Refusal::LengthAndEncoding);
    }
    let is_chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked") && encodings.next().is_none();
    is_chunked.then_some(()).ok_or(Refusal::EncodingUnknown)
}

/// Digits and nothing else: `+5`, `5, 5`, ` 5` and `0x5` are numbers to somebody.
fn is_length(value: &HeaderValue) -> bool {
    (1..=LENGTH_DIGITS_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_digit)
}

/// `Connection` may not name what every hop needs: a backend behind us would lose it (`Connection: X-Forwarded-For` makes a
/// client local). HTTP/2 has no such headers at all (RFC 9113 section 8.2.2).
fn connection(head: &Parsed<'_>) -> Result<(), Refusal> {
    const OF_HTTP_1: [HeaderName; 4] = [
        header::CONNECTION,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    if is_h2(head) {
        let is_one = |name: &HeaderName| matches!(name.as_str().len(), 7 | 10 | 16) && OF_HTTP_1.contains(name);
        let has_one = head.headers.keys().any(is_one);
        return if has_one { Err(Refusal::ConnectionInH2) } else { Ok(()) };
    }
    if connection_tokens(head.headers).any(is_end_to_end) { Err(Refusal::ConnectionNames) } else { Ok(()) }
}

fn is_end_to_end(token: &[u8]) -> bool {
    const NAMES: [&str; 8] =
        ["host", "forwarded", "x-real-ip", "x-request-id", "authorization", "cookie", "transfer-encoding", "trailer"];
    let begins =
        |prefix: &str| token.get(..prefix.len()).is_some_and(|part| part.eq_ignore_ascii_case(prefix.as_bytes()));
    NAMES.iter().any(|name| token.eq_ignore_ascii_case(name.as_bytes())) || begins("x-forwarded-") || begins("content-")
}

fn expect(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(header::EXPECT).iter().all(is_known) { Ok(()) } else { Err(Refusal::ExpectUnknown) }
}

/// Whom the client asks for: the target's authority and `Host` must say one thing (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
fn authority<'a>(head: &Parsed<'a>, rules: &Rules<'_>) -> Result<Authority<'a>, Refusal> {
    if head.uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Err(Refusal::SchemeUnknown);
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refusal::HostRepeated);
    }
    let host = host.map(read_host).transpose()?;
    let target = head
        .uri
        .authority()
        .map(|authority| Authority::parse(authority.as_str()).ok_or(Refusal::HostMalformed))
        .transpose()?;
    match (target, host) {
        (Some(target), Some(host)) if !target.is_same(&host, rules.default_port) => Err(Refusal::HostDiffers),
        (Some(target), host) if is_h2(head) || host.is_some() => Ok(target),
        (None, Some(host)) if !is_h2(head) => Ok(host),
        _ => Err(Refusal::HostMissing),
    }
}

fn read_host(value: &HeaderValue) -> Result<Authority<'_>, Refusal> {
    value.to_str().ok().and_then(Authority::parse).ok_or(Refusal::HostMalformed)
}

/// What the client asks for, in one form.
fn target<'a>(head: &Parsed<'a>, rules: &Rules<'_>, upgrade: &Upgrade<'_>) -> Result<Cow<'a, str>, Refusal> {
    if head.method == Method::CONNECT && *upgrade == Upgrade::None {
        return Err(Refusal::Connect);
    }
    match head.uri.path() {
        "*" if head.method == Method::OPTIONS => Ok(Cow::Borrowed("*")),
        "*" => Err(Refusal::AsteriskMethod),
        path => path::normalised(path, rules.paths).map_err(Refusal::Path),
    }
}

#[cfg(test)]
#[path = "strict_tests.rs"]
mod tests;
