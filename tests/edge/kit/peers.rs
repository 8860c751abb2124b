//! Other proxies in rhumb's place.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::program;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::edge::port;

/// Starts a peer by name.
pub fn start(name: &str, setup: &Setup, dir: tempfile::TempDir) -> Edge {
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let command = match name {
        "haproxy" => haproxy(setup, address, dir.path()),
        "nginx" => nginx(setup, address, dir.path()),
        other => panic!("RHUMB_EDGE_PEER is haproxy or nginx, not {other}"),
    };
    Edge::of(address, dir, command.unwrap_or_else(|| panic!("{name} is not installed")), name)
}

/// HAProxy in front of a setup's endpoints.
pub fn haproxy(setup: &Setup, address: SocketAddr, dir: &Path) -> Option<Command> {
    let haproxy = program("haproxy")?;
    let ms = |time: Option<Duration>| time.map_or(60_000, |time| time.as_millis());
    let mut bind = address.to_string();
    if setup.tls {
        let both =
            fs::read_to_string(dir.join("cert.pem")).unwrap() + &fs::read_to_string(dir.join("key.pem")).unwrap();
        fs::write(dir.join("both.pem"), both).unwrap();
        write!(bind, " ssl crt {}/both.pem alpn h2,http/1.1", dir.display()).unwrap();
    }
    let mut text = format!(
        "global\n nbthread 1\n maxconn 4000\n tune.bufsize 32768\n\
         defaults\n mode http\n timeout connect 2s\n timeout client {}ms\n timeout server 60s\n timeout http-request {}ms\n \
         timeout http-keep-alive 60s\n timeout tunnel 60s\n http-reuse always\n option forwardfor\n\
         frontend edge\n bind {bind}\n default_backend origin\nbackend origin\n balance roundrobin\n",
        ms(setup.body),
        ms(setup.header)
    );
    for (n, endpoint) in setup.endpoints.iter().enumerate() {
        let h2 = if setup.h2_origins { " proto h2" } else { "" };
        writeln!(text, " server s{n} {endpoint}{h2}").unwrap();
    }
    let file = dir.join("haproxy.cfg");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(haproxy);
    command.arg("-db").arg("-f").arg(file);
    Some(command)
}

/// nginx in front of a setup's endpoints.
pub fn nginx(setup: &Setup, address: SocketAddr, dir: &Path) -> Option<Command> {
    let mut upstream = String::new();
    for endpoint in &setup.endpoints {
        write!(upstream, "server {endpoint}; ").unwrap();
    }
    let ms = |time: Option<Duration>| time.map_or(60_000, |time| time.as_millis());
    let tls = format!("ssl_certificate {0}/cert.pem; ssl_certificate_key {0}/key.pem;", dir.display());
    let pass = if setup.h2_origins { "grpc_pass grpc://origin;" } else { "proxy_pass http://origin;" };
    let server = format!(
        "listen {address}{}; {} client_header_timeout {}ms; client_body_timeout {}ms; client_max_body_size 0;\n\
         location / {{ {pass} proxy_request_buffering off; proxy_buffering off; }}",
        if setup.tls { " ssl http2" } else { "" },
        if setup.tls { &tls } else { "" },
        ms(setup.header),
        ms(setup.body),
    );
    let http = format!(
        "upstream origin {{ {upstream} keepalive 16; }}\nmap $http_upgrade $upgraded {{ default upgrade; '' ''; }}\n\
         proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $upgraded; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         server {{ {server} }}"
    );
    nginx_with(&http, dir)
}

/// nginx with an `http` block of the test's own.
pub fn nginx_with(http: &str, dir: &Path) -> Option<Command> {
    let nginx = program("nginx")?;
    let home = dir.display();
    let text = format!(
        "daemon off; worker_processes 1; error_log {home}/nginx.err; pid {home}/nginx.pid;\n{}\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;\n\
         uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n{http}\n}}\n",
        // Its workers cannot write to our folder as anybody else.
        if is_root() { "user root;\n" } else { "" },
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(nginx);
    command.arg("-p").arg(dir).arg("-c").arg(file);
    Some(command)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
