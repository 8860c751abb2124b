//! The file system as the configuration reads it.
//!
//! Reasons are said in an operator's words; what a file means is not looked at here.

use std::fs;
use std::io;
use std::io::Read;
use std::path::Path;

use crate::config::Files;
use crate::config::Seen;
use crate::config::source::BYTES_MAX;

/// The real file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct ConfigFiles;

impl Files for ConfigFiles {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        // One byte more than is allowed, so that what is too large is seen to be; a device may have no end.
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(|error| reason(&error))?;
        file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
        Ok(bytes)
    }

    fn list(&mut self, directory: &Path) -> Result<Vec<String>, String> {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let entries =
            fs::read_dir(directory).map_err(|error| format!("{}: {}", directory.display(), reason(&error)))?;
        // Names that are not UTF-8 match no pattern that a TOML file can hold.
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn look(&mut self, path: &Path) -> Seen {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Seen::Directory,
            Ok(_) => Seen::File,
            Err(_) => Seen::Nothing,
        }
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => crate::model::plain_words(error),
    }
}
