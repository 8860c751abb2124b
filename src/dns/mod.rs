//! DNS messages: names, queries (bytes to meaning), EDNS, the response writer (meaning to bytes).
//!
//! Wire format only. Nothing here knows zones, clients or health.

pub mod code;
pub mod name;
pub mod name_buf;
pub mod cookie;
pub mod edns;
pub mod query;
pub mod writer;
