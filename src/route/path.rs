//! What path does a request ask for? Decided once; what is routed is what is forwarded.
//!
//! Two spellings of one path are how a rule is walked around: `/%61dmin`, `/x/../admin`, `//admin`. So before anything looks
//! at a path it is brought into its one form: escapes of unreserved characters undone, others in upper case, dot segments
//! resolved, slashes merged (RFC 3986 section 6.2.2). The backend gets that form, never the spelling of the client.
//!
//! What has no honest meaning is refused rather than mended: NUL, a fragment, a backslash, a climb beyond the root, `..`
//! hidden behind an escaped slash or before a `;`, escaped or not (which Tomcat cuts off, so that `/a/..;/admin` is `/admin` to it).

use std::borrow::Cow;

use crate::model::EncodedSlash;
use crate::model::PathRules;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// It does not begin with `/`.
    NoSlash,
    /// A NUL, escaped or not.
    Nul,
    /// A space or another control character.
    Control,
    /// A `#`: fragments stay with the client (RFC 9112 section 3.2).
    Fragment,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// `%2F`, where it is not accepted.
    EncodedSlash,
    /// A `\`, which some backends take for `/`.
    Backslash,
    /// `..` beyond the root.
    AboveRoot,
    /// `..` or `.` that a backend could see behind `%2F` or `%5C`, or before a `;`.
    HiddenDots,
}

impl PathFault {
    /// The stable code of logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            PathFault::NoSlash => "path_no_slash",
            PathFault::Nul => "path_nul",
            PathFault::Control => "path_control",
            PathFault::Fragment => "path_fragment",
            PathFault::Escape => "path_escape",
            PathFault::EncodedSlash => "path_encoded_slash",
            PathFault::Backslash => "path_backslash",
            PathFault::AboveRoot => "path_above_root",
            PathFault::HiddenDots => "path_hidden_dots",
        }
    }

    /// In words, for `explain`.
    pub fn words(self) -> &'static str {
        match self {
            PathFault::NoSlash => "a path that does not begin with `/`",
            PathFault::Nul => "a NUL in the path",
            PathFault::Control => "a space or a control character in the path",
            PathFault::Fragment => "a `#` in the target: fragments stay with the client",
            PathFault::Escape => "a `%` without two hexadecimal digits in the path",
            PathFault::EncodedSlash => "a `%2F` in the path, which this listener does not accept",
            PathFault::Backslash => "a backslash in the path, which some backends take for `/`",
            PathFault::AboveRoot => "`..` beyond the root of the path",
            PathFault::HiddenDots => "`..` or `.` hidden in the path, behind an escaped slash or before a `;`",
        }
    }
}

/// The one form of a path, without its query. Allocates only when the client spelled it otherwise.
pub fn normalised(path: &str, rules: PathRules) -> Result<Cow<'_, str>, PathFault> {
    if !path.starts_with('/') {
        return Err(PathFault::NoSlash);
    }
    if is_normal(path.as_bytes(), rules) {
        return Ok(Cow::Borrowed(path));
    }
    resolved(&unescaped(path.as_bytes(), rules)?, rules).map(Cow::Owned)
}

/// Whether nothing is to be done. May say no to a path in its one form (that costs an allocation), never yes to another.
fn is_normal(path: &[u8], rules: PathRules) -> bool {
    path.iter().enumerate().all(|(at, byte)| {
        PLAIN[usize::from(*byte)]
            || match byte {
                b'/' => starts_plainly(&path[at + 1..], rules),
                b'%' => is_settled_escape(&path[at + 1..]),
                _ => false,
            }
    })
}

/// Bytes that need no second look.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        plain[byte] = is_path_byte(byte as u8) && byte as u8 != b'/';
        byte += 1;
    }
    plain
};

/// Whether a segment is neither empty (unless the last, or empty ones count) nor begins with a dot that could be one of the
/// dot segments.
fn starts_plainly(rest: &[u8], rules: PathRules) -> bool {
    match rest {
        [b'/', ..] => !rules.merge_slashes,
        [b'.'] | [b'.', b'.' | b'/' | b';' | b'%', ..] => false,
        _ => true,
    }
}

/// Whether an escape is in upper case and of a byte that is neither unreserved nor of interest below.
fn is_settled_escape(rest: &[u8]) -> bool {
    let is_upper = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'A'..=b'F');
    let Some(digits) = rest.get(..2).filter(|digits| digits.iter().all(is_upper)) else { return false };
    escaped(digits).is_some_and(|byte| byte != 0 && byte != b'/' && byte != b'\\' && !is_unreserved(byte))
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 section 3.3: what may stand in a path as it is.
const fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/'
        )
}

fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    match digits {
        [high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

fn push_escape(out: &mut String, byte: u8) {
    let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble & 15)]);
    out.extend(['%', digit(byte >> 4), digit(byte)]);
}

/// With every escape settled.
fn unescaped(path: &[u8], rules: PathRules) -> Result<String, PathFault> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        match *byte {
            b'%' => {
                push_escaped(&mut out, escaped(after).ok_or(PathFault::Escape)?, rules)?;
                rest = &after[2..];
            }
            0 => return Err(PathFault::Nul),
            b'#' => return Err(PathFault::Fragment),
            b'\\' => return Err(PathFault::Backslash),
            byte if byte <= b' ' || byte == 0x7f => return Err(PathFault::Control),
            byte if is_path_byte(byte) => out.push(char::from(byte)),
            byte => push_escape(&mut out, byte),
        }
    }
    Ok(out)
}

fn push_escaped(out: &mut String, byte: u8, rules: PathRules) -> Result<(), PathFault> {
    match (byte, rules.encoded_slash) {
        (0, _) => return Err(PathFault::Nul),
        (b'/', EncodedSlash::Refuse) => return Err(PathFault::EncodedSlash),
        (b'/', EncodedSlash::Decode) => out.push('/'),
        (byte, _) if is_unreserved(byte) => out.push(char::from(byte)),
        (byte, _) => push_escape(out, byte),
    }
    Ok(())
}

/// With dot segments resolved and slashes merged.
fn resolved(path: &str, rules: PathRules) -> Result<String, PathFault> {
    let mut out = String::with_capacity(path.len());
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            ".." => out.truncate(out.rfind('/').ok_or(PathFault::AboveRoot)?),
            "." => {}
            "" if is_last || rules.merge_slashes => {}
            segment if hides_dots(segment) => return Err(PathFault::HiddenDots),
            segment => {
                out.push('/');
                out.push_str(segment);
                continue;
            }
        }
        if is_last {
            out.push('/');
        }
    }
    Ok(out)
}

/// Whether a backend that decodes once more, or cuts parameters off, could see a dot segment here. Escapes are settled:
/// dots are dots.
fn hides_dots(segment: &str) -> bool {
    let is_dots = |part: &str| {
        let rest = part.strip_prefix("..").or_else(|| part.strip_prefix('.'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(';') || rest.starts_with("%3B"))
    };
    segment.split("%2F").flat_map(|part| part.split("%5C")).any(is_dots)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEEP: PathRules = PathRules { encoded_slash: EncodedSlash::Keep, merge_slashes: true };

    fn of(path: &str) -> Result<String, PathFault> {
        normalised(path, KEEP).map(Cow::into_owned)
    }

    #[test]
    fn spellings_of_one_path_are_one_path() {
        for spelling in
            ["/admin", "/%61dmin", "/%61%64%6D%69%6E", "//admin", "/./admin", "/x/../admin", "/x/%2e%2E/admin"]
        {
            assert_eq!(of(spelling).as_deref(), Ok("/admin"), "{spelling}");
        }
        assert_eq!(of("/a%c3%a9").as_deref(), Ok("/a%C3%A9"));
        assert_eq!(of("/aé{b}").as_deref(), Ok("/a%C3%A9%7Bb%7D"));
    }

    #[test]
    fn the_last_slash_is_kept() {
        for (written, meant) in
            [("/a/", "/a/"), ("/a/.", "/a/"), ("/a/b/..", "/a/"), ("/a/..", "/"), ("//", "/"), ("/", "/")]
        {
            assert_eq!(of(written).as_deref(), Ok(meant), "{written}");
        }
    }

    #[test]
    fn what_has_no_honest_meaning_is_refused() {
        for (path, fault) in [
            ("admin", PathFault::NoSlash),
            ("/a%00b", PathFault::Nul),
            ("/a\0b", PathFault::Nul),
            ("/a b", PathFault::Control),
            ("/a\r\nb", PathFault::Control),
            ("/a#b", PathFault::Fragment),
            ("/a%", PathFault::Escape),
            ("/a%4", PathFault::Escape),
            ("/a%zz", PathFault::Escape),
            ("/a%4é", PathFault::Escape),
            ("/a\\b", PathFault::Backslash),
            ("/..", PathFault::AboveRoot),
            ("/a/../../b", PathFault::AboveRoot),
            ("/%2e%2e/b", PathFault::AboveRoot),
            ("/a/..%2fb", PathFault::HiddenDots),
            ("/a/x%2F%2e%2e%2Fb", PathFault::HiddenDots),
            ("/a/..%5cb", PathFault::HiddenDots),
            ("/a/..;/b", PathFault::HiddenDots),
            ("/a/.;x=1/b", PathFault::HiddenDots),
            ("/a/..%3b/b", PathFault::HiddenDots),
            ("/a/%2e%3B/b", PathFault::HiddenDots),
        ] {
            assert_eq!(of(path), Err(fault), "{path:?}");
        }
    }

    #[test]
    fn an_escaped_slash_is_what_the_rules_say() {
        let under = |encoded_slash| normalised("/a%2fb", PathRules { encoded_slash, ..KEEP }).map(Cow::into_owned);
        assert_eq!(under(EncodedSlash::Keep).as_deref(), Ok("/a%2Fb"));
        assert_eq!(under(EncodedSlash::Decode).as_deref(), Ok("/a/b"));
        assert_eq!(under(EncodedSlash::Refuse), Err(PathFault::EncodedSlash));
    }

    #[test]
    fn slashes_may_count() {
        let rules = PathRules { merge_slashes: false, ..KEEP };
        let of = |path| normalised(path, rules).unwrap().into_owned();
        assert_eq!([of("/a//b"), of("//"), of("/a//../b"), of("/a//.")], ["/a//b", "//", "/a/b", "/a//"]);
    }

    #[test]
    fn what_is_escaped_twice_stays_escaped_once() {
        assert_eq!(of("/%252e%252e/x").as_deref(), Ok("/%252e%252e/x"));
    }

    #[test]
    fn an_ordinary_path_is_not_copied() {
        for path in ["/", "/index.html", "/api/v2/users/7;v=1/@me", "/a%20b/%C3%A9", "/.well-known/x", "/a/"] {
            assert!(matches!(normalised(path, KEEP), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    fn rules() -> impl Strategy<Value = PathRules> {
        let slash = prop_oneof![Just(EncodedSlash::Keep), Just(EncodedSlash::Decode), Just(EncodedSlash::Refuse)];
        (slash, any::<bool>()).prop_map(|(encoded_slash, merge_slashes)| PathRules { encoded_slash, merge_slashes })
    }

    proptest! {
        #[test]
        fn no_text_panics(path in ".{0,40}", rules in rules()) {
            _ = normalised(&path, rules);
        }

        /// Made of what matters, so that most are accepted: twice is once, and nothing is left that a rule could be walked
        /// around with.
        #[test]
        fn twice_is_once(
            parts in proptest::collection::vec(
                prop::sample::select(vec!["/", "/", "a", ".", "..", "%2e", "%2F", "%2f", "%41", "%C3", "%25", ";", "é", "//", "%7e", "b"]), 0..14),
            rules in rules(),
        ) {
            let path = format!("/{}", parts.concat());
            if let Ok(once) = normalised(&path, rules) {
                let twice = normalised(&once, rules);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
                prop_assert!(once.starts_with('/') && once.is_ascii());
                prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
                prop_assert!(!rules.merge_slashes || !once.contains("//"));
                prop_assert!(rules.encoded_slash == EncodedSlash::Keep || !once.contains("%2F"));
                // What is forwarded is a path to the HTTP stack, too.
                prop_assert!(once.parse::<http::uri::PathAndQuery>().is_ok_and(|parsed| parsed.path() == once));
            }
        }
    }
}
