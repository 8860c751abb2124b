//! Which pool serves a request: the route's, or one it falls back to.
//!
//! A client whose resolver holds an old answer comes to a region whose pool is down or drained. It is sent where DNS would send it
//! now: along `fallback`. Where nothing on that way is well, the route's own pool serves as it can: an answer of a
//! drained pool is better than none, and who is taken out one by one is never asked anyway.

use crate::health::table::HealthTable;
use crate::model::Model;
use crate::model::PoolId;

/// Longer chains are mistakes; `config` refuses loops.
const FALLBACKS_MAX: usize = 8;

/// The pool for a request whose route names `own`.
#[inline]
pub fn pool(model: &Model, health: &HealthTable, own: PoolId) -> PoolId {
    if is_well(health, own) {
        return own;
    }
    let chain = std::iter::successors(model.pool(own).fallback, |id| model.pool(*id).fallback);
    chain.take(FALLBACKS_MAX).find(|id| is_well(health, *id)).unwrap_or(own)
}

fn is_well(health: &HealthTable, id: PoolId) -> bool {
    let pool = health.pool(id);
    // Which of its endpoints answer requests is what this side knows best.
    pool.is_up_without_ejection() && !pool.withdrawn
}
