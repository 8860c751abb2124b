//! Domain names in wire form, lower case (RFC 1035 section 3.1, RFC 4343).

use std::fmt;
use std::str::FromStr;

/// The most bytes of a name in wire form, the root's zero included (RFC 1035 section 2.3.4).
pub const NAME_BYTES_MAX: usize = 255;
/// The most bytes of a label.
pub const LABEL_BYTES_MAX: usize = 63;

/// An absolute name: length-prefixed labels, letters lower case, ending in the root's zero byte.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// Why a text or some bytes are no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// No labels: an empty text.
    Empty,
    /// Two dots in a row, or one at the start.
    EmptyLabel,
    /// A label of more than 63 bytes.
    LabelTooLong,
    /// More than 255 bytes in wire form.
    TooLong,
    /// A backslash without a character or a number up to 255 after it.
    Escape,
    /// Wire bytes that end early, or hold a pointer.
    Wire,
}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Name(Box::new([0]))
    }

    /// Takes wire form, uncompressed, and lowers its letters; the bytes end with the root.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut at = 0;
        loop {
            let length = *wire.get(at).ok_or(NameError::Wire)? as usize;
            if length > LABEL_BYTES_MAX {
                return Err(NameError::Wire);
            }
            at += 1 + length;
            if at > NAME_BYTES_MAX {
                return Err(NameError::TooLong);
            }
            if length == 0 {
                break;
            }
        }
        if at != wire.len() {
            return Err(NameError::Wire);
        }
        Ok(Name(wire.to_ascii_lowercase().into_boxed_slice()))
    }

    /// The wire form.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from left to right, without the root.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let length = rest[0] as usize;
            if length == 0 {
                return None;
            }
            let label = &rest[1..1 + length];
            rest = &rest[1 + length..];
            Some(label)
        })
    }

    /// The name without its first label; none for the root.
    pub fn parent(&self) -> Option<Name> {
        match self.0[0] as usize {
            0 => None,
            length => Some(Name(self.0[1 + length..].into())),
        }
    }

    /// Whether it is `other` or lies below it.
    pub fn is_within(&self, other: &Name) -> bool {
        let mut rest = &self.0[..];
        loop {
            if rest == &other.0[..] {
                return true;
            }
            match rest[0] as usize {
                0 => return false,
                length => rest = &rest[1 + length..],
            }
        }
    }

    /// Whether its first label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(&[1, b'*'])
    }
}

impl FromStr for Name {
    type Err = NameError;
    /// Presentation form with `\.` and `\DDD`; a missing dot at the end is added.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text == "." {
            return Ok(Name::root());
        }
        let mut wire: Vec<u8> = vec![0];
        let mut start = 0;
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'.' => {
                    close_label(&mut wire, start)?;
                    start = wire.len();
                    wire.push(0);
                }
                b'\\' => wire.push(escaped(&mut bytes)?),
                other => wire.push(other.to_ascii_lowercase()),
            }
        }
        if wire.len() > start + 1 {
            close_label(&mut wire, start)?;
            wire.push(0);
        }
        if wire.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        Ok(Name(wire.into_boxed_slice()))
    }
}

fn close_label(wire: &mut [u8], start: usize) -> Result<(), NameError> {
    let length = wire.len() - start - 1;
    match length {
        0 => Err(NameError::EmptyLabel),
        1..=LABEL_BYTES_MAX => {
            wire[start] = length as u8;
            Ok(())
        }
        _ => Err(NameError::LabelTooLong),
    }
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, NameError> {
    let first = bytes.next().ok_or(NameError::Escape)?;
    if !first.is_ascii_digit() {
        return Ok(first.to_ascii_lowercase());
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(NameError::Escape)?;
        value = value * 10 + u32::from(digit - b'0');
    }
    u8::try_from(value).map(|b| b.to_ascii_lowercase()).map_err(|_| NameError::Escape)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() == 1 {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => write!(f, "\\{}", byte as char)?,
                    b'!'..=b'~' => write!(f, "{}", byte as char)?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::Empty => "a name cannot be empty (the root is `.`)",
            NameError::EmptyLabel => "a label cannot be empty: two dots in a row, or one at the start",
            NameError::LabelTooLong => "a label has at most 63 bytes",
            NameError::TooLong => "a name has at most 255 bytes",
            NameError::Escape => "after a backslash comes a character or three digits up to 255",
            NameError::Wire => "these bytes are not a name",
        })
    }
}

impl std::error::Error for NameError {}
