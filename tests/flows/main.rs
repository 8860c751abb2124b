//! Listeners at L4 over TCP as clients and endpoints meet them: bytes, ends and resets, real programs, and bad company.

#[path = "../common/mod.rs"]
mod common;
mod kit;

mod balancing;
mod bulk;
mod carrying;
mod drains;
mod failing;
mod limits;
mod many;
mod neighbours;
mod passthrough;
mod proxy_protocol;
mod reloads;
mod secured;
mod takeovers;
mod told;
