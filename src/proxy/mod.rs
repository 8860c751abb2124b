//! The regional tier: listeners that send each request to an endpoint of a pool.

pub mod h1;
