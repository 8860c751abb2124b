//! `examples/edge.toml` as a newcomer runs it: its words, with ports of the moment, and curl.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rhumb::daemon::Daemon;
use tokio::runtime::Runtime;

use crate::common::program;
use crate::common::skipped;
use crate::kit::origin::Origin;
use crate::kit::origin::fixed;

/// The example, running.
struct Example {
    curl: std::path::PathBuf,
    runtime: Runtime,
    daemon: Option<Daemon>,
    web: SocketAddr,
    tls: SocketAddr,
    /// For ports 9001 to 9008, in order.
    origins: Vec<Origin>,
    dir: tempfile::TempDir,
}

impl Example {
    fn start() -> Option<Example> {
        let Some(curl) = program("curl") else {
            skipped("curl is not installed");
            return None;
        };
        let origins: Vec<Origin> = (9001..=9008)
            .map(|port| Origin::start(move |asked| fixed(200, format!("{port} {}\n", asked.target()))))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("edge.toml");
        fs::write(&file, with_ports(&origins)).unwrap();
        certificate(&dir.path().join("tls"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let daemon = runtime.block_on(Daemon::start(&file)).unwrap_or_else(|error| panic!("{error}"));
        let address = |name: &str| daemon.listeners().iter().find(|(known, _)| known == name).unwrap().1;
        let (web, tls) = (address("web"), address("web-tls"));
        Some(Example { curl, runtime, web, tls, origins, dir, daemon: Some(daemon) })
    }

    /// What curl prints, head and body.
    fn curl(&self, args: &[&str], url: &str) -> String {
        let mut command = Command::new(&self.curl);
        command.args(["-sS", "-i", "--max-time", "20", "--noproxy", "*"]);
        for host in ["www.example.com", "api.example.com", "other.example.com"] {
            command.args(["--resolve", &format!("{host}:{}:127.0.0.1", self.tls.port())]);
        }
        command.arg("--cacert").arg(self.dir.path().join("tls/www.pem")).args(args);
        let url = url.replace(":8443", &format!(":{}", self.tls.port()));
        let output = command.arg(url).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The port in the example of whoever answered.
    fn port(&self, args: &[&str], url: &str) -> u16 {
        let said = self.curl(args, url);
        let body = said.rsplit("\r\n\r\n").next().unwrap();
        body.split(' ').next().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{said}"))
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            let _ = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(6), daemon.stop()).await });
        }
    }
}

/// The example with real ports, and nothing else changed.
fn with_ports(origins: &[Origin]) -> String {
    let mut text = fs::read_to_string("examples/edge.toml").unwrap();
    for (port, origin) in (9001..).zip(origins) {
        text = text.replace(&format!("port = {port}"), &format!("port = {}", origin.address.port()));
    }
    text.replace("\"127.0.0.1:8080\"", "\"127.0.0.1:0\"").replace("\"127.0.0.1:8443\"", "\"127.0.0.1:0\"")
}

fn certificate(dir: &Path) {
    let names = ["www.example.com", "api.example.com", "other.example.com"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::create_dir(dir).unwrap();
    fs::write(dir.join("www.pem"), made.cert.pem()).unwrap();
    fs::write(dir.join("www.key"), made.signing_key.serialize_pem()).unwrap();
}

#[test]
fn each_part_does_what_its_comment_says() {
    let Some(example) = Example::start() else { return };
    let moved = example.curl(&["-H", "Host: www.example.com"], &format!("http://{}/a?b", example.web));
    assert!(moved.starts_with("HTTP/1.1 308 "), "{moved}");
    assert!(moved.contains("location: https://www.example.com:8443/a?b\r\n"), "{moved}");

    let canary = "https://www.example.com:8443/";
    assert_eq!(example.port(&["-H", "x-canary: true"], canary), 9003);

    let file = example.curl(&[], "https://www.example.com:8443/static/logo.png");
    assert!(file.contains("cache-control: max-age=2592000\r\n") && file.contains("expires: "), "{file}");
    let ports: BTreeSet<u16> =
        (0..5).map(|_| example.port(&[], "https://www.example.com:8443/static/logo.png")).collect();
    assert_eq!(ports.len(), 1, "a file is asked of one endpoint: {ports:?}");

    let api = example.curl(&["--http2"], "https://api.example.com:8443/v2/users?x=1");
    assert!(api.starts_with("HTTP/2 200"), "{api}");
    assert!(api.contains(" /users?x=1\n"), "the prefix is taken away: {api}");
    let ports: BTreeSet<u16> = (0..6).map(|_| example.port(&[], "https://api.example.com:8443/v2/users")).collect();
    assert!(ports.is_subset(&BTreeSet::from([9006, 9007])), "the backup rests: {ports:?}");

    let nobody = example.curl(&[], "https://other.example.com:8443/");
    assert!(nobody.starts_with("HTTP/2 404") && nobody.ends_with("There is nothing at this name.\n"), "{nobody}");
}

#[test]
fn a_session_stays_and_the_rest_is_spread() {
    let Some(example) = Example::start() else { return };
    let first = example.curl(&[], "https://www.example.com:8443/");
    assert!(first.contains("strict-transport-security: max-age=31536000\r\n"), "{first}");
    let cookie = first.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.contains("Secure") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let home = example.port(&["-b", cookie], "https://www.example.com:8443/");
    for _ in 0..4 {
        assert_eq!(example.port(&["-b", cookie], "https://www.example.com:8443/"), home);
    }
    let seen =
        |port: usize| example.origins[port - 9001].requests().iter().filter(|taken| taken.target() == "/").count();
    assert_eq!(seen(9001) + seen(9002) + seen(9003), 6, "one request each");
}
