//! A server with an admin API on loopback, its clients, and a small reader of schemas.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod api;
pub mod schema;
