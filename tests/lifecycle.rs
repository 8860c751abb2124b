//! From the start to the end: what the service manager hears, sockets that it opened, and a stop that finishes what is in
//! hand. The unit in `packaging/systemd` is held to its exposure.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::Running;
use common::dns::Question;
use common::dns::Reply;
use common::dns::ask;
use common::dns::ask_tcp;
use common::dns::rtype;
use common::dns::udp_within;
use common::poll;
use common::program;
use common::skipped;

const RHUMB: &str = env!("CARGO_BIN_EXE_rhumb");
/// Longer than any of it takes on a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);
const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1h 15m 1w 60\n@ NS ns\nns A 192.0.2.53\nstatic A 192.0.2.1\n";
const NAME: &str = "static.example.com.";

/// A folder with what a server needs.
struct Site {
    dir: tempfile::TempDir,
    address: SocketAddr,
}

impl Site {
    fn new(server: &str, more: &str) -> Site {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::write(dir.path().join("zones/example.com.zone"), ZONE).unwrap();
        let address = common::free_address();
        let text = format!(
            "[server]\nlisten = [\"{address}\"]\nzones_dir = \"zones\"\n{server}[admin]\nsocket = \"admin.sock\"\n{more}"
        );
        fs::write(dir.path().join("rhumb.toml"), text).unwrap();
        Site { dir, address }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(RHUMB);
        command.arg("serve").current_dir(self.dir.path()).env("NO_COLOR", "1").env("RHUMB_LOG", "info");
        command
    }

    fn start(&self, command: Command) -> Running {
        let mut server = Running::start(command, "rhumb", self.dir.path());
        let question = Question::new(NAME, rtype::A).to_bytes();
        server.wait_until(|| udp_within(self.address, &question, Duration::from_millis(100)).is_some());
        server
    }

    /// What the admin socket says to a GET.
    fn get(&self, path: &str) -> String {
        let Ok(mut stream) = UnixStream::connect(self.path("admin.sock")) else { return String::new() };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut said = String::new();
        let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut said));
        asked.map_or_else(|_| String::new(), |_| said)
    }
}

/// The service manager's ear.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn listen(site: &Site) -> Manager {
        let socket = UnixDatagram::bind(site.path("notify.sock")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, heard: Vec::new() }
    }

    /// Waits for a message with a line that begins so, and gives it whole.
    fn hears(&mut self, begin: &str) -> String {
        loop {
            let mut bytes = [0; 4096];
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| {
                panic!("`{begin}` was not heard ({error}), but {:?}", self.heard);
            });
            let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
            self.heard.push(message.clone());
            if message.lines().any(|line| line.starts_with(begin)) {
                return message;
            }
        }
    }
}

#[test]
fn the_service_manager_hears_how_we_are() {
    let site = Site::new("", "");
    let mut manager = Manager::listen(&site);
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", site.path("notify.sock")).env("WATCHDOG_USEC", "1500000").env_remove("WATCHDOG_PID");
    let mut server = site.start(command);

    let ready = manager.hears("READY=1");
    assert!(ready.contains("STATUS=serving 0 regions, 0 pools, 0 endpoints, 0 VIPs, 1 zone"), "{ready}");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");

    server.signal("HUP");
    let reloading = manager.hears("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert!(manager.hears("READY=1").contains("STATUS=serving"));

    fs::write(site.path("zones/example.com.zone"), "@ A not-an-address\n").unwrap();
    manager.hears("RELOADING=1");
    let refused = manager.hears("READY=1");
    assert!(refused.contains("STATUS=the last reload was refused; serving"), "{refused}");

    // Another process takes over, and is the service from then on.
    fs::write(site.path("zones/example.com.zone"), ZONE).unwrap();
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    let before = server.id();
    server.signal("USR2");
    let main = manager.hears("MAINPID=");
    let successor: u32 = main.trim().trim_start_matches("MAINPID=").parse().unwrap();
    assert_ne!(successor, before);
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    assert!(!manager.heard.iter().any(|message| message.contains("STOPPING=1")), "{:?}", manager.heard);
    assert!(poll(PATIENCE, || !server.is_alive()));

    assert!(Command::new("kill").args(["-TERM", &successor.to_string()]).status().unwrap().success());
    manager.hears("STOPPING=1");
}

#[test]
fn sockets_that_the_service_manager_opened_are_taken() {
    let Some(python) = program("python3") else { return skipped("python3 is not installed") };
    let site = Site::new("udp_workers = 2\n", "");
    // Two UDP sockets in a group, TCP, and one that nobody wants.
    let script = "import os, socket, sys\n\
        host, port = sys.argv[1], int(sys.argv[2])\n\
        def udp(port):\n\
        \x20   s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n\
        \x20   s.bind((host, port)); return s\n\
        tcp = socket.socket(); tcp.bind((host, port)); tcp.listen()\n\
        given = [udp(port), tcp, udp(port), udp(0)]\n\
        copies = [os.dup2(s.fileno(), 20 + i) for i, s in enumerate(given)]\n\
        for i, copy in enumerate(copies): os.dup2(copy, 3 + i, inheritable=True)\n\
        os.environ.update(LISTEN_FDS=str(len(given)), LISTEN_PID=str(os.getpid()))\n\
        os.execv(sys.argv[3], sys.argv[3:])\n";
    let mut command = Command::new(python);
    command.args(["-c", script, &site.address.ip().to_string(), &site.address.port().to_string(), RHUMB, "serve"]);
    command.current_dir(site.dir.path()).env("NO_COLOR", "1");
    let server = site.start(command);
    for _ in 0..50 {
        // Each from another port, so that both sockets of the group are asked.
        assert_eq!(ask(site.address, &Question::new(NAME, rtype::A)).addresses().len(), 1);
    }
    assert_eq!(ask_tcp(site.address, &Question::new(NAME, rtype::A)).addresses().len(), 1);
    let log = server.log();
    assert!(log.contains("the service manager opened UDP 127.0.0.1:") && log.contains("no listener wants it"), "{log}");
    assert_eq!(log.matches("no listener wants it").count(), 1, "{log}");
}

/// Length and message, `count` times, ids counting up.
fn pipelined(count: u16) -> Vec<u8> {
    let framed = |id| {
        let query = Question { id, ..Question::new(NAME, rtype::A) }.to_bytes();
        [&(query.len() as u16).to_be_bytes()[..], &query].concat()
    };
    (0..count).flat_map(framed).collect()
}

/// The ids answered on a stream until it ends; an error is a reset.
fn answered(mut stream: TcpStream) -> std::io::Result<BTreeSet<u16>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let (mut ids, mut rest) = (BTreeSet::new(), &bytes[..]);
    while let [high, low, tail @ ..] = rest {
        let (message, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        assert_eq!(Reply::parse(message).unwrap().addresses().len(), 1);
        ids.insert(u16::from_be_bytes([message[0], message[1]]));
        rest = tail;
    }
    Ok(ids)
}

#[test]
fn told_to_stop_it_finishes_what_clients_have_begun() {
    let site = Site::new("", "");
    let mut server = site.start(site.command());
    let connect = || {
        let stream = TcpStream::connect(site.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    const QUERIES: u16 = 2000;
    let (busy, mut late, _silent) = (connect(), connect(), connect());
    assert!(poll(PATIENCE, || site.get("/readyz").contains("200 OK")), "{}", site.get("/readyz"));
    let sending = std::thread::spawn({
        let mut half = busy.try_clone().unwrap();
        move || half.write_all(&pipelined(QUERIES)).unwrap()
    });
    // Some of them are answered, and most are on their way.
    let mut first = [0; 2];
    busy.peek(&mut first).unwrap();
    server.signal("TERM");
    assert!(poll(PATIENCE, || server.log().contains("stopping")), "{}", server.log());
    // This one had connected before, and asks now.
    late.write_all(&pipelined(1)).unwrap();
    assert!(poll(PATIENCE, || !site.get("/readyz").contains("200 OK")), "it says that it is not ready");
    sending.join().unwrap();
    assert_eq!(answered(busy).expect("an end, no reset").len(), usize::from(QUERIES));
    assert_eq!(answered(late).expect("an end, no reset").len(), 1);
    assert!(poll(PATIENCE, || !server.is_alive()), "{}", server.log());
    assert!(!site.path("admin.sock").exists() && !site.path("admin.sock.takeover").exists());
}

/// The exit code, when it ends in time.
fn ends(mut child: std::process::Child) -> Option<i32> {
    let mut code = None;
    poll(PATIENCE, || {
        code = child.try_wait().unwrap();
        code.is_some()
    });
    let _ = child.kill();
    code.and_then(|status| status.code())
}

fn tell(child: &std::process::Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_client_that_dawdles_is_waited_for_until_stop_timeout_or_a_second_word() {
    for (stop_timeout, twice, code) in [("200ms", false, 0), ("10m", true, 1)] {
        let site = Site::new(&format!("stop_timeout = \"{stop_timeout}\"\ntcp_idle = \"1h\"\n"), "");
        let log = site.path("log");
        let mut command = site.command();
        let child = command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        let said = |what: &str| fs::read_to_string(&log).is_ok_and(|log| log.contains(what));
        assert!(poll(PATIENCE, || said("serving 0 regions")));
        let mut dawdler = TcpStream::connect(site.address).unwrap();
        // A whole query, so that its patience is long, and half of another.
        dawdler.write_all(&pipelined(2)[..60]).unwrap();
        dawdler.read_exact(&mut [0; 2]).unwrap();
        tell(&child, "-TERM");
        assert!(poll(PATIENCE, || said("stopping")));
        if twice {
            tell(&child, "-INT");
        }
        assert_eq!(ends(child), Some(code), "{}", fs::read_to_string(&log).unwrap());
    }
}

#[test]
fn a_stop_during_the_start_ends_it() {
    // It takes connections and never answers, so that the server waits for its first probe.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let site = Site::new(
        "start_timeout = \"10m\"\n",
        &format!(
            "[region.r]\n[health_check.web]\ntype = \"http\"\ntimeout = \"60s\"\ninterval = \"61s\"\nfast = \"61s\"\n[pool.p]\nregion = \
             \"r\"\nhealth_check = \"web\"\nendpoints = [{{ address = \"127.0.0.1\", port = {port} }}]\n"
        ),
    );
    let child = site.command().spawn().unwrap();
    assert!(poll(PATIENCE, || site.path("admin.sock").exists()));
    tell(&child, "-TERM");
    assert_eq!(ends(child), Some(0));
    assert!(!site.path("admin.sock").exists(), "nothing is left behind");
}

#[test]
fn the_unit_s_exposure_is_at_most_2_0() {
    let Some(analyze) = program("systemd-analyze") else { return skipped("systemd-analyze is not installed") };
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/systemd/rhumb.service");
    let output = Command::new(analyze)
        .args(["security", "--offline=true", "--threshold=20", "--no-pager", unit])
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("ignoring"), "every line of the unit is understood: {said}");
}
