//! The regional tier: listeners that send each request to an endpoint of a pool.

pub mod access_line;
pub mod access_log;
pub mod cells;
pub mod counts;
pub mod h1;
pub mod record;
