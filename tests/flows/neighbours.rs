//! HAProxy and nginx before and behind us, with the PROXY protocol between.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;

use crate::common::Running;
use crate::common::program;
use crate::common::skipped;
use crate::kit::backend::Backend;
use crate::kit::client::connect_from;
use crate::kit::client::echoes;
use crate::kit::client::read_text;
use crate::kit::client::rest;
use crate::kit::here;
use crate::kit::program::neighbour;

use crate::kit::site::Site;
use crate::kit::site::pool;
use crate::kit::site::tcp;
use crate::proxy_protocol::tells_until;

/// HAProxy with these sections.
pub fn haproxy(sections: &str, address: SocketAddr) -> Option<(tempfile::TempDir, Running)> {
    let Some(haproxy) = program("haproxy") else {
        skipped("haproxy is not installed");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("haproxy.cfg");
    let text = "defaults\n timeout connect 2s\n timeout client 20s\n timeout server 20s\n".to_owned() + sections;
    fs::write(&file, text).unwrap();
    let mut command = Command::new(haproxy);
    command.arg("-db").arg("-f").arg(file);
    let running = neighbour(command, "haproxy", dir.path(), address);
    Some((dir, running))
}

/// nginx that tells over HTTP whom it speaks to, by the PROXY protocol.
pub fn nginx(address: SocketAddr) -> Option<(tempfile::TempDir, Running)> {
    let Some(nginx) = program("nginx") else {
        skipped("nginx is not installed");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().display();
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let text = format!(
        "daemon off; worker_processes 1; error_log {home}/nginx.err; pid {home}/nginx.pid;\n{user}\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;\n\
         uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n\
         server {{ listen {address} proxy_protocol; location / {{ \
         return 200 \"$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port\"; }} }} }}\n"
    );
    let file = dir.path().join("nginx.conf");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(nginx);
    command.arg("-p").arg(dir.path()).arg("-c").arg(file);
    let running = neighbour(command, "nginx", dir.path(), address);
    Some((dir, running))
}

#[test]
fn haproxy_before_us_says_whom_it_speaks_for() {
    for send in ["send-proxy", "send-proxy-v2"] {
        let backend = tells_until(b"hello");
        let (front, address) = (here(), here());
        let lines = "proxy_protocol = { accept_from = [\"127.0.0.1/32\"], send = \"v1\" }";
        let _site = Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", address, "app", lines)));
        let sections = format!(
            "frontend f\n mode tcp\n bind {front}\n default_backend b\nbackend b\n mode tcp\n server s {address} {send}\n"
        );
        let Some(_haproxy) = haproxy(&sections, front) else { return };
        let mut client = connect_from([127, 0, 0, 9], front);
        client.write_all(b"hello").unwrap();
        let expected = format!(
            "PROXY TCP4 127.0.0.9 127.0.0.1 {} {}\r\nhello",
            client.local_addr().unwrap().port(),
            address.port()
        );
        assert_eq!(read_text(&mut client, expected.len()), expected, "{send}");
    }
}

#[test]
fn nginx_behind_us_is_told_whom_we_speak_for() {
    for send in ["v1", "v2"] {
        let (behind, address) = (here(), here());
        let Some(_nginx) = nginx(behind) else { return };
        let lines = format!("proxy_protocol = {{ send = \"{send}\" }}");
        let _site = Site::start(&(pool("app", &[behind], "") + &tcp("edge", address, "app", &lines)));
        let mut client = connect_from([127, 0, 0, 9], address);
        let own = client.local_addr().unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let (answer, _) = rest(&mut client);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.ends_with(&format!("\r\n\r\n{own} {address}")), "{send}: {answer}");
    }
}

#[test]
fn haproxy_behind_us_is_told_whom_we_speak_for() {
    for send in ["v1", "v2"] {
        let (behind, address) = (here(), here());
        // It passes on what it was told, in a line that can be read.
        let backend = tells_until(b"hello");
        let sections = format!(
            "frontend f\n mode tcp\n bind {behind} accept-proxy\n default_backend b\nbackend b\n mode tcp\n server s {} send-proxy\n",
            backend.address
        );
        let Some(_haproxy) = haproxy(&sections, behind) else { return };
        let lines = format!("proxy_protocol = {{ send = \"{send}\" }}");
        let _site = Site::start(&(pool("app", &[behind], "") + &tcp("edge", address, "app", &lines)));
        let mut client = connect_from([127, 0, 0, 9], address);
        client.write_all(b"hello").unwrap();
        let expected = format!(
            "PROXY TCP4 127.0.0.9 127.0.0.1 {} {}\r\nhello",
            client.local_addr().unwrap().port(),
            address.port()
        );
        assert_eq!(read_text(&mut client, expected.len()), expected, "{send}");
    }
}

#[test]
fn haproxy_as_an_endpoint_keeps_halves_and_bulk() {
    let backend = Backend::echo();
    let (behind, address) = (here(), here());
    let sections = format!(
        "frontend f\n mode tcp\n bind {behind}\n default_backend b\nbackend b\n mode tcp\n server s {}\n",
        backend.address
    );
    let Some(_haproxy) = haproxy(&sections, behind) else { return };
    let _site = Site::start(&(pool("app", &[behind], "") + &tcp("edge", address, "app", "")));
    let mut client = connect_from([127, 0, 0, 9], address);
    assert!(echoes(&mut client));
    let mut reads = client.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        reads.read_to_end(&mut all).unwrap();
        all.len()
    });
    client.write_all(&vec![b'x'; 8 << 20]).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(reading.join().unwrap(), 8 << 20);
}
