//! From query bytes to response bytes, without sockets.
fn main() {}
