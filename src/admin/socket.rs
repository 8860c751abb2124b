//! The Unix socket that the command line speaks to. Its file permissions are the guard: only its owner may connect.

use std::io;
use std::path::Path;

use tokio::net::UnixListener;

use crate::runtime::door;
use crate::runtime::door::Door;

/// A listening socket whose file goes away with it.
#[derive(Debug)]
pub struct AdminSocket(Door);

impl AdminSocket {
    /// Listens at `path`, making its folder; a file left by a process that is gone is replaced, one that somebody
    /// still listens on is not.
    ///
    /// # Errors
    /// A sentence with the path and the way out.
    pub fn bind(path: &Path) -> Result<Self, String> {
        door::is_free_or_a_socket(path)?;
        if door::is_answered(path) {
            return Err(format!(
                "another process listens on {}; stop it, name another [admin] socket, or take over from it: rhumb serve \
                 --takeover",
                path.display()
            ));
        }
        let mut socket = AdminSocket::prepare(path)?;
        socket.put_in_place()?;
        Ok(socket)
    }

    /// Listens where nobody finds it yet: the process that we take over from has its own at `path`.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn prepare(path: &Path) -> Result<Self, String> {
        Door::prepare(path).map(AdminSocket)
    }

    /// Takes the place of a predecessor's.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn put_in_place(&mut self) -> Result<(), String> {
        self.0.put_in_place()
    }

    /// What to serve; inside a tokio runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn listener(&self) -> io::Result<UnixListener> {
        let listener = self.0.listener().try_clone()?;
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Read and write for the owner, nothing for anyone else.
    const OWNER_ONLY: u32 = 0o600;

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
