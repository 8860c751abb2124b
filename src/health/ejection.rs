//! What failing requests say of an endpoint, beside what probes find and what operators order.
//!
//! Probes ask every few seconds; a proxy sees each request fail. Its breaker lets the endpoint rest
//! (`balance::breaker`; `balance::ejection` says how many of a pool may), and it is told here, so that DNS sends nobody there
//! either. It never touches what probes count: a pass does not end an ejection, and an ejection is no failure.
//!
//! **It ends by itself.** A proxy renews it while trials fail and takes it back when one passes. One that has died, or has no
//! requests to try with, does neither: [`UNRENEWED_MAX`] after the rest was to be over the ejection is forgotten.
//!
//! **It never empties the last healthy pool.** Where ejections are all that keeps a pool down and a VIP has no other that is
//! up, those ejections do not count (`health::ledger`). Clients see failures everywhere when a shared database is down, and an
//! outage is no better when DNS joins it.
//!
//! **The server's suspicion of itself is another matter** ([`crate::health::suspicion`]). Ejections are no evidence for it:
//! they stop at half of a pool, so nearly everything never fails by them, and what fails may well be a request's fault. Nor
//! does it void them: requests may fail in truth while our probes cannot get out, and what ejections do is bounded already.
//!
//! Nothing of it outlives the process: breakers begin anew, too.

use std::time::Duration;

use crate::model::Moment;

/// How long an ejection outlives its `until` when nobody says more: a trial is lost after half a minute, and another is sent.
pub const UNRENEWED_MAX: Duration = Duration::from_secs(60);

/// Requests to an endpoint fail, and it rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejection {
    /// When it was told, or the first of those that it renews.
    pub since: Moment,
    /// Until then it gets no request; what comes after is told anew.
    pub until: Moment,
    /// Why: `5 failures in a row (connect refused)`.
    pub reason: String,
}

impl Ejection {
    /// When it is forgotten.
    pub fn ends(&self) -> Moment {
        self.until + UNRENEWED_MAX
    }

    /// `5 failures in a row (connect refused), back in 8 s`.
    pub fn words(&self, now: Moment) -> String {
        match self.until.since(now).as_millis().div_ceil(1_000) {
            0 => format!("{}, about to be tried", self.reason),
            seconds => format!("{}, back in {seconds} s", self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_when_it_is_tried_again() {
        let reason = "5 failures in a row (connect refused)".to_owned();
        let ejection = Ejection { since: Moment::from_secs(10), until: Moment::from_secs(20), reason };
        assert_eq!(ejection.words(Moment(12_500_000)), "5 failures in a row (connect refused), back in 8 s");
        assert_eq!(ejection.words(Moment::from_secs(20)), "5 failures in a row (connect refused), about to be tried");
        assert_eq!(ejection.ends(), Moment::from_secs(80));
    }
}
