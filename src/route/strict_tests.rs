use proptest::prelude::*;

use super::*;
use crate::route::path::PathFault;

/// A request as tests write it: the request line, then `name: value`.
fn request(text: &str) -> http::Request<()> {
    let mut lines = text.lines();
    let mut words = lines.next().unwrap().split(' ');
    let (method, target, version) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let version = match version {
        "1.0" => Version::HTTP_10,
        "1.1" => Version::HTTP_11,
        "2" => Version::HTTP_2,
        "3" => Version::HTTP_3,
        _ => Version::HTTP_09,
    };
    let mut request = http::Request::builder().method(method).uri(target).version(version);
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.body(()).unwrap()
}

fn checked(text: &str, protocol: Option<&str>) -> Result<String, Refusal> {
    let request = request(text);
    let head = Parsed {
        method: request.method(),
        uri: request.uri(),
        version: request.version(),
        headers: request.headers(),
        protocol,
    };
    let upgrades = ["websocket".to_owned()];
    let rules =
        Rules { paths: PathRules::default(), underscores: Underscores::Refuse, upgrades: &upgrades, default_port: 80 };
    check(&head, &rules).map(|admitted| format!("{}{} {:?}", admitted.authority.host, admitted.path, admitted.upgrade))
}

fn is(text: &str) -> Result<String, Refusal> {
    checked(text, None)
}

/// After `GET / HTTP/1.1` and a good Host.
fn with(lines: &str) -> Result<String, Refusal> {
    is(&format!("GET / 1.1\nhost: a.example\n{lines}"))
}

#[test]
fn ordinary_requests_pass() {
    assert_eq!(is("GET /x/../y 1.1\nhost: A.Example:80").unwrap(), "a.example/y None");
    assert_eq!(is("GET / 1.0\nhost: a.example").unwrap(), "a.example/ None");
    assert_eq!(is("POST / 1.1\nhost: a.example\ncontent-length: 5").unwrap(), "a.example/ None");
    assert_eq!(
        is("POST / 1.1\nhost: a.example\ntransfer-encoding: Chunked\nexpect: 100-continue").unwrap(),
        "a.example/ None"
    );
    assert_eq!(is("GET http://a.example/x 1.1\nhost: a.example:80").unwrap(), "a.example/x None");
    assert_eq!(is("GET https://a.example/x 2\ncookie: a=1\ncookie: b=2").unwrap(), "a.example/x None");
    assert_eq!(is("OPTIONS * 1.1\nhost: a.example").unwrap(), "a.example* None");
    assert!(with("connection: keep-alive, TE\nte: trailers").is_ok());
}

#[test]
fn one_host_that_is_one() {
    assert_eq!(is("GET / 1.1"), Err(Refusal::HostMissing));
    assert_eq!(is("GET / 1.0"), Err(Refusal::HostMissing));
    assert_eq!(is("GET / 1.1\nhost: a.example\nhost: a.example"), Err(Refusal::HostRepeated));
    for host in ["", "a b", "a,b", "user@a.example", "a.example:x", "a..b", "[::1"] {
        assert_eq!(is(&format!("GET / 1.1\nhost: {host}")), Err(Refusal::HostMalformed), "{host:?}");
    }
    assert_eq!(is("GET http://a.example/ 1.1\nhost: b.example"), Err(Refusal::HostDiffers));
    assert_eq!(is("GET http://a.example/ 1.1\nhost: a.example:81"), Err(Refusal::HostDiffers));
    assert_eq!(is("GET http://a.example/ 1.1"), Err(Refusal::HostMissing));
    assert_eq!(is("GET http://u@a.example/ 1.1\nhost: a.example"), Err(Refusal::HostMalformed));
    assert_eq!(is("GET ftp://a.example/ 1.1\nhost: a.example"), Err(Refusal::SchemeUnknown));
}

#[test]
fn one_end_of_the_body() {
    assert_eq!(with("content-length: 5\ncontent-length: 5"), Err(Refusal::LengthRepeated));
    for length in ["+5", "-5", "5, 5", "0x5", "", "5 5", "1234567890123456789", "5;"] {
        assert_eq!(with(&format!("content-length: {length}")), Err(Refusal::LengthMalformed), "{length:?}");
    }
    assert_eq!(with("content-length: 5\ntransfer-encoding: chunked"), Err(Refusal::LengthAndEncoding));
    for encoding in
        ["gzip", "gzip, chunked", "chunked, chunked", "xchunked", "identity", "", "\"chunked\"", "chunked;q=1"]
    {
        assert_eq!(with(&format!("transfer-encoding: {encoding}")), Err(Refusal::EncodingUnknown), "{encoding:?}");
    }
    assert_eq!(with("transfer-encoding: chunked\ntransfer-encoding: chunked"), Err(Refusal::EncodingUnknown));
    assert_eq!(is("GET / 1.0\nhost: a.example\ntransfer-encoding: chunked"), Err(Refusal::EncodingInOld));
    assert_eq!(is("GET https://a.example/ 2\ntransfer-encoding: chunked"), Err(Refusal::EncodingInOld));
}

#[test]
fn names_that_are_one_name_to_all() {
    assert_eq!(with("x_real_ip: 127.0.0.1"), Err(Refusal::NameUnderscore));
    for name in ["x!y", "x|y", "x'y", "x.y", "x~y"] {
        assert_eq!(with(&format!("{name}: 1")), Err(Refusal::NameMalformed), "{name}");
    }
}

#[test]
fn connection_names_nothing_that_everyone_needs() {
    for named in
        ["Host", "x-forwarded-for", "X-Forwarded-Anything", "content-length", "Content-Type", "cookie", "close, host"]
    {
        assert_eq!(with(&format!("connection: {named}")), Err(Refusal::ConnectionNames), "{named}");
    }
    assert!(with("connection: close, x-mine").is_ok());
}

#[test]
fn an_upgrade_is_one_of_those_allowed_and_whole() {
    let upgrade = "host: a.example\nupgrade: WebSocket\nconnection: keep-alive, Upgrade";
    assert_eq!(is(&format!("GET /chat 1.1\n{upgrade}")).unwrap(), "a.example/chat To(\"WebSocket\")");
    assert_eq!(is(&format!("POST / 1.1\n{upgrade}")), Err(Refusal::UpgradeMethod));
    assert_eq!(is(&format!("GET / 1.0\n{upgrade}")), Err(Refusal::UpgradeVersion));
    assert_eq!(with("upgrade: websocket"), Err(Refusal::UpgradeConnection));
    assert_eq!(with("upgrade: websocket\nconnection: close"), Err(Refusal::UpgradeConnection));
    assert_eq!(with("upgrade: foo\nconnection: upgrade"), Err(Refusal::UpgradeProtocol));
    assert_eq!(with("upgrade: websocket, h2c\nconnection: upgrade"), Err(Refusal::UpgradeProtocol));
    assert_eq!(with("upgrade: websocket\nupgrade: websocket\nconnection: upgrade"), Err(Refusal::UpgradeProtocol));
    assert_eq!(is(&format!("GET / 1.1\n{upgrade}\ncontent-length: 1")), Err(Refusal::UpgradeBody));
    assert_eq!(is(&format!("GET / 1.1\n{upgrade}\ntransfer-encoding: chunked")), Err(Refusal::UpgradeBody));
    assert!(is(&format!("GET / 1.1\n{upgrade}\ncontent-length: 0")).is_ok());
}

#[test]
fn an_offer_of_h2c_is_left_unheard() {
    assert_eq!(
        with("upgrade: h2c\nconnection: Upgrade, HTTP2-Settings\nhttp2-settings: AAA").unwrap(),
        "a.example/ None"
    );
    assert!(is("POST / 1.1\nhost: a.example\nupgrade: h2c\nconnection: upgrade\ncontent-length: 3").is_ok());
}

#[test]
fn targets_have_a_meaning() {
    assert_eq!(is("GET * 1.1\nhost: a.example"), Err(Refusal::AsteriskMethod));
    assert_eq!(is("GET /../x 1.1\nhost: a.example"), Err(Refusal::Path(PathFault::AboveRoot)));
    assert_eq!(is("GET /%00 1.1\nhost: a.example").unwrap_err().code(), "path_nul");
    assert_eq!(is("CONNECT a.example:443 1.1\nhost: a.example:443"), Err(Refusal::Connect));
    assert_eq!(is("CONNECT a.example:443 2"), Err(Refusal::Connect));
}

#[test]
fn h2_says_what_h1_will_say() {
    assert_eq!(is("GET / 2\nhost: a.example"), Err(Refusal::HostMissing), "Host is no :authority");
    assert_eq!(is("GET https://a.example/ 2\nhost: b.example"), Err(Refusal::HostDiffers));
    assert!(is("GET https://a.example/ 2\nhost: A.example").is_ok());
    assert_eq!(is("GET https://u@a.example/ 2"), Err(Refusal::HostMalformed));
    for header in ["connection: close", "keep-alive: 5", "proxy-connection: close", "upgrade: websocket"] {
        assert_eq!(is(&format!("GET https://a.example/ 2\n{header}")), Err(Refusal::ConnectionInH2));
    }
    assert_eq!(is("GET https://a.example/ 2\nx-a:  b"), Err(Refusal::ValueSpaces));
    assert_eq!(is("GET https://a.example/ 2\nx-a: b\t"), Err(Refusal::ValueSpaces));
}

#[test]
fn h2_upgrades_by_extended_connect() {
    let connect = "CONNECT https://a.example/chat 2";
    assert_eq!(checked(connect, Some("websocket")).unwrap(), "a.example/chat To(\"websocket\")");
    assert_eq!(checked(connect, Some("connect-udp")), Err(Refusal::UpgradeProtocol));
    assert_eq!(checked("GET https://a.example/ 2", Some("websocket")), Err(Refusal::UpgradeMethod));
}

#[test]
fn versions_and_expectations() {
    assert_eq!(is("GET / 3\nhost: a.example"), Err(Refusal::VersionUnknown));
    assert_eq!(is("GET / 0.9\nhost: a.example").unwrap_err().status().as_u16(), 505);
    assert_eq!(with("expect: a-miracle").unwrap_err().status().as_u16(), 417);
}

#[test]
fn underscores_may_be_allowed() {
    let request = request("GET / 1.1\nhost: a.example\nx_a: 1");
    let head = Parsed {
        method: request.method(),
        uri: request.uri(),
        version: request.version(),
        headers: request.headers(),
        protocol: None,
    };
    let rules = Rules { paths: PathRules::default(), underscores: Underscores::Keep, upgrades: &[], default_port: 80 };
    assert!(check(&head, &rules).is_ok());
}

#[test]
fn an_underscore_hides_nothing_behind_it() {
    let headers = HeaderMap::from_iter([
        (HeaderName::from_static("host"), HeaderValue::from_static("a.example")),
        (HeaderName::from_static("x_a|b"), HeaderValue::from_static("1")),
    ]);
    let (method, uri) = (Method::GET, Uri::from_static("/"));
    let head = Parsed { method: &method, uri: &uri, version: Version::HTTP_11, headers: &headers, protocol: None };
    let rules = Rules { paths: PathRules::default(), underscores: Underscores::Keep, upgrades: &[], default_port: 80 };
    assert_eq!(check(&head, &rules), Err(Refusal::NameMalformed));
}

proptest! {
    /// Whatever the headers: no panic, and what passes has one host and one end of its body.
    #[test]
    fn what_passes_is_unambiguous(
        lines in proptest::collection::vec(
            (prop::sample::select(vec!["host", "content-length", "transfer-encoding", "connection", "upgrade", "x-a", "x_a", "expect"]),
             prop::sample::select(vec!["a.example", "b", "5", "+5", "chunked", "gzip", "upgrade", "close", "websocket", "", " ", "\t5", "host", "\u{e9}"])),
            0..8),
        version in prop::sample::select(vec![Version::HTTP_10, Version::HTTP_11, Version::HTTP_2]),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let uri: Uri = if version == Version::HTTP_2 { "https://a.example/".parse().unwrap() } else { "/".parse().unwrap() };
        let upgrades = ["websocket".to_owned()];
        let head = Parsed { method: &Method::GET, uri: &uri, version, headers: &headers, protocol: None };
        let rules = Rules { paths: PathRules::default(), underscores: Underscores::Refuse, upgrades: &upgrades, default_port: 443 };
        if check(&head, &rules).is_ok() {
            let count = |name: HeaderName| headers.get_all(name).iter().count();
            prop_assert!(count(header::HOST) <= 1 && count(header::CONTENT_LENGTH) + count(header::TRANSFER_ENCODING) <= 1);
            prop_assert!(headers.get(header::TRANSFER_ENCODING).is_none_or(|value| value == "chunked"));
        }
    }
}
