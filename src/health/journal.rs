//! What turned, when and why: the last so many turns, for people.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use crate::model::Moment;

/// The most turns kept: a bad day of a few hundred endpoints, in under a megabyte.
pub const TURNS_MAX: usize = 1000;

/// One standing that turned. Names, not ids: it outlives the model it happened in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// When.
    pub at: Moment,
    /// What: `endpoint`, `pool` or `region`; `load` for what a pool's load makes of it, `config` for reloads, `server` for what the server finds of itself.
    pub kind: &'static str,
    /// Its name: `eu-web/192.0.2.10`, `eu-web`, `eu-west`; the file's for `config`.
    pub name: String,
    /// The former standing, in operators' words.
    pub from: Cow<'static, str>,
    /// The new one.
    pub to: Cow<'static, str>,
    /// How many probes in a row brought it about; 0 where no probe did.
    pub after: u32,
    /// Why: the last probe's code and words, or an operator's.
    pub reason: String,
    /// What counts now, orders considered.
    pub effective: Cow<'static, str>,
}

impl fmt::Display for Turn {
    /// `endpoint=eu-web/192.0.2.10 up -> down after=3 reason="L4CON connection refused" effective=down`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} {} -> {}", self.kind, self.name, self.from, self.to)?;
        if self.after > 0 {
            write!(f, " after={}", self.after)?;
        }
        write!(f, " reason={:?} effective={}", self.reason, self.effective)
    }
}

/// The last [`TURNS_MAX`] turns, each with its number since the start.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    turns: VecDeque<Turn>,
    written: u64,
}

impl Journal {
    /// Adds a turn; the oldest makes room.
    pub fn write(&mut self, turn: Turn) {
        if self.turns.len() == TURNS_MAX {
            self.turns.pop_front();
        }
        self.turns.push_back(turn);
        self.written += 1;
    }

    /// The turns from number `from` on that are still kept, oldest first, each with its number (from 0).
    pub fn read(&self, from: u64) -> impl Iterator<Item = (u64, &Turn)> {
        let first = self.written - self.turns.len() as u64;
        (first..).zip(&self.turns).filter(move |(number, _)| *number >= from)
    }

    /// How many turns were ever written: the number of the next one.
    pub fn written(&self) -> u64 {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(second: u64) -> Turn {
        Turn {
            at: Moment::from_secs(second),
            kind: "endpoint",
            name: "eu-web/192.0.2.10".into(),
            from: "up".into(),
            to: "down".into(),
            after: 3,
            reason: "L4CON connection refused".into(),
            effective: "down".into(),
        }
    }

    #[test]
    fn the_line_says_it_all() {
        let line = r#"endpoint=eu-web/192.0.2.10 up -> down after=3 reason="L4CON connection refused" effective=down"#;
        assert_eq!(turn(0).to_string(), line);
    }

    #[test]
    fn old_turns_make_room_and_numbers_stay() {
        let mut journal = Journal::default();
        (0..TURNS_MAX as u64 + 10).for_each(|second| journal.write(turn(second)));
        assert_eq!(journal.read(0).next().map(|(n, t)| (n, t.at.secs())), Some((10, 10)));
        assert_eq!(journal.read(journal.written() - 1).count(), 1);
        assert_eq!(journal.read(journal.written()).count(), 0);
    }
}
