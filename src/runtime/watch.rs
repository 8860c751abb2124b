//! When do the files we serve from change?
//!
//! The kernel's notices (through `notify`) only wake us; what counts is whether the stamp of an input (size, times,
//! inode, through symbolic links) differs from the one it had when it was last read. So an editor that renames a new
//! file into place, Kubernetes that swaps a `..data` link above it, and a copy that keeps the old name are all seen
//! alike, and a notice about nothing reloads nothing. A slow look catches what file systems without notices change.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use notify::RecursiveMode;
use notify::Watcher;
use tokio::sync::mpsc;
use tokio::time;

/// A burst of changes is one change once it has been quiet this long.
const QUIET: Duration = Duration::from_millis(150);
/// A burst that never ends is looked at after this long all the same.
const BURST_MAX: Duration = Duration::from_secs(2);
/// How often we look without a notice.
const SLOW_LOOK: Duration = Duration::from_secs(5);

/// What tells one version of a file or folder from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: (u64, u64),
}

/// The stamps of all inputs at one moment; a file that is not there has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

impl Stamps {
    /// Looks at every path: files, and the folders whose entries are inputs.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Stamps(paths.into_iter().map(|p| (p.to_owned(), stamp(p))).collect())
    }

    /// These and those of `other`; where both know a path, these hold.
    pub fn and(mut self, other: Stamps) -> Self {
        for (path, stamp) in other.0 {
            self.0.entry(path).or_insert(stamp);
        }
        self
    }

    /// Whether `path` was the same when both were taken.
    pub fn agrees(&self, other: &Stamps, path: &Path) -> bool {
        self.0.get(path).is_some_and(|stamp| stamp.is_some() && other.0.get(path) == Some(stamp))
    }

    /// The first path that has another stamp in `other`, in the order of their names.
    pub fn first_difference(&self, other: &Stamps) -> Option<&Path> {
        self.0.iter().find(|(path, stamp)| other.0.get(*path) != Some(stamp)).map(|(path, _)| path.as_path())
    }

    /// Looks at the same paths again.
    pub fn again(&self) -> Self {
        Stamps::of(self.0.keys().map(PathBuf::as_path))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp {
        // A folder's size says nothing and may differ between looks on some file systems.
        bytes: if meta.is_dir() { 0 } else { meta.len() },
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: if meta.is_dir() { (0, 0) } else { (meta.ctime(), meta.ctime_nsec()) },
        inode: (meta.dev(), meta.ino()),
    })
}

/// Wakes up when an input differs from what it was.
pub struct Watch {
    notices: mpsc::Receiver<()>,
    watcher: Option<notify::RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Begins to watch nothing; [`Watch::follow`] says what.
    pub fn new() -> Self {
        let (send, notices) = mpsc::channel(1);
        let heard = move |_: notify::Result<notify::Event>| {
            // A full channel already holds the one notice that is needed.
            let _ = send.try_send(());
        };
        let watcher = notify::recommended_watcher(heard)
            .inspect_err(
                |error| tracing::warn!(%error, "no notices of changed files; looking every {SLOW_LOOK:?} instead"),
            )
            .ok();
        Watch { notices, watcher, folders: BTreeSet::new() }
    }

    /// Asks for notices about the folders of these inputs, and no others.
    fn follow(&mut self, stamps: &Stamps) {
        let wanted: BTreeSet<PathBuf> = stamps.0.keys().flat_map(|p| folders_of(p)).collect();
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(&wanted) {
            let _ = watcher.unwatch(gone);
        }
        self.folders = wanted
            .into_iter()
            .filter(|folder| {
                self.folders.contains(folder) || watcher.watch(folder, RecursiveMode::NonRecursive).is_ok()
            })
            .collect();
    }

    /// Waits until some input differs from `stamps`, and says which: the first of them.
    pub async fn changed(&mut self, stamps: &Stamps) -> PathBuf {
        self.follow(stamps);
        loop {
            if stamps.again() != *stamps {
                self.settle().await;
                if let Some(path) = stamps.first_difference(&stamps.again()) {
                    return path.to_owned();
                }
            }
            if time::timeout(SLOW_LOOK, self.notice()).await.is_ok() {
                // A log that is written beside the configuration gives a notice with every line.
                time::sleep(QUIET).await;
            }
        }
    }

    /// The next notice; never, when there is nobody to give one: the channel is closed then, and gives at once.
    async fn notice(&mut self) {
        if self.notices.recv().await.is_none() {
            std::future::pending().await
        }
    }

    /// Waits for the end of a burst of notices.
    async fn settle(&mut self) {
        let quiet = async { while let Ok(Some(())) = time::timeout(QUIET, self.notices.recv()).await {} };
        let _ = time::timeout(BURST_MAX, quiet).await;
    }
}

impl Default for Watch {
    fn default() -> Self {
        Watch::new()
    }
}

/// Where changes of a path show: the folder it is in, itself if it is one, and the same of what it links to.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for path in [Some(path.to_owned()), fs::canonicalize(path).ok()].into_iter().flatten() {
        if path.is_dir() {
            folders.push(path.clone());
        }
        let parent = path.parent().unwrap_or(Path::new("."));
        folders.push(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() });
        // The folder above that one too: Kubernetes swaps a link there.
        if let Some(above) = parent.parent().filter(|p| !p.as_os_str().is_empty()) {
            folders.push(above.to_owned());
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_seen(watch: &mut Watch, stamps: &Stamps) -> bool {
        time::timeout(Duration::from_secs(20), watch.changed(stamps)).await.is_ok()
    }

    #[tokio::test]
    async fn a_rename_into_place_a_new_file_and_a_swapped_link_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rhumb.toml");
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::new();

        let stamps = Stamps::of([file.as_path(), dir.path()]);
        let beside = dir.path().join("rhumb.toml.new");
        fs::write(&beside, "two").unwrap();
        fs::rename(&beside, &file).unwrap();
        assert!(is_seen(&mut watch, &stamps).await, "an editor renamed a new file into place");

        let stamps = stamps.again();
        fs::write(dir.path().join("new.zone"), "x").unwrap();
        assert!(is_seen(&mut watch, &stamps).await, "a file was added to a folder of inputs");

        // As Kubernetes lays out a ConfigMap: file -> ..data/file, ..data -> ..1
        for (version, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(dir.path().join(version)).unwrap();
            fs::write(dir.path().join(version).join("map.toml"), text).unwrap();
        }
        let link = dir.path().join("..data");
        std::os::unix::fs::symlink("..1", &link).unwrap();
        let mapped = dir.path().join("map.toml");
        std::os::unix::fs::symlink("..data/map.toml", &mapped).unwrap();
        let stamps = Stamps::of([mapped.as_path()]);
        let swap = dir.path().join("..data_tmp");
        std::os::unix::fs::symlink("..2", &swap).unwrap();
        fs::rename(&swap, &link).unwrap();
        assert!(is_seen(&mut watch, &stamps).await, "a link above the file was swapped");
    }

    #[tokio::test]
    async fn without_notices_we_look_now_and_then_and_do_not_spin() {
        // As when fs.inotify.max_user_instances is used up: the watcher and its sender were dropped.
        let (_, notices) = mpsc::channel(1);
        let mut watch = Watch { notices, watcher: None, folders: BTreeSet::new() };
        assert!(time::timeout(QUIET, watch.notice()).await.is_err(), "a closed channel is no notice");
    }

    #[tokio::test]
    async fn a_notice_about_nothing_is_not_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rhumb.toml");
        fs::write(&file, "one").unwrap();
        let stamps = Stamps::of([file.as_path()]);
        let mut watch = Watch::new();
        fs::write(dir.path().join("unrelated"), "x").unwrap();
        assert!(time::timeout(QUIET * 3, watch.changed(&stamps)).await.is_err());
    }
}
