//! The clock, the published world, the keeper (its one writer), and the files they come from.

pub mod clock;
pub mod swap;
pub mod kept_file;
pub mod state;
pub mod overrides;
pub mod desk;
pub mod keeper;
pub mod limits;
pub mod config_files;
pub mod watch;
pub mod signals;
pub mod zone_files;
pub mod tls_files;
pub mod trust;
pub mod load;
pub mod reloads;
pub mod door;
pub mod handover;
