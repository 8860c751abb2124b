//! Clients whose resolvers hold an old answer: a region that cannot serve them sends them on to where DNS would send them now, once.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::Response;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::port;
use crate::kit::edge::write_certificate;
use crate::kit::origin::Origin;
use crate::kit::origin::fixed;
use crate::kit::site::Site;
use crate::kit::site::pool;

const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1h 15m 1w 60\n@ NS ns\nns A 192.0.2.53\n";
/// What the tests' routes do to what goes through them.
const ROUTE: &str = "rewrite = { prefix = \"/app/\" }, path_prefix = \"/\", sticky = \"srv\", \
                     request_headers = { set = { x-by = \"REGION\" } }, response_headers = { add = { x-by = \"REGION\" } }";

/// Two regions with a listener and an application each, and a VIP that leads to both.
pub struct Regions {
    apps: [Origin; 2],
    /// Of region `here` on 127.0.0.1, of `there` on 127.0.0.2.
    pub listeners: [SocketAddr; 2],
}

impl Regions {
    pub fn new() -> Regions {
        let app = |name: &'static str| Origin::start(move |asked| fixed(200, format!("{name} {}", asked.target())));
        let listeners = [1, 2].map(|last| SocketAddr::from(([127, 0, 0, last], port())));
        Regions { apps: [app("here"), app("there")], listeners }
    }

    /// With more lines in each listener, and in each pool of the VIP.
    fn sections(&self, listener: &str, vip_pool: &str) -> String {
        let mut text = String::new();
        for (at, region) in ["here", "there"].into_iter().enumerate() {
            let protocol = if listener.contains("tls = ") { "https" } else { "http" };
            let (route, bind) = (ROUTE.replace("REGION", region), self.listeners[at]);
            text += &pool(&format!("app-{region}"), region, &[self.apps[at].address], "");
            text += &pool(&format!("lb-{region}"), region, &[bind], vip_pool);
            text += &format!(
                "[[listener]]\nname = \"{region}\"\nregion = \"{region}\"\nbind = \"{bind}\"\nprotocol = \"{protocol}\"\n{listener}\n\
                 routes = [{{ name = \"app\", pool = \"app-{region}\", {route} }}]\n"
            );
        }
        text + "[vip.\"www.example.com.\"]\npolicy = \"failover\"\nttl = \"2s\"\npools = [{ pool = \"lb-here\" }, { pool = \"lb-there\" }]\n"
    }

    fn start(&self, sections: &str) -> Site {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::write(dir.path().join("zones/example.com.zone"), ZONE).unwrap();
        write_certificate(dir.path());
        Site::start_in(dir, sections)
    }

    /// Both in one process.
    pub fn together(&self) -> Site {
        self.start(&(self.sections("", "") + "[access_log]\nfile = \"access.log\"\nformat = \"json\"\n"))
    }

    fn ask(&self, target: &str) -> Response {
        Client::connect(self.listeners[0]).send(get(target)).response().unwrap()
    }
}

/// A client that asks all the time, and is answered each time.
struct Load(Arc<AtomicBool>, JoinHandle<u64>);

impl Load {
    fn start(address: SocketAddr) -> Load {
        let is_over = Arc::<AtomicBool>::default();
        let told = is_over.clone();
        let asking = std::thread::spawn(move || {
            let (mut count, mut kept) = (0, Client::connect(address));
            while !told.load(Ordering::Relaxed) {
                let said = kept.send(get("/load")).response().unwrap();
                assert_eq!(said.status, 200, "{said:?}");
                if said.says_close() {
                    kept = Client::connect(address);
                }
                count += 1;
            }
            count
        });
        Load(is_over, asking)
    }

    /// How many answers it had.
    fn end(self) -> u64 {
        self.0.store(true, Ordering::Relaxed);
        self.1.join().unwrap()
    }
}

pub fn rhumb(site: &Site, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    let output = command.args(arguments).arg("--socket").arg(site.path("admin.sock")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn clients_of_a_drained_region_are_served_by_the_one_that_dns_names_now() {
    let regions = Regions::new();
    let site = regions.together();
    assert_eq!(regions.ask("/a").text(), "here /app/a");
    let load = Load::start(regions.listeners[0]);
    site.order(&["drain", "region/here"]);
    assert!(poll(PATIENCE, || regions.ask("/a").text() == "there /app/a"));
    // Who asks how this region is shall not hear of another.
    for lines in ["Host: 127.0.0.1", "Host: www.example.com\r\nUser-Agent: rhumb/0.1.0 (health probe)"] {
        let said = ask(regions.listeners[0], format!("GET /a HTTP/1.1\r\n{lines}\r\n\r\n")).unwrap();
        assert_eq!(said.text(), "here /app/a", "{lines}");
    }
    let said = regions.ask("/b?c=d");
    // The other region's routes are for it, and ours are not: nothing is done twice.
    assert_eq!(said.text(), "there /app/b?c=d");
    assert_eq!((said.all("x-by"), said.all("set-cookie").len()), (vec!["there"], 1));
    let taken = regions.apps[1].requests().into_iter().find(|taken| taken.target() == "/app/b?c=d").unwrap();
    assert_eq!(taken.header("x-by").as_deref(), Some("there"));
    assert_eq!(taken.header("host").as_deref(), Some("www.example.com"));
    assert_eq!(taken.header("cdn-loop").as_deref(), Some("rhumb; region=\"here\""));

    let explained = rhumb(&site, &["explain", "http://www.example.com/b", "--listener", "here"]);
    assert!(
        explained.contains("lb-there  use: of region there, where DNS sends this client now for www.example.com."),
        "{explained}"
    );
    let metrics = rhumb_metrics(&site);
    let count = metrics.lines().find_map(|line| {
        line.strip_prefix("rhumb_proxy_misdirected_requests_total{listener=\"here\",pool=\"lb-there\"} ")
    });
    assert!(count.is_some_and(|count| count.parse::<u64>().unwrap() >= 2), "{metrics}");
    let line = || fs::read_to_string(site.path("access.log")).unwrap_or_default();
    let is_logged = || line().lines().any(|line| line.contains("\"pool\":\"lb-there\",\"sent_on_to\":\"there\""));
    assert!(poll(PATIENCE, is_logged), "{}", line());

    site.order(&["undrain", "region/here"]);
    assert!(poll(PATIENCE, || regions.ask("/a").text() == "here /app/a"));
    assert!(load.end() > 20);
}

fn rhumb_metrics(site: &Site) -> String {
    use std::io::Read;
    use std::io::Write;
    let mut stream = std::os::unix::net::UnixStream::connect(site.path("admin.sock")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_region_whose_own_pool_is_down_sends_clients_on_too_and_serves_none_that_dns_would_not_send_elsewhere() {
    let regions = Regions::new();
    let site = regions.together();
    site.order(&["force", "pool/app-here", "down"]);
    assert!(poll(PATIENCE, || regions.ask("/a").text() == "there /app/a"));
    // Names that lead here by a CNAME of another's zone: the listener's address says which VIP it was.
    let other = "GET /a HTTP/1.1\r\nHost: shop.example.net\r\n\r\n";
    assert_eq!(ask(regions.listeners[0], other).unwrap().text(), "there /app/a");
    // WebSockets and all else go the same way; where DNS has no other region left, the pool serves as it can.
    site.order(&["drain", "pool/lb-there", "--force"]);
    assert!(poll(PATIENCE, || regions.ask("/a").text() == "here /app/a"), "{}", regions.ask("/a").text());
    let explained = rhumb(&site, &["explain", "http://www.example.com/b", "--listener", "here"]);
    assert!(explained.contains("and DNS would send it to no other region for www.example.com."), "{explained}");
}

#[test]
fn two_regions_that_each_believe_the_other_well_do_not_send_a_client_to_and_fro() {
    let regions = Regions::new();
    // Each in a process of its own, with beliefs of its own.
    let sections = regions.sections("", "");
    let listener = |at: usize| sections.match_indices("[[listener]]").nth(at).unwrap().0;
    let end = |from: usize| from + sections[from..].find(" }]\n").unwrap() + 4;
    let without = |at: usize| format!("{}{}", &sections[..listener(at)], &sections[end(listener(at))..]);
    let (here, there) = (regions.start(&without(1)), regions.start(&without(0)));
    assert_eq!(regions.ask("/a").text(), "here /app/a");
    here.order(&["drain", "region/here"]);
    there.order(&["drain", "region/there"]);
    assert!(poll(PATIENCE, || regions.ask("/a").text() == "there /app/a"), "{}", regions.ask("/a").text());
    let said = Client::connect(regions.listeners[1]).send(get("/b")).response().unwrap();
    assert_eq!(said.text(), "here /app/b", "the other way it is the same");
    // Whoever bears the mark is served where it arrives, whoever wrote it.
    let marked = "GET /c HTTP/1.1\r\nHost: www.example.com\r\nCDN-Loop: other; x=1, rhumb\r\n\r\n";
    assert_eq!(ask(regions.listeners[0], marked).unwrap().text(), "here /app/c");
    assert_eq!(regions.apps[0].requests().len(), 3);
    assert!(!regions.apps[1].requests().is_empty());
}

#[test]
fn a_listener_that_is_told_so_sends_nobody_on() {
    let regions = Regions::new();
    let site = regions.start(&regions.sections("misdirected = \"serve\"", ""));
    site.order(&["drain", "region/here"]);
    let is_told = || Client::connect(regions.listeners[0]).send(get("/a")).response().unwrap();
    assert!(poll(PATIENCE, || is_told().says_close()));
    assert_eq!(is_told().text(), "here /app/a");
    let explained = rhumb(&site, &["explain", "http://www.example.com/b", "--listener", "here"]);
    assert!(explained.contains("and its listener sends nobody on to other regions"), "{explained}");
}

#[test]
fn what_came_over_tls_goes_on_over_tls_or_not_at_all() {
    let tls = "tls = { server_name = \"www.example.com\", ca_file = \"cert.pem\" }";
    let certificate = "[tls.www]\ncertificate = \"cert.pem\"\nkey_file = \"key.pem\"\n";
    for (vip_pool, answers) in [("", "here /app/a"), (tls, "there /app/a")] {
        let regions = Regions::new();
        let sections = regions.sections("tls = \"www\"", vip_pool);
        let site = regions.start(&(sections + certificate));
        let curl = |target: &str| {
            let at = regions.listeners[0];
            let mut command = Command::new("curl");
            command.args(["-sS", "--max-time", "10", "--noproxy", "*", "--cacert"]).arg(site.path("cert.pem"));
            command.args(["--resolve", &format!("www.example.com:{}:{}", at.port(), at.ip())]);
            let output = command.arg(format!("https://www.example.com:{}{target}", at.port())).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(curl("/a"), "here /app/a");
        site.order(&["drain", "region/here"]);
        assert!(poll(PATIENCE, || curl("/a") == answers), "{}", curl("/a"));
        assert_eq!(curl("/a"), answers);
        if vip_pool.is_empty() {
            let explained = rhumb(&site, &["explain", "https://www.example.com/b", "--listener", "here"]);
            assert!(explained.contains("lb-there, to which DNS would send it now, has no `tls`"), "{explained}");
        }
    }
}
