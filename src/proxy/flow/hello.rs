//! The first message of a client in TLS, read off its socket and kept: the endpoint is to have it too.

use std::io;

use tokio::net::TcpStream;

use crate::route::client_hello;
use crate::route::client_hello::HELLO_BYTES_MAX;
use crate::route::client_hello::Hello;

/// Room for the message, in records of which the smallest sensible ones double it.
const BYTES_MAX: usize = 2 * HELLO_BYTES_MAX;

/// Reads until it is whole; all that was read is left in `first`.
///
/// # Errors
/// The stable code of why it is none.
pub async fn read(socket: &TcpStream, first: &mut Vec<u8>) -> Result<Option<String>, &'static str> {
    loop {
        socket.readable().await.map_err(|_| "hello_broken")?;
        let room = BYTES_MAX.saturating_sub(first.len());
        first.reserve_exact(room.min(2_048));
        match socket.try_read_buf(first) {
            Ok(0) => return Err("hello_missing"),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err("hello_broken"),
        }
        match client_hello::read(first) {
            Hello::Whole(name) => return Ok(name),
            Hello::NotTls => return Err("hello_malformed"),
            Hello::TooLong => return Err("hello_too_long"),
            Hello::Partial if first.len() >= BYTES_MAX => return Err("hello_too_long"),
            Hello::Partial => {}
        }
    }
}
