//! Requests that wait for an endpoint, when all who may be chosen are full.
//!
//! First come, first served, over all cores: who ends a request at any endpoint of the pool calls the first who waits, and that
//! one chooses again. Who comes while others wait stands behind them, even when there is room at that moment: it is theirs. Who
//! was called and still finds no room keeps its place, and the next is called where that could use what it could not.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

/// Those who wait for one pool.
#[derive(Debug, Default)]
pub struct Queue {
    /// As many as are in line, for those who need not know who.
    waiting: AtomicU32,
    line: Mutex<Line>,
}

/// In the order of their numbers.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    those: BTreeMap<u64, Waiter>,
}

#[derive(Debug, Default)]
struct Waiter {
    is_called: bool,
    waker: Option<Waker>,
}

impl Waiter {
    fn call(&mut self) {
        self.is_called = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Somebody who waits; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    queue: Arc<Queue>,
    number: u64,
}

impl Queue {
    /// A place at the end, unless so many have one. The first in line is called at once: there may be room since it was looked.
    pub fn enter(self: &Arc<Self>, most: u32) -> Option<Place> {
        let mut line = self.line();
        if line.those.len() >= most as usize {
            return None;
        }
        let number = line.next;
        line.next += 1;
        line.those.insert(number, Waiter::default());
        self.waiting.store(line.those.len() as u32, Ordering::SeqCst);
        line.those.first_entry().into_iter().for_each(|mut first| first.get_mut().call());
        Some(Place { queue: self.clone(), number })
    }

    /// A request at one of the pool's endpoints has ended.
    #[inline]
    pub fn freed(&self) {
        if self.waiting() > 0 {
            self.call_first();
        }
    }

    #[cold]
    fn call_first(&self) {
        self.line().those.first_entry().into_iter().for_each(|mut first| first.get_mut().call());
    }

    /// How many wait.
    #[inline]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Until it is called: a request has ended somewhere, or everybody before it has gone.
    pub async fn called(&self) {
        poll_fn(|cx| self.poll_called(cx)).await;
    }

    fn poll_called(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut line = self.queue.line();
        let waiter = line.those.get_mut(&self.number).expect("it is in line until it is dropped");
        if std::mem::take(&mut waiter.is_called) {
            return Poll::Ready(());
        }
        waiter.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// It could not use what there is: the next may.
    pub fn pass_on(&self) {
        let after = self.number + 1;
        self.queue.line().those.range_mut(after..).next().into_iter().for_each(|(_, next)| next.call());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        line.those.remove(&self.number);
        self.queue.waiting.store(line.those.len() as u32, Ordering::SeqCst);
        // It may have been called and gone all the same, or have left room for more.
        line.those.first_entry().into_iter().for_each(|mut first| first.get_mut().call());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn is_called(place: &Place) -> bool {
        place.poll_called(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn first_come_first_served() {
        let queue = Arc::new(Queue::default());
        let places: Vec<Place> = (0..4).map(|_| queue.enter(4).unwrap()).collect();
        assert!(queue.enter(4).is_none() && queue.waiting() == 4);
        assert!(is_called(&places[0]), "there may be room since it looked");
        assert!(!places.iter().any(is_called));
        queue.freed();
        assert_eq!([0, 1, 2, 3].map(|at| is_called(&places[at])), [true, false, false, false]);
        // It found none: it is still the first.
        queue.freed();
        assert!(is_called(&places[0]));
        let mut places = places.into_iter();
        drop(places.next());
        let places: Vec<Place> = places.collect();
        assert_eq!([0, 1, 2].map(|at| is_called(&places[at])), [true, false, false], "the next looks for more");
        assert!(queue.waiting() == 3 && queue.enter(4).is_some());
    }

    #[test]
    fn what_one_cannot_use_is_the_next_one_s() {
        let queue = Arc::new(Queue::default());
        let places: Vec<Place> = (0..3).map(|_| queue.enter(9).unwrap()).collect();
        queue.freed();
        assert!(is_called(&places[0]));
        places[0].pass_on();
        assert_eq!([0, 1, 2].map(|at| is_called(&places[at])), [false, true, false]);
        places[2].pass_on();
        assert!(!places.iter().any(is_called));
    }

    #[test]
    fn a_call_is_not_lost_with_who_was_called() {
        let queue = Arc::new(Queue::default());
        let (first, second) = (queue.enter(9).unwrap(), queue.enter(9).unwrap());
        assert!(is_called(&first));
        queue.freed();
        drop(first);
        assert!(is_called(&second));
        drop(second);
        assert_eq!(queue.waiting(), 0);
    }
}
