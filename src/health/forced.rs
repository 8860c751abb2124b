//! What an operator ordered of an endpoint, pool or region, kept beside what is observed and never mixed with it.

use std::fmt;

use crate::model::Moment;

/// What was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// New clients go elsewhere; probes go on.
    Drain,
    /// Out for maintenance: new clients go elsewhere, and what probes find is of no interest.
    Maint,
    /// Counts as up, whatever probes find.
    Up,
    /// Counts as down, whatever probes find.
    Down,
}

impl Order {
    /// Whether it takes its subject out of every answer, even when all others are down.
    pub const fn withdraws(self) -> bool {
        matches!(self, Order::Drain | Order::Maint)
    }

    /// The standing it makes, in operators' words.
    pub const fn words(self) -> &'static str {
        match self {
            Order::Drain => "drain",
            Order::Maint => "maint",
            Order::Up => "forced-up",
            Order::Down => "forced-down",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// An order with its papers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    /// What was ordered.
    pub order: Order,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who ordered it.
    pub by: String,
    /// When it was ordered.
    pub since: Moment,
    /// When it ends by itself; never when absent.
    pub until: Option<Moment>,
}

impl Forced {
    /// Whether it still holds.
    pub fn holds_at(&self, now: Moment) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whole seconds it still holds; `None` without an end.
    pub fn seconds_left(&self, now: Moment) -> Option<u64> {
        self.until.map(|until| until.since(now).as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_ends_by_itself() {
        let drain = Forced {
            order: Order::Drain,
            reason: "kernel".into(),
            by: "ada".into(),
            since: Moment::from_secs(10),
            until: Some(Moment::from_secs(40)),
        };
        assert!(drain.holds_at(Moment::from_secs(39)));
        assert!(!drain.holds_at(Moment::from_secs(40)));
        assert_eq!(drain.seconds_left(Moment::from_secs(15)), Some(25));
        assert!(Forced { until: None, ..drain }.holds_at(Moment::from_secs(1 << 40)));
    }
}
