//! Where does a message on a stream begin and end?
//!
//! Two bytes of length, then the message (RFC 1035 section 4.2.2). A length too short for a header ends the conversation:
//! what follows such a thing cannot be trusted to be framed at all.

/// A header; nothing shorter is a message.
const MESSAGE_BYTES_MIN: usize = 12;

/// What a stream's unread bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole message; it and its length take 2 bytes more than it has.
    Message(&'a [u8]),
    /// Not yet a whole message; at least so many bytes are missing.
    Partial(usize),
    /// A length that no message has.
    Broken,
}

/// Looks at the unread bytes of a stream.
pub fn next_frame(unread: &[u8]) -> Frame<'_> {
    let Some((length, rest)) = unread.split_first_chunk::<2>() else {
        return Frame::Partial(2 - unread.len());
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < MESSAGE_BYTES_MIN {
        return Frame::Broken;
    }
    match rest.get(..length) {
        Some(message) => Frame::Message(message),
        None => Frame::Partial(length - rest.len()),
    }
}

/// Appends a message with its length; `false`, and nothing appended, when it is too long for one.
pub fn push_frame(out: &mut Vec<u8>, message: &[u8]) -> bool {
    let Ok(length) = u16::try_from(message.len()) else { return false };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_shorter_than_a_header_break_the_stream() {
        assert_eq!(next_frame(&[0, 0]), Frame::Broken);
        assert_eq!(next_frame(&[0, 11, 1, 2, 3]), Frame::Broken);
        assert_eq!(next_frame(&[0, 12]), Frame::Partial(12));
        assert_eq!(next_frame(&[0]), Frame::Partial(1));
        assert_eq!(next_frame(&[]), Frame::Partial(2));
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_the_stream_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 12..300), 1..8),
            piece in 1_usize..64,
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                prop_assert!(push_frame(&mut stream, message));
            }
            let (mut unread, mut out) = (Vec::new(), Vec::new());
            for bytes in stream.chunks(piece) {
                unread.extend_from_slice(bytes);
                while let Frame::Message(message) = next_frame(&unread) {
                    let taken = message.len() + 2;
                    out.push(message.to_vec());
                    unread.drain(..taken);
                }
            }
            prop_assert!(unread.is_empty());
            prop_assert_eq!(out, messages);
        }

        #[test]
        fn what_is_said_to_be_missing_is_what_is_missing(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            match next_frame(&bytes) {
                Frame::Message(message) => prop_assert!(message.len() + 2 <= bytes.len()),
                Frame::Broken => prop_assert!(bytes[0] == 0 && bytes[1] < 12),
                Frame::Partial(missing) => {
                    let mut more = bytes.clone();
                    more.resize(bytes.len() + missing, 0);
                    let with_one_less = next_frame(&more[..more.len() - 1]);
                    prop_assert!(bytes.len() < 2 || matches!(with_one_less, Frame::Partial(1)));
                    prop_assert!(bytes.len() < 2 || matches!(next_frame(&more), Frame::Message(_)));
                }
            }
        }
    }
}
