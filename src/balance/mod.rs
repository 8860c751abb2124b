//! Choosing among weighted members, and knowing when not to: hashing, turns, queues, latency, breakers and budgets.
//!
//! Pure arithmetic over identities, weights and counts; nothing here knows connections or what probes find, and nothing waits
//! but for a lock of some tens of nanoseconds.
//! Every hash is xxh3 with fixed seeds and the logarithm is our own, so that nodes of different builds and machines choose
//! alike.
//!
//! At DNS level `hash`, `ring_hash` and `maglev` are all weighted rendezvous hashing: a ring and a permutation table
//! exist to make the choice cheap among thousands of backends at millions of packets a second, and pay with uneven shares or
//! with clients that move for no reason. Among the few members of a DNS pool the exact method is as fast.
//!
//! The rest is of the regional tier, whose proxies come in by two doors.
//! [`standing`] is made whenever something changes: from beliefs and orders, each endpoint's [`breaker`] under the law of
//! [`ejection`], [`mod@panic`], [`tiers`] of backups and [`slow_start`]. Each request then asks it for a place in the pool,
//! which a [`balancer`] finds by the pool's method; [`sticky`] goes before, [`retry_budget`] and [`rate`] bound what comes
//! at all. How it ended is told to [`live`], the one thing here that cores share and that has a name: [`live_pools`] carries it
//! over reloads.

pub mod key;
pub mod set;
pub mod ask;
pub mod rendezvous;
pub mod smooth_wrr;
pub mod least_conn;
pub mod random;
pub mod peak_ewma;
pub mod p2c;
pub mod balancer;
pub mod maglev;
pub mod ring;
pub mod bounded;
pub mod slow_start;
pub mod tiers;
pub mod panic;
pub mod standing;
pub mod sticky;
pub mod window;
pub mod breaker;
pub mod ejection;
pub mod live;
pub mod live_pools;
pub mod retry_budget;
pub mod rate;
