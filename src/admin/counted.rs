//! What the server counts, as the admin API tells it: `/metrics`, the shares of the stream, the queries of the status.
//!
//! The counters live where they are counted; whoever assembles the server hands the API something that reads them.

/// Reads the counters. Asked from requests, at most a few times a second.
#[async_trait::async_trait]
pub trait Counted: Send + Sync {
    /// The body of `/metrics` for a client that takes these media types (`Accept`); none when the server is stopping.
    async fn exposition(&self, accept: &str) -> Option<Exposition>;

    /// Queries taken since the start; none when they are not counted.
    fn queries(&self) -> Option<u64> {
        None
    }

    /// Answers of VIPs since the start; what was never answered may be left out.
    fn answers(&self) -> Vec<AnswersOf> {
        Vec::new()
    }
}

/// A page of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposition {
    /// Its media type: `text/plain; version=0.0.4` or `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    pub content_type: &'static str,
    /// The text.
    pub text: String,
}

/// How many answers of a VIP came from a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswersOf {
    /// The VIP's name.
    pub vip: String,
    /// The pool's name.
    pub pool: String,
    /// Since the start.
    pub count: u64,
}
