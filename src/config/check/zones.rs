//! `[zone.*]`, and whether every VIP lies in a zone.

use std::collections::HashMap;
use std::collections::HashSet;

use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::spec::Spec;
use crate::dns::name::Name;
use crate::model::Model;
use crate::model::Problem;
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

/// The VIPs that lie in none of the zones, as problems at the place of each.
pub fn vips_outside<'z>(model: &Model, apexes: impl IntoIterator<Item = &'z Name>) -> Vec<Problem> {
    let apexes: HashSet<&[u8]> = apexes.into_iter().map(Name::wire).collect();
    let mut listed: Vec<String> =
        apexes.iter().filter_map(|wire| Name::from_wire(wire).ok()).map(|name| format!("`{name}`")).take(5).collect();
    listed.sort();
    let mut problems = Vec::new();
    for vip in &model.vips {
        let Ok(name) = vip.name.parse::<Name>() else { continue };
        let within = suffixes(name.wire()).any(|suffix| apexes.contains(suffix));
        if !within {
            let fact = format!("VIP `{}` lies in no loaded zone", vip.name);
            let help = match listed.is_empty() {
                true => "no zone is loaded: put a zone file into `zones_dir`, or name one in [zone.\"…\"]".to_owned(),
                false => format!("add a zone file for it; loaded: {}", listed.join(", ")),
            };
            problems.push(Problem::error(codes::OUT_OF_ZONE, vip.place.clone(), fact).help(help));
        }
    }
    problems
}

/// A name in wire form, then its parent, down to the root.
fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(wire);
    std::iter::from_fn(move || {
        let now = rest?;
        rest = match now.first() {
            Some(0) | None => None,
            Some(length) => now.get(1 + *length as usize..),
        };
        Some(now)
    })
}
