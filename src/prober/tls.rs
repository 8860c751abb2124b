//! A TLS handshake: whether one comes about, with whom, and for how much longer.
//!
//! rustls refuses what clients refuse: a certificate that has expired, is not trusted or carries another name. Beyond
//! that a check may ask for a protocol (ALPN) and for some time left before the certificate expires, which every
//! endpoint that shares the certificate then fails at once; so it is off unless asked for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::health::probe::ReasonCode;
use crate::model::{Moment, TlsCheck, TlsTrust};
use crate::prober::Found;
use crate::prober::certificate;
use crate::prober::clients::Clients;
use crate::prober::deadline::Deadline;
use crate::prober::tcp;
use crate::runtime::trust;
use crate::runtime::trust::Trust;

const DAY_S: i64 = 86_400;

/// Connects, agrees on TLS, looks at the certificate and closes.
pub(super) async fn check(
    check: &TlsCheck,
    address: SocketAddr,
    clients: &Clients,
    mut deadline: Deadline,
    now: Moment,
) -> Found {
    let alpn: Vec<&[u8]> = check.alpn.iter().map(|protocol| protocol.as_bytes()).collect();
    let shaken = handshake(address, check.host.as_deref(), &check.trust, &alpn, clients, &mut deadline).await;
    let mut stream = match shaken {
        Ok(stream) => stream,
        Err(found) => return found,
    };
    let found = judge(check, &stream, now);
    // A close_notify, as a client would leave; whether it gets there is of no interest.
    let _ = deadline.within(stream.shutdown()).await;
    found
}

/// A TLS session with the endpoint, or what became of it.
pub(super) async fn handshake(
    address: SocketAddr,
    host: Option<&str>,
    trust: &TlsTrust,
    alpn: &[&[u8]],
    clients: &Clients,
    deadline: &mut Deadline,
) -> Result<TlsStream<TcpStream>, Found> {
    let mut config = match clients.tls(&Trust::of(trust.verify, trust.ca_file.as_ref())).await {
        Ok(config) => config,
        Err(fact) => return Err((ReasonCode::L6Rsp, fact)),
    };
    if !alpn.is_empty() {
        // A copy is a few counted references.
        Arc::make_mut(&mut config).alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    }
    let name = server_name(host, address)?;
    let stream = tcp::connect(address, deadline).await?;
    let stream = match deadline.within(TlsConnector::from(config).connect(name, stream)).await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return Err((ReasonCode::L6Rsp, words(&error))),
        None => return Err(deadline.no_session()),
    };
    if !alpn.is_empty() && stream.get_ref().1.alpn_protocol().is_none() {
        let offered = alpn.iter().map(|protocol| String::from_utf8_lossy(protocol)).collect::<Vec<_>>().join(", ");
        return Err((ReasonCode::L6Rsp, format!("the server has not taken the protocol offered (ALPN {offered})")));
    }
    Ok(stream)
}

fn server_name(host: Option<&str>, address: SocketAddr) -> Result<ServerName<'static>, Found> {
    // SNI has no dot at the end (RFC 6066 section 3).
    let Some(host) = host.map(|host| host.trim_end_matches('.')) else { return Ok(address.ip().into()) };
    ServerName::try_from(host.to_owned())
        .map_err(|_| (ReasonCode::L6Rsp, format!("{host} cannot be the name of a TLS server")))
}

fn judge(check: &TlsCheck, stream: &TlsStream<TcpStream>, now: Moment) -> Found {
    let session = stream.get_ref().1;
    let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
    let mut detail = version.replace("TLSv", "TLS ").replace('_', ".");
    if let Some(protocol) = session.alpn_protocol() {
        detail = format!("{detail}, {}", String::from_utf8_lossy(protocol));
    }
    let own = session.peer_certificates().and_then(|chain| chain.first());
    let Some(not_after) = own.and_then(|certificate| certificate::not_after(certificate)) else {
        return match check.valid_for {
            Some(_) => (ReasonCode::L6Rsp, "when the certificate expires cannot be read".to_owned()),
            None => (ReasonCode::L6Ok, detail),
        };
    };
    let left = not_after - i64::try_from(now.secs()).unwrap_or(i64::MAX);
    match check.valid_for {
        Some(wanted) if left < i64::try_from(wanted.as_secs()).unwrap_or(i64::MAX) => {
            (ReasonCode::L6Rsp, format!("{}, and is to be valid for {}", expiry(left), days(wanted)))
        }
        _ => (ReasonCode::L6Ok, format!("{detail}, {}", expiry(left))),
    }
}

fn expiry(left_s: i64) -> String {
    match left_s {
        ..0 => "the certificate has expired".to_owned(),
        0..DAY_S => format!("the certificate expires in {} h", left_s / 3600),
        _ => format!("the certificate expires in {} d", left_s / DAY_S),
    }
}

fn days(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds < DAY_S.unsigned_abs() => format!("{duration:?}"),
        seconds => format!("{} d", seconds / DAY_S.unsigned_abs()),
    }
}

/// Why a handshake failed.
fn words(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => trust::words(tls),
        None => tcp::words(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_told_in_hours_and_days() {
        assert_eq!(expiry(-1), "the certificate has expired");
        assert_eq!(expiry(7200), "the certificate expires in 2 h");
        assert_eq!(expiry(61 * DAY_S + 5), "the certificate expires in 61 d");
    }
}
