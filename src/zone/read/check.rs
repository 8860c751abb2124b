//! Do these bytes fit a type's fields?
//!
//! Data written as RFC 3597 says is only bytes; whoever follows a name in it later relies on their form.

use crate::dns::name::Name;
use crate::zone::read::types::Field;

/// Whether `wire` is data of these fields, names uncompressed, and nothing follows it.
pub(super) fn fits(fields: &[Field], wire: &[u8]) -> bool {
    let mut rest = wire;
    fields.iter().all(|field| step(*field, &mut rest).is_some()) && rest.is_empty()
}

fn step(field: Field, rest: &mut &[u8]) -> Option<()> {
    match field {
        Field::Name => name(rest),
        Field::U8 | Field::Algorithm => take(rest, 1),
        Field::U16 | Field::Type | Field::Certificate => take(rest, 2),
        Field::U32 | Field::Period | Field::Moment | Field::Ip4 => take(rest, 4),
        Field::Ip6 => take(rest, 16),
        Field::Eui48 => take(rest, 6),
        Field::Eui64 | Field::Locator => take(rest, 8),
        Field::Location => Some(()).filter(|()| rest.first() == Some(&0)).and_then(|()| take(rest, 16)),
        Field::Text | Field::Salt => counted(rest, 0),
        Field::Tag | Field::Hash => counted(rest, 1),
        Field::TextOptional => {
            if rest.is_empty() {
                Some(())
            } else {
                counted(rest, 0)
            }
        }
        Field::Texts => repeat(rest, 1, |rest| counted(rest, 0)),
        Field::Hex | Field::Base64 | Field::Nsap => take(rest, rest.len().max(1)),
        Field::TextBare => take(rest, rest.len()),
        Field::Types => types(rest),
        Field::Names => repeat(rest, 0, name),
        Field::Prefixes => repeat(rest, 0, prefix),
        Field::IpsecGateway => gateway(rest, 1, 3, 0xFF),
        Field::Relay => gateway(rest, 1, 2, 0x7F),
        Field::HostIdentity => host_identity(rest),
        Field::Parameters => parameters(rest),
    }
}

fn take(rest: &mut &[u8], bytes: usize) -> Option<()> {
    *rest = rest.get(bytes..)?;
    Some(())
}

fn counted(rest: &mut &[u8], least: u8) -> Option<()> {
    let length = *rest.first().filter(|l| **l >= least)?;
    take(rest, 1 + length as usize)
}

fn name(rest: &mut &[u8]) -> Option<()> {
    let mut end = 0;
    loop {
        let length = *rest.get(end)? as usize;
        end += 1 + length;
        if length == 0 || end > rest.len() {
            break;
        }
    }
    Name::from_wire(rest.get(..end)?).ok()?;
    take(rest, end)
}

fn repeat(rest: &mut &[u8], least: usize, one: impl Fn(&mut &[u8]) -> Option<()>) -> Option<()> {
    let mut count = 0;
    while !rest.is_empty() {
        one(rest)?;
        count += 1;
    }
    (count >= least).then_some(())
}

fn types(rest: &mut &[u8]) -> Option<()> {
    let mut last: Option<u8> = None;
    while let [window, length, ..] = **rest {
        if last.is_some_and(|l| l >= window) || !(1..=32).contains(&length) {
            return None;
        }
        last = Some(window);
        take(rest, 2 + length as usize)?;
    }
    Some(())
}

fn prefix(rest: &mut &[u8]) -> Option<()> {
    let length = (*rest.get(3)? & 0x7F) as usize;
    take(rest, 4 + length)
}

/// A gateway whose type is in byte `kind_at` (under `mask`) of a head of `head` bytes.
fn gateway(rest: &mut &[u8], kind_at: usize, head: usize, mask: u8) -> Option<()> {
    let kind = *rest.get(kind_at)? & mask;
    take(rest, head)?;
    match kind {
        0 => Some(()),
        1 => take(rest, 4),
        2 => take(rest, 16),
        3 => name(rest),
        _ => None,
    }
}

fn host_identity(rest: &mut &[u8]) -> Option<()> {
    let [identity, _, high, low, ..] = **rest else { return None };
    take(rest, 4 + identity as usize + u16::from_be_bytes([high, low]) as usize)
}

/// Keys strictly ascend (RFC 9460 section 2.2).
fn parameters(rest: &mut &[u8]) -> Option<()> {
    let mut last: Option<u16> = None;
    while let [k0, k1, l0, l1, ..] = **rest {
        let key = u16::from_be_bytes([k0, k1]);
        if last.is_some_and(|l| l >= key) {
            return None;
        }
        last = Some(key);
        take(rest, 4 + u16::from_be_bytes([l0, l1]) as usize)?;
    }
    Some(())
}
