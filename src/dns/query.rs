//! What does this message ask? Bytes to a [`Query`], or to the one right way to refuse them.
//!
//! Nothing is allocated and nothing is believed: every length is checked against the message's end. The question's name
//! stays in the message, in the case it was sent (resolvers verify it: "0x20"), and a lower-case copy is made for lookup.

use crate::dns::code::flag;
use crate::dns::code::rcode;
use crate::dns::code::rtype;
use crate::dns::edns::Edns;
use crate::dns::name_buf::NameBuf;

/// The bytes of a message's header.
pub const HEADER_BYTES: usize = 12;

/// One question, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'q> {
    /// The message.
    pub message: &'q [u8],
    /// The header's second word.
    pub flags: u16,
    /// Where the question ends.
    pub question_end: usize,
    /// The type asked for.
    pub qtype: u16,
    /// The class asked for.
    pub qclass: u16,
    /// The OPT record.
    pub edns: Option<Edns<'q>>,
    /// Whether it is signed with TSIG. We hold no keys.
    pub tsig: bool,
}

/// How to answer what is no query of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Say nothing: a response (two servers could be made to talk for ever), or too short to have a header.
    Silence,
    /// A header with this response code; the question is not echoed because it was not understood.
    Header(u16),
    /// A header and the question up to `question_end`, with this response code.
    Question {
        /// The response code.
        rcode: u16,
        /// Where the question ends.
        question_end: usize,
    },
}

impl<'q> Query<'q> {
    /// Reads a message; its question's name goes to `name`.
    ///
    /// # Errors
    /// See [`Refusal`]. FORMERR: not exactly one question, answers in a query, records or bytes past what the header
    /// counts, a compressed question, several OPT records or one that is malformed or not at the root, a TSIG that is not
    /// last. NOTIMP: an opcode other than QUERY.
    pub fn read(message: &'q [u8], name: &mut NameBuf) -> Result<Self, Refusal> {
        let header: &[u8; HEADER_BYTES] = message.first_chunk().ok_or(Refusal::Silence)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let flags = word(2);
        if flags & flag::QR != 0 {
            return Err(Refusal::Silence);
        }
        if flags & flag::OPCODE != 0 {
            return Err(Refusal::Header(rcode::NOTIMP));
        }
        if word(4) != 1 {
            return Err(Refusal::Header(rcode::FORMERR));
        }
        let at = name.read(message, HEADER_BYTES).map_err(|_| Refusal::Header(rcode::FORMERR))?;
        let fixed = message.get(at..at + 4).ok_or(Refusal::Header(rcode::FORMERR))?;
        let mut query = Query {
            message,
            flags,
            question_end: at + 4,
            qtype: u16::from_be_bytes([fixed[0], fixed[1]]),
            qclass: u16::from_be_bytes([fixed[2], fixed[3]]),
            edns: None,
            tsig: false,
        };
        // IXFR carries the client's SOA in the authority section (RFC 1995); nothing else has records before the OPT.
        let authority_max = if query.qtype == rtype::IXFR { 1 } else { 0 };
        if word(6) != 0 || word(8) > authority_max {
            return Err(query.refusal(rcode::FORMERR));
        }
        let records = Records { message, at: query.question_end, left: word(8) + word(10) };
        match query.read_records(records) {
            Some(()) => Ok(query),
            None => Err(query.refusal(rcode::FORMERR)),
        }
    }

    /// A refusal that echoes the question.
    pub fn refusal(&self, rcode: u16) -> Refusal {
        Refusal::Question { rcode, question_end: self.question_end }
    }

    fn read_records(&mut self, mut records: Records<'q>) -> Option<()> {
        while records.left > 0 {
            let record = records.next()?;
            match record.rtype {
                rtype::OPT if self.edns.is_some() || !record.at_root => return None,
                rtype::OPT => self.edns = Some(Edns::read(record.class, record.ttl, record.data).ok()?),
                rtype::TSIG if records.left > 0 => return None,
                rtype::TSIG => self.tsig = true,
                // SIG(0) and whatever else a client adds says nothing about what it asks.
                _ => {}
            }
        }
        (records.at == records.message.len()).then_some(())
    }
}

struct Records<'q> {
    message: &'q [u8],
    at: usize,
    left: u16,
}

struct Additional<'q> {
    at_root: bool,
    rtype: u16,
    class: u16,
    ttl: u32,
    data: &'q [u8],
}

impl<'q> Records<'q> {
    fn next(&mut self) -> Option<Additional<'q>> {
        let start = self.at;
        let fixed_at = skip_name(self.message, start)?;
        let f: &[u8; 10] = self.message.get(fixed_at..)?.first_chunk()?;
        let data_at = fixed_at + f.len();
        let length = usize::from(u16::from_be_bytes([f[8], f[9]]));
        let data = self.message.get(data_at..data_at + length)?;
        self.at = data_at + length;
        self.left -= 1;
        Some(Additional {
            at_root: fixed_at == start + 1,
            rtype: u16::from_be_bytes([f[0], f[1]]),
            class: u16::from_be_bytes([f[2], f[3]]),
            ttl: u32::from_be_bytes([f[4], f[5], f[6], f[7]]),
            data,
        })
    }
}

/// The place after a name that may end in a pointer; pointers are not followed.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03wWw\x02eX\x00\x00\x01\x00\x01";
    const OPT: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00";

    fn read(message: &[u8]) -> Result<Query<'_>, Refusal> {
        Query::read(message, &mut NameBuf::default())
    }

    fn with(records: &[&[u8]]) -> Vec<u8> {
        let mut message = [PLAIN, &records.concat()].concat();
        message[11] = records.len() as u8;
        message
    }

    #[test]
    fn a_plain_query_is_read() {
        let mut name = NameBuf::default();
        let query = Query::read(PLAIN, &mut name).unwrap();
        assert_eq!((query.qtype, query.qclass, query.question_end), (1, 1, PLAIN.len()));
        assert_eq!(name.wire(), b"\x03www\x02ex\x00");
        assert_eq!(query.edns, None);
        let message = with(&[OPT]);
        let edns = read(&message).unwrap().edns.unwrap();
        assert_eq!((edns.payload, edns.dnssec_ok), (1232, true));
    }

    #[test]
    fn responses_and_scraps_get_silence() {
        let mut response = PLAIN.to_vec();
        response[2] |= 0x80;
        assert_eq!(read(&response), Err(Refusal::Silence));
        assert_eq!(read(&PLAIN[..11]), Err(Refusal::Silence));
        assert_eq!(read(b""), Err(Refusal::Silence));
    }

    #[test]
    fn what_is_wrong_decides_the_code() {
        let header = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut message = PLAIN.to_vec();
            change(&mut message);
            read(&message).unwrap_err()
        };
        let echoed = Refusal::Question { rcode: rcode::FORMERR, question_end: PLAIN.len() };
        assert_eq!(header(&|m| m[2] = 0x28), Refusal::Header(rcode::NOTIMP), "UPDATE");
        assert_eq!(header(&|m| m[5] = 0), Refusal::Header(rcode::FORMERR), "no question");
        assert_eq!(header(&|m| m[5] = 2), Refusal::Header(rcode::FORMERR), "two questions");
        assert_eq!(header(&|m| m[12] = 0xc0), Refusal::Header(rcode::FORMERR), "a pointer in the question");
        assert_eq!(header(&|m| m.truncate(PLAIN.len() - 1)), Refusal::Header(rcode::FORMERR), "half a question");
        assert_eq!(header(&|m| m[7] = 1), echoed, "an answer in a query");
        assert_eq!(header(&|m| m[9] = 1), echoed, "an authority record in a query");
        assert_eq!(header(&|m| m.push(0)), echoed, "a byte too many");
        assert_eq!(header(&|m| m[11] = 1), echoed, "a record too few");
    }

    #[test]
    fn one_opt_at_the_root_and_nothing_else() {
        let echoed = Err(Refusal::Question { rcode: rcode::FORMERR, question_end: PLAIN.len() });
        assert_eq!(read(&with(&[OPT, OPT])), echoed, "two OPT records");
        assert_eq!(read(&with(&[&[b"\x01a", OPT].concat()])), echoed, "an OPT with an owner");
        let tsig = b"\x01k\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00";
        assert!(read(&with(&[OPT, tsig])).unwrap().tsig);
        assert_eq!(read(&with(&[tsig, OPT])), echoed, "a TSIG that is not last");
        let sig0 = b"\x00\x00\x18\x00\xff\x00\x00\x00\x00\x00\x01\x00";
        assert!(read(&with(&[OPT, sig0])).is_ok(), "SIG(0) is left unread");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(message in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&message);
        }

        #[test]
        fn no_damage_panics(at in 0..PLAIN.len() + OPT.len(), byte: u8, cut in 0..64usize) {
            let mut message = with(&[OPT]);
            message[at] = byte;
            message.truncate(message.len().saturating_sub(cut));
            let _ = read(&message);
        }
    }
}
