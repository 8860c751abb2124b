//! `explain` of a URL says what the proxy does: each request of a table is explained and then sent, and what origins and client
//! saw is held to what was said.

use std::process::Command;

use rhumb::admin::dto::Explanation;
use rhumb::admin::dto::RequestSaid;

use crate::kit::Findings;
use crate::kit::client::Response;
use crate::kit::client::ask;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::origin::Taken;
use crate::kit::origin::fixed;

const ROUTES: &str = r#"
  { name = "canary", host = "www.example.com", headers = { x-canary = "true" }, pool = "canary", response_headers = { set = { x-route = "canary" } } },
  { name = "api", host = "www.example.com", path_prefix = "/v2/", methods = ["GET", "POST"], pool = "hashed", rewrite = { prefix = "/" }, request_headers = { set = { x-from = "{client}" }, remove = ["x-secret"] }, response_headers = { set = { x-route = "api" } } },
  { name = "split", host = "www.example.com", path_prefix = "/split", pools = [{ pool = "origin", weight = 50 }, { pool = "canary", weight = 50 }], split_on = "header:x-user", response_headers = { set = { x-route = "split" } } },
  { name = "sticky", host = "www.example.com", path = "/sticky", pool = "origin", sticky = "srv", response_headers = { set = { x-route = "sticky" } } },
  { name = "moved", host = "www.example.com", path = "/moved", redirect = { to = "https://{host}{uri}", status = 308 } },
  { name = "here", host = "www.example.com", path = "/here", respond = { status = 410, body = "gone\n" } },
  { name = "page", host = "*.example.com", pool = "origin", response_headers = { set = { x-route = "page" } } },
"#;

/// One of them tells by its body which it is.
fn origin() -> Origin {
    Origin::start(|request| fixed(200, request.target()))
}

/// An edge before `origins`: two of the pool `origin`, one of `canary`, two of `hashed`.
fn edge(origins: &[Origin]) -> Edge {
    let endpoint =
        |origin: &Origin| format!("{{ address = \"{}\", port = {} }}", origin.address.ip(), origin.address.port());
    let sections = format!(
        "[admin]\nsocket = \"admin.sock\"\n\
         [pool.canary]\nregion = \"here\"\nfallback = \"hashed\"\nendpoints = [{}]\n\
         [pool.hashed]\nregion = \"here\"\nbalance = \"hash\"\nhash_on = \"path\"\nendpoints = [{}, {}]\n",
        endpoint(&origins[2]),
        endpoint(&origins[3]),
        endpoint(&origins[4]),
    );
    let setup = Setup { sections, ..Setup::to(&[origins[0].address, origins[1].address]) };
    setup.routes(ROUTES).start()
}

fn rhumb(edge: &Edge, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    let output = command.args(arguments).arg("--socket").arg(edge.dir().join("admin.sock")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn explained(edge: &Edge, method: &str, target: &str, headers: &[&str]) -> RequestSaid {
    let url = format!("http://www.example.com{target}");
    let mut arguments = vec!["explain", &url, "--json", "--method", method];
    headers.iter().for_each(|header| arguments.extend(["--header", header]));
    let said: Explanation = serde_json::from_str(&rhumb(edge, &arguments)).unwrap();
    said.request.unwrap()
}

fn sent(edge: &Edge, method: &str, target: &str, headers: &[&str]) -> Result<Response, String> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
        head += "Host: www.example.com\r\n";
    }
    headers.iter().for_each(|header| head += &format!("{header}\r\n"));
    ask(edge.address, head + "\r\n")
}

/// What is not as it was said of a request that was not forwarded.
fn differs_here(said: &RequestSaid, response: &Response) -> Result<(), String> {
    let outcome = &said.outcome;
    if outcome.status != Some(response.status) {
        return Err(format!("{outcome:?}, and the client got {}", response.status));
    }
    if outcome.location.as_deref() != response.header("location") {
        return Err(format!("{outcome:?}, and location is {:?}", response.header("location")));
    }
    match &outcome.body {
        Some(body) if *body != response.text() => Err(format!("{outcome:?}, and the body is {:?}", response.text())),
        _ => Ok(()),
    }
}

/// What is not as it was said of a request that reached an origin.
fn differs_there(said: &RequestSaid, response: &Response, origin: &Origin, taken: &Taken) -> Result<(), String> {
    let (step, sent) = (said.endpoint.as_ref().unwrap(), said.sent.as_ref().unwrap());
    let address = origin.address.to_string();
    let may_be = step.members.iter().any(|member| member.address == address && member.candidate);
    if step.chosen.as_ref().is_some_and(|chosen| *chosen != address) || !may_be {
        return Err(format!("it went to {address}, not as in {step:?}"));
    }
    let route = said.routes.iter().find(|route| route.used).map(|route| route.route.as_str());
    if response.header("x-route") != route {
        return Err(format!("its route was {:?}, not {route:?}", response.header("x-route")));
    }
    let line = format!("{} {} HTTP/1.1", sent.method, sent.target);
    if taken.line() != line {
        return Err(format!("the origin got {:?}, not {line:?}", taken.line()));
    }
    for header in sent.headers.iter().filter(|header| !header.value.starts_with('(')) {
        if !taken.all(&header.name).contains(&header.value) {
            return Err(format!("the origin got no {}: {}", header.name, header.value));
        }
    }
    let left = sent.removed.iter().find(|name| !taken.all(name).is_empty() && *name != "connection");
    left.map_or(Ok(()), |name| Err(format!("the origin got {name}, which was said to be gone")))
}

#[test]
fn what_explain_says_is_what_the_proxy_does() {
    if only_for_rhumb() {
        return;
    }
    let origins: Vec<Origin> = (0..5).map(|_| origin()).collect();
    let edge = edge(&origins);
    let mut findings = Findings::default();
    let mut hold = |case: &str, method: &str, target: &str, headers: &[&str]| {
        let case = format!("{case}{method} {target} {headers:?}");
        let said = explained(&edge, method, target, headers);
        let before: Vec<usize> = origins.iter().map(|origin| origin.requests().len()).collect();
        let Ok(response) = sent(&edge, method, target, headers) else {
            findings.note(&case, Err("no response".to_owned()));
            return None;
        };
        let reached = origins.iter().zip(before).find_map(|(origin, before)| {
            let requests = origin.requests();
            (requests.len() > before).then(|| (origin, requests[before].clone()))
        });
        let found = match (&*said.outcome.what, reached) {
            ("forwarded", Some((origin, taken))) => differs_there(&said, &response, origin, &taken),
            (_, None) => differs_here(&said, &response),
            (what, Some((origin, _))) => Err(format!("{what}, and {} got it", origin.address)),
        };
        findings.note(&case, found);
        Some((said, response))
    };
    let table: &[(&str, &str, &[&str])] = &[
        ("GET", "/", &[]),
        ("GET", "/a?b=c", &["x-canary: true"]),
        ("GET", "/a", &["x-canary: false", "User-Agent: me", "Accept: */*"]),
        ("GET", "/v2/users", &["x-secret: 1", "x-from: forged"]),
        ("POST", "/v2/orders?x", &["Content-Length: 0"]),
        ("DELETE", "/v2/orders", &[]),
        ("GET", "/v2/%41/./b//c", &[]),
        ("GET", "/moved?x=1", &[]),
        ("GET", "/here", &[]),
        ("GET", "/", &["Host: www.example.net"]),
        ("GET", "/", &["Host: a b"]),
        ("GET", "/%2e%2e/x", &[]),
        ("GET", "/a%2f..%2fb", &[]),
        ("GET", "/\\x", &[]),
        ("GET", "/", &["x_forged: 1"]),
        ("GET", "/", &["Content-Length: 1", "Transfer-Encoding: chunked"]),
        ("GET", "/", &["Connection: x-forwarded-for"]),
        ("GET", "/", &["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "Connection: x-mine", "X-Mine: 1"]),
    ];
    for (method, target, headers) in table {
        hold("", method, target, headers);
    }
    for user in 0..8 {
        hold("", "GET", "/split", &[&format!("x-user: {user}")]);
        hold("", "GET", &format!("/v2/{user}"), &[]);
    }
    // A cookie brings the client back, and explain knows where to.
    let (_, first) = hold("", "GET", "/sticky", &[]).unwrap();
    let cookie = first
        .header("set-cookie")
        .and_then(|cookie| cookie.split(';').next())
        .unwrap_or_else(|| panic!("{first:?}"))
        .to_owned();
    for _ in 0..2 {
        let (said, _) = hold("back: ", "GET", "/sticky", &[&format!("cookie: {cookie}")]).unwrap();
        assert!(said.endpoint.unwrap().chosen.is_some(), "a cookie decides");
    }
    hold("", "GET", "/sticky", &["cookie: srv=guessed"]);
    // A drained pool falls back, by a key that the route's own pool has no use for.
    rhumb(&edge, &["drain", "pool/canary", "--reason", "test"]);
    for target in ["/x", "/y", "/z"] {
        let (said, _) = hold("drained: ", "GET", target, &["x-canary: true"]).unwrap();
        assert_eq!(said.pool.unwrap().pool, "hashed");
    }
    // Who is taken out is no candidate.
    let one = origins[3].address;
    rhumb(&edge, &["drain", &format!("endpoint/hashed/{one}"), "--reason", "test"]);
    for target in ["/v2/1", "/v2/2", "/v2/3"] {
        let (said, _) = hold("one drained: ", "GET", target, &[]).unwrap();
        assert_eq!(said.endpoint.unwrap().chosen, Some(origins[4].address.to_string()));
    }
    findings.end();
}

#[test]
fn what_goes_on_through_a_listener_at_l4_is_explained_to_the_last_endpoint() {
    if only_for_rhumb() {
        return;
    }
    let origins: Vec<Origin> = (0..2).map(|_| origin()).collect();
    // An endpoint that is a listener has to be known before that is there.
    let l4 = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let zone: Vec<String> = origins
        .iter()
        .map(|origin| format!("{{ address = \"127.0.0.1\", port = {} }}", origin.address.port()))
        .collect();
    let edge = Setup::to(&[l4])
        .section(&format!(
            "[admin]\nsocket = \"admin.sock\"\n[pool.zone]\nregion = \"here\"\nendpoints = [{}]",
            zone.join(", ")
        ))
        .section(&format!(
            "[[listener]]\nname = \"l4-a\"\nregion = \"here\"\nbind = \"{l4}\"\nprotocol = \"tcp\"\npool = \"zone\""
        ))
        .start();
    let response = sent(&edge, "GET", "/", &[]).unwrap();
    assert_eq!(response.status, 200);
    let said = explained(&edge, "GET", "/", &[]);
    let [flow] = &said.flows[..] else { panic!("{said:?}") };
    assert_eq!((flow.endpoint.as_str(), flow.listener.as_str()), (l4.to_string().as_str(), "l4-a"));
    assert_eq!(flow.looked_at.iter().map(|pool| (pool.pool.as_str(), pool.used)).collect::<Vec<_>>(), [("zone", true)]);
    let members: Vec<&str> = flow.step.members.iter().map(|member| member.address.as_str()).collect();
    assert_eq!(members, origins.iter().map(|origin| origin.address.to_string()).collect::<Vec<_>>());

    // With one of two taken out there is one left to go to; with both, the tier in front knows it at once.
    let url = format!("http://{}/", edge.address);
    let endpoint = |at: usize| format!("endpoint/zone/{}", origins[at].address);
    rhumb(&edge, &["drain", &endpoint(0), "--reason", "test"]);
    let text = rhumb(&edge, &["explain", &url]);
    assert!(text.contains(&format!("-> {}: the only one that may be chosen", origins[1].address)), "{text}");
    rhumb(&edge, &["drain", &endpoint(1), "--reason", "test", "--force"]);
    let text = rhumb(&edge, &["explain", &url]);
    assert!(text.contains("blocked: a listener of ours that has nobody to send to"), "{text}");
    let text = rhumb(&edge, &["get", "endpoints"]);
    assert!(text.contains("blocked: listener l4-a has nobody to send to: zone 0 of 2 up"), "{text}");
    let events = rhumb(&edge, &["events"]);
    assert!(events.contains("endpoint=origin/127.0.0.1 up -> blocked"), "{events}");
}
