//! Requests that wait for an endpoint, when all who may be chosen are full.
//!
//! First come, first served, over all cores: who ends a request at any endpoint of the pool wakes the first who waits, and that
//! one chooses again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

/// Those who wait for one pool.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: AtomicU32,
    freed: Notify,
}

/// Somebody who waits; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Place(Arc<Queue>);

impl Queue {
    /// A place, unless so many have one.
    pub fn enter(self: &Arc<Self>, most: u32) -> Option<Place> {
        let was = self.waiting.fetch_add(1, Ordering::AcqRel);
        let place = Place(self.clone());
        (was < most).then_some(place)
    }

    /// A request at one of the pool's endpoints has ended.
    #[inline]
    pub fn freed(&self) {
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.freed.notify_one();
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Place {
    /// Until a request has ended somewhere.
    pub async fn freed(&self) {
        self.0.freed.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        // It may have been woken and gone all the same: the next is told.
        self.0.freed();
    }
}

/// The queues of all pools, by name: they outlive a reload.
#[derive(Debug, Default)]
pub struct Queues(Mutex<HashMap<Arc<str>, Weak<Queue>>>);

impl Queues {
    /// That of a pool.
    pub fn of(&self, pool: &Arc<str>) -> Arc<Queue> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(pool).and_then(Weak::upgrade) {
            return queue;
        }
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(Queue::default());
        queues.insert(pool.clone(), Arc::downgrade(&queue));
        queue
    }
}
