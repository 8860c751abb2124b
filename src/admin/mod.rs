//! The admin API: what operators ask a running server, what it does for them, and what it says.
//!
//! ```text
//! doors        the Unix socket and the HTTP listener
//! connection   the bounds a client is held to
//! door         who may come in: Host, Origin, tokens
//! routes       the way of a request, through all of these
//! turns        how much those take who only look
//! table        every request there is; openapi is written from it
//! asked        a request as handlers see it
//! answers      the handlers, by theme
//! look         what the server knows, as shapes
//! dto          the shapes; the command line reads them back (client) and renders them (render)
//! ```
//!
//! `GET` changes nothing.

mod answers;
mod asked;
pub mod client;
mod connection;
pub mod counted;
pub mod door;
pub mod doors;
pub mod dto;
pub mod explain;
pub mod failure;
mod look;
mod map;
pub mod messages;
pub mod openapi;
mod order;
mod rate;
pub mod render;
pub mod routes;
pub mod socket;
mod stream;
pub mod table;
mod turns;
mod users;
pub mod what_if;
pub mod when;
