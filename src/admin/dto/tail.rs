//! Who still comes to what was drained.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// Clients with an old answer of DNS that still come to this server's listeners, where a region was drained, or a pool whose
/// answers lead to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tail {
    /// What was drained: `region/eu-west` or `pool/eu-web`.
    pub of: String,
    /// Since when it is watched: the drain, or the start of the process.
    pub since: String,
    /// Requests since then. Neither probes of rhumb's count, nor what other regions send on.
    pub requests: u64,
    /// How many of them within the last minute.
    pub last_minute: u64,
    /// When the last one came; absent when there was none.
    pub last: Option<String>,
    /// It is gone when nobody has come for so many seconds: twice the largest TTL of the answers that led here.
    pub quiet_seconds: u64,
    /// Since when it is gone; absent while it is not, and while somebody came after that.
    pub gone: Option<String>,
}
