//! `[zone.*]`: each name once. Whether VIPs lie in them is told where zones are compiled.

use std::collections::HashMap;

use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::spec::Spec;
use crate::dns::name::Name;
use crate::model::ZoneSettings;

/// `[zone.*]`, in the order they were written.
pub fn zones(reports: &mut Reports<'_>, spec: &Spec) -> Vec<ZoneSettings> {
    let mut seen: HashMap<&Name, Span> = HashMap::new();
    for zone in &spec.zones {
        if let Some(first) = seen.insert(&zone.name.value, zone.name.span) {
            let fact = format!("zone `{}` is already in {}", zone.name.value, reports.place(first));
            reports.error(codes::REPEATED, zone.name.span, fact).help("names differ in more than case".to_owned());
        }
    }
    let zone = |zone: &crate::config::spec::server::Zone| ZoneSettings {
        name: zone.name.value.to_string(),
        file: zone.file.as_ref().map(|w| w.value.clone()),
    };
    spec.zones.iter().map(zone).collect()
}
