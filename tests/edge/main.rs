//! The regional proxy as clients and origins meet it: raw bytes from both sides, real programs, and bad company.

#[path = "../common/mod.rs"]
mod common;
mod kit;

mod balancing;
mod bodies;
mod browser;
mod connections;
mod deadlines;
mod desync;
mod drains;
mod ejection;
mod endings;
mod example;
mod exchange;
mod explain;
mod floods;
mod floods_h2;
mod framing;
mod grpc;
mod h2_origins;
mod headers;
mod hosts;
mod http2;
mod keyed;
mod limits;
mod misdirected;
mod neighbours;
mod programs;
mod reloads;
mod responses;
mod secured;
mod tails;
mod takeovers;
mod retries;
mod shedding;
mod sticky;
mod targets;
mod tiers;
mod trailers;
mod upgrades;
mod websocket;
