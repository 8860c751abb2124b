//! Does a request ask how this region is, rather than for something that any region could give?

use std::net::Ipv4Addr;

use http::HeaderMap;
use http::header;

use crate::route::head::Head;

/// Whether it is a health probe, as far as that can be told: one of ours, or one that asks by an address. Clients come by the names
/// that DNS answers; what is set up to watch one machine (load balancers, monitoring) usually asks it by its address.
pub fn is_probe(head: &Head<'_>) -> bool {
    is_ours(head.headers) || head.host.starts_with('[') || head.host.parse::<Ipv4Addr>().is_ok()
}

/// Whether it is one of ours.
pub fn is_ours(headers: &HeaderMap) -> bool {
    headers.get(header::USER_AGENT).is_some_and(|agent| {
        let agent = agent.as_bytes();
        agent.starts_with(b"rhumb/") && agent.ends_with(b" (health probe)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::head::testing::Request;

    #[test]
    fn ours_and_those_that_ask_by_address() {
        let asks = |host: &str, agent: &str| {
            let request = Request::get("/healthz", &[("user-agent", agent)]);
            is_probe(&Head { host, ..request.head() })
        };
        assert!(asks("www.example.com", "rhumb/0.1.0 (health probe)"));
        assert!(asks("192.0.2.1", "curl/8.5.0") && asks("[2001:db8::1]", "curl/8.5.0"));
        assert!(!asks("www.example.com", "curl/8.5.0") && !asks("1.example.com", "rhumb"));
    }
}
