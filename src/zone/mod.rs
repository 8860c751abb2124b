//! Zones: master files, the tree of names, finding in it.

pub mod read;
