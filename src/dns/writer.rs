//! The response writer: records into a buffer that was lent, never past its limit.
//!
//! Record sets come prepared (see [`Prepared`]): their bytes are final but for pointers to two names, the owner and the
//! zone's apex, both of which stand in the question or in an earlier record. So names are compressed without a search:
//! a name in the zone is its own labels and a pointer to the apex. Sections are written in order; a set that does not fit
//! leaves no trace.

use std::net::IpAddr;

use crate::dns::code::class;
use crate::dns::code::rtype;

/// Pointers reach no further than this (14 bits).
pub const POINTER_MAX: usize = 0x3fff;
/// Owner pointer, type, class, TTL, data length.
pub const RECORD_BYTES: usize = 12;

/// There was no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The sections after the question; the numbers are their places in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What was asked for.
    Answer = 0,
    /// Who knows more, or that there is nothing.
    Authority = 1,
    /// What the client would ask next.
    Additional = 2,
}

/// A record set in wire form, compiled: each record is a two-byte owner pointer to the question's name, then type, class,
/// TTL, length and data.
#[derive(Debug, Clone, Copy)]
pub struct Prepared<'a> {
    /// The records.
    pub data: &'a [u8],
    /// How many.
    pub count: u16,
    /// Places in `data` (little-endian u16 each) where a pointer to the apex goes.
    pub apex_at: &'a [u8],
}

/// Writes one response.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut [u8],
    start: usize,
    at: usize,
    limit: usize,
    counts: [u16; 3],
}

impl<'o> Writer<'o> {
    /// A writer that starts after the `at` bytes that are written already, and keeps the message within `limit`.
    pub fn new(out: &'o mut [u8], at: usize, limit: usize) -> Self {
        let limit = limit.min(out.len());
        let start = at.min(limit);
        Writer { start, at: start, limit, out, counts: [0; 3] }
    }

    /// The message's length so far.
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many records each section has.
    pub fn counts(&self) -> [u16; 3] {
        self.counts
    }

    /// How many bytes there is room for.
    pub fn room(&self) -> usize {
        self.limit - self.at
    }

    /// Takes every record back.
    pub fn clear(&mut self) {
        (self.at, self.counts) = (self.start, [0; 3]);
    }

    /// The whole buffer, for what is written around the records.
    pub fn buffer(&mut self) -> &mut [u8] {
        self.out
    }

    /// Appends a prepared set whose owner stands at `owner` and whose zone's apex stands at `apex`; gives its place.
    ///
    /// # Errors
    /// [`Full`]: nothing was written.
    #[inline]
    pub fn prepared(&mut self, section: Section, set: Prepared<'_>, owner: usize, apex: usize) -> Result<usize, Full> {
        let start = self.at;
        let end = start + set.data.len();
        if end > self.limit || owner > POINTER_MAX || apex > POINTER_MAX {
            return Err(Full);
        }
        let out = &mut self.out[start..end];
        out.copy_from_slice(set.data);
        for place in set.apex_at.chunks_exact(2) {
            let place = usize::from(u16::from_le_bytes([place[0], place[1]]));
            out[place..place + 2].copy_from_slice(&pointer(apex));
        }
        if owner != crate::dns::query::HEADER_BYTES {
            set_owners(out, owner);
        }
        self.at = end;
        self.counts[section as usize] += set.count;
        Ok(start)
    }

    /// Appends a prepared set whose owner stands nowhere yet: its first record spells out the labels `own` before a pointer
    /// to the apex, the others point there. Gives the owner's place.
    ///
    /// # Errors
    /// [`Full`]: nothing was written.
    pub fn spelled(&mut self, section: Section, set: Prepared<'_>, own: &[u8], apex: usize) -> Result<usize, Full> {
        let owner = self.at;
        if own.len() + set.data.len() > self.room() || owner > POINTER_MAX {
            return Err(Full);
        }
        self.out[owner..owner + own.len()].copy_from_slice(own);
        self.at += own.len();
        let start = self.prepared(section, set, owner, apex).inspect_err(|_| self.at = owner)?;
        self.out[start..start + 2].copy_from_slice(&pointer(apex));
        Ok(owner)
    }

    /// Appends one record with its data in parts; gives the place of its data.
    ///
    /// # Errors
    /// [`Full`]: nothing was written.
    #[inline]
    pub fn record(
        &mut self,
        section: Section,
        owner: usize,
        rtype: u16,
        rclass: u16,
        ttl: u32,
        data: &[&[u8]],
    ) -> Result<usize, Full> {
        let length: usize = data.iter().map(|part| part.len()).sum();
        let start = self.at;
        if start + RECORD_BYTES + length > self.limit || owner > POINTER_MAX {
            return Err(Full);
        }
        let head = &mut self.out[start..start + RECORD_BYTES];
        head[0..2].copy_from_slice(&pointer(owner));
        head[2..4].copy_from_slice(&rtype.to_be_bytes());
        head[4..6].copy_from_slice(&rclass.to_be_bytes());
        head[6..10].copy_from_slice(&ttl.to_be_bytes());
        head[10..12].copy_from_slice(&(length as u16).to_be_bytes());
        let mut at = start + RECORD_BYTES;
        for part in data {
            self.out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.at = at;
        self.counts[section as usize] += 1;
        Ok(start + RECORD_BYTES)
    }

    /// Appends A or AAAA records to the answer, as one set.
    ///
    /// # Errors
    /// [`Full`]: nothing was written.
    #[inline]
    pub fn addresses(&mut self, owner: usize, ttl: u32, addresses: impl Iterator<Item = IpAddr>) -> Result<(), Full> {
        let before = (self.at, self.counts);
        for address in addresses {
            let written = match address {
                IpAddr::V4(v4) => self.record(Section::Answer, owner, rtype::A, class::IN, ttl, &[&v4.octets()]),
                IpAddr::V6(v6) => self.record(Section::Answer, owner, rtype::AAAA, class::IN, ttl, &[&v6.octets()]),
            };
            if written.is_err() {
                (self.at, self.counts) = before;
                return Err(Full);
            }
        }
        Ok(())
    }
}

/// A compression pointer.
fn pointer(place: usize) -> [u8; 2] {
    (0xc000 | place as u16).to_be_bytes()
}

/// Points the owner of every record in `records` at `owner`.
fn set_owners(records: &mut [u8], owner: usize) {
    let mut at = 0;
    while let Some(record) = records.get_mut(at..).filter(|r| r.len() >= RECORD_BYTES) {
        record[..2].copy_from_slice(&pointer(owner));
        at += RECORD_BYTES + usize::from(u16::from_be_bytes([record[10], record[11]]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_patched_for_where_it_stands() {
        // Two NS records: `a` and `b` below the apex.
        let data = b"\xc0\x0c\0\x02\0\x01\0\0\0\x3c\0\x04\x01a\0\0\xc0\x0c\0\x02\0\x01\0\0\0\x3c\0\x04\x01b\0\0";
        let apex_at = [14, 0, 30, 0];
        let mut out = [0; 100];
        let mut writer = Writer::new(&mut out, 20, 100);
        let set = Prepared { data, count: 2, apex_at: &apex_at };
        assert_eq!(writer.prepared(Section::Authority, set, 16, 18), Ok(20));
        assert_eq!((writer.at(), writer.counts()), (52, [0, 2, 0]));
        assert_eq!(out[20..36], *b"\xc0\x10\0\x02\0\x01\0\0\0\x3c\0\x04\x01a\xc0\x12");
        assert_eq!(out[36..52], *b"\xc0\x10\0\x02\0\x01\0\0\0\x3c\0\x04\x01b\xc0\x12");
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace() {
        let mut out = [0xff; 60];
        let mut writer = Writer::new(&mut out, 20, 50);
        let addresses = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        assert_eq!(writer.addresses(12, 60, addresses.into_iter()), Err(Full));
        assert_eq!((writer.at(), writer.counts()), (20, [0, 0, 0]));
        assert_eq!(writer.addresses(12, 60, addresses.into_iter().take(1)), Ok(()));
        assert_eq!((writer.at(), writer.counts()), (36, [1, 0, 0]));
        assert_eq!(out[36], 0xff);
    }
}
