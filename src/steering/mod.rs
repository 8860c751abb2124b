//! Which endpoints may this client be sent to?
//!
//! ```text
//! client   whose place counts
//! rank     how a policy orders its pools for a place
//! plan     the model compiled: prefix -> class -> ranking
//! decide   rank, drop what health says cannot serve, pick: for one client
//! detour   which clients a loaded pool sends elsewhere first
//! pick     endpoints within the chosen pool
//! trace    the same decision, told step by step
//! safety   which VIPs an order would leave without a healthy pool
//! shares   the same decision for all clients alike: what part of them goes where
//! uses     which pools a VIP can be answered from, numbered for those who count
//! ```
//!
//! [`decide()`] ranks a VIP's pools for a client by the compiled [`Plan`], drops what health says cannot serve, and picks
//! endpoints. The server and `explain` call the same function; what differs is the [`Tracer`]. Nothing here reads a clock,
//! draws a random number or allocates for a query: time and chance come in as a [`Draw`].

mod client;
mod decide;
mod detour;
mod pick;
mod plan;
mod rank;
mod safety;
mod shares;
mod steering_map;
mod trace;
mod uses;

pub use client::Client;
pub use decide::{Decision, Draw, Reason, Verdict, decide, decide_at, decide_beyond};
pub use pick::Keying;
pub use plan::{Plan, PlanFigures};
pub use rank::{Group, Ranking};
pub use safety::{Judged, Safety};
pub use shares::{Shares, shares, shares_at};
pub use trace::{
    Condition, DrawStep, LoadStep, Next, Obstacle, OrderStep, PoolStep, PoolUse, Recorder, Reweighed, RuleStep, Silent,
    Trace, Tracer, TtlCause, explain, explain_at,
};
pub use uses::Uses;
