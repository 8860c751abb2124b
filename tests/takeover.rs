//! A second server takes over the sockets of the first: no query is lost, no answer is wrong, and whatever goes wrong on
//! the way, one of them answers.
//!
//! `RHUMB_TAKEOVERS=60 RHUMB_TAKEOVER_RATE=5000 cargo test --release --test takeover -- --nocapture under_load` is the
//! long run: 60 takeovers, one each second, under 5,000 queries a second. By default there are fewer of both.

mod common;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use common::Running;
use common::dns::Question;
use common::dns::Reply;
use common::dns::ask;
use common::dns::ask_tcp;
use common::dns::rtype;
use common::dns::tcp;
use common::dns::udp_within;
use common::poll;
use rhumb::runtime::clock::Clock;
use rhumb::runtime::handover::Line;
use rhumb::runtime::handover::Message;

const RHUMB: &str = env!("CARGO_BIN_EXE_rhumb");
/// Longer than any of it takes on a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);
/// The kernel's queue of one client socket: a busy machine must not lose answers at our end.
const CLIENT_BUFFER_BYTES: usize = 4 << 20;
/// Clients that ask over UDP, each with a socket of its own, so that all sockets of the server are dealt queries.
const CLIENTS: usize = 4;

const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1h 15m 1w 60\n@ NS ns\nns A 192.0.2.53\nstatic A 192.0.2.1\n";
const NAMES: [(&str, &str); 2] = [("static.example.com.", "192.0.2.1"), ("www.example.com.", "192.0.2.10")];

fn from_environment(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A folder with what a server needs, and the processes that served from it.
struct Site {
    dir: tempfile::TempDir,
    address: SocketAddr,
    started: usize,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::write(dir.path().join("zones/example.com.zone"), ZONE).unwrap();
        let site = Site { dir, address: common::free_address(), started: 0 };
        site.configure(&[site.address], "udp_workers = 2\n");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, listen: &[SocketAddr], server: &str) {
        let listen: Vec<String> = listen.iter().map(|address| format!("\"{address}\"")).collect();
        let text = format!(
            "[server]\nlisten = [{}]\nzones_dir = \"zones\"\nstate_dir = \"state\"\n{server}[admin]\nsocket = \"admin.sock\"\n\
             [region.one]\n[pool.one]\nregion = \"one\"\nendpoints = [{{ address = \"192.0.2.10\" }}]\n\
             [vip.\"www.example.com.\"]\npolicy = \"failover\"\npools = [{{ pool = \"one\" }}]\n",
            listen.join(", ")
        );
        let beside = self.path("rhumb.toml.new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, self.path("rhumb.toml")).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(RHUMB);
        command.args(arguments).current_dir(self.dir.path()).env("NO_COLOR", "1").env("RHUMB_LOG", "info");
        command
    }

    fn serve(&mut self, arguments: &[&str]) -> Running {
        self.started += 1;
        let command = self.command(&[&["serve"][..], arguments].concat());
        Running::start(command, &format!("rhumb-{}", self.started), self.dir.path())
    }

    /// A server that answers.
    fn first(&mut self) -> Running {
        let mut server = self.serve(&[]);
        let question = Question::new(NAMES[0].0, rtype::A).to_bytes();
        server.wait_until(|| udp_within(self.address, &question, Duration::from_millis(100)).is_some());
        server.wait_until(|| self.path("admin.sock.takeover").exists());
        server
    }

    /// A server that has taken over from `former`, which has ended well.
    fn successor(&mut self, former: &mut Running) -> Running {
        let mut server = self.serve(&["--takeover"]);
        server.wait_until(|| server_says(self.dir.path(), self.started, "serving 1 region"));
        let ended = poll(PATIENCE, || !former.is_alive());
        assert!(ended, "the former has not ended; it said:\n{}", former.log());
        assert!(former.log().contains("has taken over"), "{}", former.log());
        server
    }

    fn reload(&self) -> Option<i32> {
        self.command(&["reload", "--socket", "admin.sock"]).output().unwrap().status.code()
    }

    fn is_answered(&self) -> bool {
        NAMES.iter().all(|(name, address)| {
            let question = Question::new(name, rtype::A);
            let right = |reply: Reply| reply.addresses().iter().map(ToString::to_string).eq([address.to_string()]);
            right(ask(self.address, &question)) && right(ask_tcp(self.address, &question))
        })
    }

    fn call(&self) -> Line {
        Line::call(&self.path("admin.sock.takeover")).unwrap()
    }
}

fn server_says(dir: &Path, number: usize, what: &str) -> bool {
    fs::read_to_string(dir.join(format!("rhumb-{number}.log"))).is_ok_and(|log| log.contains(what))
}

/// What became of the queries.
#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    answered: AtomicU64,
    wrong: AtomicU64,
    tcp_asked: AtomicU64,
    tcp_answered: AtomicU64,
    complaint: Mutex<Option<String>>,
}

impl Counts {
    fn complain(&self, what: impl FnOnce() -> String) {
        self.wrong.fetch_add(1, Relaxed);
        self.complaint.lock().unwrap().get_or_insert_with(what);
    }
}

/// Clients that ask at a constant rate, whatever is answered, and never ask anything twice.
struct Load {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(server: SocketAddr, rate: u64) -> Load {
        let (counts, stop) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let mut threads = Vec::new();
        for _ in 0..CLIENTS {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
            socket.set_recv_buffer_size(CLIENT_BUFFER_BYTES).unwrap();
            let socket = UdpSocket::from(socket);
            socket.connect(server).unwrap();
            let outstanding: Arc<Vec<AtomicBool>> = Arc::new((0..=u16::MAX).map(|_| AtomicBool::new(false)).collect());
            let (sending, receiving) = (socket.try_clone().unwrap(), socket);
            let pause = Duration::from_nanos(1_000_000_000 * CLIENTS as u64 / rate);
            let (c, s, o) = (counts.clone(), stop.clone(), outstanding.clone());
            threads.push(thread::spawn(move || send_all(&sending, pause, &c, &s, &o)));
            let (c, s) = (counts.clone(), stop.clone());
            threads.push(thread::spawn(move || receive_all(&receiving, &c, &s, &outstanding)));
        }
        let (c, s) = (counts.clone(), stop.clone());
        threads.push(thread::spawn(move || connect_again_and_again(server, &c, &s)));
        Load { counts, stop, threads }
    }

    /// Asks no more, waits for the answers that are due, and says what was counted.
    fn end(self) -> Arc<Counts> {
        self.stop.store(true, SeqCst);
        let counts = self.counts.clone();
        for thread in self.threads {
            thread.join().unwrap();
        }
        counts
    }
}

/// The query number `n`; its id is `n`, too.
fn query(n: u16) -> Vec<u8> {
    Question { id: n, ..Question::new(NAMES[usize::from(n) % 2].0, rtype::A) }.to_bytes()
}

fn send_all(socket: &UdpSocket, pause: Duration, counts: &Counts, stop: &AtomicBool, outstanding: &[AtomicBool]) {
    let clock = Clock::start();
    let mut due = clock.now();
    for n in (0..=u16::MAX).cycle() {
        if stop.load(SeqCst) {
            return;
        }
        // One that is still due after 65,536 others is lost; the counts will tell.
        if outstanding[usize::from(n)].swap(true, SeqCst) {
            counts.complain(|| format!("query {n} was never answered"));
        }
        counts.asked.fetch_add(1, SeqCst);
        socket.send(&query(n)).unwrap();
        due = due + pause;
        if let Some(wait) = due.since(clock.now()).checked_sub(Duration::from_micros(100)) {
            thread::sleep(wait);
        }
    }
}

fn receive_all(socket: &UdpSocket, counts: &Counts, stop: &AtomicBool, outstanding: &[AtomicBool]) {
    // The last answers come within this after the last query, or never.
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut bytes = [0; 1500];
    loop {
        let Ok(length) = socket.recv(&mut bytes) else { if stop.load(SeqCst) { return } else { continue } };
        match judge(&bytes[..length]) {
            Ok(n) if outstanding[usize::from(n)].swap(false, SeqCst) => {
                counts.answered.fetch_add(1, SeqCst);
            }
            Ok(n) => counts.complain(|| format!("query {n} was answered twice")),
            Err(what) => counts.complain(|| what),
        }
    }
}

/// The id, when the answer is the right one.
fn judge(message: &[u8]) -> Result<u16, String> {
    let reply = Reply::parse(message)?;
    let n = u16::from_be_bytes([message[0], message[1]]);
    let addresses: Vec<String> = reply.addresses().iter().map(ToString::to_string).collect();
    match addresses.as_slice() {
        [address] if address == NAMES[usize::from(n) % 2].1 && reply.is_authoritative() => Ok(n),
        other => Err(format!("query {n} was answered {other:?}")),
    }
}

fn connect_again_and_again(server: SocketAddr, counts: &Counts, stop: &AtomicBool) {
    for n in (0..=u16::MAX).cycle() {
        if stop.load(SeqCst) {
            return;
        }
        counts.tcp_asked.fetch_add(1, SeqCst);
        match tcp(server, &query(n)).ok_or("no answer".to_owned()).and_then(|message| judge(&message)) {
            Ok(_) => drop(counts.tcp_answered.fetch_add(1, SeqCst)),
            Err(what) => counts.complain(|| format!("over TCP: {what}")),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn under_load_no_query_is_lost_and_no_answer_is_wrong() {
    let takeovers = from_environment("RHUMB_TAKEOVERS", 8);
    let rate = from_environment("RHUMB_TAKEOVER_RATE", 2000);
    let mut site = Site::new();
    let mut server = site.first();
    let load = Load::start(site.address, rate);
    let clock = Clock::start();
    let began = clock.now();
    for number in 1..=takeovers {
        // More and fewer workers than sockets that come: every socket must be read all the same.
        site.configure(&[site.address], &format!("udp_workers = {}\n", 1 + number % 3));
        let next = began + Duration::from_secs(1) * u32::try_from(number).unwrap();
        thread::sleep(next.since(clock.now()));
        server = site.successor(&mut server);
    }
    let took = clock.now() - began;
    thread::sleep(Duration::from_millis(500));
    let counts = load.end();
    let number = |counter: &AtomicU64| counter.load(SeqCst);
    let (asked, answered, wrong) = (number(&counts.asked), number(&counts.answered), number(&counts.wrong));
    let (tcp_asked, tcp_answered) = (number(&counts.tcp_asked), number(&counts.tcp_answered));
    println!(
        "{takeovers} takeovers in {took:.1?}: {asked} queries over UDP ({:.0}/s), {answered} answered; {tcp_asked} over new \
         TCP connections, {tcp_answered} answered; {wrong} wrong",
        asked as f64 / took.as_secs_f64()
    );
    assert_eq!(*counts.complaint.lock().unwrap(), None);
    assert_eq!((answered, tcp_answered, wrong), (asked, tcp_asked, 0), "{}", server.log());
    assert!(asked > 500 * takeovers && tcp_asked > takeovers);
}

#[test]
fn a_successor_that_cannot_serve_changes_nothing() {
    let mut site = Site::new();
    let mut server = site.first();

    fs::write(site.path("rhumb.toml"), "[server]\nlistn = []\n").unwrap();
    let output = site.command(&["serve", "--takeover=admin.sock.takeover"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    site.configure(&[site.address, taken.local_addr().unwrap()], "");
    let output = site.command(&["serve", "--takeover"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot bind {}", taken.local_addr().unwrap())), "{said}");
    assert!(poll(PATIENCE, || server.log().contains("has not taken over")), "{}", server.log());
    assert!(site.is_answered() && server.is_alive());

    site.configure(&[site.address], "");
    assert_eq!(site.reload(), Some(0), "it takes orders again");
    assert!(site.is_answered());
}

#[test]
fn nobody_to_take_over_from_is_said_in_a_sentence() {
    let site = Site::new();
    let output = site.command(&["serve", "--takeover"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nobody to take over from at admin.sock.takeover"), "{said}");
    assert!(said.contains("start without --takeover"), "{said}");
}

#[test]
fn a_successor_that_dies_on_the_way_leaves_the_other_serving() {
    let mut site = Site::new();
    let mut server = site.first();
    let mode = fs::metadata(site.path("admin.sock.takeover")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Before its greeting, with one of a later time, and with nonsense.
    drop(site.call());
    let mut line = site.call();
    line.send(&Message::Hello { protocol: 9, oldest: 9, version: "9.0.0".to_owned() }).unwrap();
    let Message::Refused { why } = line.receive(PATIENCE).unwrap() else { panic!("it must refuse") };
    assert!(why.contains("stop the one and start the other"), "{why}");
    site.call().send(&Message::Answering).unwrap();
    assert!(site.is_answered());

    // With the sockets in hand: orders are refused meanwhile, and taken again afterwards.
    let mut line = site.call();
    line.send(&Message::hello()).unwrap();
    let Message::Offer { descriptors, .. } = line.receive(PATIENCE).unwrap() else { panic!("it must offer") };
    let sockets = line.receive_descriptors(descriptors).unwrap();
    assert_eq!(sockets.len(), 3, "TCP and two of UDP");
    assert_ne!(site.reload(), Some(0), "the successor has read the files");
    assert!(site.is_answered(), "it goes on meanwhile");
    drop((line, sockets));
    assert!(poll(PATIENCE, || site.reload() == Some(0)), "{}", server.log());
    assert!(site.is_answered());

    // When the other has let go already.
    let mut line = site.call();
    line.send(&Message::hello()).unwrap();
    let Message::Offer { descriptors, .. } = line.receive(PATIENCE).unwrap() else { panic!("it must offer") };
    let sockets = line.receive_descriptors(descriptors).unwrap();
    line.send(&Message::Answering).unwrap();
    assert_eq!(line.receive(PATIENCE).unwrap(), Message::Released);
    drop((line, sockets));
    assert!(poll(PATIENCE, || server.log().contains("it ended just after it began")), "{}", server.log());
    assert!(site.is_answered(), "it has come back");
    assert!(poll(PATIENCE, || site.reload() == Some(0)), "{}", server.log());

    // And it can still be succeeded.
    let mut last = site.successor(&mut server);
    assert!(site.is_answered());
    last.signal("TERM");
    assert!(poll(PATIENCE, || !last.is_alive()));
    assert!(!site.path("admin.sock").exists() && !site.path("admin.sock.takeover").exists(), "nothing is left behind");
}

#[test]
fn listeners_that_are_new_are_opened_and_those_no_longer_wanted_are_closed() {
    let mut site = Site::new();
    let (first, other) = (site.address, common::free_address());
    let mut server = site.first();
    site.configure(&[other], "");
    site.address = other;
    let _successor = site.successor(&mut server);
    assert!(site.is_answered());
    let question = Question::new(NAMES[0].0, rtype::A).to_bytes();
    assert_eq!(udp_within(first, &question, Duration::from_millis(200)), None, "nobody listens there");
    assert!(tcp(first, &question).is_none());
}

#[test]
fn encrypted_transports_and_the_admin_api_go_along() {
    let Some(kdig) = common::program("kdig") else { return common::skipped("kdig is not installed") };
    let mut site = Site::new();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(site.path("c.pem"), pair.cert.pem()).unwrap();
    fs::write(site.path("k.pem"), pair.signing_key.serialize_pem()).unwrap();
    let (dot, doh) = (common::free_address(), common::free_address());
    let encrypted = format!("dot = [\"{dot}\"]\ndoq = [\"{dot}\"]\ndoh = [\"{doh}\"]\ntls = \"dns\"\n");
    site.configure(&[site.address], &encrypted);
    let text = fs::read_to_string(site.path("rhumb.toml")).unwrap();
    let text = text.replace("[region.one]", "[tls.dns]\ncertificate = \"c.pem\"\nkey_file = \"k.pem\"\n[region.one]");
    fs::write(site.path("rhumb.toml"), text).unwrap();

    let asks = |how: &str, at: SocketAddr| {
        let (server, port) = (format!("@{}", at.ip()), at.port().to_string());
        let arguments = [&server, "-p", &port, how, "+short", "+timeout=5", "+retry=2", NAMES[0].0];
        let output = Command::new(&kdig).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let help = Command::new(&kdig).arg("-h").output().unwrap();
    let speaks_quic = String::from_utf8_lossy(&help.stdout).contains("quic");
    if !speaks_quic {
        common::skipped("this kdig speaks no QUIC");
    }
    let mut server = site.first();
    for _ in 0..3 {
        for (how, at) in [("+tls", dot), ("+https", doh), ("+quic", dot)] {
            if how == "+quic" && !speaks_quic {
                continue;
            }
            assert_eq!(asks(how, at), NAMES[0].1, "{how}: {}", server.log());
        }
        assert!(site.is_answered());
        assert_eq!(site.reload(), Some(0));
        server = site.successor(&mut server);
    }
}

#[test]
fn orders_hold_over_a_takeover_and_are_taken_by_who_came() {
    let mut site = Site::new();
    let mut server = site.first();
    let run = |site: &Site, arguments: &[&str]| {
        let output = site.command(&[arguments, &["--socket", "admin.sock"]].concat()).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    let (code, said) = run(&site, &["drain", "pool/one", "--force", "--for", "10m", "--reason", "kernel"]);
    assert_eq!(code, Some(0), "{said}");
    let _successor = site.successor(&mut server);
    let (code, said) = run(&site, &["get", "overrides"]);
    assert!(code == Some(0) && said.contains("kernel"), "{said}");
    let (code, said) = run(&site, &["undrain", "pool/one"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_signal_has_a_server_replace_itself() {
    let mut site = Site::new();
    let mut server = site.first();
    server.signal("USR2");
    assert!(poll(PATIENCE, || !server.is_alive()), "{}", server.log());
    assert!(site.is_answered(), "{}", server.log());
    // Its successor writes to the same log, and is of the same group, which ends with the test.
    assert!(server.log().contains("is to take over"), "{}", server.log());
    assert_eq!(site.reload(), Some(0));
}
