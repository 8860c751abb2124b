//! Sockets and epoll, by hand: a generator that costs more than the proxy measures itself.

use std::io::Error;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::RawFd;

/// Edge-triggered readability, which is what both sides ask for.
pub const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLET) as u32;
pub const WRITABLE: u32 = libc::EPOLLOUT as u32;
pub const HUNG_UP: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

pub fn die(what: &str) -> ! {
    eprintln!("lbtools: {what}: {}", Error::last_os_error());
    std::process::exit(2)
}

fn would_block() -> bool {
    Error::last_os_error().kind() == ErrorKind::WouldBlock
}

fn sockaddr(address: &SocketAddr) -> (libc::sockaddr_in, u32) {
    let SocketAddr::V4(v4) = address else { panic!("IPv4 only") };
    let mut raw: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    raw.sin_family = libc::AF_INET as u16;
    raw.sin_port = v4.port().to_be();
    raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
    (raw, size_of::<libc::sockaddr_in>() as u32)
}

fn set(fd: RawFd, level: i32, name: i32) {
    let on: i32 = 1;
    unsafe { libc::setsockopt(fd, level, name, (&raw const on).cast(), 4) };
}

pub fn listen(address: &SocketAddr) -> RawFd {
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0) };
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR);
    let (raw, length) = sockaddr(address);
    if unsafe { libc::bind(fd, (&raw const raw).cast(), length) } != 0 {
        die("bind")
    }
    unsafe { libc::listen(fd, 4096) };
    fd
}

pub fn accept(listener: RawFd) -> Option<RawFd> {
    let (none, flags) = (std::ptr::null_mut(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    let fd = unsafe { libc::accept4(listener, none, std::ptr::null_mut(), flags) };
    if fd < 0 {
        return None;
    }
    set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY);
    Some(fd)
}

pub fn connect(address: &SocketAddr) -> RawFd {
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY);
    let (raw, length) = sockaddr(address);
    let refused = unsafe { libc::connect(fd, (&raw const raw).cast(), length) } != 0;
    if refused && Error::last_os_error().raw_os_error() != Some(libc::EINPROGRESS) {
        die("connect")
    }
    fd
}

pub fn close(fd: RawFd) {
    unsafe { libc::close(fd) };
}

/// What a read or write came to.
pub enum Moved {
    Bytes(usize),
    Ended,
    NotNow,
}

pub fn read(fd: RawFd, into: &mut [u8]) -> Moved {
    match unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), 0) } {
        0 => Moved::Ended,
        n if n > 0 => Moved::Bytes(n as usize),
        _ if would_block() => Moved::NotNow,
        _ => Moved::Ended,
    }
}

pub fn write(fd: RawFd, bytes: &[u8]) -> Moved {
    match unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) } {
        n if n >= 0 => Moved::Bytes(n as usize),
        _ if would_block() => Moved::NotNow,
        _ => Moved::Ended,
    }
}

/// An epoll and the events it gave last.
pub struct Epoll {
    fd: RawFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> Epoll {
        Epoll { fd: unsafe { libc::epoll_create1(0) }, events: vec![libc::epoll_event { events: 0, u64: 0 }; 512] }
    }

    pub fn add(&self, fd: RawFd, interest: u32, token: usize) {
        let mut event = libc::epoll_event { events: interest, u64: token as u64 };
        if unsafe { libc::epoll_ctl(self.fd, libc::EPOLL_CTL_ADD, fd, &raw mut event) } != 0 {
            die("epoll_ctl")
        }
    }

    /// Tokens and what happened there.
    pub fn wait(&mut self, timeout_ms: i32) -> impl Iterator<Item = (usize, u32)> + '_ {
        let found = unsafe { libc::epoll_wait(self.fd, self.events.as_mut_ptr(), 512, timeout_ms) };
        self.events[..found.max(0) as usize].iter().map(|event| (event.u64 as usize, event.events))
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
