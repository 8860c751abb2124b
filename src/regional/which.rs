//! Which pool serves a request: the route's, one it falls back to, or one of another region.
//!
//! A client whose resolver holds an old answer comes to a region whose pool is down or drained. It is sent where DNS would send it
//! now: along `fallback`, else as its VIP says ([`super::elsewhere`]). Where nothing on that way is well, the route's own pool
//! serves as it can: an answer of a drained pool is better than none, and who is taken out one by one is never asked anyway.

use crate::health::table::HealthTable;
use crate::model::Model;
use crate::model::PoolId;
use crate::model::VipId;
use crate::regional::elsewhere::Stays;

/// Longer chains are mistakes; `config` refuses loops.
const FALLBACKS_MAX: usize = 8;

/// A pool that serves a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serves {
    /// The pool.
    pub pool: PoolId,
    /// Why that one.
    pub because: Because,
}

/// Why a pool serves a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// It is the route's.
    Own,
    /// The route's falls back to it.
    FallsBack,
    /// It is of another region, and DNS would send the client there now, by this VIP.
    SentOn(VipId),
    /// It is the route's, and nobody is well; no other region takes the client, for this reason.
    LastHope(Stays),
}

impl Serves {
    /// Whether another region is asked.
    pub fn is_sent_on(&self) -> bool {
        matches!(self.because, Because::SentOn(_))
    }
}

/// The pool for a request whose route names `own`; `elsewhere` is asked when neither that nor its fallbacks are well.
#[inline]
pub fn serves(
    model: &Model,
    health: &HealthTable,
    own: PoolId,
    elsewhere: impl FnOnce() -> Result<(VipId, PoolId), Stays>,
) -> Serves {
    if is_well(health, own) {
        return Serves { pool: own, because: Because::Own };
    }
    if let Some(pool) = falls_back(model, health, own) {
        return Serves { pool, because: Because::FallsBack };
    }
    match elsewhere() {
        Ok((vip, pool)) => Serves { pool, because: Because::SentOn(vip) },
        Err(stays) => Serves { pool: own, because: Because::LastHope(stays) },
    }
}

/// The pool for requests that are served in this region.
#[inline]
pub fn pool(model: &Model, health: &HealthTable, own: PoolId) -> PoolId {
    serves(model, health, own, || Err(Stays::AsTold)).pool
}

#[cold]
fn falls_back(model: &Model, health: &HealthTable, own: PoolId) -> Option<PoolId> {
    let chain = std::iter::successors(model.pool(own).fallback, |id| model.pool(*id).fallback);
    chain.take(FALLBACKS_MAX).find(|id| is_well(health, *id))
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
