//! Which fields may come after a body?
//!
//! Trailers arrive when a request was routed and admitted, so a field that decides anything must not be one: servers that merge
//! trailers into headers would take a late `Host` or `Authorization` for an early one (RFC 9110 section 6.5.1, and the reason why
//! most proxies drop them all). gRPC lives on its own; anything else passes only if the client declared it and the operator
//! allows it.

use http::HeaderMap;
use http::HeaderName;
use http::header;

use crate::route::hop_by_hop::tokens;
use crate::route::refusal::Refusal;

/// Whether a request's trailers may pass, after that head, where `allowed` is what the operator lets through.
pub fn check(head: &HeaderMap, trailers: &HeaderMap, allowed: &[HeaderName]) -> Result<(), Refusal> {
    trailers.keys().try_for_each(|name| check_one(head, name, allowed))
}

fn check_one(head: &HeaderMap, name: &HeaderName, allowed: &[HeaderName]) -> Result<(), Refusal> {
    if name.as_str().starts_with("grpc-") {
        Ok(())
    } else if !allowed.contains(name) {
        Err(Refusal::TrailerForbidden)
    } else if !is_declared(head, name) {
        Err(Refusal::TrailerUndeclared)
    } else {
        Ok(())
    }
}

fn is_declared(head: &HeaderMap, name: &HeaderName) -> bool {
    tokens(head, &header::TRAILER).any(|token| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(declared: &str, trailer: &str) -> Result<(), Refusal> {
        let (mut head, mut trailers) = (HeaderMap::new(), HeaderMap::new());
        head.insert(header::TRAILER, declared.parse().unwrap());
        trailers.insert(HeaderName::from_bytes(trailer.as_bytes()).unwrap(), "1".parse().unwrap());
        check(&head, &trailers, &[HeaderName::from_static("x-checksum")])
    }

    #[test]
    fn grpc_s_own_pass_undeclared() {
        assert_eq!(checked("", "grpc-status"), Ok(()));
    }

    #[test]
    fn others_must_be_declared_and_allowed() {
        assert_eq!(checked("x-other, X-Checksum", "x-checksum"), Ok(()));
        assert_eq!(checked("x-other", "x-checksum"), Err(Refusal::TrailerUndeclared));
        for name in ["host", "content-length", "authorization", "x-forwarded-for", "x-other", "transfer-encoding"] {
            assert_eq!(checked(name, name), Err(Refusal::TrailerForbidden), "{name}");
        }
    }

    #[test]
    fn none_are_none() {
        assert_eq!(check(&HeaderMap::new(), &HeaderMap::new(), &[]), Ok(()));
    }
}
