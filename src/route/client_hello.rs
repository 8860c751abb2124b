//! Whom does a client's first message in TLS name? Read without ending TLS: `tls-passthrough` goes by it.
//!
//! ClientHello of TLS 1.0 to 1.3 (RFC 8446 section 4.1.2) with the extension server_name (RFC 6066 section 3). It may be split
//! over records (RFC 8446 section 5.1), and records over packets. What has nothing to do with the name is passed over, never
//! judged: that is the endpoint's part, and a stricter reader (rustls' `Acceptor`, say) would keep clients from endpoints that
//! take them. With Encrypted ClientHello the outer name is what is read.

/// A ClientHello with post-quantum keys has some 1,800 bytes; larger ones than this are nobody's.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;

/// What is known of the first bytes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// More must come before anything can be said.
    Partial,
    /// A whole one, with the name in lower case and without a last dot; none when it names none.
    Whole(Option<String>),
    /// The beginning of something else, or malformed.
    NotTls,
    /// Longer than anybody's.
    TooLong,
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// "MUST NOT exceed 2^14 bytes" (RFC 8446 section 5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;
const RECORD_HEAD: usize = 5;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// As long as names in DNS are (RFC 1035 section 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// Reads what has come so far.
pub fn read(bytes: &[u8]) -> Hello {
    // In one record, as nearly always, nothing is copied.
    let (first, mut rest) = match record(bytes) {
        Ok(Some(split)) => split,
        Ok(None) => return Hello::Partial,
        Err(hello) => return hello,
    };
    match message(first) {
        Message::Partial => {}
        Message::Whole(hello) => return hello,
    }
    let mut joined = first.to_vec();
    loop {
        match record(rest) {
            Ok(None) if joined.len() > HELLO_BYTES_MAX => return Hello::TooLong,
            Ok(None) => return Hello::Partial,
            Err(hello) => return hello,
            Ok(Some((more, after))) => {
                joined.extend_from_slice(more);
                rest = after;
            }
        }
        match message(&joined) {
            Message::Whole(hello) => return hello,
            Message::Partial if joined.len() > HELLO_BYTES_MAX => return Hello::TooLong,
            Message::Partial => {}
        }
    }
}

/// What was looked for, and the rest.
type Split<'a> = (&'a [u8], &'a [u8]);

/// The content of a handshake record and what follows it; none when it is not all there.
fn record(bytes: &[u8]) -> Result<Option<Split<'_>>, Hello> {
    match bytes.first() {
        None => return Ok(None),
        Some(&HANDSHAKE) => {}
        Some(_) => return Err(Hello::NotTls),
    }
    // Versions of the record layer are 3.0 to 3.4, and mean nothing.
    if bytes.get(1).is_some_and(|major| *major != 3) {
        return Err(Hello::NotTls);
    }
    let Some((head, rest)) = bytes.split_at_checked(RECORD_HEAD) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    // "Implementations MUST NOT send zero-length fragments of Handshake types": they would go on for ever.
    if length == 0 || length > RECORD_BYTES_MAX {
        return Err(Hello::NotTls);
    }
    Ok(rest.split_at_checked(length))
}

enum Message {
    Partial,
    Whole(Hello),
}

/// A handshake message at the beginning of these bytes.
fn message(bytes: &[u8]) -> Message {
    if bytes.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Message::Whole(Hello::NotTls);
    }
    let Some((head, body)) = bytes.split_at_checked(4) else { return Message::Partial };
    let length = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
    if length > HELLO_BYTES_MAX {
        return Message::Whole(Hello::TooLong);
    }
    match body.get(..length) {
        None => Message::Partial,
        Some(body) => Message::Whole(name_in(body).map_or(Hello::NotTls, Hello::Whole)),
    }
}

/// The name in a ClientHello; none when it is malformed.
fn name_in(body: &[u8]) -> Option<Option<String>> {
    let mut rest = body.get(34..)?; // version and random
    take_u8(&mut rest)?; // session
    take_u16(&mut rest)?; // cipher suites
    take_u8(&mut rest)?; // compression
    // TLS 1.2 allowed none at all.
    if rest.is_empty() {
        return Some(None);
    }
    let mut extensions = take_u16(&mut rest)?;
    while !extensions.is_empty() {
        let (kind, after) = extensions.split_first_chunk::<2>()?;
        extensions = after;
        let content = take_u16(&mut extensions)?;
        if u16::from_be_bytes(*kind) == SERVER_NAME {
            return host_name(content);
        }
    }
    Some(None)
}

fn host_name(mut extension: &[u8]) -> Option<Option<String>> {
    let mut list = take_u16(&mut extension)?;
    while let Some((kind, after)) = list.split_first() {
        list = after;
        let name = take_u16(&mut list)?;
        if *kind == HOST_NAME {
            return usable(name).map(Some);
        }
    }
    Some(None)
}

/// Letters, digits, hyphens, underscores and dots: what names of hosts are in practice, and nothing that a log would suffer from.
fn usable(name: &[u8]) -> Option<String> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_usual = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.iter().all(is_usual) {
        return None;
    }
    Some(String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// What a length of one byte says, and the rest after it.
fn take_u8<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first()?;
    let (taken, after) = after.split_at_checked(usize::from(*length))?;
    *rest = after;
    Some(taken)
}

/// The same of a length of two.
fn take_u16<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (taken, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::ClientConfig;
    use rustls::ClientConnection;
    use rustls::RootCertStore;
    use rustls::crypto::aws_lc_rs;

    use super::*;

    /// What a real client sends first.
    fn hello(name: &str) -> Vec<u8> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut client = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same message in records of that size.
    fn split(hello: &[u8], size: usize) -> Vec<u8> {
        let content: Vec<u8> = hello[RECORD_HEAD..].to_vec();
        let records = content.chunks(size).flat_map(|piece| {
            let length = (piece.len() as u16).to_be_bytes();
            [&[HANDSHAKE, 3, 1, length[0], length[1]][..], piece].concat()
        });
        records.collect()
    }

    fn named(name: &str) -> Hello {
        Hello::Whole(Some(name.to_owned()))
    }

    #[test]
    fn a_client_names_its_server_or_none() {
        assert_eq!(read(&hello("www.example.com")), named("www.example.com"));
        assert_eq!(read(&hello("WWW.Example.COM")), named("www.example.com"));
        assert_eq!(read(&hello("192.0.2.1")), Hello::Whole(None), "addresses are no names");
    }

    #[test]
    fn nothing_is_said_before_the_last_byte_and_what_follows_is_not_read() {
        let whole = hello("www.example.com");
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), Hello::Partial, "{end} bytes");
        }
        assert_eq!(read(&[&whole[..], b"\x14\x03\x03 and more"].concat()), named("www.example.com"));
    }

    #[test]
    fn records_of_any_size_are_put_together() {
        let whole = hello("www.example.com");
        for size in [1, 2, 3, 4, 5, 100, 1_000] {
            let split = split(&whole, size);
            assert_eq!(read(&split), named("www.example.com"), "records of {size}");
            assert_eq!(read(&split[..split.len() - 1]), Hello::Partial, "records of {size}");
        }
    }

    #[test]
    fn what_is_no_tls_is_known_at_once() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"\x80\x2e\x01", b"\x16\x02", b"\x17\x03"]
        {
            assert_eq!(read(bytes), Hello::NotTls, "{bytes:?}");
        }
        assert_eq!(read(b"\x16\x03\x01\0\0"), Hello::NotTls, "an empty record");
        assert_eq!(read(b"\x16\x03\x01\x40\x01"), Hello::NotTls, "a record that is too long");
        assert_eq!(read(b"\x16\x03\x03\0\x04\x02\0\0\0"), Hello::NotTls, "a server's message");
    }

    #[test]
    fn what_is_too_long_ends() {
        assert_eq!(read(b"\x16\x03\x01\0\x04\x01\x01\0\0"), Hello::TooLong);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            read(&bytes);
            read(&[b"\x16\x03\x01", &bytes[..]].concat());
        }

        #[test]
        fn no_spoiled_hello_panics(at in 0_usize..200, byte: u8, cut in 0_usize..2_000) {
            let mut bytes = hello("www.example.com");
            bytes[at] = byte;
            bytes.truncate(cut);
            if let Hello::Whole(Some(name)) = read(&bytes) {
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
            }
        }
    }
}
