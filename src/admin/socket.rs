//! The Unix socket that the command line speaks to. Its file permissions are the guard: only its owner may connect.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;

use tokio::net::UnixListener;

/// Read and write for the owner, nothing for anyone else.
const OWNER_ONLY: u32 = 0o600;

/// A listening socket whose file goes away with it.
#[derive(Debug)]
pub struct AdminSocket {
    path: PathBuf,
    listener: Option<UnixListener>,
}

impl AdminSocket {
    /// Listens at `path`, making its folder; a file left by a process that is gone is replaced, one that somebody
    /// still listens on is not.
    ///
    /// # Errors
    /// A sentence with the path and the way out.
    pub fn bind(path: &Path) -> Result<Self, String> {
        let cannot = |what: &str, error: &io::Error| format!("cannot {what} {}: {error}", path.display());
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|e| cannot("make the folder of the admin socket", &e))?;
        }
        clear_the_way(path)?;
        let listener = UnixListener::bind(path).map_err(|e| cannot("listen on the admin socket", &e))?;
        fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY))
            .map_err(|e| cannot("guard the admin socket", &e))?;
        Ok(AdminSocket { path: path.to_owned(), listener: Some(listener) })
    }

    /// The listener, once.
    pub fn take(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn clear_the_way(path: &Path) -> Result<(), String> {
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    if !meta.file_type().is_socket() {
        return Err(format!("{} is there and is no socket; remove it or name another [admin] socket", path.display()));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(format!("another process listens on {}; stop it, or name another [admin] socket", path.display()));
    }
    fs::remove_file(path).map_err(|e| format!("cannot remove the old admin socket {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/admin.sock");
        let first = AdminSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, OWNER_ONLY);
        assert!(AdminSocket::bind(&path).unwrap_err().contains("another process listens"));
        drop(first);
        assert!(!path.exists(), "the file goes away with the socket");

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "as a killed process leaves it");
        AdminSocket::bind(&path).unwrap();

        fs::write(&path, "precious").unwrap();
        assert!(AdminSocket::bind(&path).unwrap_err().contains("is no socket"));
    }
}
