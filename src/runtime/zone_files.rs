//! Master files from disk.

use std::fs;
use std::path::Path;

use crate::dns::name::Name;
use crate::model::{Place, Problem, plain_words};
use crate::zone::read::ZoneFile;

/// Reads the master file `path`, and those it includes, as the zone `apex` (the owner of its SOA when none).
///
/// # Errors
/// All problems of the files at once.
pub fn read_zone(path: &Path, apex: Option<&Name>) -> Result<ZoneFile, Vec<Problem>> {
    let text = fs::read(path)
        .map_err(|e| format!("cannot read the zone file: {}", plain_words(&e)))
        .map_err(|fact| vec![Problem::error("E0200", Place::file(path), fact)])?;
    ZoneFile::parse(&text, path, apex, &mut |path| fs::read(path))
}
