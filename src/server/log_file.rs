//! Where do lines go? To the end of a file, or to standard error, from a thread that does nothing else.
//!
//! The thread looks for messages a hundred times a second, so that nobody has to wake it. Once a second it looks whether
//! its file was renamed or removed, and begins another one: logrotate needs no signal. A file that takes no more is
//! complained of once, counted, and tried again.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::TryRecvError;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::model::Place;
use crate::model::Problem;
use crate::server::log::LogCounts;

/// Between two looks for messages.
pub const NAP: Duration = Duration::from_millis(10);
/// Looks for messages between two looks at the file's name.
const NAPS_A_LOOK: u32 = 100;
/// Messages between two naps: whoever is flooded looks at its file's name, too.
const MESSAGES_A_NAP: u32 = 2048;
/// Lines are written together up to about this, which saves system calls and is no burden to keep.
const BYTES_A_WRITE: usize = 128 * 1024;

/// A file that lines are appended to.
#[derive(Debug)]
pub struct LogFile {
    /// What people call the log.
    name: &'static str,
    path: Option<PathBuf>,
    output: Output,
    /// Whether the present trouble was told of.
    complained: bool,
}

#[derive(Debug)]
enum Output {
    Stderr,
    /// Not open while it cannot be.
    File(Option<File>),
}

impl LogFile {
    /// Opens it at its end; standard error without a path.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(name: &'static str, path: Option<&Path>) -> Result<Self, Problem> {
        let output = match path {
            None => Output::Stderr,
            Some(path) => Output::File(Some(append(path).map_err(|error| {
                Problem::error("E0406", Place::file(path), format!("cannot write the {name}: {error}"))
                    .help("make its folder, and let the user that rhumb runs as write there")
            })?)),
        };
        Ok(LogFile { name, path: path.map(Path::to_owned), output, complained: false })
    }

    /// Begins a thread that writes what comes until nobody can send any more. `text` appends the lines of a message and
    /// says how many they are.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn write_all<M: Send + 'static>(
        self,
        messages: Receiver<M>,
        counts: Arc<LogCounts>,
        text: impl FnMut(M, &mut Vec<u8>) -> u64 + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let thread = thread::Builder::new().name(self.name.replace(' ', "-"));
        let writer = Writer { file: self, counts, text, lines: Vec::new(), count: 0 };
        thread.spawn(move || writer.run(&messages))
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.output {
            Output::Stderr => io::stderr().lock().write_all(lines),
            Output::File(Some(file)) => file.write_all(lines),
            Output::File(None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Begins a new file when the name no longer leads to the one that is open.
    fn follow_name(&mut self) {
        let (Output::File(open), Some(path)) = (&mut self.output, &self.path) else { return };
        let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let is_open = open.as_ref().and_then(|file| file.metadata().ok()).map(identity);
        if is_open.is_some() && fs::metadata(path).ok().map(identity) == is_open {
            return;
        }
        match append(path) {
            Ok(file) => (*open, self.complained) = (Some(file), false),
            Err(error) => {
                *open = None;
                self.complain(&error);
            }
        }
    }

    /// Once for each trouble.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            let file = self.path.as_deref().map_or("standard error".into(), |path| path.display().to_string());
            tracing::warn!("the {} is not written to {file}: {error} (tried again; see the counters)", self.name);
        }
    }
}

/// Who asked what is nobody else's business: the owner writes, the group reads.
fn append(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o640).open(path)
}

struct Writer<T> {
    file: LogFile,
    counts: Arc<LogCounts>,
    text: T,
    /// What is not written yet, and how many lines that is.
    lines: Vec<u8>,
    count: u64,
}

impl<T> Writer<T> {
    fn run<M>(mut self, messages: &Receiver<M>)
    where
        T: FnMut(M, &mut Vec<u8>) -> u64,
    {
        for nap in 0_u32.. {
            let more = self.take_waiting(messages);
            self.write();
            if !more {
                return;
            }
            thread::sleep(NAP);
            if nap % NAPS_A_LOOK == 0 {
                self.file.follow_name();
            }
        }
    }

    /// Takes what waits; whether more may come.
    fn take_waiting<M>(&mut self, messages: &Receiver<M>) -> bool
    where
        T: FnMut(M, &mut Vec<u8>) -> u64,
    {
        for _ in 0..MESSAGES_A_NAP {
            match messages.try_recv() {
                Ok(message) => self.count += (self.text)(message, &mut self.lines),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
            if self.lines.len() >= BYTES_A_WRITE {
                self.write();
            }
        }
        true
    }

    fn write(&mut self) {
        if self.count == 0 {
            return;
        }
        match self.file.write(&self.lines) {
            Ok(()) => self.counts.written.fetch_add(self.count, Relaxed),
            Err(error) => {
                self.file.complain(&error);
                self.counts.failed.fetch_add(self.count, Relaxed)
            }
        };
        self.lines.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_was_sent_before_the_last_sender_left_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let (counts, (sender, messages)) = (Arc::<LogCounts>::default(), mpsc::sync_channel::<u32>(8));
        let file = LogFile::open("some log", Some(&path)).unwrap();
        let writer = file.write_all(messages, counts.clone(), |number, out| {
            writeln!(out, "{number}").unwrap();
            1
        });
        (1..=8).for_each(|number| sender.send(number).unwrap());
        drop(sender);
        writer.unwrap().join().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n3\n4\n5\n6\n7\n8\n");
        assert_eq!(counts.written.load(Relaxed), 8);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_file_that_takes_nothing_is_counted() {
        if !Path::new("/dev/full").exists() {
            return eprintln!("SKIPPED: no /dev/full");
        }
        let (counts, (sender, messages)) = (Arc::<LogCounts>::default(), mpsc::sync_channel::<()>(8));
        let file = LogFile::open("some log", Some(Path::new("/dev/full"))).unwrap();
        let writer = file.write_all(messages, counts.clone(), |(), out| {
            out.push(b'\n');
            1
        });
        (0..3).for_each(|_| sender.send(()).unwrap());
        drop(sender);
        writer.unwrap().join().unwrap();
        assert_eq!((counts.written.load(Relaxed), counts.failed.load(Relaxed)), (0, 3));
    }
}
