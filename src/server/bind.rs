//! Opening the sockets, and what to tell the operator when one cannot be had.
//!
//! TCP comes before UDP: UDP sockets share their address (SO_REUSEPORT), so a second server started by mistake would get
//! half of the queries; its TCP socket is refused first, before it has joined.
//!
//! A socket on all addresses (0.0.0.0, `[::]`) has to be told for each query where it was sent to, so that the answer
//! leaves from there; that costs about a tenth of a query's time. Listing the addresses costs nothing.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::model::Problem;
use crate::server::batch;
use crate::server::given::Given;

/// Datagrams the kernel keeps for a busy worker: at 100 bytes and a kernel's overhead of about 700 each, some 5,000, or
/// a few milliseconds of a core's full load. Unless we are root the kernel cuts it to net.core.rmem_max.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// Connections the kernel completes before they are accepted; it cuts this to net.core.somaxconn.
pub(super) const BACKLOG: i32 = 1024;
/// When port 0 was asked for, the port TCP gets may be taken for UDP; another is tried.
const PORT_TRIES: usize = 16;

/// The sockets of one listen address.
#[derive(Debug)]
pub struct PlainSockets {
    /// With the real port.
    pub address: SocketAddr,
    /// One for each worker; fewer or more when they were opened by somebody else.
    pub udp: Vec<Socket>,
    /// Listening, non-blocking.
    pub tcp: TcpListener,
}

/// Opens TCP and one UDP socket for each worker.
///
/// # Errors
/// What the operator can do about it.
pub fn plain(address: SocketAddr, workers: usize) -> Result<PlainSockets, Problem> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let tcp = stream(address, "TCP")?;
        let real = tcp.local_addr().map_err(|error| problem(address, "TCP", &error))?;
        match (0..workers).map(|_| udp_socket(real, true)).collect::<io::Result<Vec<_>>>() {
            Ok(udp) => {
                tell_of_small_buffers(&udp, real);
                return Ok(PlainSockets { address: real, udp, tcp });
            }
            Err(error) if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(problem(real, "UDP", &error)),
        }
    }
}

/// As [`plain`], but with the sockets that are there already.
///
/// # Errors
/// What the operator can do about it.
pub fn plain_from(wanted: SocketAddr, workers: usize, given: &mut Given) -> Result<PlainSockets, Problem> {
    let address = given.real(wanted);
    let (tcp, udp) = (given.stream(address), given.datagrams(address));
    if tcp.is_none() && udp.is_empty() {
        return plain(address, workers);
    }
    let tcp = tcp.map_or_else(|| stream(address, "TCP"), Ok)?;
    let udp = match udp.is_empty() {
        true => (0..workers).map(|_| udp_socket(address, true)).collect::<io::Result<Vec<_>>>(),
        false => udp.into_iter().map(|socket| dress(socket, address, true)).collect(),
    };
    let udp = udp.map_err(|error| problem(address, "UDP", &error))?;
    Ok(PlainSockets { address, udp, tcp })
}

/// One more UDP socket in the group that `first` is of.
///
/// # Errors
/// The system's; also when `first` shares its address with nobody.
pub fn another(first: &Socket, address: SocketAddr) -> io::Result<Socket> {
    if !first.reuse_port()? {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "the socket was opened without SO_REUSEPORT"));
    }
    udp_socket(address, true)
}

/// Opens a listening TCP socket; `what` it is for goes into the error.
///
/// # Errors
/// What the operator can do about it.
pub fn stream(address: SocketAddr, what: &str) -> Result<TcpListener, Problem> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // connections of a former run that linger in TIME_WAIT shall not hold us up
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    };
    open().map_err(|error| problem(address, what, &error))
}

/// Opens listening TCP sockets that share an address, one for each worker; the kernel spreads connections over them. Another
/// process that listens there is told of, although it might share, too.
///
/// # Errors
/// What the operator can do about it.
pub fn streams(address: SocketAddr, workers: usize, what: &str) -> Result<Vec<TcpListener>, Problem> {
    let real = stream(address, what)?.local_addr().map_err(|error| problem(address, what, &error))?;
    let open = || {
        let socket = Socket::new(Domain::for_address(real), Type::STREAM, Some(Protocol::TCP))?;
        if real.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SockAddr::from(real))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    };
    (0..workers).map(|_| open()).collect::<io::Result<_>>().map_err(|error| problem(real, what, &error))
}

/// As [`streams`], but those that are there already.
///
/// # Errors
/// What the operator can do about it.
pub fn streams_from(
    wanted: SocketAddr,
    workers: usize,
    what: &str,
    given: &mut Given,
) -> Result<Vec<TcpListener>, Problem> {
    let address = given.real(wanted);
    let there: Vec<TcpListener> = std::iter::from_fn(|| given.stream(address)).collect();
    if there.is_empty() { streams(address, workers, what) } else { Ok(there) }
}

/// As [`stream`], but the one that is there already.
///
/// # Errors
/// What the operator can do about it.
pub fn stream_from(wanted: SocketAddr, what: &str, given: &mut Given) -> Result<TcpListener, Problem> {
    let address = given.real(wanted);
    given.stream(address).map_or_else(|| stream(address, what), Ok)
}

/// Opens a UDP socket of its own, for QUIC, or takes the one that is there already.
///
/// # Errors
/// What the operator can do about it.
pub fn datagram_from(wanted: SocketAddr, what: &str, given: &mut Given) -> Result<std::net::UdpSocket, Problem> {
    let address = given.real(wanted);
    let mut open = || {
        let socket = given.datagram(address).map_or_else(|| udp_socket(address, false), Ok)?;
        socket.set_nonblocking(true)?;
        Ok(std::net::UdpSocket::from(socket))
    };
    open().map_err(|error| problem(address, what, &error))
}

/// Opens UDP sockets that share an address, one for each worker, or takes those that are there already; the kernel keeps a
/// flow at one of them. `is_ours`: we still have sockets there, of a listener that leaves.
///
/// # Errors
/// What the operator can do about it.
pub fn datagrams_from(
    wanted: SocketAddr,
    workers: usize,
    what: &str,
    given: &mut Given,
    is_ours: bool,
) -> Result<Vec<std::net::UdpSocket>, Problem> {
    let address = given.real(wanted);
    let there = given.datagrams(address);
    let open = || -> io::Result<Vec<std::net::UdpSocket>> {
        let sockets = if there.is_empty() {
            // Another process that has the address is told of, although it might share, too.
            let first = udp_socket(address, is_ours)?;
            let real = first.local_addr()?.as_socket().unwrap_or(address);
            drop(first);
            (0..workers).map(|_| udp_socket(real, true)).collect::<io::Result<Vec<_>>>()?
        } else {
            there.iter().map(|socket| dress(socket.try_clone()?, address, true)).collect::<io::Result<Vec<_>>>()?
        };
        let ready = sockets.into_iter().map(|socket| socket.set_nonblocking(true).map(|()| socket.into()));
        ready.collect()
    };
    open().map_err(|error| problem(address, what, &error))
}

fn udp_socket(address: SocketAddr, for_worker: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // 0.0.0.0 and [::] may then both be listed
        socket.set_only_v6(true)?;
    }
    if for_worker {
        socket.set_reuse_port(true)?;
    }
    let socket = dress(socket, address, for_worker)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Gives a socket, ours or one that somebody else opened, the buffers and options that it needs.
fn dress(socket: Socket, address: SocketAddr, for_worker: bool) -> io::Result<Socket> {
    // as much as we are given; a smaller buffer serves, too
    if batch::force_receive_buffer(&socket, RECEIVE_BUFFER_BYTES).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    }
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
    if for_worker {
        batch::never_fragment(&socket, address.is_ipv6())?;
        if address.ip().is_unspecified() {
            batch::receive_destination(&socket, address.is_ipv6())?;
        }
    }
    Ok(socket)
}

/// Bursts that overflow a small buffer are lost silently; better say so before. Once for each address: a listener that
/// is closed and opened again by reloads tells nothing new.
fn tell_of_small_buffers(udp: &[Socket], address: SocketAddr) {
    // the kernel states twice of what was asked for, its own overhead
    let got = udp.first().and_then(|socket| socket.recv_buffer_size().ok()).map_or(RECEIVE_BUFFER_BYTES, |b| b / 2);
    static TOLD: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    let first_time = || TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(address);
    if got < RECEIVE_BUFFER_BYTES && first_time() {
        tracing::info!(
            %address,
            "UDP receive buffers have {} KiB; for {} KiB, which lose less in bursts: sysctl -w net.core.rmem_max={}",
            got / 1024,
            RECEIVE_BUFFER_BYTES / 1024,
            RECEIVE_BUFFER_BYTES
        );
    }
}

/// The fact and the way out.
fn problem(address: SocketAddr, what: &str, error: &io::Error) -> Problem {
    // Who usually has the port, and which one is free to all, is another matter for HTTP than for DNS.
    let is_listener = what.starts_with("listener ");
    let (fact, help) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            "permission denied".to_owned(),
            format!(
                "run as root, or: setcap cap_net_bind_service=+ep {}, or listen on {}",
                own_path(),
                SocketAddr::new(address.ip(), if is_listener { 8080 } else { 5300 })
            ),
        ),
        io::ErrorKind::AddrInUse => (
            "another process has it".to_owned(),
            match is_listener {
                true => format!("see which: ss -lnptu 'sport = :{}'", address.port()),
                false => format!(
                    "see which: ss -lnptu 'sport = :{}' (often systemd-resolved, dnsmasq or named)",
                    address.port()
                ),
            },
        ),
        io::ErrorKind::AddrNotAvailable => (
            "this machine has no such address".to_owned(),
            "see those it has: ip address; add it, or listen on another; one that keepalived will bring needs \
             sysctl net.ipv4.ip_nonlocal_bind=1"
                .to_owned(),
        ),
        _ => (error.to_string(), "see the system's log".to_owned()),
    };
    Problem::error("E0401", None, format!("cannot bind {address} ({what}): {fact}")).help(help)
}

fn own_path() -> String {
    std::env::current_exe().map_or_else(|_| "rhumb".to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_the_port_tcp_got() {
        let sockets = plain("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_ne!(sockets.address.port(), 0);
        for udp in &sockets.udp {
            assert_eq!(udp.local_addr().unwrap().as_socket().unwrap(), sockets.address);
        }
    }

    #[test]
    fn a_second_server_is_told_the_address_is_taken() {
        let first = plain("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let problem = plain(first.address, 1).unwrap_err();
        assert_eq!(problem.fact, format!("cannot bind {} (TCP): another process has it", first.address));
        assert!(problem.help.unwrap().contains(&format!("sport = :{}", first.address.port())));
    }

    #[test]
    fn an_address_of_another_machine_is_said_to_be_that() {
        let problem = plain("192.0.2.1:5300".parse().unwrap(), 1).unwrap_err();
        assert_eq!(problem.fact, "cannot bind 192.0.2.1:5300 (TCP): this machine has no such address");
    }

    #[test]
    fn who_may_not_bind_is_told_three_ways_out() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let problem = problem("0.0.0.0:53".parse().unwrap(), "TCP", &denied);
        let help = problem.help.unwrap();
        for way in ["run as root", "setcap cap_net_bind_service=+ep /", "listen on 0.0.0.0:5300"] {
            assert!(help.contains(way), "{help}");
        }
    }
}
