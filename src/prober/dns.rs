//! A DNS query, and whether its answer is the one expected.
//!
//! Over UDP the query leaves from a port that the kernel draws, with a random id, on a connected socket: only the address
//! asked can answer, and its host's "port unreachable" is heard. What answers another question is passed over. The
//! query is sent again within the time allowed, as the kernel does for TCP, so that one lost packet is no failure. It
//! has no EDNS, which some servers and middleboxes stumble over; what does not fit is asked again over TCP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::dns::code::{class, flag, rcode};
use crate::dns::query::HEADER_BYTES;
use crate::health::probe::ReasonCode;
use crate::model::{DnsAnswer, DnsCheck};
use crate::prober::deadline::Deadline;
use crate::prober::{Found, tcp};
use crate::server::dice::Dice;

/// How often a query is sent over UDP within the time allowed.
const SENDS: u32 = 3;
/// The most bytes of a response over UDP. Without EDNS 512 is the rule (RFC 1035 section 2.3.4); some send more.
const UDP_BYTES_MAX: usize = 4096;

/// Asks and judges the answer.
pub(super) async fn check(check: &DnsCheck, address: SocketAddr, mut deadline: Deadline) -> Found {
    let query = query(check, Dice::new().roll() as u16);
    if !check.tcp {
        match over_udp(&query, address, &mut deadline).await {
            Ok(response) if !is_truncated(&response) => return judge(check, &response),
            Ok(_) => {}
            Err(found) => return found,
        }
    }
    match over_tcp(&query, address, &mut deadline).await {
        Ok(response) if answers(&response, &query) => judge(check, &response),
        Ok(_) => (ReasonCode::L7Rsp, "a response to another question".to_owned()),
        Err(found) => found,
    }
}

/// A query with its id. Recursion is asked for, as `dig` does: resolvers need it, others do not mind.
fn query(check: &DnsCheck, id: u16) -> Vec<u8> {
    let words = [id, flag::RD, 1, 0, 0, 0];
    let mut query: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    query.extend_from_slice(&check.name);
    query.extend_from_slice(&check.qtype.to_be_bytes());
    query.extend_from_slice(&class::IN.to_be_bytes());
    query
}

async fn over_udp(query: &[u8], address: SocketAddr, deadline: &mut Deadline) -> Result<Vec<u8>, Found> {
    let pause = deadline.allowed() / SENDS;
    let asking = async {
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        loop {
            socket.send(query).await?;
            if let Ok(response) = timeout(pause, response_to(query, &socket)).await {
                return response;
            }
        }
    };
    match deadline.within(asking).await {
        Some(Ok(response)) => Ok(response),
        Some(Err(error)) => Err((tcp::reason(&error), tcp::words(&error))),
        None => Err((ReasonCode::L7Tout, format!("no answer over UDP within {:?}", deadline.allowed()))),
    }
}

async fn response_to(query: &[u8], socket: &UdpSocket) -> io::Result<Vec<u8>> {
    loop {
        socket.readable().await?;
        match received(query, socket) {
            Ok(Some(response)) => return Ok(response),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// What has come, if it answers the query. Not `async`, so that thousands that wait hold no buffer.
fn received(query: &[u8], socket: &UdpSocket) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = [0; UDP_BYTES_MAX];
    let length = socket.try_recv(&mut bytes)?;
    let response = &bytes[..length];
    Ok(answers(response, query).then(|| response.to_vec()))
}

async fn over_tcp(query: &[u8], address: SocketAddr, deadline: &mut Deadline) -> Result<Vec<u8>, Found> {
    let mut stream = tcp::connect(address, deadline).await?;
    let asking = async {
        let length = u16::try_from(query.len()).expect("a name has at most 255 bytes");
        stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
        let length = stream.read_u16().await?;
        let mut response = vec![0; usize::from(length)];
        stream.read_exact(&mut response).await?;
        io::Result::Ok(response)
    };
    match deadline.within(asking).await {
        Some(Ok(response)) => Ok(response),
        Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err((ReasonCode::L7Rsp, "the connection was closed before an answer".to_owned()))
        }
        Some(Err(error)) => Err((ReasonCode::L7Rsp, tcp::words(&error))),
        None => Err(deadline.no_response()),
    }
}

fn word(message: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([message[at], message[at + 1]])
}

/// Whether these bytes answer the query: its id, a response, and its question; servers that could not read the question
/// leave it out and say so with an error.
fn answers(response: &[u8], query: &[u8]) -> bool {
    if response.len() < HEADER_BYTES || word(response, 0) != word(query, 0) {
        return false;
    }
    let flags = word(response, 2);
    if flags & flag::QR == 0 || flags & flag::OPCODE != 0 {
        return false;
    }
    let question = &query[HEADER_BYTES..];
    match word(response, 4) {
        0 => code_of(response) != 0,
        // Lengths of labels are below 64, and so no letters; types and classes must be the same to the bit.
        1 => response.get(HEADER_BYTES..HEADER_BYTES + question.len()).is_some_and(|echoed| {
            let (name, rest) = question.split_at(question.len() - 4);
            echoed[..name.len()].eq_ignore_ascii_case(name) && &echoed[name.len()..] == rest
        }),
        _ => false,
    }
}

fn is_truncated(response: &[u8]) -> bool {
    word(response, 2) & flag::TC != 0
}

/// The response code; without EDNS it has four bits.
fn code_of(response: &[u8]) -> u8 {
    response[3] & 0x0f
}

/// Judges a response that [`answers`].
fn judge(check: &DnsCheck, response: &[u8]) -> Found {
    let code = code_of(response);
    let name = rcode::NAMES.get(usize::from(code)).map_or_else(|| format!("RCODE{code}"), |name| (*name).to_owned());
    if !check.rcodes.contains(&code) {
        return (ReasonCode::L7Sts, name);
    }
    if u16::from(code) != rcode::NOERROR {
        return (ReasonCode::L7Ok, name);
    }
    let message = match Message::from_vec(response) {
        Ok(message) => message,
        Err(error) => return (ReasonCode::L7Rsp, format!("{name}, malformed: {error}")),
    };
    let count = match message.answers.len() {
        // A referral, or a name without this type: a server that has lost its zone says the same.
        0 => return (ReasonCode::L7Rsp, format!("{name} without a record in the answer")),
        1 => "1 record".to_owned(),
        count => format!("{count} records"),
    };
    match &check.answer {
        Some(wanted) if !message.answers.iter().any(|record| holds(record, wanted)) => {
            let wanted = match wanted {
                DnsAnswer::Address(address) => address.to_string(),
                DnsAnswer::Contains(text) => format!("{text:?}"),
            };
            (ReasonCode::L7Rsp, format!("{name}, {count}, none with {wanted}"))
        }
        _ => (ReasonCode::L7Ok, format!("{name}, {count}")),
    }
}

fn holds(record: &Record, wanted: &DnsAnswer) -> bool {
    match (wanted, &record.data) {
        (DnsAnswer::Address(address), RData::A(found)) => *address == found.0,
        (DnsAnswer::Address(address), RData::AAAA(found)) => *address == found.0,
        (DnsAnswer::Address(_), _) => false,
        (DnsAnswer::Contains(text), data) => data.to_string().to_lowercase().contains(&text.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked() -> DnsCheck {
        DnsCheck { tcp: false, name: b"\x07example\x00"[..].into(), qtype: 1, rcodes: vec![0], answer: None }
    }

    /// A response to `asked` with an A record of 192.0.2.1.
    fn response(id: u16) -> Vec<u8> {
        let mut bytes = query(&asked(), id);
        (bytes[2], bytes[3], bytes[7]) = (0x84, 0, 1);
        bytes.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01");
        bytes
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let query = query(&asked(), 7);
        assert!(answers(&response(7), &query));
        assert!(!answers(&response(8), &query), "another id");
        assert!(!answers(&query, &query), "a query");
        let mut other = response(7);
        other[13] = b'E';
        assert!(answers(&other, &query), "names have no case");
        other[13] = b'f';
        assert!(!answers(&other, &query), "another name");
        let mut bare = query[..HEADER_BYTES].to_vec();
        (bare[2], bare[3], bare[5]) = (0x80, 1, 0);
        assert!(answers(&bare, &query), "FORMERR without a question");
        bare[3] = 0;
        assert!(!answers(&bare, &query), "NOERROR without a question");
    }

    #[test]
    fn an_answer_is_judged_by_code_and_content() {
        let check = |answer: Option<DnsAnswer>| DnsCheck { answer, ..asked() };
        assert_eq!(judge(&check(None), &response(7)), (ReasonCode::L7Ok, "NOERROR, 1 record".into()));
        let right = DnsAnswer::Address("192.0.2.1".parse().unwrap());
        assert_eq!(judge(&check(Some(right)), &response(7)).0, ReasonCode::L7Ok);
        let wrong = DnsAnswer::Address("192.0.2.2".parse().unwrap());
        let found = judge(&check(Some(wrong)), &response(7));
        assert_eq!(found, (ReasonCode::L7Rsp, "NOERROR, 1 record, none with 192.0.2.2".into()));
        assert_eq!(judge(&check(Some(DnsAnswer::Contains("0.2.1".into()))), &response(7)).0, ReasonCode::L7Ok);
        let mut refused = response(7);
        refused[3] = 5;
        assert_eq!(judge(&check(None), &refused), (ReasonCode::L7Sts, "REFUSED".into()));
        assert_eq!(judge(&DnsCheck { rcodes: vec![5], ..asked() }, &refused), (ReasonCode::L7Ok, "REFUSED".into()));
        let mut empty = query(&asked(), 7);
        empty[2] = 0x80;
        assert_eq!(judge(&check(None), &empty).0, ReasonCode::L7Rsp);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, at: prop::sample::Index, with: u8, cut: prop::sample::Index) {
            let query = query(&asked(), 7);
            let check = DnsCheck { answer: Some(DnsAnswer::Contains("x".into())), ..asked() };
            let mut broken = response(7);
            let at = at.index(broken.len());
            broken[at] = with;
            let short = &broken[..cut.index(broken.len())];
            for bytes in [&bytes[..], &broken, short] {
                if answers(bytes, &query) {
                    let _ = (is_truncated(bytes), judge(&check, bytes));
                }
            }
        }
    }
}
