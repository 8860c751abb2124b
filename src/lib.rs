//! rhumb: a GeoDNS global traffic manager.
//!
//! # Architecture
//!
//! Modules are declared innermost first, and a module uses only those above it (`tests/architecture.rs` holds every
//! `crate::` path to that order).
//!
//! ```text
//! NOUNS        plain values; no io, no clock, no serde
//!   model        regions, endpoints, pools, VIPs, checks, problems
//! MECHANISMS   pure; each usable and tested alone
//!   dns          names, queries (bytes to meaning), EDNS, the response writer (meaning to bytes)
//!   zone         master files, the tree of names, finding in it
//!   geo          databases, places, distances, the prefix table with its exact scope
//!   health       beliefs, schedules, the table of every belief of one moment
//!   balance      choosing among weighted members: hashing, turns, queues, latency; breakers and budgets
//!   route        a request's head: what may pass, which route it is for, what the backend is told
//! DECISIONS    still pure
//!   steering     whose place counts, ranking by policy, what is eligible, the pick, the trace
//!   regional     listeners and their pools compiled, who of a pool is there at this moment, and clients with an old answer
//!   config       what was written, what was meant, and every problem on the way
//!   snapshot     the model compiled: dense ids, prefix tables, zones
//!   world        a snapshot and the health table made for it
//!   responder    query bytes, client, world, draw to response bytes
//!   impact       two worlds side by side: what differs, whose answers move, which region bears how much
//! EDGES        the only code that waits
//!   runtime      the clock, the published world, the keeper (its one writer), files, what is handed to a successor
//!   server       UDP workers, TCP, encrypted transports
//!   prober       TCP, TLS, HTTP, HTTPS, DNS and gRPC probes
//!   proxy        the regional tier: HTTP/1.1 and HTTP/2 from clients to endpoints, and connections and datagrams at L4 unread
//!   admin        the admin API, on its socket and over HTTP
//!   metrics      what a monitoring system reads
//!   daemon       the whole server assembled: load, bind, announce, serve, reload, drain
//!   demo         the three tiers on loopback, clients all over the world, and a region that fails
//!   cmd          one file for each verb
//! ```
//!
//! Six flows:
//!
//! ```text
//! query    server -> responder -> dns::query -> zone::find -> steering::decide -> dns::writer -> server
//! health   health::schedule -> prober -> keeper -> Belief::after -> HealthTable -> World
//! request  proxy::accept -> proxy::decide -> route::plan -> proxy::upstream (balance) -> proxy::relay -> balance::live
//! L4       proxy::flow (route::client_hello) -> regional::flow -> proxy::upstream (balance) -> copy or splice -> balance::live
//! config   files -> Spec -> check -> Model -> Snapshot -> keeper -> World
//! explain  cmd or admin -> responder's own client and steering::decide, with a tracer that keeps what it is told; of a URL
//!          on to proxy::decide, regional::which and regional::choice, as the proxy asks them
//! ```
//!
//! A query or a request loads the [`world::World`] once, decides on it and lets it go. Snapshot and health table are published
//! together in one swap, so they always agree. Where an endpoint is a listener of the same configuration ([`health::fronts`]), the
//! table follows what dies behind it up to the answers of DNS in the same step. The keeper is the only writer. The pure layers take
//! the time and the random draw as arguments, so the same seed gives the same run.

pub mod model;
pub mod dns;
pub mod zone;
pub mod geo;
pub mod health;
pub mod balance;
pub mod route;
pub mod steering;
pub mod regional;
pub mod config;
pub mod snapshot;
pub mod world;
pub mod responder;
pub mod impact;
pub mod runtime;
pub mod server;
pub mod prober;
pub mod proxy;
pub mod admin;
pub mod metrics;
pub mod daemon;
pub mod demo;
pub mod cmd;
