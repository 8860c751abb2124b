//! The regional tier: listeners that send each request to an endpoint of a pool.
//!
//! **One thread, one runtime, for each core** ([`worker`], [`core`]): a connection stays where it was accepted, with connections to
//! endpoints, balancers and counters of that core; what cores share are a few counts, breakers and those who wait. The
//! [`service`] opens and closes listeners as configurations come. Nothing here decides whom a request is for (`route`), who of a
//! pool is there (`regional`, `balance`) or what is believed (`health`): it asks, and tells how it went.
//!
//! **What becomes of a connection**: [`accept`] hears for whom it speaks, ends TLS and finds out which version is spoken;
//! [`h1_connection`] or [`h2_connection`] takes requests from it; [`exchange`] serves each. There a request is decided on
//! ([`decide`]), sent ([`upstream`], [`back`]) and its bodies go both ways at once ([`relay`], [`front`]), with no more of them in
//! memory than the slower side leaves there. What is left is a [`record`] for the log and numbers for the metrics.
//!
//! **A codec of our own** for HTTP/1.1 ([`h1`]), since what stands in front of others must see the bytes, and the `h2` crate for
//! HTTP/2. Not pingora (its server owns signals and runtimes, its listeners are fixed once started), not hyper's client (one
//! connection of HTTP/2 to a host, and it hides which endpoint answered). HTTP/3 is not spoken.

pub mod accept;
pub mod access_line;
pub mod access_log;
pub mod asked;
pub mod back;
pub mod buffers;
pub mod cells;
pub mod client;
pub mod core;
pub mod counts;
pub mod deadline;
pub mod decide;
pub mod drain;
pub mod exchange;
pub mod flow;
pub mod front;
pub mod h1;
pub mod h1_connection;
pub mod h2_connection;
pub mod h2_outbox;
pub mod headroom;
pub mod listening;
pub mod outbox;
pub mod outgoing;
pub mod proxy_protocol;
pub mod record;
pub mod relay;
pub mod reply;
pub mod service;
pub mod story;
pub mod tails;
pub mod stream;
pub mod tls;
pub mod upstream;
pub mod upstream_tls;
pub mod websocket;
pub mod worker;
