//! The proxy under test, in front of some origins: rhumb in this process, rhumb as a program, or another in its place.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rhumb::daemon::Daemon;
use tokio::runtime::Runtime;

use crate::common::Running;
use crate::kit::origin::Origin;
use crate::kit::peer;
use crate::kit::peers;

/// How a proxy is set up; lines of TOML are rhumb's alone.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Where requests go, in turn.
    pub endpoints: Vec<SocketAddr>,
    /// What is said of endpoints beside their addresses, as `weight = 3`; nothing of those that are left over.
    pub marks: Vec<&'static str>,
    /// How one is chosen; `round_robin` when empty.
    pub balance: &'static str,
    /// Threads; 0 for one.
    pub workers: usize,
    /// More lines of `[proxy]`.
    pub proxy: String,
    /// More lines of the pool.
    pub pool: String,
    /// More lines of the listener.
    pub listener: String,
    /// Instead of one route to the pool.
    pub routes: Option<String>,
    /// More sections.
    pub sections: String,
    /// HTTP/2 to the origins.
    pub h2_origins: bool,
    /// TLS for www.example.com.
    pub tls: bool,
    /// Deadlines of clients: for a head, and without progress of a body.
    pub header: Option<Duration>,
    /// The other one.
    pub body: Option<Duration>,
}

impl Setup {
    /// In front of one origin.
    pub fn before(origin: &Origin) -> Setup {
        Setup::to(&[origin.address])
    }

    /// In front of addresses.
    pub fn to(endpoints: &[SocketAddr]) -> Setup {
        Setup { endpoints: endpoints.to_vec(), ..Setup::default() }
    }

    /// With more lines in its listener.
    pub fn listener(self, lines: &str) -> Setup {
        Setup { listener: self.listener + lines + "\n", ..self }
    }

    /// With more lines in its pool.
    pub fn pool(self, lines: &str) -> Setup {
        Setup { pool: self.pool + lines + "\n", ..self }
    }

    /// With more sections.
    pub fn section(self, lines: &str) -> Setup {
        Setup { sections: self.sections + lines + "\n", ..self }
    }

    /// With endpoints chosen in this way.
    pub fn balance(self, balance: &'static str) -> Setup {
        Setup { balance, ..self }
    }

    /// With these routes.
    pub fn routes(self, routes: &str) -> Setup {
        Setup { routes: Some(routes.to_owned()), ..self }
    }

    /// rhumb's configuration.
    pub fn toml(&self, bind: SocketAddr) -> String {
        let mut endpoints = String::new();
        for (at, address) in self.endpoints.iter().enumerate() {
            let mark = self.marks.get(at).filter(|mark| !mark.is_empty()).map(|mark| format!(", {mark}"));
            let mark = mark.unwrap_or_default();
            write!(endpoints, "{{ address = \"{}\", port = {}{mark} }}, ", address.ip(), address.port()).unwrap();
        }
        let balance = if self.balance.is_empty() { "round_robin" } else { self.balance };
        let (protocol, tls) = if self.tls { ("https", "tls = \"www\"\n") } else { ("http", "") };
        let mut timeouts = String::new();
        for (name, time) in [("header", self.header), ("body", self.body)] {
            if let Some(time) = time {
                write!(timeouts, "{name} = \"{}ms\", ", time.as_millis()).unwrap();
            }
        }
        let certificate = "[tls.www]\ncertificate = \"cert.pem\"\nkey_file = \"key.pem\"\n";
        format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nstop_timeout = \"200ms\"\n[proxy]\nworkers = {}\n{}{}[region.here]\n\
             [pool.origin]\nregion = \"here\"\nbalance = \"{balance}\"\n{}{}endpoints = [{endpoints}]\n{}\
             [[listener]]\nname = \"edge\"\nregion = \"here\"\nbind = \"{bind}\"\nprotocol = \"{protocol}\"\n{tls}{}{}routes = [{}]\n",
            self.workers.max(1),
            self.proxy,
            if self.tls { certificate } else { "" },
            if self.h2_origins { "protocol = \"http2\"\n" } else { "" },
            self.pool,
            self.sections,
            if timeouts.is_empty() {
                String::new()
            } else {
                format!("timeouts = {{ {} }}\n", timeouts.trim_end_matches(", "))
            },
            self.listener,
            self.routes.as_deref().unwrap_or("{ pool = \"origin\" }"),
        )
    }

    /// Starts it: in this process, or what `RHUMB_EDGE_PEER` names.
    #[track_caller]
    pub fn start(self) -> Edge {
        let dir = tempfile::tempdir().unwrap();
        write_certificate(dir.path());
        match peer() {
            Some(name) => peers::start(&name, &self, dir),
            None => self.in_this_process(dir),
        }
    }

    fn in_this_process(self, dir: tempfile::TempDir) -> Edge {
        let file = dir.path().join("rhumb.toml");
        fs::write(&file, self.toml("127.0.0.1:0".parse().unwrap())).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let daemon = runtime.block_on(Daemon::start(&file)).unwrap_or_else(|error| panic!("{error}"));
        let (_, address) = daemon.listeners().iter().find(|(name, _)| name == "edge").expect("it listens");
        Edge { address: *address, dir, _behind: Behind::Task(Some(Box::new((runtime, daemon)))) }
    }

    /// Starts it as a program of its own, so that its memory can be seen.
    #[track_caller]
    pub fn start_program(self) -> Edge {
        let dir = tempfile::tempdir().unwrap();
        write_certificate(dir.path());
        if let Some(name) = peer() {
            return peers::start(&name, &self, dir);
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port()));
        let file = dir.path().join("rhumb.toml");
        fs::write(&file, self.toml(address)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.arg("serve").arg("-c").arg(&file).env("NO_COLOR", "1");
        Edge::of(address, dir, command, "rhumb")
    }
}

enum Behind {
    Task(Option<Box<(Runtime, Daemon)>>),
    Program(Running),
}

/// A proxy that runs.
pub struct Edge {
    pub address: SocketAddr,
    dir: tempfile::TempDir,
    _behind: Behind,
}

impl Edge {
    /// Starts a program and waits until it takes connections.
    #[track_caller]
    pub fn of(address: SocketAddr, dir: tempfile::TempDir, command: Command, name: &str) -> Edge {
        let mut running = Running::start(command, name, dir.path());
        running.wait_until(|| std::net::TcpStream::connect(address).is_ok());
        Edge { address, dir, _behind: Behind::Program(running) }
    }

    /// Its folder, with `cert.pem` and `key.pem` for www.example.com.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// What runs in this process.
    pub fn daemon(&self) -> &(Runtime, Daemon) {
        let Behind::Task(Some(task)) = &self._behind else { panic!("it runs as a program") };
        task
    }

    /// What it said, as a program.
    pub fn log(&self) -> String {
        match &self._behind {
            Behind::Task(_) => String::new(),
            Behind::Program(running) => running.log(),
        }
    }

    /// Its resident memory in KiB, as a program.
    pub fn resident_kib(&self) -> u64 {
        let Behind::Program(running) = &self._behind else { panic!("not a program of its own") };
        let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Behind::Task(task) = &mut self._behind
            && let Some(task) = task.take()
        {
            let (runtime, daemon) = *task;
            // Clients that a test forgot are not waited for.
            let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(2), daemon.stop()).await });
            runtime.shutdown_background();
        }
    }
}

/// A port for programs that must be told one: below those that the system gives to others, so that nobody gets it meanwhile.
pub fn port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (std::process::id() as u16 % COUNT + step) % COUNT;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub fn write_certificate(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
    fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}
