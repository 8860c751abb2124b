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

/// Why a pool does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwell {
    /// It is down.
    Down,
    /// An operator took it or its region out.
    Withdrawn,
}

/// The pools that were looked at for that request, in order, each with what is wrong with it; for `explain`.
pub fn looked_at(model: &Model, health: &HealthTable, own: PoolId) -> Vec<(PoolId, Option<Unwell>)> {
    let mut looked_at = Vec::new();
    for id in std::iter::successors(Some(own), |id| model.pool(*id).fallback).take(FALLBACKS_MAX + 1) {
        let unwell = unwell(health, id);
        looked_at.push((id, unwell));
        if unwell.is_none() {
            break;
        }
    }
    looked_at
}

#[inline]
fn is_well(health: &HealthTable, id: PoolId) -> bool {
    unwell(health, id).is_none()
}

#[inline]
fn unwell(health: &HealthTable, id: PoolId) -> Option<Unwell> {
    let pool = health.pool(id);
    if pool.withdrawn {
        return Some(Unwell::Withdrawn);
    }
    // Which of its endpoints answer requests is what this side knows best.
    (!pool.is_up_without_ejection()).then_some(Unwell::Down)
}
