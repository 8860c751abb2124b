//! L4: flows that are carried unread.
//!
//! A flow is a connection over TCP, or what two sockets say to each other over UDP. All that is known of it is who its client
//! is, and for `tls-passthrough` the server that the client names in its first message.

pub mod carry;
pub mod gate;

pub mod half;
pub mod hello;
pub mod pipes;
pub mod serve;
pub mod story;
pub mod udp;
