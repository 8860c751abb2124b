//! HTTP/2 frame by frame, as no library would send them.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use crate::kit::PATIENCE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let length = (self.payload.len() as u32).to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }
}

/// What became of a stream, or of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Status(u16),
    Reset(u32),
    GoneAway(u32),
    Ended,
    /// Nothing at all in time.
    Silence,
}

impl Fate {
    /// Whether the request is refused: by a status of the client's own fault, or as malformed.
    pub fn is_refusal(self) -> bool {
        matches!(self, Fate::Status(400..500) | Fate::Reset(_) | Fate::GoneAway(1..))
    }
}

/// A connection.
pub struct H2 {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl H2 {
    /// Connects, and sends preface and SETTINGS.
    pub fn connect(address: SocketAddr) -> H2 {
        let mut h2 = H2::silent(address);
        h2.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        h2.send(&Frame::new(SETTINGS, 0, 0, []));
        h2
    }

    /// Connects and sends nothing.
    pub fn silent(address: SocketAddr) -> H2 {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        H2 { stream, unread: Vec::new() }
    }

    /// Sends bytes; false once the connection has ended.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a frame; false once the connection has ended.
    pub fn send(&mut self, frame: &Frame) -> bool {
        self.write(&frame.to_bytes())
    }

    /// Sends a request without a body.
    pub fn request(&mut self, stream: u32, fields: &[(&str, &str)]) -> bool {
        self.send(&Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, block(fields)))
    }

    /// The next frame; none at the end, or when it does not come in time.
    pub fn next(&mut self) -> Option<Frame> {
        let head = self.exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Some(Frame { kind: head[3], flags: head[4], stream, payload: self.exactly(length as usize)? })
    }

    /// Reads until it is known what becomes of a stream; SETTINGS and PINGs are answered.
    pub fn fate(&mut self, stream: u32) -> Fate {
        loop {
            let Some(frame) = self.next() else {
                return if self.has_ended() { Fate::Ended } else { Fate::Silence };
            };
            let code = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
            match frame.kind {
                HEADERS if frame.stream == stream => match status(&frame.payload) {
                    Some(100..200) => {}
                    status => return Fate::Status(status.unwrap_or(0)),
                },
                RST_STREAM if frame.stream == stream => return Fate::Reset(code(0)),
                GOAWAY if code(4) != 0 || code(0) < stream => return Fate::GoneAway(code(4)),
                SETTINGS | PING if frame.flags & ACK == 0 => {
                    let payload = if frame.kind == PING { frame.payload } else { Vec::new() };
                    self.send(&Frame::new(frame.kind, ACK, 0, payload));
                }
                _ => {}
            }
        }
    }

    /// Whether the other side has ended the connection.
    pub fn has_ended(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let found = self.stream.read(&mut [0; 256]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match found {
            Ok(read) => read == 0,
            Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        }
    }

    fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut buffer = [0; 16 << 10];
        while self.unread.len() < count {
            match self.stream.read(&mut buffer) {
                Ok(read) if read > 0 => self.unread.extend(&buffer[..read]),
                _ => return None,
            }
        }
        Some(self.unread.drain(..count).collect())
    }
}

/// The pseudo-headers of a good GET.
pub fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":authority", "www.example.com"), (":path", path)]
}

/// A header block of literals, none of them indexed.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        string(&mut out, name);
        string(&mut out, value);
    }
    out
}

fn string(out: &mut Vec<u8>, text: &str) {
    integer(out, 0, 7, text.len());
    out.extend(text.bytes());
}

/// An integer with a prefix of so many bits, after the bits of `first` (RFC 7541 section 5.1).
pub fn integer(out: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let limit = (1usize << bits) - 1;
    if value < limit {
        return out.push(first | value as u8);
    }
    out.push(first | limit as u8);
    let mut rest = value - limit;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// The `:status` that a response's block begins with, if nothing was put into the table before it.
pub fn status(block: &[u8]) -> Option<u16> {
    // A change of the table's size may come first.
    let at = block.iter().position(|byte| byte >> 5 != 1)?;
    let first = block[at];
    match first {
        0x88..=0x8e => Some([200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)]),
        // A literal whose name is one of those entries.
        _ if (8..=14).contains(&(first & 0x0f)) || first == 0x48 => {
            let length = usize::from(*block.get(at + 1)? & 0x7f);
            let value = block.get(at + 2..at + 2 + length)?;
            if block[at + 1] & 0x80 == 0 { str::from_utf8(value).ok()?.parse().ok() } else { digits(value) }
        }
        _ => None,
    }
}

/// Three digits in HPACK's Huffman code: `0` to `2` have five bits, the others six.
fn digits(coded: &[u8]) -> Option<u16> {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let (mut at, mut value) = (0, 0);
    for _ in 0..3 {
        let five = bits.get(at..at + 5)?.iter().fold(0, |sum, bit| sum << 1 | u16::from(*bit));
        let digit = if five < 3 {
            at += 5;
            five
        } else {
            at += 6;
            // 011001 is 3, and so on.
            (five << 1 | u16::from(bits[at - 1])).checked_sub(0b01_1001)? + 3
        };
        value = value * 10 + digit;
    }
    Some(value)
}
