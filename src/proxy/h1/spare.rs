//! Maps of headers, handed from message to message: a busy core would make and free a hundred thousand of them a second.

use std::cell::RefCell;

use http::HeaderMap;

/// Kept by each core.
const KEPT_MAX: usize = 64;
/// Larger maps were made for somebody unusual.
const CAPACITY_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map with room for so many.
pub fn take(capacity: usize) -> HeaderMap {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    spare.filter(|spare| spare.capacity() >= capacity).unwrap_or_else(|| HeaderMap::with_capacity(capacity))
}

/// A map that is no longer needed.
pub fn give(mut headers: HeaderMap) {
    if (1..=CAPACITY_MAX).contains(&headers.capacity()) {
        headers.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT_MAX {
                spare.push(headers);
            }
        });
    }
}
