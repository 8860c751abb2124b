//! Choosing among weighted things: weighted draws, rendezvous hashing, rotation.
