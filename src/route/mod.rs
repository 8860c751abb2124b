//! What is this request, may it pass, and what is to be done with it? The decisions of the HTTP tier, without its sockets.
//!
//! Pure functions over parsed heads, in the order a request meets them: [`raw`] and [`strict`] refuse what two programs could
//! read in two ways, with [`upgrade`] and [`trailers`]; [`path`] and [`host`] bring what it asks for into one form; [`table`]
//! finds the route and [`explain`] says why; [`split`] and [`keyed`] choose among a route's pools; [`client`], [`forwarded`],
//! [`hop_by_hop`], [`edits`] and [`rewrite`] make the head that the backend sees; [`expires`] and [`edits`] the one that the
//! client sees. [`plan`] is all that a route does, compiled. Nothing here knows endpoints; see `balance`.
//!
//! [`crate::proxy::decide`] goes through all of it for each request.

pub mod head;
pub mod host;
pub mod path;
pub mod query;
pub mod cookies;
pub mod predicate;
pub mod prefixes;
pub mod table;
pub mod explain;
pub mod split;
pub mod keyed;
pub mod template;
pub mod rewrite;
pub mod hop_by_hop;
pub mod edits;
pub mod expires;
pub mod client;
pub mod client_hello;
pub mod forwarded;
pub mod sent_on;
pub mod refusal;
pub mod plan;
pub mod probe;
pub mod raw;
pub mod strict;
pub mod upgrade;
pub mod trailers;
