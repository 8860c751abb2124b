//! Configurations as operators write them, and what they are told.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;

use rhumb::config;
use rhumb::config::codes;
use rhumb::config::problem;
use rhumb::config::problem::Count;
use rhumb::model::Action;
use rhumb::model::Expires;
use rhumb::model::HostMatch;
use rhumb::model::HttpTimeouts;
use rhumb::model::KeyedOn;
use rhumb::model::Limits;
use rhumb::model::Model;
use rhumb::model::PathMatch;
use rhumb::model::Policy;
use rhumb::model::Protocol;
use rhumb::model::ProxyProtocol;
use rhumb::model::Rewrite;
use rhumb::model::Speaks;
use rhumb::model::TextMatch;
use rhumb::model::Underscores;
use rhumb::model::Upstream;
use rhumb::model::UpstreamTls;
use rhumb::runtime::config_files::ConfigFiles;
use rhumb::runtime::load::load;

/// One of everything.
const WHOLE: &str = include_str!("golden/check/whole.toml");

fn model(text: &str) -> Model {
    match config::read(Path::new("rhumb.toml"), text) {
        Ok(loaded) => loaded.model,
        Err(refused) => panic!("{:#?}", refused.problems.iter().map(ToString::to_string).collect::<Vec<_>>()),
    }
}

fn problems(text: &str) -> Vec<String> {
    match config::read(Path::new("rhumb.toml"), text) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
        Err(refused) => refused.problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_whole_configuration_means_what_it_says() {
    let model = model(WHOLE);
    assert_eq!(model.server.listen.len(), 2);
    assert_eq!(model.server.tls, Some(0));
    assert_eq!(model.regions.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["eu-west", "us-east", "ap-south"]);
    assert_eq!(model.pools[0].fallback.map(|p| model.pool(p).name.as_str()), Some("us-web"));
    assert_eq!(model.endpoints.len(), 9);
    assert_eq!(model.members(1usize.into()).count(), 2);
    assert_eq!(model.vips[0].name, "www.example.com.");
    let Policy::Geolocation(rules) = &model.vips[0].policy else { panic!("{:?}", model.vips[0].policy) };
    assert_eq!(rules.len(), 4);
    assert!(rules[3].is_catch_all());
    assert_eq!(rules[1].members.iter().map(|m| m.weight).collect::<Vec<_>>(), [95, 5]);
    assert_eq!(rules[1].place.as_ref().unwrap().to_string(), "rhumb.toml:78:3");
    let Policy::Geoproximity(members) = &model.vips[1].policy else { panic!() };
    assert_eq!(members[1].bias, 20);
    assert_eq!(problems(WHOLE), Vec::<String>::new());
}

#[test]
fn listeners_and_their_pools_mean_what_they_say() {
    let model = model(WHOLE);
    let app = &model.pools[3];
    assert_eq!(
        *app.upstream,
        Upstream {
            speaks: Speaks::Either,
            tls: Some(UpstreamTls {
                server_name: Some("app.internal".into()),
                verify: true,
                ca_file: Some("ca.pem".into()),
            }),
            keyed_on: KeyedOn::Client { v4: 24, v6: 56 },
            bound_percent: Some(150),
            slow_start: Duration::from_secs(30),
            panic_percent: 25,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(30),
            connections_max: 100,
            requests_max: 200,
            flows_max: 100,
            retry_percent: 10,
            closes_when_down: false,
        }
    );
    let backups: Vec<bool> = model.members(3usize.into()).map(|(_, endpoint)| endpoint.backup).collect();
    assert_eq!(backups, [false, false, true]);
    assert_eq!(*model.pools[0].upstream, Upstream::default());
    assert_eq!(model.proxy.workers, 2);
    assert_eq!(model.access_log.as_ref().unwrap().rate_max, 1000);

    let [edge, l4, by_name, plain] = &model.listeners[..] else { panic!("{:?}", model.listeners) };
    assert_eq!((edge.name.as_str(), edge.bind.port(), edge.limits.queue_max), ("edge-eu", 8443, 10));
    assert_eq!((edge.proxy_protocol_to, edge.proxy_protocol_from.len()), (Some(ProxyProtocol::V2), 1));
    let Protocol::Http(http) = &edge.protocol else { panic!("{:?}", edge.protocol) };
    assert_eq!((http.tls.as_slice(), http.body_bytes_max), ([1, 0].as_slice(), Some(10 << 20)));
    assert_eq!((http.underscores, http.upgrades.len()), (Underscores::Drop, 0));
    assert_eq!(http.timeouts.age, Some(Duration::from_secs(3600)));
    let [canary, old, robots, rest] = &http.routes[..] else { panic!("{:?}", http.routes) };
    assert_eq!(canary.matches.host, HostMatch::Exact("api.example.com".into()));
    assert_eq!(canary.matches.path, PathMatch::Prefix("/v2/".into()));
    assert_eq!(canary.matches.cookies, [("beta".into(), TextMatch::Present)]);
    assert_eq!(canary.matches.query, [("v".into(), TextMatch::Prefix("2".into()))]);
    assert_eq!(
        (canary.name.as_str(), canary.retries, &canary.rewrite),
        ("canary", 0, &Some(Rewrite::Prefix("/".into())))
    );
    assert!(matches!(&old.action, Action::Redirect { status, .. } if status.as_u16() == 308));
    assert_eq!(
        (robots.name.as_str(), robots.expires),
        ("routes[2]", Some(Expires::After(Duration::from_secs(2_592_000))))
    );
    let Action::Forward { arms, keyed_on } = &rest.action else { panic!("{:?}", rest.action) };
    assert_eq!(arms.iter().map(|arm| arm.weight).collect::<Vec<_>>(), [95, 5]);
    assert_eq!(*keyed_on, KeyedOn::Cookie("session".into()));
    assert_eq!(rest.sticky.as_ref().unwrap().name, "backend");
    assert_eq!((rest.request_headers.len(), rest.response_headers.len()), (2, 1));

    let Protocol::Tcp(forward) = &l4.protocol else { panic!("{:?}", l4.protocol) };
    assert_eq!((model.pool(forward.pool).name.as_str(), forward.timeouts.half_closed.as_secs()), ("eu-web", 30));
    assert_eq!((forward.timeouts.idle.as_secs(), l4.proxy_protocol_to), (3600, Some(ProxyProtocol::V1)));
    let Protocol::TlsPassthrough(through) = &by_name.protocol else { panic!("{:?}", by_name.protocol) };
    let (www, under) = (HostMatch::Exact("www.example.com".into()), HostMatch::Under("example.com".into()));
    let hosts: Vec<&HostMatch> = through.routes.iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, [&www, &under, &HostMatch::Any], "the most specific first");
    assert_eq!((through.timeouts.hello.as_secs(), through.timeouts.idle.as_secs()), (5, 350));

    let Protocol::Http(http) = &plain.protocol else { panic!("{:?}", plain.protocol) };
    assert_eq!(
        (&http.timeouts, http.upgrades.as_slice()),
        (&HttpTimeouts::default(), ["websocket".to_owned()].as_slice())
    );
    assert_eq!((plain.limits, plain.drain_timeout), (Limits::default(), Duration::from_secs(300)));
    assert_eq!((http.routes[0].timeout, http.routes[0].retries), (Duration::from_secs(30), 1));
}

/// A listener that forwards to `pool`, with what that needs beside it.
fn with_listener(pool: &str) -> String {
    format!(
        "[region.eu]\n[pool.app]\nregion = \"eu\"\n{pool}\n[[listener]]\nname = \"edge\"\nregion = \"eu\"\n\
         bind = \"127.0.0.1:8080\"\nprotocol = \"http\"\nroutes = [{{ pool = \"app\" }}]\n"
    )
}

#[test]
fn a_proxy_alone_takes_no_queries() {
    let text = with_listener("endpoints = [{ address = \"192.0.2.1\" }]");
    assert_eq!(model(&text).server.listen, []);
    assert_eq!(problems(&text), Vec::<String>::new());
    let told = format!("{text}[server]\nlisten = [\"127.0.0.1:53\"]\n");
    assert_eq!(model(&told).server.listen.len(), 1);
    let zones = format!("{text}[server]\nzones_dir = \"zones\"\n");
    assert_eq!(model(&zones).server.listen.len(), 2, "port 53 of every address");
}

#[test]
fn who_wrote_no_panic_gets_one_that_agrees_with_dns() {
    let vip = "[vip.\"www.example.com.\"]\npolicy = \"failover\"\npools = [{ pool = \"app\" }]\n";
    let endpoints =
        "endpoints = [{ address = \"192.0.2.1\" }, { address = \"192.0.2.2\" }, { address = \"192.0.2.3\" }]";
    let alone = with_listener(endpoints);
    assert_eq!(model(&alone).pools[0].upstream.panic_percent, 50);
    assert_eq!(model(&format!("{alone}{vip}")).pools[0].upstream.panic_percent, 33);
    let two = with_listener(&format!("min_healthy = 2\n{endpoints}"));
    assert_eq!(model(&format!("{two}{vip}")).pools[0].upstream.panic_percent, 50);
}

#[test]
fn secrets_of_sticky_cookies_are_read_or_drawn_where_a_route_is_sticky() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rhumb.toml");
    let text = with_listener("endpoints = [{ address = \"192.0.2.1\" }]");
    let sticky = text.replace("pool = \"app\" }", "pool = \"app\", sticky = \"backend\" }");
    let secrets = |text: &str| {
        std::fs::write(&path, text).unwrap();
        load(&path, None).map(|loaded| loaded.snapshot.model.proxy.sticky_secrets.clone())
    };
    assert_eq!(secrets(&text).unwrap(), None);
    let drawn = secrets(&sticky).unwrap().unwrap();
    assert_eq!((drawn.current.len(), secrets(&sticky).unwrap()), (32, Some(drawn)), "a reload keeps it");

    let shared = format!("{sticky}[proxy]\nsticky_secret_file = \"sticky.key\"\n");
    let told = |text: &str| secrets(text).unwrap_err().problems[0].to_string();
    assert!(told(&shared).contains("sticky.key does not exist"), "{}", told(&shared));
    std::fs::write(directory.path().join("sticky.key"), "0f".repeat(32)).unwrap();
    assert_eq!(secrets(&shared).unwrap().unwrap().current, [0x0f; 32]);
    std::fs::write(directory.path().join("sticky.key"), "# none\nsecret\n").unwrap();
    let wrong = told(&shared);
    assert!(wrong.contains("sticky.key:2: error[E0243]: a secret is 32 to 128 hexadecimal digits"), "{wrong}");
}

#[test]
fn listeners_may_be_spread_over_files() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let endpoints = "endpoints = [{ address = \"192.0.2.1\" }]";
    write("rhumb.toml", &format!("include = [\"more.toml\"]\n{}", with_listener(endpoints)));
    write(
        "more.toml",
        "[[listener]]\nname = \"more\"\nregion = \"eu\"\nbind = \"127.0.0.1:8081\"\nprotocol = \"http\"\n[[listener.routes]]\npool = \"app\"\n",
    );
    let loaded = config::load(&directory.path().join("rhumb.toml"), &mut ConfigFiles).unwrap();
    let names: Vec<&str> = loaded.model.listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["edge", "more"]);
}

#[test]
fn the_edge_example_is_right_with_a_certificate_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("edge.toml");
    let certificate = rcgen::generate_simple_self_signed(["www.example.com".to_owned()]).unwrap();
    std::fs::create_dir(directory.path().join("tls")).unwrap();
    std::fs::write(directory.path().join("tls/www.pem"), certificate.cert.pem()).unwrap();
    std::fs::write(directory.path().join("tls/www.key"), certificate.signing_key.serialize_pem()).unwrap();
    std::fs::copy("examples/edge.toml", &path).unwrap();
    let (code, out) = rhumb(&["check", "-c", path.to_str().unwrap()]);
    assert_eq!((code, out.lines().count()), (0, 1), "{out}");
    assert!(out.starts_with(&format!("{}: ok: ", path.display())) && out.contains("2 listeners"), "{out}");
}

#[test]
fn an_empty_file_is_a_name_server_on_port_53() {
    let model = model("");
    assert_eq!(model.server.listen, ["0.0.0.0:53".parse().unwrap(), "[::]:53".parse().unwrap()]);
    assert!(model.vips.is_empty());
}

/// Where the goldens are, from the package's root, where tests run.
const GOLDENS: &str = "tests/golden/check";

fn drawn(outcome: Result<config::Loaded, Box<config::Refused>>) -> String {
    let (problems, sources) = match outcome {
        Ok(loaded) => (loaded.warnings, loaded.sources),
        Err(refused) => (refused.problems, refused.sources),
    };
    let mut lines = |path: &Path, line| sources.line(path, line).map(str::to_owned);
    let last = Count::of(&problems).to_string();
    problem::show(&problems, problem::Format::Text { colour: false }, &last, &mut lines)
}

/// Compares with a file; `UPDATE_GOLDEN=1 cargo test --test check` writes it anew.
fn golden(path: &Path, found: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, found).unwrap();
        return None;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    (expected != found).then(|| format!("--- {}: expected\n{expected}\n+++ found\n{found}", path.display()))
}

fn goldens() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(GOLDENS).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let toml = |path: &PathBuf| path.extension().is_some_and(|e| e == "toml");
    let mut out = Vec::new();
    for path in paths.into_iter().filter(toml) {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = Path::new(path.file_name().unwrap());
        out.push((path.with_extension("txt"), drawn(config::read(name, &text))));
    }
    let main = Path::new(GOLDENS).join("include/rhumb.toml");
    out.push((Path::new(GOLDENS).join("include.txt"), drawn(config::load(&main, &mut ConfigFiles))));
    out
}

#[test]
fn problems_are_told_as_the_goldens_say() {
    let wrong: Vec<String> = goldens().iter().filter_map(|(path, found)| golden(path, found)).collect();
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 writes them anew\n{}", wrong.join("\n"));
}

#[test]
fn every_code_is_shown_by_a_golden() {
    let source = include_str!("../src/config/codes.rs");
    let codes = source.lines().filter_map(|line| line.split('"').nth(1)).collect::<Vec<_>>();
    assert!(codes.len() > 30);
    let shown: String = goldens().into_iter().map(|(_, text)| text).collect();
    // Those that need a broken file, gigabytes, or files to be looked for.
    let elsewhere = [codes::NOTHING_SERVED, codes::UTF8, codes::TOO_LARGE];
    let missing: Vec<_> =
        codes.iter().filter(|c| !elsewhere.contains(c) && !shown.contains(&format!("[{c}]"))).collect();
    assert!(missing.is_empty(), "no golden shows {missing:?}");
}

#[test]
fn a_code_means_one_thing() {
    let codes: Vec<_> = include_str!("../src/config/codes.rs").lines().filter_map(|l| l.split('"').nth(1)).collect();
    let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
    assert_eq!(distinct.len(), codes.len(), "a code is used twice: {codes:?}");
}

#[test]
fn a_file_that_is_not_text_is_told_where() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rhumb.toml");
    std::fs::write(&path, b"[server]\nnsid = \"\xff\"\n").unwrap();
    let refused = config::load(&path, &mut ConfigFiles).unwrap_err();
    let told = refused.problems[0].to_string();
    assert!(
        told.ends_with("rhumb.toml:2:9: error[E0002]: this byte is not UTF-8 text; save the file as UTF-8"),
        "{told}"
    );
}

fn rhumb(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rhumb")).args(arguments).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_command_says_ok_or_what_is_wrong_and_exits_accordingly() {
    let (code, out) = rhumb(&["check", "-c", "tests/golden/check/include/rhumb.toml", "--format", "short"]);
    assert_eq!(code, 3);
    assert!(out.lines().next().unwrap().starts_with("tests/golden/check/include/rhumb.toml:1:"), "{out}");
    assert!(out.trim_end().ends_with("; the running configuration is unchanged"), "{out}");

    let (code, out) = rhumb(&["check", "-c", "tests/golden/check/nowhere.toml", "--format", "json"]);
    assert_eq!(code, 3);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["errors"], 1, "{out}");
    assert_eq!(json["problems"][0]["code"], "E0124");
    assert_eq!(json["problems"][0]["line"], 2);

    let (code, out) = rhumb(&["check", "-c", "no/such/rhumb.toml"]);
    assert_eq!(code, 3);
    assert!(out.starts_with("error[E0001]: cannot read no/such/rhumb.toml: no such file"), "{out}");
}

#[test]
fn includes_are_read_in_order_and_paths_begin_at_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("rhumb.toml", "include = [\"conf.d/*.toml\"]\n[server]\nzones_dir = \"zones\"\n[region.a]\n");
    write("zones/empty", "");
    write("conf.d/20.toml", "[region.c]\n[zone.\"example.org.\"]\nfile = \"org.zone\"\n");
    write("conf.d/10.toml", "[region.b]\n[server]\nnsid = \"x\"\n");
    write("conf.d/.hidden.toml", "nonsense");
    write("conf.d/org.zone", "");
    let loaded = config::load(&directory.path().join("rhumb.toml"), &mut ConfigFiles).unwrap();
    let names: Vec<&str> = loaded.model.regions.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(loaded.model.server.nsid.as_deref(), Some("x"));
    assert_eq!(loaded.model.zones[0].file.as_deref(), Some(&*directory.path().join("conf.d/org.zone")));
    assert_eq!(loaded.model.server.zones_dir.as_deref(), Some(&*directory.path().join("zones")));
}

/// A problem that points outside of its file could not be drawn, and would send people looking for nothing.
fn places_lie_in(text: &str) -> Result<(), TestCaseError> {
    let (problems, sources) = match config::read(Path::new("rhumb.toml"), text) {
        Ok(loaded) => (loaded.warnings, loaded.sources),
        Err(refused) => (refused.problems, refused.sources),
    };
    for problem in &problems {
        let place = problem.place.as_ref().expect("everything here has a place");
        let line = sources.line(&place.file, place.line);
        prop_assert!(line.is_some(), "{}", problem);
        let length = line.unwrap().chars().count() as u32;
        prop_assert!(place.column >= 1 && place.column - 1 + place.width <= length, "{} in {:?}", problem, line);
    }
    let mut lines = |path: &Path, line| sources.line(path, line).map(str::to_owned);
    problem::show(&problems, problem::Format::Text { colour: false }, "", &mut lines);
    problem::show(&problems, problem::Format::Json, "", &mut lines);
    Ok(())
}

/// Pieces that configurations are made of, so that mutations reach deep.
const PIECES: [&str; 24] = [
    "\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    ".",
    "\n",
    "\r\n",
    "0",
    "-1",
    "1e99",
    "true",
    "\"\"",
    "\"eu-web\"",
    "[[",
    "ü",
    "[pool.x]\n",
    "[vip.\"a.\"]\n",
    "1979-05-27",
    "# ",
    "99999999999999999999",
    "include = [\"*\"]\n",
];

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        places_lie_in(&text)?;
    }

    #[test]
    fn no_mutation_panics(changes in proptest::collection::vec((0..WHOLE.len(), 0..12usize, 0..PIECES.len()), 1..6)) {
        let mut text = WHOLE.as_bytes().to_vec();
        for (at, cut, piece) in changes {
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, PIECES[piece].bytes());
        }
        places_lie_in(&String::from_utf8_lossy(&text))?;
    }
}

/// A configuration of a size that nobody writes by hand.
fn large(pools: usize, vips: usize, pool_named: impl Fn(usize) -> String) -> String {
    use std::fmt::Write;
    let mut text = String::from("[region.eu]\nlocation = [50.11, 8.68]\n[health_check.web]\ntype = \"http\"\n");
    for n in 0..pools {
        write!(text, "[pool.pool-{n}]\nregion = \"eu\"\nhealth_check = \"web\"\nendpoints = [").unwrap();
        for host in 1..=4 {
            write!(text, "{{ address = \"10.{}.{}.{host}\" }}, ", n / 250, n % 250).unwrap();
        }
        text.push_str("]\n");
    }
    for n in 0..vips {
        let (a, b) = (pool_named(n), pool_named(n + 1));
        write!(text, "[vip.\"name-{n}.example.com.\"]\npolicy = \"geolocation\"\nrules = [").unwrap();
        writeln!(text, "{{ geos = [\"EU\", \"AF\"], pool = \"{a}\" }}, {{ pool = \"{b}\" }}]").unwrap();
    }
    text
}

#[test]
fn a_hundred_thousand_vips_are_checked_while_you_wait() {
    let text = large(10_000, 100_000, |n| format!("pool-{}", n % 10_000));
    let model = model(&text);
    assert_eq!(model.vips.len(), 100_000);
    assert_eq!(model.endpoints.len(), 40_000);
}

#[test]
fn twenty_thousand_mistakes_are_told_while_you_wait() {
    let text = large(10_000, 10_000, |n| format!("poll-{}", n % 10_000));
    assert_eq!(problems(&text).len(), 20_000);
}

const EXAMPLES: [&str; 8] = [
    "examples/minimal.toml",
    "examples/three-region.toml",
    "examples/health-checks.toml",
    "examples/edge.toml",
    "examples/redundancy/rhumb.toml",
    "examples/three-machines/dns.toml",
    "examples/three-machines/l7.toml",
    "examples/three-machines/l4.toml",
];

/// What ships beside the examples may be left out of a checkout; the rest of each example is checked all the same.
#[test]
fn the_examples_are_right() {
    for name in EXAMPLES {
        let text = std::fs::read_to_string(name).unwrap();
        match config::read(Path::new(name), &text) {
            Ok(loaded) => assert_eq!(loaded.warnings, [], "{name}"),
            Err(_) => panic!("{}", drawn(config::read(Path::new(name), &text))),
        }
        // Its certificate is made by whoever tries it.
        if name == "examples/edge.toml" {
            continue;
        }
        if !Path::new("geo/country.mmdb").exists() {
            eprintln!("SKIPPED: {name} with its files: geo/country.mmdb is absent");
            continue;
        }
        let (code, out) = rhumb(&["check", "-c", name]);
        assert_eq!((code, out.lines().count()), (0, 1), "{out}");
        assert!(out.starts_with(&format!("{name}: ok: ")), "{out}");
    }
}

#[test]
fn problems_of_configuration_zones_and_databases_come_in_one_run() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    std::fs::create_dir(directory.path().join("zones")).unwrap();
    write("zones/example.com.zone", "$TTL 1h\n@ SOA ns hostmaster 1 2h 15m 2w 5m\n@ NS ns\nns A 192.0.2.300\n");
    write("country.mmdb", "this is no database");
    write(
        "rhumb.toml",
        "[server]\nzones_dir = \"zones\"\nlisten = [\"127.0.0.1\"]\n[geo]\n\
         databases = [\"country.mmdb\", \"city.mmdb\"]\n[region.eu]\n[pool.web]\nregion = \"eu\"\n\
         endpoints = [{ address = \"192.0.2.1\" }]\n[vip.\"www.example.com.\"]\npolicy = \"failover\"\n\
         pools = [{ pool = \"web\" }]\n",
    );
    let (code, out) =
        rhumb(&["check", "-c", directory.path().join("rhumb.toml").to_str().unwrap(), "--format", "short"]);
    let codes: Vec<&str> = out.lines().filter_map(|line| line.split("error[").nth(1)?.split(']').next()).collect();
    assert_eq!(code, 3);
    assert_eq!(codes.len(), 4, "{out}");
    assert!(out.contains("rhumb.toml:3:11: error[E0108]"), "{out}");
    assert!(out.contains("rhumb.toml:5:30: error[E0132]"), "{out}");
    assert!(out.contains("example.com.zone:4:"), "{out}");
    assert!(out.contains("country.mmdb: error[E03"), "{out}");
    assert_eq!(out.lines().last(), Some("4 errors; the running configuration is unchanged"));
}
