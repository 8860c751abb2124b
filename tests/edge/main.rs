//! The regional proxy as clients and origins meet it: raw bytes from both sides, real programs, and bad company.

#[path = "../common/mod.rs"]
mod common;
mod kit;

mod bodies;
mod deadlines;
mod exchange;
mod framing;
mod headers;
mod hosts;
mod responses;
mod targets;
mod trailers;
mod upgrades;
