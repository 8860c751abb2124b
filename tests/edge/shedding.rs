//! From requests in hand to answers of DNS: a region that is full sends clients elsewhere, in one process or read from another, and
//! says so wherever an operator looks.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::dns::Question;
use crate::common::dns::ask;
use crate::common::dns::rtype;
use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::get;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::only_for_rhumb;
use crate::kit::operator::ADMIN;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::fixed;

/// Networks that are asked for.
const NETWORKS: u8 = 40;
/// A region elsewhere, a VIP in both, and where the load of the first pool is read.
const VIP: &str = "[region.there]\n[pool.here-vip]\nregion = \"here\"\nendpoints = [{ address = \"127.0.0.1\" }]\nLOAD\n\
                   [pool.there-vip]\nregion = \"there\"\nendpoints = [{ address = \"127.0.0.2\" }]\n\
                   [vip.\"www.example.com.\"]\npolicy = \"failover\"\nttl = \"2s\"\n\
                   pools = [{ pool = \"here-vip\" }, { pool = \"there-vip\" }]\n";

fn zone(edge_dir: &std::path::Path) -> String {
    let file = edge_dir.join("example.com.zone");
    std::fs::write(&file, "$TTL 60\n@ SOA ns1 hostmaster 1 1h 15m 1w 60\n@ NS ns1\nns1 A 127.0.0.1\n").unwrap();
    format!("[zone.\"example.com.\"]\nfile = \"{}\"\n", file.display())
}

/// An origin that answers when it is told to.
fn slow() -> (Origin, Arc<AtomicBool>) {
    let free = Arc::new(AtomicBool::new(false));
    let told = free.clone();
    let origin = Origin::start(move |_| {
        // Each connection has a thread of its own.
        poll(PATIENCE * 10, || told.load(Ordering::SeqCst));
        fixed(200, "")
    });
    (origin, free)
}

/// For how many networks the answer is the region elsewhere, and the least scope of such answers.
fn moved(edge: &Edge) -> (usize, u8) {
    let dns = edge.daemon().1.dns()[0];
    let (mut moved, mut scope) = (0, u8::MAX);
    for network in 0..NETWORKS {
        let question = Question::new("www.example.com", rtype::A).edns(1232).subnet(&format!("192.0.{network}.0"), 24);
        let reply = ask(dns, &question);
        scope = scope.min(reply.subnet_scope().expect("a scope"));
        moved += usize::from(reply.addresses().contains(&"127.0.0.2".parse::<std::net::IpAddr>().unwrap()));
    }
    (moved, scope)
}

#[track_caller]
fn within(what: &str, limit: Duration, done: impl FnMut() -> bool) {
    assert!(poll(limit, done), "never: {what}");
}

const SHED: &str = "rhumb_pool_shed_ratio{pool=\"here-vip\",region=\"here\"}";

fn shed_and_return(edge: &Edge, free: &AtomicBool) {
    within("a load that is known", PATIENCE, || edge.admin("GET", "/v1/pools/here-vip", "").1.contains("\"load\":0.0"));
    assert_eq!(moved(edge), (0, 0), "nobody goes, and one answer is for all");
    // Ten may be in hand.
    let mut clients: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = Client::connect(edge.address);
            client.send(get("/"));
            client
        })
        .collect();
    within("ten requests in hand", PATIENCE, || {
        edge.admin("GET", "/v1/headroom", "").1.contains("\"in_flight\":10,\"queue\":0,\"capacity\":10,\"load\":1.0")
    });
    within("a share that is shed", Duration::from_secs(60), || edge.metric(SHED) > 0.1 && moved(edge).0 > 2);
    let (_, scope) = moved(edge);
    assert_eq!(scope, 24, "answers are for the network whose hash decided");
    let (_, status) = edge.admin("GET", "/v1/status", "");
    assert!(status.contains("\"loaded\":[{\"pool\":\"here-vip\""), "{status}");
    let explained =
        |network: u8| edge.admin("GET", &format!("/v1/explain?name=www.example.com&client=192.0.{network}.0/24"), "").1;
    let told: Vec<String> = (0..NETWORKS).map(explained).collect();
    assert!(told.iter().any(|said| said.contains("(load 1.00, low 0.70, high 0.90): this one goes elsewhere")));
    assert!(told.iter().any(|said| said.contains("first choice; sheds ") && said.contains(": this one stays")));
    let (_, events) = edge.admin("GET", "/v1/events", "");
    assert!(events.contains("\"kind\":\"load\",\"name\":\"here-vip\",\"from\":\"not-shedding\",\"to\":\"shedding\""));
    free.store(true, Ordering::SeqCst);
    clients.iter_mut().for_each(|client| assert_eq!(client.response().unwrap().status, 200));
    within("all to be back", Duration::from_secs(120), || edge.metric(SHED) == 0.0 && moved(edge) == (0, 0));
    assert!(edge.admin("GET", "/v1/events", "").1.contains("\"from\":\"shedding\",\"to\":\"not-shedding\""));
}

#[test]
fn a_region_that_is_full_sends_clients_elsewhere_in_the_same_process() {
    if only_for_rhumb() {
        return;
    }
    let ((origin, free), dir) = (slow(), tempfile::tempdir().unwrap());
    let vip = VIP.replace("LOAD", "load = { of = \"pool/origin\", interval = \"1s\" }");
    let setup =
        Setup::before(&origin).pool("max_requests = 10").section(ADMIN).section(&vip).section(&zone(dir.path()));
    shed_and_return(&setup.start(), &free);
}

#[test]
fn a_region_that_is_full_is_read_from_its_admin_api() {
    if only_for_rhumb() {
        return;
    }
    let ((origin, free), dir) = (slow(), tempfile::tempdir().unwrap());
    let port = crate::kit::edge::port();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    // The SHA-256 of "secret".
    let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let tokens = file("tokens.toml", &format!("[token.dns]\nsha256 = \"{digest}\"\nrole = \"read\"\n"));
    let token = file("dns.token", "secret\n");
    let admin = format!(
        "{ADMIN}listen = \"127.0.0.1:{port}\"\ntls = \"api\"\ntokens_file = \"{tokens}\"\n\
         [tls.api]\ncertificate = \"cert.pem\"\nkey_file = \"key.pem\"\n"
    );
    let load = format!(
        "load = {{ urls = [\"https://127.0.0.1:{port}/v1/headroom\"], interval = \"1s\", verify = false, \
         token_file = \"{token}\" }}"
    );
    let vip = VIP.replace("LOAD", &load);
    let setup =
        Setup::before(&origin).pool("max_requests = 10").section(&admin).section(&vip).section(&zone(dir.path()));
    shed_and_return(&setup.start(), &free);
}

#[test]
fn a_token_is_shown_to_the_publisher() {
    if only_for_rhumb() {
        return;
    }
    let publisher = Origin::start(|request| match request.header("authorization").as_deref() {
        Some("Bearer secret") => {
            fixed(200, r#"{"regions": [{"name": "here", "in_flight": 12, "queue": 3, "capacity": 100}]}"#)
        }
        _ => fixed(401, ""),
    });
    let (origin, dir) = (Origin::plain(), tempfile::tempdir().unwrap());
    let token = dir.path().join("dns.token");
    std::fs::write(&token, "secret\n").unwrap();
    let urls = format!("urls = [\"http://{}/v1/headroom\"]", publisher.address);
    let load = format!("load = {{ {urls}, interval = \"1s\", token_file = \"{}\" }}", token.display());
    let vip = VIP.replace("LOAD", &load);
    let edge = Setup::before(&origin).section(ADMIN).section(&vip).section(&zone(dir.path())).start();
    within("a load that is known", PATIENCE, || {
        edge.admin("GET", "/v1/pools/here-vip", "").1.contains("\"load\":0.15")
    });
    std::fs::write(&token, "another\n").unwrap();
    within("a refusal", PATIENCE, || edge.admin("GET", "/v1/events", "").1.contains("status 401"));
}

#[test]
fn documents_that_cannot_be_read_are_told_of_and_shed_nobody() {
    if only_for_rhumb() {
        return;
    }
    let bad: [(&str, Vec<Step>, &str); 5] = [
        ("status", fixed(500, "{}"), "status 500"),
        ("nonsense", fixed(200, "<html>"), "not a document of headroom"),
        ("missing", fixed(200, "{\"regions\": []}"), "nothing is said of region/here"),
        ("down", fixed(200, r#"{"regions": [{"name": "here", "in_flight": 0, "capacity": 0}]}"#), "bears nothing"),
        ("endless", fixed(200, vec![b' '; 2 << 20]), "more than 1048576 bytes"),
    ];
    for (what, steps, why) in bad {
        let publisher = Origin::start(move |_| steps.clone());
        let (origin, dir) = (Origin::plain(), tempfile::tempdir().unwrap());
        let load = format!("load = {{ urls = [\"http://{}/v1/headroom\"], interval = \"1s\" }}", publisher.address);
        let vip = VIP.replace("LOAD", &load);
        let edge = Setup::before(&origin).section(ADMIN).section(&vip).section(&zone(dir.path())).start();
        within(what, PATIENCE, || edge.admin("GET", "/v1/events", "").1.contains(why));
        assert!(edge.admin("GET", "/v1/events", "").1.contains("\"from\":\"known\",\"to\":\"unknown\""), "{what}");
        assert_eq!((edge.metric(SHED), moved(&edge).0), (0.0, 0), "{what}");
    }
}
