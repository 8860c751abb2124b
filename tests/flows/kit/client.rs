//! Clients of bytes.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::kit::PATIENCE;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All was said.
    Closed,
    /// It was broken off.
    Reset,
    /// It goes on, and nothing comes.
    Silent,
}

/// A connection.
#[track_caller]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    patient(stream)
}

/// The same from another address of loopback.
#[track_caller]
pub fn connect_from(from: impl Into<IpAddr>, address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from.into(), 0).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    patient(socket.into())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// What comes until the end, and the end.
pub fn rest(stream: &mut TcpStream) -> (Vec<u8>, Fate) {
    let (mut all, mut room) = (Vec::new(), [0; 16 * 1024]);
    loop {
        match stream.read(&mut room) {
            Ok(0) => return (all, Fate::Closed),
            Ok(read) => all.extend(&room[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (all, Fate::Reset),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return (all, Fate::Silent);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// How it ends.
pub fn fate(stream: &mut TcpStream) -> Fate {
    rest(stream).1
}

/// How it stands after that long without a byte.
pub fn fate_within(stream: &mut TcpStream, time: Duration) -> Fate {
    stream.set_read_timeout(Some(time)).unwrap();
    let fate = rest(stream).1;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    fate
}

/// So many bytes as text.
#[track_caller]
pub fn read_text(stream: &mut TcpStream, count: usize) -> String {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(bytes).unwrap()
}

/// Whether what is sent comes back.
pub fn echoes(stream: &mut TcpStream) -> bool {
    let mut back = [0; 4];
    stream.write_all(b"ping").is_ok() && stream.read_exact(&mut back).is_ok() && back == *b"ping"
}

/// Breaks it off.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Who takes a connection at this listener: endpoints that say a name of one letter first.
#[track_caller]
pub fn who(address: SocketAddr) -> String {
    read_text(&mut connect(address), 1)
}

/// The same of so many in a row, each ended before the next.
#[track_caller]
pub fn who_in_turn(address: SocketAddr, count: usize) -> String {
    (0..count).map(|_| who(address)).collect()
}

/// How often each of these letters stands in it.
pub fn tally(text: &str, names: &str) -> Vec<usize> {
    names.chars().map(|name| text.matches(name).count()).collect()
}
