//! How many probes ended, how, how long they took, and how often standings turned.
//!
//! Counts are by id, so that a probe costs a few additions; a reload carries them over by name. They only grow, as
//! counters do. Nothing here decides anything.

use std::collections::HashMap;
use std::time::Duration;

use crate::health::belief::Standing;
use crate::health::probe::{ProbeResult, ReasonCode};
use crate::health::standings::EndpointKey;
use crate::model::{CheckId, EndpointId, Model};

/// The upper ends of the histogram of probe durations, in seconds; a last bucket has no end. From a neighbour's answer to
/// the longest timeout that makes sense.
pub const DURATION_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What was counted of one endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointTally {
    /// Probes that passed.
    pub passed: u64,
    /// Probes that did not.
    pub failed: u64,
    /// Probes that this machine could not make.
    pub not_made: u64,
    /// How often it came up.
    pub turned_up: u32,
    /// How often it went down.
    pub turned_down: u32,
}

/// What was counted of one check, over all targets that are asked by it.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckTally {
    /// Probes by duration: up to [`DURATION_BUCKETS`], and longer.
    pub buckets: [u64; DURATION_BUCKETS.len() + 1],
    /// All durations together.
    pub took: Duration,
    /// Probes by where they ended, in the order of [`ReasonCode::ALL`].
    pub codes: [u64; ReasonCode::ALL.len()],
}

impl Default for CheckTally {
    fn default() -> Self {
        CheckTally { buckets: [0; DURATION_BUCKETS.len() + 1], took: Duration::ZERO, codes: [0; ReasonCode::ALL.len()] }
    }
}

impl CheckTally {
    /// How many probes there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn count_one(&mut self, result: &ProbeResult) {
        let seconds = result.took.as_secs_f64();
        let bucket = DURATION_BUCKETS.iter().position(|end| seconds <= *end).unwrap_or(DURATION_BUCKETS.len());
        self.buckets[bucket] += 1;
        self.took = self.took.saturating_add(result.took);
        if let Some(code) = ReasonCode::ALL.iter().position(|code| *code == result.reason) {
            self.codes[code] += 1;
        }
    }
}

/// Everything counted of the probes of one model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProbeTally {
    /// By [`EndpointId`].
    pub endpoints: Vec<EndpointTally>,
    /// By [`CheckId`].
    pub checks: Vec<CheckTally>,
}

impl ProbeTally {
    /// Nothing counted yet.
    pub fn new(model: &Model) -> Self {
        ProbeTally {
            endpoints: vec![EndpointTally::default(); model.endpoints.len()],
            checks: vec![CheckTally::default(); model.checks.len()],
        }
    }

    /// A probe ended that speaks for these endpoints. Its time is counted once, for the check of the first of them.
    pub fn probed(&mut self, model: &Model, endpoints: &[EndpointId], result: &ProbeResult) {
        for id in endpoints {
            let Some(tally) = self.endpoints.get_mut(id.index()) else { continue };
            match (result.reason.is_evidence(), result.passed) {
                (false, _) => tally.not_made += 1,
                (true, true) => tally.passed += 1,
                (true, false) => tally.failed += 1,
            }
        }
        let check = endpoints.first().and_then(|id| model.pool(model.endpoint(*id).pool).check).map(CheckId::index);
        if let Some(check) = check.and_then(|check| self.checks.get_mut(check)) {
            check.count_one(result);
        }
    }

    /// An endpoint's observed standing turned.
    pub fn turned(&mut self, id: EndpointId, to: Standing) {
        let Some(tally) = self.endpoints.get_mut(id.index()) else { return };
        match to {
            Standing::Up => tally.turned_up += 1,
            Standing::Down => tally.turned_down += 1,
            Standing::Unknown => {}
        }
    }

    /// The same for the next model: what has the same name goes on counting.
    pub fn carried_over(&self, old: &Model, new: &Model) -> Self {
        let ids = |model: &Model| (0..model.endpoints.len()).map(EndpointId::from);
        let before: HashMap<EndpointKey, EndpointTally> =
            ids(old).map(|id| EndpointKey::of(old, id)).zip(self.endpoints.iter().copied()).collect();
        let checks: HashMap<&str, &CheckTally> =
            old.checks.iter().map(|check| check.name.as_str()).zip(&self.checks).collect();
        ProbeTally {
            endpoints: ids(new).map(|id| before.get(&EndpointKey::of(new, id)).copied().unwrap_or_default()).collect(),
            checks: new
                .checks
                .iter()
                .map(|check| checks.get(check.name.as_str()).map_or_else(CheckTally::default, |known| (*known).clone()))
                .collect(),
        }
    }
}
