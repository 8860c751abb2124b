//! How `rhumb simulate` says what it found.

use std::fmt::Write;

use crate::admin::dto::RegionLoadSaid;
use crate::admin::dto::ScenarioSaid;
use crate::admin::dto::Simulated;

/// The whole of it.
pub fn simulated(simulated: &Simulated) -> String {
    let mut out = String::new();
    let vips = match simulated.vips {
        1 => "for one VIP".to_owned(),
        count => format!("divided among {count} VIPs"),
    };
    let _ = writeln!(out, "demand   {} ({vips})", simulated.demand);
    let _ = writeln!(out, "assumed  {}", simulated.health);
    if simulated.scenarios.iter().flat_map(|each| &each.regions).all(|region| region.capacity.is_none()) {
        let _ = writeln!(out, "capacity of no region is known: add `capacity` to [region.*] to see who is overloaded");
    }
    for scenario in &simulated.scenarios {
        out.push('\n');
        self::scenario(&mut out, scenario, simulated.total);
    }
    if simulated.scenarios.is_empty() {
        let _ = writeln!(out, "\nthere is no region");
    }
    out
}

fn scenario(out: &mut String, scenario: &ScenarioSaid, total: f64) {
    let mut names: Vec<String> = scenario.down.iter().map(|name| format!("{name} down")).collect();
    names.extend(scenario.drain.iter().map(|name| format!("{name} drained")));
    let _ = writeln!(out, "{}", names.join(", "));
    let rows: Vec<[String; COLUMNS]> = std::iter::once(HEAD.map(str::to_owned))
        .chain(scenario.regions.iter().map(|each| region(each, total)))
        .chain(beside("to what is down", scenario.adrift.before, scenario.adrift.after, total))
        .chain(beside("no address", scenario.unanswered.before, scenario.unanswered.after, total))
        .collect();
    table(out, &rows);
    cascade(out, scenario, total);
}

const COLUMNS: usize = 8;
const HEAD: [&str; COLUMNS] = ["region", "before", "", "after", "", "capacity", "used", ""];

fn region(region: &RegionLoadSaid, total: f64) -> [String; COLUMNS] {
    let used = region.capacity.map(|capacity| region.after / capacity as f64);
    let over = used.is_some_and(|used| used > 1.0);
    [
        region.region.clone(),
        amount(region.before),
        share(region.before, total),
        amount(region.after),
        share(region.after, total),
        region.capacity.map_or_else(String::new, |capacity| capacity.to_string()),
        used.map_or_else(String::new, |used| format!("{:.0} %", used * 100.0)),
        if over { "over".to_owned() } else { String::new() },
    ]
}

/// A row for what no region bears, when there is any.
fn beside(name: &str, before: f64, after: f64, total: f64) -> Option<[String; COLUMNS]> {
    let empty = String::new;
    (before > 0.0 || after > 0.0).then(|| {
        [
            name.to_owned(),
            amount(before),
            share(before, total),
            amount(after),
            share(after, total),
            empty(),
            empty(),
            empty(),
        ]
    })
}

fn amount(value: f64) -> String {
    if value >= 1000.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn share(value: f64, total: f64) -> String {
    if total > 0.0 { format!("{:.1} %", value / total * 100.0) } else { String::new() }
}

fn table(out: &mut String, rows: &[[String; COLUMNS]]) {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    for row in rows {
        let mut line = format!("  {:<width$}", row[0], width = widths[0]);
        for (text, width) in row.iter().zip(widths).skip(1).filter(|(_, width)| *width > 0) {
            let _ = write!(line, "  {text:>width$}");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// `eu-west fails → us-east at 140 % of its capacity, fails next → …`.
fn cascade(out: &mut String, scenario: &ScenarioSaid, total: f64) {
    if scenario.cascade.is_empty() {
        let known = scenario.regions.iter().any(|region| region.capacity.is_some());
        let unknown = scenario.regions.iter().filter(|region| region.capacity.is_none() && region.after > 0.0);
        let unknown: Vec<&str> = unknown.map(|region| region.region.as_str()).collect();
        let lost = scenario.adrift.after + scenario.unanswered.after;
        if known && lost == 0.0 && unknown.is_empty() {
            let _ = writeln!(out, "  holds: every region that is left stays within its capacity");
        } else if known && lost == 0.0 {
            let _ = writeln!(out, "  holds, as far as is known: no capacity for {}", unknown.join(", "));
        }
        return;
    }
    let first: Vec<&str> = scenario.down.iter().chain(&scenario.drain).map(String::as_str).collect();
    let mut line = format!("  cascade: {} out", first.join(", "));
    for step in &scenario.cascade {
        let used = step.load / step.capacity as f64 * 100.0;
        let _ = write!(line, " → {} at {used:.0} % of its capacity, would fail next", step.region);
    }
    let last = scenario.cascade.last().expect("looked at above");
    if scenario.nothing_left {
        line.push_str(" → nothing is left");
    } else {
        let bears = |(region, after): (&RegionLoadSaid, &f64)| {
            let used = region.capacity.map(|capacity| format!(" at {:.0} %", after / capacity as f64 * 100.0));
            format!("{}{}", region.region, used.unwrap_or_default())
        };
        let left = scenario.regions.iter().zip(&last.after).filter(|(_, after)| **after > 0.0);
        let left: Vec<String> = left.map(bears).collect();
        let _ = write!(line, " → holds: {}", left.join(", "));
        let lost = last.adrift + last.unanswered;
        if lost > 0.0 {
            let _ = write!(line, "; {} without a region", share(lost, total));
        }
    }
    let _ = writeln!(out, "{line}");
}
