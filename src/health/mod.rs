//! What is believed of each endpoint, and the table of every belief of one moment.

pub mod belief;
pub mod table;
