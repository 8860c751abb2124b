//! `/metrics` of a running server: what it says is true, survives reloads, is read by Prometheus' own tools, and holds
//! every name that dashboard, rules and documentation use.

mod common;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use common::dns::Question;
use common::dns::ask;
use common::dns::rtype;
use common::poll;
use common::servers::Server;
use common::servers::rhumb_at;

const RHUMB: &str = env!("CARGO_BIN_EXE_rhumb");
const COUNTRIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/geo/country.mmdb");
/// Longer than any of it takes on a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// An endpoint that accepts connections as long as it lives.
struct Endpoint {
    address: SocketAddr,
}

impl Endpoint {
    fn start(ip: [u8; 4]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::from(ip), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || listener.incoming().for_each(drop));
        Endpoint { address }
    }
}

/// A server on loopback, with one endpoint that is up and one that refuses.
struct Site {
    dir: tempfile::TempDir,
    server: Server,
    up: Endpoint,
    refusing: SocketAddr,
}

impl Site {
    fn start() -> Site {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::copy(COUNTRIES, dir.path().join("country.mmdb")).unwrap();
        fs::write(dir.path().join("zones/example.com.zone"), zone(7)).unwrap();
        let up = Endpoint::start([127, 0, 9, 1]);
        // Nobody listens there while this socket, bound and not listening, holds the port.
        let refusing = TcpListener::bind("127.0.9.2:0").unwrap().local_addr().unwrap();
        let config = config(up.address, refusing, "");
        let server = rhumb_at(common::free_address(), dir.path(), &dir.path().join("zones"), &config);
        Site { dir, server, up, refusing }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn rhumb(&self, args: &[&str]) -> Option<i32> {
        let output = Command::new(RHUMB).args(args).current_dir(self.dir.path()).output().unwrap();
        output.status.code()
    }

    fn reload_with(&self, more: &str) -> Option<i32> {
        let listen = format!("[server]\nlisten = [\"{}\"]\nzones_dir = \"zones\"\n", self.server.address);
        let text = listen + &config(self.up.address, self.refusing, more);
        fs::write(self.path("edited.tmp"), text).unwrap();
        fs::rename(self.path("edited.tmp"), self.path("rhumb.toml")).unwrap();
        self.rhumb(&["reload"])
    }

    fn ask(&self, name: &str, rtype: u16) {
        ask(self.server.address, &Question::new(name, rtype));
    }

    /// The page, in the format that `accept` asks for, and its media type.
    fn page_as(&self, accept: &str) -> (String, String) {
        let mut stream = UnixStream::connect(self.path("admin.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").expect("a response");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "the body is whole: {head}");
        let kind =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-type: ").map(String::from));
        (body.to_owned(), kind.unwrap_or_default())
    }

    fn page(&self) -> Page {
        Page(self.page_as("*/*").0)
    }
}

/// A page in the older text format.
struct Page(String);

impl Page {
    /// The value of a series, as it is written.
    fn value(&self, series: &str) -> Option<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        line.parse().ok()
    }

    /// The names of all families with their types.
    fn families(&self) -> BTreeMap<String, String> {
        let typed = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        typed.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    }
}

fn zone(serial: u32) -> String {
    format!("$TTL 60\n@ SOA ns h {serial} 1h 15m 1w 60\n@ NS ns\nns A 192.0.2.53\nstatic A 192.0.2.1\n")
}

fn config(up: SocketAddr, refusing: SocketAddr, more: &str) -> String {
    format!(
        "[admin]\nsocket = \"admin.sock\"\n[geo]\ndatabases = [\"country.mmdb\"]\n\
         [region.east]\n[region.west]\n[region.empty]\n\
         [health_check.tcp]\ntype = \"tcp\"\ninterval = \"1s\"\nfast = \"100ms\"\ntimeout = \"500ms\"\n\
         [pool.east]\nregion = \"east\"\nhealth_check = \"tcp\"\n\
         endpoints = [{{ address = \"{}\", port = {} }}]\n\
         [pool.west]\nregion = \"west\"\nhealth_check = \"tcp\"\n\
         endpoints = [{{ address = \"{}\", port = {} }}]\n{more}\
         [vip.\"www.example.com.\"]\npolicy = \"failover\"\npools = [{{ pool = \"west\" }}, {{ pool = \"east\" }}]\n\
         [vip.\"lost.example.com.\"]\npolicy = \"failover\"\nwhen_all_down = \"servfail\"\n\
         pools = [{{ pool = \"west\" }}]\nfallback = \"none\"\n",
        up.ip(),
        up.port(),
        refusing.ip(),
        refusing.port(),
    )
    .replace("fallback = \"none\"\n", "")
}

/// Runs a program with this input; none when it is not installed.
fn run(program: &str, args: &[&str], input: &str) -> Option<(bool, String)> {
    let spawned =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else {
        eprintln!("SKIPPED: {program} is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some((output.status.success(), said))
}

#[test]
fn what_was_asked_and_believed_is_what_the_page_says() {
    let site = Site::start();
    let west_down = r#"rhumb_endpoint_transitions_total{pool="west",region="west",endpoint="127.0.9.2",to="down"}"#;
    assert!(poll(PATIENCE, || site.page().value(west_down) == Some(1.0)), "{}", site.page().0);
    for _ in 0..5 {
        site.ask("www.example.com.", rtype::A);
    }
    site.ask("static.example.com.", rtype::A);
    site.ask("missing.example.com.", rtype::AAAA);
    site.ask("www.elsewhere.test.", rtype::A);
    site.ask("lost.example.com.", rtype::A);

    let page = site.page();
    let says = |series: &str, value: f64| assert_eq!(page.value(series), Some(value), "{series}\n{}", page.0);
    says(r#"rhumb_vip_answers_total{vip="www.example.com.",pool="east",reason="next_ranked"}"#, 5.0);
    says(r#"rhumb_vip_answers_total{vip="lost.example.com.",pool="none",reason="all_down"}"#, 1.0);
    says(r#"rhumb_dns_requests_total{proto="udp",type="AAAA"}"#, 1.0);
    says(r#"rhumb_dns_responses_total{zone="example.com.",rcode="NXDOMAIN"}"#, 1.0);
    says(r#"rhumb_dns_responses_total{zone="example.com.",rcode="SERVFAIL"}"#, 1.0);
    says(r#"rhumb_dns_responses_total{zone="none",rcode="REFUSED"}"#, 1.0);
    says(r#"rhumb_dns_dropped_total{reason="unsent"}"#, 0.0);
    says(r#"rhumb_endpoint_up{pool="east",region="east",endpoint="127.0.9.1"}"#, 1.0);
    says(r#"rhumb_endpoint_up{pool="west",region="west",endpoint="127.0.9.2"}"#, 0.0);
    says(r#"rhumb_pool_up{pool="west",region="west"}"#, 0.0);
    says(r#"rhumb_pool_healthy_endpoints{pool="east",region="east"}"#, 1.0);
    says(r#"rhumb_pool_endpoints{pool="west",region="west"}"#, 1.0);
    says(r#"rhumb_region_up{region="east"}"#, 1.0);
    says(r#"rhumb_region_up{region="west"}"#, 0.0);
    says(r#"rhumb_region_up{region="empty"}"#, 1.0);
    says("rhumb_vips_down", 1.0);
    says(r#"rhumb_zone_serial{zone="example.com."}"#, 7.0);
    says("rhumb_config_last_reload_successful", 1.0);
    says("rhumb_world_generation", 1.0);
    says("rhumb_ready", 1.0);
    says(concat!(r#"rhumb_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#), 1.0);
    let least = |series: &str, least: f64| assert!(page.value(series) >= Some(least), "{series}\n{}", page.0);
    least(r#"rhumb_check_results_total{pool="west",endpoint="127.0.9.2",result="fail"}"#, 1.0);
    least(r#"rhumb_check_duration_seconds_count{check="tcp"}"#, 2.0);
    least(r#"rhumb_check_duration_seconds_bucket{le="+Inf",check="tcp"}"#, 2.0);
    least(r#"rhumb_check_outcomes_total{check="tcp",code="L4CON"}"#, 1.0);
    assert!(page.0.lines().any(|line| line.starts_with("rhumb_geo_database_build_timestamp_seconds{database=")));
    least("process_resident_memory_bytes", 1e6);
    least("process_start_time_seconds", 1.7e9);
    least("process_open_fds", 5.0);
}

#[test]
fn counts_outlive_reloads_and_a_refused_one_is_told() {
    let site = Site::start();
    let answers = |page: &Page| -> f64 {
        let all = page.0.lines().filter(|line| line.starts_with(r#"rhumb_vip_answers_total{vip="www.example.com.""#));
        all.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    };
    for _ in 0..4 {
        site.ask("www.example.com.", rtype::A);
    }
    assert_eq!(answers(&site.page()), 4.0);
    let more = "[pool.added]\nregion = \"east\"\nendpoints = [{ address = \"192.0.2.77\" }]\n\
                [vip.\"added.example.com.\"]\npolicy = \"failover\"\npools = [{ pool = \"added\" }]\n";
    assert_eq!(site.reload_with(more), Some(0));
    site.ask("www.example.com.", rtype::A);
    site.ask("added.example.com.", rtype::A);
    let page = site.page();
    assert_eq!(answers(&page), 5.0);
    let preferred = r#"rhumb_vip_answers_total{vip="added.example.com.",pool="added",reason="preferred"}"#;
    assert_eq!(page.value(preferred), Some(1.0));
    assert_eq!(page.value(r#"rhumb_config_reloads_total{result="applied"}"#), Some(1.0), "{}", page.0);

    assert_eq!(site.reload_with("[pool.added]\n"), Some(3));
    let page = site.page();
    assert_eq!(page.value("rhumb_config_last_reload_successful"), Some(0.0));
    assert_eq!(page.value("rhumb_world_generation"), Some(2.0));
    assert!(page.value(r#"rhumb_config_reloads_total{result="refused"}"#) >= Some(1.0));
    assert!(page.value(r#"rhumb_check_results_total{pool="west",endpoint="127.0.9.2",result="fail"}"#) > Some(0.0));
    assert_eq!(answers(&page), 5.0);
}

#[test]
fn what_is_configured_of_the_proxy_is_there_before_its_first_request() {
    let site = Site::start();
    let proxied = "[pool.app]\nregion = \"east\"\n\
                   endpoints = [{ address = \"127.0.9.3\", port = 81 }, { address = \"127.0.9.3\", port = 82 }]\n\
                   [[listener]]\nname = \"edge\"\nregion = \"east\"\nbind = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
                   routes = [{ name = \"all\", pool = \"app\" }]\n";
    assert_eq!(site.reload_with(proxied), Some(0));
    let page = site.page();
    for series in [
        r#"rhumb_proxy_requests_total{listener="edge",route="all",pool="app",code="503"}"#,
        r#"rhumb_proxy_request_duration_seconds_count{listener="edge"}"#,
        r#"rhumb_proxy_connections{listener="edge"}"#,
        r#"rhumb_proxy_upstream_failures_total{pool="app",reason="connect"}"#,
        r#"rhumb_proxy_ejections_total{pool="app",endpoint="127.0.9.3:81"}"#,
        r#"rhumb_proxy_ejections_total{pool="app",endpoint="127.0.9.3:82"}"#,
        r#"rhumb_proxy_access_log_dropped_total{reason="full"}"#,
    ] {
        assert_eq!(page.value(series), Some(0.0), "{series}\n{}", page.0);
    }
    assert_eq!(page.value(r#"rhumb_endpoint_answered{pool="app",region="east",endpoint="127.0.9.3:82"}"#), Some(1.0));
    let series = page.0.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.rsplit_once(' ')?.0));
    let mut seen = BTreeSet::new();
    series.for_each(|series| assert!(seen.insert(series), "{series} is there twice"));
    if let Some((clean, said)) = run("promtool", &["check", "metrics"], &page.0) {
        assert!(clean && said.trim().is_empty(), "{said}");
    }
    let output =
        Command::new(RHUMB).args(["get", "listeners", "--region", "east"]).current_dir(site.dir.path()).output();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    let line: Vec<&str> = said.lines().last().unwrap_or_default().split_whitespace().collect();
    assert_eq!(line[..6], ["proxy", "HTTP", "127.0.0.1:0", "edge", "east", "1"], "{said}");
}

#[test]
fn prometheus_finds_nothing_to_complain_about() {
    let site = Site::start();
    site.ask("www.example.com.", rtype::A);
    let (classic, kind) = site.page_as("text/plain");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    if let Some((clean, said)) = run("promtool", &["check", "metrics"], &classic) {
        assert!(clean && said.trim().is_empty(), "{said}");
    }
    let (open, kind) = site.page_as("application/openmetrics-text; version=1.0.0");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.ends_with("# EOF\n"));
    assert!(open.contains("# TYPE rhumb_dns_requests counter\n"), "{open}");
    assert!(open.contains("rhumb_dns_requests_total{proto=\"udp\",type=\"A\"} 1\n"), "{open}");
    assert!(!classic.contains("# EOF"));
    assert_eq!(Page(classic).families().get("rhumb_dns_requests_total").map(String::as_str), Some("counter"));
}

const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging");

/// The names of metrics in a text: ours, and those of the process. Recording rules have colons and are not among them.
fn names_in(text: &str) -> BTreeSet<String> {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !part_of_name(c));
    let names = words.filter(|word| word.starts_with("rhumb_") || word.starts_with("process_"));
    names.filter(|name| !name.contains(':')).map(str::to_owned).collect()
}

/// The family of a series' name: histograms have three.
fn family(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

#[test]
fn dashboard_rules_and_documentation_name_what_a_server_has() {
    let site = Site::start();
    let page = site.page();
    let families = page.families();
    for file in ["prometheus/rules.yml", "prometheus/alerts.yml", "prometheus/tests.yml", "grafana/rhumb.json"] {
        let text = fs::read_to_string(format!("{PACKAGING}/{file}")).unwrap();
        let named = names_in(&text);
        assert!(named.len() >= 5, "{file}: {named:?}");
        for name in named {
            assert!(families.contains_key(&name) || families.contains_key(family(&name)), "{file} names {name}");
        }
    }
    let readme = fs::read_to_string(format!("{PACKAGING}/prometheus/README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<&str> = rows.map(|(name, _)| name).collect();
    let served: BTreeSet<&str> = families.keys().map(String::as_str).collect();
    assert_eq!(documented, served, "the table of packaging/prometheus/README.md");
    for name in families.keys() {
        let help = format!("# HELP {name} ");
        assert!(page.0.lines().any(|line| line.strip_prefix(&help).is_some_and(|words| words.len() > 5)), "{name}");
    }
}

#[test]
fn the_dashboard_reads_recording_rules_that_there_are() {
    let rules = fs::read_to_string(format!("{PACKAGING}/prometheus/rules.yml")).unwrap();
    let recorded: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    let text = fs::read_to_string(format!("{PACKAGING}/grafana/rhumb.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut read = BTreeSet::new();
    for file in [text.as_str(), &fs::read_to_string(format!("{PACKAGING}/prometheus/alerts.yml")).unwrap()] {
        let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        read.extend(file.split(|c| !part_of_name(c)).filter(|word| word.starts_with("rhumb:")).map(str::to_owned));
    }
    assert!(read.len() >= 5);
    for name in &read {
        assert!(recorded.contains(&**name), "{name} is no rule of rules.yml");
    }
    let mut seen = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(seen.insert(panel["id"].as_u64().unwrap()), "{title}: two panels have its number");
        let targets = panel["targets"].as_array().map_or(0, Vec::len);
        assert!(panel["type"] == "row" || targets > 0, "{title} shows nothing");
    }
}

#[test]
fn promtool_finds_the_rules_sound_and_they_alert_as_they_should() {
    for args in [["check", "rules", "rules.yml", "alerts.yml"].as_slice(), &["test", "rules", "tests.yml"]] {
        let ran = Command::new("promtool").args(args).current_dir(format!("{PACKAGING}/prometheus")).output();
        let Ok(output) = ran else { return eprintln!("SKIPPED: promtool is not installed") };
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {said}");
    }
}
