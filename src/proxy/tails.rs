//! The tails of the drains that this process watches: those of regions and pools whose listeners are here.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use http::HeaderMap;

use crate::health::journal::Turn;
use crate::model::Moment;
use crate::model::PoolId;
use crate::model::RegionId;
use crate::proxy::counts::ProxyCounts;
use crate::regional::front::Front;
use crate::regional::tail;
use crate::regional::tail::Tail;
use crate::regional::tail::TailNow;
use crate::route::probe;
use crate::route::sent_on;
use crate::world::World;

/// What is drained, by name: it outlives the configuration it was drained in.
type Drained = (&'static str, String);

/// All of them.
#[derive(Debug, Default)]
pub struct Tails(Mutex<BTreeMap<Drained, Tail>>);

impl Tails {
    /// Looks at the counts, once a second; gives what is to be told.
    pub fn look(&self, world: &World, counts: &ProxyCounts, now: Moment) -> Vec<Turn> {
        let watched = watched(world);
        let mut tails = self.held();
        tails.retain(|(kind, name), _| watched.iter().any(|one| one.kind == *kind && one.name == name));
        let mut turns = Vec::new();
        for Watched { kind, name, pools, listeners } in watched {
            let counted = listeners.iter().map(|front| counts.late(&front.listener.name)).sum();
            let begin = || {
                let snapshot = &world.snapshot;
                let quiet = tail::quiet(&snapshot.model, snapshot.plan.uses(), |pool| pools.contains(&pool));
                Tail::begin(now, quiet, counted)
            };
            let subject: Drained = (kind, name.to_owned());
            let tail = tails.entry(subject.clone()).or_insert_with(begin);
            if tail.after(counted, now) {
                turns.push(gone(subject, &tail.now(now), now));
            }
        }
        turns
    }

    /// That of a `region` or `pool`, if it is drained and has listeners here.
    pub fn of(&self, kind: &'static str, name: &str, now: Moment) -> Option<TailNow> {
        self.held().get(&(kind, name.to_owned())).map(|tail| tail.now(now))
    }

    /// All of them: of a `region` or `pool`, and its name.
    pub fn all(&self, now: Moment) -> Vec<(&'static str, String, TailNow)> {
        self.held().iter().map(|((kind, name), tail)| (*kind, name.clone(), tail.now(now))).collect()
    }

    /// A panic while looking leaves a count too few at worst.
    fn held(&self) -> MutexGuard<'_, BTreeMap<Drained, Tail>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody came by DNS: neither a probe of ours, nor sent on by another region.
pub fn is_a_client(headers: &HeaderMap) -> bool {
    !probe::is_ours(headers) && !sent_on::is_marked(headers)
}

/// A drain whose clients come to listeners here.
struct Watched<'w> {
    kind: &'static str,
    name: &'w str,
    /// What is drained.
    pools: Vec<PoolId>,
    listeners: Vec<&'w Front>,
}

fn watched(world: &World) -> Vec<Watched<'_>> {
    let (model, health) = (&world.snapshot.model, &world.health);
    let fronts = || world.snapshot.regional.fronts.iter().flatten().map(|front| &**front);
    let mut regions: Vec<RegionId> = fronts().map(|front| front.listener.region).collect();
    regions.sort_unstable();
    regions.dedup();
    let (drained, others): (Vec<_>, Vec<_>) = regions.into_iter().partition(|region| health.is_withdrawn(*region));
    let of_region = |region: RegionId| Watched {
        kind: "region",
        name: &model.region(region).name,
        pools: (0..model.pools.len()).map(PoolId::from).filter(|pool| model.pool(*pool).region == region).collect(),
        listeners: fronts().filter(|front| front.listener.region == region).collect(),
    };
    // Those of a drained region are drained by it, and their clients are its own.
    let pools = fronts().filter(|front| others.contains(&front.listener.region)).flat_map(|front| &front.answered);
    let mut pools: Vec<PoolId> = pools.copied().filter(|pool| health.pool(*pool).withdrawn).collect();
    pools.sort_unstable();
    pools.dedup();
    let of_pool = |pool: PoolId| Watched {
        kind: "pool",
        name: &model.pool(pool).name,
        pools: vec![pool],
        listeners: fronts().filter(|front| front.answered.contains(&pool)).collect(),
    };
    drained.into_iter().map(of_region).chain(pools.into_iter().map(of_pool)).collect()
}

fn gone((kind, name): Drained, tail: &TailNow, now: Moment) -> Turn {
    let quiet = tail.quiet.as_secs();
    let came = match tail.came {
        0 => "nobody has come since the drain".to_owned(),
        1 => "1 request came since the drain".to_owned(),
        came => format!("{came} requests came since the drain"),
    };
    let reason = format!("its tail of stale clients is gone: none for {quiet} s, twice the largest TTL; {came}");
    let (from, to) = ("drain".into(), "drained".into());
    Turn { at: now, kind, name, from, to, after: 0, reason, effective: "drain".into() }
}
