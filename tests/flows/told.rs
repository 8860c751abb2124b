//! What an operator sees of flows: lines, metrics, lists.

use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use crate::kit::backend::Backend;
use crate::kit::client::connect_from;
use crate::kit::client::rest;
use crate::kit::here;
use crate::kit::site::Site;
use crate::kit::site::field;
use crate::kit::site::passthrough;
use crate::kit::site::pool;
use crate::kit::site::tcp;

#[test]
fn a_line_and_counts_of_a_flow() {
    let backend = Backend::start(|mut stream| {
        let mut asked = Vec::new();
        stream.read_to_end(&mut asked)?;
        std::thread::sleep(Duration::from_millis(200));
        stream.write_all(b"answer")
    });
    let address = here();
    let site = Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", address, "app", "")));
    // They are there before anything has happened.
    for end in ["closed", "connect_failed", "endpoint_reset", "no_endpoint"] {
        let series = format!("rhumb_proxy_flows_total{{listener=\"edge\",pool=\"app\",end=\"{end}\"}} 0");
        assert!(site.admin("/metrics").contains(&series), "{series}");
    }
    let mut client = connect_from([127, 0, 0, 9], address);
    let own = client.local_addr().unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client).0, b"answer");
    let line = site.lines(1).remove(0);
    let told = |name: &str| field(&line, name).unwrap_or("-").to_owned();
    assert_eq!(told("protocol"), "tcp", "{line}");
    assert_eq!(told("listener"), "edge", "{line}");
    assert_eq!(told("region"), "here", "{line}");
    assert_eq!(told("client"), "127.0.0.9", "{line}");
    assert_eq!(told("peer"), own.to_string(), "{line}");
    assert_eq!(told("pool"), "app", "{line}");
    assert_eq!(told("endpoint"), backend.address.to_string(), "{line}");
    assert_eq!((told("bytes_in"), told("bytes_out")), ("8".to_owned(), "6".to_owned()), "{line}");
    assert_eq!((told("attempts"), told("ended")), ("1".to_owned(), "--".to_owned()), "{line}");
    assert!(told("total_ms").parse::<f64>().unwrap() >= 200.0, "{line}");
    assert!(told("connect_ms").parse::<f64>().unwrap() < 200.0, "{line}");
    for absent in ["method", "path", "status", "version"] {
        assert_eq!(field(&line, absent), None, "{line}");
    }
    site.has_flows("edge", "app", "closed", 1);
    assert_eq!(site.metric("rhumb_proxy_bytes_total{listener=\"edge\",direction=\"in\"}"), 8.0);
    assert_eq!(site.metric("rhumb_proxy_bytes_total{listener=\"edge\",direction=\"out\"}"), 6.0);
    assert_eq!(site.metric("rhumb_proxy_connections_accepted_total{listener=\"edge\"}"), 1.0);
    assert_eq!(site.metric("rhumb_proxy_connections{listener=\"edge\"}"), 0.0);
}

#[test]
fn listeners_at_l4_are_listed() {
    let backend = Backend::echo();
    let (plain, named) = (here(), here());
    let app = pool("app", &[backend.address], "");
    let listeners = tcp("plain", plain, "app", "") + &passthrough("named", named, &[("*", "app")], "");
    let site = Site::start(&(app + &listeners));
    let list = site.order(&["get", "listeners"]);
    for (address, protocol) in [(plain, "TCP"), (named, "TLS_PASSTHROUGH")] {
        let line = list.lines().find(|line| line.contains(&address.to_string()));
        assert!(line.is_some_and(|line| line.contains(protocol)), "{protocol} in\n{list}");
    }
}
