//! The regional proxy as clients and origins meet it: raw bytes from both sides, real programs, and bad company.

#[path = "../common/mod.rs"]
mod common;
mod kit;

mod bodies;
mod connections;
mod deadlines;
mod desync;
mod drains;
mod example;
mod exchange;
mod explain;
mod floods;
mod floods_h2;
mod framing;
mod grpc;
mod headers;
mod h2_origins;
mod hosts;
mod http2;
mod neighbours;
mod programs;
mod reloads;
mod responses;
mod secured;
mod takeovers;
mod targets;
mod trailers;
mod upgrades;
mod websocket;
