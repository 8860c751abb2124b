//! The endpoints as one core knows them: connections that wait for a request, who may be chosen, who waits.

pub mod connect;
pub mod endpoint;
pub mod h2_connections;
pub mod pool;
pub mod queue;
pub mod tunnels;
