//! rhumb from outside, as far as it carries connections: endpoints that are told what to do, clients that do anything, and what an
//! operator sees of it.

pub mod backend;
pub mod client;
pub mod load;
pub mod pattern;
pub mod program;
pub mod site;

use std::net::SocketAddr;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// Longer than anything takes on a busy machine; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The time, since deadlines are measured.
#[expect(clippy::disallowed_methods, reason = "tests have no clock of their own")]
pub fn now() -> Instant {
    Instant::now()
}

/// An address for what must be told one: its port is below those that the system gives to others, so that nobody gets it
/// meanwhile.
pub fn here() -> SocketAddr {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from(([127, 0, 0, 1], FIRST + (std::process::id() as u16 % COUNT + step) % COUNT));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// As many descriptors as the system gives this process, and those it starts.
pub fn raise_descriptors(wanted: u64) -> u64 {
    use rustix::process::Resource;
    use rustix::process::Rlimit;
    use rustix::process::getrlimit;
    use rustix::process::setrlimit;
    let had = getrlimit(Resource::Nofile);
    let hard = had.maximum.map_or(wanted, |maximum| maximum.max(wanted));
    // Only root may raise the harder one.
    for maximum in [Some(hard), had.maximum] {
        if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
