//! After a drain: who still comes with an old answer, and when nobody does any more.

use rhumb::admin::dto::EventSaid;
use rhumb::admin::dto::Status;
use rhumb::admin::dto::Tail;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::client::ask;
use crate::kit::site::Site;
use crate::misdirected::Regions;
use crate::misdirected::rhumb;

fn tail(site: &Site, of: &str) -> Option<Tail> {
    let status: Status = serde_json::from_str(&rhumb(site, &["status", "--json"])).unwrap();
    status.tails.into_iter().find(|tail| tail.of == of)
}

/// What was told of tails that are gone.
fn told(site: &Site) -> Vec<String> {
    let events = rhumb(site, &["events", "--json"]);
    let events = events.lines().filter_map(|line| serde_json::from_str::<EventSaid>(line).ok());
    events
        .filter(|event| event.to == "drained")
        .map(|event| format!("{}/{}: {}", event.kind, event.name, event.reason))
        .collect()
}

#[test]
fn a_drain_tells_who_still_comes_and_once_when_nobody_does() {
    for of in ["region/here", "pool/lb-here"] {
        let regions = Regions::new();
        let site = regions.together();
        let get = |agent: &str| {
            let head =
                format!("GET / HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n");
            assert_eq!(ask(regions.listeners[0], head).unwrap().status, 200);
        };
        get("curl");
        assert_eq!(tail(&site, of), None, "nothing is drained");
        site.order(&["drain", of]);
        assert!(poll(PATIENCE, || tail(&site, of).is_some()));
        // Its TTL is 2 s: those who come within 4 s of each other are one tail.
        (0..3).for_each(|_| get("curl"));
        get("rhumb/0.1.0 (health probe)");
        let mut said = None;
        assert!(poll(PATIENCE, || {
            said = tail(&site, of);
            said.as_ref().unwrap().requests == 3
        }));
        let said = said.unwrap();
        assert_eq!((said.last_minute, said.quiet_seconds), (3, 4), "{said:?}");
        assert!(said.last.is_some() && said.gone.is_none(), "{said:?}");
        let screen = rhumb(&site, &["status"]).replace('\n', " ");
        assert!(
            screen.contains(&format!("{of}: drained ")) && screen.contains("3 requests in the last minute, the last "),
            "{screen}"
        );

        assert!(poll(PATIENCE, || tail(&site, of).unwrap().gone.is_some()), "{:?}", tail(&site, of));
        let gone =
            "its tail of stale clients is gone: none for 4 s, twice the largest TTL; 3 requests came since the drain";
        assert_eq!(told(&site), [format!("{of}: {gone}")]);
        // A straggler is seen.
        get("curl");
        assert!(poll(PATIENCE, || tail(&site, of).unwrap().requests == 4));
        assert_eq!(told(&site).len(), 1);
        site.order(&["undrain", of]);
        assert!(poll(PATIENCE, || tail(&site, of).is_none()));
        get("curl");
    }
}
