//! What is believed and ordered, and how probes end.
//!
//! [`Health::look`] runs inside the keeper and copies flat arrays, no names: about half a millisecond for thirty thousand
//! endpoints. The names come from the model, which does not change.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::health::belief::Standing;
use crate::health::ledger::Ledger;
use crate::health::names::member_names;
use crate::health::probe::ReasonCode;
use crate::health::standings::Subject;
use crate::health::table::HealthTable;
use crate::health::table::PoolLoad;
use crate::health::tally::DURATION_BUCKETS;
use crate::health::tally::EndpointTally;
use crate::health::tally::ProbeTally;
use crate::metrics::page::Page;
use crate::metrics::page::Samples;
use crate::metrics::page::Value;
use crate::model::EndpointId;
use crate::model::Model;
use crate::model::Moment;
use crate::model::Pool;
use crate::model::PoolId;
use crate::model::RegionId;

/// What the ledger said.
pub(super) struct Health {
    model: Arc<Model>,
    table: HealthTable,
    /// Whether each endpoint is observed up.
    up: Vec<bool>,
    /// Orders in force, and how many are planned.
    orders: Vec<(Subject, &'static str)>,
    planned: usize,
    /// Endpoints that failing requests took out.
    ejected: Vec<EndpointId>,
    withdrawn_regions: Vec<bool>,
    tally: ProbeTally,
    targets: usize,
    unheard: usize,
    running: usize,
    /// For how long the probe that is due longest waits.
    late: Duration,
    /// Whether the server takes its own failure for more likely than everybody else's.
    suspects_itself: bool,
}

impl Health {
    /// Copies what is needed; nothing else is held up for longer.
    pub(super) fn look(ledger: &Ledger, now: Moment) -> Self {
        let (standings, model) = (ledger.standings(), ledger.model().clone());
        let every = || standings.orders.live().flat_map(|(subject, given)| given.each().map(move |one| (subject, one)));
        let in_force = |from: Moment| from <= now;
        let orders = every().filter(|(_, one)| in_force(one.begins)).map(|(subject, one)| (subject, one.order.words()));
        let withdrawn = |forced: &Option<Box<crate::health::forced::Forced>>| {
            forced.as_ref().is_some_and(|forced| in_force(forced.begins) && forced.order.withdraws())
        };
        let (unheard, targets) = ledger.unheard();
        Health {
            table: ledger.table().clone(),
            up: standings.endpoints.iter().map(|belief| belief.counted() == Standing::Up).collect(),
            orders: orders.collect(),
            planned: every().filter(|(_, one)| !in_force(one.begins)).count(),
            ejected: ledger.ejected_endpoints().collect(),
            withdrawn_regions: standings.regions.iter().map(withdrawn).collect(),
            tally: ledger.tally().clone(),
            targets,
            unheard,
            running: ledger.running(),
            late: ledger.next_due().map_or(Duration::ZERO, |due| now.since(due)),
            suspects_itself: ledger.suspicion().is_some(),
            model,
        }
    }

    /// Writes all of it.
    pub(super) fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        self.write_endpoints(page)?;
        self.write_ejections(page)?;
        self.write_orders(page)?;
        self.write_pools(page)?;
        self.write_loads(page)?;
        self.write_regions(page)?;
        self.write_checks(page)?;
        page.gauge("probe_targets", "Distinct addresses, ports and checks that are probed", self.targets)?;
        page.gauge("probe_targets_unheard", "Targets of which no probe has ended yet", self.unheard)?;
        page.gauge("probes_running", "Probes under way", self.running)?;
        let help = "For how long the probe that is due longest has waited to be started";
        page.gauge("probes_late_seconds", help, self.late.as_secs_f64())?;
        let help = "1 while nearly everything fails at once and the server suspects itself: standings are held";
        page.gauge("self_suspected", help, self.suspects_itself)
    }

    fn write_endpoints(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Whether probes find the endpoint up (1), or down or not known (0); orders do not count here";
        page.gauges("endpoint_up", help, |samples| self.of_each(samples, |id| self.up.get(id.index()).copied()))?;
        let help = "Whether the endpoint may be answered: up or forced up, and not taken out";
        page.gauges("endpoint_answered", help, |samples| {
            self.of_each(samples, |id| Some(self.table.endpoint(id).usable))
        })?;
        let help = "How often the observed standing of the endpoint turned, and to what";
        page.counters("endpoint_transitions", help, |samples| {
            self.each_endpoint(|id, pool, region, endpoint| {
                let tally = self.tally_of(id);
                for (to, count) in [("up", tally.turned_up), ("down", tally.turned_down)] {
                    samples.add([("pool", pool), ("region", region), ("endpoint", endpoint), ("to", to)], count)?;
                }
                Ok(())
            })
        })?;
        let help = "Probes by what they say of the endpoint; error: this machine could not make the probe";
        page.counters("check_results", help, |samples| {
            self.each_endpoint(|id, pool, _, endpoint| {
                let tally = self.tally_of(id);
                let results = [("pass", tally.passed), ("fail", tally.failed), ("error", tally.not_made)];
                for (result, count) in results.into_iter().filter(|(_, count)| *count > 0) {
                    samples.add([("pool", pool), ("endpoint", endpoint), ("result", result)], count)?;
                }
                Ok(())
            })
        })
    }

    fn write_ejections(&self, page: &mut Page<'_>) -> fmt::Result {
        let model = &self.model;
        let help = "1 for each endpoint that proxies send no requests, because they fail";
        page.gauges("endpoint_ejected", help, |samples| {
            for id in &self.ejected {
                let (endpoint, pool) = (model.endpoint(*id), model.pool(model.endpoint(*id).pool));
                let (address, region) = (endpoint.address.to_string(), &*model.region(pool.region).name);
                samples.add([("pool", &*pool.name), ("region", region), ("endpoint", &*address)], true)?;
            }
            Ok(())
        })?;
        let help =
            "1 for each pool in which ejections do not count: they alone would take it down, and a VIP has no other";
        page.gauges("pool_spared", help, |samples| {
            for (index, pool) in model.pools.iter().enumerate() {
                if self.table.pool(PoolId::from(index)).is_spared() {
                    let region = &*model.region(pool.region).name;
                    samples.add([("pool", &*pool.name), ("region", region)], true)?;
                }
            }
            Ok(())
        })
    }

    fn write_orders(&self, page: &mut Page<'_>) -> fmt::Result {
        let model = &self.model;
        let help = "1 for each order in force for an endpoint: drain, maint, forced-up, forced-down, weight";
        page.gauges("endpoint_override", help, |samples| {
            for (subject, state) in &self.orders {
                let Subject::Endpoint(id) = subject else { continue };
                let pool = model.pool(model.endpoint(*id).pool);
                let (name, region) = (subject.name(model), &*model.region(pool.region).name);
                let called = name.strip_prefix(&format!("{}/", pool.name)).unwrap_or(&name);
                let labels = [("pool", &*pool.name), ("region", region), ("endpoint", called), ("state", state)];
                samples.add(labels, true)?;
            }
            Ok(())
        })?;
        page.gauges("pool_override", "1 for each order in force for a whole pool", |samples| {
            for (subject, state) in &self.orders {
                let Subject::Pool(id) = subject else { continue };
                let pool = model.pool(*id);
                let region = &*model.region(pool.region).name;
                samples.add([("pool", &*pool.name), ("region", region), ("state", state)], true)?;
            }
            Ok(())
        })?;
        page.gauges("region_override", "1 for each order in force for a whole region", |samples| {
            for (subject, state) in &self.orders {
                let Subject::Region(id) = subject else { continue };
                samples.add([("region", &*model.region(*id).name), ("state", state)], true)?;
            }
            Ok(())
        })?;
        page.gauge("overrides_planned", "Orders that begin later", self.planned)
    }

    fn write_pools(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Whether the pool may be answered: enough endpoints, neither it nor its region taken out";
        page.gauges("pool_up", help, |samples| self.of_pools(samples, |id, _| self.table.pool(id).usable.into()))?;
        page.gauges("pool_endpoints", "Endpoints in the pool", |samples| {
            self.of_pools(samples, |_, pool| pool.endpoints.len().into())
        })?;
        page.gauges("pool_healthy_endpoints", "Endpoints of the pool that may be answered", |samples| {
            self.of_pools(samples, |id, _| self.table.pool(id).healthy.into())
        })?;
        let help = "How many endpoints of the pool must be up for it to be up";
        page.gauges("pool_min_healthy", help, |samples| self.of_pools(samples, |_, pool| pool.min_healthy.into()))
    }

    fn write_loads(&self, page: &mut Page<'_>) -> fmt::Result {
        let each = |samples: &mut Samples<'_>, value: &dyn Fn(PoolLoad) -> Option<f64>| {
            for (id, load) in self.table.loads() {
                let (pool, Some(value)) = (self.model.pool(*id), value(*load)) else { continue };
                let region = &*self.model.region(pool.region).name;
                samples.add([("pool", &*pool.name), ("region", region)], value)?;
            }
            Ok(())
        };
        let help = "The load of a pool as last read, as a part of its capacity; absent while it is not known";
        page.gauges("pool_load", help, |samples| {
            each(samples, &|load| load.percent.map(|load| f64::from(load) / 100.0))
        })?;
        let help = "The part of a pool's clients that is sent elsewhere for its load";
        page.gauges("pool_shed_ratio", help, |samples| each(samples, &|load| Some(load.share())))
    }

    fn write_regions(&self, page: &mut Page<'_>) -> fmt::Result {
        let model = &self.model;
        let mut pools = vec![(0_u64, 0_u64); model.regions.len()];
        for (index, pool) in model.pools.iter().enumerate() {
            let (all, usable) = &mut pools[pool.region.index()];
            *all += 1;
            *usable += u64::from(self.table.pool(PoolId::from(index)).usable);
        }
        let help =
            "Whether any pool of the region may be answered; for a region without pools, whether it is not taken out";
        page.gauges("region_up", help, |samples| {
            self.of_regions(samples, |id| match pools[id.index()] {
                (0, _) => (!self.withdrawn_regions.get(id.index()).copied().unwrap_or_default()).into(),
                (_, usable) => (usable > 0).into(),
            })
        })?;
        page.gauges("region_pools", "Pools in the region", |samples| {
            self.of_regions(samples, |id| pools[id.index()].0.into())
        })?;
        page.gauges("region_up_pools", "Pools of the region that may be answered", |samples| {
            self.of_regions(samples, |id| pools[id.index()].1.into())
        })
    }

    fn write_checks(&self, page: &mut Page<'_>) -> fmt::Result {
        let checks = || self.model.checks.iter().zip(&self.tally.checks);
        page.histograms("check_duration_seconds", "How long probes took, by health check", |samples| {
            for (check, tally) in checks() {
                let ends = DURATION_BUCKETS.into_iter().chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = ends.zip(tally.buckets).collect();
                samples.histogram([("check", &*check.name)], tally.took.as_secs_f64(), &buckets)?;
            }
            Ok(())
        })?;
        let help = "Probes by health check and by where they ended, in HAProxy's codes: L4OK, L7STS";
        page.counters("check_outcomes", help, |samples| {
            for (check, tally) in checks() {
                for (code, count) in ReasonCode::ALL.iter().zip(tally.codes).filter(|(_, count)| *count > 0) {
                    samples.add([("check", &*check.name), ("code", code.code())], count)?;
                }
            }
            Ok(())
        })
    }

    fn tally_of(&self, id: EndpointId) -> EndpointTally {
        self.tally.endpoints.get(id.index()).copied().unwrap_or_default()
    }

    /// Calls `write` with each endpoint: its id, its pool's and its region's name, and what it is called in its pool.
    fn each_endpoint(&self, mut write: impl FnMut(EndpointId, &str, &str, &str) -> fmt::Result) -> fmt::Result {
        use std::fmt::Write;
        let mut called = String::new();
        for (index, pool) in self.model.pools.iter().enumerate() {
            let region = &self.model.region(pool.region).name;
            for (id, name) in member_names(&self.model, PoolId::from(index)) {
                called.clear();
                write!(called, "{name}")?;
                write(id, &pool.name, region, &called)?;
            }
        }
        Ok(())
    }

    fn of_each(&self, samples: &mut Samples<'_>, value: impl Fn(EndpointId) -> Option<bool>) -> fmt::Result {
        self.each_endpoint(|id, pool, region, endpoint| match value(id) {
            Some(value) => samples.add([("pool", pool), ("region", region), ("endpoint", endpoint)], value),
            None => Ok(()),
        })
    }

    fn of_pools(&self, samples: &mut Samples<'_>, value: impl Fn(PoolId, &Pool) -> Value) -> fmt::Result {
        for (index, pool) in self.model.pools.iter().enumerate() {
            let region = &*self.model.region(pool.region).name;
            samples.add([("pool", &*pool.name), ("region", region)], value(PoolId::from(index), pool))?;
        }
        Ok(())
    }

    fn of_regions(&self, samples: &mut Samples<'_>, value: impl Fn(RegionId) -> Value) -> fmt::Result {
        for (index, region) in self.model.regions.iter().enumerate() {
            samples.add([("region", &*region.name)], value(RegionId::from(index)))?;
        }
        Ok(())
    }
}
