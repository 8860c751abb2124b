//! `[server]`, `[tls.*]` and `[admin]`: what was left out, certificates where they are needed.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::codes;
use crate::config::fields::List;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::config::spec::Spec;
use crate::config::spec::server::Admin;
use crate::config::spec::server::Server;
use crate::model::AdminSettings;
use crate::model::ServerSettings;
use crate::model::TlsFiles;

use super::names::Names;

/// `[server]`.
pub fn server(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>) -> ServerSettings {
    let server = &spec.server;
    certificate(reports, server);
    let default = ServerSettings::default();
    let number = |written: &Option<Written<u64>>, default| written.as_ref().map_or(default, |w| w.value as usize);
    ServerSettings {
        listen: server.listen.as_ref().map_or_else(|| unless_told(spec), values),
        zones_dir: server.zones_dir.as_ref().map(|w| w.value.clone()),
        state_dir: server.state_dir.as_ref().map(|w| w.value.clone()),
        udp_workers: number(&server.udp_workers, default.udp_workers),
        dot: server.dot.as_ref().map_or_else(Vec::new, values),
        doq: server.doq.as_ref().map_or_else(Vec::new, values),
        doh: server.doh.as_ref().map_or_else(Vec::new, values),
        tls: server.tls.as_ref().and_then(|name| names.tls.resolve(reports, "[server]", name)),
        udp_payload_max: server.udp_payload_max.as_ref().map_or(default.udp_payload_max, |w| w.value as u16),
        nsid: server.nsid.as_ref().map(|w| w.value.clone()),
        version: server.version.as_ref().map(|w| w.value.clone()),
        suspect_itself: server.suspect_itself.as_ref().map_or(default.suspect_itself, |w| w.value),
        start_timeout: server.start_timeout.as_ref().map_or(default.start_timeout, |w| w.value),
        stop_timeout: server.stop_timeout.as_ref().map_or(default.stop_timeout, |w| w.value),
        tcp_connections_max: number(&server.tcp_connections_max, default.tcp_connections_max),
        tcp_connections_per_client_max: number(
            &server.tcp_connections_per_client_max,
            default.tcp_connections_per_client_max,
        ),
        tcp_idle: server.tcp_idle.as_ref().map_or(default.tcp_idle, |w| w.value),
        proxy_protocol_from: server.proxy_protocol_from.as_ref().map_or_else(Vec::new, values),
        cookie_secret_file: server.cookie_secret_file.as_ref().map(|w| w.value.clone()),
        cookie_secrets: None,
        transfer_to: server.transfer_to.as_ref().map_or_else(Vec::new, values),
    }
}

/// What a name server does when nobody says where: port 53 of every address. A proxy alone, with listeners and nothing that
/// DNS could say, is no name server.
fn unless_told(spec: &Spec) -> Vec<SocketAddr> {
    let server = &spec.server;
    let has_names = server.zones_dir.is_some() || !spec.zones.is_empty() || !spec.vips.is_empty();
    let is_encrypted = [&server.dot, &server.doq, &server.doh].iter().any(|list| list.is_some());
    if !spec.listeners.is_empty() && !has_names && !is_encrypted {
        return Vec::new();
    }
    vec![(Ipv4Addr::UNSPECIFIED, 53).into(), (Ipv6Addr::UNSPECIFIED, 53).into()]
}

fn values<T: Clone>(list: &List<T>) -> Vec<T> {
    list.items.iter().map(|item| item.value.clone()).collect()
}

/// `[tls.*]`.
pub fn tls(spec: &Spec) -> Vec<TlsFiles> {
    let path = |written: &Option<Written<PathBuf>>| written.as_ref().map_or_else(PathBuf::new, |w| w.value.clone());
    let files = spec.tls.iter().map(|tls| TlsFiles {
        name: tls.name.value.clone(),
        certificate: path(&tls.value.certificate),
        key_file: path(&tls.value.key_file),
    });
    files.collect()
}

/// `[admin]`.
pub fn admin(reports: &mut Reports<'_>, spec: &Spec, names: &Names<'_>) -> AdminSettings {
    let admin = &spec.admin;
    off_loopback(reports, admin);
    AdminSettings {
        socket: admin.socket.as_ref().map(|w| w.value.clone()),
        listen: admin.listen.as_ref().map(|w| w.value),
        tls: admin.tls.as_ref().and_then(|name| names.tls.resolve(reports, "[admin]", name)),
        tokens_file: admin.tokens_file.as_ref().map(|w| w.value.clone()),
        tokens: Vec::new(),
        hosts: admin.hosts.iter().flat_map(|list| &list.items).map(|host| host.value.to_ascii_lowercase()).collect(),
    }
}

/// Who can reach this machine must neither read along nor walk in.
fn off_loopback(reports: &mut Reports<'_>, admin: &Admin) {
    let Some(listen) = admin.listen.as_ref().filter(|listen| !listen.value.ip().is_loopback()) else { return };
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.value.port());
    let mut without = |key: &str, code, what: &str, add: &str| {
        let fact = format!("[admin] listens on {}, off loopback, and has no `{key}`", listen.value);
        let help = format!("{add}; or listen on {loopback}, and come in by SSH or a proxy");
        reports.error(code, listen.span, fact).label(what).help(help);
    };
    if admin.tls.is_none() {
        let add = "add `tls = \"NAME\"` to [admin], and a section [tls.NAME]";
        without("tls", codes::NO_CERTIFICATE, "tokens could be read on the way", add);
    }
    if admin.tokens_file.is_none() {
        let add = "add `tokens_file = \"tokens.toml\"` to [admin]";
        without("tokens_file", codes::OPEN_DOOR, "anyone could come in", add);
    }
}

fn certificate(reports: &mut Reports<'_>, server: &Server) {
    if server.tls.is_some() {
        return;
    }
    let lists = [("dot", &server.dot), ("doq", &server.doq), ("doh", &server.doh)];
    let encrypted = lists.iter().filter_map(|(key, list)| Some((key, list.as_ref()?)));
    // Once is enough: one certificate serves them all.
    if let Some((key, list)) = encrypted.into_iter().find(|(_, list)| !list.items.is_empty()) {
        let fact = format!("`{key}` is encrypted, and [server] has no `tls`");
        let help = "add `tls = \"NAME\"` to [server], and a section [tls.NAME]".to_owned();
        reports.error(codes::NO_CERTIFICATE, list.span, fact).help(help);
    }
}
