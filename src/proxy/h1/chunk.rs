//! The chunked coding (RFC 9112 section 7.1), read to the letter.
//!
//! What is lenient here is how requests are smuggled: a size with spaces or a sign, a line that ends with a bare line feed, a size
//! that overflows. Extensions are read over and not passed on; nobody uses them but to attack.

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;

use crate::proxy::h1::body::BadBody;
use crate::proxy::h1::body::Piece;
use crate::proxy::h1::has_bare_line_feed;
use crate::proxy::h1::head_ends;
use crate::proxy::h1::request::pair;

/// A size and its extensions. A flood of extensions is work without a body.
const LINE_BYTES_MAX: usize = 256;
/// More digits overflow 64 bits.
const DIGITS_MAX: usize = 16;
/// Trailers: gRPC's and a checksum.
const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Fields of them.
const TRAILER_FIELDS_MAX: usize = 32;

/// A chunked body that is being read.
#[derive(Debug, Default)]
pub struct Chunked {
    state: State,
    /// Hardly ever there.
    trailers: Option<Box<HeaderMap>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A line with a size comes.
    #[default]
    Size,
    /// So many bytes of a chunk come.
    Data(u64),
    /// The line's end after a chunk comes.
    End,
    /// Trailers come, or the last empty line.
    Trailers,
    Over,
}

impl Chunked {
    /// Whether the last line was read.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Bytes of this chunk that are still to come.
    pub fn is_to_come(&self) -> u64 {
        if let State::Data(left) = self.state { left } else { 0 }
    }

    /// The fields after the last chunk.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take().map(|trailers| *trailers)
    }

    /// Takes out what belongs to the body.
    ///
    /// # Errors
    /// As soon as no further bytes could make it one.
    pub fn take(&mut self, inbox: &mut BytesMut) -> Result<Piece, BadBody> {
        loop {
            match self.state {
                State::Over => return Ok(Piece::End),
                State::Size => match size_line(inbox)? {
                    None => return Ok(Piece::Missing),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Data(size),
                },
                State::Data(_) if inbox.is_empty() => return Ok(Piece::Missing),
                State::Data(left) => return Ok(Piece::Data(self.data(left, inbox))),
                State::End => match &inbox[..] {
                    [b'\r', b'\n', ..] => {
                        let _ = inbox.split_to(2);
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(Piece::Missing),
                    _ => return Err(BadBody::LineEnd),
                },
                State::Trailers => {
                    if !self.read_trailers(inbox)? {
                        return Ok(Piece::Missing);
                    }
                    self.state = State::Over;
                }
            }
        }
    }

    fn data(&mut self, left: u64, inbox: &mut BytesMut) -> Bytes {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(inbox.len());
        let left = left - here as u64;
        self.state = if left == 0 { State::End } else { State::Data(left) };
        inbox.split_to(here).freeze()
    }

    /// Whether they are all there.
    fn read_trailers(&mut self, inbox: &mut BytesMut) -> Result<bool, BadBody> {
        match &inbox[..] {
            [b'\r', b'\n', ..] => {
                let _ = inbox.split_to(2);
                return Ok(true);
            }
            [] | [b'\r'] => return Ok(false),
            _ => {}
        }
        let Some(end) = head_ends(&inbox[..inbox.len().min(TRAILER_BYTES_MAX)], 0) else {
            return if inbox.len() >= TRAILER_BYTES_MAX { Err(BadBody::Trailers) } else { Ok(false) };
        };
        if has_bare_line_feed(&inbox[..end]) {
            return Err(BadBody::Trailers);
        }
        self.trailers = Some(Box::new(fields(inbox.split_to(end).freeze())?));
        Ok(true)
    }
}

/// The size that the next line says, once it is whole.
fn size_line(inbox: &mut BytesMut) -> Result<Option<u64>, BadBody> {
    let within = &inbox[..inbox.len().min(LINE_BYTES_MAX)];
    let Some(line_feed) = memchr::memchr(b'\n', within) else {
        let is_hopeless = inbox.len() >= LINE_BYTES_MAX || !within.iter().take(1).all(u8::is_ascii_hexdigit);
        return if is_hopeless { Err(BadBody::Size) } else { Ok(None) };
    };
    let line = within[..line_feed].strip_suffix(b"\r").ok_or(BadBody::LineEnd)?;
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    // Spaces before an extension are allowed to be tolerated (RFC 9112 section 7.1.1); nothing sends them.
    if !(1..=DIGITS_MAX).contains(&digits) || !matches!(line.get(digits), None | Some(b';')) {
        return Err(BadBody::Size);
    }
    if line.iter().any(|byte| *byte < b' ' && *byte != b'\t') {
        return Err(BadBody::LineEnd);
    }
    let size = line[..digits].iter().fold(0u64, |size, digit| size << 4 | u64::from(value(*digit)));
    let _ = inbox.split_to(line_feed + 1);
    Ok(Some(size))
}

fn value(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap_or(0) as u8
}

fn fields(bytes: Bytes) -> Result<HeaderMap, BadBody> {
    let mut found = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(&bytes, &mut found) else {
        return Err(BadBody::Trailers);
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let (name, value) = pair(&bytes, field).map_err(|_| BadBody::Trailers)?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Found = (Vec<u8>, Vec<u8>, Option<HeaderMap>);

    /// The body of `bytes`, what is left, and the trailers.
    fn read(bytes: &[u8], step: usize) -> Result<Found, BadBody> {
        let (mut chunked, mut inbox, mut body) = (Chunked::default(), BytesMut::new(), Vec::new());
        let mut rest = bytes;
        loop {
            match chunked.take(&mut inbox)? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::End => return Ok((body, [&inbox[..], rest].concat(), chunked.trailers())),
                Piece::Missing if rest.is_empty() => return Err(BadBody::Short),
                Piece::Missing => {
                    let (now, later) = rest.split_at(step.min(rest.len()));
                    inbox.extend_from_slice(now);
                    rest = later;
                }
            }
        }
    }

    #[test]
    fn chunks_become_a_body() {
        let text = b"4\r\nWiki\r\n5;name=\"v\"\r\npedia\r\n0\r\nx-sum: 7\r\n\r\nGET";
        for step in 1..text.len() {
            let (body, left, trailers) = read(text, step).unwrap();
            assert_eq!((&body[..], &left[..]), (&b"Wikipedia"[..], &b"GET"[..]));
            assert_eq!(trailers.unwrap()["x-sum"], "7");
        }
        assert_eq!(read(b"0\r\n\r\n", 9).unwrap(), (Vec::new(), Vec::new(), None));
    }

    #[test]
    fn what_two_could_read_in_two_ways_is_refused() {
        for text in [
            "4\nWiki\r\n0\r\n\r\n",
            "4 \r\nWiki\r\n0\r\n\r\n",
            " 4\r\nWiki",
            "+4\r\nWiki",
            "0x4\r\nWiki",
            "-1\r\n",
            "\r\n",
            "g\r\n",
            "11111111111111111\r\n",
            "4\r\nWikiX\r\n0",
            "4\r\nWiki\n0\r\n\r\n",
            "4\r\nWiki\r0\r\n\r\n",
            "4;a\rb\r\nWiki\r\n0\r\n\r\n",
            "0\r\nx : y\r\n\r\n",
            "0\r\n x: y\r\n\r\n",
            "0\r\nx: y\n\r\n",
            "0\r\nx\r\n\r\n",
        ] {
            assert!(read(text.as_bytes(), 99).is_err_and(|why| why != BadBody::Short), "{text:?}");
        }
        assert_eq!(read(&[b"1;".as_slice(), &[b'a'; 300]].concat(), 99), Err(BadBody::Size));
        let many: String = (0..40).map(|n| format!("x{n}: y\r\n")).collect();
        assert_eq!(read(format!("0\r\n{many}\r\n").as_bytes(), 9_999), Err(BadBody::Trailers));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, step in 1usize..50) {
            _ = read(&bytes, step);
        }

        #[test]
        fn what_was_cut_into_chunks_comes_back(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 0..9), step in 1usize..70) {
            let mut text = Vec::new();
            for piece in &pieces {
                text.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
                text.extend_from_slice(piece);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\nrest");
            let (body, left, _) = read(&text, step).unwrap();
            prop_assert_eq!((body, left), (pieces.concat(), b"rest".to_vec()));
        }
    }
}
