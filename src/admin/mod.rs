//! The admin socket: what operators ask a running server, and what it says.
//!
//! `GET` changes nothing. Shapes are in [`dto`]; the command line reads the same shapes back and [`render`]s them.

pub mod client;
pub mod counted;
pub mod dto;
pub mod explain;
pub mod messages;
pub mod render;
pub mod routes;
pub mod socket;
pub mod when;
