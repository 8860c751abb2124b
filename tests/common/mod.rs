//! What tests against running programs need: programs found, ports that are free, children that die with their test,
//! waiting that ends, and DNS messages.
//!
//! A test whose program is absent calls [`skipped`] and returns: loud, but green.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod delegation;
pub mod dns;
pub mod servers;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Where Debian keeps servers; an ordinary user's PATH lacks it.
const SYSTEM_PROGRAMS: &str = "/usr/sbin";

/// The path of an installed program.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from(SYSTEM_PROGRAMS)]);
    dirs.map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Says that a test did not run, and why.
pub fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// A port that is free for UDP and TCP on 127.0.0.1 at this moment.
pub fn free_port() -> u16 {
    free_port_on(Ipv4Addr::LOCALHOST)
}

/// A port that is free for UDP and TCP on a loopback address at this moment.
pub fn free_port_on(ip: Ipv4Addr) -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind((ip, 0)).expect("loopback can be bound");
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind((ip, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free for both UDP and TCP");
}

/// 127.0.0.1 with a free port.
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// A child process with its output in a file; it and its children are killed when this is dropped.
pub struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    /// Starts `command`; its output goes to `name.log` in `dir`.
    pub fn start(mut command: Command, name: &str, dir: &Path) -> Running {
        let log = dir.join(format!("{name}.log"));
        let out = File::create(&log).unwrap();
        let err = out.try_clone().unwrap();
        // A group of its own, so that the whole of it can be killed.
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        Running { child, name: name.to_owned(), log }
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// Waits until `ready`, and panics with the log when that takes 20 seconds or the process ends.
    pub fn wait_until(&mut self, mut ready: impl FnMut() -> bool) {
        let name = self.name.clone();
        let done = poll(Duration::from_secs(20), || !self.is_alive() || ready());
        assert!(done && self.is_alive(), "{name} did not become ready; it said:\n{}", self.log());
    }

    /// Sends it a signal by name, as `HUP`.
    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().is_ok_and(|s| s.success()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks every 20 ms until `done`; false when it was not within `limit`.
pub fn poll(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    const STEP: Duration = Duration::from_millis(20);
    let steps = limit.as_millis() / STEP.as_millis() + 1;
    (0..steps).any(|step| {
        if step > 0 {
            sleep(STEP);
        }
        done()
    })
}
