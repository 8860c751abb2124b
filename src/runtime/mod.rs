//! The clock, the published world, the keeper (its one writer), and the files they come from.

pub mod watch;
pub mod zone_files;
