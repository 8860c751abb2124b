//! Reading master files (RFC 1035 section 5, RFC 3597).
//!
//! Text to a [`ZoneFile`]: every record in wire form with its line. Nothing here answers queries; `tree` compiles.

use std::path::{Path, PathBuf};

use crate::dns::name::Name;
use crate::model::Problem;

/// The records of one zone as its master file has them, in wire form, in one arena.
#[derive(Debug, Clone)]
pub struct ZoneFile {
    /// The file as the operator named it.
    pub path: PathBuf,
    /// The apex: the owner of the SOA record.
    pub apex: Name,
    arena: Vec<u8>,
    records: Vec<Entry>,
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    owner: u32,
    rdata: u32,
    ttl: u32,
    line: u32,
    rdata_bytes: u16,
    rtype: u16,
    file: u16,
    owner_bytes: u8,
}

/// One record, borrowed from its [`ZoneFile`]. Class IN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The owner in wire form, lower case, ending in the root.
    pub owner: &'a [u8],
    /// The type's number.
    pub rtype: u16,
    /// Seconds.
    pub ttl: u32,
    /// The data in wire form, names uncompressed and in the case they were written.
    pub rdata: &'a [u8],
    /// The file it stands in (`$INCLUDE` makes it differ from the zone's).
    pub file: &'a Path,
    /// The line it begins on, from 1.
    pub line: u32,
}

impl ZoneFile {
    /// Reads the master file `path`, and those it includes, as the zone `apex` (the owner of its SOA when none).
    ///
    /// # Errors
    /// All problems of the file at once.
    pub fn read(path: &Path, apex: Option<&Name>) -> Result<ZoneFile, Vec<Problem>> {
        let _ = (path, apex);
        todo!()
    }

    /// The records in the order they were written.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.records.len()).map(|index| self.record(index))
    }

    /// The record at `index` in that order.
    pub fn record(&self, index: usize) -> Record<'_> {
        let e = &self.records[index];
        Record {
            owner: &self.arena[e.owner as usize..][..e.owner_bytes as usize],
            rtype: e.rtype,
            ttl: e.ttl,
            rdata: &self.arena[e.rdata as usize..][..e.rdata_bytes as usize],
            file: &self.files[e.file as usize],
            line: e.line,
        }
    }

    /// The serial of its SOA.
    pub fn serial(&self) -> u32 {
        todo!()
    }
}
