//! A rhumb in this process: what it was told, orders, reloads, metrics and lines of its log.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rhumb::daemon::Daemon;
use rhumb::daemon::ReloadError;
use rhumb::runtime::reloads::AskedBy;
use tokio::runtime::Runtime;

use crate::common::poll;
use crate::kit::PATIENCE;

/// What stands before pools and listeners.
pub fn head(workers: usize) -> String {
    format!(
        "[server]\nlisten = []\nstop_timeout = \"2s\"\n[admin]\nsocket = \"admin.sock\"\n[proxy]\nworkers = {workers}\n\
         [access_log]\nfile = \"access.log\"\n[region.here]\n[region.there]\n"
    )
}

/// A pool of these endpoints.
pub fn pool(name: &str, endpoints: &[SocketAddr], lines: &str) -> String {
    let marked: Vec<(SocketAddr, &str)> = endpoints.iter().map(|at| (*at, "")).collect();
    marked_pool(name, &marked, lines)
}

/// The same, with more said of each, as `weight = 3`.
pub fn marked_pool(name: &str, endpoints: &[(SocketAddr, &str)], lines: &str) -> String {
    let endpoint = |(at, mark): &(SocketAddr, &str)| {
        let mark = if mark.is_empty() { String::new() } else { format!(", {mark}") };
        format!("{{ address = \"{}\", port = {}{mark} }}", at.ip(), at.port())
    };
    let endpoints: Vec<String> = endpoints.iter().map(endpoint).collect();
    let region = if lines.contains("region = ") { "" } else { "region = \"here\"\n" };
    format!("[pool.{name}]\n{region}endpoints = [{}]\n{lines}\n", endpoints.join(", "))
}

/// A listener that carries connections to a pool.
pub fn tcp(name: &str, bind: SocketAddr, pool: &str, lines: &str) -> String {
    format!(
        "[[listener]]\nname = \"{name}\"\nregion = \"here\"\nbind = \"{bind}\"\nprotocol = \"tcp\"\npool = \"{pool}\"\n{lines}\n"
    )
}

/// A listener that carries TLS to pools by the server's name.
pub fn passthrough(name: &str, bind: SocketAddr, routes: &[(&str, &str)], lines: &str) -> String {
    let route = |(host, pool): &(&str, &str)| format!("{{ host = \"{host}\", pool = \"{pool}\" }}");
    let routes: Vec<String> = routes.iter().map(route).collect();
    format!(
        "[[listener]]\nname = \"{name}\"\nregion = \"here\"\nbind = \"{bind}\"\nprotocol = \"tls-passthrough\"\n\
         routes = [{}]\n{lines}\n",
        routes.join(", ")
    )
}

/// `GET` and the like at an admin socket: the status and the body.
pub fn admin(socket: &Path, path: &str) -> Option<(u16, String)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    let (head, body) = said.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The value of a series at an admin socket; none where it is not there.
pub fn series(socket: &Path, series: &str) -> Option<f64> {
    let (_, page) = admin(socket, "/metrics")?;
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?.parse().ok()
}

/// Where everything is.
pub struct Site {
    dir: tempfile::TempDir,
    runtime: Runtime,
    daemon: Option<Daemon>,
    workers: usize,
}

impl Site {
    /// With these pools and listeners, on two cores.
    #[track_caller]
    pub fn start(sections: &str) -> Site {
        Site::start_in(tempfile::tempdir().unwrap(), 2, sections)
    }

    /// On one core, where the order of choices is told.
    #[track_caller]
    pub fn on_one_core(sections: &str) -> Site {
        Site::start_in(tempfile::tempdir().unwrap(), 1, sections)
    }

    /// Where files are already.
    #[track_caller]
    pub fn start_in(dir: tempfile::TempDir, workers: usize, sections: &str) -> Site {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut site = Site { dir, runtime, daemon: None, workers };
        site.configure(sections);
        let started = site.runtime.block_on(Daemon::start(&site.path("rhumb.toml")));
        site.daemon = Some(started.unwrap_or_else(|error| panic!("{error}")));
        site
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    /// Where DNS is, when the sections say so.
    pub fn dns(&self) -> SocketAddr {
        self.daemon().dns()[0]
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, sections: &str) {
        let head = head(self.workers);
        // Only those who ask DNS need one.
        let head =
            if sections.contains("[vip.") { head.replace("listen = []", "listen = [\"127.0.0.1:0\"]") } else { head };
        fs::write(self.path("rhumb.toml.new"), head + sections).unwrap();
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

    /// What an operator types, as `["drain", "region/here"]`; what is said to it.
    #[track_caller]
    pub fn order(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.args(arguments).arg("--socket").arg(self.path("admin.sock")).env("NO_COLOR", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The body of `GET path`.
    #[track_caller]
    pub fn admin(&self, path: &str) -> String {
        admin(&self.path("admin.sock"), path).expect("it answers").1
    }

    /// The value of a series; 0 where it is not there yet.
    pub fn metric(&self, name: &str) -> f64 {
        series(&self.path("admin.sock"), name).unwrap_or_default()
    }

    /// How many flows of a listener and a pool ended in this way.
    pub fn flows(&self, listener: &str, pool: &str, end: &str) -> f64 {
        self.metric(&format!("rhumb_proxy_flows_total{{listener=\"{listener}\",pool=\"{pool}\",end=\"{end}\"}}"))
    }

    /// Waits until so many have.
    #[track_caller]
    pub fn has_flows(&self, listener: &str, pool: &str, end: &str, count: usize) {
        let so_many = || self.flows(listener, pool, end) == count as f64;
        let all = || {
            self.admin("/metrics")
                .lines()
                .filter(|line| line.starts_with("rhumb_proxy_flows"))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        assert!(poll(PATIENCE, so_many), "not {count} {end}:\n{}", all());
    }

    /// The lines of the log, once there are so many.
    #[track_caller]
    pub fn lines(&self, count: usize) -> Vec<String> {
        let read = || -> Vec<String> {
            let text = fs::read_to_string(self.path("access.log")).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        assert!(poll(PATIENCE, || read().len() >= count), "{:?}", read());
        read()
    }

    /// Has it stop, as by SIGTERM; whether it has within that time.
    pub fn stop(&mut self, within: Duration) -> bool {
        let daemon = self.daemon.take().unwrap();
        self.runtime.block_on(async { tokio::time::timeout(within, daemon.stop()).await }).is_ok()
    }
}

/// The value of a field of a line, as it is written.
pub fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let start = format!("{name}=");
    line.split(' ').find_map(|field| field.strip_prefix(&start))
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            self.stop(Duration::from_secs(4));
        }
    }
}
