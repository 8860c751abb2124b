//! Choosing among weighted members: keys, weighted rendezvous hashing, rotation.
//!
//! Pure arithmetic over identities and weights; nothing here knows pools, endpoints or health. Every hash is xxh3 with
//! fixed seeds and the logarithm is our own, so that nodes of different builds and machines choose alike.
//!
//! At DNS level `hash`, `ring_hash` and `maglev` are all weighted rendezvous hashing: a ring and a permutation table
//! exist to make the choice cheap among thousands of backends at millions of packets a second, and pay with uneven shares or
//! with clients that move for no reason. Among the few members of a DNS pool the exact method is as fast.

pub mod key;
pub mod rendezvous;
