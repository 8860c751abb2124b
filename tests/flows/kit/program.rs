//! rhumb as a program of its own, so that its memory can be seen and another can take over from it; and programs of others.

use std::fs;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::common::Running;
use crate::kit::site::head;

/// A folder, and the programs that served from it.
pub struct Programs {
    dir: tempfile::TempDir,
    started: usize,
}

impl Programs {
    /// With this configuration.
    pub fn new(sections: &str) -> Programs {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("rhumb.toml"), head(2) + sections).unwrap();
        Programs { dir, started: 0 }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One that serves; `--takeover` among the arguments takes over.
    #[track_caller]
    pub fn serve(&mut self, arguments: &[&str]) -> Running {
        self.started += 1;
        let name = format!("rhumb-{}", self.started);
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.arg("serve").args(arguments).current_dir(self.dir.path()).env("NO_COLOR", "1");
        let mut running = Running::start(command, &name, self.dir.path());
        let log = self.path(&format!("{name}.log"));
        running.wait_until(|| fs::read_to_string(&log).is_ok_and(|said| said.contains("serving 2 regions")));
        running.wait_until(|| self.path("admin.sock.takeover").exists());
        running
    }
}

/// The resident memory of a program in KiB.
pub fn resident_kib(running: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Starts a program of somebody else, and waits until it takes connections.
#[track_caller]
pub fn neighbour(command: Command, name: &str, dir: &Path, address: SocketAddr) -> Running {
    let mut running = Running::start(command, name, dir);
    running.wait_until(|| TcpStream::connect(address).is_ok());
    running
}
