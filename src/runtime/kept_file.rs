//! A file in `state_dir`: written whole beside itself, synced and renamed, so that a crash leaves the old one or the new
//! one; a file that cannot be read is set aside under another name, never overwritten. What is in it is its user's affair.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::model::Moment;

/// Larger files are not ours: thirty thousand standings or ten thousand orders have a few megabytes.
const BYTES_MAX: u64 = 64 << 20;
/// So many files set aside in one second are enough to look at.
const ASIDE_MAX: u32 = 100;

/// The file and where it stands.
#[derive(Debug, Clone)]
pub struct KeptFile {
    dir: PathBuf,
    path: PathBuf,
}

impl KeptFile {
    /// The file of that name in `dir`; nothing is touched.
    pub fn new(dir: &Path, name: &str) -> Self {
        KeptFile { dir: dir.to_owned(), path: dir.join(name) }
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it; nothing when there is no such file.
    ///
    /// # Errors
    /// The file system's, when it is not UTF-8, or when it is far too large.
    pub fn read(&self) -> io::Result<Option<String>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
        match text.len() as u64 > BYTES_MAX {
            true => Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {BYTES_MAX} bytes"))),
            false => Ok(Some(text)),
        }
    }

    /// Replaces what is in it; returns when it is on disk. The directory is made when it is not there.
    ///
    /// # Errors
    /// The file system's; the former file is then still there.
    pub fn write(&self, text: &str) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let beside = self.beside("new");
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        File::open(&self.dir)?.sync_all()
    }

    /// Renames it to `NAME.bad-<seconds>`; the new name.
    ///
    /// # Errors
    /// The file system's; it is then where it was.
    pub fn set_aside(&self, now: Moment) -> io::Result<PathBuf> {
        let aside = self.free_name(now)?;
        fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    /// Keeps a copy of it as `NAME.bad-<seconds>`; the name of the copy.
    ///
    /// # Errors
    /// The file system's.
    pub fn copy_aside(&self, now: Moment) -> io::Result<PathBuf> {
        let aside = self.free_name(now)?;
        fs::copy(&self.path, &aside)?;
        File::open(&aside)?.sync_all()?;
        Ok(aside)
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(extension);
        self.dir.join(name)
    }

    fn free_name(&self, now: Moment) -> io::Result<PathBuf> {
        let first = format!("bad-{}", now.secs());
        let names = std::iter::once(first.clone()).chain((2..=ASIDE_MAX).map(|count| format!("{first}-{count}")));
        let mut paths = names.map(|name| self.beside(&name));
        // A broken link of that name is there, too.
        let free = paths.find(|path| fs::symlink_metadata(path).is_err());
        free.ok_or_else(|| io::Error::new(ErrorKind::AlreadyExists, "too many files are set aside already"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeptFile::new(&dir.path().join("made/when/missing"), "orders.json");
        assert_eq!(file.read().unwrap(), None);
        file.write("one").unwrap();
        file.write("two").unwrap();
        assert_eq!(file.read().unwrap().as_deref(), Some("two"));
        assert_eq!(fs::read_dir(dir.path().join("made/when/missing")).unwrap().count(), 1);
    }

    #[test]
    fn nothing_that_was_set_aside_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeptFile::new(dir.path(), "orders.json");
        let mut names = Vec::new();
        for text in ["one", "two", "three"] {
            file.write(text).unwrap();
            let aside = file.set_aside(Moment::from_secs(7)).unwrap();
            names.push((aside.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(aside).unwrap()));
        }
        let expected = [("orders.json.bad-7", "one"), ("orders.json.bad-7-2", "two"), ("orders.json.bad-7-3", "three")];
        assert_eq!(names, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        file.write("four").unwrap();
        assert!(file.copy_aside(Moment::from_secs(7)).unwrap().ends_with("orders.json.bad-7-4"));
        assert_eq!(file.read().unwrap().as_deref(), Some("four"));
    }
}
