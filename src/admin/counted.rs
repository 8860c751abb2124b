//! What the server counts, as the admin API tells it: `/metrics`, the shares of the stream, the queries of the status.
//!
//! The counters live where they are counted; whoever assembles the server hands the API something that reads them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::health::headroom::Headroom;
use crate::model::Moment;

/// How old a count may be for those who follow it: they read it once a second.
const FRESH: Duration = Duration::from_millis(500);

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

    /// What listeners of the regional tier do, by their names; those that nothing is known of are left out.
    fn proxied(&self) -> HashMap<String, Proxied> {
        HashMap::new()
    }

    /// What the regional tier has in hand; nothing where there is none.
    fn headroom(&self) -> Headroom {
        Headroom::default()
    }
}

/// What a listener of the regional tier does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proxied {
    /// Connections of clients that are open.
    pub connections: u64,
    /// Requests since the start.
    pub requests: u64,
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

/// Answers by pool, counted once for all who follow them: with many VIPs a count takes milliseconds, which each of many
/// readers would cost again.
#[derive(Default)]
pub(super) struct ByPool(Mutex<Option<(Moment, Sums)>>);

/// Answers by the pool's name.
type Sums = Arc<HashMap<String, u64>>;

impl ByPool {
    /// The answers of each pool since the start, as of now or a moment ago.
    pub(super) async fn at(&self, now: Moment, counted: &Arc<dyn Counted>) -> Sums {
        let mut last = self.0.lock().await;
        if let Some((at, sums)) = &*last
            && now - *at < FRESH
        {
            return sums.clone();
        }
        let counted = counted.clone();
        let counting = tokio::task::spawn_blocking(move || {
            let mut sums: HashMap<String, u64> = HashMap::new();
            for AnswersOf { pool, count, .. } in counted.answers() {
                *sums.entry(pool).or_default() += count;
            }
            sums
        });
        // It fails only when the process ends, or by a bug that the log tells of.
        let sums = Arc::new(counting.await.unwrap_or_default());
        *last = Some((now, sums.clone()));
        sums
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    use super::*;

    struct Times(AtomicU64);

    #[async_trait::async_trait]
    impl Counted for Times {
        async fn exposition(&self, _: &str) -> Option<Exposition> {
            None
        }
        fn answers(&self) -> Vec<AnswersOf> {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            ["a.example.", "b.example."].map(|vip| AnswersOf { vip: vip.into(), pool: "eu".into(), count }).into()
        }
    }

    #[tokio::test]
    async fn many_readers_cost_one_count() {
        let (counted, by_pool): (Arc<dyn Counted>, _) = (Arc::new(Times(AtomicU64::new(1))), ByPool::default());
        let now = Moment::from_secs(1_000);
        for reader in 0..10 {
            let at = now + Duration::from_millis(reader);
            assert_eq!(by_pool.at(at, &counted).await["eu"], 2, "two VIPs, counted for the first time");
        }
        assert_eq!(by_pool.at(now + Duration::from_secs(1), &counted).await["eu"], 4);
    }
}
