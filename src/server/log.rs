//! What do the logs of queries and of requests have in common?
//!
//! A [`Log`] is switched by reloads: [`Log::prepare`] opens the file while a reload can still be refused, [`Log::begin`]
//! makes it the one that workers find. What they put into it, a [`Logged::Tap`], is the log's own; text is written by a
//! thread of its own, so that no disk holds up a worker. A worker keeps the tap it found until it looks again, and the
//! thread ends when the last tap is let go.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::model::Problem;
use crate::server::log_file::LogFile;
use crate::server::log_file::NAP;

/// What one log has that others have not.
pub trait Logged {
    /// What a configuration says of it.
    type Settings: Clone + PartialEq + fmt::Debug;
    /// Where workers put what is to be written.
    type Tap: fmt::Debug;
    /// What people call it: `query log`.
    const NAME: &'static str;
    /// Where it is written; standard error when absent.
    fn file(settings: &Self::Settings) -> Option<&Path>;
    /// Begins the thread that writes.
    ///
    /// # Errors
    /// The system gives no thread.
    fn tap(
        settings: &Self::Settings,
        file: LogFile,
        counts: &Arc<LogCounts>,
    ) -> io::Result<(Self::Tap, JoinHandle<()>)>;
}

/// What became of that which was drawn.
#[derive(Debug, Default)]
pub struct LogCounts {
    /// Written.
    pub written: AtomicU64,
    /// Not written: more were drawn in one second than may be.
    pub over_rate: AtomicU64,
    /// Not written: the writer did not keep up.
    pub full: AtomicU64,
    /// Not written: the file took no more.
    pub failed: AtomicU64,
}

/// A log of a server, on or off.
pub struct Log<L: Logged> {
    tap: ArcSwapOption<L::Tap>,
    settings: ArcSwapOption<L::Settings>,
    counts: Arc<LogCounts>,
    /// Those that may still be writing.
    writers: Mutex<Vec<JoinHandle<()>>>,
}

impl<L: Logged> Default for Log<L> {
    fn default() -> Self {
        Log {
            tap: ArcSwapOption::default(),
            settings: ArcSwapOption::default(),
            counts: Arc::default(),
            writers: Mutex::default(),
        }
    }
}

impl<L: Logged> fmt::Debug for Log<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("name", &L::NAME).field("settings", &self.settings.load()).finish_non_exhaustive()
    }
}

/// A log that could be begun.
#[derive(Debug)]
pub enum Prepared<S> {
    /// As it is now.
    Unchanged,
    /// None.
    Off,
    /// With these settings, at its end.
    To(Box<(S, LogFile)>),
}

impl<L: Logged> Log<L> {
    /// What workers use from the next world on.
    pub fn tap(&self) -> Option<Arc<L::Tap>> {
        self.tap.load_full()
    }

    /// What became of that which was drawn since the start.
    pub fn counts(&self) -> &Arc<LogCounts> {
        &self.counts
    }

    /// Opens what a configuration asks for; nothing changes yet.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn prepare(&self, settings: Option<&L::Settings>) -> Result<Prepared<L::Settings>, Problem> {
        match settings {
            settings if self.settings.load().as_deref() == settings => Ok(Prepared::Unchanged),
            None => Ok(Prepared::Off),
            Some(settings) => {
                let file = LogFile::open(L::NAME, L::file(settings))?;
                Ok(Prepared::To(Box::new((settings.clone(), file))))
            }
        }
    }

    /// Logs as prepared from now on.
    pub fn begin(&self, prepared: Prepared<L::Settings>) {
        let (settings, file) = match prepared {
            Prepared::Unchanged => return,
            Prepared::Off => return self.turn_off(),
            Prepared::To(to) => *to,
        };
        match L::tap(&settings, file, &self.counts) {
            Ok((tap, writer)) => {
                self.settings.store(Some(Arc::new(settings)));
                self.tap.store(Some(Arc::new(tap)));
                let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
                writers.retain(|writer| !writer.is_finished());
                writers.push(writer);
            }
            Err(error) => tracing::error!("no {}: the system gives no thread: {error}", L::NAME),
        }
    }

    fn turn_off(&self) {
        self.settings.store(None);
        self.tap.store(None);
    }

    /// Off, and waits for what was put in to be written: until the last tap is let go and the last line is out, but not
    /// for longer than this. Whether that is so.
    pub fn end(&self, patience: Duration) -> bool {
        self.turn_off();
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_written = |writers: &[JoinHandle<()>]| writers.iter().all(JoinHandle::is_finished);
        let mut waited = Duration::ZERO;
        while !is_written(&writers) && waited < patience {
            thread::sleep(NAP);
            waited += NAP;
        }
        writers.retain(|writer| !writer.is_finished());
        writers.is_empty()
    }
}

/// Which of all is drawn: a share of them, at random.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Drawn are mixed random bits that are not above this.
    threshold: u64,
}

impl Share {
    /// Above 0, at most 1.
    pub fn of(share: f64) -> Self {
        Share { threshold: if share >= 1.0 { u64::MAX } else { (share * u64::MAX as f64) as u64 } }
    }

    /// Whether it is drawn. The random bits may have chosen its answer, too, so they are mixed: what is logged must not
    /// be what got one of the answers.
    #[inline]
    pub fn draws(self, random: u64) -> bool {
        (random ^ (random >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) <= self.threshold
    }
}

/// How much is taken in a second, over all workers.
#[derive(Debug)]
pub struct SecondsRate {
    max: u32,
    /// The second that is being counted in the upper half, how many were taken in it in the lower.
    window: AtomicU64,
}

impl SecondsRate {
    /// So many at most.
    pub fn of(max: u32) -> Self {
        SecondsRate { max, window: AtomicU64::new(0) }
    }

    /// Counts one for this second, or says that there were enough. Workers that meet at the turn of a second may count a
    /// few twice or not at all.
    pub fn takes(&self, second: u64) -> bool {
        let window = self.window.load(Relaxed);
        let taken = if window >> 32 == second & 0xffff_ffff { window & 0xffff_ffff } else { 0 };
        if taken >= u64::from(self.max) {
            return false;
        }
        self.window.store(second << 32 | (taken + 1), Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_drawn_is_the_share_that_was_asked_for() {
        let mut dice = crate::server::dice::Dice::new();
        for asked in [0.01, 0.25, 1.0] {
            let share = Share::of(asked);
            let drawn = (0..200_000).filter(|_| share.draws(dice.roll())).count() as f64 / 200_000.0;
            assert!((drawn - asked).abs() < 0.01, "{asked}: {drawn}");
        }
    }

    #[test]
    fn what_is_drawn_does_not_depend_on_the_bits_that_choose_answers() {
        let mut dice = crate::server::dice::Dice::new();
        let share = Share::of(0.1);
        // Rotations take the upper bits, weighted draws all of them.
        let upper: Vec<u64> = (0..400_000).map(|_| dice.roll()).filter(|r| share.draws(*r)).map(|r| r >> 63).collect();
        let half = upper.iter().sum::<u64>() as f64 / upper.len() as f64;
        assert!((half - 0.5).abs() < 0.02, "{half}");
    }

    #[test]
    fn no_more_than_the_rate_in_a_second() {
        let rate = SecondsRate::of(3);
        let taken = |second| (0..10).filter(|_| rate.takes(second)).count();
        assert_eq!((taken(100), taken(100), taken(101)), (3, 0, 3));
    }
}
