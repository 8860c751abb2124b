//! DNS messages for tests: questions to bytes, bytes to replies, over UDP and TCP.
//!
//! Written apart from `rhumb::dns` on purpose: a reader that shares the writer's mistakes finds none.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Longer than any answer on loopback takes.
const REPLY_TIMEOUT: Duration = Duration::from_secs(3);

/// Type numbers that tests name.
pub mod rtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const OPT: u16 = 41;
    pub const ANY: u16 = 255;
}

/// A question and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub id: u16,
    /// Presentation form, absolute, with `\.` and `\DDD`.
    pub name: String,
    pub qtype: u16,
    pub qclass: u16,
    /// Opcode, AA, TC, RD, RA, Z, AD and CD as they stand in the header.
    pub flags: u16,
    /// The payload size; no OPT without it.
    pub edns: Option<u16>,
    pub dnssec_ok: bool,
    /// Client subnet: address and source prefix length.
    pub subnet: Option<(IpAddr, u8)>,
}

impl Question {
    pub fn new(name: &str, qtype: u16) -> Self {
        let name = name.to_owned();
        Question { id: 0x1234, name, qtype, qclass: 1, flags: 0, edns: None, dnssec_ok: false, subnet: None }
    }
    pub fn edns(self, payload: u16) -> Self {
        Question { edns: Some(payload), ..self }
    }
    pub fn subnet(self, address: &str, bits: u8) -> Self {
        let subnet = Some((address.parse().unwrap(), bits));
        Question { edns: self.edns.or(Some(1232)), subnet, ..self }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [self.id, self.flags, 1, 0, 0, u16::from(self.edns.is_some())] {
            out.extend(word.to_be_bytes());
        }
        out.extend(wire_name(&self.name));
        out.extend(self.qtype.to_be_bytes());
        out.extend(self.qclass.to_be_bytes());
        if let Some(payload) = self.edns {
            let option = self.subnet.map(|(ip, bits)| subnet_option(ip, bits)).unwrap_or_default();
            out.extend([0, 0, 41]);
            out.extend(payload.to_be_bytes());
            out.extend([0, 0, if self.dnssec_ok { 0x80 } else { 0 }, 0]);
            out.extend((option.len() as u16).to_be_bytes());
            out.extend(option);
        }
        out
    }
}

/// The option of RFC 7871, its code and length included.
pub fn subnet_option(ip: IpAddr, bits: u8) -> Vec<u8> {
    let (family, octets) = match ip {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let address = &octets[..bits.div_ceil(8) as usize];
    let mut out = vec![0, 8, 0, 4 + address.len() as u8, 0, family, bits, 0];
    out.extend(address);
    out
}

/// A name in wire form.
pub fn wire_name(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut label = Vec::new();
    let mut rest = name.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'.' if label.is_empty() => {}
            b'.' => {
                out.push(label.len() as u8);
                out.append(&mut label);
            }
            b'\\' => match tail.first_chunk::<3>().filter(|d| d.iter().all(u8::is_ascii_digit)) {
                Some(digits) => {
                    label.push(str::from_utf8(digits).unwrap().parse().unwrap());
                    rest = &tail[3..];
                }
                None => {
                    label.push(tail[0]);
                    rest = &tail[1..];
                }
            },
            byte => label.push(*byte),
        }
    }
    if !label.is_empty() {
        out.push(label.len() as u8);
        out.append(&mut label);
    }
    out.push(0);
    out
}

/// A record of a reply; names in it are whole and lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rr {
    pub owner: String,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    pub rdata: Vec<u8>,
}

impl Rr {
    /// For people: the data in hexadecimal, but addresses, names and strings as they are.
    pub fn show(&self) -> String {
        let hex = || self.rdata.iter().fold(String::new(), |mut s, b| write!(s, "{b:02x}").map(|()| s).unwrap());
        let data = match (self.rtype, self.rdata.len()) {
            (1, 4) => IpAddr::from(*self.rdata.first_chunk::<4>().unwrap()).to_string(),
            (28, 16) => IpAddr::from(*self.rdata.first_chunk::<16>().unwrap()).to_string(),
            (2 | 5 | 12 | 39, _) => read_name(&self.rdata, 0).map_or_else(hex, |(name, _)| name),
            _ if self.rdata.len() > 40 => format!("{}… ({} bytes)", &hex()[..80], self.rdata.len()),
            _ => hex(),
        };
        format!("{} {} {} {} {data}", self.owner, self.ttl, self.class, rhumb::zone::read::type_mnemonic(self.rtype))
    }
}

/// The OPT record of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opt {
    pub payload: u16,
    pub version: u8,
    pub dnssec_ok: bool,
    /// Codes and values.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// A response, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub id: u16,
    pub flags: u16,
    /// With the OPT's upper bits.
    pub rcode: u16,
    /// Name as it was written, type, class.
    pub question: Option<(String, u16, u16)>,
    pub answer: Vec<Rr>,
    pub authority: Vec<Rr>,
    /// Without the OPT.
    pub additional: Vec<Rr>,
    pub opt: Option<Opt>,
    pub bytes: usize,
}

impl Reply {
    pub fn is_authoritative(&self) -> bool {
        self.flags & 0x0400 != 0
    }
    pub fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }
    /// The addresses of its A and AAAA records, sorted.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        let address = |rr: &Rr| match (rr.rtype, rr.rdata.len()) {
            (1, 4) => Some(IpAddr::from(*rr.rdata.first_chunk::<4>().unwrap())),
            (28, 16) => Some(IpAddr::from(*rr.rdata.first_chunk::<16>().unwrap())),
            _ => None,
        };
        self.answer.iter().filter_map(address).collect()
    }
    /// The value of an EDNS option.
    pub fn option(&self, code: u16) -> Option<&[u8]> {
        let opt = self.opt.as_ref()?;
        opt.options.iter().find(|(c, _)| *c == code).map(|(_, value)| &value[..])
    }
    /// SCOPE PREFIX-LENGTH of its client subnet.
    pub fn subnet_scope(&self) -> Option<u8> {
        self.option(8)?.get(3).copied()
    }

    /// Reads a response.
    ///
    /// # Errors
    /// What is malformed in it: tests fail on that.
    pub fn parse(message: &[u8]) -> Result<Reply, String> {
        let word = |at: usize| message.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or("short header");
        let (id, flags) = (word(0)?, word(2)?);
        let mut at = 12;
        let question = match word(4)? {
            0 => None,
            1 => {
                let (name, end) = read_name_as_written(message, at).ok_or("bad question name")?;
                at = end + 4;
                Some((name, word(end)?, word(end + 2)?))
            }
            more => return Err(format!("{more} questions")),
        };
        let mut sections = [Vec::new(), Vec::new(), Vec::new()];
        let mut opt = None;
        let mut rcode = flags & 0xF;
        for (section, count_at) in sections.iter_mut().zip([6, 8, 10]) {
            for _ in 0..word(count_at)? {
                let rr = read_rr(message, &mut at).ok_or_else(|| format!("bad record at byte {at}"))?;
                if rr.rtype != rtype::OPT {
                    section.push(rr);
                    continue;
                }
                if opt.is_some() || count_at != 10 {
                    return Err("an OPT too much".to_owned());
                }
                rcode |= (rr.ttl >> 24 << 4) as u16;
                let options = read_options(&rr.rdata).ok_or("bad OPT")?;
                let (version, dnssec_ok) = ((rr.ttl >> 16) as u8, rr.ttl & 0x8000 != 0);
                opt = Some(Opt { payload: rr.class, version, dnssec_ok, options });
            }
        }
        if at != message.len() {
            return Err(format!("{} bytes follow the message", message.len() - at));
        }
        let [answer, authority, additional] = sections;
        Ok(Reply { id, flags, rcode, question, answer, authority, additional, opt, bytes: message.len() })
    }
}

fn read_options(rdata: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut options = Vec::new();
    let mut rest = rdata;
    while !rest.is_empty() {
        let [c0, c1, l0, l1, tail @ ..] = rest else { return None };
        let length = u16::from_be_bytes([*l0, *l1]) as usize;
        options.push((u16::from_be_bytes([*c0, *c1]), tail.get(..length)?.to_vec()));
        rest = &tail[length..];
    }
    Some(options)
}

fn read_rr(message: &[u8], at: &mut usize) -> Option<Rr> {
    let (owner, end) = read_name(message, *at)?;
    let fixed = message.get(end..end + 10)?;
    let rtype = u16::from_be_bytes([fixed[0], fixed[1]]);
    let class = u16::from_be_bytes([fixed[2], fixed[3]]);
    let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    let length = u16::from_be_bytes([fixed[8], fixed[9]]) as usize;
    let (start, stop) = (end + 10, end + 10 + length);
    message.get(start..stop)?;
    *at = stop;
    Some(Rr { owner, rtype, class, ttl, rdata: read_rdata(message, rtype, start, stop)? })
}

/// Data with its names whole and lower case. Which bytes before the names are left alone, and how many names follow.
fn read_rdata(message: &[u8], rtype: u16, start: usize, stop: usize) -> Option<Vec<u8>> {
    let (before, names) = match rtype {
        2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 39 => (0, 1),
        6 | 14 | 17 => (0, 2),
        15 | 18 | 21 | 36 => (2, 1),
        26 => (2, 2),
        33 => (6, 1),
        _ => (stop - start, 0),
    };
    let mut out = message.get(start..start + before)?.to_vec();
    let mut at = start + before;
    for _ in 0..names {
        let (wire, end) = read_wire_name(message, at)?;
        out.extend(wire.to_ascii_lowercase());
        at = end;
    }
    out.extend(message.get(at..stop)?);
    Some(out)
}

/// A name, whole and lower case, and where it ends.
pub fn read_name(message: &[u8], at: usize) -> Option<(String, usize)> {
    read_name_as_written(message, at).map(|(name, end)| (name.to_ascii_lowercase(), end))
}

fn read_name_as_written(message: &[u8], at: usize) -> Option<(String, usize)> {
    let (wire, end) = read_wire_name(message, at)?;
    let mut text = String::new();
    let mut rest = &wire[..];
    while rest[0] != 0 {
        for byte in &rest[1..1 + rest[0] as usize] {
            match byte {
                b'.' | b'\\' => write!(text, "\\{}", *byte as char).unwrap(),
                b'!'..=b'~' => text.push(*byte as char),
                _ => write!(text, "\\{byte:03}").unwrap(),
            }
        }
        text.push('.');
        rest = &rest[1 + rest[0] as usize..];
    }
    Some((if text.is_empty() { ".".to_owned() } else { text }, end))
}

/// A name in wire form, pointers followed; each points before the place it stands at.
fn read_wire_name(message: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let (mut wire, mut at, mut end, mut limit) = (Vec::new(), start, None, start);
    loop {
        let length = *message.get(at)? as usize;
        match length {
            0 => {
                wire.push(0);
                return (wire.len() <= 255).then_some((wire, end.unwrap_or(at + 1)));
            }
            1..=63 => {
                wire.extend(message.get(at..at + 1 + length)?);
                at += 1 + length;
            }
            192.. => {
                end.get_or_insert(at + 2);
                let target = (length & 63) << 8 | *message.get(at + 1)? as usize;
                if target >= limit {
                    return None;
                }
                (at, limit) = (target, target);
            }
            _ => return None,
        }
    }
}

/// Sends a datagram and waits for the reply with the same id.
pub fn udp(server: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
    udp_within(server, message, REPLY_TIMEOUT)
}

/// As [`udp`], with its own patience.
pub fn udp_within(server: SocketAddr, message: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(local).unwrap();
    socket.connect(server).ok()?;
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send(message).ok()?;
    let mut buffer = vec![0; 65_535];
    let bytes = socket.recv(&mut buffer).ok()?;
    buffer.truncate(bytes);
    (buffer.get(..2) == message.get(..2)).then_some(buffer)
}

/// Sends one message over TCP and reads one reply.
pub fn tcp(server: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
    let mut stream = tcp_stream(server)?;
    tcp_send(&mut stream, message)?;
    tcp_receive(&mut stream)
}

/// A connection with timeouts.
pub fn tcp_stream(server: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, REPLY_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(REPLY_TIMEOUT)).ok()?;
    Some(stream)
}

/// Sends a message behind its length.
pub fn tcp_send(stream: &mut TcpStream, message: &[u8]) -> Option<()> {
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend(message);
    stream.write_all(&framed).ok()
}

/// Reads a message behind its length.
pub fn tcp_receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; u16::from_be_bytes(length) as usize];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

/// Asks over UDP and understands the reply; panics when there is none or it is malformed.
pub fn ask(server: SocketAddr, question: &Question) -> Reply {
    let bytes = udp(server, &question.to_bytes()).unwrap_or_else(|| panic!("{server} does not answer {question:?}"));
    Reply::parse(&bytes).unwrap_or_else(|why| panic!("{server} answers {question:?} with {why}: {bytes:02x?}"))
}

/// As [`ask`], over TCP.
pub fn ask_tcp(server: SocketAddr, question: &Question) -> Reply {
    let bytes = tcp(server, &question.to_bytes()).unwrap_or_else(|| panic!("{server} does not answer {question:?}"));
    Reply::parse(&bytes).unwrap_or_else(|why| panic!("{server} answers {question:?} with {why}: {bytes:02x?}"))
}
