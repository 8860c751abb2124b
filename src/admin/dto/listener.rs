//! Sockets.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// A socket that takes queries or requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Listener {
    /// What kind: `dns`, `proxy`.
    pub kind: String,
    /// What is spoken there: `UDP`, `TCP`, `TLS`, `QUIC`, `HTTPS` for DNS; `HTTP`, `HTTPS`, `TCP`, `UDP`,
    /// `TLS_PASSTHROUGH` for a proxy.
    pub transport: String,
    /// Where; of DNS with the real port.
    pub address: String,
    /// Its name, and all of what follows: of a proxy's listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How many routes it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<u64>,
    /// Connections of clients that are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Requests since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
}
