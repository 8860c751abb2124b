//! WebSocket's handshake, where one side speaks HTTP/1.1 and the other HTTP/2.
//!
//! Over HTTP/2 there is neither key nor answer to it (RFC 8441 section 5.1); over HTTP/1.1 both must be there (RFC 6455
//! section 4). Whoever stands between makes the one that is missing, and holds the endpoint to its answer, as the client would.

use aws_lc_rs::digest;
use aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::balance::key::next_draw;

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key, of random bits.
pub fn key(draw: u64) -> HeaderValue {
    let bytes = (u128::from(draw) << 64 | u128::from(next_draw(draw))).to_be_bytes();
    HeaderValue::try_from(STANDARD.encode(bytes)).expect("base64 may stand in a header")
}

/// The answer to a key.
pub fn accept(key: &HeaderValue) -> HeaderValue {
    let mut context = digest::Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(GUID);
    HeaderValue::try_from(STANDARD.encode(context.finish())).expect("base64 may stand in a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 section 1.3.
    #[test]
    fn the_answer_is_the_standards() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_sixteen_bytes_and_differ() {
        assert_eq!(STANDARD.decode(key(7)).unwrap().len(), 16);
        assert_ne!(key(7), key(8));
    }
}
