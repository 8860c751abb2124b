//! How `rhumb diff` says what it found.

use std::fmt::Write;

use crate::admin::dto::ChangeSaid;
use crate::admin::dto::ConfigDiff;
use crate::admin::dto::DetailSaid;
use crate::admin::dto::ExtentSaid;
use crate::admin::dto::FlowSaid;
use crate::admin::dto::ImpactSaid;
use crate::admin::dto::PoolNamed;

/// Of one section at most so many facts are told; a section that is new has been written by whoever asks.
const DETAILS_MAX: usize = 200;

/// The whole of it; of each kind the first `top`, the rest summed up.
pub fn diff(diff: &ConfigDiff, top: usize) -> String {
    let mut out = String::new();
    let write = &mut out;
    if diff.changes.is_empty() {
        let _ = writeln!(write, "nothing differs between {} and {}", diff.from, diff.to);
    } else {
        let _ = writeln!(write, "from {} to {}\n", diff.from, diff.to);
        changes(write, &diff.changes, top);
        let count = |sign: &str| diff.changes.iter().filter(|change| change.sign == sign).count();
        let _ = writeln!(write, "\n{} added, {} changed, {} removed", count("+"), count("~"), count("-"));
    }
    if let Some(said) = &diff.impact {
        write.push('\n');
        impact(write, said, top);
    }
    out
}

fn changes(out: &mut String, changes: &[ChangeSaid], top: usize) {
    // Small configurations are shown whole: `top` is against floods.
    let most = top.max(50);
    let mut at = 0;
    while at < changes.len() {
        let (kind, sign) = (&changes[at].kind, &changes[at].sign);
        let alike = changes[at..].iter().take_while(|change| change.kind == *kind && change.sign == *sign).count();
        changes[at..at + alike.min(most)].iter().for_each(|each| change(out, each));
        if alike > most {
            let _ = writeln!(out, "{sign} {kind}  … and {} more", alike - most);
        }
        at += alike;
    }
}

fn change(out: &mut String, change: &ChangeSaid) {
    let name = if change.name.is_empty() { format!("[{}]", change.kind) } else { change.name.clone() };
    let kind = if change.name.is_empty() { String::new() } else { format!("{} ", change.kind) };
    let _ = writeln!(out, "{} {kind}{name}", change.sign);
    for each in change.details.iter().take(DETAILS_MAX) {
        let _ = writeln!(out, "    {} {}", each.sign, detail(each));
    }
    if change.details.len() > DETAILS_MAX {
        let _ = writeln!(out, "    … and {} more", change.details.len() - DETAILS_MAX);
    }
}

fn detail(detail: &DetailSaid) -> String {
    let said = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    match (said(&detail.from), said(&detail.to)) {
        (Some(from), Some(to)) => format!("{}  {from} → {to}", detail.key),
        (Some(value), None) | (None, Some(value)) => format!("{}  {value}", detail.key),
        (None, None) => detail.key.clone(),
    }
}

/// A share as people read it.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "–".to_owned(),
        small if small < 0.005 => "< 0.01 %".to_owned(),
        percent if percent < 0.995 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

fn both(share: ExtentSaid) -> String {
    format!("{:>10} {:>10}", percent(share.ipv4), percent(share.ipv6))
}

fn impact(out: &mut String, impact: &ImpactSaid, top: usize) {
    let vips = match impact.vips {
        1 => "of the one VIP that is in both".to_owned(),
        count => format!("averaged over {count} VIPs that are in both"),
    };
    let nothing = impact.moved == ExtentSaid::default() && impact.readdressed == ExtentSaid::default();
    if nothing && impact.unplaced.is_empty() {
        let _ = writeln!(out, "no answer moves ({})", impact.health);
    } else {
        let _ = writeln!(out, "whose answers move, {vips}");
        let _ = writeln!(out, "  counted: {}", impact.counted);
        let _ = writeln!(out, "  assumed: {}\n", impact.health);
        let _ = writeln!(out, "  {:<44} {:>10} {:>10}", "", "IPv4", "IPv6");
        row(out, "to another pool", both(impact.moved));
        if impact.readdressed != ExtentSaid::default() {
            row(out, "same pool, other addresses", both(impact.readdressed));
        }
        moved(out, impact, top);
    }
    names(out, "begin to be answered", &impact.begin, top);
    names(out, "are answered no more", &impact.end, top);
}

fn row(out: &mut String, name: &str, figures: String) {
    let _ = writeln!(out, "  {name:<44} {figures}");
}

fn moved(out: &mut String, impact: &ImpactSaid, top: usize) {
    if !impact.flows.is_empty() {
        let _ = writeln!(out, "\n  from → to");
        for each in impact.flows.iter().take(top) {
            row(out, &format!("  {}", flow(each)), both(each.share));
        }
        rest(out, "moves", impact.flows.iter().map(|each| each.share), top);
    }
    if impact.vips > 1 && !impact.by_vip.is_empty() {
        let _ = writeln!(out, "\n  {:<44} {:>21}", "VIP", "of its clients");
        for each in impact.by_vip.iter().take(top) {
            row(out, &format!("  {}", each.vip), both(each.moved));
        }
        let more = impact.by_vip.len().saturating_sub(top);
        let still = impact.vips - impact.by_vip.len();
        if more > 0 {
            let _ = writeln!(out, "    {more} more move less");
        }
        if still > 0 {
            let _ = writeln!(out, "    {still} move not at all");
        }
    }
    if !impact.by_country.is_empty() {
        let _ = writeln!(out, "\n  {:<44} {:>21} {:>21}", "country", "of all", "of its own");
        for each in impact.by_country.iter().take(top) {
            row(out, &format!("  {}", each.country), format!("{} {}", both(each.of_all), both(each.of_its_own)));
        }
        rest(out, "countries", impact.by_country.iter().map(|each| each.of_all), top);
    }
    if !impact.readdressed_pools.is_empty() {
        let _ = writeln!(out, "\n  same pool, other addresses");
        for each in impact.readdressed_pools.iter().take(top) {
            row(out, &format!("  {} ({})", each.pool.pool, each.pool.region), both(each.share));
        }
        rest(out, "pools", impact.readdressed_pools.iter().map(|each| each.share), top);
    }
    if !impact.unplaced.is_empty() {
        let _ = writeln!(out, "\n  clients that no database places, not counted");
        impact.unplaced.iter().take(top).for_each(|each| {
            let _ = writeln!(out, "    {}", flow(each));
        });
    }
}

/// Sums up what was not shown.
fn rest(out: &mut String, what: &str, shares: impl Iterator<Item = ExtentSaid>, top: usize) {
    let mut sum = ExtentSaid::default();
    let mut count = 0;
    for share in shares.skip(top) {
        sum = ExtentSaid { ipv4: sum.ipv4 + share.ipv4, ipv6: sum.ipv6 + share.ipv6 };
        count += 1;
    }
    if count > 0 {
        row(out, &format!("  {count} more {what}"), both(sum));
    }
}

fn flow(flow: &FlowSaid) -> String {
    let end = |end: &Option<PoolNamed>| {
        end.as_ref().map_or_else(|| "no address".to_owned(), |pool| format!("{} ({})", pool.pool, pool.region))
    };
    format!("{} → {}", end(&flow.from), end(&flow.to))
}

fn names(out: &mut String, what: &str, names: &[String], top: usize) {
    if names.is_empty() {
        return;
    }
    let more = match names.len().saturating_sub(top) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let _ = writeln!(out, "{what}: {}{more}", names[..names.len().min(top)].join(", "));
}
