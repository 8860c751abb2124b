//! What was meant: every reference resolved, every default filled in, and whatever cannot work reported.
//!
//! One file for each section. Each takes what was written and gives the model's part; what could not be made out has
//! been reported and is left out or stands at a default, so that the checks after it can go on.

mod access_log;
mod fallback;
mod files;
mod flows;
mod geo;
mod health_checks;
mod listeners;
mod loads;
mod names;
mod policies;
mod pools;
mod query_log;
mod routes;
mod server;
mod sockets;
mod unused;
mod upstream;
mod uses;
mod vips;
mod zones;

use crate::model::Model;

use super::Files;
use super::reports::Reports;
use super::spec::Spec;

/// Makes the model. When anything was reported as an error, its ids may point nowhere.
pub fn check(reports: &mut Reports<'_>, spec: &Spec, files: &mut dyn Files) -> Model {
    let names = names::Names::of(spec);
    let mut uses = uses::Uses::none(spec);
    sockets::sockets(reports, spec);
    let mut model = Model {
        server: server::server(reports, spec, &names),
        geo: geo::geo(reports, spec),
        regions: pools::regions(spec),
        checks: health_checks::health_checks(reports, spec),
        zones: zones::zones(reports, spec),
        tls: server::tls(spec),
        admin: server::admin(reports, spec, &names),
        query_log: query_log::query_log(spec),
        access_log: access_log::access_log(spec),
        proxy: listeners::proxy(spec),
        ..Model::default()
    };
    pools::pools(reports, spec, &names, &mut model);
    vips::vips(reports, spec, &names, &mut uses, &mut model);
    listeners::listeners(reports, spec, &names, &mut uses, &mut model);
    fallback::fallbacks(reports, spec, &names, &mut model);
    pools::of_answers(reports, spec, &names, &uses);
    loads::loads(reports, spec, &names, &uses, &mut model);
    if !reports.any_error() {
        listeners::sent_on(&mut uses, &model);
    }
    upstream::panics(reports, spec, &names, &uses, &mut model);
    // What a wrong name was meant to use would look unused.
    if !reports.any_error() {
        listeners::circles(reports, spec, &model);
        unused::unused(reports, spec, &names, &uses);
        upstream::unread(reports, spec, &names, &uses);
        loads::unread(reports, spec, &names, &uses);
        routes::shadowed(reports, spec);
    }
    files::files(reports, spec, files, &mut model);
    model
}
