//! What the clients met, counted by region: since the beginning, and in the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use crate::demo::clients::What;
use crate::model::Moment;

/// What "now" is in the table.
const WINDOW: Duration = Duration::from_secs(5);

/// The counts.
#[derive(Debug)]
pub struct Tally {
    began: Moment,
    /// Requests that were answered, within the window, oldest first: a thousand or so.
    recent: VecDeque<Answer>,
    answered: u64,
    carried: u64,
    failed: Vec<u64>,
    /// Of those who never came to a region.
    failed_nowhere: u64,
    last_failure: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    at: Moment,
    asked: usize,
    by: usize,
    took: Duration,
}

/// One region's last seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Requests a second that its applications answer.
    pub rate: f64,
    /// Requests a second that its edge has another region answer.
    pub forwarded: f64,
    /// Of all requests, 0 to 1.
    pub share: f64,
    /// Half of them take at most so long.
    pub p50: Option<Duration>,
    /// All but a hundredth take at most so long.
    pub p99: Option<Duration>,
    /// Failed since the beginning.
    pub failed: u64,
}

impl Tally {
    /// Nothing has been met yet in these many regions.
    pub fn new(regions: usize, now: Moment) -> Self {
        Tally {
            began: now,
            recent: VecDeque::new(),
            answered: 0,
            carried: 0,
            failed: vec![0; regions],
            failed_nowhere: 0,
            last_failure: None,
        }
    }

    /// Counts one thing that was met.
    pub fn count(&mut self, what: &What, at: Moment) {
        match what {
            What::SentTo(_) => {}
            What::Answered { asked, by, took } => {
                self.answered += 1;
                self.carried += u64::from(asked != by);
                self.recent.push_back(Answer { at, asked: *asked, by: *by, took: *took });
            }
            What::Failed { asked, why } => {
                *asked.map_or(&mut self.failed_nowhere, |region| &mut self.failed[region]) += 1;
                self.last_failure = Some(why.clone());
            }
        }
    }

    /// The last seconds of each region.
    pub fn figures(&mut self, now: Moment) -> Vec<Figures> {
        while self.recent.front().is_some_and(|answer| now.since(answer.at) > WINDOW) {
            self.recent.pop_front();
        }
        let seconds = now.since(self.began).min(WINDOW).as_secs_f64().max(0.1);
        (0..self.failed.len()).map(|region| self.of_region(region, seconds)).collect()
    }

    fn of_region(&self, region: usize, seconds: f64) -> Figures {
        let mut took: Vec<Duration> = self.recent.iter().filter(|a| a.by == region).map(|a| a.took).collect();
        took.sort_unstable();
        let forwarded = self.recent.iter().filter(|answer| answer.asked == region && answer.by != region).count();
        Figures {
            rate: took.len() as f64 / seconds,
            forwarded: forwarded as f64 / seconds,
            share: took.len() as f64 / self.recent.len().max(1) as f64,
            p50: quantile(&took, 50),
            p99: quantile(&took, 99),
            failed: self.failed[region],
        }
    }

    /// Requests that were answered since the beginning.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Of those, how many an edge had another region answer.
    pub fn carried(&self) -> u64 {
        self.carried
    }

    /// Requests that failed.
    pub fn failed(&self) -> u64 {
        self.failed.iter().sum::<u64>() + self.failed_nowhere
    }

    /// All of it: `3601 requests answered, 312 of them in another region than they were sent to; no request failed`.
    pub fn words(&self) -> String {
        let failed = match self.failed() {
            0 => "no request failed".to_owned(),
            1 => "1 request failed".to_owned(),
            count => format!("{count} requests failed"),
        };
        let (answered, carried) = (self.answered, self.carried);
        format!("{answered} requests answered, {carried} of them in another region than they were sent to; {failed}")
    }

    /// Nothing, if no request failed.
    ///
    /// # Errors
    /// How many did, and why the last of them.
    pub fn verdict(&self) -> Result<(), String> {
        match (self.failed(), &self.last_failure) {
            (0, _) => Ok(()),
            (count, why) => {
                let (all, why) = (count + self.answered, why.as_deref().unwrap_or("no reason"));
                Err(format!("{count} of {all} requests failed; the last: {why}"))
            }
        }
    }
}

/// The smallest that so many per cent do not exceed (nearest rank); they are sorted.
fn quantile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_secs(1_000);

    fn answered(asked: usize, by: usize, millis: u64) -> What {
        What::Answered { asked, by, took: Duration::from_millis(millis) }
    }

    #[test]
    fn figures_are_of_the_last_seconds_and_failures_of_all_time() {
        let mut tally = Tally::new(2, START);
        assert_eq!(tally.verdict(), Ok(()));
        let at = |seconds| START + Duration::from_secs(seconds);
        tally.count(&answered(0, 0, 900), at(1));
        tally.count(&What::Failed { asked: Some(1), why: "status 502".to_owned() }, at(1));
        tally.count(&What::Failed { asked: None, why: "DNS: no answer".to_owned() }, at(2));
        for second in 6..=10 {
            tally.count(&answered(0, 0, second), at(second));
            tally.count(&answered(0, 1, 2), at(second));
        }
        let figures = tally.figures(at(11));
        assert_eq!((figures[0].rate, figures[0].forwarded, figures[0].share), (1.0, 1.0, 0.5));
        assert_eq!(figures[0].p50, Some(Duration::from_millis(8)));
        assert_eq!(figures[0].p99, Some(Duration::from_millis(10)));
        assert_eq!((figures[0].failed, figures[1].failed), (0, 1));
        assert_eq!((tally.answered(), tally.carried(), tally.failed()), (11, 5, 2));
        assert_eq!(tally.verdict(), Err("2 of 13 requests failed; the last: DNS: no answer".to_owned()));
        assert_eq!(tally.figures(at(60))[0].p50, None);
    }

    #[test]
    fn quantiles_are_of_those_that_were_seen() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 50), Some(Duration::from_millis(100)));
        assert_eq!(quantile(&times, 99), Some(Duration::from_millis(198)));
        assert_eq!(quantile(&times[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(quantile(&[], 50), None);
    }
}
