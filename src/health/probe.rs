//! What one probe found: a verdict, the layer it was reached at, and a few words.

use std::fmt;
use std::time::Duration;

/// The most bytes of [`ProbeResult::detail`]; results of every endpoint are kept, so one must stay small.
pub const DETAIL_BYTES_MAX: usize = 160;

/// Where a probe ended, in HAProxy's codes (`check_status`): the layer, then what happened there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    /// The TCP connection was accepted, and no more was asked.
    L4Ok,
    /// No TCP connection within the time allowed.
    L4Tout,
    /// The TCP connection was refused, or no way leads there.
    L4Con,
    /// TLS was agreed on, and no more was asked.
    L6Ok,
    /// No TLS session within the time allowed.
    L6Tout,
    /// TLS failed: certificate, protocol or alert.
    L6Rsp,
    /// The response is what the check expects.
    L7Ok,
    /// No complete response within the time allowed.
    L7Tout,
    /// A status that the check does not accept: of HTTP, of DNS, of gRPC, or of a health service.
    L7Sts,
    /// A response that is not of the protocol, breaks off, or lacks what it must hold.
    L7Rsp,
    /// We could not ask: no socket, port, memory or time left on this side, or the probe itself failed. It says
    /// nothing of the endpoint.
    SockErr,
}

impl ReasonCode {
    /// Every code.
    pub const ALL: [ReasonCode; 11] = [
        ReasonCode::L4Ok,
        ReasonCode::L4Tout,
        ReasonCode::L4Con,
        ReasonCode::L6Ok,
        ReasonCode::L6Tout,
        ReasonCode::L6Rsp,
        ReasonCode::L7Ok,
        ReasonCode::L7Tout,
        ReasonCode::L7Sts,
        ReasonCode::L7Rsp,
        ReasonCode::SockErr,
    ];

    /// The code as HAProxy writes it: `L4TOUT`.
    pub const fn code(self) -> &'static str {
        match self {
            ReasonCode::L4Ok => "L4OK",
            ReasonCode::L4Tout => "L4TOUT",
            ReasonCode::L4Con => "L4CON",
            ReasonCode::L6Ok => "L6OK",
            ReasonCode::L6Tout => "L6TOUT",
            ReasonCode::L6Rsp => "L6RSP",
            ReasonCode::L7Ok => "L7OK",
            ReasonCode::L7Tout => "L7TOUT",
            ReasonCode::L7Sts => "L7STS",
            ReasonCode::L7Rsp => "L7RSP",
            ReasonCode::SockErr => "SOCKERR",
        }
    }

    /// The same in words.
    pub const fn words(self) -> &'static str {
        match self {
            ReasonCode::L4Ok => "connected",
            ReasonCode::L4Tout => "connect timed out",
            ReasonCode::L4Con => "connect failed",
            ReasonCode::L6Ok => "TLS agreed",
            ReasonCode::L6Tout => "TLS timed out",
            ReasonCode::L6Rsp => "TLS failed",
            ReasonCode::L7Ok => "passed",
            ReasonCode::L7Tout => "no response in time",
            ReasonCode::L7Sts => "status not accepted",
            ReasonCode::L7Rsp => "response not accepted",
            ReasonCode::SockErr => "could not ask",
        }
    }

    /// Whether it says anything of the endpoint.
    pub const fn is_evidence(self) -> bool {
        !matches!(self, ReasonCode::SockErr)
    }

    /// Whether a probe that ended here took all the time it was allowed.
    pub const fn timed_out(self) -> bool {
        matches!(self, ReasonCode::L4Tout | ReasonCode::L6Tout | ReasonCode::L7Tout)
    }

    /// Whether a probe that ended here passed.
    pub const fn passes(self) -> bool {
        matches!(self, ReasonCode::L4Ok | ReasonCode::L6Ok | ReasonCode::L7Ok)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    /// Whether the endpoint is as the check expects.
    pub passed: bool,
    /// Where the probe ended.
    pub reason: ReasonCode,
    /// A few words on it: `status 503`, `connection refused`; at most [`DETAIL_BYTES_MAX`] bytes, one line.
    pub detail: String,
    /// How long the probe took.
    pub took: Duration,
}

impl ProbeResult {
    /// A result; whether it passed follows from the reason. What a peer wrote may stand in `detail`: it is cut to
    /// [`DETAIL_BYTES_MAX`] and loses its control characters.
    pub fn new(reason: ReasonCode, detail: impl AsRef<str>, took: Duration) -> Self {
        ProbeResult { passed: reason.passes(), reason, detail: tidy(detail.as_ref()), took }
    }
}

impl fmt::Display for ProbeResult {
    /// `L7STS status 503`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = if self.detail.is_empty() { self.reason.words() } else { &self.detail };
        write!(f, "{} {words}", self.reason)
    }
}

/// One line without control characters, cut between characters.
fn tidy(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > DETAIL_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_code_and_words() {
        let sts = ProbeResult::new(ReasonCode::L7Sts, "status 503", Duration::ZERO);
        assert_eq!(sts.to_string(), "L7STS status 503");
        assert!(!sts.passed);
        assert_eq!(ProbeResult::new(ReasonCode::L4Ok, "", Duration::ZERO).to_string(), "L4OK connected");
    }

    #[test]
    fn a_peer_cannot_break_the_line_or_fill_memory() {
        let rude = format!("a\r\nb\u{1b}[2J{}", "é".repeat(1000));
        let detail = ProbeResult::new(ReasonCode::L7Rsp, rude, Duration::ZERO).detail;
        assert!(detail.len() <= DETAIL_BYTES_MAX);
        assert!(!detail.chars().any(char::is_control));
    }

    #[test]
    fn codes_are_distinct() {
        let codes: std::collections::HashSet<_> = ReasonCode::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), ReasonCode::ALL.len());
    }
}
