//! Where does a body end? Cut out of a stream's bytes, piece by piece.

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;

use crate::proxy::h1::chunk::Chunked;

/// How a body is delimited (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; none at all for 0.
    Length(u64),
    /// Chunk by chunk.
    Chunked,
    /// By the end of the connection: responses of old, and what follows an upgrade.
    UntilClose,
}

impl Framing {
    /// Whether there is no body.
    pub fn is_empty(self) -> bool {
        self == Framing::Length(0)
    }
}

/// Why bytes are no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadBody {
    /// A chunk's size that is no number, or has no end.
    Size,
    /// No line's end where one must be.
    LineEnd,
    /// Trailers that are no fields, or too many.
    Trailers,
    /// The stream ended before the body.
    Short,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the body, at least one.
    Data(Bytes),
    /// It is not there yet.
    Missing,
    /// The body is over.
    End,
}

/// A body that is being read.
#[derive(Debug)]
pub struct Body {
    state: State,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Over,
}

impl Body {
    /// One that begins at the next byte.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Over,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::default()),
            Framing::UntilClose => State::UntilClose,
        };
        Body { state }
    }

    /// Whether every byte of it was taken.
    pub fn is_over(&self) -> bool {
        matches!(&self.state, State::Over) || matches!(&self.state, State::Chunked(chunked) if chunked.is_over())
    }

    /// Takes out of the stream what belongs to the body; what follows is left.
    ///
    /// # Errors
    /// As soon as no further bytes could make it a body.
    pub fn take(&mut self, inbox: &mut BytesMut) -> Result<Piece, BadBody> {
        match &mut self.state {
            State::Over => Ok(Piece::End),
            State::Chunked(chunked) => chunked.take(inbox),
            _ if inbox.is_empty() => Ok(Piece::Missing),
            State::UntilClose => Ok(Piece::Data(inbox.split().freeze())),
            State::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(inbox.len());
                *left -= here as u64;
                if *left == 0 {
                    self.state = State::Over;
                }
                Ok(Piece::Data(inbox.split_to(here).freeze()))
            }
        }
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// When the body had not.
    pub fn ended(&mut self) -> Result<(), BadBody> {
        match self.state {
            State::UntilClose => self.state = State::Over,
            _ if self.is_over() => {}
            _ => return Err(BadBody::Short),
        }
        Ok(())
    }

    /// How many bytes are sure to come; 0 when nobody knows.
    pub fn is_to_come(&self) -> u64 {
        match &self.state {
            State::Length(left) => *left,
            State::Chunked(chunked) => chunked.is_to_come(),
            State::UntilClose | State::Over => 0,
        }
    }

    /// The fields that followed a chunked body, once it is over.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        if let State::Chunked(chunked) = &mut self.state { chunked.trailers() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_its_bytes_and_no_more() {
        let (mut body, mut inbox) = (Body::new(Framing::Length(5)), BytesMut::from("abc"));
        assert_eq!(body.take(&mut inbox), Ok(Piece::Data("abc".into())));
        assert_eq!(body.take(&mut inbox), Ok(Piece::Missing));
        assert_eq!(body.ended(), Err(BadBody::Short));
        inbox.extend_from_slice(b"deGET /");
        assert_eq!(body.take(&mut inbox), Ok(Piece::Data("de".into())));
        assert_eq!((body.take(&mut inbox), body.is_over(), &inbox[..]), (Ok(Piece::End), true, &b"GET /"[..]));
    }

    #[test]
    fn no_body_is_over_at_once_and_an_open_one_at_the_end() {
        assert!(Body::new(Framing::Length(0)).is_over());
        let (mut body, mut inbox) = (Body::new(Framing::UntilClose), BytesMut::from("abc"));
        assert_eq!(body.take(&mut inbox), Ok(Piece::Data("abc".into())));
        assert_eq!((body.ended(), body.is_over()), (Ok(()), true));
    }
}
