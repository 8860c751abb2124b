//! What is believed of each endpoint, when it is asked again, and the table of every belief of one moment.
//!
//! Pure: results and the time come in, beliefs and probes to start come out. The [`ledger`] ties the parts together;
//! `runtime::keeper` gives it the time and carries out what it says, `prober` does the asking. Nothing here opens a
//! socket or knows what a query is.

pub mod probe;
pub mod forced;
pub mod names;
pub mod ejection;
pub mod orders;
pub mod needed;
pub mod fronts;
pub mod belief;
pub mod shedding;
pub mod headroom;
pub mod standings;
pub mod table;
pub mod target;
pub mod schedule;
pub mod suspicion;
pub mod journal;
pub mod tally;
pub mod ledger;
