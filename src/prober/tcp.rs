//! A TCP connection that is accepted.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::health::probe::ReasonCode;
use crate::prober::Found;
use crate::prober::deadline::Deadline;

/// Connects and closes at once.
pub(super) async fn check(address: SocketAddr, mut deadline: Deadline) -> Found {
    match connect(address, &mut deadline).await {
        Ok(_stream) => (ReasonCode::L4Ok, String::new()),
        Err(found) => found,
    }
}

/// A connection, or what became of it.
pub(super) async fn connect(address: SocketAddr, deadline: &mut Deadline) -> Result<TcpStream, Found> {
    match deadline.within(TcpStream::connect(address)).await {
        Some(Ok(stream)) => {
            // Reset instead of a FIN handshake: a probe a second for each of thousands would fill the table of
            // TIME_WAIT sockets (HAProxy does the same).
            let _ = stream.set_zero_linger();
            Ok(stream)
        }
        Some(Err(error)) => Err((reason(&error), words(&error))),
        None => Err(deadline.no_connection()),
    }
}

/// Where a connection that failed with this error ended.
pub(super) fn reason(error: &io::Error) -> ReasonCode {
    match error.raw_os_error() {
        Some(code) if OURS.contains(&code) => ReasonCode::SockErr,
        _ if error.kind() == io::ErrorKind::TimedOut => ReasonCode::L4Tout,
        _ => ReasonCode::L4Con,
    }
}

/// What only this machine can lack: descriptors, ports, memory.
const OURS: [i32; 5] = [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOMEM];

/// The error without the operating system's number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let cut = text.find(" (os error").unwrap_or(text.len());
    text[..cut].to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_lack_is_not_held_against_the_endpoint() {
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::EMFILE)), ReasonCode::SockErr);
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::ECONNREFUSED)), ReasonCode::L4Con);
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::EHOSTUNREACH)), ReasonCode::L4Con);
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::ETIMEDOUT)), ReasonCode::L4Tout);
    }
}
