//! What is served, and how the last reload ended.

use std::fmt;

use crate::metrics::page::Page;
use crate::model::Moment;
use crate::runtime::reloads::LastReload;
use crate::world::World;

/// Seconds since the epoch, as Prometheus has times.
pub(super) fn seconds(moment: Moment) -> f64 {
    moment.0 as f64 / 1e6
}

/// Writes all of it.
pub(super) fn write(page: &mut Page<'_>, world: &World, reload: &LastReload, ready: bool) -> fmt::Result {
    let help = "The program's version; the value is always 1";
    page.gauges("build_info", help, |samples| samples.add([("version", env!("CARGO_PKG_VERSION"))], true))?;
    page.gauge("ready", "Whether the first round of probes is over, or was waited for long enough", ready)?;
    page.gauge("world_generation", "Which configuration is served: counts reloads, from 1", world.generation)?;
    reloads(page, reload)?;
    zones(page, world)?;
    databases(page, world)
}

fn reloads(page: &mut Page<'_>, reload: &LastReload) -> fmt::Result {
    let help = "Whether the files are served as they were when last read: 0 after a refused reload";
    page.gauge("config_last_reload_successful", help, reload.ok)?;
    let help = "When the last reload ended, refused or not; the start counts as the first";
    page.gauge("config_last_reload_timestamp_seconds", help, seconds(reload.at))?;
    let help = "When files were last taken over";
    page.gauge("config_last_reload_success_timestamp_seconds", help, seconds(reload.applied_at))?;
    page.counters("config_reloads", "Reloads since the start, by how they ended", |samples| {
        samples.add([("result", "applied")], reload.applied)?;
        samples.add([("result", "refused")], reload.refused)
    })
}

fn zones(page: &mut Page<'_>, world: &World) -> fmt::Result {
    page.gauges("zone_serial", "The serial of the zone's SOA record", |samples| {
        world.snapshot.zones.iter().try_for_each(|zone| samples.add([("zone", zone.apex().to_string())], zone.serial()))
    })
}

fn databases(page: &mut Page<'_>, world: &World) -> fmt::Result {
    let help = "When the geo database was built, as it says itself";
    page.gauges("geo_database_build_timestamp_seconds", help, |samples| {
        world.snapshot.atlas.databases().iter().try_for_each(|database| {
            let path = database.path.display().to_string();
            samples.add([("database", &*path), ("type", &*database.kind)], database.build_epoch)
        })
    })
}
