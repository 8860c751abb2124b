//! An HTTP request over TCP or TLS.

use crate::health::probe::ReasonCode;
use crate::health::target::Target;

/// The clients that requests are made with.
#[derive(Debug, Default)]
pub struct HttpClients {}

/// Asks and judges the answer.
pub(super) async fn request(_target: &Target, _clients: &HttpClients) -> (ReasonCode, String) {
    todo!()
}
