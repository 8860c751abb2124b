//! What an operator of the proxy under test does: gives orders, changes its files, reads its metrics and its log, asks its DNS.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use rhumb::runtime::reloads::AskedBy;

use crate::common::dns::Question;
use crate::common::dns::ask;
use crate::common::dns::rtype;
use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;

/// The section that lets orders and metrics in.
pub const ADMIN: &str = "[admin]\nsocket = \"admin.sock\"\n";

/// The section that writes a line for each request.
pub const LOG: &str = "[access_log]\nfile = \"access.log\"\n";

/// A line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(pub String);

impl Line {
    /// The value of a field, as it is written.
    pub fn field(&self, name: &str) -> Option<&str> {
        let start = format!("{name}=");
        self.0.split(' ').find_map(|field| field.strip_prefix(&start))
    }
}

impl Edge {
    /// Asks over the admin socket; the status and the body.
    #[track_caller]
    pub fn admin(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(self.dir().join("admin.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").expect("a response");
        (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
    }

    /// Orders something of an endpoint: `"state": "drain"`. It holds once this returns.
    #[track_caller]
    pub fn order(&self, endpoint: SocketAddr, what: &str) {
        self.told("PUT", endpoint, &format!("{{{what}, \"force\": true}}"));
    }

    /// Ends what was ordered of an endpoint.
    #[track_caller]
    pub fn end_order(&self, endpoint: SocketAddr) {
        self.told("DELETE", endpoint, "");
    }

    #[track_caller]
    fn told(&self, method: &str, endpoint: SocketAddr, body: &str) {
        let (status, said) = self.admin(method, &format!("/v1/overrides/endpoint/origin/{endpoint}"), body);
        assert!((200..300).contains(&status), "{status}: {said}");
    }

    /// The value of a series of `/metrics`.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        let (_, page) = self.admin("GET", "/metrics", "");
        let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let names = || page.lines().filter(|line| line.starts_with("rhumb_proxy")).collect::<Vec<_>>().join("\n");
        found.unwrap_or_else(|| panic!("no {series} in\n{}", names())).parse().unwrap()
    }

    /// Serves another configuration from now on, with the sockets it has.
    #[track_caller]
    pub fn reload(&self, setup: &Setup) {
        fs::write(self.dir().join("rhumb.toml"), setup.toml("127.0.0.1:0".parse().unwrap())).unwrap();
        let (runtime, daemon) = self.daemon();
        runtime.block_on(daemon.reloads().reload(AskedBy::Signal)).unwrap();
    }

    /// The addresses of a name, sorted.
    pub fn addresses(&self, name: &str) -> Vec<String> {
        let server = self.daemon().1.dns()[0];
        ask(server, &Question::new(name, rtype::A)).addresses().iter().map(ToString::to_string).collect()
    }

    /// The line of the request with that path, once it is written.
    #[track_caller]
    pub fn line_of(&self, path: &str) -> Line {
        let field = format!(" path={path} ");
        let find = || {
            let text = fs::read_to_string(self.dir().join("access.log")).unwrap_or_default();
            text.lines().find(|line| line.contains(&field)).map(|line| Line(line.to_owned()))
        };
        assert!(poll(PATIENCE, || find().is_some()), "no line of {path}");
        find().unwrap()
    }
}
