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
    /// Another weight than the configuration's, for an endpoint; 0: only when every other is gone.
    Weight(u32),
}

/// Which of a subject's orders: a state and a weight stand beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aspect {
    /// Drain, maint, forced up or down.
    State,
    /// Another weight.
    Weight,
}

/// What an operator wants changed of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This order, in place of a former one of the same aspect.
    Set(Forced),
    /// No order of this aspect any more; of none when absent.
    End {
        /// Which; every one when absent.
        aspect: Option<Aspect>,
        /// Who ends it.
        by: String,
    },
}

/// Why an order was not taken; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such region, pool or endpoint; a sentence with what there is.
    Unknown(String),
    /// The order makes no sense for this subject; a sentence.
    Invalid(String),
    /// It would leave these VIPs without a healthy pool (the first few, by name); may be ordered all the same.
    Unsafe {
        /// Names of VIPs.
        vips: Vec<String>,
        /// How many more.
        more: usize,
    },
    /// It could not be written to `state_dir`, so it would not survive a restart; the system's words.
    NotSaved(String),
    /// The server is stopping, or hands over to another process, which takes orders in a moment.
    Stopping,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unknown(sentence) | Refusal::Invalid(sentence) => f.write_str(sentence),
            Refusal::Unsafe { vips, more } => {
                write!(f, "it would leave {} without a healthy pool", vips.join(", "))?;
                if *more > 0 { write!(f, " (and {more} more)") } else { Ok(()) }
            }
            Refusal::NotSaved(error) => write!(f, "it cannot be kept in state_dir: {error}"),
            Refusal::Stopping => {
                f.write_str("the server is stopping, or another process takes over: try again in a moment")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl Order {
    /// Whether it takes its subject out of every answer, even when all others are down.
    pub const fn withdraws(self) -> bool {
        matches!(self, Order::Drain | Order::Maint)
    }

    /// Which of a subject's orders it is.
    pub const fn aspect(self) -> Aspect {
        match self {
            Order::Weight(_) => Aspect::Weight,
            _ => Aspect::State,
        }
    }

    /// The weight, if it is one.
    pub const fn weight(self) -> Option<u32> {
        match self {
            Order::Weight(weight) => Some(weight),
            _ => None,
        }
    }

    /// Which of two orders counts where both hold, a pool's and its region's: the one with the larger number.
    pub const fn harshness(self) -> u8 {
        match self {
            Order::Maint => 3,
            Order::Drain => 2,
            Order::Down => 1,
            Order::Up | Order::Weight(_) => 0,
        }
    }

    /// The standing it makes, in operators' words.
    pub const fn words(self) -> &'static str {
        match self {
            Order::Drain => "drain",
            Order::Maint => "maint",
            Order::Up => "forced-up",
            Order::Down => "forced-down",
            Order::Weight(_) => "weight",
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
    /// When it takes effect; at once when that is not after `since`. Until then TTLs are lowered so that no answer
    /// outlives that moment.
    pub begins: Moment,
    /// When it ends by itself; never when absent.
    pub until: Option<Moment>,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It begins later.
    Planned,
    /// It counts.
    InForce,
    /// The configuration has no such region, pool or endpoint now; it counts again when one of that name returns.
    Dormant,
}

impl Phase {
    /// The word for people and programs.
    pub const fn words(self) -> &'static str {
        match self {
            Phase::Planned => "planned",
            Phase::InForce => "in-force",
            Phase::Dormant => "dormant",
        }
    }
}

impl Forced {
    /// Whether its end has not come.
    pub fn holds_at(&self, now: Moment) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether it counts: it has begun and not ended.
    pub fn in_force_at(&self, now: Moment) -> bool {
        self.begins <= now && self.holds_at(now)
    }

    /// When it next begins or ends by itself; `None`: never.
    pub fn changes_after(&self, now: Moment) -> Option<Moment> {
        [Some(self.begins), self.until].into_iter().flatten().filter(|moment| *moment > now).min()
    }

    /// Whether there is a moment at which both this and an order of that time count.
    pub fn overlaps(&self, begins: Moment, until: Option<Moment>) -> bool {
        until.is_none_or(|until| self.begins < until) && self.until.is_none_or(|end| begins < end)
    }

    /// Why and by whom: `kernel by ada`.
    pub fn papers(&self) -> String {
        match (self.reason.is_empty(), self.by.is_empty()) {
            (false, false) => format!("{} by {}", self.reason, self.by),
            (true, false) => format!("by {}", self.by),
            (false, true) => self.reason.clone(),
            (true, true) => "no reason given".to_owned(),
        }
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
            begins: Moment::from_secs(10),
            until: Some(Moment::from_secs(40)),
        };
        assert!(drain.holds_at(Moment::from_secs(39)));
        assert!(!drain.holds_at(Moment::from_secs(40)));
        assert_eq!(drain.seconds_left(Moment::from_secs(15)), Some(25));
        assert!(Forced { until: None, ..drain }.holds_at(Moment::from_secs(1 << 40)));
    }

    #[test]
    fn a_planned_order_waits_for_its_time() {
        let at = Moment::from_secs;
        let (reason, by) = ("kernel".into(), "ada".into());
        let drain = Forced { order: Order::Drain, reason, by, since: at(0), begins: at(10), until: Some(at(40)) };
        let in_force = [9, 10, 39, 40].map(|second| drain.in_force_at(at(second)));
        assert_eq!(in_force, [false, true, true, false]);
        let changes = [0, 10, 40].map(|second| drain.changes_after(at(second)));
        assert_eq!(changes, [Some(at(10)), Some(at(40)), None]);
        assert!(drain.overlaps(at(39), None) && !drain.overlaps(at(40), None) && !drain.overlaps(at(0), Some(at(10))));
        assert_eq!(drain.papers(), "kernel by ada");
    }
}
