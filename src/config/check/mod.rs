//! What was meant: every reference resolved, every default filled in, and whatever cannot work reported.
//!
//! One file for each section. Each takes what was written and gives the model's part; what could not be made out has
//! been reported and is left out or stands at a default, so that the checks after it can go on.

mod fallback;
mod files;
mod geo;
mod health_checks;
mod names;
mod policies;
mod pools;
mod query_log;
mod server;
mod unused;
mod vips;
mod zones;

use crate::model::Model;

use super::Files;
use super::reports::Reports;
use super::spec::Spec;

/// Makes the model. When anything was reported as an error, its ids may point nowhere.
pub fn check(reports: &mut Reports<'_>, spec: &Spec, files: &mut dyn Files) -> Model {
    let names = names::Names::of(spec);
    let mut model = Model {
        server: server::server(reports, spec, &names),
        geo: geo::geo(reports, spec),
        regions: pools::regions(spec),
        checks: health_checks::health_checks(reports, spec),
        zones: zones::zones(reports, spec),
        tls: server::tls(spec),
        admin: server::admin(reports, spec, &names),
        query_log: query_log::query_log(spec),
        ..Model::default()
    };
    pools::pools(reports, spec, &names, &mut model);
    let uses = vips::vips(reports, spec, &names, &mut model);
    fallback::fallbacks(reports, spec, &names, &mut model);
    pools::balance_of_answers(reports, spec, &names, &uses);
    // What a wrong name was meant to use would look unused.
    if !reports.any_error() {
        unused::unused(reports, spec, &names, &uses);
    }
    files::files(reports, spec, files, &mut model);
    model
}
