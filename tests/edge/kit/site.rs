//! A rhumb in this process whose configuration changes while it runs, and that takes orders.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rhumb::daemon::Daemon;
use rhumb::daemon::ReloadError;
use rhumb::runtime::reloads::AskedBy;
use tokio::runtime::Runtime;

/// Where everything is.
pub struct Site {
    dir: tempfile::TempDir,
    runtime: Runtime,
    daemon: Option<Daemon>,
}

/// What stands before listeners and pools.
pub fn head(admin_socket: &str) -> String {
    format!(
        "[server]\nlisten = []\nstop_timeout = \"2s\"\n[admin]\nsocket = \"{admin_socket}\"\n[proxy]\nworkers = 2\n\
         [region.here]\n[region.there]\n"
    )
}

/// A pool of these endpoints.
pub fn pool(name: &str, region: &str, endpoints: &[SocketAddr], lines: &str) -> String {
    let endpoint = |at: &SocketAddr| format!("{{ address = \"{}\", port = {} }}", at.ip(), at.port());
    let endpoints: Vec<String> = endpoints.iter().map(endpoint).collect();
    format!("[pool.{name}]\nregion = \"{region}\"\nendpoints = [{}]\n{lines}\n", endpoints.join(", "))
}

/// A listener with one route to a pool.
pub fn listener(name: &str, bind: SocketAddr, pool: &str, lines: &str) -> String {
    let protocol = if lines.contains("tls = ") { "https" } else { "http" };
    format!(
        "[[listener]]\nname = \"{name}\"\nregion = \"here\"\nbind = \"{bind}\"\nprotocol = \"{protocol}\"\n{lines}\n\
         routes = [{{ pool = \"{pool}\" }}]\n"
    )
}

impl Site {
    /// With these pools and listeners.
    #[track_caller]
    pub fn start(sections: &str) -> Site {
        Site::start_in(tempfile::tempdir().unwrap(), sections)
    }

    /// The same, where files are already.
    #[track_caller]
    pub fn start_in(dir: tempfile::TempDir, sections: &str) -> Site {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut site = Site { dir, runtime, daemon: None };
        site.configure(sections);
        let started = site.runtime.block_on(Daemon::start(&site.path("rhumb.toml")));
        site.daemon = Some(started.unwrap_or_else(|error| panic!("{error}")));
        site
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the configuration, all at once.
    pub fn configure(&self, sections: &str) {
        let mut text = head(self.path("admin.sock").to_str().unwrap()) + sections;
        if self.path("zones").exists() {
            text = text.replacen("[server]\n", "[server]\nzones_dir = \"zones\"\n", 1);
        }
        fs::write(self.path("rhumb.toml.new"), text).unwrap();
        fs::rename(self.path("rhumb.toml.new"), self.path("rhumb.toml")).unwrap();
    }

    /// Serves other sections.
    ///
    /// # Errors
    /// Why not.
    pub fn reload(&self, sections: &str) -> Result<u64, String> {
        self.configure(sections);
        let reloads = self.daemon().reloads();
        self.runtime.block_on(reloads.reload(AskedBy::Name("a test".to_owned()))).map_err(|error| match error {
            ReloadError::Refused(problems, _) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
            ReloadError::Stopping => "stopping".to_owned(),
        })
    }

    /// How many reloads there were, by whomever.
    pub fn generation(&self) -> u64 {
        self.daemon().reload_record().last().generation
    }

    /// An order, as `["drain", "region/here"]`.
    #[track_caller]
    pub fn order(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        let output = command.args(arguments).arg("--socket").arg(self.path("admin.sock")).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The status of `GET /readyz`; none when nobody answers.
    pub fn readyz(&self) -> Option<u16> {
        readyz(&self.path("admin.sock"))
    }

    /// Has it stop, as by SIGTERM; whether it has within that time.
    pub fn stop(&mut self, within: Duration) -> bool {
        let daemon = self.daemon.take().unwrap();
        self.runtime.block_on(async { tokio::time::timeout(within, daemon.stop()).await }).is_ok()
    }

    /// The same, without waiting.
    pub fn begin_to_stop(&mut self) -> tokio::task::JoinHandle<()> {
        let daemon = self.daemon.take().unwrap();
        self.runtime.spawn(daemon.stop())
    }
}

/// The status of `GET /readyz` at an admin socket.
pub fn readyz(socket: &std::path::Path) -> Option<u16> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    said.split(' ').nth(1)?.parse().ok()
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            self.stop(Duration::from_secs(4));
        }
    }
}
