//! A network of the test's own: namespaces with names that no other run has, on one bridge, and gone with the test.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use rustix::thread::LinkNameSpaceType;
use rustix::thread::move_into_link_name_space;

use crate::common::program;

/// Where `ip netns` keeps them.
const NAMES: &str = "/run/netns";
/// Tests of one process beside each other.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A namespace; whoever runs in it is killed when this is dropped.
pub struct Space {
    ip: PathBuf,
    name: String,
}

impl Space {
    /// A new one, with its loopback up.
    ///
    /// # Errors
    /// What `ip` said: most often that we are not root.
    pub fn new(role: &str) -> Result<Space, String> {
        let ip = program("ip").ok_or("ip (iproute2) is not installed")?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rhumb-test-{}-{number}-{role}", std::process::id());
        said(Command::new(&ip).args(["netns", "add", &name]))?;
        let space = Space { ip, name };
        space.ip("link set lo up")?;
        Ok(space)
    }

    /// `ip …` within it.
    pub fn ip(&self, words: &str) -> Result<String, String> {
        said(Command::new(&self.ip).args(["-n", &self.name]).args(words.split(' ')))
    }

    /// A program within it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// A program within it, until it ends.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String, String> {
        said(self.command(program).args(args))
    }

    /// A thread of this test within it.
    pub fn thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let file = File::open(PathBuf::from(NAMES).join(&self.name)).unwrap();
        std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        })
    }

    /// A cable from its `eth0` to a port of that name in a bridge `lan` of another.
    pub fn join(&self, lan: &Space, port: &str, address: &str) -> Result<(), String> {
        lan.ip(&format!("link add {port} type veth peer name eth0 netns {}", self.name))?;
        lan.ip(&format!("link set {port} master lan up"))?;
        self.ip(&format!("address add {address} dev eth0"))?;
        self.ip("link set eth0 up")?;
        Ok(())
    }

    /// Whether it has that address.
    pub fn has(&self, address: &str) -> bool {
        self.ip("-brief address show dev eth0").is_ok_and(|said| said.contains(&format!(" {address}/")))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // Those that a killed parent has left, keepalived's children among them. Our own threads are ended by their owner.
        let left = said(Command::new(&self.ip).args(["netns", "pids", &self.name])).unwrap_or_default();
        for id in left.lines().filter(|id| *id != std::process::id().to_string()) {
            let _ = Command::new("kill").args(["-s", "KILL", id]).stderr(Stdio::null()).status();
        }
        let _ = said(Command::new(&self.ip).args(["netns", "delete", &self.name]));
    }
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error: io::Error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
