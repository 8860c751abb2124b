//! The key of a request, for pools that hash and for canaries.
//!
//! One client, one key: by its network, or by what the application calls it by. Where the header, cookie or parameter is
//! missing the client's network serves, so that newcomers are spread instead of heaped on one endpoint.

use std::net::IpAddr;

use crate::balance::key::ClientKey;
use crate::balance::key::of_bytes;
use crate::model::KeyedOn;
use crate::route::cookies;
use crate::route::head::Head;
use crate::route::query;

/// The bits of an address that tell clients apart where nothing else is said.
const CLIENT: (u8, u8) = (32, 64);

/// The key of a request of that client. `service` keeps choices of two routes or pools independent.
pub fn key(keyed_on: &KeyedOn, head: &Head<'_>, client: IpAddr, service: u64) -> u64 {
    let network =
        |(v4, v6): (u8, u8)| ClientKey::new(service, client, if client.is_ipv4() { v4 } else { v6 }).constant();
    let named = |bytes: Option<&[u8]>| bytes.map_or_else(|| network(CLIENT), |bytes| of_bytes(service, bytes));
    match keyed_on {
        KeyedOn::Client { v4, v6 } => network((*v4, *v6)),
        KeyedOn::Header(name) => named(head.headers.get(name).map(|value| value.as_bytes())),
        KeyedOn::Cookie(name) => named(cookies::value(head.headers, name)),
        KeyedOn::Path => of_bytes(service, head.path.as_bytes()),
        KeyedOn::Query(name) => named(head.query.and_then(|query| query::value(query, name)).as_deref()),
    }
}

/// The key of a flow: all that is seen of it is its client.
pub fn of_flow(keyed_on: &KeyedOn, client: IpAddr, service: u64) -> u64 {
    let (v4, v6) = match keyed_on {
        KeyedOn::Client { v4, v6 } => (*v4, *v6),
        _ => CLIENT,
    };
    ClientKey::new(service, client, if client.is_ipv4() { v4 } else { v6 }).constant()
}

/// What that key is made of, in words: `client 192.0.2.0/24`, `cookie user`.
pub fn words(keyed_on: &KeyedOn, head: &Head<'_>, client: IpAddr) -> String {
    let bits = |(v4, v6): (u8, u8)| if client.is_ipv4() { v4 } else { v6 };
    let named = |what: &str, name: &str, is_there: bool| match is_there {
        true => format!("{what} {name}"),
        false => format!("client {client}/{}, for want of {what} {name}", bits(CLIENT)),
    };
    match keyed_on {
        KeyedOn::Client { v4, v6 } => format!("client {client}/{}", bits((*v4, *v6))),
        KeyedOn::Header(name) => named("header", name.as_str(), head.headers.contains_key(name)),
        KeyedOn::Cookie(name) => named("cookie", name, cookies::value(head.headers, name).is_some()),
        KeyedOn::Path => format!("path {}", head.path),
        KeyedOn::Query(name) => {
            named("parameter", name, head.query.is_some_and(|query| query::value(query, name).is_some()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::head::testing::Request;

    fn of(keyed_on: &KeyedOn, target: &str, cookie: &str, client: &str) -> u64 {
        let request = Request::get(target, &[("cookie", cookie)]);
        key(keyed_on, &request.head(), client.parse().unwrap(), 1)
    }

    #[test]
    fn one_client_has_one_key() {
        let client = KeyedOn::default();
        assert_eq!(of(&client, "a.example/", "", "2001:db8::1"), of(&client, "b.example/x", "", "2001:db8::2"));
        assert_ne!(of(&client, "a.example/", "", "192.0.2.1"), of(&client, "a.example/", "", "192.0.2.2"));
    }

    #[test]
    fn by_what_the_application_calls_it() {
        let user = KeyedOn::Cookie("user".to_owned());
        assert_eq!(of(&user, "a.example/", "x=1; user=7", "192.0.2.1"), of(&user, "a.example/", "user=7", "192.0.2.9"));
        assert_ne!(of(&user, "a.example/", "user=7", "192.0.2.1"), of(&user, "a.example/", "user=8", "192.0.2.1"));
        assert_ne!(
            of(&user, "a.example/", "", "192.0.2.1"),
            of(&user, "a.example/", "", "192.0.2.2"),
            "newcomers spread"
        );
        let query = KeyedOn::Query("id".to_owned());
        assert_eq!(of(&query, "a.example/?id=%41", "", "192.0.2.1"), of(&query, "a.example/?id=A", "", "192.0.2.2"));
        assert_eq!(
            of(&KeyedOn::Path, "a.example/p?q", "", "192.0.2.1"),
            of(&KeyedOn::Path, "b.example/p", "", "192.0.2.2")
        );
    }
}
