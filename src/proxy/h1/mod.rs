//! HTTP/1.1 as bytes: heads read and written, bodies cut out of a stream. Nothing here waits or knows a socket.
//!
//! A codec of our own on httparse, where hyper would serve: hyper hides the bytes of a head, and what only they show
//! ([`crate::route::raw`]) must be refused by whoever stands in front of others; and a proxy that reads and writes heads itself
//! spends a quarter less on a request. What is written is always made anew from what was understood: never a client's framing.

pub mod body;
pub mod chunk;
pub mod request;
pub mod response;
pub mod spare;
pub mod write;

/// Fields of one head, or of one body's trailers: more than any client of ours sends.
pub const FIELDS_MAX: usize = 128;

/// A head's bytes. Browsers with many cookies stay below 16 KiB; HAProxy's default is 16 KiB, nginx's 32 KiB.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Where the head at the start of `bytes` ends, if it does: after an empty line. `from` is how much was looked at before.
pub(super) fn head_ends(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    while let Some(found) = memchr::memchr(b'\n', &bytes[at..]) {
        let line_feed = at + found;
        match bytes.get(line_feed + 1..) {
            Some([b'\n', ..]) => return Some(line_feed + 2),
            Some([b'\r', b'\n', ..]) => return Some(line_feed + 3),
            _ => at = line_feed + 1,
        }
    }
    None
}

/// Whether every line ends with carriage return and line feed. A bare line feed is a line's end to some and a byte to others
/// (RFC 9112 section 2.2 allows the first; nobody sends it who means well).
pub(super) fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}
