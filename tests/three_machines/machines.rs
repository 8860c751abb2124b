//! The machines of the example in a network of their own: three of rhumb's, the applications, another region, and a client.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::application::Application;
use crate::common::Running;
use crate::network::Space;

const RHUMB: &str = env!("CARGO_BIN_EXE_rhumb");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The one bridge that all are at.
pub struct Lan(Space);

impl Lan {
    pub fn new() -> Result<Lan, String> {
        let lan = Space::new("lan")?;
        lan.ip("link add lan address 02:00:00:00:00:01 type bridge")?;
        lan.ip("link set lan up")?;
        Ok(Lan(lan))
    }

    /// A machine at it, with an address of the example's network.
    pub fn machine(&self, name: &str, address: &str) -> Result<Space, String> {
        let space = Space::new(name)?;
        space.join(&self.0, &format!("port-{name}"), &format!("{address}/24"))?;
        Ok(space)
    }

    /// The same of the other region, with its own address beside.
    pub fn far_machine(&self, name: &str, address: &str, far: &str) -> Result<Space, String> {
        let space = self.machine(name, address)?;
        space.ip(&format!("address add {far}/32 dev eth0"))?;
        Ok(space)
    }
}

/// Where the other region is reached.
pub fn routed(space: &Space, far: &str, via: &str) -> Result<(), String> {
    space.ip(&format!("route add {far}/32 via {via}")).map(drop)
}

/// A machine that runs rhumb with one of the example's files.
pub struct Node {
    pub name: &'static str,
    /// How much of its events was waited for.
    pub heard: Cell<usize>,
    dir: PathBuf,
    running: Option<Running>,
    // Last: its process ends before it.
    space: Space,
}

impl Node {
    /// Ready to start: only where it keeps its files differs from what the example says.
    pub fn new(name: &'static str, space: Space, home: &Path) -> Node {
        let dir = home.join(name);
        fs::create_dir(&dir).unwrap();
        let text = fs::read_to_string(format!("{ROOT}/examples/three-machines/{name}.toml")).unwrap();
        let text = text.replace("/run/rhumb", &dir.display().to_string());
        let text = text.replace("/var/lib/rhumb", &dir.join("state").display().to_string());
        fs::write(dir.join("rhumb.toml"), text.replace("../..", ROOT)).unwrap();
        Node { name, heard: Cell::new(0), dir, running: None, space }
    }

    pub fn start(&mut self) {
        let mut command = self.space.command(RHUMB);
        command.arg("serve").arg("-c").arg(self.dir.join("rhumb.toml"));
        self.heard.set(0);
        self.running = Some(Running::start(command, "rhumb", &self.dir));
    }

    /// The machine loses power: nothing is said to anybody.
    pub fn die(&mut self) {
        self.running = None;
    }

    /// A command of the operator's on this machine, if it is answered.
    pub fn says(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new(RHUMB);
        let output = command.args(arguments).arg("-c").arg(self.dir.join("rhumb.toml")).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub fn log(&self) -> String {
        let said = self.running.as_ref().map(Running::log).unwrap_or_default();
        format!("--- {}\n{said}\n", self.name)
    }
}

/// An application on a machine of its own.
pub struct Host {
    application: Option<Application>,
    space: Space,
}

impl Host {
    pub fn start(space: Space, address: &str, says: &str) -> Host {
        let (address, says): (SocketAddr, String) = (address.parse().unwrap(), says.to_owned());
        let started = space.thread(move || Application::start(address, says)).join().unwrap();
        Host { application: Some(started), space }
    }

    pub fn die(&mut self) {
        self.within(Application::die);
    }

    pub fn revive(&mut self) {
        self.within(Application::revive);
    }

    /// A socket belongs to the network of the thread that makes it.
    fn within(&mut self, work: fn(&mut Application)) {
        let mut application = self.application.take().unwrap();
        let worked = move || {
            work(&mut application);
            application
        };
        self.application = Some(self.space.thread(worked).join().unwrap());
    }
}
