//! May these lines pass? What only the bytes of a head show, and parsers mend in silence.
//!
//! Over the target and the header lines as they were cut (httparse's view), before anything joins, drops or trims them: `http`
//! forgets a fragment, hyper drops a second equal `Content-Length`, and one that stands beside `Transfer-Encoding`. Each
//! is harmless when mended and is sent by nobody who means well. Whoever has only the parsed head asks [`super::strict`] alone;
//! whoever has the bytes asks both.

use crate::route::path::PathFault;
use crate::route::refusal::Refusal;

/// Whether a request's lines may pass; the first reason why not.
pub fn check<'a>(target: &[u8], lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<(), Refusal> {
    check_target(target)?;
    let (mut lengths, mut encodings, mut hosts) = (0u32, 0u32, 0u32);
    for (name, value) in lines {
        check_line(name, value)?;
        lengths += u32::from(name.eq_ignore_ascii_case(b"content-length"));
        encodings += u32::from(name.eq_ignore_ascii_case(b"transfer-encoding"));
        hosts += u32::from(name.eq_ignore_ascii_case(b"host"));
    }
    match (lengths, encodings, hosts) {
        (2.., _, _) => Err(Refusal::LengthRepeated),
        (1, 1.., _) => Err(Refusal::LengthAndEncoding),
        (_, 2.., _) => Err(Refusal::EncodingUnknown),
        (_, _, 2..) => Err(Refusal::HostRepeated),
        _ => Ok(()),
    }
}

fn check_target(target: &[u8]) -> Result<(), Refusal> {
    let fault = |byte: &u8| match byte {
        0 => Some(PathFault::Nul),
        b'#' => Some(PathFault::Fragment),
        byte if *byte <= b' ' || *byte == 0x7f => Some(PathFault::Control),
        _ => None,
    };
    target.iter().find_map(fault).map_or(Ok(()), |fault| Err(Refusal::Path(fault)))
}

/// A name without its line's end, a value without a fold, a NUL or a bare carriage return (RFC 9112 sections 2.2, 5.1 and 5.2).
fn check_line(name: &[u8], value: &[u8]) -> Result<(), Refusal> {
    if name.is_empty() || name.iter().any(|byte| !byte.is_ascii_graphic() || *byte == b':') {
        return Err(Refusal::NameMalformed);
    }
    let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    if value.iter().any(is_control) { Err(Refusal::ValueControl) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checked(target: &str, lines: &[(&str, &str)]) -> Result<(), Refusal> {
        check(target.as_bytes(), lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    #[test]
    fn what_parsers_mend_is_refused() {
        let lengths = [("Content-Length", "5"), ("content-length", "5")];
        assert_eq!(checked("/", &lengths), Err(Refusal::LengthRepeated));
        let both = [("Transfer-Encoding", "chunked"), ("Content-Length", "5")];
        assert_eq!(checked("/", &both), Err(Refusal::LengthAndEncoding));
        let encodings = [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")];
        assert_eq!(checked("/", &encodings), Err(Refusal::EncodingUnknown));
        assert_eq!(checked("/", &[("host", "a"), ("Host", "a")]), Err(Refusal::HostRepeated));
        assert_eq!(checked("/a#b", &[]), Err(Refusal::Path(PathFault::Fragment)));
        assert_eq!(checked("/a?b#c", &[]), Err(Refusal::Path(PathFault::Fragment)));
        assert_eq!(checked("/a\0", &[]), Err(Refusal::Path(PathFault::Nul)));
        assert_eq!(checked("/a\tb", &[]), Err(Refusal::Path(PathFault::Control)));
    }

    #[test]
    fn lines_are_lines() {
        for name in ["Content-Length ", " x", "x\t", "", "a:b", "x\u{e9}"] {
            assert_eq!(checked("/", &[(name, "5")]), Err(Refusal::NameMalformed), "{name:?}");
        }
        for value in ["a\r\n b", "a\rb", "a\nb", "a\0b", "a\u{7f}b"] {
            assert_eq!(checked("/", &[("x", value)]), Err(Refusal::ValueControl), "{value:?}");
        }
    }

    #[test]
    fn ordinary_lines_pass() {
        let lines = [("Host", "a.example"), ("Content-Length", "5"), ("X-A", "b\tc"), ("X-Name", "J\u{fc}rgen")];
        assert_eq!(checked("/a?b=%23", &lines), Ok(()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(target: Vec<u8>, lines: Vec<(Vec<u8>, Vec<u8>)>) {
            _ = check(&target, lines.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
        }
    }
}
