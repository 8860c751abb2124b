//! Sockets that do not collide: those of DNS, of the admin API and of listeners.

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;

use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::config::spec::Spec;
use crate::config::spec::listeners::Listener;
use crate::config::spec::listeners::ProtocolWord;
use crate::config::spec::server::Server;

/// A socket that somebody claims, over UDP or over TCP.
struct Claim<'s> {
    by: Claimant<'s>,
    udp: bool,
    socket: &'s Written<SocketAddr>,
}

#[derive(Clone, Copy)]
enum Claimant<'s> {
    Key(&'static str),
    Listener(&'s Listener),
}

impl fmt::Display for Claimant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Claimant::Key(key) => write!(f, "`{key}`"),
            Claimant::Listener(listener) => f.write_str(&listener.called()),
        }
    }
}

/// A socket belongs to one key. `dot` and `doq` may share a port: one is TCP, the other UDP.
pub fn sockets(reports: &mut Reports<'_>, spec: &Spec) {
    let mut claims: Vec<Claim<'_>> = Vec::new();
    for claim in claimed(spec) {
        // Port 0 is a different port each time.
        let before = claims.iter().find(|c| c.socket.value.port() != 0 && c.udp == claim.udp && overlap(c, &claim));
        if let Some(before) = before {
            collision(reports, before, &claim);
        }
        claims.push(claim);
    }
    nowhere(reports, spec);
}

fn claimed(spec: &Spec) -> Vec<Claim<'_>> {
    let server = &spec.server;
    let lists = [
        ("listen", true, &server.listen),
        ("listen", false, &server.listen),
        ("dot", false, &server.dot),
        ("doq", true, &server.doq),
        ("doh", false, &server.doh),
    ];
    let mut claims = Vec::new();
    for (key, udp, list) in lists {
        let sockets = list.iter().flat_map(|list| &list.items);
        claims.extend(sockets.map(|socket| Claim { by: Claimant::Key(key), udp, socket }));
    }
    let admin = spec.admin.listen.iter();
    claims.extend(admin.map(|socket| Claim { by: Claimant::Key("[admin] listen"), udp: false, socket }));
    for listener in &spec.listeners {
        let udp = listener.protocol.as_ref().is_some_and(|w| w.value == ProtocolWord::Udp);
        let bind = listener.bind.iter();
        claims.extend(bind.map(|socket| Claim { by: Claimant::Listener(listener), udp, socket }));
    }
    claims
}

/// `listen = []` is for those who do something else.
fn nowhere(reports: &mut Reports<'_>, spec: &Spec) {
    let Server { listen, dot, doq, doh, .. } = &spec.server;
    let encrypted = [dot, doq, doh].into_iter().flatten().any(|list| !list.items.is_empty());
    if let Some(listen) = listen
        && listen.items.is_empty()
        && listen.complete
        && !encrypted
        && spec.listeners.is_empty()
    {
        let help = "write `listen = [\"0.0.0.0:53\", \"[::]:53\"]`, or leave it out for that".to_owned();
        reports.error(codes::EMPTY, listen.span, "the server listens nowhere").help(help);
    }
}

fn overlap(a: &Claim<'_>, b: &Claim<'_>) -> bool {
    let (a, b) = (a.socket.value, b.socket.value);
    let covers = |one: IpAddr, other: IpAddr| one.is_unspecified() && one.is_ipv4() == other.is_ipv4();
    a.port() == b.port() && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

fn collision(reports: &mut Reports<'_>, before: &Claim<'_>, claim: &Claim<'_>) {
    let (socket, other) = (claim.socket.value, before.socket.value);
    let transport = if claim.udp { "UDP" } else { "TCP" };
    if let (Claimant::Key(key), Claimant::Key(before)) = (claim.by, before.by)
        && key == before
    {
        // Both transports of `listen` say the same.
        if key == "listen" && !claim.udp {
            return;
        }
        if socket == other {
            let help = "keep one of them".to_owned();
            reports.error(codes::SOCKET, claim.socket.span, format!("`{socket}` is listed twice")).help(help);
        } else {
            let fact = format!("`{socket}` and `{other}` cover one another");
            reports.warning(codes::COVERED, claim.socket.span, fact).help("keep the wildcard alone".to_owned());
        }
        return;
    }
    let fact = format!("{} claims {transport} socket {socket}, which {} has as {other}", claim.by, before.by);
    let help = "give one of them another port".to_owned();
    reports.error(codes::SOCKET, claim.socket.span, fact).label("already claimed").help(help);
}
