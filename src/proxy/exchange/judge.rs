//! What an attempt tells of its endpoint: to its breaker, and to how long it is known to take.
//!
//! What a client does is never told: only what the endpoint answered, and that it did not.

use http::HeaderName;
use http::HeaderValue;

use crate::balance::breaker::Outcome;
use crate::balance::live::Failure;
use crate::model::Moment;
use crate::proxy::back::Answer;
use crate::proxy::back::BackFault;
use crate::proxy::exchange::Attempt;
use crate::proxy::exchange::Request;

/// In the head when a call fails at once. Not looked for as text: that would be read as a name for each response.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

impl Request<'_> {
    /// The endpoint answered: was it well so far? Its body may still break off, so [`Request::passed`] comes at its end.
    pub(super) fn judge(&self, attempt: &Attempt<'_>, answer: &Answer, now: Moment) -> Judged {
        // Of another region's listener an answer says that it listens; what its own endpoints do, it judges itself.
        let outcome = if self.is_sent_on { Outcome::Passed } else { outcome_of(answer) };
        attempt.in_flight.endpoint.took(now.since(attempt.began), outcome == Outcome::Passed, now);
        if outcome == Outcome::Passed {
            return Judged::Well;
        }
        match self.tell(attempt, outcome, &format_args!("status {}", answer.status.as_u16()), now) {
            true => Judged::Rests,
            false => Judged::Ill,
        }
    }

    /// The endpoint has done its part to the end.
    pub(super) fn passed(&self, attempt: &Attempt<'_>) {
        self.core.passed((attempt.pool, attempt.at), attempt.began);
    }

    pub(super) fn failed(&self, attempt: &Attempt<'_>, fault: &BackFault) -> bool {
        let now = self.core.now();
        attempt.in_flight.endpoint.took(now.since(attempt.began), false, now);
        // A stream that was refused is a full endpoint, not a broken one.
        let outcome = if matches!(fault, BackFault::RefusedStream) { Outcome::PushedBack } else { Outcome::Failed };
        self.tell(attempt, outcome, fault, now)
    }

    pub(super) fn timed_out(&self, attempt: &Attempt<'_>) {
        let now = self.core.now();
        attempt.in_flight.endpoint.took(now.since(attempt.began), false, now);
        self.tell(attempt, Outcome::Failed, &"no response in time", now);
    }

    /// Whether the endpoint rests from now on.
    fn tell(&self, attempt: &Attempt<'_>, outcome: Outcome, met: &dyn std::fmt::Display, now: Moment) -> bool {
        let failure = Failure { outcome, met, began: attempt.began };
        self.core.failed(self.view, (attempt.pool, attempt.at), &failure, now)
    }
}

/// What a response's head says of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// To its credit, if its body is as well.
    Well,
    /// A failure.
    Ill,
    /// A failure too many: it rests from now on.
    Rests,
}

/// Whether a response is to the endpoint's credit.
fn outcome_of(answer: &Answer) -> Outcome {
    let grpc = || answer.headers.get(GRPC_STATUS).map(HeaderValue::as_bytes);
    match answer.status.as_u16() {
        429 => Outcome::PushedBack,
        501 | 505 => Outcome::Passed,
        500.. => Outcome::Failed,
        _ => match grpc() {
            Some(b"14") => Outcome::Failed,
            Some(b"8") => Outcome::PushedBack,
            _ => Outcome::Passed,
        },
    }
}
