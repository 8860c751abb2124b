//! A Unix socket that only its owner may knock at, and that a successor's takes the place of without a gap.
//!
//! It is made under a name of its own, guarded, and then renamed to where it belongs: nobody finds it unguarded, and
//! whoever connects while one process takes over from another finds the one or the other. The file goes away with the
//! socket, unless another has taken its place: who leaves must not shut the door of who came.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;

use socket2::Domain;
use socket2::SockAddr;
use socket2::Socket;
use socket2::Type;

/// Read and write for the owner, nothing for anyone else.
const OWNER_ONLY: u32 = 0o600;
/// Callers that wait to be let in.
const BACKLOG: i32 = 128;

/// A listening Unix socket and its file.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    /// Where its file is now.
    at: PathBuf,
    file: (u64, u64),
    listener: UnixListener,
}

impl Door {
    /// Makes one that nobody finds before [`Door::put_in_place`]; its folder too.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn prepare(path: &Path) -> Result<Self, String> {
        let cannot = |what: &str, error: &io::Error| format!("cannot {what} {}: {error}", path.display());
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|e| cannot("make the folder of the socket", &e))?;
        }
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let at = PathBuf::from(name);
        // Left by a process of the same number that was killed.
        let _ = fs::remove_file(&at);
        let socket = bound(&at).map_err(|e| cannot("listen on the socket", &e))?;
        match guarded(&socket, &at) {
            Ok(file) => Ok(Door { path: path.to_owned(), at, file, listener: OwnedFd::from(socket).into() }),
            Err(error) => {
                let _ = fs::remove_file(&at);
                Err(cannot("guard the socket", &error))
            }
        }
    }

    /// Takes the place of whatever socket is there.
    ///
    /// # Errors
    /// A sentence with the path; also when something else than a socket is there.
    pub fn put_in_place(&mut self) -> Result<(), String> {
        is_free_or_a_socket(&self.path)?;
        fs::rename(&self.at, &self.path)
            .map_err(|error| format!("cannot put the socket at {}: {error}", self.path.display()))?;
        self.at = self.path.clone();
        Ok(())
    }

    /// The socket.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.at).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.file);
        if ours {
            let _ = fs::remove_file(&self.at);
        }
    }
}

fn bound(at: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(at)?)?;
    Ok(socket)
}

/// Nobody can connect before it listens, and by then the file is its owner's alone: whatever the umask, and although the
/// name can be guessed. Which file it is.
fn guarded(socket: &Socket, at: &Path) -> io::Result<(u64, u64)> {
    fs::set_permissions(at, fs::Permissions::from_mode(OWNER_ONLY))?;
    let meta = fs::symlink_metadata(at)?;
    socket.listen(BACKLOG)?;
    Ok((meta.dev(), meta.ino()))
}

/// Whether a socket may be put there: nothing is, or a socket.
///
/// # Errors
/// A sentence with the path and the way out.
pub fn is_free_or_a_socket(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => {
            Err(format!("{} is there and is no socket; remove it or name another [admin] socket", path.display()))
        }
        _ => Ok(()),
    }
}

/// Whether somebody listens there.
pub fn is_answered(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_let_in_before_the_file_is_guarded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("door.sock");
        let socket = bound(&path).unwrap();
        assert!(!is_answered(&path), "the file is there, and nobody can connect");
        guarded(&socket, &path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, OWNER_ONLY);
        assert!(is_answered(&path));
    }

    #[test]
    fn a_successor_s_takes_the_place_and_who_leaves_does_not_take_it_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/door.sock");
        let mut first = Door::prepare(&path).unwrap();
        assert!(!path.exists(), "nobody finds it yet");
        first.put_in_place().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, OWNER_ONLY);
        assert!(is_answered(&path));

        let mut second = Door::prepare(&path).unwrap();
        second.put_in_place().unwrap();
        drop(first);
        assert!(is_answered(&path), "the second's is still there");
        drop(second);
        assert!(!path.exists(), "the file goes away with the socket");

        drop(Door::prepare(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path().join("run")).unwrap().count(), 0, "nothing is left behind");

        fs::write(&path, "precious").unwrap();
        assert!(Door::prepare(&path).unwrap().put_in_place().unwrap_err().contains("is no socket"));
    }
}
