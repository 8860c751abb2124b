//! Zones: master files, the tree of names, finding in it.

pub mod read;
pub mod pages;
pub mod index;
pub mod tree;
pub mod compile;
pub mod find;
pub mod zones;
