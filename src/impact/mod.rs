//! What would a change do, and what a failure?
//!
//! ```text
//! changes  two configurations side by side, section by section
//! facts    a configuration in words, item by item
//! proxy_facts  likewise: listeners, and how they treat pools
//! space    the address space, cut into clients that are steered alike
//! moves    two draws by weight: how many change from which pool to which
//! reload   two worlds: whose answers move, by VIP, country and pool
//! demand   how much is asked from where
//! load     how much of it each region bears when some are out
//! cascade  which region is overloaded then, fails next, and so on
//! ```
//!
//! Every answer here is from `steering::decide`, asked once for each class of clients by [`crate::steering::shares()`]; there is
//! no second opinion. Nothing here knows files, sockets or clocks.

pub mod cascade;
pub mod changes;
pub mod demand;
pub mod facts;
pub mod load;
pub mod moves;
pub mod proxy_facts;
pub mod reload;
pub mod space;
