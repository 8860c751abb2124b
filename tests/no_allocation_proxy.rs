//! Deciding on an ordinary request allocates nothing: not to admit it, not to find its route, not to choose an endpoint.
//! Nor does counting it and writing its line of the access log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Uri;
use http::Version;

use rhumb::balance::ask::Ask;
use rhumb::balance::ask::Load;
use rhumb::balance::ask::Member;
use rhumb::balance::ask::Weights;
use rhumb::balance::balancer::Balancer;
use rhumb::balance::balancer::Method as Way;
use rhumb::balance::breaker::Breaker;
use rhumb::balance::breaker::Outcome;
use rhumb::balance::key::identity;
use rhumb::balance::rate::Rates;
use rhumb::balance::retry_budget::RetryBudget;
use rhumb::balance::set::Set;
use rhumb::balance::sticky::Sticky;
use rhumb::balance::tiers::Ranked;
use rhumb::balance::tiers::Tiers;
use rhumb::model::AccessLogFormat;
use rhumb::model::AccessLogSettings;
use rhumb::model::Balance;
use rhumb::model::ClientShown;
use rhumb::model::HostMatch;
use rhumb::model::KeyedOn;
use rhumb::model::Moment;
use rhumb::model::PathMatch;
use rhumb::model::PathRules;
use rhumb::model::RequestMatch;
use rhumb::model::TextMatch;
use rhumb::model::Underscores;
use rhumb::proxy::access_log::AccessLog;
use rhumb::proxy::access_log::Lines;
use rhumb::proxy::counts::ProxyCounts;
use rhumb::proxy::record::Ended;
use rhumb::proxy::record::Phases;
use rhumb::proxy::record::Record;
use rhumb::route::client;
use rhumb::route::head::Head;
use rhumb::route::keyed;
use rhumb::route::strict;
use rhumb::route::table::Table;

struct Busy;

impl Load for Busy {
    fn in_flight(&self, member: usize) -> u32 {
        member as u32 % 7
    }
    fn latency(&self, member: usize, _: Moment) -> f64 {
        1_000.0 + member as f64
    }
}

/// Allocations of the second run: the first may fill what is kept.
fn allocations(mut act: impl FnMut()) -> u64 {
    act();
    measure(act).count_total
}

#[test]
fn choosing_an_endpoint() {
    let weights: Vec<u32> = (1..=100).collect();
    let named = |place: usize| identity(format!("192.0.2.{place}:80").as_bytes());
    let members: Vec<Member> =
        weights.iter().enumerate().map(|(place, weight)| Member { identity: named(place), weight: *weight }).collect();
    let weights = Weights::of(weights);
    let usable = Set::of(100, |member| member % 3 != 0);
    let ways = [
        Balance::Weighted,
        Balance::RoundRobin,
        Balance::LeastConn,
        Balance::P2c,
        Balance::Random,
        Balance::Hash,
        Balance::RingHash,
        Balance::Maglev,
        Balance::Failover,
    ];
    for way in ways {
        let mut choice = Balancer::new(Way::of(way, &members, Some(150)), 1);
        let now = Moment::from_secs(1);
        let count = allocations(|| {
            for key in 0..1_000 {
                let ask =
                    Ask { usable: &usable, tried: &[1, 2], weights: &weights, load: &Busy, key, draw: key << 50, now };
                assert!(choice.pick(&ask).is_some());
            }
        });
        assert_eq!(count, 0, "{way:?}");
    }
}

#[test]
fn all_that_is_kept_beside_it() {
    let ranked: Vec<Ranked> = (0..10).map(|i| Ranked { tier: i % 2, weight: 1, usable: i % 3 > 0 }).collect();
    let tiers = Tiers::of(&ranked);
    let sticky = Sticky::of(b"secret", None, "pool", &["192.0.2.1:80", "192.0.2.2:80"]);
    let value = sticky.value(1).unwrap().to_owned();
    let (mut budget, mut rates, mut breaker) = (RetryBudget::for_one_of(2), Rates::new(10, 10), Breaker::default());
    let count = allocations(|| {
        let now = Moment::from_secs(7);
        assert!(!tiers.choose(1 << 60).is_empty());
        assert_eq!(sticky.endpoint(value.as_bytes()), Some(1));
        budget.request(now);
        _ = (budget.take(now), rates.ask(3, now));
        breaker = breaker.after(Outcome::Failed, now, now, 1, || true).ask(now).0;
    });
    assert_eq!(count, 0);
}

#[test]
fn admitting_a_request_and_finding_its_route() {
    let route = |host: HostMatch, path: PathMatch| RequestMatch { host, path, ..RequestMatch::default() };
    let mut canary = route(HostMatch::Exact("api.example".into()), PathMatch::Prefix("/v2/".into()));
    canary.headers = vec![("x-canary".parse().unwrap(), TextMatch::Is("true".into()))];
    canary.cookies = vec![("beta".into(), TextMatch::Regex("[01]".into()))];
    let routes = [
        canary,
        route(HostMatch::Under("example".into()), PathMatch::Regex("/v[0-9]+/.*".into())),
        route(HostMatch::Any, PathMatch::Prefix("/static/".into())),
        route(HostMatch::Any, PathMatch::Any),
    ];
    let table = Table::of(&routes).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "api.example"),
        ("accept", "*/*"),
        ("cookie", "a=1; beta=1"),
        ("x-canary", "true"),
        ("connection", "keep-alive"),
        ("x-forwarded-for", "203.0.113.9, 10.0.0.1"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let uri: Uri = "/v2/users/7?q=1&v=2".parse().unwrap();
    let upgrades = ["websocket".to_owned()];
    let rules = strict::Rules {
        paths: PathRules::default(),
        underscores: Underscores::Refuse,
        upgrades: &upgrades,
        default_port: 443,
    };
    let peer: IpAddr = "10.0.0.2".parse().unwrap();
    let trusted = [("10.0.0.0".parse().unwrap(), 8)];
    let count = allocations(|| {
        let parsed = strict::Parsed {
            method: &Method::GET,
            uri: &uri,
            version: Version::HTTP_11,
            headers: &headers,
            protocol: None,
        };
        let admitted = strict::check(&parsed, &rules).unwrap();
        let head = Head {
            host: &admitted.authority.host,
            path: &admitted.path,
            query: uri.query(),
            method: &Method::GET,
            headers: &headers,
        };
        assert_eq!(table.find(&head), Some(0));
        assert_eq!(table.find(&Head { path: "/v3/a", ..head }), Some(1));
        assert_eq!(table.find(&Head { host: "other.test", ..head }), Some(3));
        let client = client::address(peer, &headers, &trusted);
        _ = keyed::key(&KeyedOn::Cookie("beta".into()), &head, client, 1);
    });
    // The one is the name in `KeyedOn`, made for the test.
    assert_eq!(count, 1);
}

#[test]
fn counting_a_request_and_writing_its_line() {
    let (counts, log) = (ProxyCounts::default(), Arc::<AccessLog>::default());
    let (listener, route) = (counts.listener(0, "edge"), counts.route(0, "edge", Some("app"), Some("eu")));
    let (pool, endpoint) = (counts.pool(0, "eu"), counts.endpoint(0, "eu", "192.0.2.10"));
    let record = Record {
        at: Moment(1_795_380_538_000_042),
        listener: "edge",
        region: "eu-west",
        route: Some("app"),
        pool: Some("eu"),
        sent_on_to: None,
        endpoint: Some("192.0.2.10:8080".parse().unwrap()),
        client: "2001:db8::7".parse().unwrap(),
        peer: "10.0.0.2:40312".parse().unwrap(),
        flow: None,
        method: "GET",
        host: "www.example.com",
        path: "/a/b",
        query: Some("q=\"1\""),
        version: Version::HTTP_11,
        status: 200,
        request_id: "5f2b7c1e9d3a4f60",
        bytes_in: 412,
        bytes_out: 5120,
        phases: Phases { connect: Some(Duration::ZERO), all: Duration::from_millis(3), ..Phases::default() },
        ended: Ended::WELL,
        attempts: 1,
        refusal: None,
        user_agent: Some("Mozilla/5.0 (é)".as_bytes()),
        referer: None,
        tls: Some("TLSv1.3"),
    };
    for (format, client) in [(AccessLogFormat::Text, ClientShown::Full), (AccessLogFormat::Json, ClientShown::Prefix)] {
        let file = Some("/dev/null".into());
        let settings = AccessLogSettings { file, format, client, ..AccessLogSettings::default() };
        log.begin(log.prepare(Some(&settings)).unwrap());
        let mut lines = Lines::of(log.clone());
        let now = Moment(1_795_380_538_003_042);
        let mut turn = 0;
        let count = allocations(|| {
            // Two turns of these fit into one buffer.
            for _ in 0..15 {
                turn += 1;
                let at = Moment(record.at.0 + turn * 100_000);
                listener.request_begun();
                endpoint.request_begun();
                pool.stuck(true);
                endpoint.request_ended();
                listener.bytes(record.bytes_in, record.bytes_out);
                listener.request_ended(record.phases.all);
                route.add([200, 304, 404][turn as usize % 3]);
                lines.log(&Record { at, ..record }, turn, now);
                lines.flush_if_due(now);
            }
        });
        assert_eq!(count, 0, "{format:?}");
        let count = allocations(|| (0..1_000).for_each(|_| lines.log(&record, 0, now)));
        assert!(count <= 1_000 * 512 / (16 * 1024) + 1, "{count}: one for each buffer that is handed over");
    }
}
