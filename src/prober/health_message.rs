//! The two messages of `grpc.health.v1.Health/Check`, in protobuf's and gRPC's wire form.
//!
//! ```text
//! message HealthCheckRequest  { string service = 1; }
//! message HealthCheckResponse { enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; }
//!                               ServingStatus status = 1; }
//! ```
//!
//! Two fields are no reason for a code generator. Nothing here knows what a status means for an endpoint.
//!
//! Sources: protobuf's "Encoding" (protobuf.dev), gRPC's "gRPC over HTTP2" (length-prefixed messages), `health.proto`.

/// The bytes before each message: whether it is compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;
/// The key of field 1 with a varint in it.
const STATUS: u64 = 1 << 3;
/// The key of field 1 with a string in it.
const SERVICE: u8 = 1 << 3 | 2;
/// A varint has at most ten bytes.
const VARINT_BYTES_MAX: usize = 10;

/// What a health service says.
pub(super) type ServingStatus = u64;
/// The only one that passes.
pub(super) const SERVING: ServingStatus = 1;

/// The status in words, as `health.proto` has them.
pub(super) fn status_name(status: ServingStatus) -> Option<&'static str> {
    ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].get(usize::try_from(status).ok()?).copied()
}

/// A request with its prefix.
pub(super) fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    // What has its default value is not sent.
    if !service.is_empty() {
        message.push(SERVICE);
        put_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).expect("config keeps services short").to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// The status in a response with its prefix.
///
/// # Errors
/// In words, what is wrong with it.
pub(super) fn response(framed: &[u8]) -> Result<ServingStatus, &'static str> {
    let (prefix, message) = framed.split_first_chunk::<PREFIX_BYTES>().ok_or("no message in the response")?;
    let [compressed, length @ ..] = *prefix;
    if compressed != 0 {
        return Err("the message is compressed, which was not asked for");
    }
    if u32::from_be_bytes(length) as usize != message.len() {
        return Err("the message is not as long as it says");
    }
    status(message).ok_or("the message is no HealthCheckResponse")
}

/// The last `status` among the fields of a message; others are skipped, as protobuf wants it.
fn status(mut rest: &[u8]) -> Option<ServingStatus> {
    let mut status = 0;
    while !rest.is_empty() {
        let key = take_varint(&mut rest)?;
        match (key >> 3, key & 7) {
            (0, _) => return None,
            _ if key == STATUS => status = take_varint(&mut rest)?,
            (_, 0) => drop(take_varint(&mut rest)?),
            (_, 1) => skip(&mut rest, 8)?,
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                skip(&mut rest, length)?;
            }
            (_, 5) => skip(&mut rest, 4)?,
            // Groups are not in this message, and the other two wire types do not exist.
            _ => return None,
        }
    }
    Some(status)
}

fn skip(rest: &mut &[u8], count: usize) -> Option<()> {
    *rest = rest.get(count..)?;
    Some(())
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (i, byte) in rest.iter().take(VARINT_BYTES_MAX).enumerate() {
        // The tenth byte has room for one bit.
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32).unwrap_or(0);
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut out = vec![0];
        out.extend_from_slice(&(message.len() as u32).to_be_bytes());
        out.extend_from_slice(message);
        out
    }

    #[test]
    fn messages_are_as_other_implementations_write_them() {
        // `HealthCheckRequest(service="shop.Cart").SerializeToString()` of protobuf's Python.
        assert_eq!(request("shop.Cart"), [&[0, 0, 0, 0, 11][..], b"\n\tshop.Cart"].concat());
        assert_eq!(request(""), [0; 5]);
        assert_eq!(response(&framed(b"\x08\x01")), Ok(SERVING));
        assert_eq!(response(&framed(b"")), Ok(0));
        assert_eq!(status_name(3), Some("SERVICE_UNKNOWN"));
        assert_eq!(status_name(4), None);
    }

    #[test]
    fn what_is_no_response_is_refused() {
        for message in
            [&b"\x08"[..], b"\x0a\x05ab", b"\x0b", b"\x00\x01", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert!(response(&framed(message)).is_err(), "{message:?}");
        }
        assert!(response(&[0, 0, 0, 0]).is_err());
        assert!(response(&[1, 0, 0, 0, 2, 8, 1]).is_err());
        assert!(response(&[0, 0, 0, 0, 3, 8, 1]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = response(&bytes);
            let _ = status(&bytes);
        }

        #[test]
        fn a_varint_written_is_read_back(value: u64, more: Vec<u8>) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            bytes.extend_from_slice(&more);
            let mut rest = &bytes[..];
            prop_assert_eq!(take_varint(&mut rest), Some(value));
            prop_assert_eq!(rest, &more[..]);
        }

        #[test]
        fn a_service_written_is_read_back(service in "[a-zA-Z0-9_.]{0,255}") {
            let bytes = request(&service);
            let mut rest = &bytes[PREFIX_BYTES..];
            let mut found = String::new();
            if !rest.is_empty() {
                prop_assert_eq!(take_varint(&mut rest), Some(u64::from(SERVICE)));
                prop_assert_eq!(take_varint(&mut rest), Some(rest.len() as u64));
                found = String::from_utf8(rest.to_vec()).unwrap();
            }
            prop_assert_eq!(found, service);
        }

        /// Fields of later versions around it change nothing.
        #[test]
        fn a_status_is_found_among_other_fields(
            value: u64,
            others in prop::collection::vec((2u64..1000, 0usize..4, any::<u64>(), any::<Vec<u8>>()), 0..5),
            at: prop::sample::Index,
        ) {
            let mut fields: Vec<Vec<u8>> = others.into_iter().map(|(number, kind, varint, bytes)| {
                let mut out = Vec::new();
                put_varint(&mut out, number << 3 | [0, 1, 2, 5][kind]);
                match kind {
                    0 => put_varint(&mut out, varint),
                    1 => out.extend_from_slice(&varint.to_le_bytes()),
                    2 => {
                        put_varint(&mut out, bytes.len() as u64);
                        out.extend_from_slice(&bytes);
                    }
                    _ => out.extend_from_slice(&(varint as u32).to_le_bytes()),
                }
                out
            }).collect();
            let mut own = vec![8];
            put_varint(&mut own, value);
            fields.insert(at.index(fields.len() + 1), own);
            prop_assert_eq!(response(&framed(&fields.concat())), Ok(value));
        }
    }
}
