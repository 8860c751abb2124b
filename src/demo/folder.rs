//! The folder with the demo's files: configuration, zone and database. It goes away with the demo unless somebody wants it.

use std::path::Path;
use std::path::PathBuf;

/// The zone the demo serves, shared with the examples.
const ZONE: &str = include_str!("../../zones/example.com.zone");
/// The country database that ships with rhumb.
static COUNTRY_DATABASE: &[u8] = include_bytes!("../../geo/country.mmdb");

/// The files that are written.
const FILES: [&str; 3] = ["rhumb.toml", "zones/example.com.zone", "country.mmdb"];
/// The folders that are made for them and for the server.
const FOLDERS: [&str; 2] = ["zones", "state"];

/// A folder; dropped, it leaves what it is meant to leave.
pub struct Folder {
    path: PathBuf,
    is_temporary: bool,
    /// What this demo added to somebody's folder: taken away again unless the server comes up, so that a port that is
    /// taken leaves nothing behind.
    unwanted: Vec<PathBuf>,
}

impl Folder {
    /// The one that somebody named, or a temporary one.
    ///
    /// # Errors
    /// That it could not be made, and why.
    pub fn make(wanted: Option<&Path>) -> Result<Self, String> {
        let temporary = || std::env::temp_dir().join(format!("rhumb-demo-{}", std::process::id()));
        let path = wanted.map_or_else(temporary, Path::to_owned);
        // Those inside come before what they are in.
        let inside = FILES.iter().chain(&FOLDERS).map(|name| path.join(name));
        let unwanted = inside.chain([path.clone()]).filter(|path| !path.exists()).collect();
        let folder = Folder { is_temporary: wanted.is_none(), unwanted, path };
        std::fs::create_dir_all(&folder.path).map_err(|e| format!("cannot make {}: {e}", folder.path.display()))?;
        Ok(folder)
    }

    /// Writes this configuration, and what it names.
    ///
    /// # Errors
    /// The file that could not be written, and why.
    pub fn write(&self, configuration: &str) -> Result<(), String> {
        for inside in FOLDERS {
            let path = self.path.join(inside);
            std::fs::create_dir_all(&path).map_err(|e| format!("cannot make {}: {e}", path.display()))?;
        }
        let texts = [configuration.as_bytes(), ZONE.as_bytes(), COUNTRY_DATABASE];
        FILES.iter().zip(texts).try_for_each(|(name, bytes)| {
            let path = self.path.join(name);
            std::fs::write(&path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
        })
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.path.join(FILES[0])
    }

    /// The socket that the configuration names.
    pub fn socket(&self) -> PathBuf {
        self.path.join("admin.sock")
    }

    /// Leaves what was written, where somebody asked for it.
    pub fn keep(&mut self) {
        self.unwanted.clear();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
        for path in &self.unwanted {
            // A folder that holds something else stays.
            let _ = if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
        }
    }
}
