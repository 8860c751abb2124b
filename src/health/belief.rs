//! The belief about one endpoint: HAProxy's integer machine of rise and fall.

/// What is believed of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belief {}
