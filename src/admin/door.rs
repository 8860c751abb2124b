//! Who may come in? Checked before anything else is looked at.
//!
//! ```text
//! Unix socket        file permissions were the guard; whoever is in may order
//! HTTP on loopback   anyone on this machine may look; orders need a token
//! HTTP elsewhere     a token for everything (and TLS, without which the configuration is refused)
//! ```
//!
//! A browser on this machine is inside the second circle and runs anybody's code. So `Host` must be a name of ours (else
//! a name of the attacker's that resolves to 127.0.0.1 would make us the same origin: DNS rebinding), and `Origin`,
//! which browsers send along when a page of another site asks, must agree with it.

use std::net::IpAddr;
use std::net::SocketAddr;

use aws_lc_rs::constant_time;
use aws_lc_rs::digest;
use axum::http::HeaderMap;
use axum::http::header;

use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::model::Role;
use crate::model::Token;

/// More of an Authorization header than any token is long; hashing more would only serve to keep us busy.
const SECRET_BYTES_MAX: usize = 1024;

/// Which way a connection came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// The Unix socket, and the user at its other end.
    Socket(String),
    /// The HTTP listener at this address, as it is bound.
    Http(SocketAddr),
}

/// What the HTTP listener asks of those who come; replaced as a whole by a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Door {
    /// Who may do what.
    pub tokens: Vec<Token>,
    /// Names of ours, lower case.
    pub hosts: Vec<String>,
}

/// Who has come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Their name, for what they order: a user's, a token's.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

impl Door {
    /// Lets a request in, or says why not.
    ///
    /// # Errors
    /// The failure to answer.
    pub fn admit(&self, way: &Way, headers: &HeaderMap) -> Result<Caller, Failure> {
        same_origin(headers)?;
        match way {
            Way::Socket(user) => Ok(Caller { name: user.clone(), role: Role::Operate }),
            Way::Http(bound) => {
                self.host_is_ours(*bound, headers)?;
                self.caller(*bound, headers)
            }
        }
    }

    fn host_is_ours(&self, bound: SocketAddr, headers: &HeaderMap) -> Result<(), Failure> {
        let host = text(headers, header::HOST)?.unwrap_or_default();
        let name = name_of(host).to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        // An address in `Host` is one that the client has typed; no name of an attacker's stands behind it.
        let ours = match address {
            Some(ip) => ip == bound.ip() || bound.ip().is_unspecified() || ip.is_loopback() && bound.ip().is_loopback(),
            None => name == "localhost" && bound.ip().is_loopback() || self.hosts.contains(&name),
        };
        if ours {
            return Ok(());
        }
        let detail = match name.is_empty() {
            true => "the request has no `Host`".to_owned(),
            false => format!("`{name}` is no name of this listener; add it to `hosts` in [admin], or ask for {bound}"),
        };
        Err(Failure::new(Kind::Host, detail))
    }

    fn caller(&self, bound: SocketAddr, headers: &HeaderMap) -> Result<Caller, Failure> {
        let refused = |detail: &str| {
            Failure::new(Kind::Token, detail).with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"rhumb\"")
        };
        match text(headers, header::AUTHORIZATION)? {
            None if bound.ip().is_loopback() => {
                Ok(Caller { name: "anyone on this machine".to_owned(), role: Role::Read })
            }
            None => Err(refused("send `Authorization: Bearer TOKEN`; tokens are in [admin] tokens_file")),
            Some(authorization) => {
                let (scheme, secret) = authorization.split_once(' ').unwrap_or((authorization, ""));
                if !scheme.eq_ignore_ascii_case("bearer") {
                    return Err(refused("`Authorization` is not of the form `Bearer TOKEN`"));
                }
                self.holder(secret.trim())
                    .ok_or_else(|| refused("the token is not one of those in [admin] tokens_file"))
            }
        }
    }

    /// Compares with every token, however soon one fits: how long it takes says nothing of which.
    fn holder(&self, secret: &str) -> Option<Caller> {
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return None;
        }
        let hash = digest::digest(&digest::SHA256, secret.as_bytes());
        let fits = |token: &&Token| constant_time::verify_slices_are_equal(&token.sha256, hash.as_ref()).is_ok();
        let found = self.tokens.iter().filter(fits).fold(None, |first, token| first.or(Some(token)));
        found.map(|token| Caller { name: token.name.clone(), role: token.role })
    }
}

impl Caller {
    /// Lets through those who may order.
    ///
    /// # Errors
    /// The failure to answer the others.
    pub fn may_order(&self, way: &Way, headers: &HeaderMap) -> Result<(), Failure> {
        match (self.role, way) {
            (Role::Operate, _) => Ok(()),
            (Role::Read, Way::Http(_)) if !headers.contains_key(header::AUTHORIZATION) => {
                let detail =
                    "changes need `Authorization: Bearer TOKEN`, or the Unix socket; tokens are in [admin] tokens_file";
                Err(Failure::new(Kind::Token, detail).with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"rhumb\""))
            }
            (Role::Read, _) => {
                let detail =
                    format!("the token `{}` may only look; give it `role = \"operate\"` in tokens_file", self.name);
                Err(Failure::new(Kind::Role, detail))
            }
        }
    }
}

/// What a browser says of the page that asks must be us.
fn same_origin(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(origin) = text(headers, header::ORIGIN)? else { return Ok(()) };
    let host = text(headers, header::HOST)?.unwrap_or_default();
    let same = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
    if same && !host.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Kind::Origin, format!("a page of `{}` may not ask here", origin.escape_debug())))
}

/// The host of `host:port`.
fn name_of(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

/// The one value of a header; several, or one that is no text, are somebody's trick.
fn text(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<&str>, Failure> {
    let mut values = headers.get_all(&name).iter();
    let first = values.next();
    match (first.map(|value| value.to_str()), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(text)), None) => Ok(Some(text)),
        _ => Err(Failure::new(Kind::Question, format!("the header `{name}` must be there once, in ASCII"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (header::HeaderName::try_from(*name).unwrap(), header::HeaderValue::try_from(*value).unwrap())
        };
        list.iter().map(pair).collect()
    }

    fn door() -> Door {
        let hash = |secret: &str| digest::digest(&digest::SHA256, secret.as_bytes()).as_ref().try_into().unwrap();
        let token = |name: &str, role| Token { name: name.into(), sha256: hash(name), role };
        Door {
            tokens: vec![token("ada", Role::Operate), token("grafana", Role::Read)],
            hosts: vec!["ops.example.com".into()],
        }
    }

    fn status(bound: &str, list: &[(&str, &str)]) -> u16 {
        let way = Way::Http(bound.parse().unwrap());
        door().admit(&way, &headers(list)).map_or_else(|failure| failure.said().status, |_| 200)
    }

    #[test]
    fn only_names_of_ours_are_answered_to() {
        let loopback = "127.0.0.1:8853";
        for (host, expected) in [
            ("127.0.0.1:8853", 200),
            ("localhost", 200),
            ("LOCALHOST:9", 200),
            ("ops.example.com:443", 200),
            ("[::1]:8853", 200),
            ("evil.example", 421),
            ("", 421),
            ("127.0.0.1.nip.io", 421),
            ("192.0.2.1", 421),
            ("localhost.evil.example", 421),
        ] {
            assert_eq!(status(loopback, &[("host", host)]), expected, "{host}");
        }
        assert_eq!(status(loopback, &[]), 421);
        let ada = ("authorization", "Bearer ada");
        assert_eq!(status("192.0.2.1:8853", &[("host", "192.0.2.1:8853"), ada]), 200);
        assert_eq!(status("192.0.2.1:8853", &[("host", "localhost"), ada]), 421);
        assert_eq!(status("0.0.0.0:8853", &[("host", "192.0.2.7"), ada]), 200);
    }

    #[test]
    fn pages_of_other_sites_are_kept_out_of_the_socket_too() {
        for (origin, expected) in [
            ("http://localhost:8853", 200),
            ("http://localhost", 403),
            ("https://evil.example", 403),
            ("null", 403),
            ("", 403),
        ] {
            assert_eq!(
                status("127.0.0.1:8853", &[("host", "localhost:8853"), ("origin", origin)]),
                expected,
                "{origin}"
            );
        }
        let socket = Way::Socket("root".into());
        assert!(door().admit(&socket, &headers(&[("host", "rhumb"), ("origin", "http://evil.example")])).is_err());
        assert!(door().admit(&socket, &headers(&[("host", "anything")])).is_ok());
    }

    #[test]
    fn tokens_say_who_and_what_for() {
        let way = Way::Http("127.0.0.1:8853".parse().unwrap());
        let come = |authorization: &str| {
            let mut list = vec![("host", "localhost")];
            list.extend((!authorization.is_empty()).then_some(("authorization", authorization)));
            let headers = headers(&list);
            let caller = door().admit(&way, &headers).map_err(|f| f.said().status)?;
            caller.may_order(&way, &headers).map_err(|f| f.said().status).map(|()| caller.name)
        };
        assert_eq!(come("Bearer ada"), Ok("ada".to_owned()));
        assert_eq!(come("bearer  ada "), Ok("ada".to_owned()));
        assert_eq!(come("Bearer grafana"), Err(403));
        for wrong in ["", "Bearer", "Bearer ", "Bearer bob", "Basic YWRh", "ada"] {
            assert_eq!(come(wrong), Err(401), "{wrong}");
        }
        assert_eq!(come(&format!("Bearer {}", "a".repeat(2000))), Err(401));
        assert_eq!(status("192.0.2.1:8853", &[("host", "192.0.2.1")]), 401, "off loopback even to look");
    }

    #[test]
    fn a_header_sent_twice_is_not_chosen_from() {
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(status("127.0.0.1:8853", &twice), 400);
    }

    proptest! {
        #[test]
        fn no_header_panics(host in "[ -~]{0,40}", origin in "[ -~]{0,40}", authorization in "[ -~]{0,40}") {
            status("[::1]:8853", &[("host", &host), ("origin", &origin), ("authorization", &authorization)]);
        }
    }
}
