//! The world around an authoritative server: a root that delegates to it, and a resolver that starts at that root.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::dns::{Question, Reply, udp_within};
use super::servers::{Server, Zone, nsd_at};
use super::{Running, free_address, program};

/// Where resolvers ask; only root may listen there.
pub const PORT: u16 = 53;

/// An address of 127/8 that is this process's own.
pub fn own_address(host: u8) -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 100 + high % 100, low, host)
}

/// Why none of this can be had here; none if it can.
pub fn missing(address: Ipv4Addr, programs: &[&str]) -> Option<String> {
    if let Err(e) = TcpListener::bind((address, PORT)) {
        return Some(format!("port {PORT} on loopback cannot be bound ({e}); run as root"));
    }
    let absent = programs.iter().find(|name| program(name).is_none());
    absent.map(|name| format!("{name} is not installed"))
}

/// NSD with a root zone that delegates `example.` to `authority`.
pub fn root(at: Ipv4Addr, authority: Ipv4Addr, dir: &Path) -> Server {
    let file = dir.join("root");
    let delegation = format!("example. NS ns.example.\nns.example. A {authority}\nns.root. A {at}\n");
    fs::write(&file, format!("$TTL 3600\n. SOA ns.root. h.root. 1 1h 1h 1h 60\n. NS ns.root.\n{delegation}")).unwrap();
    nsd_at((at, PORT).into(), dir, &[Zone { name: ".".to_owned(), file }]).expect("nsd is installed")
}

/// Unbound, starting at the root server `root` and sending client subnets to `authority`; ready when it knows `name`.
pub fn unbound(dir: &Path, root: Ipv4Addr, authority: Ipv4Addr, name: &str) -> (SocketAddr, Running) {
    let program = program("unbound").expect("unbound is installed");
    let address = free_address();
    fs::write(dir.join("hints"), format!(". 3600 NS ns.root.\nns.root. 3600 A {root}\n")).unwrap();
    let home = dir.display();
    let config = format!(
        "server:\n interface: {ip}@{port}\n access-control: 127.0.0.0/8 allow\n do-ip6: no\n do-daemonize: no\n \
         username: \"\"\n chroot: \"\"\n directory: \"{home}\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n \
         verbosity: 2\n num-threads: 1\n do-not-query-localhost: no\n root-hints: \"{home}/hints\"\n \
         module-config: \"subnetcache iterator\"\n send-client-subnet: {authority}\n \
         client-subnet-always-forward: yes\n max-client-subnet-ipv4: 24\n harden-below-nxdomain: no\n\
         remote-control:\n control-enable: no\n",
        ip = address.ip(),
        port = address.port()
    );
    let file = dir.join("unbound.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg("-d").arg("-c").arg(&file);
    let mut running = Running::start(command, "unbound", dir);
    let question = Question { flags: 0x0100, ..Question::new(name, super::dns::rtype::A) }.to_bytes();
    running.wait_until(|| {
        let reply = udp_within(address, &question, Duration::from_millis(500));
        reply.and_then(|bytes| Reply::parse(&bytes).ok()).is_some_and(|reply| reply.rcode == 0)
    });
    (address, running)
}
