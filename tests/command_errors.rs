//! What every command says when it cannot do what it is asked, and what its help says: goldens of what people read, by
//! the real program, against real servers.
//!
//! One file for each case in `tests/golden/command`: the command line, its exit code, and both of its streams, with
//! folders, ports, times and versions taken out. `UPDATE_GOLDEN=1 cargo test --test command_errors` writes them anew.

mod common;

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use regex_lite::Regex;

use common::Running;
use common::free_port;

const GOLDENS: &str = "tests/golden/command";

/// What a client may request of `edge.toml`.
const URL_EU: &str = "http://www.example.com/api/v2/users?x=1";

/// One case: the golden's name, what stands after `rhumb`, and how it must end.
type Case = (&'static str, &'static [&'static str], i32);

/// What goes wrong before any server is asked.
const ALONE: &[Case] = &[
    ("no-verb", &[], 2),
    ("unknown-verb", &["statsu"], 2),
    ("unknown-option", &["status", "--wach"], 2),
    ("color-wrong", &["check", "--color", "sometimes"], 2),
    // Files
    ("check-no-file", &["check", "-c", "none.toml"], 3),
    ("check-invalid", &["check", "-c", "broken.toml"], 3),
    ("check-invalid-short", &["check", "-c", "broken.toml", "--format", "short"], 3),
    ("check-invalid-json", &["check", "-c", "broken.toml", "--format", "json"], 3),
    ("check-empty", &["check", "-c", "empty.toml"], 0),
    ("check-folder", &["check", "-c", "."], 3),
    ("serve-invalid", &["serve", "-c", "broken.toml"], 3),
    ("serve-no-file", &["serve", "-c", "none.toml"], 3),
    ("serve-no-permission", &["serve", "-c", "elsewhere.toml"], 1),
    ("zone-check-no-file", &["zone", "check", "none.zone"], 3),
    ("zone-check-invalid", &["zone", "check", "bad.zone"], 3),
    ("zone-no-verb", &["zone"], 2),
    ("geo-lookup-not-an-address", &["geo", "lookup", "somewhere"], 2),
    ("geo-lookup-no-database", &["geo", "lookup", "192.0.2.1", "--db", "none.mmdb"], 3),
    ("geo-info-no-database", &["geo", "info", "broken.toml"], 3),
    ("geo-build-no-folder", &["geo", "build", "--country", "country.mmdb", "--out", "none/out.mmdb"], 1),
    ("demo-regions", &["demo", "--regions", "9"], 2),
    ("demo-time", &["demo", "--fail-after", "15"], 2),
    ("explain-offline-invalid", &["explain", "www.example.com", "--offline", "-c", "broken.toml"], 3),
    ("explain-offline-client", &["explain", "www.example.com", "--offline", "--client", "somewhere"], 2),
    ("explain-offline-down", &["explain", "www.example.com", "--offline", "--down", "pool/eu-wbe"], 2),
    ("explain-two-places", &["explain", "www.example.com", "--client", "192.0.2.1", "--geo", "EU"], 2),
    ("explain-no-name", &["explain"], 2),
    ("explain-url-wrong", &["explain", "https:///x", "--offline", "-c", "edge.toml"], 2),
    ("explain-header-of-a-name", &["explain", "www.example.com", "--header", "x-canary: true"], 2),
    ("explain-header-wrong", &["explain", "http://www.example.com/", "--header", "x-canary"], 2),
    ("explain-unknown-listener", &["explain", URL_EU, "--offline", "-c", "edge.toml", "--listener", "edge-uu"], 2),
    // Requests, through all tiers
    ("explain-url", &["explain", URL_EU, "--offline", "-c", "edge.toml", "--client", "192.0.2.7"], 0),
    (
        "explain-url-canary",
        &["explain", URL_EU, "--offline", "-c", "edge.toml", "--header", "x-canary: true", "--cookie", "session=1"],
        0,
    ),
    ("explain-url-down", &["explain", URL_EU, "--offline", "-c", "edge.toml", "--down", "region/eu-west"], 0),
    (
        "explain-url-fallback",
        &["explain", URL_EU, "--offline", "-c", "edge.toml", "--down", "pool/eu-app", "--method", "POST"],
        0,
    ),
    (
        "explain-url-backup",
        &["explain", URL_EU, "--offline", "-c", "edge.toml", "--down", "endpoint/eu-app/10.0.0.1"],
        0,
    ),
    (
        "explain-url-sent-on",
        &[
            "explain",
            URL_EU,
            "--offline",
            "-c",
            "edge.toml",
            "--listener",
            "edge-us",
            "--down",
            "endpoint/us-app/10.1.0.1",
            "--down",
            "endpoint/us-app/10.1.0.2",
        ],
        0,
    ),
    (
        "explain-url-panic",
        &[
            "explain",
            URL_EU,
            "--offline",
            "-c",
            "edge.toml",
            "--listener",
            "edge-us",
            "--down",
            "endpoint/us-app/10.1.0.1",
            "--down",
            "endpoint/us-app/10.1.0.2",
            "--down",
            "pool/eu-edge",
        ],
        0,
    ),
    ("explain-url-refused", &["explain", "http://www.example.com/%2e%2e/x", "--offline", "-c", "edge.toml"], 0),
    ("explain-url-redirect", &["explain", "http://www.example.com/old?x", "--offline", "-c", "edge.toml"], 0),
    ("explain-url-address", &["explain", "http://198.51.100.10/", "--offline", "-c", "edge.toml"], 0),
    ("explain-url-no-listener", &["explain", "https://www.example.com/", "--offline", "-c", "edge.toml"], 0),
    ("diff-unreachable", &["diff"], 5),
    ("diff-from-invalid", &["diff", "--from", "broken.toml"], 3),
    ("diff-top", &["diff", "--top", "many"], 2),
    ("simulate-unknown", &["simulate", "--down", "region/mars"], 2),
    ("simulate-no-demand", &["simulate", "--demand", "none.csv"], 3),
    ("simulate-demand-and-total", &["simulate", "--demand", "none.csv", "--total", "100"], 2),
    ("simulate-invalid", &["simulate", "-c", "broken.toml"], 3),
    ("simulate-live-unreachable", &["simulate", "--live"], 5),
    // Words
    ("completions-unknown-shell", &["completions", "tcsh"], 2),
    ("man-no-folder", &["man", "broken.toml"], 1),
    ("schema-unknown", &["schema", "zone"], 2),
    ("drain-no-subject", &["drain"], 2),
    ("drain-not-a-subject", &["drain", "eu-web"], 2),
    ("drain-for-number", &["drain", "pool/eu-web", "--for", "30"], 2),
    ("drain-until-words", &["drain", "pool/eu-web", "--until", "tomorrow"], 2),
    ("drain-for-and-until", &["drain", "pool/eu-web", "--for", "1m", "--until", "2026-11-18T10:00:00Z"], 2),
    ("maint-not-a-subject", &["maint", "endpoint/eu-web"], 2),
    ("force-what", &["force", "pool/eu-web", "sideways"], 2),
    ("force-auto-for", &["force", "pool/eu-web", "auto", "--for", "1m"], 2),
    ("weight-of-a-pool", &["weight", "pool/eu-web", "5"], 2),
    ("weight-negative", &["weight", "eu-web/127.0.0.1", "1.5"], 2),
    ("undrain-not-a-subject", &["undrain", "region/"], 2),
    ("get-what", &["get", "pods"], 2),
    ("get-standing", &["get", "pools", "--standing", "sick"], 2),
    ("events-number", &["events", "--from", "first"], 2),
    ("reload-wait", &["reload", "--wait", "10"], 2),
    // Where the server is
    ("status-no-config", &["status", "-c", "none.toml"], 2),
    ("status-no-socket", &["status", "-c", "socketless.toml"], 2),
    ("status-config-invalid", &["status", "-c", "sections.toml"], 3),
    ("status-unreachable", &["status"], 5),
    ("status-watch-unreachable", &["status", "--watch"], 5),
    ("status-socket-unreachable", &["status", "--socket", "nobody.sock"], 5),
    ("status-server-unreachable", &["status", "--server", "http://127.0.0.1:1"], 5),
    ("status-server-not-a-url", &["status", "--server", "127.0.0.1:8853"], 2),
    ("status-socket-and-server", &["status", "--socket", "a.sock", "--server", "http://127.0.0.1:1"], 2),
    ("status-token-missing", &["status", "--server", "http://127.0.0.1:1", "--token-file", "none.token"], 1),
    ("status-token-empty", &["status", "--server", "http://127.0.0.1:1", "--token-file", "empty.toml"], 1),
    ("status-roots-missing", &["status", "--server", "https://127.0.0.1:1", "--ca-file", "none.pem"], 1),
    ("get-unreachable", &["get", "pools"], 5),
    ("drain-unreachable", &["drain", "region/eu-west"], 5),
    ("maint-unreachable", &["maint", "region/eu-west"], 5),
    ("force-unreachable", &["force", "region/eu-west", "down"], 5),
    ("weight-unreachable", &["weight", "eu-web/127.0.0.1", "5"], 5),
    ("undrain-unreachable", &["undrain", "region/eu-west"], 5),
    ("events-unreachable", &["events", "-f"], 5),
    ("reload-unreachable", &["reload"], 5),
    ("explain-unreachable", &["explain", "www.example.com"], 5),
];

/// Stands for the URL of the server's API, whose port differs from run to run.
const URL: &str = "http://URL";

/// What a server says no to, or is told all the same.
const ASKED: &[Case] = &[
    ("drain-unknown-pool", &["drain", "pool/eu-wbe"], 1),
    ("drain-unknown-region", &["drain", "region/mars"], 1),
    ("drain-unknown-endpoint", &["drain", "endpoint/eu-web/127.0.0.9"], 1),
    ("drain-unsafe", &["drain", "region/eu-west"], 4),
    ("drain-unsafe-pool", &["drain", "pool/eu-web", "--for", "10m"], 4),
    ("force-unsafe", &["force", "pool/eu-web", "down"], 4),
    ("maint-unsafe", &["maint", "endpoint/eu-web/127.0.0.1"], 4),
    ("drain-past", &["drain", "pool/spare", "--until", "2020-01-01T00:00:00Z"], 2),
    ("weight-unknown-endpoint", &["weight", "eu-web/127.0.0.9", "5"], 1),
    ("undrain-unknown", &["undrain", "pool/eu-wbe"], 1),
    ("undrain-nothing", &["undrain", "pool/spare"], 0),
    ("weight-auto-nothing", &["weight", "eu-web/127.0.0.1", "auto"], 0),
    ("get-unknown-pool", &["get", "pool", "eu-wbe"], 1),
    ("get-unknown-vip", &["get", "vip", "ww.example.com"], 1),
    ("get-unknown-zone", &["get", "zone", "example.net"], 1),
    ("get-unknown-endpoint", &["get", "endpoint", "eu-web/127.0.0.9"], 1),
    ("get-no-override", &["get", "override", "pool/spare"], 1),
    ("get-pools-of-unknown-region", &["get", "pools", "--region", "eu-wset"], 1),
    ("get-zones-of-pool", &["get", "zones", "--pool", "eu-web"], 2),
    ("explain-unknown-type", &["explain", "www.example.com", "--type", "AAAAA"], 2),
    ("explain-unknown-down", &["explain", "www.example.com", "--down", "pool/eu-wbe"], 2),
    ("explain-not-ours", &["explain", "www.example.net"], 0),
    ("status-token-wrong", &["status", "--server", URL, "--token-file", "wrong.token"], 1),
    ("drain-no-token", &["drain", "pool/spare", "--server", URL], 1),
    ("drain-token-may-only-look", &["drain", "pool/spare", "--server", URL, "--token-file", "reader.token"], 1),
    ("reload-refused", &["reload", "-c", "rhumb.toml"], 3),
];

/// Help, as people read it.
const HELP: &[&[&str]] = &[
    &[],
    &["serve"],
    &["demo"],
    &["check"],
    &["reload"],
    &["status"],
    &["get"],
    &["events"],
    &["explain"],
    &["drain"],
    &["maint"],
    &["force"],
    &["weight"],
    &["undrain"],
    &["diff"],
    &["simulate"],
    &["zone"],
    &["zone", "check"],
    &["geo"],
    &["geo", "lookup"],
    &["geo", "info"],
    &["geo", "build"],
    &["completions"],
    &["man"],
    &["schema"],
];

/// Two regions, each with load balancers for DNS and an application behind them.
const EDGE: &str = r#"
[server]
listen = ["127.0.0.1:5300"]
zones_dir = "edge-zones"
[region.eu-west]
[region.us-east]
[pool.eu-edge]
region = "eu-west"
endpoints = [{ address = "192.0.2.10" }]
[pool.us-edge]
region = "us-east"
endpoints = [{ address = "198.51.100.10" }]
[pool.eu-app]
region = "eu-west"
fallback = "eu-canary"
balance = "ring_hash"
hash_on = "query:x"
endpoints = [{ address = "10.0.0.1", port = 8080, weight = 3 }, { address = "10.0.0.2", port = 8080 }, { address = "10.0.0.3", port = 8080, backup = true }]
[pool.eu-canary]
region = "eu-west"
endpoints = [{ address = "10.0.0.9", port = 8080 }, { address = "10.0.0.10", port = 8080, weight = 3 }]
[pool.us-app]
region = "us-east"
balance = "least_conn"
endpoints = [{ address = "10.1.0.1" }, { address = "10.1.0.2" }]
[vip."www.example.com."]
policy = "failover"
pools = [{ pool = "eu-edge" }, { pool = "us-edge" }]
[[listener]]
name = "edge-eu"
region = "eu-west"
bind = "192.0.2.10:80"
protocol = "http"
routes = [
  { name = "canary", path_prefix = "/api/", headers = { x-canary = "true" }, pool = "eu-canary", sticky = "srv" },
  { name = "api", path_prefix = "/api/", pool = "eu-app", rewrite = { prefix = "/" }, timeout = "5s", retries = 2, request_headers = { set = { x-region = "eu" }, remove = ["x-debug"] } },
  { name = "old", path_prefix = "/old", redirect = { to = "https://{host}/new{uri}", status = 301 } },
  { name = "rest", pools = [{ pool = "eu-app", weight = 95 }, { pool = "eu-canary", weight = 5 }], expires = "30d", response_headers = { remove = ["server"] } },
]
[[listener]]
name = "edge-us"
region = "us-east"
bind = "198.51.100.10:80"
protocol = "http"
routes = [{ pool = "us-app" }]
"#;

/// A folder with the files that the cases name, and no server.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    put("empty.toml", "");
    put("broken.toml", "[server]\nlisten = [\"127.0.0.1:5300\"]\nzone_dir = \"zones\"\n[pool.web]\nregion = \"eu\"\n");
    put("sections.toml", "[sever]\n");
    put("socketless.toml", "[server]\nlisten = [\"127.0.0.1:5300\"]\n");
    // Documentation addresses are nobody's, so nothing can be bound there.
    put("elsewhere.toml", "[server]\nlisten = [\"192.0.2.1:5300\"]\n");
    put("rhumb.toml", "[server]\nlisten = [\"127.0.0.1:5300\"]\n[admin]\nsocket = \"admin.sock\"\n");
    put("edge.toml", EDGE);
    fs::create_dir(folder.path().join("edge-zones")).unwrap();
    put("edge-zones/example.com.zone", "$TTL 1h\n@ SOA ns hostmaster 1 2h 15m 2w 5m\n@ NS ns\nns A 192.0.2.53\n");
    put("wrong.token", "guessed\n");
    put("reader.token", "test\n");
    put("bad.zone", "$TTL 1h\n@ SOA ns hostmaster 1 2h 15m 2w 5m\n@ NS ns\nns A 192.0.2.300\n");
    fs::copy("geo/country.mmdb", folder.path().join("country.mmdb")).unwrap();
    folder
}

/// Runs `rhumb` in a folder; its command line, exit code and streams as a golden has them.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    for name in ["RHUMB_CONFIG", "RHUMB_SOCKET", "RHUMB_SERVER", "RHUMB_TOKEN_FILE", "NO_COLOR", "RHUMB_LOG"] {
        command.env_remove(name);
    }
    let url = fs::read_to_string(folder.join("url")).unwrap_or_default();
    let given = arguments.iter().map(|argument| if *argument == URL { url.as_str() } else { argument });
    let out = command.args(given).current_dir(folder).env("COLUMNS", "100").output().unwrap();
    let code = out.status.code().unwrap_or(-1);
    let shown: Vec<String> =
        arguments.iter().map(|a| if a.contains(' ') { format!("'{a}'") } else { (*a).to_owned() }).collect();
    let mut text = format!("$ rhumb {}\n", shown.join(" ")).replace(" \n", "\n");
    for (name, stream) in [("stdout", &out.stdout), ("stderr", &out.stderr)] {
        if !stream.is_empty() {
            text += &format!("--- {name}\n{}\n", String::from_utf8_lossy(stream).trim_end());
        }
    }
    text += &format!("--- exit {code}\n");
    (code, lasting(&text, folder))
}

/// Without what differs from run to run.
fn lasting(text: &str, folder: &Path) -> String {
    let real = folder.canonicalize().unwrap();
    let text = text.replace(real.to_str().unwrap(), "FOLDER").replace(folder.to_str().unwrap(), "FOLDER");
    let rules = [
        (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z", "TIME"),
        (r"(127\.0\.0\.1|\[::1\]):[0-9]{4,5}", "$1:PORT"),
        (r"rhumb [0-9]+\.[0-9]+\.[0-9]+", "rhumb VERSION"),
    ];
    rules.iter().fold(text, |text, (from, to)| Regex::new(from).unwrap().replace_all(&text, *to).into_owned())
}

/// Compares with the golden of this name; what differs.
fn golden(name: &str, found: &str) -> Option<String> {
    let path = Path::new(GOLDENS).join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(GOLDENS).unwrap();
        fs::write(path, found).unwrap();
        return None;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    (expected != found).then(|| format!("--- {}: expected\n{expected}\n+++ found\n{found}", path.display()))
}

/// What every message owes its reader, whatever it says.
fn unreadable(name: &str, text: &str) -> Option<String> {
    let debug = ["Some(", "None)", "Err(", "Ok(", "os error", "panicked", "invalid digit", "Error {", "::Error"];
    let found = debug.iter().find(|word| text.contains(*word))?;
    Some(format!("{name}: `{found}` is nothing for people:\n{text}"))
}

fn check(folder: &Path, cases: &[Case]) {
    let mut wrong = Vec::new();
    for (name, arguments, exit) in cases {
        let (code, text) = run(folder, arguments);
        if code != *exit {
            wrong.push(format!("{name}: exit code {code}, not {exit}\n{text}"));
        }
        wrong.extend(unreadable(name, &text));
        wrong.extend(golden(name, &text));
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 writes them anew\n{}", wrong.join("\n"));
}

#[test]
fn errors_without_a_server_read_well() {
    check(folder().path(), ALONE);
}

#[test]
fn help_reads_well() {
    let folder = folder();
    let mut wrong = Vec::new();
    for verbs in HELP {
        let arguments: Vec<&str> = verbs.iter().copied().chain(["--help"]).collect();
        let (code, text) = run(folder.path(), &arguments);
        assert_eq!(code, 0, "{text}");
        wrong.extend(text.lines().filter(|line| line.chars().count() > 100).map(|line| format!("too wide: {line}")));
        wrong.extend(golden(&[&["help"][..], verbs].concat().join("-"), &text));
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 writes them anew\n{}", wrong.join("\n"));
}

#[test]
fn every_verb_has_a_golden_of_its_help_and_of_an_error() {
    let cases: Vec<&str> =
        ALONE.iter().chain(ASKED).filter_map(|(_, arguments, _)| arguments.first().copied()).collect();
    for verb in rhumb::cmd::command().get_subcommands() {
        let name = verb.get_name();
        assert!(HELP.contains(&&[name][..]), "no golden of `rhumb {name} --help`");
        assert!(cases.contains(&name), "no golden of an error of `rhumb {name}`");
    }
}

/// Serves a zone with one VIP of one pool that matters, and one that does not.
fn server(folder: &Path) -> Running {
    let (dns, admin) = (free_port(), free_port());
    let config = format!(
        "[server]\nlisten = [\"127.0.0.1:{dns}\"]\nzones_dir = \"zones\"\nstate_dir = \"state\"\n\
         [admin]\nsocket = \"admin.sock\"\nlisten = \"127.0.0.1:{admin}\"\ntokens_file = \"tokens.toml\"\n\
         [region.eu-west]\nlocation = [50.11, 8.68]\n[region.us-east]\nlocation = [39.04, -77.49]\n\
         [pool.eu-web]\nregion = \"eu-west\"\nendpoints = [{{ address = \"127.0.0.1\" }}]\n\
         [pool.spare]\nregion = \"us-east\"\nendpoints = [{{ address = \"127.0.0.2\" }}]\n\
         [vip.\"www.example.com.\"]\npolicy = \"failover\"\npools = [{{ pool = \"eu-web\" }}]\n\
         [vip.\"two.example.com.\"]\npolicy = \"failover\"\npools = [{{ pool = \"eu-web\" }}, {{ pool = \"spare\" }}]\n"
    );
    fs::write(folder.join("rhumb.toml"), config).unwrap();
    fs::write(folder.join("url"), format!("http://127.0.0.1:{admin}")).unwrap();
    // Of the secret `test`.
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let tokens = folder.join("tokens.toml");
    fs::write(&tokens, format!("[token.reader]\nsha256 = \"{hash}\"\n")).unwrap();
    fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(folder.join("zones")).unwrap();
    fs::copy("zones/example.com.zone", folder.join("zones/example.com.zone")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    command.args(["serve"]).current_dir(folder);
    let mut server = Running::start(command, "serve", folder);
    server.wait_until(|| run(folder, &["status", "--json"]).1.contains("\"ready\": true"));
    server
}

#[test]
fn errors_of_a_server_read_well() {
    let folder = folder();
    let _server = server(folder.path());
    // The last case reloads a file that is broken by then.
    let (reload, others) = ASKED.split_last().unwrap();
    check(folder.path(), others);
    let config = folder.path().join("rhumb.toml");
    let broken = fs::read_to_string(&config).unwrap().replace("pool = \"spare\"", "pool = \"spear\"");
    fs::write(&config, broken).unwrap();
    check(folder.path(), &[*reload]);
    let (code, status) = run(folder.path(), &["status"]);
    assert_eq!(code, 0);
    assert!(status.contains("RELOAD FAILED"), "{status}");
}

/// Something that listens and is no rhumb.
fn stranger(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn strangers_at_the_servers_address_are_told_of() {
    let folder = folder();
    let cases = [
        ("stranger-html", "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n<html>hi</html>", 5),
        ("stranger-not-found", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 5),
        ("stranger-no-http", "SSH-2.0-OpenSSH_9.9\r\n", 5),
        ("stranger-silent", "", 5),
    ];
    let mut wrong = Vec::new();
    for (name, answer, exit) in cases {
        let url = stranger(answer);
        let (code, text) = run(folder.path(), &["status", "--server", &url]);
        if code != exit {
            wrong.push(format!("{name}: exit code {code}, not {exit}\n{text}"));
        }
        wrong.extend(unreadable(name, &text));
        wrong.extend(golden(name, &text));
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 writes them anew\n{}", wrong.join("\n"));
}

#[test]
fn a_socket_that_one_may_not_use_is_told_of() {
    let folder = folder();
    let path = folder.path().join("admin.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if std::os::unix::net::UnixStream::connect(&path).is_ok() {
        common::skipped("permissions mean nothing to root");
        return;
    }
    let (code, text) = run(folder.path(), &["status"]);
    assert_eq!(code, 5);
    assert!(text.contains("permission denied"), "{text}");
}

#[test]
fn a_demo_that_cannot_listen_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = run(folder.path(), &["demo", "--write", "demo", "--listen", &address]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("error: "), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of it");
}
