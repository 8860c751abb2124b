//! Reading master files (RFC 1035 section 5, RFC 2308 section 4, RFC 3597 section 5).
//!
//! Text to a [`ZoneFile`]: every record in wire form with its line, or every problem with its place. The text is cut
//! into entries here rather than by a crate's reader, which would stop at the first mistake and tell no column; entries
//! that are all right in a file with mistakes are checked, too. Nothing here answers queries or reads files: `tree`
//! compiles, `runtime::zone_files` reads.

mod check;
mod data;
mod directive;
mod generate;
mod head;
mod odd;
mod reader;
mod scan;
mod text;
mod types;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use crate::dns::name::Name;
use crate::model::Problem;

/// The mnemonic of a type: `A`, or `TYPE65280` when it has none.
pub fn type_mnemonic(code: u16) -> String {
    types::mnemonic(code)
}

/// The number of a type from its mnemonic in any case, or from `TYPE65280`.
pub fn type_code(mnemonic: &str) -> Option<u16> {
    types::code(mnemonic.as_bytes())
}

/// The records of one zone as its master file has them, in wire form, in one arena.
#[derive(Debug, Clone)]
pub struct ZoneFile {
    /// The file as the operator named it.
    pub path: PathBuf,
    /// The apex: the owner of the SOA record.
    pub apex: Name,
    /// What works but was probably not meant.
    pub warnings: Vec<Problem>,
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
    /// Reads the text of the master file `path` as the zone `apex`.
    ///
    /// Without an apex it is the owner of the SOA record, and the origin at the start is the file's name without
    /// `.zone`. `load` is asked for the files that are included; relative paths are taken from the including file.
    ///
    /// # Errors
    /// All problems of the text at once, warnings among them.
    pub fn parse(
        text: &[u8],
        path: &Path,
        apex: Option<&Name>,
        load: &mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<ZoneFile, Vec<Problem>> {
        reader::read(text, path, apex, load)
    }

    /// The files it was read from: the master file and those it includes.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
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
        let soa = self.records().find(|r| r.rtype == types::SOA).expect("a zone without an SOA is refused");
        // Serial, refresh, retry, expire and minimum are the last five fields of four bytes.
        let serial = soa.rdata.len().checked_sub(20).and_then(|at| soa.rdata[at..].first_chunk());
        u32::from_be_bytes(*serial.expect("the data of an SOA is checked"))
    }
}
