//! The UDP balancer from outside: what a client sends comes to one endpoint whole, and what that says comes back from the
//! address that was asked.

mod common;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::JoinHandle;
use std::time::Duration;

use common::poll;
use common::program;
use common::servers;
use common::skipped;
use rhumb::daemon::Daemon;
use rhumb::runtime::reloads::AskedBy;
use tokio::runtime::Runtime;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is lost shows within this: everything is on this machine.
const LOST: Duration = Duration::from_millis(300);
const LONGEST: usize = 65_507;

/// Says back what it is told, and to `who` which one it is.
struct Echo {
    address: SocketAddr,
    heard: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn at(address: SocketAddr) -> Echo {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let (heard, ends) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counts, stops) = (heard.clone(), ends.clone());
        let thread = std::thread::spawn(move || {
            let mut room = vec![0; LONGEST];
            while !stops.load(SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut room) else { continue };
                counts.fetch_add(1, SeqCst);
                let name = address.to_string();
                let answer = if &room[..length] == b"who" { name.as_bytes() } else { &room[..length] };
                _ = socket.send_to(answer, from);
            }
        });
        Echo { address, heard, ends, thread: Some(thread) }
    }

    fn new() -> Echo {
        Echo::at((Ipv4Addr::LOCALHOST, 0).into())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ends.store(true, SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A rhumb in this process.
struct Site {
    dir: tempfile::TempDir,
    runtime: Runtime,
    daemon: Option<Daemon>,
}

fn pool(endpoints: &[SocketAddr], lines: &str) -> String {
    let endpoint = |at: &SocketAddr| format!("{{ address = \"{}\", port = {} }}", at.ip(), at.port());
    let endpoints: Vec<String> = endpoints.iter().map(endpoint).collect();
    format!("[pool.app]\nregion = \"here\"\nendpoints = [{}]\n{lines}\n", endpoints.join(", "))
}

fn listener(bind: &str, lines: &str) -> String {
    format!(
        "[[listener]]\nname = \"edge\"\nregion = \"here\"\nbind = \"{bind}\"\nprotocol = \"udp\"\npool = \"app\"\n{lines}\n"
    )
}

impl Site {
    fn start(sections: &str) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut site = Site { dir, runtime, daemon: None };
        site.configure(sections);
        let started = site.runtime.block_on(Daemon::start(&site.dir.path().join("rhumb.toml")));
        site.daemon = Some(started.unwrap_or_else(|error| panic!("{error}")));
        site
    }

    fn of(endpoints: &[&Echo], of_pool: &str, of_listener: &str) -> Site {
        let addresses: Vec<SocketAddr> = endpoints.iter().map(|echo| echo.address).collect();
        Site::start(&(pool(&addresses, of_pool) + &listener("127.0.0.1:0", of_listener)))
    }

    fn configure(&self, sections: &str) {
        let dir = self.dir.path();
        let head = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nstop_timeout = \"1s\"\n[admin]\nsocket = \"{}\"\n[proxy]\nworkers = 2\n\
             [access_log]\nfile = \"{}\"\n[region.here]\n",
            dir.join("admin.sock").display(),
            dir.join("access.log").display()
        );
        fs::write(dir.join("new"), head + sections).unwrap();
        fs::rename(dir.join("new"), dir.join("rhumb.toml")).unwrap();
    }

    fn reload(&self, sections: &str) {
        self.configure(sections);
        let reloads = self.daemon.as_ref().unwrap().reloads();
        let done = self.runtime.block_on(reloads.reload(AskedBy::Name("a test".to_owned())));
        done.unwrap_or_else(|error| panic!("{error:?}"));
    }

    fn order(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        let output = command.args(arguments).arg("--socket").arg(self.dir.path().join("admin.sock")).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn address(&self) -> SocketAddr {
        self.daemon.as_ref().unwrap().listeners()[0].1
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let daemon = self.daemon.take().unwrap();
        let stopped = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, daemon.stop()).await });
        assert!(std::thread::panicking() || stopped.is_ok(), "it stops in its time");
    }
}

struct Client(UdpSocket);

impl Client {
    fn of(server: SocketAddr) -> Client {
        let local: SocketAddr = if server.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" }.parse().unwrap();
        let socket = UdpSocket::bind(local).unwrap();
        socket.connect(server).unwrap();
        Client(socket)
    }

    /// The answer, if there is one in time.
    fn asks_within(&self, bytes: &[u8], patience: Duration) -> Option<Vec<u8>> {
        self.0.set_read_timeout(Some(patience)).unwrap();
        self.0.send(bytes).unwrap();
        let mut room = vec![0; LONGEST];
        let length = self.0.recv(&mut room).ok()?;
        room.truncate(length);
        Some(room)
    }

    #[track_caller]
    fn asks(&self, bytes: &[u8]) -> Vec<u8> {
        self.asks_within(bytes, PATIENCE).expect("an answer")
    }

    #[track_caller]
    fn who(&self) -> SocketAddr {
        String::from_utf8(self.asks(b"who")).unwrap().parse().unwrap()
    }
}

/// A port that nobody listens at.
fn closed() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn datagrams_of_any_length_come_and_go_whole() {
    let echo = Echo::new();
    let site = Site::of(&[&echo], "", "");
    let client = Client::of(site.address());
    for length in [1, 0, 2, 512, 1_232, 1_472, 1_473, 9_000, 32_768, 60_000, LONGEST, 1] {
        let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
        assert!(client.asks(&bytes) == bytes, "{length} bytes");
    }
}

#[test]
fn a_flow_stays_where_it_is_and_flows_are_spread() {
    let echoes = [Echo::new(), Echo::new(), Echo::new()];
    let site = Site::of(&echoes.each_ref(), "balance = \"round_robin\"", "");
    let clients: Vec<Client> = (0..60).map(|_| Client::of(site.address())).collect();
    let first: Vec<SocketAddr> = clients.iter().map(Client::who).collect();
    for _ in 0..5 {
        let now: Vec<SocketAddr> = clients.iter().map(Client::who).collect();
        assert_eq!(now, first);
    }
    let mut spread = BTreeMap::<SocketAddr, usize>::new();
    first.iter().for_each(|at| *spread.entry(*at).or_default() += 1);
    assert!(spread.len() == 3 && spread.values().all(|count| (18..=22).contains(count)), "{spread:?}");
}

#[test]
fn clients_are_hashed_by_their_address() {
    let echoes = [Echo::new(), Echo::new(), Echo::new(), Echo::new()];
    let site = Site::of(&echoes.each_ref(), "balance = \"hash\"\nhash_on = \"client\"", "");
    let whose: BTreeSet<SocketAddr> = (0..40).map(|_| Client::of(site.address()).who()).collect();
    assert_eq!(whose.len(), 1, "all of them have one address");
}

#[test]
fn a_thousand_clients_are_answered_each_its_own() {
    let echoes = [Echo::new(), Echo::new()];
    let site = Site::of(&echoes.each_ref(), "", "");
    let clients: Vec<Client> = (0..1_000).map(|_| Client::of(site.address())).collect();
    for round in 0..3 {
        for (number, chunk) in clients.chunks(50).enumerate() {
            let said = |at: usize| format!("{round} {number} {at}");
            chunk.iter().enumerate().for_each(|(at, client)| _ = client.0.send(said(at).as_bytes()).unwrap());
            for (at, client) in chunk.iter().enumerate() {
                client.0.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut room = [0; 64];
                let length = client.0.recv(&mut room).unwrap();
                assert_eq!(String::from_utf8_lossy(&room[..length]), said(at));
            }
        }
    }
}

#[test]
fn when_the_table_is_full_questions_make_room_and_conversations_do_not() {
    let echo = Echo::new();
    let site = Site::of(&[&echo], "", "max_connections = 8");
    // Which worker a client comes to is the kernel's choice; of these each has its conversations.
    let settled: Vec<Client> = (0..6).map(|_| Client::of(site.address())).collect();
    settled.iter().for_each(|client| (0..3).for_each(|_| _ = client.asks(b"move")));
    let answered = (0..50).filter(|_| {
        let client = Client::of(site.address());
        client.asks_within(b"?", LOST).is_some()
    });
    assert!(answered.count() >= 20, "questions take each other's places");
    let before = echo.heard.load(SeqCst);
    settled.iter().for_each(|client| assert_eq!(client.asks(b"move"), b"move"));
    assert_eq!(echo.heard.load(SeqCst), before + 6);
    assert!(poll(PATIENCE, || site.log().contains("RD")), "those that made room are logged: {}", site.log());
}

#[test]
fn who_is_idle_is_forgotten_and_logged_with_what_was_said() {
    let echo = Echo::new();
    let site = Site::of(&[&echo], "", "timeouts = { idle = \"300ms\" }");
    let client = Client::of(site.address());
    assert_eq!(client.asks(b"12345"), b"12345");
    assert_eq!(client.asks(b"678"), b"678");
    assert!(poll(PATIENCE, || site.log().lines().count() == 1), "{}", site.log());
    let line = site.log();
    for part in ["udp", "edge", "app", &echo.address.to_string()] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(client.asks(b"again"), b"again");
}

#[test]
fn an_endpoint_where_nobody_listens_costs_a_flow_one_datagram_at_most() {
    let (echo, dead) = (Echo::new(), closed());
    let sections = pool(&[dead, echo.address], "balance = \"round_robin\"") + &listener("127.0.0.1:0", "");
    let site = Site::start(&sections);
    for _ in 0..20 {
        let client = Client::of(site.address());
        let first = client.asks_within(b"who", LOST);
        let answer = first.unwrap_or_else(|| client.asks(b"who"));
        assert_eq!(String::from_utf8(answer).unwrap(), echo.address.to_string());
    }
}

#[test]
fn a_flow_that_was_answered_outlives_a_restart_of_its_endpoint() {
    let echoes = [Echo::new(), Echo::new()];
    let site = Site::of(&echoes.each_ref(), "balance = \"round_robin\"", "");
    let client = Client::of(site.address());
    let at = client.who();
    let [one, other] = echoes;
    let (gone, stays) = if one.address == at { (one, other) } else { (other, one) };
    drop(gone);
    assert_eq!(client.asks_within(b"who", LOST), None);
    let _back = Echo::at(at);
    let answer = client.asks_within(b"who", LOST).unwrap_or_else(|| client.asks(b"who"));
    assert_eq!(String::from_utf8(answer).unwrap(), at.to_string());
    drop(stays);
}

#[test]
fn a_drained_endpoint_keeps_its_flows_for_the_time_of_the_drain() {
    let echoes = [Echo::at("127.0.0.1:0".parse().unwrap()), Echo::at("127.0.0.2:0".parse().unwrap())];
    let site = Site::of(&echoes.each_ref(), "balance = \"round_robin\"", "drain_timeout = \"2s\"");
    let client = Client::of(site.address());
    let at = client.who();
    site.order(&["drain", &format!("endpoint/app/{}", at.ip())]);
    assert_eq!(client.who(), at, "it has its time");
    (0..4).for_each(|_| assert_ne!(Client::of(site.address()).who(), at, "who is new goes elsewhere"));
    assert!(poll(PATIENCE, || client.who() != at), "and then it goes, too");
}

#[test]
fn live_flows_see_nothing_of_reloads() {
    let echoes = [Echo::new(), Echo::new(), Echo::new()];
    let addresses: Vec<SocketAddr> = echoes.iter().map(|echo| echo.address).collect();
    let bind = format!("127.0.0.1:{}", common::free_port());
    let sections = |drain: usize, endpoints: &[SocketAddr]| {
        pool(endpoints, "balance = \"round_robin\"") + &listener(&bind, &format!("drain_timeout = \"{}s\"", 60 + drain))
    };
    let site = Site::start(&sections(0, &addresses[..2]));
    let (address, ends, rounds) = (site.address(), Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let load = || {
        let (ends, rounds) = (ends.clone(), rounds.clone());
        std::thread::spawn(move || {
            let clients: Vec<Client> = (0..25).map(|_| Client::of(address)).collect();
            let homes: Vec<SocketAddr> = clients.iter().map(Client::who).collect();
            while !ends.load(SeqCst) {
                clients.iter().zip(&homes).for_each(|(client, home)| assert_eq!(client.who(), *home));
                rounds.fetch_add(1, SeqCst);
            }
        })
    };
    let loads: Vec<JoinHandle<()>> = (0..4).map(|_| load()).collect();
    for step in 1..10 {
        let before = rounds.load(SeqCst);
        assert!(poll(PATIENCE, || rounds.load(SeqCst) > before + 8), "they are asked all the time");
        site.reload(&sections(step, &addresses[..2 + step % 2]));
    }
    ends.store(true, SeqCst);
    loads.into_iter().for_each(|load| load.join().unwrap());
}

#[test]
fn a_listener_that_leaves_keeps_its_flows_and_takes_no_more() {
    let echo = Echo::new();
    let bind = format!("127.0.0.1:{}", common::free_port());
    let site = Site::start(&(pool(&[echo.address], "") + &listener(&bind, "")));
    let address = site.address();
    let client = Client::of(address);
    (0..2).for_each(|_| _ = client.who());
    site.reload(&pool(&[echo.address], ""));
    assert!(poll(PATIENCE, || Client::of(address).asks_within(b"who", LOST).is_none()));
    assert_eq!(client.who(), echo.address);
    // Who takes that back gets the address, and all that comes there.
    site.reload(&(pool(&[echo.address], "") + &listener(&bind, "")));
    assert!(poll(PATIENCE, || client.asks_within(b"who", LOST).is_some()));
    (0..20).for_each(|_| assert_eq!(Client::of(address).who(), echo.address));
}

#[test]
fn flows_are_closed_with_their_endpoint_where_the_pool_asks_for_it() {
    let echoes = [Echo::at("127.0.0.1:0".parse().unwrap()), Echo::at("127.0.0.2:0".parse().unwrap())];
    for (on_down, is_kept) in [("", true), ("on_down = \"close\"", false)] {
        let site = Site::of(&echoes.each_ref(), &format!("balance = \"round_robin\"\n{on_down}"), "");
        let client = Client::of(site.address());
        let at = client.who();
        site.order(&["force", &format!("endpoint/app/{}", at.ip()), "down"]);
        assert!(poll(PATIENCE, || Client::of(site.address()).who() != at), "who is new goes elsewhere");
        match is_kept {
            // Longer than a worker takes to look at its endpoints.
            true => assert!(!poll(Duration::from_secs(2), || client.who() != at)),
            false => assert!(poll(PATIENCE, || client.who() != at)),
        }
    }
}

#[test]
fn a_client_has_so_many_new_flows_a_second() {
    let echo = Echo::new();
    let site = Site::of(&[&echo], "", "client_rate = 5");
    let clients: Vec<Client> = (0..40).map(|_| Client::of(site.address())).collect();
    clients.iter().for_each(|client| _ = client.0.send(b"?").unwrap());
    let answered = clients.iter().filter(|client| {
        client.0.set_read_timeout(Some(LOST / 10)).unwrap();
        client.0.recv(&mut [0; 8]).is_ok()
    });
    assert!((5..=10).contains(&answered.count()));
}

#[test]
fn a_successor_loses_no_datagram() {
    let (echo, dir) = (Echo::new(), tempfile::tempdir().unwrap());
    let address = common::free_address();
    let head =
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nsocket = \"admin.sock\"\n[proxy]\nworkers = 2\n[region.here]\n";
    let sections = pool(&[echo.address], "") + &listener(&address.to_string(), "");
    fs::write(dir.path().join("rhumb.toml"), head.to_owned() + &sections).unwrap();
    let serve = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.arg("serve").args(arguments).current_dir(dir.path()).env("NO_COLOR", "1");
        let mut running = common::Running::start(command, name, dir.path());
        let log = dir.path().join(format!("{name}.log"));
        running.wait_until(|| fs::read_to_string(&log).is_ok_and(|said| said.contains("serving ")));
        running.wait_until(|| dir.path().join("admin.sock.takeover").exists());
        running
    };
    let mut first = serve("first", &[]);
    let ends = Arc::<AtomicBool>::default();
    let goes_on = ends.clone();
    let load = std::thread::spawn(move || {
        let clients: Vec<Client> = (0..40).map(|_| Client::of(address)).collect();
        while !goes_on.load(SeqCst) {
            clients.iter().for_each(|client| assert_eq!(client.who(), echo.address));
        }
    });
    let _second = serve("second", &["--takeover"]);
    // Its sessions are the successor's now, and nobody else has to be waited for.
    assert!(poll(PATIENCE * 2, || !first.is_alive()), "{}", first.log());
    ends.store(true, SeqCst);
    load.join().unwrap();
}

#[test]
fn ipv6_is_the_same() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return skipped("no IPv6");
    }
    let echoes = [Echo::at("[::1]:0".parse().unwrap()), Echo::new()];
    let addresses: Vec<SocketAddr> = echoes.iter().map(|echo| echo.address).collect();
    let site = Site::start(&(pool(&addresses, "balance = \"round_robin\"") + &listener("[::1]:0", "")));
    let whose: BTreeSet<SocketAddr> = (0..20).map(|_| Client::of(site.address()).who()).collect();
    assert_eq!(whose, addresses.into_iter().collect(), "endpoints of either family");
}

#[test]
fn on_all_addresses_the_one_that_was_asked_answers() {
    let echo = Echo::new();
    let site = Site::start(&(pool(&[echo.address], "") + &listener("0.0.0.0:0", "")));
    let port = site.address().port();
    // One socket: to each address of ours it is another flow.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for last in [1, 2, 3, 2, 1] {
        let asked = SocketAddr::from(([127, 0, 0, last], port));
        socket.send_to(&[last], asked).unwrap();
        let mut room = [0; 8];
        assert_eq!(socket.recv_from(&mut room).unwrap(), (1, asked));
        assert_eq!(room[0], last);
    }
}

#[test]
fn dns_through_it_is_what_the_name_server_says() {
    if program("dig").is_none() {
        return skipped("no dig");
    }
    let dir = tempfile::tempdir().unwrap();
    let zones = dir.path().join("zones");
    fs::create_dir(&zones).unwrap();
    let names: String = (0..100).map(|at| format!("n{at} A 192.0.2.{at}\n")).collect();
    let text: String = (0..16).map(|at| format!("\"{}\" ", format!("{at:02}").repeat(120))).collect();
    let zone =
        format!("$TTL 60\n@ SOA ns1 host 1 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.1\n{names}big TXT {text}\n");
    fs::write(zones.join("example.org.zone"), zone).unwrap();
    let server = servers::rhumb(dir.path(), &zones, "");
    let site = Site::start(&(pool(&[server.address], "") + &listener("127.0.0.1:0", "")));
    let questions: String = (0..100).map(|at| format!("n{at}.example.org A\n")).collect();
    let more = "big.example.org TXT\nnone.example.org A\nexample.org SOA\n";
    let file = dir.path().join("questions");
    fs::write(&file, questions + more).unwrap();
    for options in [&["+noedns"][..], &["+subnet=198.51.100.0/24", "+bufsize=4096"], &["+dnssec"]] {
        let direct = dig(server.address, &file, options);
        assert_eq!(dig(site.address(), &file, options), direct, "{options:?}");
        assert!(direct.contains("192.0.2.99"), "{direct}");
    }
}

/// What dig prints, without what is another each time.
fn dig(server: SocketAddr, questions: &Path, options: &[&str]) -> String {
    let mut command = Command::new(program("dig").unwrap());
    let port = server.port().to_string();
    command.arg("+notcp").arg("+ignore").arg("+tries=1").arg("+nostats").arg("+nocmd").args(options);
    let output = command.arg(format!("@{}", server.ip())).args(["-p", &port, "-f"]).arg(questions).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines = said.lines().map(|line| line.split(", id: ").next().unwrap_or_default());
    lines.filter(|line| !line.contains("COOKIE")).collect::<Vec<_>>().join("\n")
}
