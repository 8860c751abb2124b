//! Server-sent events, read: bytes to messages, in whatever pieces they come (WHATWG HTML, section 9.2).
//!
//! Nothing here connects or reconnects; see [`crate::admin::client::Stream`].

use std::collections::VecDeque;

/// A message larger than this is none of ours, and not waited for.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// What it is about; `message` in the standard when the server names nothing, empty here.
    pub event: String,
    /// Its lines, with a line feed between them.
    pub data: String,
    /// The id that a reader names to go on after it.
    pub id: Option<String>,
}

/// Turns what arrives into messages.
#[derive(Debug, Default)]
pub struct Messages {
    line: Vec<u8>,
    /// A CR ended the last line; a LF right after it belongs to it.
    after_return: bool,
    message: Message,
    has_data: bool,
    bytes: usize,
    whole: VecDeque<Message>,
}

impl Messages {
    /// Takes what arrived.
    ///
    /// # Errors
    /// A message has no end.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        for byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    self.end_line();
                }
                other => {
                    self.after_return = false;
                    self.bytes += 1;
                    if self.bytes > MESSAGE_BYTES_MAX {
                        return Err("a message without an end");
                    }
                    self.line.push(*other);
                }
            }
        }
        Ok(())
    }

    /// The next message that is whole.
    #[expect(clippy::should_implement_trait, reason = "it goes on after `None`, when more has arrived")]
    pub fn next(&mut self) -> Option<Message> {
        self.whole.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            self.bytes = 0;
            if std::mem::take(&mut self.has_data) {
                self.whole.push_back(message);
            }
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.message.event = value.to_owned(),
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                self.has_data = true;
                self.message.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.message.id = Some(value.to_owned()),
            // Comments keep a connection alive; `retry` is the reader's own affair here.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Vec<Message> {
        let mut messages = Messages::default();
        pieces.iter().for_each(|piece| messages.take(piece).unwrap());
        std::iter::from_fn(|| messages.next()).collect()
    }

    #[test]
    fn fields_lines_comments_and_ids() {
        let text =
            b": hello\nretry: 1000\n\nevent: turn\nid: 7\ndata: {\"a\":1,\ndata: \"b\":2}\n\ndata:x\r\n\r\ndata: half";
        let turn = Message { event: "turn".into(), data: "{\"a\":1,\n\"b\":2}".into(), id: Some("7".into()) };
        let plain = Message { data: "x".into(), ..Message::default() };
        assert_eq!(read(&[text]), [turn, plain]);
    }

    #[test]
    fn a_message_without_an_end_is_given_up() {
        let mut messages = Messages::default();
        let mebibyte = vec![b'x'; 1 << 20];
        let taken = (0..65).map(|_| messages.take(&mebibyte)).collect::<Result<Vec<_>, _>>();
        assert_eq!(taken, Err("a message without an end"));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_no_bytes_panic(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..200),
            cut in 0..200usize,
        ) {
            let cut = cut.min(bytes.len());
            prop_assert_eq!(read(&[&bytes[..cut], &bytes[cut..]]), read(&[&bytes]));
        }

        #[test]
        fn what_is_written_is_read_back(event in "[a-z]{1,8}", data in "[^\r\n\u{feff}]{0,40}(\n[^\r\n]{0,20}){0,3}", id in "[0-9]{1,9}") {
            let lines: String = data.split('\n').map(|line| format!("data: {line}\n")).collect();
            let text = format!("event: {event}\nid: {id}\n{lines}\n");
            prop_assert_eq!(read(&[text.as_bytes()]), [Message { event, data, id: Some(id) }]);
        }
    }
}
