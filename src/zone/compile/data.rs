//! Names inside record data: where they stand, which may be compressed, which ask for addresses beside them.

use crate::dns::code::rtype;

/// What a type's data begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes before the first name.
    pub skip: usize,
    /// Names in a row after them.
    pub names: usize,
    /// Whether they may be compressed: only the types of RFC 1035 (RFC 3597 section 4).
    pub compressed: bool,
    /// Whether the addresses of the (one) name belong in the additional section.
    pub addressed: bool,
}

/// The shape of a type that has names we do something with.
pub(super) fn shape(of: u16) -> Option<Shape> {
    let plain = Shape { skip: 0, names: 1, compressed: true, addressed: false };
    match of {
        rtype::NS => Some(Shape { addressed: true, ..plain }),
        rtype::CNAME | rtype::PTR => Some(plain),
        rtype::SOA => Some(Shape { names: 2, ..plain }),
        rtype::MX => Some(Shape { skip: 2, addressed: true, ..plain }),
        rtype::SRV => Some(Shape { skip: 6, compressed: false, addressed: true, ..plain }),
        rtype::SVCB | rtype::HTTPS => Some(Shape { skip: 2, compressed: false, addressed: true, ..plain }),
        _ => None,
    }
}

/// The length of the name at the start of `wire`; none when there is no whole one.
pub(super) fn name_bytes(wire: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *wire.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

/// A name's wire form, then its parent's, up to the root's.
pub(super) fn suffixes(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let this = rest?;
        rest = match usize::from(*this.first()?) {
            0 => None,
            length => this.get(1 + length..),
        };
        Some(this)
    })
}

/// Whether a name in any case is `apex` (lower case) or lies below it.
pub(super) fn within(name: &[u8], apex: &[u8]) -> bool {
    own_bytes(name, apex).is_some()
}

/// How many bytes of a name stand before the apex; none when it is not in the zone.
pub(super) fn own_bytes(name: &[u8], apex: &[u8]) -> Option<usize> {
    let own = name.len().checked_sub(apex.len())?;
    if !name[own..].eq_ignore_ascii_case(apex) {
        return None;
    }
    // The bytes could be equal without a label's beginning there.
    suffixes(name).map_while(|s| (s.len() >= apex.len()).then_some(s.len())).any(|l| l == apex.len()).then_some(own)
}
