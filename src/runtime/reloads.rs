//! How did the last reload end, and how many were there?
//!
//! A failed reload changes nothing that queries see, so it must be loud elsewhere: this cell is what `status` and the
//! metrics show of it. Only the daemon writes it; readers load one pointer. The start counts as the first load, as it
//! does in Prometheus' own `config_last_reload_successful`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::model::Moment;
use crate::model::Problem;

/// What asked for a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedBy {
    /// Nothing did: the files were read at the start.
    Start,
    /// SIGHUP.
    Signal,
    /// A file that has changed; the first of them in the order of their names.
    File(PathBuf),
    /// An operator, by the name they are known by: a token's, or the user's at the other end of the admin socket.
    Name(String),
}

impl fmt::Display for AskedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskedBy::Start => f.write_str("the start"),
            AskedBy::Signal => f.write_str("SIGHUP"),
            AskedBy::File(path) => write!(f, "{} has changed", path.display()),
            AskedBy::Name(name) => write!(f, "asked by {name}"),
        }
    }
}

/// How one reload ended.
#[derive(Debug, Clone, PartialEq)]
pub struct LastReload {
    /// When it ended.
    pub at: Moment,
    /// What asked for it.
    pub by: AskedBy,
    /// Whether its files are served now; if not, those of before are.
    pub ok: bool,
    /// The generation that was served when it had ended.
    pub generation: u64,
    /// What was wrong, or looks wrong: errors only when it failed, warnings always.
    pub problems: Vec<Problem>,
    /// Reloads since the start that are served, or were.
    pub applied: u64,
    /// Reloads since the start that were refused.
    pub refused: u64,
    /// When files were last taken over: the start's time until a reload did.
    pub applied_at: Moment,
}

/// The cell with the last reload.
#[derive(Debug)]
pub struct Reloads(ArcSwap<LastReload>);

impl Reloads {
    /// The start: its files were read and are served as generation 1.
    pub fn started(at: Moment, warnings: Vec<Problem>) -> Arc<Self> {
        let first = LastReload {
            at,
            by: AskedBy::Start,
            ok: true,
            generation: 1,
            problems: warnings,
            applied: 0,
            refused: 0,
            applied_at: at,
        };
        Arc::new(Reloads(ArcSwap::from_pointee(first)))
    }

    /// The last one.
    pub fn last(&self) -> Arc<LastReload> {
        self.0.load_full()
    }

    /// Its files are served now, as this generation; `warnings` are what looks wrong in them.
    pub fn applied(&self, at: Moment, by: AskedBy, generation: u64, warnings: Vec<Problem>) {
        let LastReload { applied, refused, .. } = *self.last();
        let applied = applied + 1;
        let now = LastReload { at, by, ok: true, generation, problems: warnings, applied, refused, applied_at: at };
        self.0.store(Arc::new(now));
    }

    /// Nothing has changed, because of these.
    pub fn refused(&self, at: Moment, by: AskedBy, problems: Vec<Problem>) {
        let LastReload { generation, applied, refused, applied_at, .. } = *self.last();
        let refused = refused + 1;
        self.0.store(Arc::new(LastReload { at, by, ok: false, generation, problems, applied, refused, applied_at }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_reload_keeps_the_generation_and_the_time_of_what_is_served() {
        let reloads = Reloads::started(Moment::from_secs(10), Vec::new());
        reloads.applied(Moment::from_secs(20), AskedBy::Signal, 2, Vec::new());
        let wrong = Problem::error("E0200", None, "no such zone");
        reloads.refused(Moment::from_secs(30), AskedBy::Name("anna".into()), vec![wrong.clone()]);
        let last = reloads.last();
        assert_eq!((last.ok, last.generation, last.applied, last.refused), (false, 2, 1, 1));
        assert_eq!((last.at, last.applied_at), (Moment::from_secs(30), Moment::from_secs(20)));
        assert_eq!((last.problems.as_slice(), last.by.to_string().as_str()), (&[wrong][..], "asked by anna"));
    }
}
