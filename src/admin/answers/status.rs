//! `GET /v1/status`: one screen about everything.

use std::cmp::Reverse;

use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::asked::json;
use crate::admin::dto::ConfigProblem;
use crate::admin::dto::ConfigStatus;
use crate::admin::dto::Counts;
use crate::admin::dto::EndpointCounts;
use crate::admin::dto::LoadedPool;
use crate::admin::dto::PoolCounts;
use crate::admin::dto::Queries;
use crate::admin::dto::ReloadSaid;
use crate::admin::dto::Status;
use crate::admin::dto::Suspicion;
use crate::admin::dto::Trouble;
use crate::admin::look::Believed;
use crate::admin::look::Look;
use crate::admin::routes::Admin;
use crate::admin::when;
use crate::health;
use crate::health::belief::Standing;
use crate::health::ledger::Ledger;
use crate::health::table::PoolLoad;
use crate::model::EndpointId;
use crate::model::Moment;
use crate::model::PoolId;
use crate::model::RegionId;
use crate::world::World;

/// Endpoints in trouble on one screen.
const TROUBLE_MAX: usize = 20;
/// Orders on one screen, and then some.
const OVERRIDES_MAX: usize = 100;

/// `GET /v1/status`.
pub(crate) async fn status(asked: Asked) -> Said {
    let admin = &asked.admin;
    let (look, survey) = Look::take(admin, survey).await?;
    let (model, snapshot) = (look.model(), &look.world.snapshot);
    let all = look.overrides();
    let loaded = loaded(&look);
    let overrides_more = all.len().saturating_sub(OVERRIDES_MAX);
    json(&Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation: look.world.generation,
        ready: admin.keeper.is_ready(),
        started: when::said(admin.clock.started_at()),
        now: when::said(look.now),
        config: ConfigStatus { file: admin.config.display().to_string(), last_reload: last_reload(admin) },
        suspicion: survey.suspicion.as_ref().map(suspicion),
        counts: Counts {
            vips: model.vips.len(),
            vips_down: vips_down(&look.world),
            zones: snapshot.zones.iter().len(),
            pools: pools(&look.world),
            endpoints: survey.counts,
        },
        regions: (0..model.regions.len()).map(|at| look.region(RegionId::from(at))).collect(),
        trouble: Trouble {
            items: survey.worst.iter().map(|believed| look.endpoint(believed)).collect(),
            more: survey.more,
        },
        ejected: Trouble {
            items: survey.ejected.iter().map(|believed| look.endpoint(believed)).collect(),
            more: survey.ejected_more,
        },
        loaded_more: loaded.len().saturating_sub(TROUBLE_MAX),
        loaded: loaded.into_iter().take(TROUBLE_MAX).collect(),
        overrides: look.overrides().take(OVERRIDES_MAX).collect(),
        overrides_more,
        tails: look.tails(),
        queries: queries(admin, look.now),
    })
}

/// Pools that send clients elsewhere for their load, those that send the most first, then those of which it is not known.
fn loaded(look: &Look) -> Vec<LoadedPool> {
    let model = look.model();
    let read = look.world.health.loads().iter();
    let mut matter: Vec<_> = read.filter(|(_, load)| load.sheds > 0 || load.percent.is_none()).collect();
    matter.sort_by_key(|(id, load)| (Reverse(load.sheds), *id));
    let said = |(id, _): &(PoolId, PoolLoad)| {
        let (pool, region) = (model.pool(*id), &model.region(model.pool(*id).region).name);
        Some(LoadedPool { pool: pool.name.clone(), region: region.clone(), load: look.load(*id)? })
    };
    matter.into_iter().filter_map(said).collect()
}

/// How the last reload ended.
pub(crate) fn last_reload(admin: &Admin) -> Option<ReloadSaid> {
    let last = admin.reloads.as_ref()?.last();
    Some(ReloadSaid {
        at: when::said(last.at),
        ok: last.ok,
        generation: last.generation,
        by: last.by.to_string(),
        problems: last.problems.iter().map(ConfigProblem::from).collect(),
    })
}

/// What the keeper believes of all endpoints together.
struct Survey {
    counts: EndpointCounts,
    worst: Vec<Believed>,
    more: usize,
    ejected: Vec<Believed>,
    ejected_more: usize,
    suspicion: Option<health::suspicion::Suspicion>,
}

/// An endpoint, and since when it is as it is.
type Turned = (Moment, EndpointId);

fn survey(ledger: &Ledger, _: &World) -> Survey {
    let count = ledger.model().endpoints.len();
    let mut counts = EndpointCounts { total: count, ..EndpointCounts::default() };
    let (mut down, mut ejected): (Vec<Turned>, Vec<Turned>) = Default::default();
    for id in (0..count).map(EndpointId::from) {
        let belief = ledger.belief(id);
        counts.ordered += usize::from(belief.order().is_some());
        if let Some(ejection) = &belief.ejection {
            ejected.push((ejection.since, id));
        }
        match belief.standing() {
            Standing::Up => counts.up += 1,
            Standing::Unknown => counts.unknown += 1,
            Standing::Down => {
                counts.down += 1;
                down.push((belief.since(), id));
            }
        }
    }
    counts.ejected = ejected.len();
    let ((worst, more), (ejected, ejected_more)) = (news(ledger, down), news(ledger, ejected));
    Survey { counts, worst, more, ejected, ejected_more, suspicion: ledger.suspicion().cloned() }
}

/// Those that turned last, which are news, and how many more there are.
fn news(ledger: &Ledger, mut turned: Vec<Turned>) -> (Vec<Believed>, usize) {
    let shown = turned.len().min(TROUBLE_MAX);
    if shown < turned.len() {
        turned.select_nth_unstable_by_key(shown, |(since, id)| (Reverse(*since), *id));
    }
    let more = turned.len() - shown;
    turned.truncate(shown);
    turned.sort_unstable_by_key(|(since, id)| (Reverse(*since), *id));
    (turned.into_iter().map(|(_, id)| (id, ledger.belief(id).clone())).collect(), more)
}

fn suspicion(found: &health::suspicion::Suspicion) -> Suspicion {
    let health::suspicion::Suspicion { since, until, failing, checks, regions } = found;
    let until = when::said(*until);
    let reason = format!(
        "{failing} of {checks} checks failed at once, in {regions} regions: more likely it is this server that is cut off. \
         Failures turn nothing down until checks pass again, at the latest until {until}"
    );
    Suspicion { since: when::said(*since), reason }
}

fn pools(world: &World) -> PoolCounts {
    let total = world.snapshot.model.pools.len();
    let mut counts = PoolCounts { total, ..PoolCounts::default() };
    for health in (0..total).map(|at| world.health.pool(PoolId::from(at))) {
        match (health.usable, health.withdrawn) {
            (true, _) => counts.up += 1,
            (false, true) => counts.withdrawn += 1,
            (false, false) => counts.down += 1,
        }
    }
    counts
}

fn vips_down(world: &World) -> usize {
    // Nothing is down nearly always; then a hundred thousand VIPs need not be looked at.
    let model = &world.snapshot.model;
    if (0..model.pools.len()).all(|at| world.health.pool(PoolId::from(at)).usable) {
        return 0;
    }
    model.vips.iter().filter(|vip| !vip.pools().iter().any(|pool| world.health.pool(*pool).usable)).count()
}

/// Queries since the start; how many each second is their mean over the time since then, or since somebody asked before.
fn queries(admin: &Admin, now: Moment) -> Option<Queries> {
    let total = admin.counted.as_ref()?.queries()?;
    let per_second = admin.rate.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).at(now, total);
    Some(Queries { total, per_second })
}
