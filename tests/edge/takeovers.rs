//! Another process takes the listeners over, as with a new version: clients see no more of it than of a reload.

use std::fs;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rhumb::runtime::handover::Line;
use rhumb::runtime::handover::Message;

use crate::common::Running;
use crate::common::poll;
use crate::common::program;
use crate::common::skipped;
use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::get;
use crate::kit::edge::port;
use crate::kit::h2;
use crate::kit::h2::ACK;
use crate::kit::h2::Fate;
use crate::kit::h2::Frame;
use crate::kit::h2::GOAWAY;
use crate::kit::h2::H2;
use crate::kit::h2::PING;
use crate::kit::load::Load;
use crate::kit::origin::Origin;
use crate::kit::site;
use crate::kit::site::head;
use crate::kit::site::listener;
use crate::kit::site::pool;
use crate::websocket;

/// Longer than a program takes to start on a busy machine.
const START: Duration = Duration::from_secs(20);

/// A folder, and the programs that served from it.
struct Programs {
    dir: tempfile::TempDir,
    started: usize,
}

impl Programs {
    fn new(sections: &str) -> Programs {
        let programs = Programs { dir: tempfile::tempdir().unwrap(), started: 0 };
        programs.configure(sections);
        programs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, sections: &str) {
        fs::write(self.path("new"), head("admin.sock") + sections).unwrap();
        fs::rename(self.path("new"), self.path("rhumb.toml")).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.arg("serve").args(arguments).current_dir(self.dir.path()).env("NO_COLOR", "1");
        command
    }

    fn run(&mut self, command: Command) -> Running {
        self.started += 1;
        Running::start(command, &format!("rhumb-{}", self.started), self.dir.path())
    }

    /// One that serves.
    fn serve(&mut self, arguments: &[&str]) -> Running {
        let mut running = self.run(self.command(arguments));
        let log = self.path(&format!("rhumb-{}.log", self.started));
        running.wait_until(|| fs::read_to_string(&log).is_ok_and(|said| said.contains("serving 2 regions")));
        running.wait_until(|| self.path("admin.sock.takeover").exists());
        running
    }

    /// Where a listener is, as the last program says.
    fn address(&self, running: &Running, name: &str) -> SocketAddr {
        let log = running.log();
        let line =
            log.lines().find(|line| line.contains(&format!("listener {name} on "))).unwrap_or_else(|| panic!("{log}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn edge(name: &str, bind: SocketAddr, lines: &str) -> String {
    listener(name, bind, "app", lines)
}

#[test]
fn under_load_no_request_fails() {
    let origin = Origin::plain();
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let sections = pool("app", "here", &[origin.address], "") + &edge("edge", address, "");
    let mut programs = Programs::new(&sections);
    let mut running = programs.serve(&[]);
    let load = Load::start(address);
    for _ in 0..4 {
        load.goes_on(20);
        let successor = programs.serve(&["--takeover"]);
        load.goes_on(20);
        assert!(poll(START, || !running.is_alive()), "clients that ask have all moved on: {}", running.log());
        running = successor;
    }
    load.end();
}

#[test]
fn who_is_there_is_told_or_has_its_time() {
    let origin = websocket::origin();
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let sections = pool("app", "here", &[origin.address], "") + &edge("edge", address, "drain_timeout = \"3s\"");
    let mut programs = Programs::new(&sections);
    let mut first = programs.serve(&[]);
    let (mut tunnel, mut kept, mut over_h2) =
        (websocket::upgraded(address), Client::connect(address), H2::connect(address));
    assert!(!kept.send(get("/")).response().unwrap().says_close());
    over_h2.request(1, &h2::get("/"));
    assert_eq!(over_h2.fate(1), Fate::Status(200));
    let mut second = programs.serve(&["--takeover"]);
    assert!(first.is_alive());
    let mut goaways = 0;
    while let Some(frame) = over_h2.next() {
        goaways += usize::from(frame.kind == GOAWAY);
        if frame.kind == PING && frame.flags & ACK == 0 {
            over_h2.send(&Frame::new(PING, ACK, 0, frame.payload));
        }
    }
    assert_eq!(goaways, 2);
    assert!(kept.send(get("/")).response().unwrap().says_close());
    assert!(websocket::echoes(&mut tunnel), "it goes on in the old process");
    let mut new = Client::connect(address);
    assert!(!new.send(get("/")).response().unwrap().says_close(), "the new one serves");
    assert!(tunnel.ends());
    assert!(poll(START, || !first.is_alive()), "{}", first.log());
    assert!(second.is_alive());
}

#[test]
fn ports_that_the_system_gave_stay() {
    let (one, other) = (Origin::plain(), Origin::start(|_| crate::kit::origin::fixed(204, "")));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sections = pool("app", "here", &[one.address], "")
        + &pool("other", "here", &[other.address], "")
        + &listener("a", any, "app", "")
        + &listener("b", any, "other", "");
    let mut programs = Programs::new(&sections);
    fs::write(
        programs.path("rhumb.toml"),
        head("admin.sock").replace("listen = []", "listen = [\"127.0.0.1:0\"]") + &sections,
    )
    .unwrap();
    let mut first = programs.serve(&[]);
    let addresses = ["a", "b"].map(|name| programs.address(&first, name));
    assert_ne!(addresses[0], addresses[1]);
    let statuses = || addresses.map(|at| Client::connect(at).send(get("/")).response_to("GET").unwrap().status);
    assert_eq!(statuses(), [200, 204]);
    let second = programs.serve(&["--takeover"]);
    assert!(poll(START, || !first.is_alive()));
    assert_eq!(["a", "b"].map(|name| programs.address(&second, name)), addresses);
    assert_eq!(statuses(), [200, 204]);
}

#[test]
fn when_the_successor_dies_the_other_goes_on() {
    let origin = Origin::plain();
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let sections = pool("app", "here", &[origin.address], "") + &edge("edge", address, "");
    let mut programs = Programs::new(&sections);
    let first = programs.serve(&[]);
    let load = Load::start(address);
    load.goes_on(10);
    for lets_go in [false, true] {
        let mut line = Line::call(&programs.path("admin.sock.takeover")).unwrap();
        line.send(&Message::hello()).unwrap();
        let Message::Offer { descriptors, .. } = line.receive(PATIENCE).unwrap() else { panic!("it must offer") };
        let sockets = line.receive_descriptors(descriptors).unwrap();
        assert_eq!(sockets.len(), 2, "one for each core");
        if lets_go {
            line.send(&Message::Answering).unwrap();
            assert_eq!(line.receive(PATIENCE).unwrap(), Message::Released);
        }
        drop((line, sockets));
        load.goes_on(10);
        let times = if lets_go { "it ended just after it began" } else { "has not taken over" };
        assert!(poll(PATIENCE, || first.log().contains(times)), "{}", first.log());
        assert_eq!(site::readyz(&programs.path("admin.sock")), Some(200));
    }
    load.goes_on(10);
    load.end();
}

#[test]
fn the_service_manager_may_open_the_sockets_of_listeners() {
    let Some(python) = program("python3") else { return skipped("python3 is not installed") };
    let origin = Origin::plain();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // Who comes before the server is there waits in the socket.
    let mut early = Client::connect(address);
    early.send(get("/early"));
    let sections = pool("app", "here", &[origin.address], "") + &edge("edge", address, "");
    let mut programs = Programs::new(&sections);
    // Put where it belongs by somebody who knows his own number (sd_listen_fds(3)).
    let script = "import os, sys\n\
        os.dup2(int(sys.argv[1]), 3, inheritable=True)\n\
        os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n\
        os.execv(sys.argv[2], sys.argv[2:])\n";
    let inherited = socket2::Socket::from(socket);
    inherited.set_cloexec(false).unwrap();
    let mut command = Command::new(python);
    command.args(["-c", script, &inherited.as_raw_fd().to_string(), env!("CARGO_BIN_EXE_rhumb"), "serve"]);
    command.current_dir(programs.dir.path()).env("NO_COLOR", "1");
    let running = programs.run(command);
    inherited.set_cloexec(true).unwrap();
    drop(inherited);
    assert_eq!(early.response().unwrap_or_else(|why| panic!("{why}: {}", running.log())).text(), "/early");
    for _ in 0..20 {
        assert_eq!(Client::connect(address).send(get("/")).response().unwrap().status, 200);
    }
    assert!(!running.log().contains("no listener wants it"), "{}", running.log());
}

#[test]
fn sigterm_ends_it_and_a_second_at_once() {
    let origin = websocket::origin();
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let sections = pool("app", "here", &[origin.address], "") + &edge("edge", address, "");
    let mut programs = Programs::new(&sections);
    let mut running = programs.serve(&[]);
    let _tunnel = websocket::upgraded(address);
    let since = crate::kit::now();
    running.signal("TERM");
    assert!(poll(PATIENCE, || running.log().contains("stopping")));
    running.signal("TERM");
    assert!(poll(Duration::from_millis(1_900), || !running.is_alive()), "{}", running.log());
    assert!(since.elapsed() < Duration::from_secs(4));
}
