//! Sockets.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// A socket that takes queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Listener {
    /// What kind: `dns`.
    pub kind: String,
    /// What is spoken there: `UDP`, `TCP`, `TLS`, `QUIC`, `HTTPS`.
    pub transport: String,
    /// Where, with the real port.
    pub address: String,
}
